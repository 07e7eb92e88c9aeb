"""The GRU with the reset gate after the recurrent product, as cuDNN and torch compute it (Cho et
al. 2014, arXiv:1406.1078; this variant is in version 1 of that paper).

    r, z, n = blocks of W x_t + b          r', z', n' = blocks of U h_{t-1}
    r_t = σ(r + r')                         z_t = σ(z + z')
    n_t = tanh(n + r_t ∘ (n' + b_n'))
    h_t = (1 - z_t) ∘ n_t + z_t ∘ h_{t-1}   (z = 1 keeps the old state)

Under a Mogrifier the product with U reads the gated h~_{t-1}; the last line keeps h_{t-1}.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .cell import Cell


class GRU(Cell):
    """The GRU that resets after the product."""

    gates = 3  # reset, update, candidate: the order of torch
    torch_layer = "gru"
    loops = "gru"

    def __init__(self, hidden: int) -> None:
        super().__init__(hidden)
        self.b_n = nn.Parameter(torch.empty(hidden))  # multiplied by the reset gate

    def step(self, wx: Tensor, state: tuple[Tensor, ...], U: Tensor) -> tuple[Tensor, ...]:
        return self.gated_step(wx, state, state[0], U)

    def gated_step(
        self, wx: Tensor, state: tuple[Tensor, ...], gated: Tensor, U: Tensor
    ) -> tuple[Tensor, ...]:
        (h,) = state
        r, z, n = wx.chunk(3, dim=-1)
        r_h, z_h, n_h = (gated @ U.T).chunk(3, dim=-1)
        z = (z + z_h).sigmoid()
        n = (n + (r + r_h).sigmoid() * (n_h + self.b_n)).tanh()
        return ((1 - z) * n + z * h,)

    def torch_biases(self, b: Tensor) -> tuple[Tensor, Tensor]:
        zeros = torch.zeros_like(b[: 2 * self.hidden])
        return b, torch.cat([zeros, self.b_n])
