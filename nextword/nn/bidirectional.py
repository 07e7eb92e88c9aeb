"""Recurrent layers over whole texts of different lengths, in one direction or in both (Schuster and
Paliwal 1997). Time is the first dimension: x (T, B, I)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..state import concatenate, select
from ..types import State
from .dropout import dropout
from .recurrent import RecurrentLayer


def run_lengths(layer: RecurrentLayer, x: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
    """Run a layer over rows of different lengths; each row gets exactly the result that it would
    have alone.

    x (T, B, I), lengths (B,) from 1 to T → outputs (T, B, H), zero after the end of a row, and the
    state of each row after its last step. A row leaves the batch when it ends, so padding costs no
    time.
    """
    ends, order = lengths.sort(descending=True, stable=True)
    rows = x.index_select(1, order)
    state: State = layer.start(len(order))
    outputs, finished = [], []
    begin = 0
    for end in sorted(set(ends.tolist())):
        active = int((ends >= end).sum())
        leaving = state_rows(state, active, None)
        if leaving is not None:
            finished.append(leaving)
        state = state_rows(state, 0, active)
        out, state = layer(rows[begin:end, :active], state)
        missing = out.new_zeros(end - begin, len(order) - active, out.shape[2])
        outputs.append(torch.cat([out, missing], dim=1))
        begin = end
    outputs.append(x.new_zeros(len(x) - begin, len(order), outputs[0].shape[2]))
    back = order.argsort()
    last = concatenate([state, *reversed(finished)])
    return torch.cat(outputs).index_select(1, back), select(last, back)


def state_rows(state: State, start: int, stop: int | None) -> State:
    """The rows `start` to `stop` - 1 of a layer's state; None if there are none."""
    if not len(state[0][start:stop]):
        return None
    return tuple(leaf[start:stop] for leaf in state)


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each row of x (T, B, ...) within its length (B,); the padding stays at the end.

    Example:
        >>> reverse(torch.tensor([[1], [2], [0]]), torch.tensor([2])).tolist()
        [[2], [1], [0]]
    """
    t = torch.arange(len(x), device=x.device)[:, None]
    place = torch.where(t < lengths, lengths - 1 - t, t)  # (T, B)
    return x[place, torch.arange(x.shape[1], device=x.device)]


class Bidirectional(nn.Module):
    """A stack of bidirectional layers: each has a forward and a backward half of width H / 2, whose
    outputs are concatenated for the next layer."""

    def __init__(self, cell: str, widths: list[int], dropout: float = 0.0, locked: bool = True):
        """`widths`: the width of the input, then of each layer (both directions together).

        Raises:
            ValueError: the width of a layer is odd.
        """
        super().__init__()
        if any(width % 2 for width in widths[1:]):
            raise ValueError(f"two directions share a layer's width: {widths[1:]} must be even")
        pairs = [(inputs, width // 2) for inputs, width in pairwise(widths)]
        onward, backward = (
            nn.ModuleList(RecurrentLayer(cell, *sizes) for sizes in pairs) for _ in range(2)
        )
        self.to_right: Sequence[RecurrentLayer] = onward  # type: ignore[assignment]
        self.to_left: Sequence[RecurrentLayer] = backward  # type: ignore[assignment]
        self.dropout, self.locked = dropout, locked

    def by_direction(self) -> dict[str, Sequence[RecurrentLayer]]:
        """The layers of each direction, from the bottom up."""
        return {"to the right": self.to_right, "to the left": self.to_left}

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer, both directions, from the bottom up."""
        pairs = zip(self.to_right, self.to_left, strict=True)
        return [[*onward.parameters(), *backward.parameters()] for onward, backward in pairs]

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """x (T, B, I), lengths (B,) → outputs (T, B, H), and for each layer the last states of both
        directions, concatenated: the tensors (B, H) of its cell."""
        last = []
        for index, (onward, backward) in enumerate(zip(self.to_right, self.to_left, strict=True)):
            if index:
                x = dropout(x, self.dropout, self.training, self.locked)
            there, end = run_lengths(onward, x, lengths)
            back, beginning = run_lengths(backward, reverse(x, lengths), lengths)
            x = torch.cat([there, reverse(back, lengths)], dim=2)
            last.append(tuple(map(lambda a, b: torch.cat([a, b], dim=1), end, beginning)))
        return x, tuple(last)


class OneWay(nn.Module):
    """A stack of layers that read from left to right, with the same interface as
    `Bidirectional`."""

    def __init__(self, cell: str, widths: list[int], dropout: float = 0.0, locked: bool = True):
        super().__init__()
        layers = nn.ModuleList(RecurrentLayer(cell, *sizes) for sizes in pairwise(widths))
        self.layers: Sequence[RecurrentLayer] = layers  # type: ignore[assignment]
        self.dropout, self.locked = dropout, locked

    def by_direction(self) -> dict[str, Sequence[RecurrentLayer]]:
        """The layers, from the bottom up, as those of one direction."""
        return {"to the right": self.layers}

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer, from the bottom up."""
        return [list(layer.parameters()) for layer in self.layers]

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """x (T, B, I), lengths (B,) → outputs (T, B, H), and the last state of each layer."""
        last = []
        for index, layer in enumerate(self.layers):
            if index:
                x = dropout(x, self.dropout, self.training, self.locked)
            x, state = run_lengths(layer, x, lengths)
            last.append(state)
        return x, tuple(last)
