"""How far a filtering is, and how that is shown."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from ..screen import TrainingBar, clock
from ..text.documents import Block, Documents
from .statistics import Statistics
from .work import Done

_LISTED = 100  # errors in the summary


@dataclass
class Progress:
    """How far the work is."""

    file: int = 0  # number of the file that is read
    position: int = 0  # `Block.stop` in it
    read: int = 0  # bytes of it that have been read
    counts: list[dict[str, int]] = field(default_factory=list)  # of each file; see `add`
    errors: list[dict[str, Any]] = field(default_factory=list)
    statistics: Statistics = field(default_factory=Statistics)
    publishing: bool = False  # all is done but for putting the files in their places

    def as_dict(self) -> dict[str, Any]:
        """Return all as values for JSON."""
        return vars(self) | {"statistics": self.statistics.as_dict()}

    @classmethod
    def restore(cls, values: dict[str, Any]) -> Progress:
        """Make it again from what `as_dict` returned."""
        known = {name: values[name] for name in vars(cls())}
        return cls(**known | {"statistics": Statistics.restore(values["statistics"])})

    def add(self, documents: Documents, block: Block, done: Done) -> None:
        """Add a block of the file that is read."""
        counts = self.counts[self.file]
        for number, wrong in done.errors[: _LISTED - len(self.errors)]:
            at = counts["records"] + number + 1
            self.errors.append({"path": str(documents.path), "number": at, "wrong": wrong})
        counts["records"] += done.records
        counts["documents"] += done.statistics.documents
        counts["skipped"] += len(done.errors)
        self.statistics.add(done.statistics)
        self.position, self.read = block.stop, block.read


class Shown:
    """Shows how far the work is and how fast."""

    def __init__(self, bar: TrainingBar, inputs: list[Documents], progress: Progress) -> None:
        self.bar, self.progress = bar, progress
        self.sizes = [documents.size for documents in inputs]
        self.began = time.monotonic()
        self.documents, self.bytes = progress.statistics.documents, self._read()
        self(inputs[min(progress.file, len(inputs) - 1)])

    def _read(self) -> int:
        return sum(self.sizes[: self.progress.file]) + self.progress.read

    def __call__(self, documents: Documents) -> None:
        """Show it; `documents` is the file that is read."""
        seconds = max(1e-9, time.monotonic() - self.began)
        each = (self.progress.statistics.documents - self.documents) / seconds
        speed = (self._read() - self.bytes) / seconds
        total = sum(self.sizes)
        status = f"{each:,.0f} documents/s  {speed / 1e6:,.1f} MB/s"
        if total and speed and all(self.sizes):
            status += f"  {clock(max(0.0, (total - self._read()) / speed))} left"
        self.bar.show(documents.name, min(1.0, self._read() / max(1, total)), status)
