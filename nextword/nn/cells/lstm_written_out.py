"""The LSTM as textbooks write it, with a product for each gate.

    i_t = σ(W_i x_t + U_i h_{t-1} + b_i)           input gate: what to write
    f_t = σ(W_f x_t + U_f h_{t-1} + b_f)           forget gate: what to keep
    g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)        candidate: what could be written
    o_t = σ(W_o x_t + U_o h_{t-1} + b_o)           output gate: what to output
    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t
    h_t = o_t ∘ tanh(c_t)

It is the same function of the same parameters as `lstm`, with four products instead of one.
"""

from __future__ import annotations

from torch import Tensor

from .lstm import LSTM


class WrittenOutLSTM(LSTM):
    """The LSTM, computed gate by gate."""

    torch_layer = loops = None  # this code is for reading: it always runs as it is written

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
