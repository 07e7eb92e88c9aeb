"""The work on one block of a file: parse the records, score them, decide, write them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..evaluation.documents import DocumentScores
from ..run import Run
from ..tasks import task_of
from ..text.document_formats import format_of
from ..text.documents import Columns, Documents, compress
from .settings import DROPPED, Settings
from .statistics import Statistics

Array = np.ndarray[Any, Any]


class Done(NamedTuple):
    """What has become of a block."""

    written: dict[str, bytes]  # stream → what is appended to its file
    statistics: Statistics
    records: int  # lines or rows, broken and blank ones included
    errors: list[tuple[int, str]]  # (number of a record in the block; what is wrong with it)


@dataclass(frozen=True)
class Work:
    """Scores the documents of blocks and decides what becomes of them.

    Attributes:
        run: the model.
        settings: what to do.
        thresholds: the figures at which the buckets are divided.
        threads: the most threads that score; None = one per core.
    """

    run: Run
    settings: Settings
    thresholds: tuple[float, ...] = ()
    threads: int | None = None

    def scores(self, texts: list[str]) -> DocumentScores:
        """Score texts."""
        return task_of(self.run.config).score_documents(self.run, texts, self.threads)

    def values(self, documents: Documents, data: bytes) -> Array:
        """The figures of the sound records of a block by which documents are judged."""
        texts = format_of(documents).parse(data, self.settings.field).texts
        return self.scores(texts).figures()[self.settings.by] if texts else np.zeros(0)

    def __call__(self, documents: Documents, data: bytes) -> Done:
        """Do all the work on a block of a file."""
        records = format_of(documents).parse(data, self.settings.field)
        if not records.texts:
            return Done({}, Statistics(), records.total, records.errors)
        scores = self.scores(records.texts)
        figures = scores.figures()
        streams, groups, names = self._decide(figures[self.settings.by])
        columns: Columns = {}
        for name in self.settings.columns():
            columns[name] = names if name == "bucket" else figures[name].tolist()
        kind = None if documents.format == "parquet" else documents.compression
        written = {
            stream: compress(records.write(chosen, columns), kind)
            for stream, chosen in streams.items()
            if chosen
        }
        statistics = Statistics.of(scores, figures, groups)
        return Done(written, statistics, records.total, records.errors)

    def _decide(self, values: Array) -> tuple[dict[str, list[int]], Counter[str], list[str]]:
        """Which documents go into which stream, how many are in each group, and the bucket of
        each."""
        settings = self.settings
        if settings.buckets:
            names = settings.bucket_names()
            places = np.searchsorted(self.thresholds, values, side="right")
            buckets = [names[place] for place in places.tolist()]
            counts = Counter(buckets)
            counts["kept"] = len(values)
            if not settings.split:
                return {"": list(range(len(values)))}, counts, buckets
            chosen = {name: np.flatnonzero(places == at).tolist() for at, name in enumerate(names)}
            return chosen, counts, buckets
        inside = np.ones(len(values), bool)
        if settings.minimum is not None:
            inside &= values >= settings.minimum
        if settings.maximum is not None:
            inside &= values <= settings.maximum
        kept = np.flatnonzero(inside).tolist()
        counts = Counter({"kept": len(kept), "dropped": len(values) - len(kept)})
        if not settings.dropped:
            return {"": kept}, counts, []
        return {"": kept, DROPPED: np.flatnonzero(~inside).tolist()}, counts, []


def output_name(documents: Documents, stream: str) -> Path:
    """Where the records of a file go, within the folder."""
    return Path(stream, documents.name)
