"""Ctrl-C between two steps, never inside one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupt:
    """After Ctrl-C (or SIGTERM) `requested` is true; outside `step()` KeyboardInterrupt is raised
    at once, inside it when the step is done: a step is short, and half of one must not be saved."""

    def __init__(self) -> None:
        self.requested = False
        self._inside = False

    @contextmanager
    def step(self) -> Iterator[None]:
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
        if self.requested:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: Any) -> None:
        self.requested = True
        if not self._inside:
            raise KeyboardInterrupt

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Signals are caught within; elsewhere than in the main thread nothing is."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, self._handle) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)
