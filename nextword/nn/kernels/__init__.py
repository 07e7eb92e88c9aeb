"""Fast twins of the readable cells, and the choice between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from ..cells.cell import Cell

_backend: ContextVar[str] = ContextVar("backend", default="auto")


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Within it, recurrent layers run as `name` says: `step` (the readable code), `torch`
    (torch's fused layer where the cell has one), or `auto` (whichever is faster)."""
    token = _backend.set(name)
    try:
        yield
    finally:
        _backend.reset(token)


def fused(cell: Cell, x: Tensor) -> bool:
    """Whether torch's layer runs this cell on `x` (T, B, I)."""
    name = _backend.get()
    if cell.torch_layer is None or name == "step":
        return False
    if name == "torch" or x.is_cuda:
        return True
    # oneDNN lays the weights out anew at every call: for one token that is nearly all the time.
    return x.shape[0] > 1 or torch.is_grad_enabled()


def run_fused(
    cell: Cell, x: Tensor, state: tuple[Tensor, ...], W: Tensor, U: Tensor, b: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """torch's own layer: x (T, B, I) → outputs (T, B, H) and the last state."""
    b_w, b_u = cell.torch_biases(b)
    weights = [W, U, b_w, b_u]
    options = (True, 1, 0.0, torch.is_grad_enabled(), False, False)  # as nn.LSTM passes them
    first = [s.unsqueeze(0) for s in state]
    if cell.torch_layer == "lstm":
        out, h, c = torch.lstm(x, first, weights, *options)
        return out, (h[0], c[0])
    function = getattr(torch, str(cell.torch_layer))
    out, h = function(x, first[0], weights, *options)
    return out, (h[0],)
