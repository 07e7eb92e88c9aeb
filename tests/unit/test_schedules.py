"""Schedules: where they start, where they end, and that they depend on nothing else."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextword import registry
from nextword.errors import InputError
from nextword.training.schedules import (
    Constant,
    Cosine,
    InverseSquareRoot,
    Milestones,
    OneCycle,
    Plateau,
)

GRID = np.linspace(0, 1, 201)


def curve(schedule, history=()) -> np.ndarray:  # type: ignore[no-untyped-def]
    """The factor over the whole training, 1000 steps."""
    return np.array([schedule(round(1000 * f), f, history).lr for f in GRID])


@pytest.mark.parametrize("name", registry.names("schedule"))
def test_factors_are_between_zero_and_one(name: str) -> None:
    """Every schedule with its own settings, over a whole training and a step too far."""
    schedule = registry.load("schedule", name)()
    for fraction in (*GRID, 1.01):
        rates = schedule(round(1000 * fraction), fraction, [2.0, 1.0, 3.0])
        assert 0 <= rates.lr <= 1
        assert rates.momentum is None


@pytest.mark.parametrize("name", ["constant", "cosine"])
@pytest.mark.parametrize("warmup", [0, 1e-6, 5e-4, 0.01, 0.5])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99, 1])
def test_any_warmup_stays_between_zero_and_one(name: str, warmup: float, share: float) -> None:
    """However short the warm-up is, the factor never leaves [0, 1]."""
    schedule = registry.load("schedule", name)(warmup=warmup)
    assert 0 <= schedule(0, share * warmup, ()).lr <= 1


def test_constant() -> None:
    """Always 1; with a warm-up linear up to it, then 1."""
    assert (curve(Constant()) == 1).all()
    warmed = curve(Constant(warmup=0.2))
    np.testing.assert_allclose(warmed, np.minimum(1, GRID / 0.2))


def test_cosine() -> None:
    """Linear up to 1 at the end of the warm-up, half a cosine down to `final`."""
    schedule = Cosine(warmup=0.1, final=0.2)
    assert schedule(0, 0.05, ()).lr == pytest.approx(0.5)
    assert schedule(0, 0.1, ()).lr == pytest.approx(1)
    assert schedule(0, 0.55, ()).lr == pytest.approx(0.6)  # half-way between 1 and 0.2
    assert schedule(0, 0.1 + 0.9 / 3, ()).lr == pytest.approx(0.2 + 0.8 * 0.75)  # cos 60° = 1/2
    assert schedule(0, 1, ()).lr == schedule(0, 1.3, ()).lr == pytest.approx(0.2)
    assert 0 < schedule(0, 0, ()).lr < 0.05  # the first step learns something
    values = curve(schedule)
    peak = values.argmax()
    assert (np.diff(values[: peak + 1]) > 0).all()
    assert (np.diff(values[peak:]) < 0).all()
    assert Cosine(warmup=0)(0, 0, ()).lr == 1


def test_one_cycle() -> None:
    """`start` → 1 → `final`, half a cosine each way."""
    schedule = OneCycle(warmup=0.25, start=0.1, final=0.01)
    assert schedule(0, 0, ()).lr == pytest.approx(0.1)
    assert schedule(0, 0.125, ()).lr == pytest.approx(0.55)
    assert schedule(0, 0.25, ()).lr == pytest.approx(1)
    assert schedule(0, 0.625, ()).lr == pytest.approx(0.505)
    assert schedule(0, 1, ()).lr == schedule(0, 1.3, ()).lr == pytest.approx(0.01)
    assert schedule(0, 0.5, ()).momentum is None
    values = curve(schedule)
    assert (np.diff(values[:51]) > 0).all()
    assert (np.diff(values[50:]) < 0).all()


def test_one_cycle_momentum_goes_the_other_way() -> None:
    """high → low → high, lowest where the learning rate is highest."""
    schedule = OneCycle(warmup=0.25, momentum=(0.95, 0.85))
    assert schedule(0, 0, ()).momentum == pytest.approx(0.95)
    assert schedule(0, 0.125, ()).momentum == pytest.approx(0.9)
    assert schedule(0, 0.25, ()).momentum == pytest.approx(0.85)
    assert schedule(0, 0.625, ()).momentum == pytest.approx(0.9)
    assert schedule(0, 1, ()).momentum == pytest.approx(0.95)
    momenta = np.array([schedule(0, f, ()).momentum for f in GRID])
    assert momenta.argmin() == curve(schedule).argmax()


@pytest.mark.parametrize(
    ("history", "patience", "expected"),
    [
        ([], 1, 1),
        ([3, 2, 1], 1, 1),
        ([3, 3], 1, 0.5),
        ([3, 4, 2, 3], 1, 0.25),
        ([3, 4, 5, 6], 1, 0.125),
        ([3, 4, 5, 6], 2, 0.5),
        ([3, 4, 2, 4, 1], 2, 1),
        ([3, 4, 5, 6, 7], 2, 0.25),
        ([3, math.nan], 1, 0.5),
    ],
)
def test_plateau(history: list[float], patience: int, expected: float) -> None:
    """Times `factor` after every `patience` validations in a row without a better one."""
    schedule = Plateau(factor=0.5, patience=patience)
    assert schedule(0, 0, history).lr == pytest.approx(expected)


@given(st.lists(st.floats(0, 10, allow_subnormal=False), max_size=30), st.integers(1, 4))
def test_plateau_is_a_function_of_the_history(history: list[float], patience: int) -> None:
    """Asked again, later or by another object, it says the same (a training that is resumed goes
    on as it was); more history never raises it."""
    schedule = Plateau(factor=0.5, patience=patience)
    lr = schedule(0, 0.0, history).lr
    assert schedule(77, 0.9, list(history)).lr == lr
    assert Plateau(factor=0.5, patience=patience)(0, 0.0, tuple(history)).lr == lr
    values = [schedule(0, 0.0, history[:n]).lr for n in range(len(history) + 1)]
    assert all(a >= b for a, b in itertools.pairwise(values))


def test_plateau_has_a_floor() -> None:
    """The factor never falls below `smallest`."""
    assert Plateau(factor=0.1, smallest=0.05)(0, 0, [1] * 20).lr == 0.05


def test_inverse_square_root() -> None:
    """Linear up to 1 at `warmup_steps`, then √(warmup / step)."""
    schedule = InverseSquareRoot(warmup_steps=100)
    for step in (1, 10, 50, 100):
        assert schedule(step - 1, 0, ()).lr == pytest.approx(step / 100)
    assert schedule(400 - 1, 0, ()).lr == pytest.approx(1 / 2)
    assert schedule(10000 - 1, 0, ()).lr == pytest.approx(1 / 10)


def test_milestones() -> None:
    """1, then times `factor` from each share of the training on, that share included."""
    schedule = Milestones(at=[0.6, 0.8], factor=0.1)
    for fraction, expected in ((0, 1), (0.3, 1), (0.599, 1), (0.6, 0.1), (0.7, 0.1), (0.799, 0.1)):
        assert schedule(7, fraction, ()).lr == pytest.approx(expected)
    for fraction in (0.8, 0.9, 1, 1.3):
        assert schedule(7, fraction, ()).lr == pytest.approx(0.01)
    assert schedule(0, 0.7, ()).momentum is None
    assert Milestones() == schedule
    once = curve(Milestones(at=[0.5], factor=0.25))
    assert (once[:100] == 1).all() and (once[100:] == 0.25).all()


@given(
    st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5),
    st.floats(0.01, 0.99),
    st.randoms(use_true_random=False),
)
def test_milestones_in_any_order(at: list[float], factor: float, order: object) -> None:
    """The factor never rises, ends at factor to the number of milestones, and depends on neither
    their order nor anything but the share of the training."""
    values = curve(Milestones(at=at, factor=factor))
    assert (np.diff(values) <= 0).all()
    assert values[0] == 1
    assert values[-1] == pytest.approx(factor ** len(at))
    mixed = list(at)
    order.shuffle(mixed)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(curve(Milestones(at=mixed, factor=factor), [1.0, 2.0]), values)


@pytest.mark.parametrize(
    "wrong", [{"at": []}, {"at": [0.5, 0]}, {"at": [1]}, {"at": [-0.1]}, {"factor": 1}, {"at": 0.5}]
)
def test_milestones_lie_within_the_training(wrong: dict[str, Any]) -> None:
    """At least one, each after the beginning and before the end; a factor below one."""
    with pytest.raises(InputError):
        Milestones(**wrong)
