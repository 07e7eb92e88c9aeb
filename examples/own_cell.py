"""Add a recurrent cell of your own: a class with its equation, and one line in the registry.

The example is the minimal gated unit, a GRU with a single gate (Zhou et al. 2016,
arXiv:1603.09420).

    f_t = σ(W_f x_t + U_f h_{t-1} + b_f)
    h_t = (1 - f_t) ∘ h_{t-1} + f_t ∘ tanh(W_n x_t + U_n (f_t ∘ h_{t-1}) + b_n)

    python examples/own_cell.py [TEXT] [RUN]
"""

from __future__ import annotations

import sys
from pathlib import Path

from torch import Tensor

import nextword
from nextword.nn.cells.cell import Cell
from nextword.registry import REGISTRY


class MinimalGatedUnit(Cell):
    """The minimal gated unit."""

    gates = 2  # forget gate f and candidate n: blocks of H rows in W, U and b

    def step(self, wx: Tensor, state: tuple[Tensor, ...], U: Tensor) -> tuple[Tensor, ...]:
        """wx (B, 2·H) is W x_t + b; U (2·H, H) → the state (h_t,), h_t (B, H)."""
        (h,) = state
        wx_f, wx_n = wx.chunk(2, dim=-1)
        U_f, U_n = U.chunk(2, dim=0)
        f = (wx_f + h @ U_f.T).sigmoid()
        n = (wx_n + (f * h) @ U_n.T).tanh()
        return ((1 - f) * h + f * n,)


REGISTRY["cell"]["mgu"] = f"{__name__}:MinimalGatedUnit"

if __name__ == "__main__":
    text = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "shakespeare.txt"
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("runs/own-cell")
    settings = {"model.cell": "mgu", "text.tokenizer": "char", "train.epochs": 1}
    settings |= {"model.hidden": 64, "model.embedding": 32}
    run = nextword.train("lstm", text, out, overrides=settings, overwrite=True)
    print(f"{nextword.evaluate(run, text).bits_per_char:.3f} bits per character")
