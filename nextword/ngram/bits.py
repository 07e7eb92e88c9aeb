"""Arrays of entries that are packed without gaps: an entry has the same number of bits throughout,
and a field of it stands at the same bit, from the lowest bit of the first byte on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import Int, compiled

Array = np.ndarray[Any, Any]

MOST_BITS = 57  # of a field: with up to 7 bits before it, it lies in 8 bytes


@compiled
def unpack(data: Array, first: Int, stride: Int, width: Int, out: Array) -> None:
    """Fill out (m,) uint64 with a field of m entries.

    Args:
        data: (B,) uint8, with 8 bytes behind the last entry.
        first: the bit at which the first field begins.
        stride: bits from one entry to the next.
        width: bits of the field.
    """
    mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    for index in range(out.size):
        bit = first + index * stride
        byte = bit >> 3
        value = np.uint64(0)
        for at in range(8):
            value |= np.uint64(data[byte + at]) << np.uint64(8 * at)
        out[index] = (value >> np.uint64(bit & 7)) & mask


@compiled
def pack(data: Array, first: Int, stride: Int, values: Array) -> None:
    """Write values (m,) uint64 into a field of m entries, whose bits are 0; see `unpack`."""
    for index in range(values.size):
        bit = first + index * stride
        byte = bit >> 3
        value = np.uint64(values[index]) << np.uint64(bit & 7)
        while value:
            data[byte] |= np.uint8(value & np.uint64(255))
            value >>= np.uint64(8)
            byte += 1
