"""The GRU with the reset gate before the recurrent product, as most papers and tutorials write it
(Cho et al. 2014, arXiv:1406.1078, section 2.3; Chung et al. 2014, arXiv:1412.3555, section 3.2).

    r_t = σ(W_r x_t + U_r h_{t-1} + b_r)
    z_t = σ(W_z x_t + U_z h_{t-1} + b_z)
    n_t = tanh(W_n x_t + U_n (r_t ∘ h_{t-1}) + b_n)
    h_t = (1 - z_t) ∘ n_t + z_t ∘ h_{t-1}

Under a Mogrifier the first three lines read the gated h~_{t-1}; the last one keeps h_{t-1}.
"""

from __future__ import annotations

from torch import Tensor

from .cell import Cell


class GRUBefore(Cell):
    """The GRU that resets before the product."""

    gates = 3  # reset, update, candidate
    loops = "gru-before"

    def step(self, wx: Tensor, state: tuple[Tensor, ...], U: Tensor) -> tuple[Tensor, ...]:
        return self.gated_step(wx, state, state[0], U)

    def gated_step(
        self, wx: Tensor, state: tuple[Tensor, ...], gated: Tensor, U: Tensor
    ) -> tuple[Tensor, ...]:
        (h,) = state
        H = self.hidden
        gates = (wx[:, : 2 * H] + gated @ U[: 2 * H].T).sigmoid()
        r, z = gates.chunk(2, dim=-1)
        n = (wx[:, 2 * H :] + (r * gated) @ U[2 * H :].T).tanh()
        return ((1 - z) * n + z * h,)
