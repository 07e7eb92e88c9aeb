"""tanh and the sigmoid in compiled loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.extending import overload

Float = float | np.floating[Any]

# tanh(x) = x P(x²) / Q(x²), fitted to minimise the relative error for |x| ≤ 9.01: it is at most
# 3.5e-7, three units in the last place. At the limit the result is ±1 in float32, so the gradient
# of saturated units is 0.
_LIMIT = np.float32(8.92)
_P1, _P2, _P3, _P4, _P5, _P6 = (
    np.float32(c)
    for c in (
        1.308358609676361e-01,
        3.1034823041409254e-03,
        1.114931728807278e-05,
        -2.0204730333261978e-08,
        5.267921168727874e-11,
        -8.462500177604942e-14,
    )
)
_Q1, _Q2, _Q3 = (
    np.float32(c) for c in (4.6416914463043213e-01, 2.4493293836712837e-02, 2.5454533169977367e-04)
)
_HALF, _ONE = np.float32(0.5), np.float32(1)


def tanh(x: Float) -> Float:
    """tanh. Compiled for float32 it is the approximation above, which vectorises. NaN stays NaN."""
    return math.tanh(x)


@overload(tanh, jit_options={"fastmath": {"contract"}})
def _tanh(x: Float) -> Callable[[Float], Float]:
    # `x` is numba's type of it; numba requires the annotations of the functions below
    def exact(x: Float) -> Float:
        return math.tanh(x)

    def fast(x: Float) -> Float:
        y = _LIMIT if x > _LIMIT else (-_LIMIT if x < -_LIMIT else x)
        s = y * y
        p = (((((_P6 * s + _P5) * s + _P4) * s + _P3) * s + _P2) * s + _P1) * s + _ONE
        t = y * p / (((_Q3 * s + _Q2) * s + _Q1) * s + _ONE)
        return _ONE if t > _ONE else (-_ONE if t < -_ONE else t)

    return fast if x == numba.float32 else exact


def sigmoid(x: Float) -> Float:
    """1 / (1 + e^-x) = (1 + tanh(x / 2)) / 2."""
    return _HALF * tanh(_HALF * x) + _HALF


@overload(sigmoid, jit_options={"fastmath": {"contract"}})
def _sigmoid(x: Float) -> Callable[[Float], Float]:
    def through_tanh(x: Float) -> Float:
        return _HALF * tanh(_HALF * x) + _HALF

    return through_tanh
