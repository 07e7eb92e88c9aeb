"""Learning-rate schedules: pure functions of the progress of a training.

Each is called with `step`, the number of the step from 0; `fraction`, the part of the budget
(steps, or minutes if `train.minutes` is set) that is used, from 0 to 1; and `history`, the results
of the validations so far, of which smaller is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, field_validator

from .. import bounds
from ..config import Part, Share, Use


class Rates(NamedTuple):
    """What a schedule returns."""

    lr: float  # factor that optimizer.lr is multiplied by
    momentum: float | None = None  # momentum or β₁; None = the setting of the optimizer


class Constant(Part):
    """A constant learning rate, after an optional linear warm-up."""

    name: Literal["constant"] = "constant"
    warmup: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the training in which the factor rises from 0 to 1",
    )

    def __call__(self, step: int, fraction: float, history: Sequence[float]) -> Rates:
        return Rates(min(1.0, fraction / self.warmup) if self.warmup else 1.0)


class Cosine(Part):
    """A linear warm-up, then half a cosine down to `final` (Loshchilov and Hutter 2017)."""

    name: Literal["cosine"] = "cosine"
    warmup: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="share of the training in which the factor rises from 0 to 1",
    )
    final: float = Field(
        0.0, ge=0, le=1, description="factor of the learning rate at the end of the training"
    )

    def __call__(self, step: int, fraction: float, history: Sequence[float]) -> Rates:
        if fraction < self.warmup:
            return Rates(min(1.0, max(fraction, 1e-3) / self.warmup))
        done = (fraction - self.warmup) / (1 - self.warmup)
        return Rates(_anneal(1.0, self.final, done))


class OneCycle(Part):
    """The one-cycle policy (Smith 2018, arXiv:1803.09820), in the cosine form of fast.ai.

    The learning rate rises and falls again; momentum falls and rises.
    """

    name: Literal["one-cycle"] = "one-cycle"
    warmup: float = Field(
        0.25,
        gt=0,
        lt=1,
        description="share of the training in which the learning rate rises",
    )
    start: float = Field(
        0.04, gt=0, le=1, description="factor of the learning rate at the first step"
    )
    final: float = Field(
        1e-4, ge=0, le=1, description="factor of the learning rate at the last step"
    )
    momentum: tuple[Share, Share] | None = Field(
        None,
        description="high and low: momentum (or β₁) falls from high to low while the "
        "learning rate rises, and rises again; none = it stays as the optimizer has it",
    )

    def unused(self, key: str, use: Use) -> str | None:
        fields = type(use.config.optimizer).model_fields
        if key == "momentum" and not {"momentum", "betas"} & fields.keys():
            return "optimizers with a momentum or β₁"
        return super().unused(key, use)

    def __call__(self, step: int, fraction: float, history: Sequence[float]) -> Rates:
        high, low = self.momentum or (0.0, 0.0)
        if fraction < self.warmup:
            done = fraction / self.warmup
            lr, momentum = _anneal(self.start, 1.0, done), _anneal(high, low, done)
        else:
            done = (fraction - self.warmup) / (1 - self.warmup)
            lr, momentum = _anneal(1.0, self.final, done), _anneal(low, high, done)
        return Rates(lr, momentum if self.momentum else None)


class Plateau(Part):
    """Multiply the rate by `factor` after `patience` validations without improvement."""

    name: Literal["plateau"] = "plateau"
    factor: float = Field(
        0.25, gt=0, lt=1, description="what the learning rate is multiplied by each time"
    )
    patience: int = Field(
        1,
        ge=1,
        le=bounds.COUNT,
        description="validations without a better one before the learning rate falls",
    )
    smallest: float = Field(
        1e-4,
        ge=0,
        le=1,
        description="the learning rate never falls below this share of optimizer.lr",
    )

    def __call__(self, step: int, fraction: float, history: Sequence[float]) -> Rates:
        factor, best, without_improvement = 1.0, math.inf, 0
        for loss in history:
            if loss < best:
                best, without_improvement = loss, 0
            else:
                without_improvement += 1
            if without_improvement >= self.patience:
                factor, without_improvement = factor * self.factor, 0
        return Rates(max(self.smallest, factor))


class Milestones(Part):
    """Multiply the rate by `factor` at each of some points of the training."""

    name: Literal["milestones"] = "milestones"
    at: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.6, 0.8],
        min_length=1,
        description="when the learning rate falls, as shares of the training",
    )
    factor: float = Field(
        0.1, gt=0, lt=1, description="what the learning rate is multiplied by each time"
    )

    @field_validator("at")
    @classmethod
    def _shares(cls, at: list[float]) -> list[float]:
        if not all(0 < share < 1 for share in at):
            raise ValueError("at: give shares between 0 and 1, for example [0.6, 0.8]")
        return at

    def __call__(self, step: int, fraction: float, history: Sequence[float]) -> Rates:
        return Rates(self.factor ** sum(fraction >= share for share in self.at))


class SlantedTriangles(Part):
    """A short linear rise and a long linear fall (Howard and Ruder 2018, arXiv:1801.06146, section
    3.2, equation 3)."""

    name: Literal["slanted-triangles"] = "slanted-triangles"
    cut: float = Field(
        0.1, gt=0, lt=1, description="share of the training in which the learning rate rises"
    )
    ratio: float = Field(
        32.0,
        gt=1,
        le=bounds.NUMBER,
        description="the highest learning rate divided by the smallest",
    )

    def __call__(self, step: int, fraction: float, history: Sequence[float]) -> Rates:
        if fraction < self.cut:
            height = fraction / self.cut
        else:
            height = 1 - (min(1.0, fraction) - self.cut) / (1 - self.cut)
        return Rates((1 + height * (self.ratio - 1)) / self.ratio)


class InverseSquareRoot(Part):
    """A linear warm-up, then a fall with 1/√step (Vaswani et al. 2017, section 5.3).

    It is scaled so that the factor is 1 at its highest.
    """

    name: Literal["inverse-sqrt"] = "inverse-sqrt"
    warmup_steps: int = Field(
        4000,
        ge=1,
        le=bounds.COUNT,
        description="steps in which the learning rate rises to its highest",
    )

    def __call__(self, step: int, fraction: float, history: Sequence[float]) -> Rates:
        at = max(1, step + 1) / self.warmup_steps
        return Rates(min(at, at**-0.5))


def _anneal(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, done))) / 2
