"""The plain RNN with the logistic function (Elman 1990, "Finding structure in time", whose units
are logistic; the first equation of Mikolov et al. 2010, "Recurrent neural network based language
model").

h_t = σ(W x_t + U h_{t-1} + b)

The derivative of σ is at most 1/4, that of tanh 1: gradients vanish in fewer steps than with
`elman`.
"""

from __future__ import annotations

from torch import Tensor

from .cell import Cell


class SigmoidElman(Cell):
    """The plain RNN with the logistic function."""

    gates = 1
    loops = "sigmoid"

    def step(self, wx: Tensor, state: tuple[Tensor, ...], U: Tensor) -> tuple[Tensor, ...]:
        (h,) = state
        return ((wx + h @ U.T).sigmoid(),)
