"""Compares the training speed of a recurrent language model with that of plain torch code.

    python -m benchmarks.training [--shape medium small] [--repeats 7] [--json F]

`medium` is a 2 × 650 tied LSTM at batch 20 × 35 with 10,000 words; `small` is 2 × 128 at 32 × 64
with 6,000 words. Theirs is the loop of word_language_model in pytorch/examples: nn.LSTM,
log_softmax and NLLLoss, clip_grad_norm_, a hand-written SGD update, and its default dropout of 0.2.
See `race` for the method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .race import Race, Watch, fit

LR, CLIP, DROPOUT, STEPS = 1.0, 0.25, 0.2, 20
SIDES = ("ours", "plain", "ours, bf16")


@dataclass(frozen=True)
class Shape:
    """A model and its batch."""

    width: int
    vocabulary: int
    batch: int
    bptt: int
    layers: int = 2

    def __str__(self) -> str:
        return (
            f"{self.layers} × {self.width} tied LSTM, batch {self.batch} × {self.bptt}, "
            f"{self.vocabulary:,} words"
        )


SHAPES = {"medium": Shape(650, 10_000, 20, 35), "small": Shape(128, 6_000, 32, 64)}


def token_ids(shape: Shape) -> Any:
    """Zipf-distributed ids with some structure, enough for `STEPS` batches."""
    import numpy as np

    rng = np.random.default_rng(1)
    count = shape.batch * shape.bptt * STEPS
    ids = np.minimum(rng.zipf(1.2, count), shape.vocabulary - 2) + 1
    ids[1::2] = (ids[::2] * 7919) % shape.vocabulary  # each depends on the one before
    return ids.astype(np.uint16)


def initial(shape: Shape, dropout: float) -> Any:
    """The model with whose weights both sides begin."""
    import torch

    from nextword.models.recurrent import RecurrentConfig

    torch.manual_seed(1)
    return RecurrentConfig(
        cell="lstm",
        embedding=shape.width,
        hidden=shape.width,
        layers=shape.layers,
        tied=True,
        locked=False,
        dropout_input=dropout,
        dropout_hidden=dropout,
        dropout_output=dropout,
    ).build(shape.vocabulary)


def ours(shape: Shape, dropout: float, precision: str) -> dict[str, Any]:
    """Our training loop."""
    from nextword.config import Config
    from nextword.text.corpus import Corpus, Counts

    config = Config.parse(
        {
            "train": {
                "epochs": 1,
                "batch_size": shape.batch,
                "bptt": shape.bptt,
                "clip": CLIP,
                "precision": precision,
            },
            "optimizer": {"name": "sgd", "lr": LR},
            "schedule": {"name": "constant"},
        }
    )
    ids = token_ids(shape)
    corpus = Corpus(ids, Counts(tokens=len(ids)), "bench")
    return fit(config, initial(shape, dropout), corpus)


def plain(shape: Shape, dropout: float) -> dict[str, Any]:
    """The hand-written loop."""
    import torch
    from torch import nn

    start = initial(shape, dropout)
    embedding = nn.Embedding(shape.vocabulary, shape.width)
    lstm = nn.LSTM(shape.width, shape.width, shape.layers, dropout=dropout)
    decoder = nn.Linear(shape.width, shape.vocabulary)
    decoder.weight = embedding.weight
    drop, criterion = nn.Dropout(dropout), nn.NLLLoss()
    with torch.no_grad():
        embedding.weight.copy_(start.embedding.weight)
        decoder.bias.copy_(start.head.b)
        for index, layer in enumerate(start.stack.layers):
            getattr(lstm, f"weight_ih_l{index}").copy_(layer.W)
            getattr(lstm, f"weight_hh_l{index}").copy_(layer.U)
            getattr(lstm, f"bias_ih_l{index}").copy_(layer.b)
            getattr(lstm, f"bias_hh_l{index}").zero_()
    # nn.LSTM has a second, redundant bias; training it too would double the step of the bias.
    for index in range(shape.layers):
        getattr(lstm, f"bias_hh_l{index}").requires_grad_(False)
    modules = nn.ModuleList([embedding, lstm, decoder])
    parameters = [p for p in modules.parameters() if p.requires_grad]
    ids = torch.from_numpy(token_ids(shape).astype("int64")).view(shape.batch, -1).T.contiguous()
    inputs = torch.cat([torch.ones_like(ids[:1]), ids[:-1]])
    inputs[0, 1:] = ids[-1, :-1]  # the token before a stripe ends the stripe before
    state = None
    watch = Watch()
    for step in range(STEPS):
        watch.begin(shape.batch * shape.bptt)
        span = slice(step * shape.bptt, (step + 1) * shape.bptt)
        modules.zero_grad()
        if state is not None:
            state = (state[0].detach(), state[1].detach())
        hidden, state = lstm(drop(embedding(inputs[span])), state)
        logits = decoder(drop(hidden)).view(-1, shape.vocabulary)
        loss = criterion(torch.log_softmax(logits, dim=1), ids[span].reshape(-1))
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, CLIP)
        for p in parameters:
            if p.grad is not None:
                p.data.add_(p.grad, alpha=-LR)
        watch.losses.append(loss.item())
    return watch.result()


def answer(side: str, shape: Shape, dropout: float) -> dict[str, Any]:
    """Runs in the process of a side: returns seconds per token, and the losses."""
    if side == "plain":
        return plain(shape, dropout)
    return ours(shape, dropout, "bf16" if "bf16" in side else "fp32")


if __name__ == "__main__":
    Race("benchmarks.training", __doc__, SIDES, SHAPES, DROPOUT, "tokens", answer).main()
