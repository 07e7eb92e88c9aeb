"""Optimizers by name: each goes downhill, and the update rules are the ones in the books."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from nextword import registry
from nextword.config import Config
from nextword.errors import InputError
from nextword.training.loop.step import set_rates
from nextword.training.optimizers import SGD, Adam, AdamW, RMSProp
from nextword.training.schedules import Rates

SCALES = torch.tensor([1.0, 4.0, 0.3], dtype=torch.float64)
START = [1.0, -2.0, 3.0]


def quadratic(w: torch.Tensor) -> torch.Tensor:
    return (SCALES * w.pow(2)).sum() / 2


def path(settings, steps: int) -> list[np.ndarray]:  # type: ignore[no-untyped-def]
    """The weights after each step down the quadratic."""
    w = nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = settings.build([w])
    visited = []
    for _ in range(steps):
        optimizer.zero_grad()
        quadratic(w).backward()
        optimizer.step()
        visited.append(w.detach().numpy().copy())
    return visited


@pytest.mark.parametrize("name", registry.names("optimizer"))
def test_every_optimizer_goes_downhill(name: str) -> None:
    """From anywhere on a quadratic a hundred small steps end lower."""
    lr = {"sgd": 0.1, "adadelta": 1.0}.get(name, 0.05)
    visited = path(registry.load("optimizer", name)(lr=lr), 100)
    before, after = quadratic(torch.tensor(START).double()), quadratic(torch.tensor(visited[-1]))
    assert after < (0.95 if name == "adadelta" else 0.5) * before


@pytest.mark.parametrize("name", registry.names("optimizer"))
def test_settings_reach_torch(name: str) -> None:
    """lr and weight decay as set; defaults build too."""
    part = registry.load("optimizer", name)
    optimizer = part(lr=0.123, weight_decay=0.01).build([nn.Parameter(torch.ones(2))])
    (group,) = optimizer.param_groups
    assert group["lr"] == 0.123
    assert group["weight_decay"] == 0.01
    part().build([nn.Parameter(torch.ones(2))])


@pytest.mark.parametrize("settings", [RMSProp(lr=0.1), RMSProp(lr=0.02, alpha=0.5, eps=0.1)])
def test_rmsprop_by_hand(settings: RMSProp) -> None:
    """s ← α s + (1 - α) g², w ← w - lr g / (√s + ε)."""
    w, s = np.array(START), np.zeros(3)
    for value in path(settings, 20):
        g = SCALES.numpy() * w
        s = settings.alpha * s + (1 - settings.alpha) * g**2
        w = w - settings.lr * g / (np.sqrt(s) + settings.eps)
        np.testing.assert_allclose(value, w, rtol=1e-10)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_sgd_by_hand(momentum: float, nesterov: bool, decay: float) -> None:
    """v ← μ v + g, w ← w - lr v (or g + μ v with Nesterov), g with the decay in it."""
    settings = SGD(lr=0.05, momentum=momentum, nesterov=nesterov, weight_decay=decay)
    w, v = np.array(START), np.zeros(3)
    for value in path(settings, 20):
        g = SCALES.numpy() * w + decay * w
        v = momentum * v + g
        w = w - 0.05 * (g + momentum * v if nesterov else v)
        np.testing.assert_allclose(value, w, rtol=1e-10)


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_by_hand(decoupled: bool) -> None:
    """Bias-corrected moments; AdamW shrinks the weights beside them, Adam adds to the gradient."""
    kind = AdamW if decoupled else Adam
    settings = kind(lr=0.1, betas=(0.8, 0.95), weight_decay=0.2)
    w, m, s = np.array(START), np.zeros(3), np.zeros(3)
    for t, value in enumerate(path(settings, 20), start=1):
        g = SCALES.numpy() * w
        if decoupled:
            w = w * (1 - 0.1 * 0.2)
        else:
            g = g + 0.2 * w
        m, s = 0.8 * m + 0.2 * g, 0.95 * s + 0.05 * g**2
        m_hat, s_hat = m / (1 - 0.8**t), s / (1 - 0.95**t)
        w = w - 0.1 * m_hat / (np.sqrt(s_hat) + 1e-8)
        np.testing.assert_allclose(value, w, rtol=1e-8)


def test_nesterov_without_momentum_is_refused() -> None:
    """With a hint at what is missing, from Python and from a recipe."""
    with pytest.raises(InputError, match="needs a momentum"):
        SGD(nesterov=True)
    with pytest.raises(InputError, match=r"optimizer\.momentum"):
        Config.parse({"optimizer": {"name": "sgd", "nesterov": True}})
    assert SGD(nesterov=True, momentum=0.9).build([nn.Parameter(torch.ones(1))])


@pytest.mark.parametrize("name", registry.names("optimizer"))
def test_bad_settings_are_refused(name: str) -> None:
    """A learning rate is positive, a decay is not negative, unknown keys are unknown."""
    part = registry.load("optimizer", name)
    for bad in ({"lr": 0.0}, {"lr": -1.0}, {"weight_decay": -0.1}, {"learning_rate": 1.0}):
        with pytest.raises(InputError):
            part(**bad)


def test_rates_are_applied() -> None:
    """lr times the schedule's factor and the batch's; momentum goes to SGD's momentum or Adam's
    first beta, and is left alone where the schedule has none."""
    weights = [nn.Parameter(torch.ones(2))]
    sgd = SGD(lr=0.5, momentum=0.9).build(weights)
    set_rates(sgd, 0.5, Rates(0.2), lr_scale=3.0)
    assert sgd.param_groups[0]["lr"] == pytest.approx(0.3)
    assert sgd.param_groups[0]["momentum"] == 0.9
    set_rates(sgd, 0.5, Rates(0.2, 0.7))
    assert sgd.param_groups[0]["lr"] == pytest.approx(0.1)
    assert sgd.param_groups[0]["momentum"] == 0.7
    adam = Adam(lr=0.5).build(weights)
    set_rates(adam, 0.5, Rates(1.0, 0.85))
    assert adam.param_groups[0]["betas"] == (0.85, 0.999)
    assert math.isclose(adam.param_groups[0]["lr"], 0.5)
