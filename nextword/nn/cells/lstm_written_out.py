"""LSTM as a reader first learns it: every gate with a product of its own.

    i_t = σ(W_i x_t + U_i h_{t-1} + b_i)           what to write
    f_t = σ(W_f x_t + U_f h_{t-1} + b_f)           what to keep
    g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)        what could be written
    o_t = σ(W_o x_t + U_o h_{t-1} + b_o)           what to show
    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t
    h_t = o_t ∘ tanh(c_t)

The same function and the same parameters as `lstm`, four products instead of one.
"""

from __future__ import annotations

from torch import Tensor

from .lstm import LSTM


class WrittenOutLSTM(LSTM):
    """LSTM, gate by gate."""

    torch_layer = loops = None  # here to be read: it always runs as written

    def step(self, wx: Tensor, state: tuple[Tensor, ...], U: Tensor) -> tuple[Tensor, ...]:
        h, c = state
        wx_i, wx_f, wx_g, wx_o = wx.chunk(4, dim=-1)
        U_i, U_f, U_g, U_o = U.chunk(4, dim=0)
        i = (wx_i + h @ U_i.T).sigmoid()
        f = (wx_f + h @ U_f.T).sigmoid()
        g = (wx_g + h @ U_g.T).tanh()
        o = (wx_o + h @ U_o.T).sigmoid()
        c = f * c + i * g
        return o * c.tanh(), c
