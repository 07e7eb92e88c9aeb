"""The plain RNN (Elman 1990, "Finding structure in time").

h_t = tanh(W x_t + U h_{t-1} + b)
"""

from __future__ import annotations

from torch import Tensor

from .cell import Cell


class Elman(Cell):
    """The plain RNN with tanh."""

    gates = 1
    torch_layer = "rnn_tanh"
    loops = "elman"

    def step(self, wx: Tensor, state: tuple[Tensor, ...], U: Tensor) -> tuple[Tensor, ...]:
        (h,) = state
        return ((wx + h @ U.T).tanh(),)
