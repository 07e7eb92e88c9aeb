"""What is done to each document, and how documents are put into buckets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .. import bounds
from ..errors import InputError, shown
from ..evaluation.documents import FIGURES
from ..text.normalise import normaliser

_CCNET = {1: ("head", "tail"), 2: ("head", "middle", "tail")}  # number of cuts → names
DROPPED = "dropped"


@dataclass(frozen=True)
class Settings:
    """The options of `nextword.filter` on which the output depends."""

    field: str = "text"
    format: str | None = None
    by: str = "perplexity"
    minimum: float | None = None
    maximum: float | None = None
    buckets: tuple[float, ...] = ()  # percentiles at which documents are divided
    sample: int = 10_000
    reference: str | None = None
    split: bool = False
    dropped: bool = False
    plain: bool = False
    normalise: str = "none"

    @property
    def bounded(self) -> bool:
        """Whether documents are dropped."""
        return self.minimum is not None or self.maximum is not None

    def bucket_names(self) -> Sequence[str]:
        """The names of the buckets, best first; CCNet's (head, middle, tail) where they fit."""
        cuts = len(self.buckets)
        return _CCNET.get(cuts) or [str(number) for number in range(1, cuts + 2)] if cuts else ()

    def streams(self) -> Sequence[str]:
        """What the output is divided into; "" is the main one."""
        if self.split:
            return self.bucket_names()
        return ("", DROPPED) if self.dropped else ("",)

    def columns(self) -> Sequence[str]:
        """The names of the columns that are added."""
        if self.plain:
            return ()
        return (*FIGURES, "bucket") if self.buckets else FIGURES

    def check(self) -> None:
        """Raise InputError if a value is out of range, or an option would do nothing."""
        if self.by not in FIGURES:
            raise InputError(f"--by {shown(self.by)}: documents are judged by {', '.join(FIGURES)}")
        normaliser(self.normalise)
        low, high = self.minimum, self.maximum
        bounds.check("minimum", low, 0.0, bounds.NUMBER)
        bounds.check("maximum", high, 0.0, bounds.NUMBER)
        bounds.check("sample", self.sample, 1, bounds.COUNT)
        if low is not None and high is not None and low > high:
            raise InputError(f"--min {low:g} is above --max {high:g}: nothing would be kept")
        if any(not 0 < cut < 100 for cut in self.buckets) or any(
            a >= b for a, b in zip(self.buckets, self.buckets[1:], strict=False)
        ):
            raise InputError("--buckets are percentiles between 0 and 100, in rising order: 30,60")
        if self.buckets and self.bounded:
            raise InputError("--buckets and --min or --max exclude each other; use one of them")
        for option, used, needs, given in (
            ("--split", self.split, "--buckets", bool(self.buckets)),
            ("--reference", self.reference is not None, "--buckets", bool(self.buckets)),
            ("--dropped", self.dropped, "--min or --max", self.bounded),
        ):
            if used and not given:
                raise InputError(f"{option} needs {needs}")

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as values for JSON."""
        return asdict(self) | {"buckets": list(self.buckets)}
