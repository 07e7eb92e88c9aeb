"""The types of progress callbacks."""

from __future__ import annotations

from collections.abc import Callable

#: called with the number of items that have just been done
Progress = Callable[[int], None]

#: (label, total, unit) → a `Progress`
Bar = Callable[[str, int, str], Progress]


def no_bar(label: str, total: int, unit: str) -> Progress:
    """A `Bar` that shows nothing."""
    return lambda done: None
