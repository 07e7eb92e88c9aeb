"""How fast does a translating Transformer train, beside torch's own?

    python -m benchmarks.transformer [--shape small base] [--repeats 7] [--json F]

Ours is `nextword`'s training loop, `fit`, timed over whole passes; theirs is torch.nn.Transformer
(normalised before each part, batch first) with embeddings, sinusoidal positions, a tied softmax,
F.cross_entropy with label smoothing, clip_grad_norm_ and Adam, as one writes it by hand. Both read
the same batches of padded pairs, in the same order, from the same first weights. Each side has a
process of its own, asked in turn for a pass at a time. The check beside the ratio is a pass without
dropout: the losses must agree step by step.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .sides import Side, in_turn, machine, median, serve, spread

LR, CLIP, DROPOUT, SMOOTHING, STEPS = 1e-4, 1.0, 0.1, 0.1, 20
SIDES = ("ours", "torch", "ours, bf16")


@dataclass(frozen=True)
class Shape:
    """A model and its batches."""

    width: int
    layers: int
    heads: int
    vocabulary: int
    tokens: int  # of a batch, on either side
    length: int  # of the longest sentence

    def __str__(self) -> str:
        return (
            f"{self.layers} + {self.layers} layers of {self.width}, {self.heads} heads, "
            f"{self.vocabulary:,} words, batches of {self.tokens:,} tokens a side, sentences of up "
            f"to {self.length}"
        )


SHAPES = {"small": Shape(256, 3, 4, 8000, 2048, 20), "base": Shape(512, 6, 8, 16_000, 2048, 40)}


def corpus(shape: Shape) -> Any:
    """Pairs of sentences of random lengths, for `STEPS` batches and some."""
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
    """Of both sides."""
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
    """The model both sides start from."""
    import torch

    torch.manual_seed(1)
    return config.model.build(shape.vocabulary, shape.vocabulary)


def result(times: list[float], losses: list[float], tokens: list[int]) -> dict[str, Any]:
    """Seconds a target token, without the first steps."""
    first = 3
    return {"seconds": (times[-1] - times[first]) / sum(tokens[first:-1]), "losses": losses}


def ours(shape: Shape, dropout: float, precision: str) -> dict[str, Any]:
    """`nextword.training.loop.fit` over a pass."""
    import torch

    from nextword.training.loop import Training, fit

    config = settings(shape, dropout, precision)
    times: list[float] = []
    losses: list[float] = []
    tokens: list[int] = []

    class Timed(Training):
        def learn(self, batch: Any, state: Any) -> Any:
            times.append(time.perf_counter())
            tokens.append(batch.tokens)
            answer = super().learn(batch, state)
            losses.append(answer[1])
            return answer

    with tempfile.TemporaryDirectory() as folder:
        work = Timed(
            Path(folder),
            config,
            initial(config, shape),
            corpus(shape),
            None,
            torch.device("cpu"),
            time.perf_counter(),
        )
        fit(work, quiet=True)
    return result(times, losses, tokens)


def theirs(shape: Shape, dropout: float) -> dict[str, Any]:
    """torch.nn.Transformer in a loop by hand."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    from nextword.nn.transformer import sinusoids
    from nextword.training.loop import Training

    config = settings(shape, dropout, "fp32")
    start = initial(config, shape)
    work = Training(
        Path(), config, start, corpus(shape), None, torch.device("cpu"), time.perf_counter()
    )
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
            module.dropout = 0.0  # ours drops what the parts add, as the paper does
    source_embedding = nn.Embedding(shape.vocabulary, shape.width)
    embedding = nn.Embedding(shape.vocabulary, shape.width)
    bias = nn.Parameter(torch.zeros(shape.vocabulary))
    copy_weights(start, model, embedding, source_embedding)
    places = sinusoids(64, shape.width)
    drop = nn.Dropout(dropout)
    modules = nn.ModuleList([model, source_embedding, embedding])
    parameters = [*modules.parameters(), bias]
    optimizer = torch.optim.Adam(parameters, lr=LR)
    times: list[float] = []
    losses: list[float] = []
    tokens: list[int] = []
    for batch in work.stream(0):
        times.append(time.perf_counter())
        tokens.append(batch.tokens)

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
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return result(times, losses, tokens)


def copy_weights(ours: Any, theirs: Any, embedding: Any, source_embedding: Any) -> None:
    """Our Transformer's weights into torch's."""
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


def answer(side: str, dropout: float, **shape: Any) -> dict[str, Any]:
    """In a side's process: seconds a token, and the losses."""
    if side == "torch":
        return theirs(Shape(**shape), dropout)
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
    sides = {name: Side("benchmarks.transformer", name) for name in SIDES}
    losses = {s: sides[s].ask(dropout=0.0, **asdict(shape))["losses"] for s in ("ours", "torch")}
    apart = max(abs(a - b) for a, b in zip(losses["ours"], losses["torch"], strict=True))
    answers = in_turn(sides, repeats, dropout=DROPOUT, **asdict(shape))
    for side in sides.values():
        side.close()
    print(f"\n{shape}")
    base = median(answers["torch"])
    for name in SIDES:
        took = median(answers[name])
        print(
            f"  {name:<11}{1 / took:>8,.0f} target tokens/s   {base / took:.2f} of torch's   "
            f"spread {spread(answers[name]):.0%}"
        )
    print(f"  largest difference of the losses of a pass without dropout: {apart:.1e}")
    return {"answers": answers, "difference": apart}


if __name__ == "__main__":
    main()
