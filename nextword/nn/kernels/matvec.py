"""The product of a matrix and one vector, by several threads.

The time is that of reading the matrix from memory, so several threads read parts of it at the same
time. A matrix in bfloat16 has half the bytes. A bfloat16 is the upper half of a float32: it is
converted in a register, and the vector and the sums are float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...compiled import Int, compiled_sums
from ...threads import helpers, threads

Floats = np.ndarray[Any, np.dtype[np.float32]]
Bits = np.ndarray[Any, np.dtype[np.uint16]]  # of bfloat16

_u32, _f32 = np.uint32, np.float32
_FEW = 1 << 17  # entries of a matrix that one thread reads before a second one has woken up


@compiled_sums
def rows_of(W: Floats, x: Floats, out: Floats, start: Int, stop: Int) -> None:
    """out[i] = W[i] · x for the rows start to stop - 1 of W (N, K) float32."""
    for i in range(start, stop):
        total = _f32(0)
        row = W[i]
        for k in range(len(x)):
            total += row[k] * x[k]
        out[i] = total


@compiled_sums
def rows_of_bfloat16(W: Bits, x: Floats, out: Floats, start: Int, stop: Int) -> None:
    """The same for W (N, K) in bfloat16, given as uint16."""
    for i in range(start, stop):
        total = _f32(0)
        row = W[i]
        for k in range(len(x)):
            total += _u32(_u32(row[k]) << _u32(16)).view(_f32) * x[k]
        out[i] = total


def matvec(W: Tensor, x: Tensor) -> Tensor:
    """W (N, K) float32 or bfloat16, contiguous, times x (K,) float32 → (N,) float32.

    Example:
        >>> matvec(torch.ones(2, 3), torch.tensor([1.0, 2.0, 3.0])).tolist()
        [6.0, 6.0]
    """
    half = W.dtype == torch.bfloat16
    matrix = (W.view(torch.uint16) if half else W).numpy()
    function = rows_of_bfloat16 if half else rows_of
    out = x.new_empty(len(W))
    into, vector = out.numpy(), x.numpy()
    shares = min(threads(), max(1, W.numel() // _FEW))
    edges = [len(W) * i // shares for i in range(shares + 1)]
    waiting = [
        helpers().submit(function, matrix, vector, into, edges[i], edges[i + 1])
        for i in range(1, shares)
    ]
    function(matrix, vector, into, 0, edges[1])
    for share in waiting:
        share.result()
    return out
