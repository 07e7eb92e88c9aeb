"""The peephole LSTM whose gates read every unit of the cell state, through matrices.

i_t = σ(W_i x_t + U_i h_{t-1} + P_i c_{t-1} + b_i)
f_t = σ(W_f x_t + U_f h_{t-1} + P_f c_{t-1} + b_f)
c_t = f_t ∘ c_{t-1} + i_t ∘ tanh(W_g x_t + U_g h_{t-1} + b_g)
o_t = σ(W_o x_t + U_o h_{t-1} + P_o c_t + b_o)          the output gate reads the new cell state
h_t = o_t ∘ tanh(c_t)

So a gate is one product with [c, h, x] concatenated, as tutorials write it (Olah 2015,
"Understanding LSTM Networks", section "Variants on Long Short Term Memory"). Gers and Schmidhuber
(2000, "Recurrent nets that time and count") connect the gates of a memory block to the cells of
that block alone; with one cell a block that is the diagonal form, `peephole`. The matrices add
3 H² weights, the diagonals 3 H.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .lstm import LSTM


class FullPeepholeLSTM(LSTM):
    """The LSTM with matrices from the cell state to the gates."""

    torch_layer = loops = None  # no torch layer has them, and no compiled loop

    def __init__(self, hidden: int) -> None:
        super().__init__(hidden)
        self.P = nn.Parameter(torch.empty(3 * hidden, hidden))  # P_i, P_f, P_o

    def step(self, wx: Tensor, state: tuple[Tensor, ...], U: Tensor) -> tuple[Tensor, ...]:
        h, c = state
        H = self.hidden
        i, f, g, o = (wx + h @ U.T).chunk(4, dim=-1)
        p_i, p_f = (c @ self.P[: 2 * H].T).chunk(2, dim=-1)
        c = (f + p_f).sigmoid() * c + (i + p_i).sigmoid() * g.tanh()
        return (o + c @ self.P[2 * H :].T).sigmoid() * c.tanh(), c
