"""How a text is read while it is scored."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError
from .cache import Cache
from .dynamic import Dynamic


@dataclass(frozen=True)
class Reading:
    """How a text is read."""

    dynamic: Dynamic | None = None
    cache: Cache | None = None
    mc_dropout: int = 0  # passes
    stripes: int = 1
    warmup: int = 256

    def check(self) -> None:
        """Raise InputError where two ways exclude each other."""
        if self.mc_dropout < 0:
            raise InputError(f"mc_dropout = {self.mc_dropout}: give the number of passes")
        one_stream = [("dynamic evaluation", self.dynamic), ("a cache", self.cache)]
        for what, wanted in one_stream:
            if wanted and self.stripes > 1:
                raise InputError(f"{what} reads one stream; leave --stripes out")
            if wanted and self.mc_dropout:
                raise InputError(f"{what} follows one network, not many; leave --mc-dropout out")

    @property
    def ways(self) -> list[str]:
        """Its parts of a signature."""
        parts = [
            f"dynamic:{self.dynamic.signature}" if self.dynamic else "",
            f"cache:{self.cache.signature}" if self.cache else "",
            f"mc-dropout:{self.mc_dropout}" if self.mc_dropout else "",
        ]
        return [part for part in parts if part]
