"""The LSTM, its four gates computed by one product (Hochreiter and Schmidhuber 1997; the forget
gate by Gers, Schmidhuber, Cummins 2000).

    i, f, g, o = blocks of W x_t + U h_{t-1} + b
    c_t = σ(f) ∘ c_{t-1} + σ(i) ∘ tanh(g)
    h_t = σ(o) ∘ tanh(c_t)
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from .cell import Cell


class LSTM(Cell):
    """The LSTM with one product for all gates."""

    gates = 4  # input, forget, candidate, output: the order of torch
    state_names = ("h", "c")
    torch_layer: ClassVar[str | None] = "lstm"
    loops: ClassVar[str | None] = "lstm"

    def step(self, wx: Tensor, state: tuple[Tensor, ...], U: Tensor) -> tuple[Tensor, ...]:
        h, c = state
        i, f, g, o = (wx + h @ U.T).chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def init(self, W: Tensor, U: Tensor, b: Tensor) -> None:
        super().init(W, U, b)
        with torch.no_grad():  # forget gates begin open (Jozefowicz et al. 2015)
            b.view(self.gates, -1)[1] = 1.0
