"""How long work tells of its progress."""

from __future__ import annotations

from collections.abc import Callable

#: told of every few that are done
Progress = Callable[[int], None]

#: (label, total, unit) → a function told of every few done
Bar = Callable[[str, int, str], Progress]


def no_bar(label: str, total: int, unit: str) -> Progress:
    """A `Bar` that shows nothing."""
    return lambda done: None
