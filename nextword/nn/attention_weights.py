"""Attention weights, recorded while a model runs and somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_open: ContextVar[dict[str, list[Tensor]] | None] = ContextVar("attention weights", default=None)


@contextmanager
def record_attention() -> Iterator[dict[str, list[Tensor]]]:
    """Within it every attention records its weights: name → one tensor a call, (B, heads, T, S),
    without gradient.

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
    """Whether somebody asks for weights."""
    return _open.get() is not None


def record(name: str, weights: Tensor) -> None:
    """Keep the weights (B, heads, T, S) of one call, if somebody asks for them."""
    found = _open.get()
    if found is not None:
        found.setdefault(name, []).append(weights.detach())
