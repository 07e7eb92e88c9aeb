"""torch's own recurrent layers (cuDNN on a GPU) under our cells' parameters."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from ..cells.cell import Cell

# cuDNN wants all weights of a layer in one piece and copies them otherwise, a fraction of a
# millisecond a step. Nobody can do anything about the warning.
warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous")


def run(
    cell: Cell, x: Tensor, state: tuple[Tensor, ...], W: Tensor, U: Tensor, b: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """x (T, B, I) → outputs (T, B, H) and the last state."""
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
