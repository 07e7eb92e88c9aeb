"""The ReLU RNN with identity initialisation (Le, Jaitly, Hinton 2015, arXiv:1504.00941, section 3).

    h_t = max(0, W x_t + U h_{t-1} + b),   initially U = I and b = 0

With U = I, gradients flow back unchanged as long as the units are active. h is not bounded: a state
that is carried for thousands of steps grows without limit, so train this cell on windows.

Under a Mogrifier the identity carries h itself, and what U adds to it reads the gated h~:

    h_t = max(0, W x_t + h_{t-1} + (U - I) h~_{t-1} + b)
"""

from __future__ import annotations

from torch import Tensor, nn

from .cell import Cell


class IRNN(Cell):
    """The ReLU RNN whose recurrent matrix is initially the identity."""

    gates = 1
    bounded = False
    torch_layer = "rnn_relu"
    loops = "relu"

    def step(self, wx: Tensor, state: tuple[Tensor, ...], U: Tensor) -> tuple[Tensor, ...]:
        (h,) = state
        return ((wx + h @ U.T).relu(),)

    def gated_step(
        self, wx: Tensor, state: tuple[Tensor, ...], gated: Tensor, U: Tensor
    ) -> tuple[Tensor, ...]:
        (h,) = state
        return ((wx + (h - gated) + gated @ U.T).relu(),)

    def init(self, W: Tensor, U: Tensor, b: Tensor) -> None:
        nn.init.normal_(W, std=0.001)  # section 3: Gaussian, standard deviation 0.001
        nn.init.eye_(U)
        nn.init.zeros_(b)
