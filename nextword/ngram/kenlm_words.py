"""KenLM's hash of a word: 64-bit MurmurHash2 (Appleby 2008), with the seed 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import Int, compiled
from ..text.lexicon import Lexicon

Array = np.ndarray[Any, Any]

_MULTIPLIER = 0xC6A4A7935BD1E995


def hashes_of(lexicon: Lexicon) -> Array:
    """The hash of each word, (V,) uint64."""
    out = np.empty(len(lexicon), np.uint64)
    _fill(lexicon.blob, lexicon.ends, out)
    return out


@compiled
def _fill(blob: Array, ends: Array, out: Array) -> None:
    first = np.int64(0)
    for index in range(ends.size):
        out[index] = murmur(blob, first, np.int64(ends[index]))
        first = np.int64(ends[index])


@compiled
def murmur(data: Array, first: Int, stop: Int) -> np.uint64:
    """The hash of the bytes data[first:stop]."""
    multiplier, shift = np.uint64(_MULTIPLIER), np.uint64(47)
    value = np.uint64(stop - first) * multiplier
    at = first
    while stop - at >= 8:
        some = np.uint64(0)
        for byte in range(8):
            some |= np.uint64(data[at + byte]) << np.uint64(8 * byte)
        some *= multiplier
        some ^= some >> shift
        value = (value ^ (some * multiplier)) * multiplier
        at += 8
    if at < stop:
        for byte in range(stop - at):
            value ^= np.uint64(data[at + byte]) << np.uint64(8 * byte)
        value *= multiplier
    value = (value ^ (value >> shift)) * multiplier
    return value ^ (value >> shift)
