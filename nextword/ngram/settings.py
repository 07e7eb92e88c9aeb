"""What an n-gram model is made like: the settings of an estimation."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from .. import registry
from ..config import Part
from ..errors import InputError
from .trie import HIGHEST_ORDER


class NgramSettings(Part):
    """The settings of an n-gram model; `models.ngram.NgramConfig` is these and makes the model.

    Raises:
        ValueError: a smoothing that nobody knows, or prune thresholds that make no sense.
    """

    name: Literal["ngram"] = "ngram"

    order: int = Field(
        5, ge=1, le=HIGHEST_ORDER, description="words of an n-gram, the predicted one too"
    )
    smoothing: str = Field(
        "modified-kneser-ney",
        description="maximum-likelihood, add-k, jelinek-mercer, witten-bell, "
        "absolute-discounting, kneser-ney or modified-kneser-ney",
    )
    interpolate: bool = Field(
        True, description="seen n-grams too are mixed with the lower order; false = back off only"
    )
    add_k: float = Field(1.0, gt=0, description="k of add-k")
    open: bool = Field(
        True, description="<unk> has a share of the probability even if it was never seen"
    )
    prune: tuple[int, ...] = Field(
        (), description='"0 0 1": leave trigrams and longer out that came once'
    )
    prune_entropy: float = Field(
        0.0, ge=0, lt=1, description="leave n-grams out that matter less (relative perplexity)"
    )

    @field_validator("smoothing")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            registry.check("smoothing", value)
        except InputError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("prune", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        if value is None or value == "":
            return ()
        if isinstance(value, int):
            value = str(value)
        if isinstance(value, str):
            parts = value.replace(",", " ").split()
            if not all(part.isdigit() for part in parts):
                raise ValueError('give a number per order, for example "0 0 1"')
            return tuple(int(part) for part in parts)
        return value

    @model_validator(mode="after")
    def _sensible_pruning(self) -> Self:
        prune = self.prune
        if prune and (prune[0] != 0 or list(prune) != sorted(prune)):
            raise ValueError(
                'prune: begins with 0 and never falls, for example "0 0 1" (rare words are left '
                "out with text.min_count)"
            )
        if len(prune) > self.order:
            raise ValueError(f"prune has {len(prune)} numbers for order {self.order}")
        return self

    def without_pruning(self) -> Self:
        """The same settings, keeping all n-grams."""
        return self.model_copy(update={"prune": (), "prune_entropy": 0.0})
