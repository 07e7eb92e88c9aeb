"""Random masks from a counter and a key: a number's hash decides whether it stays.

Nothing is drawn one after the other, so the loop is vector instructions; a mask of five million
numbers takes a millisecond, where `bernoulli_` takes sixty. The key comes from torch's generator:
the same seed gives the same masks, and a saved generator state goes on with the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...compiled import compiled

_u = np.uint32
_SPREAD, _MIX_1, _MIX_2 = _u(0x9E3779B9), _u(0x21F0AAAD), _u(0x735A2D97)


@compiled
def fill_mask(out: Any, key_1: Any, key_2: Any, threshold: Any, scale: Any) -> None:
    """out (N,): `scale` where a hash of (position, key) is at least `threshold` of 2^32, else 0.

    The hash is two rounds of a 32-bit finalizer (multiply and xor-shift), a key before each.
    """
    zero = scale - scale
    for i in range(len(out)):  # every operation is cut to 32 bits: numba would widen it
        x = _u(_u(i) * _SPREAD + key_1)
        x = _u((x ^ (x >> _u(16))) * _MIX_1)
        x = _u((x ^ (x >> _u(15))) * _MIX_2)
        x = _u((x ^ (x >> _u(15))) + key_2)
        x = _u((x ^ (x >> _u(16))) * _MIX_1)
        x = _u((x ^ (x >> _u(15))) * _MIX_2)
        x = _u(x ^ (x >> _u(15)))
        out[i] = scale if x >= threshold else zero
