"""Random dropout masks by a counter-based generator: entry i depends only on a hash of i and a key.

The entries do not depend on each other, so the loop vectorises: a mask of five million entries
takes a millisecond, while `bernoulli_` takes sixty. The key is drawn from torch's generator, so the
same seed gives the same masks, and a restored generator state continues with the same masks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...compiled import compiled

Array = np.ndarray[Any, np.dtype[Any]]  # of floats, or of the bits of bfloat16 as uint16

_u = np.uint32
_SPREAD, _MIX_1, _MIX_2 = _u(0x9E3779B9), _u(0x21F0AAAD), _u(0x735A2D97)


@compiled
def fill_mask(
    out: Array, key_1: np.uint32, key_2: np.uint32, threshold: np.uint32, scale: np.number[Any]
) -> None:
    """Fill out (N,): `scale` where the 32-bit hash of (index, key) is at least `threshold`, else 0.

    The hash is two rounds of a 32-bit finalizer (multiply and xor-shift), each after adding a key.
    """
    zero = scale - scale
    for i in range(len(out)):  # casts keep every operation in 32 bits; numba would widen it
        x = _u(_u(i) * _SPREAD + key_1)
        x = _u((x ^ (x >> _u(16))) * _MIX_1)
        x = _u((x ^ (x >> _u(15))) * _MIX_2)
        x = _u((x ^ (x >> _u(15))) + key_2)
        x = _u((x ^ (x >> _u(16))) * _MIX_1)
        x = _u((x ^ (x >> _u(15))) * _MIX_2)
        x = _u(x ^ (x >> _u(15)))
        out[i] = scale if x >= threshold else zero
