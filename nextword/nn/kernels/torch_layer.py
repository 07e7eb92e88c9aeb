"""Runs a cell by torch's recurrent layer, or by cuDNN's on a GPU, with the cell's parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cells.cell import Cell
from . import cudnn

_ONE_STATE = {"gru": torch.gru, "rnn_tanh": torch.rnn_tanh, "rnn_relu": torch.rnn_relu}


def run(
    cell: Cell,
    x: Tensor,
    state: tuple[Tensor, ...],
    W: Tensor,
    U: Tensor,
    b: Tensor,
    mask: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """x (T, B, I), state, W, U, b, a mask on U → outputs (T, B, H) and the last state. They have
    the type of x, under autocast too, because our loops may run the next layer."""
    name = str(cell.torch_layer)
    weights = (W, U, *cell.torch_biases(b))
    if cudnn.available(x):
        return cudnn.run(name, cell.gates, x, state, weights, mask)
    if mask is not None:
        weights = (W, U * mask, *weights[2:])
    options = (True, 1, 0.0, torch.is_grad_enabled(), False, False)  # as nn.LSTM passes them
    first = [s.unsqueeze(0) for s in state]
    if name == "lstm":
        out, *last = torch.lstm(x, first, weights, *options)
    else:
        out, *last = _ONE_STATE[name](x, first[0], weights, *options)
    return out.to(x.dtype), tuple(s[0].to(x.dtype) for s in last)
