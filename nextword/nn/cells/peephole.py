"""The peephole LSTM, whose gates also read the cell state (Gers, Schraudolph, Schmidhuber 2002,
section 2.2).

i_t = σ(W_i x_t + U_i h_{t-1} + p_i ∘ c_{t-1} + b_i)
f_t = σ(W_f x_t + U_f h_{t-1} + p_f ∘ c_{t-1} + b_f)
c_t = f_t ∘ c_{t-1} + i_t ∘ tanh(W_g x_t + U_g h_{t-1} + b_g)
o_t = σ(W_o x_t + U_o h_{t-1} + p_o ∘ c_t + b_o)        the output gate reads the new cell state
h_t = o_t ∘ tanh(c_t)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .lstm import LSTM


class PeepholeLSTM(LSTM):
    """The LSTM with diagonal connections from the cell state to the gates."""

    torch_layer = None  # torch has no such layer

    def __init__(self, hidden: int) -> None:
        super().__init__(hidden)
        self.p = nn.Parameter(torch.empty(3, hidden))  # p_i, p_f, p_o

    def step(self, wx: Tensor, state: tuple[Tensor, ...], U: Tensor) -> tuple[Tensor, ...]:
        h, c = state
        p_i, p_f, p_o = self.p
        i, f, g, o = (wx + h @ U.T).chunk(4, dim=-1)
        c = (f + p_f * c).sigmoid() * c + (i + p_i * c).sigmoid() * g.tanh()
        return (o + p_o * c).sigmoid() * c.tanh(), c
