"""Records the attention weights of a model while it runs inside `record_attention`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_open: ContextVar[dict[str, list[Tensor]] | None] = ContextVar("attention weights", default=None)


@contextmanager
def record_attention() -> Iterator[dict[str, list[Tensor]]]:
    """A context manager inside which every attention records its weights.

    Yields a dictionary: the name of an attention → a list with one tensor (B, heads, T, S) for each
    call, without gradient.

    Example:
        with record_attention() as weights:
            model.forward(ids, state)
        weights["layer.0.self"][0]
    """
    weights: dict[str, list[Tensor]] = {}
    token = _open.set(weights)
    try:
        yield weights
    finally:
        _open.reset(token)


def recording() -> bool:
    """Whether the code runs inside `record_attention`."""
    return _open.get() is not None


def record(name: str, weights: Tensor) -> None:
    """Keep the weights (B, heads, T, S) of one call, inside `record_attention`; else do nothing."""
    found = _open.get()
    if found is not None:
        found.setdefault(name, []).append(weights.detach())
