"""What is kept of a training: metrics.jsonl, TensorBoard, the curve, and what the screen shows."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from .. import plot
from ..errors import InputError
from ..evaluation.perplexity import safe_exp
from ..run import METRICS, PLOTS
from ..types import Term


class Journal:
    """Adds up terms between two records, writes the records, and draws the progress bar.

    Everything shown goes to standard error. Without a terminal the bar is left out and each
    validation is one line; `quiet` shows nothing.
    """

    def __init__(self, folder: Path, tensorboard: bool, quiet: bool, keep: int | None) -> None:
        """`keep`: how many bytes of an earlier metrics.jsonl to go on from (None: begin anew)."""
        self.path = folder / METRICS
        if keep is not None and self.path.exists():
            os.truncate(self.path, min(keep, self.path.stat().st_size))
        self.file = self.path.open("ab" if keep is not None else "wb")
        self.board = _board(folder) if tensorboard else None
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.totals: dict[str, list[float]] = {}
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %  {task.fields[status]}"),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
        )
        self.task = self.bar.add_task("training", total=1.0, status="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()
        self.file.close()
        if self.board:
            self.board.close()

    @property
    def size(self) -> int:
        """Bytes of metrics.jsonl so far."""
        return self.file.tell()

    def add(self, terms: dict[str, Term]) -> None:
        """Count a batch's terms towards the next record."""
        for name, term in terms.items():
            total = self.totals.setdefault(name, [0.0, 0])
            total[0] += float(term.total.detach())
            total[1] += term.count

    def means(self) -> dict[str, float]:
        """Means of all terms since the last call."""
        means = {name: total / count for name, (total, count) in self.totals.items() if count}
        self.totals = {}
        if "nll" in means:
            means["perplexity"] = safe_exp(means["nll"])
        return means

    def record(self, **values: Any) -> None:
        """One line of metrics.jsonl, and the same to TensorBoard."""
        self.file.write(json.dumps(values).encode() + b"\n")
        self.file.flush()
        if self.board:
            for name, value in values.items():
                if name != "step" and isinstance(value, (int, float)):
                    self.board.add_scalar(name, value, values["step"])

    def show(self, epoch: int, fraction: float, status: str) -> None:
        """Move the bar."""
        self.bar.update(self.task, description=f"epoch {epoch}", completed=fraction, status=status)

    def say(self, message: str) -> None:
        """A line above the bar."""
        self.console.print(message, markup=False, soft_wrap=True)


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "train.tensorboard=true needs one more package: pip install 'nextword[tensorboard]'"
        ) from None
    return SummaryWriter(str(folder / "tensorboard"))


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The records of a run; a last line cut off by a crash is left out."""
    records = []
    for line in (folder / METRICS).read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def draw_curve(folder: Path) -> None:
    """plots/training.png: perplexity over the steps (loss, of classifiers and taggers), of training
    and validation; beside it, where there is one, what else the training is after."""
    records = read_metrics(folder)
    known = {name for record in records for name in record}
    main = "nll" if "valid_loss" in known else "perplexity"
    others = ("next_accuracy", "bleu", "f1")
    panels = [main, *[name for name in others if f"valid_{name}" in known][:1]]
    if not known & {main, f"valid_{main}"}:
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
            ax.set(xlabel="step", ylabel=_CALLED.get(name, name), yscale=scale)
            ax.legend(frameon=False)
        axes[0].set_title(folder.resolve().name)


_CALLED = {
    "nll": "loss",
    "next_accuracy": "next-sentence accuracy",
    "bleu": "BLEU",
    "f1": "F1",
}
