"""Compares the training speed of a Transformer for translation with that of torch.nn.Transformer.

    python -m benchmarks.transformer [--shape small base] [--repeats 7] [--json F]

Theirs is torch.nn.Transformer (pre-norm, batch first) with embeddings, sinusoidal positions, a tied
softmax, F.cross_entropy with label smoothing, clip_grad_norm_ and Adam, in a hand-written loop.
Both sides read the same batches of padded pairs. See `race` for the method.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .race import Race, Watch, fit, working

LR, CLIP, DROPOUT, SMOOTHING, STEPS = 1e-4, 1.0, 0.1, 0.1, 20
SIDES = ("ours", "torch", "ours, bf16")


@dataclass(frozen=True)
class Shape:
    """A model and its batches."""

    width: int
    layers: int
    heads: int
    vocabulary: int
    tokens: int  # the most tokens of a batch, on either side
    length: int  # tokens of the longest sentence

    def __str__(self) -> str:
        return (
            f"{self.layers} + {self.layers} layers of {self.width}, {self.heads} heads, "
            f"{self.vocabulary:,} words, batches of {self.tokens:,} tokens a side, sentences of up "
            f"to {self.length}"
        )


SHAPES = {"small": Shape(256, 3, 4, 8000, 2048, 20), "base": Shape(512, 6, 8, 16_000, 2048, 40)}


def corpus(shape: Shape) -> Any:
    """Sentence pairs of random lengths, enough for more than `STEPS` batches."""
    import numpy as np

    from nextword.text.corpus import Corpus, Counts

    rng = np.random.default_rng(1)

    def side() -> Any:
        sentences = []
        for length in lengths:
            words = np.minimum(rng.zipf(1.2, length - 1), shape.vocabulary - 3) + 1
            sentences.append(np.append(words, 1))
        ids = np.concatenate(sentences).astype(np.uint16)
        return Corpus(ids, Counts(tokens=len(ids)), "bench")

    count = 2 * STEPS * shape.tokens // shape.length
    lengths = rng.integers(3, shape.length + 1, count)
    target, source = side(), side()
    from dataclasses import replace

    return replace(target, source=source)


def settings(shape: Shape, dropout: float, precision: str) -> Any:
    """The settings of both sides."""
    from nextword.config import Config

    return Config.parse(
        {
            "model": {
                "name": "transformer",
                "hidden": shape.width,
                "layers": shape.layers,
                "heads": shape.heads,
                "context": 64,
                "tied": True,
                "dropout": dropout,
            },
            "objective": {"label_smoothing": SMOOTHING},
            "train": {
                "epochs": 1,
                "stream": "pairs",
                "batch_tokens": shape.tokens,
                "clip": CLIP,
                "precision": precision,
            },
            "optimizer": {"name": "adam", "lr": LR},
            "schedule": {"name": "constant"},
        }
    )


def initial(config: Any, shape: Shape) -> Any:
    """The model with whose weights both sides begin."""
    import torch

    torch.manual_seed(1)
    return config.model.build(shape.vocabulary, shape.vocabulary)


def theirs(shape: Shape, dropout: float) -> dict[str, Any]:
    """torch.nn.Transformer in a hand-written loop."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    from nextword.nn.transformer import sinusoids

    config = settings(shape, dropout, "fp32")
    start = initial(config, shape)
    work = working(config, start, corpus(shape))
    model = nn.Transformer(
        shape.width,
        shape.heads,
        shape.layers,
        shape.layers,
        4 * shape.width,
        dropout,
        batch_first=True,
        norm_first=True,
    )
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0  # no dropout of attention weights, as in our model
    source_embedding = nn.Embedding(shape.vocabulary, shape.width)
    embedding = nn.Embedding(shape.vocabulary, shape.width)
    bias = nn.Parameter(torch.zeros(shape.vocabulary))
    copy_weights(start, model, embedding, source_embedding)
    places = sinusoids(64, shape.width)
    drop = nn.Dropout(dropout)
    modules = nn.ModuleList([model, source_embedding, embedding])
    parameters = [*modules.parameters(), bias]
    optimizer = torch.optim.Adam(parameters, lr=LR)
    watch = Watch()
    for batch in work.stream(0):
        watch.begin(batch.tokens)

        def embed(table: Any, ids: Any) -> Any:
            return drop(table(ids) * math.sqrt(shape.width) + places[: ids.shape[1]])

        steps = batch.ids.shape[1]
        hidden = model(
            embed(source_embedding, batch.source),
            embed(embedding, batch.ids),
            tgt_mask=nn.Transformer.generate_square_subsequent_mask(steps),
            src_key_padding_mask=~batch.source_mask,
            memory_key_padding_mask=~batch.source_mask,
            tgt_is_causal=True,
        )
        logits = F.linear(hidden, embedding.weight, bias)
        targets = batch.targets.masked_fill(~batch.mask, -100)
        loss = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), label_smoothing=SMOOTHING, ignore_index=-100
        )
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        optimizer.zero_grad()
        watch.losses.append(loss.item())
    return watch.result()


def copy_weights(ours: Any, theirs: Any, embedding: Any, source_embedding: Any) -> None:
    """Copy the weights of our Transformer to torch's."""
    import torch

    def attention(a: Any, b: Any) -> None:
        b.in_proj_weight.copy_(torch.cat([a.q.weight, a.kv.weight]))
        b.in_proj_bias.copy_(torch.cat([a.q.bias, a.kv.bias]))
        b.out_proj.load_state_dict(a.out.state_dict())

    with torch.no_grad():
        embedding.weight.copy_(ours.embedding.weight)
        source_embedding.weight.copy_(ours.source_embedding.weight)
        for stack, other in ((ours.encoder, theirs.encoder), (ours.stack, theirs.decoder)):
            other.norm.load_state_dict(stack.norm.state_dict())
            for a, b in zip(stack.layers, other.layers, strict=True):
                attention(a.attention, b.self_attn)
                b.norm1.load_state_dict(a.norm.state_dict())
                norm = b.norm2
                if a.source_attention is not None:
                    attention(a.source_attention, b.multihead_attn)
                    b.norm2.load_state_dict(a.source_norm.state_dict())
                    norm = b.norm3
                norm.load_state_dict(a.feed_forward_norm.state_dict())
                b.linear1.load_state_dict(a.feed_forward.wide.state_dict())
                b.linear2.load_state_dict(a.feed_forward.narrow.state_dict())


def answer(side: str, shape: Shape, dropout: float) -> dict[str, Any]:
    """Runs in the process of a side: returns seconds per target token, and the losses."""
    if side == "torch":
        return theirs(shape, dropout)
    config = settings(shape, dropout, "bf16" if "bf16" in side else "fp32")
    return fit(config, initial(config, shape), corpus(shape))


if __name__ == "__main__":
    Race("benchmarks.transformer", __doc__, SIDES, SHAPES, DROPOUT, "target tokens", answer).main()
