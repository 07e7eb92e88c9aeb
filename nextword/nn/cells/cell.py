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
    """One step of a recurrent layer. The first tensor of its state is the output h (B, H).

    A cell is one file and one line in the registry: what generic code needs to know stands in the
    class variables below. Fast twins are optional, and `step` is what they must equal.
    """

    gates: ClassVar[int]
    state_names: ClassVar[tuple[str, ...]] = ("h",)  # of the state's tensors (B, H), h first
    torch_layer: ClassVar[str | None] = None  # torch's layer of the same function
    loops: ClassVar[str | None] = None  # our fast loops of the same function (kernels/recurrence)

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden

    def start(self, batch_size: int, like: Tensor) -> tuple[Tensor, ...]:
        """The state before the first step: zeros (B, H), dtype and device of `like`."""
        zeros = like.new_zeros(batch_size, self.hidden)
        return tuple(zeros.clone() for _ in self.state_names)

    @property
    def own_parameter(self) -> nn.Parameter | None:
        """What `loops` read besides the layer's W, U and b: a cell that has some owns one
        parameter at most."""
        return next(self.parameters(), None)

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
