"""The whole program `nextword`."""

from __future__ import annotations

from .program import VERBS, program

__all__ = ["VERBS", "app"]

app = program()
