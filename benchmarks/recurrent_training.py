"""How fast does a recurrent language model train, beside the plain torch way?

Two shapes: the 2 x 650 tied LSTM at batch 20 x 35 on 10,000 words (the "medium" model of Zaremba et
al. 2014, as in pytorch/examples), and a small one, 2 x 128 at batch 32 x 64 on 6,000. Each is
trained by `nextword`'s loop and by the loop one writes by hand: nn.LSTM, nn.Linear, cross_entropy,
the same gradient descent with the same clipping. Same weights at the start and same data, so the
losses must agree step by step; that is checked beside the speed.

    python -m benchmarks.recurrent_training [--shape medium] [--repeats 7] [--steps 20] [--json F]

Each measurement is a process of its own (what one side does to the memory allocator must not help
or hurt the other), the two sides in turn. The first steps warm up and are not counted. The spread
is that of each side against itself.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WARM_UP = 3
LR, CLIP = 1.0, 0.25


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
            f"{self.layers} x {self.width} tied LSTM, batch {self.batch} x {self.bptt}, "
            f"{self.vocabulary:,} words"
        )


SHAPES = {"medium": Shape(650, 10_000, 20, 35), "small": Shape(128, 6_000, 32, 64)}


def token_ids(shape: Shape, steps: int) -> Any:
    """A stream of Zipf-distributed ids with some order in it, enough for `steps` batches."""
    import numpy as np

    rng = np.random.default_rng(1)
    count = shape.batch * shape.bptt * steps
    ids = np.minimum(rng.zipf(1.2, count), shape.vocabulary - 2) + 1
    ids[1::2] = (ids[::2] * 7919) % shape.vocabulary  # every other one follows from the one before
    return ids.astype(np.uint16)


def initial_model(shape: Shape) -> Any:
    """The model both sides start from."""
    import torch

    from nextword.models.recurrent import RecurrentConfig

    torch.manual_seed(1)
    config = RecurrentConfig(
        cell="lstm", embedding=shape.width, hidden=shape.width, layers=shape.layers, tied=True
    )
    return config.build(shape.vocabulary)


def ours(shape: Shape, steps: int) -> dict[str, Any]:
    """`nextword.training.loop.fit`, timed from the warm-up's end to the last step."""
    import torch

    from nextword.config import Config
    from nextword.text.corpus import Corpus, Counts
    from nextword.training.loop import Training, fit

    config = Config.parse(
        {
            "train": {"epochs": 1, "batch_size": shape.batch, "bptt": shape.bptt, "clip": CLIP},
            "optimizer": {"name": "sgd", "lr": LR},
            "schedule": {"name": "constant"},
        }
    )
    ids = token_ids(shape, steps)
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
        device = torch.device("cpu")
        work = Timed(
            Path(folder), config, initial_model(shape), corpus, None, device, time.perf_counter()
        )
        fit(work, quiet=True)
    counted = len(times) - 1 - WARM_UP
    return {
        "tokens_per_second": counted * shape.batch * shape.bptt / (times[-1] - times[WARM_UP]),
        "losses": losses,
    }


def plain(shape: Shape, steps: int) -> dict[str, Any]:
    """The loop as one writes it by hand."""
    import torch
    from torch import nn
    from torch.nn import functional

    start = initial_model(shape)
    embedding = nn.Embedding(shape.vocabulary, shape.width)
    lstm = nn.LSTM(shape.width, shape.width, shape.layers)
    decoder = nn.Linear(shape.width, shape.vocabulary)
    decoder.weight = embedding.weight
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
    optimizer = torch.optim.SGD(parameters, lr=LR)
    ids = (
        torch.from_numpy(token_ids(shape, steps).astype("int64"))
        .view(shape.batch, -1)
        .T.contiguous()
    )
    inputs = torch.cat([torch.ones_like(ids[:1]), ids[:-1]])
    inputs[0, 1:] = ids[-1, :-1]  # a stripe's first token follows the last of the stripe before
    state = None
    times: list[float] = []
    losses: list[float] = []
    for step in range(steps):
        times.append(time.perf_counter())
        span = slice(step * shape.bptt, (step + 1) * shape.bptt)
        if state is not None:
            state = (state[0].detach(), state[1].detach())
        optimizer.zero_grad()
        hidden, state = lstm(embedding(inputs[span]), state)
        logits = decoder(hidden)
        loss = functional.cross_entropy(logits.view(-1, shape.vocabulary), ids[span].reshape(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        losses.append(loss.item())
    counted = len(times) - 1 - WARM_UP
    return {
        "tokens_per_second": counted * shape.batch * shape.bptt / (times[-1] - times[WARM_UP]),
        "losses": losses,
    }


def measure(side: str, shape: str, steps: int) -> dict[str, Any]:
    """One side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.recurrent_training", "--side", side]
    done = subprocess.run(
        [*command, "--shape", shape, "--steps", str(steps)],
        check=True,
        capture_output=True,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--shape", choices=list(SHAPES), action="append")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", choices=["ours", "plain"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = arguments.shape or list(SHAPES)
    if arguments.side:
        side = {"ours": ours, "plain": plain}[arguments.side]
        print(json.dumps(side(SHAPES[names[0]], arguments.steps)))
        return
    results = {name: compare(name, arguments.repeats, arguments.steps) for name in names}
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


def compare(name: str, repeats: int, steps: int) -> dict[str, Any]:
    """Both sides in turn on one shape, printed and returned."""
    speeds: dict[str, list[float]] = {"ours": [], "plain": []}
    difference = 0.0
    for repeat in range(repeats):
        results = {side: measure(side, name, steps) for side in speeds}
        for side, result in results.items():
            speeds[side].append(result["tokens_per_second"])
        pairs = zip(results["ours"]["losses"], results["plain"]["losses"], strict=True)
        difference = max(difference, *(abs(a - b) for a, b in pairs))
        print(
            f"repeat {repeat + 1}: "
            + "   ".join(f"{side} {values[-1]:,.0f} tokens/s" for side, values in speeds.items()),
            file=sys.stderr,
        )
    medians = {side: statistics.median(values) for side, values in speeds.items()}
    print(SHAPES[name])
    for side, values in speeds.items():
        spread = (max(values) - min(values)) / medians[side]
        print(f"  {side:<6} {medians[side]:>8,.0f} tokens/s   spread {spread:.1%}")
    print(f"  ratio  {medians['ours'] / medians['plain']:.2f}")
    print(f"  largest difference of the losses over {steps} steps: {difference:.1e}")
    return {"speeds": speeds, "medians": medians, "difference": difference}


if __name__ == "__main__":
    main()
