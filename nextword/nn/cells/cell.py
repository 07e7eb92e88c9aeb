"""The interface of recurrent cells.

The matrices belong to the layer, not to the cell: the layer computes `wx = x Wᵀ + b` for all time
steps at once and passes the recurrent matrix U to every step. So weight drop is a mask on U, the
same for every cell.

Sizes: B batch, I input, H hidden, G the number of gates (blocks of H rows in W, U and b).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn


class Cell(nn.Module, ABC):
    """One step of a recurrent layer. The state is a tuple of tensors (B, H); the first one is the
    output h.

    A new cell needs one class, in a file of its own, and one line in the registry; its class
    variables say what the rest of the code must know. A cell may name faster implementations,
    which must give the same results as `step`.

    Example:
        >>> from nextword.nn.cells.elman import Elman
        >>> cell, U = Elman(hidden=3), torch.zeros(3, 3)
        >>> state = cell.start(2, like=U)
        >>> (h,) = cell.step(torch.ones(2, 3), state, U)  # tanh(1) everywhere
        >>> h.shape
        torch.Size([2, 3])
    """

    gates: ClassVar[int]  # G
    state_names: ClassVar[tuple[str, ...]] = ("h",)  # names of the state's tensors, h first
    bounded: ClassVar[bool] = True  # whether h stays small, however long the text is
    torch_layer: ClassVar[str | None] = None  # the torch layer that computes the same, if any
    loops: ClassVar[str | None] = None  # the loops in kernels/recurrence that do, if any

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden

    def start(self, batch_size: int, like: Tensor) -> tuple[Tensor, ...]:
        """The state before the first step: a tuple of zeros (B, H) with the dtype and device of
        `like`."""
        zeros = like.new_zeros(batch_size, self.hidden)
        return tuple(zeros.clone() for _ in self.state_names)

    @property
    def own_parameter(self) -> nn.Parameter | None:
        """The parameter of the cell itself, besides the layer's W, U and b; None if it has none. A
        cell with `loops` has at most one."""
        return next(self.parameters(), None)

    @abstractmethod
    def step(self, wx: Tensor, state: tuple[Tensor, ...], U: Tensor) -> tuple[Tensor, ...]:
        """One time step.

        Args:
            wx: (B, G·H) the input's part of the gates, W x_t + b.
            state: tensors (B, H), named by `state_names`.
            U: (G·H, H) the recurrent matrix.

        Returns:
            The state after the step.

        Example:
            (h,) = cell.step(x_t @ W.T + b, (h,), U)
        """

    def gated_step(
        self, wx: Tensor, state: tuple[Tensor, ...], gated: Tensor, U: Tensor
    ) -> tuple[Tensor, ...]:
        """One time step in which the products with U read `gated` (B, H) instead of h.

        A `Mogrifier` scales h for them. A cell that also carries h over to the next step, as a GRU
        does, must carry h itself: scaled by up to 2 in every step it would grow without bound.
        """
        return self.step(wx, (gated, *state[1:]), U)

    def torch_biases(self, b: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's bias b (G·H,) as the two biases (G·H,) of a torch layer: one is added to the
        input's product, one to the recurrent product."""
        return b, torch.zeros_like(b)

    def init(self, W: Tensor, U: Tensor, b: Tensor) -> None:
        """Initialise the layer's W (G·H, I), U (G·H, H) and b (G·H), and the cell's own parameter:
        uniform in ±1/√H, as in torch."""
        bound = self.hidden**-0.5
        for parameter in (W, U, b, *self.parameters()):
            nn.init.uniform_(parameter, -bound, bound)
