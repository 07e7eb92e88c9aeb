"""Runs a recurrent layer by the fastest of several implementations that give the same results: the
cell's `step` in a loop, compiled loops, or torch's layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor

from ..cells.cell import Cell
from . import cudnn, torch_layer
from .product import Frozen, low_precision

__all__ = ["Frozen", "backend", "choose", "run"]

Backend = Literal["fast", "torch", "step"]
NAMES: dict[Backend, str] = {"fast": "our loops", "torch": "torch's layer", "step": "step by step"}

_backend: ContextVar[tuple[str, dict[str, str]]] = ContextVar("backend", default=("auto", {}))

_BUSY = 2_000_000  # multiply-adds of a step; above, the overhead of our loops matters little
_LARGE = 4_000_000  # weights; above, they do not fit the cache and torch's reordering takes time
_FEW = 1500  # tokens of a batch; below, that time is a noticeable share of the whole


@contextmanager
def backend(name: str) -> Iterator[dict[str, str]]:
    """A context manager that sets the implementation of recurrent layers.

    Args:
        name: `step` (the cell's `step`), `torch` (torch's layer), `fast` (compiled loops, on a
            CPU), or `auto` (the fastest). A cell that lacks the implementation runs by `step`, or
            by torch's layer instead of `fast`.

    Yields:
        What has run inside it so far: the layer → one of `NAMES`, or cuDNN.

    Example:
        >>> from nextword.nn.recurrent import RecurrentLayer
        >>> layer = RecurrentLayer("gru", 3, 3)
        >>> with backend("step") as used:
        ...     _ = layer(torch.zeros(2, 1, 3), layer.start(1))
        >>> used
        {'GRU 3→3': 'step by step'}
    """
    used: dict[str, str] = {}
    token = _backend.set((name, used))
    try:
        yield used
    finally:
        _backend.reset(token)


def choose(cell: Cell, x: Tensor) -> Backend:
    """The implementation that will run this cell on `x` (T, B, I). On a GPU it is torch's layer, by
    cuDNN where possible."""
    name, used = _backend.get()
    wanted = _fastest(cell, x) if name == "auto" else name
    how: Backend = "step"
    there = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and x.numel() > 0
    if wanted == "fast" and cell.loops and there:
        how = "fast"
    elif wanted != "step" and cell.torch_layer:
        how = "torch"
    said = "cuDNN" if how == "torch" and cudnn.available(x) else NAMES[how]
    used[f"{type(cell).__name__} {x.shape[2]}→{cell.hidden}"] = said
    return how


def _fastest(cell: Cell, x: Tensor) -> str:
    """The fastest implementation, by measurements on two cores (docs/results/training-speed.md,
    "Recurrent layers"). Torch's LSTM is that of oneDNN, which fuses the gates but reorders all
    weights at every call; torch's other cells are plain loops."""
    T, B, inputs = x.shape
    learning = torch.is_grad_enabled()
    weights = cell.gates * cell.hidden * (cell.hidden + inputs)
    busy = B * weights >= _BUSY
    if T == 1 and not learning:
        return "fast" if busy else "step"
    if cell.torch_layer == "lstm" and low_precision(x) == torch.float32:
        return "fast" if weights >= _LARGE and (T * B <= _FEW or not learning) else "torch"
    return "fast" if busy or cell.torch_layer is None else "torch"


def run(
    how: Backend,
    cell: Cell,
    x: Tensor,
    state: tuple[Tensor, ...],
    W: Tensor,
    U: Tensor,
    b: Tensor,
    mask: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a cell over a sequence by the implementation `how`.

    x (T, B, I), state, W (G·H, I), U (G·H, H), b (G·H,), mask on U (G·H, H) → outputs h_1 … h_T
    (T, B, H), the last state.
    """
    if how == "torch":
        return torch_layer.run(cell, x, state, W, U, b, mask)
    if mask is not None:
        U = U * mask
    if how == "fast":
        from . import recurrence  # imported here: loading compiled loops takes time

        return recurrence.run(str(cell.loops), x, state, W, U, b, cell.own_parameter)
    wx = x @ W.T + b  # (T, B, G·H): the input's part of all steps at once
    outputs = []
    for wx_t in wx:
        state = cell.step(wx_t, state, U)
        outputs.append(state[0])
    return torch.stack(outputs), state
