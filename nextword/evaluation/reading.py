"""The options of reading a text while it is scored."""

from __future__ import annotations

from dataclasses import dataclass

from .. import bounds
from ..errors import InputError
from .cache import Cache
from .dynamic import Dynamic


@dataclass(frozen=True)
class Reading:
    """How a text is read while it is scored; see `nextword.evaluate`."""

    dynamic: Dynamic | None = None
    cache: Cache | None = None
    mc_dropout: int = 0  # passes with dropout; 0 = no dropout
    stripes: int = 1  # parts that are read in parallel
    warmup: int = 256  # tokens that each stripe reads before its own

    def __post_init__(self) -> None:
        """Raise InputError if a number is out of its range."""
        check_numbers(self.mc_dropout, self.stripes, self.warmup)

    def check(self) -> None:
        """Raise InputError if options exclude each other."""
        one_stream = [("dynamic evaluation", self.dynamic), ("a cache", self.cache)]
        for what, wanted in one_stream:
            if wanted and self.stripes > 1:
                raise InputError(f"{what} reads one stream; leave --stripes out")
            if wanted and self.mc_dropout:
                raise InputError(f"{what} cannot be averaged over passes; leave --mc-dropout out")

    @property
    def ways(self) -> list[str]:
        """The parts of an evaluation's signature that describe these options."""
        parts = [
            f"dynamic:{self.dynamic.signature}" if self.dynamic else "",
            f"cache:{self.cache.signature}" if self.cache else "",
            f"mc-dropout:{self.mc_dropout}" if self.mc_dropout else "",
        ]
        return [part for part in parts if part]


def check_numbers(mc_dropout: int, stripes: int, warmup: int) -> None:
    """Raise InputError if one of these numbers is out of its range; see `Reading`."""
    bounds.check("mc_dropout", mc_dropout, 0, bounds.SAMPLES)
    bounds.check("stripes", stripes, 1, bounds.SAMPLES)
    bounds.check("warmup", warmup, 0, bounds.COUNT)
