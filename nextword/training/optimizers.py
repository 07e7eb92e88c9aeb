"""Optimizers by name: their settings, which build the optimizers of torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from .. import bounds
from ..config import Part, Share, Use

if TYPE_CHECKING:  # settings are read without torch
    from torch import nn, optim


_LR = "highest learning rate; the schedule multiplies it by a factor"
_DECAY = "how strongly weights are drawn to zero"
_MOMENTUM = "share of the last step that is added to the next"
_BETAS = "β₁ and β₂: what stays of the mean gradient and of the mean squared gradient"
_EPS = "ε: added to the denominator, against division by zero"


class OptimizerPart(Part):
    """The settings that all optimizers share."""

    lr: float = Field(gt=0, le=bounds.NUMBER, description=_LR)
    weight_decay: float = Field(0.0, ge=0, le=bounds.NUMBER, description=_DECAY)
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="classifiers and recurrent models: each layer's learning rate is this share of "
        "the rate of the layer above it; 1 = all alike",
    )
    unfreeze: int = Field(
        0,
        ge=0,
        le=bounds.COUNT,
        description="classifiers and recurrent models: epochs until the next layer below is "
        "trained too; 0 = all are trained from the start",
    )

    def unused(self, key: str, use: Use) -> str | None:
        if key in ("layer_decay", "unfreeze") and not use.config.model.trains_layers:
            return "models whose layers are trained"
        if key == "momentum" and use.config.schedule.model_dump().get("momentum"):
            return "schedules without a momentum of their own"
        return super().unused(key, use)

    def build(
        self, parameters: Iterable[nn.Parameter], groups: Sequence[list[nn.Parameter]] | None = None
    ) -> optim.Optimizer:
        """Build the optimizer of torch with these settings.

        Args:
            parameters: all parameters to train.
            groups: the same parameters in groups from the bottom layer up, for layers that learn at
                different rates or from different epochs on (discriminative fine-tuning and gradual
                unfreezing: Howard and Ruder 2018, arXiv:1801.06146, sections 3.2 and 3.3).
        """
        from torch import optim

        options: dict[str, Any] = self.model_dump(exclude={"name", "layer_decay", "unfreeze"})
        learning: Any = parameters
        if groups and (self.layer_decay < 1 or self.unfreeze):
            depths = range(len(groups) - 1, -1, -1)
            learning = [
                {"params": part, "depth": depth, "scale": self.layer_decay**depth}
                for part, depth in zip(groups, depths, strict=True)
            ]
        if self.fused:  # one pass over all parameters, on CPU and GPU
            options["fused"] = True
        optimizer: optim.Optimizer = getattr(optim, self.kind)(learning, **options)
        return optimizer

    def deepest(self, epoch: int) -> float:
        """Return the lowest group that learns in an epoch, counted from the top layer, 0."""
        return epoch // self.unfreeze if self.unfreeze else math.inf

    kind: ClassVar[str]  # the name of the class in torch.optim
    fused: ClassVar[bool] = False  # torch has a fused implementation


class SGD(OptimizerPart):
    """Gradient descent; with `momentum` (Polyak 1964) and its `nesterov` form (1983)."""

    name: Literal["sgd"] = "sgd"
    lr: float = Field(1.0, gt=0, le=bounds.NUMBER, description=_LR)
    momentum: float = Field(0.0, ge=0, lt=1, description=_MOMENTUM)
    nesterov: bool = Field(False, description="Nesterov's form of momentum")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=true needs a momentum, for example optimizer.momentum=0.9")
        return self

    kind: ClassVar[str] = "SGD"
    fused = True


class RMSProp(OptimizerPart):
    """RMSProp (Tieleman and Hinton 2012, lecture 6.5):
    s ← α s + (1 - α) g²,  w ← w - lr g / (√s + ε)."""

    name: Literal["rmsprop"] = "rmsprop"
    lr: float = Field(1e-3, gt=0, le=bounds.NUMBER, description=_LR)
    alpha: float = Field(
        0.9, gt=0, lt=1, description="α: what stays of the mean of squared gradients at each step"
    )
    eps: float = Field(1e-6, gt=0, le=bounds.NUMBER, description=_EPS)
    momentum: float = Field(0.0, ge=0, lt=1, description=_MOMENTUM)

    kind: ClassVar[str] = "RMSprop"


class AdaGrad(OptimizerPart):
    """AdaGrad (Duchi et al. 2011)."""

    name: Literal["adagrad"] = "adagrad"
    lr: float = Field(0.1, gt=0, le=bounds.NUMBER, description=_LR)
    eps: float = Field(1e-10, gt=0, le=bounds.NUMBER, description=_EPS)

    kind: ClassVar[str] = "Adagrad"


class AdaDelta(OptimizerPart):
    """AdaDelta (Zeiler 2012, arXiv:1212.5701)."""

    name: Literal["adadelta"] = "adadelta"
    lr: float = Field(1.0, gt=0, le=bounds.NUMBER, description=_LR)
    rho: float = Field(
        0.95, gt=0, lt=1, description="ρ: what stays of the mean of squared gradients at each step"
    )
    eps: float = Field(1e-6, gt=0, le=bounds.NUMBER, description=_EPS)

    kind: ClassVar[str] = "Adadelta"


class Adam(OptimizerPart):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980)."""

    name: Literal["adam"] = "adam"
    lr: float = Field(2e-3, gt=0, le=bounds.NUMBER, description=_LR)
    betas: tuple[Share, Share] = Field((0.9, 0.999), description=_BETAS)
    eps: float = Field(1e-8, gt=0, le=bounds.NUMBER, description=_EPS)

    kind: ClassVar[str] = "Adam"
    fused = True


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    name: Literal["adamw"] = "adamw"  # type: ignore[assignment]
    betas: tuple[Share, Share] = Field((0.9, 0.99), description=_BETAS)
    weight_decay: float = Field(0.01, ge=0, le=bounds.NUMBER, description=_DECAY)

    kind: ClassVar[str] = "AdamW"
