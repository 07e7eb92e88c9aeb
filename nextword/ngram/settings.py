"""The settings of an n-gram model and its estimation."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from .. import bounds, registry
from ..config import Part, Use
from ..errors import InputError


class NgramSettings(Part):
    """The settings of an n-gram model. `models.ngram.NgramConfig` adds how to make the model.

    Raises:
        ValueError: the smoothing method is unknown, or the pruning thresholds are not allowed.
    """

    name: Literal["ngram"] = "ngram"

    order: int = Field(
        5, ge=1, le=16, description="n: tokens of an n-gram, the predicted one included"
    )
    smoothing: str = Field(
        "modified-kneser-ney",
        description="how probability is moved from seen n-grams to unseen ones",
        json_schema_extra={"kind": "smoothing"},
    )
    interpolate: bool = Field(
        True,
        description="seen n-grams too are mixed with the lower order; false = the lower order is "
        "used for unseen n-grams only (back-off), as katz always does",
    )
    add_k: float = Field(
        1.0,
        gt=0,
        le=bounds.NUMBER,
        description="smoothing=add-k: k, what is added to every count; smoothing=dirichlet: the "
        "lower order weighs as much as k occurrences of every word",
    )
    open: bool = Field(
        True,
        description="<unk> has some probability even if it never occurred; false = unknown words "
        "have 10^-100",
    )
    prune: tuple[Annotated[int, Field(ge=0, le=bounds.COUNT)], ...] = Field(
        (),
        description="for each order, the largest count that is left out: '0 0 1' leaves out "
        "trigrams and longer n-grams that occur once",
    )
    prune_entropy: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="n-grams are left out that raise the perplexity by less than this share "
        "(Stolcke 1998); 0 = none",
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
            if not all(part.isdecimal() for part in parts):
                raise ValueError('give a number per order, for example "0 0 1"')
            return tuple(parts)
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

    def unused(self, key: str, use: Use) -> str | None:
        if key == "add_k" and self.smoothing not in ("add-k", "dirichlet"):
            return "model.smoothing=add-k or dirichlet"
        if key == "interpolate" and registry.load("smoothing", self.smoothing).backs_off:
            return "a smoothing that does not always back off"
        return super().unused(key, use)

    def without_pruning(self) -> Self:
        """The same settings without pruning."""
        return self.model_copy(update={"prune": (), "prune_entropy": 0.0})
