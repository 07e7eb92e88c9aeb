"""The Mogrifier, for any cell: the input of a step and the previous output gate each other in turn
before the cell reads them (Melis, Kočiský, Blunsom 2020, arXiv:1909.01792, section 2, equations 1
and 2).

    x^-1 = x_t,  h^0 = h_{t-1}
    x^i = 2 σ(Q_i h^{i-1}) ∘ x^{i-2}     odd i
    h^i = 2 σ(R_i x^{i-1}) ∘ h^{i-2}     even i,   i = 1 … rounds

Q_i and R_i are products of two matrices of low rank (section 2 of the paper: "to reduce the number
of parameters"). If they are zero, every gate is 2 σ(0) = 1 and the cell is unchanged.

The last x^i goes to the cell's product with W, the last h^i to its product with U. What a cell
carries over to the next step beside these products is not gated: the c of an LSTM, as in the paper,
Mogrify(x, c, h) = LSTM(x^last, c, h^last), and so also the h that a GRU interpolates with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .cells.cell import Cell


class Mogrifier(nn.Module):
    """The gating matrices of a layer. Sizes: B batch, I input, H hidden."""

    def __init__(self, inputs: int, hidden: int, rounds: int, rank: int) -> None:
        """`rank`: the rank of the gating matrices; 0 = full rank."""
        super().__init__()
        self.rounds = rounds
        self.gatings = nn.ModuleList()
        for i in range(1, rounds + 1):
            source, target = (hidden, inputs) if i % 2 else (inputs, hidden)
            if rank:
                parts = [nn.Linear(source, rank, bias=False), nn.Linear(rank, target, bias=False)]
            else:
                parts = [nn.Linear(source, target, bias=False)]
            self.gatings.append(nn.Sequential(*parts))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, I), h (B, H) → both after all rounds of gating."""
        for i, gating in enumerate(self.gatings, start=1):
            if i % 2:
                x = 2 * gating(h).sigmoid() * x
            else:
                h = 2 * gating(x).sigmoid() * h
        return x, h

    def run(
        self,
        cell: Cell,
        x: Tensor,
        state: tuple[Tensor, ...],
        W: Tensor,
        U: Tensor,
        b: Tensor,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """x (T, B, I), state → outputs h_1 … h_T (T, B, H) and the last state. It runs step by
        step, because the gated input of a step needs the output of the step before."""
        outputs = []
        for x_t in x:
            x_t, h = self(x_t, state[0])
            state = cell.gated_step(x_t @ W.T + b, state, h, U)
            outputs.append(state[0])
        return torch.stack(outputs), state
