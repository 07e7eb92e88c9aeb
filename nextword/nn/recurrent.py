"""Recurrent layers and stacks of them. Time is the first dimension: x (T, B, I)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from .. import registry
from . import kernels
from .cells.cell import Cell
from .dropout import dropout, mask_like, weight_mask
from .mogrifier import Mogrifier
from .state_recording import record, recording


class RecurrentLayer(nn.Module):
    """A cell with its matrices W and U and its bias b, run over a sequence."""

    def __init__(
        self,
        cell: str,
        inputs: int,
        hidden: int,
        weight_drop: float = 0.0,
        mogrify: tuple[int, int] = (0, 0),
        input_drop: float = 0.0,
    ) -> None:
        """Make a layer.

        Args:
            cell: the name of the cell in the registry.
            inputs: I.
            hidden: H.
            weight_drop: probability with which an entry of U is dropped.
            mogrify: rounds and rank of a `Mogrifier`; 0 rounds = none.
            input_drop: probability with which an entry of W is dropped.
        """
        super().__init__()
        self.cell: Cell = registry.load("cell", cell)(hidden)
        rows = self.cell.gates * hidden
        self.W = nn.Parameter(torch.empty(rows, inputs))
        self.U = nn.Parameter(torch.empty(rows, hidden))
        self.b = nn.Parameter(torch.empty(rows))
        self.weight_drop, self.input_drop = weight_drop, input_drop
        self.mogrifier = Mogrifier(inputs, hidden, *mogrify) if mogrify[0] else None
        self.cell.init(self.W, self.U, self.b)

    def start(self, batch_size: int) -> tuple[Tensor, ...]:
        return self.cell.start(batch_size, self.U)

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """x (T, B, I), state → outputs h_1 … h_T (T, B, H), the last state."""
        if not recording():
            return self._run(x, state)
        outputs = []
        for x_t in x:
            _, state = self._run(x_t[None], state)
            record(self, state)
            outputs.append(state[0])
        return torch.stack(outputs), state

    def _run(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        mask = weight_mask(self.U, self.weight_drop, self.training)
        input_mask = weight_mask(self.W, self.input_drop, self.training)
        W = self.W if input_mask is None else self.W * input_mask
        if self.mogrifier is not None:
            U = self.U if mask is None else self.U * mask
            return self.mogrifier.run(self.cell, x, state, W, U, self.b)
        how = kernels.choose(self.cell, x)
        return kernels.run(how, self.cell, x, state, W, self.U, self.b, mask)


class RecurrentStack(nn.Module):
    """Recurrent layers on top of each other, with dropout between them.

    Example:
        >>> stack = RecurrentStack("lstm", [8, 16, 16])  # two layers
        >>> outputs, state = stack(torch.zeros(5, 2, 8), stack.start(2))
        >>> outputs.shape, len(state)
        (torch.Size([5, 2, 16]), 2)
    """

    def __init__(
        self,
        cell: str,
        widths: list[int],
        dropout: float = 0.0,
        locked: bool = True,
        weight_drop: float = 0.0,
        mogrify: tuple[int, int] = (0, 0),
        input_drop: float = 0.0,
    ) -> None:
        """`widths`: the width of the input, then of each layer. The other arguments are those of
        `RecurrentLayer` and `dropout`."""
        super().__init__()
        layers = [
            RecurrentLayer(cell, inputs, hidden, weight_drop, mogrify, input_drop)
            for inputs, hidden in pairwise(widths)
        ]
        self.layers: Sequence[RecurrentLayer] = nn.ModuleList(layers)  # type: ignore[assignment]
        self.dropout = dropout
        self.locked = locked

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer, from the bottom up."""
        return [list(layer.parameters()) for layer in self.layers]

    def start(self, batch_size: int) -> tuple[tuple[Tensor, ...], ...]:
        """The state before the first step: for each layer the tensors (B, H) of its cell."""
        return tuple(layer.start(batch_size) for layer in self.layers)

    def masks(self, like: Tensor) -> list[Tensor] | None:
        """Dropout masks between the layers, for a sequence (T, B, I) `like` this one that is read
        in several calls. None if nothing is dropped, or if dropout is not locked."""
        if not (self.training and self.dropout and self.locked):
            return None
        widths = [layer.U.shape[1] for layer in self.layers[:-1]]
        return [mask_like(like.new_empty(1, like.shape[1], w), self.dropout) for w in widths]

    def forward(
        self,
        x: Tensor,
        state: tuple[tuple[Tensor, ...], ...],
        masks: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, tuple[tuple[Tensor, ...], ...]]:
        """x (T, B, I), state → outputs of the last layer (T, B, H), the last state. `masks` are
        those of the method `masks`; None = new ones are drawn."""
        last = []
        for index, layer in enumerate(self.layers):
            if index and masks:
                x = x * masks[index - 1]
            elif index:
                x = dropout(x, self.dropout, self.training, self.locked)
            x, layer_state = layer(x, state[index])
            last.append(layer_state)
        return x, tuple(last)
