"""Fast twins of the readable cells, and the choice between them."""

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

_BUSY = 2_000_000  # multiply-adds of a step that outweigh the 25 µs our loops take for it
_LARGE = 4_000_000  # weights that outgrow a cache: laying them out anew is a cost to be seen
_FEW = 1500  # tokens of a batch up to which it is


@contextmanager
def backend(name: str) -> Iterator[dict[str, str]]:
    """Within it, recurrent layers run as `name` says: `step` (the readable code), `torch` (torch's
    layer), `fast` (our loops, on a CPU), each where there is one; or `auto`, see `choose`.

    Yields what was chosen so far: layer → one of `NAMES`, or cuDNN.
    """
    used: dict[str, str] = {}
    token = _backend.set((name, used))
    try:
        yield used
    finally:
        _backend.reset(token)


def choose(cell: Cell, x: Tensor) -> Backend:
    """What runs this cell on `x` (T, B, I). On a GPU torch's layer, which is cuDNN's."""
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
    """By what was measured on two cores (docs/results/training-speed.md, "Recurrent layers").
    torch's LSTM is oneDNN's, which fuses the gates, but lays all weights out anew at every call;
    torch's other cells are plain loops."""
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
    """x (T, B, I), state, a mask on U (G·H, H) → outputs h_1 … h_T (T, B, H), the last state."""
    if how == "torch":
        return torch_layer.run(cell, x, state, W, U, b, mask)
    if mask is not None:
        U = U * mask
    if how == "fast":
        from . import recurrence  # brings the compiled loops, which take a moment to load

        return recurrence.run(str(cell.loops), x, state, W, U, b, cell.own_parameter)
    wx = x @ W.T + b  # (T, B, G·H): the input's share of all steps at once
    outputs = []
    for wx_t in wx:
        state = cell.step(wx_t, state, U)
        outputs.append(state[0])
    return torch.stack(outputs), state
