"""The settings of how translations are found."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from .. import bounds
from ..config import Section
from .sampling import Sampling

#: Settings of `Decoding` that are for beam search, not for drawing at random.
_SEARCHING = {"beam", "alpha", "n_best", "prefix", "no_repeat", "replace_unk"}


class Decoding(Section):
    """How a translation is found: by beam search, or with `sample` by drawing token by token."""

    beam: int = Field(4, ge=1, le=bounds.BEAM, description="1 = greedy")
    alpha: float = Field(0.6, ge=0, le=bounds.ALPHA, description="length penalty; 0 = none")
    n_best: int = Field(1, ge=1, le=bounds.BEAM)
    sample: Sampling | None = None
    seed: int | None = Field(None, ge=0, le=bounds.SEED)
    ratio: float = Field(
        3.0, ge=0, le=bounds.NUMBER, description="most tokens per source token, ..."
    )
    extra: int = Field(50, ge=1, le=bounds.COUNT, description="... plus this number")
    attention: bool = Field(False, description="also return the attention weights of the best")
    prefix: str = Field("", description="the text that every translation begins with")
    no_repeat: int = Field(
        0, ge=0, le=bounds.COUNT, description="length of n-grams that occur once; 0 = any"
    )
    replace_unk: bool = Field(
        False, description="the most attended source word takes the place of <unk>"
    )

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.sample and (useless := self.model_fields_set & _SEARCHING):
            raise ValueError(
                f"{min(useless)} is for beam search; drawing at random has no use of it"
            )
        if self.seed is not None and not self.sample:
            raise ValueError(
                f"seed = {self.seed} is for drawing at random (sample), not for searching"
            )
        if self.n_best > self.beam:
            raise ValueError(f"n_best = {self.n_best} needs a beam at least as wide")
        return self
