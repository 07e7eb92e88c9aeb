"""Handling of Ctrl-C and other signals: a training stops between two steps, never inside one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Ctrl-C, what `kill` and job queues send, and a terminal or connection that was closed.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupt:
    """Raises KeyboardInterrupt after a signal that asks the process to end, but not inside a step.

    Outside `step()` it is raised at once, inside when the step is done: a step is short, and a half
    one must not be saved. `requested` is true from the signal on.
    """

    def __init__(self) -> None:
        self.requested = False
        self._inside = False

    @contextmanager
    def step(self) -> Iterator[None]:
        """Delay the interrupt to the end of this context."""
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
        """Catch the signals while the context is open; only the main thread can.

        Signals that the process ignores stay ignored, as SIGHUP does after `nohup`.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        known = signal.Signals.__members__  # Windows has no SIGHUP
        numbers = [known[name] for name in _NAMES if name in known]
        numbers = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
        before = [signal.signal(number, self._handle) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)
