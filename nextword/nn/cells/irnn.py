"""The identity-initialised ReLU RNN (Le, Jaitly, Hinton 2015, arXiv:1504.00941, section 3).

    h_t = max(0, W x_t + U h_{t-1} + b),   U = I and b = 0 at the start

With U = I an error flows back unchanged for as long as no unit switches off. Nothing bounds h,
so a state carried on for thousands of steps grows without limit: train it on fresh windows.
"""

from __future__ import annotations

from torch import Tensor, nn

from .cell import Cell


class IRNN(Cell):
    """ReLU RNN that starts as the identity."""

    gates = 1
    torch_layer = "rnn_relu"
    loops = "relu"

    def step(self, wx: Tensor, state: tuple[Tensor, ...], U: Tensor) -> tuple[Tensor, ...]:
        (h,) = state
        return ((wx + h @ U.T).relu(),)

    def init(self, W: Tensor, U: Tensor, b: Tensor) -> None:
        nn.init.normal_(W, std=0.001)  # section 3: Gaussian, standard deviation 0.001
        nn.init.eye_(U)
        nn.init.zeros_(b)
