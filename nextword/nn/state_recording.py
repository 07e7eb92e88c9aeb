"""Records the states of recurrent layers, step by step, inside `record_states`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

Recorded = dict[nn.Module, list[tuple[Tensor, ...]]]

_open: ContextVar[Recorded | None] = ContextVar("recurrent states", default=None)


@contextmanager
def record_states() -> Iterator[Recorded]:
    """A context manager inside which every recurrent layer runs step by step and records its state
    after each step, if gradients are computed.

    Yields a dictionary: a layer → its states, tuples of tensors (B, H), in the order in which it
    computed them. Gradients with respect to them count all paths to what is computed from them.

    Example:
        with record_states() as states:
            state = model.advance(ids, model.start(1))
        len(states[model.stack.layers[0]])  # ids.shape[1]
    """
    states: Recorded = {}
    token = _open.set(states)
    try:
        yield states
    finally:
        _open.reset(token)


@contextmanager
def pause_recording() -> Iterator[None]:
    """A context manager inside which layers run as they do outside `record_states`."""
    token = _open.set(None)
    try:
        yield
    finally:
        _open.reset(token)


def recording() -> bool:
    """Whether the code runs inside `record_states` and computes gradients."""
    return _open.get() is not None and torch.is_grad_enabled()


def record(layer: nn.Module, state: tuple[Tensor, ...]) -> None:
    """Keep the state of a layer after a step. From here on it has a gradient, even if all weights
    are frozen."""
    for part in state:
        if not part.requires_grad:
            part.requires_grad_()
    found = _open.get()
    assert found is not None
    found.setdefault(layer, []).append(state)
