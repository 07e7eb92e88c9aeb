"""The record of a training: metrics.jsonl, TensorBoard, the learning curve, the progress bar."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ... import plot
from ...errors import InputError
from ...evaluation.figures import safe_exp
from ...numerals import fixed, json_text, percent
from ...parsing import parse_json
from ...run import METRICS, PLOTS
from ...screen import TrainingBar, clock
from ...types import Term
from .budget import Budget
from .standing import Standing

_RECORD_SECONDS = 2.0  # longest time between two updates of the bar
_SHOWN: dict[str, Callable[[float], str]] = {  # the means that the bar shows
    "nll": lambda mean: f"loss {fixed(mean, 3)}",
    "perplexity": lambda mean: f"perplexity {fixed(mean, 1)}",
    "accuracy": lambda mean: f"accuracy {percent(mean)}",
    "next_accuracy": lambda mean: f"next sentence {percent(mean)}",
}


class Journal:
    """Adds up terms between two records, writes the records, and moves the progress bar."""

    def __init__(
        self, folder: Path, at: Standing, tensorboard: bool, *, quiet: bool, resume: bool
    ) -> None:
        """`resume`: append to the existing metrics.jsonl, cut to the length that `at` gives."""
        self.path = folder / METRICS
        if resume and self.path.exists():
            os.truncate(self.path, min(at.metrics_bytes, self.path.stat().st_size))
        self.file = self.path.open("ab" if resume else "wb")
        self.board = _board(folder) if tensorboard else None
        self.totals: dict[str, list[float]] = {}
        self.bar = TrainingBar(quiet)
        self.layers_told = False
        self.lr = 0.0  # of the last step
        self.recorded_at, self.recorded_tokens = time.perf_counter(), at.tokens

    def __enter__(self) -> Self:
        self.bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.__exit__(kind, error, trace)
        self.file.close()
        if self.board:
            self.board.close()

    @property
    def size(self) -> int:
        """The length of metrics.jsonl in bytes."""
        return self.file.tell()

    def add(self, terms: dict[str, Term], lr: float, layers: dict[str, str]) -> None:
        """Count a batch's terms towards the next record.

        Args:
            lr: the learning rate of the step.
            layers: the backend that computes each recurrent layer; printed once.
        """
        self.lr = lr
        for name, term in terms.items():
            total = self.totals.setdefault(name, [0.0, 0])
            total[0] += float(term.total.detach())
            total[1] += term.count
        if layers and not self.layers_told:
            self.layers_told = True
            for how in dict.fromkeys(layers.values()):
                alike = [layer for layer in layers if layers[layer] == how]
                self.say(f"{', '.join(alike)}: {how}")

    def means(self) -> dict[str, float]:
        """Return the mean of each term since the last call."""
        means = {name: total / count for name, (total, count) in self.totals.items() if count}
        self.totals = {}
        if "nll" in means:
            means["perplexity"] = safe_exp(means["nll"])
        return means

    def record(self, **values: Any) -> None:
        """Write one line of metrics.jsonl, and the same values to TensorBoard if wanted."""
        self.file.write(json_text(values).encode() + b"\n")
        self.file.flush()
        if self.board:
            for name, value in values.items():
                if name != "step" and isinstance(value, (int, float)):
                    self.board.add_scalar(name, value, values["step"])

    def record_progress(self, at: Standing, budget: Budget, norm: float, *, always: bool) -> None:
        """Record the means since the last record and move the bar.

        Without `always` it does so only if the last record is two seconds old.
        """
        now = time.perf_counter()
        if now - self.recorded_at <= _RECORD_SECONDS and not always:
            return
        speed = (at.tokens - self.recorded_tokens) / (now - self.recorded_at)
        self.recorded_at, self.recorded_tokens = now, at.tokens
        means = self.means()
        self.record(
            step=at.step,
            epoch=at.epoch,
            tokens=at.tokens,
            lr=self.lr,
            grad_norm=norm,
            tokens_per_second=speed,
            seconds=budget.elapsed,
            **means,
        )
        figures = "  ".join(shown(means[name]) for name, shown in _SHOWN.items() if name in means)
        self.bar.show(
            f"epoch {at.epoch + 1}  step {at.step:,}",
            budget.used(at),
            f"{figures}  {speed:,.0f} tokens/s  {clock(budget.left(at))} left",
        )

    def say(self, message: str) -> None:
        """Show a message above the bar."""
        self.bar.say(message)


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "train.tensorboard=true needs one more package: pip install 'nextword[tensorboard]'"
        ) from None
    return SummaryWriter(str(folder / "tensorboard"))


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Read the records of a run, with their numbers alone.

    A line that is no record (a crash cut it off, or the file is damaged) is left out.
    """
    records = []
    for line in (folder / METRICS).read_bytes().splitlines():
        try:
            record = parse_json(line)
        except ValueError:
            continue
        if isinstance(record, dict) and _is_number(record.get("step")):
            records.append({name: value for name, value in record.items() if _is_number(value)})
    return records


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) < 1e300


def draw_curve(folder: Path) -> None:
    """Draw the learning curve into plots/training.png.

    It shows perplexity (classifiers and taggers: loss) by step, for training and validation. A
    second panel shows next-sentence accuracy, BLEU or F1 where it was measured.
    """
    records = read_metrics(folder)
    known = dict.fromkeys(name for record in records for name in record)  # in their order
    main = "nll" if "valid_loss" in known else "perplexity"
    validated = [name.removeprefix("valid_") for name in known if name.startswith("valid_")]
    panels = [main, *[name for name in validated if name not in _USUAL][:1]]
    if not known.keys() & {main, f"valid_{main}"}:
        return
    (folder / PLOTS).mkdir(exist_ok=True)
    with plot.figure(folder / PLOTS / "training.png", columns=len(panels)) as axes:
        for ax, name in zip(axes, panels, strict=True):
            train = [(r["step"], r[name]) for r in records if name in r]
            valid = [(r["step"], r[f"valid_{name}"]) for r in records if f"valid_{name}" in r]
            if train:
                ax.plot(*zip(*train, strict=True), label="training", alpha=0.7, lw=1)
            if valid:
                ax.plot(*zip(*valid, strict=True), "o-", label="validation", ms=4)
            scale = "log" if name == "perplexity" else "linear"
            ax.set(xlabel="step", ylabel=_AXES.get(name, name), yscale=scale)
            ax.legend(frameon=False)
        axes[0].set_title(folder.resolve().name)


_USUAL = ("nll", "loss", "perplexity", "accuracy")  # figures that get no panel beside the loss
_AXES = {  # labels of the axes of the learning curve
    "nll": "loss",
    "next_accuracy": "next-sentence accuracy",
    "bleu": "BLEU",
    "f1": "F1",
}
