"""Looking inside: values that a model notes down on its way while somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_open: ContextVar[dict[str, list[Tensor]] | None] = ContextVar("tap", default=None)


@contextmanager
def tap() -> Iterator[dict[str, list[Tensor]]]:
    """Within it, attention notes its weights: name → one tensor for each call, (B, heads, T, S)."""
    seen: dict[str, list[Tensor]] = {}
    token = _open.set(seen)
    try:
        yield seen
    finally:
        _open.reset(token)


def wanted() -> bool:
    """Whether somebody asks."""
    return _open.get() is not None


def note(name: str, value: Tensor) -> None:
    """Keep a value, if somebody asks."""
    seen = _open.get()
    if seen is not None:
        seen.setdefault(name, []).append(value.detach())
