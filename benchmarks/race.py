"""The common part of the benchmarks that compare our training loop with a hand-written one.

Ours is `fit`, timed over a whole pass. The other side reads the same batches in the same order and
begins with the same weights. Each side runs in a process of its own; they take turns, one pass at a
time. As a check, both run a pass without dropout: the losses must agree step by step.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from .sides import Side, in_turn, machine, median, relative_range, serve

_FIRST = 3  # steps at the beginning that are slow and are not counted


@dataclass
class Watch:
    """Records the times, losses and sizes of the steps of a pass."""

    times: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    def begin(self, tokens: int) -> None:
        """Record that a step with so many tokens begins."""
        self.times.append(time.perf_counter())
        self.tokens.append(tokens)

    def result(self) -> dict[str, Any]:
        """The seconds per token, and all losses."""
        took = self.times[-1] - self.times[_FIRST]
        return {"seconds": took / sum(self.tokens[_FIRST:-1]), "losses": self.losses}


def working(config: Any, model: Any, corpus: Any, folder: str = ".") -> Any:
    """A training on ids that are in memory."""
    import torch

    from nextword.text.char import CharTokenizer
    from nextword.training.loop.training import Training

    unread = CharTokenizer(["<unk>", "<eos>"], lower=False)
    device, began = torch.device("cpu"), time.perf_counter()
    return Training(Path(folder), config, model, corpus, None, device, began, unread)


def fit(config: Any, model: Any, corpus: Any) -> dict[str, Any]:
    """Run `nextword.training.loop.loop.fit` for one pass; returns times and losses."""
    from nextword.training.loop import loop
    from nextword.training.loop.step import backward

    watch = Watch()

    def timed(training: Any, batch: Any, state: Any) -> Any:
        watch.begin(batch.tokens)
        answer = backward(training, batch, state)
        watch.losses.append(float(answer[1]))
        return answer

    with tempfile.TemporaryDirectory() as folder, patch.object(loop, "backward", timed):
        loop.fit(working(config, model, corpus, folder), quiet=True)
    return watch.result()


@dataclass(frozen=True)
class Race:
    """A comparison. `sides` names the sides: "ours", then the one that the others are compared
    with, then others."""

    module: str
    doc: str | None
    sides: tuple[str, ...]
    shapes: dict[str, Any]  # name → dataclass of plain values
    dropout: float
    unit: str
    answer: Callable[..., dict[str, Any]]  # side, shape, dropout → seconds and losses

    def main(self) -> None:
        """Read the command line, run everything, print it."""
        parser = argparse.ArgumentParser(description=self.doc.split("\n")[0] if self.doc else None)
        parser.add_argument("--repeats", type=int, default=7)
        parser.add_argument(
            "--shape", nargs="+", choices=list(self.shapes), default=list(self.shapes)
        )
        parser.add_argument("--json", type=Path)
        parser.add_argument("--side", help=argparse.SUPPRESS)
        options = parser.parse_args()
        if options.side:
            serve(lambda shape, dropout: self.answer(options.side, self.shapes[shape], dropout))
            return
        print(machine())
        results = {name: self.compare(name, options.repeats) for name in options.shape}
        if options.json:
            options.json.write_text(json.dumps(results, indent=1))

    def compare(self, shape: str, repeats: int) -> dict[str, Any]:
        """Run all sides in turn on one shape; print and return the figures."""
        sides = {name: Side(self.module, name) for name in self.sides}
        first, peer = self.sides[:2]
        losses = {s: sides[s].ask(shape=shape, dropout=0.0)["losses"] for s in (first, peer)}
        apart = max(abs(a - b) for a, b in zip(losses[first], losses[peer], strict=True))
        answers = in_turn(sides, repeats, shape=shape, dropout=self.dropout)
        for side in sides.values():
            side.close()
        print(f"\n{self.shapes[shape]}")
        base = median(answers[peer])
        for name in self.sides:
            took = median(answers[name])
            print(
                f"  {name:<14}{1 / took:>8,.0f} {self.unit}/s   {base / took:.2f} of {peer}   "
                f"spread {relative_range(answers[name]):.0%}"
            )
        steps = len(losses[first])
        begun = abs(losses[first][0] - losses[peer][0])
        print(
            f"  losses without dropout differ by {begun:.1e} in the first step, by at most "
            f"{apart:.1e} in {steps}"
        )
        return {"shape": asdict(self.shapes[shape]), "answers": answers, "difference": apart}
