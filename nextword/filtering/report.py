"""What `filter` returns and writes: the summary, and the histogram of the scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import plot
from ..numerals import fixed, json_text
from .settings import Settings
from .statistics import Statistics, middle_of

_AXES = {
    "perplexity": "perplexity per token",
    "word_perplexity": "perplexity per word",
    "bits_per_byte": "bits per byte",
}
_BARS = 100  # the most bars of the histogram


@dataclass(frozen=True)
class FilterReport:
    """The summary of a filter; `as_dict` is what `summary.json` holds."""

    run: str  # the name of the run
    signature: str  # tokenizer, context, options: scores compare if these agree
    settings: dict[str, Any]
    inputs: list[dict[str, Any]]  # of each file: path, format, compression, documents, skipped
    files: list[str]  # that were written, in the folder
    documents: int  # that were scored
    kept: int
    dropped: int
    skipped: int  # records that are no documents
    errors: list[dict[str, Any]]  # of the first of them: path, number, what is wrong
    thresholds: list[float]  # the figures at which the buckets are divided
    learnt_from: dict[str, Any] | None  # what the thresholds come from, and how many documents
    buckets: dict[str, int]  # the number of documents in each
    perplexity: float | None  # of all documents together; None = there are none, or it is infinite
    word_perplexity: float | None
    bits_per_byte: float | None
    tokens: int
    words: int
    bytes: int
    oov: int
    quantiles: dict[str, dict[str, float]]  # of each figure, known to 0.3 %
    begun: dict[str, Any]  # by which `--resume` recognises the model and the files

    def as_dict(self) -> dict[str, Any]:
        """Return all by name, for programs."""
        return asdict(self)

    def as_json(self) -> str:
        """The contents of `summary.json`."""
        return json_text(self.as_dict(), indent=1)

    def lines(self) -> list[tuple[str, str]]:
        """Return the summary formatted for people: (name, value)."""
        by = self.settings["by"]
        quantiles = self.quantiles[by]
        found = [
            ("documents", f"{self.documents:,}"),
            ("kept", f"{self.kept:,}"),
            *([("dropped", f"{self.dropped:,}")] if self.dropped else []),
            *(
                [("skipped", f"{self.skipped:,} records that are no documents")]
                * bool(self.skipped)
            ),
        ]
        below = [f"below {fixed(cut, 3)}" for cut in self.thresholds] + ["the rest"]
        for (name, count), where in zip(self.buckets.items(), below, strict=False):
            found.append((name, f"{count:,}  {_AXES[by]} {where}"))
        found.append((_AXES[by], f"{fixed(getattr(self, by), 3)} of all documents together"))
        if quantiles:
            shown = "  ".join(f"{float(q):.0%}: {fixed(v)}" for q, v in quantiles.items())
            found.append(("quantiles", shown))
        return [*found, ("signature", self.signature)]


def report(
    settings: Settings,
    statistics: Statistics,
    thresholds: Sequence[float],
    **known: Any,
) -> FilterReport:
    """Make the summary; `known` are the other fields of it."""
    overall = statistics.overall()
    some = statistics.documents > 0
    names = settings.bucket_names()
    return FilterReport(
        settings=settings.as_dict(),
        documents=statistics.documents,
        kept=statistics.groups["kept"],
        dropped=statistics.groups["dropped"],
        thresholds=list(thresholds),
        buckets={name: statistics.groups[name] for name in names},
        perplexity=overall.perplexity if some else None,
        word_perplexity=overall.word_perplexity if some else None,
        bits_per_byte=overall.bits_per_byte if some else None,
        tokens=overall.tokens,
        words=overall.words,
        bytes=overall.bytes,
        oov=overall.oov,
        quantiles={name: statistics.quantiles(name) for name in statistics.bins},
        **known,
    )


def draw(path: Path, settings: Settings, statistics: Statistics, cuts: Sequence[float]) -> None:
    """Draw how many documents have which score, with a line at each of the `cuts`."""
    bins = statistics.bins[settings.by]
    first, last = min(bins, default=0), max(bins, default=0)
    width = -(-(last - first + 1) // _BARS)
    bars = [0] * ((last - first) // width + 1)
    for number, count in bins.items():
        bars[(number - first) // width] += count
    edges = [middle_of(first + at * width, 0) for at in range(len(bars) + 1)]
    with plot.figure(path) as (ax,):
        ax.stairs(bars, edges, fill=True)
        ax.set_xscale("log")
        for cut in cuts:
            if edges[0] <= cut <= edges[-1]:
                ax.axvline(cut, color=plot.COLOURS[1])
        ax.set_xlabel(_AXES[settings.by])
        ax.set_ylabel("documents")
        names = settings.bucket_names()
        if names and cuts:
            shares = [statistics.groups[name] / max(1, statistics.documents) for name in names]
            parts = [f"{name} {share:.0%}" for name, share in zip(names, shares, strict=True)]
            ax.set_title(" | ".join(parts))
        else:
            ax.set_title(f"{statistics.documents:,} documents")
