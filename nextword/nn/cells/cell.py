"""What a recurrent cell is.

A cell holds no matrices: the layer computes `wx = x Wᵀ + b` for all time steps at once and hands
the recurrent matrix U to every step. So weight drop is a mask on U, one line for every cell.

Sizes: B batch, I input, H hidden, G the number of gates (blocks of H rows in W, U and b).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn


class Cell(nn.Module, ABC):
    """One step of a recurrent layer. The first tensor of its state is the output h (B, H)."""

    gates: ClassVar[int]
    state_size: ClassVar[int] = 1  # tensors of width H in the state
    torch_layer: ClassVar[str | None] = None  # torch's layer of the same function
    loops: ClassVar[str | None] = None  # our fast loops of the same function (kernels/recurrence)

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden

    def start(self, batch_size: int, like: Tensor) -> tuple[Tensor, ...]:
        """The state before the first step: zeros (B, H), dtype and device of `like`."""
        zeros = like.new_zeros(batch_size, self.hidden)
        return tuple(zeros.clone() for _ in range(self.state_size))

    @abstractmethod
    def step(self, wx: Tensor, state: tuple[Tensor, ...], U: Tensor) -> tuple[Tensor, ...]:
        """`wx` (B, G·H), state, U (G·H, H) → the state one step later."""

    def torch_biases(self, b: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's bias as torch's two: added to the input product, to the recurrent one."""
        return b, torch.zeros_like(b)

    def init(self, W: Tensor, U: Tensor, b: Tensor) -> None:
        """Fill the layer's W (G·H, I), U (G·H, H) and b (G·H): uniform in ±1/√H, as torch does."""
        bound = self.hidden**-0.5
        for parameter in (W, U, b, *self.parameters()):
            nn.init.uniform_(parameter, -bound, bound)
