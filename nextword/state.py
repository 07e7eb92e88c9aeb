"""Operations on the states of models.

A state is a tree of tensors (tuples of tuples of tensors, or None) with the batch as dimension 0 of
every leaf. So the operations on states (detaching, reordering a beam, joining batches) are written
once for all models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .types import State


def tree_map(function: Callable[[Tensor], Tensor], state: State) -> State:
    """Return the tree with `function` applied to every tensor."""
    if state is None:
        return None
    if isinstance(state, Tensor):
        return function(state)
    if isinstance(state, tuple):
        return tuple(tree_map(function, part) for part in state)
    raise TypeError(f"a state holds tensors and tuples, not {type(state).__name__}")


def leaves(state: State) -> Iterator[Tensor]:
    """Yield the tensors of the tree, depth first."""
    if isinstance(state, Tensor):
        yield state
    elif state is not None:
        for part in state:
            yield from leaves(part)


def detach(state: State) -> State:
    """Detach every tensor from the graph that computed it (truncated BPTT)."""
    return tree_map(lambda t: t.detach(), state)


def select(state: State, rows: Tensor) -> State:
    """Select batch rows: `rows` (N,) int64 gives their indices in the order of the result."""
    return tree_map(lambda t: t.index_select(0, rows), state)


def repeat(state: State, times: int) -> State:
    """Repeat each batch row `times` times in succession: (B, ...) → (B·times, ...)."""
    return tree_map(lambda t: t.repeat_interleave(times, dim=0), state)


def concatenate(states: list[State]) -> State:
    """Join several states into one batch.

    Leaves (B, P, ...) may differ in the number P of past tokens; shorter ones are padded with zeros
    at their beginning.
    """
    first = states[0]
    if first is None:
        return None
    if isinstance(first, Tensor):
        if first.dim() > 1 and len({leaf.shape[1] for leaf in states}) > 1:
            longest = max(leaf.shape[1] for leaf in states)
            states = [_pad_left(leaf, longest - leaf.shape[1]) for leaf in states]
        return torch.cat(states, dim=0)
    return tuple(concatenate(list(parts)) for parts in zip(*states, strict=True))


def _pad_left(leaf: Tensor, places: int) -> Tensor:
    """Pad with zeros at the beginning of dimension 1: (B, P, ...) → (B, places + P, ...)."""
    zeros = leaf.new_zeros(len(leaf), places, *leaf.shape[2:])
    return torch.cat([zeros, leaf], dim=1)


def flatten(state: State, prefix: str = "state") -> dict[str, Tensor]:
    """Name the leaves, so that they can be written to a file; `unflatten` is the inverse."""
    if isinstance(state, Tensor):
        return {prefix: state}
    if state is None:
        return {}
    named: dict[str, Tensor] = {}
    for index, part in enumerate(state):
        named |= flatten(part, f"{prefix}.{index}")
    return named


def unflatten(like: State, named: dict[str, Tensor], prefix: str = "state") -> State:
    """Rebuild a tree from the leaves that `flatten` named.

    Args:
        like: a tree of the same structure, on the device for the result.

    Raises:
        KeyError: a leaf is missing.
    """
    if isinstance(like, Tensor):
        return named[prefix].to(like.device)
    if like is None:
        return None
    parts: tuple[Any, ...] = tuple(
        unflatten(part, named, f"{prefix}.{index}") for index, part in enumerate(like)
    )
    return parts
