"""How fast does a recurrent language model train, beside the plain torch way?

    python -m benchmarks.training [--shape medium small] [--repeats 7] [--json F]

`medium` is the 2 × 650 tied LSTM at batch 20 × 35 on 10,000 words; `small` 2 × 128 at 32 × 64 on
6,000. Ours is `nextword`'s own training loop, `fit`, timed over whole passes; theirs is the loop
of pytorch/examples' word_language_model: nn.LSTM, log_softmax and NLLLoss, clip_grad_norm_, and
parameters moved by hand, dropout 0.2 as its default is. Each side has a process of its own, asked
in turn for 20 steps at a time. The check beside the ratio runs 20 steps without dropout from the
same weights on the same data: the losses must agree step by step.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .sides import Side, in_turn, machine, median, serve, spread

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
    """A stream of Zipf-distributed ids with some order in it, enough for `STEPS` batches."""
    import numpy as np

    rng = np.random.default_rng(1)
    count = shape.batch * shape.bptt * STEPS
    ids = np.minimum(rng.zipf(1.2, count), shape.vocabulary - 2) + 1
    ids[1::2] = (ids[::2] * 7919) % shape.vocabulary  # every other one follows from the one before
    return ids.astype(np.uint16)


def initial(shape: Shape, dropout: float) -> Any:
    """The model both sides start from."""
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
    """`nextword.training.loop.fit` over a pass, timed from the first step to the last."""
    import torch

    from nextword.config import Config
    from nextword.text.corpus import Corpus, Counts
    from nextword.training.loop import Training, fit

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
    times: list[float] = []
    losses: list[float] = []

    class Timed(Training):
        def learn(self, *arguments: Any) -> Any:
            times.append(time.perf_counter())
            result = super().learn(*arguments)
            losses.append(result[1])
            return result

    with tempfile.TemporaryDirectory() as folder:
        corpus = Corpus(ids, Counts(tokens=len(ids)), "bench")
        model = initial(shape, dropout)
        work = Timed(
            Path(folder), config, model, corpus, None, torch.device("cpu"), time.perf_counter()
        )
        fit(work, quiet=True)
    return {"seconds": (times[-1] - times[0]) / (len(times) - 1), "losses": losses}


def plain(shape: Shape, dropout: float) -> dict[str, Any]:
    """The loop as one writes it by hand."""
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
    # nn.LSTM has a second, redundant bias; training it too would double the bias's step.
    for index in range(shape.layers):
        getattr(lstm, f"bias_hh_l{index}").requires_grad_(False)
    modules = nn.ModuleList([embedding, lstm, decoder])
    parameters = [p for p in modules.parameters() if p.requires_grad]
    ids = torch.from_numpy(token_ids(shape).astype("int64")).view(shape.batch, -1).T.contiguous()
    inputs = torch.cat([torch.ones_like(ids[:1]), ids[:-1]])
    inputs[0, 1:] = ids[-1, :-1]  # a stripe's first token follows the last of the stripe before
    state = None
    times: list[float] = []
    losses: list[float] = []
    for step in range(STEPS):
        times.append(time.perf_counter())
        span = slice(step * shape.bptt, (step + 1) * shape.bptt)
        modules.zero_grad()
        if state is not None:
            state = (state[0].detach(), state[1].detach())
        hidden, state = lstm(drop(embedding(inputs[span])), state)
        logits = decoder(drop(hidden)).view(-1, shape.vocabulary)
        loss = criterion(torch.log_softmax(logits, dim=1), ids[span].reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        for p in parameters:
            p.data.add_(p.grad, alpha=-LR)
        losses.append(loss.item())
    return {"seconds": (times[-1] - times[0]) / (len(times) - 1), "losses": losses}


def answer(side: str, dropout: float, **shape: Any) -> dict[str, Any]:
    """In a side's process: seconds a step, and the losses."""
    if side == "plain":
        return plain(Shape(**shape), dropout)
    return ours(Shape(**shape), dropout, "bf16" if "bf16" in side else "fp32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--shape", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        serve(lambda **request: answer(options.side, **request))
        return
    print(machine())
    results = {name: compare(SHAPES[name], options.repeats) for name in options.shape}
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def compare(shape: Shape, repeats: int) -> dict[str, Any]:
    """All sides in turn on one shape, printed and returned."""
    sides = {name: Side("benchmarks.training", name) for name in SIDES}
    losses = {s: sides[s].ask(dropout=0.0, **asdict(shape))["losses"] for s in ("ours", "plain")}
    apart = max(abs(a - b) for a, b in zip(losses["ours"], losses["plain"], strict=True))
    answers = in_turn(sides, repeats, dropout=DROPOUT, **asdict(shape))
    for side in sides.values():
        side.close()
    print(f"\n{shape}")
    theirs = median(answers["plain"])
    for name in SIDES:
        took = median(answers[name])
        print(
            f"  {name:<11}{shape.batch * shape.bptt / took:>8,.0f} tokens/s   "
            f"{theirs / took:.2f} of plain   spread {spread(answers[name]):.0%}"
        )
    print(f"  largest difference of the losses over {STEPS} steps without dropout: {apart:.1e}")
    return {"answers": answers, "difference": apart}


if __name__ == "__main__":
    main()
