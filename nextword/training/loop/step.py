"""The parts of a training step: the gradient of a batch, clipping, learning rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from ...config import TrainConfig
from ...types import Batch, State, Term
from ..schedules import Rates
from .training import Training

#: The terms of a batch's loss, the loss (a scalar), and the state after the batch.
Learnt = tuple[dict[str, Term], Tensor, State]
#: Adds the gradient of a batch's loss to the parameters'.
Backward = Callable[[Batch, State], Learnt]


def backward(training: Training, batch: Batch, state: State) -> Learnt:
    """Add the gradient of a batch's loss to the parameters' `grad`.

    Args:
        batch: a batch on the device of the training.
        state: the state of the model before the batch; None = its start state.

    Returns:
        The detached terms, the loss of the batch (a detached scalar), and the state after it.
    """
    with training.autocast():
        if state is None:
            state = batch.start(training.model)
        terms, state = training.config.objective(training.model, batch, state)
        loss = sum_of(terms)
        share = loss / training.config.train.accumulate
    parameters = [p for p in training.model.parameters() if p.requires_grad]
    add_gradients(parameters, torch.autograd.grad(share, parameters, allow_unused=True))
    return without_graph(terms), loss.detach(), state


def sum_of(terms: dict[str, Term]) -> Tensor:
    """Compute the loss: Σ total / count over the terms that are part of it."""
    shares = [term.total / term.count for term in terms.values() if term.learnt]
    return torch.stack(shares).sum()


def without_graph(terms: dict[str, Term]) -> dict[str, Term]:
    """Detach the terms from the graph."""
    return {name: term._replace(total=term.total.detach()) for name, term in terms.items()}


@torch.no_grad()
def add_gradients(parameters: Sequence[nn.Parameter], gradients: Iterable[Tensor | None]) -> None:
    """Add gradients to `grad` of the parameters; None = the loss does not depend on it."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is None:
            continue
        if parameter.grad is None:
            parameter.grad = gradient
        else:
            parameter.grad.add_(gradient)


def clip_gradients(model: nn.Module, config: TrainConfig) -> float:
    """Clip by value, then by global norm (Pascanu et al. 2013, arXiv:1211.5063, algorithm 1).

    Returns:
        The norm before clipping by norm.
    """
    if config.clip_value is not None:
        clip_grad_value_(model.parameters(), config.clip_value)
    return float(clip_grad_norm_(model.parameters(), config.clip or math.inf))


def set_rates(
    optimizer: torch.optim.Optimizer,
    base: float,
    rates: Rates,
    lr_scale: float = 1.0,
    deepest: float = math.inf,
) -> None:
    """Set the learning rate, and the momentum or first beta where the schedule has one.

    Args:
        base: optimizer.lr, which the factor of the schedule multiplies.
        rates: what the schedule returned.
        lr_scale: factor of the batch, or the mean of several; shorter batches have smaller ones.
        deepest: groups of parameters below this one, counted from the top layer, get rate 0.
    """
    for group in optimizer.param_groups:
        learns = group.get("depth", 0) <= deepest
        group["lr"] = base * rates.lr * lr_scale * group.get("scale", 1.0) * learns
        if rates.momentum is not None:
            if "betas" in group:
                group["betas"] = (rates.momentum, group["betas"][1])
            elif "momentum" in group:
                group["momentum"] = rates.momentum
