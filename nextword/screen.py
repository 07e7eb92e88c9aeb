"""Progress bars and messages, all on standard error.

On a terminal progress is shown as a bar with speed and remaining time, elsewhere as one line per
minute. What cannot be shown, because the terminal is closed or the disk of a log file is full, is
dropped: the work that it tells of goes on.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import IO, TYPE_CHECKING, Protocol, Self, TextIO, cast

if TYPE_CHECKING:
    from rich.progress import Progress

Say = Callable[[str], None]  # shows a message of one line
Advance = Callable[[int], None]  # called with the number of units done since the last call
Bar = Callable[[int], Advance]  # starts a bar; called with the total number of units

_PLAIN_EVERY = 60.0  # seconds between two lines where there is no terminal


class Bars(Protocol):
    """A function that starts progress bars, one for each part of the work."""

    def __call__(self, label: str, total: int, unit: str = "MB") -> Advance:
        """Start a bar for `total` units. If the unit is MB, `total` and steps are in bytes."""
        ...


def _speed(units: float, unit: str) -> str:
    return f"{units / 1e6:,.1f} MB/s" if unit == "MB" else f"{units:,.0f} {unit}/s"


def clock(seconds: float) -> str:
    """Format a duration as hours, minutes and seconds (1:02:03) or without hours (2:03)."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


class _StandardError(io.TextIOBase):
    """Standard error as it is now; what cannot be written to it is dropped."""

    def __init__(self) -> None:
        self.stream: TextIO | None = sys.stderr  # None: the process was started without one

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream, which decides what bars are drawn with."""
        return self.stream.encoding if self.stream else "utf-8"

    def write(self, text: str) -> int:
        """Write a text, if that is possible."""
        if self.stream:
            with suppress(OSError, ValueError):  # the second: it has been closed
                self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        if self.stream:
            with suppress(OSError, ValueError):
                self.stream.flush()

    def isatty(self) -> bool:
        """Return whether bars can be shown."""
        with suppress(ValueError):
            return self.stream is not None and self.stream.isatty()
        return False

    def shows_bars(self) -> bool:
        """Return whether it is a terminal that can move its cursor."""
        return self.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def speaker(quiet: bool) -> Say:
    """Return a function that shows a message of one line; with `quiet` it does nothing."""
    if quiet:
        return lambda message: None
    out = _StandardError()

    def say(message: str) -> None:
        out.write(f"{message}\n")
        out.flush()

    return say


@contextmanager
def progress_bars(quiet: bool) -> Iterator[Bars]:
    """Show progress bars while the context is open.

    Example:
        with progress_bars(quiet=False) as bars:
            advance = bars("encoding", 3_000_000)
            advance(65_536)
    """
    out = _StandardError()
    if quiet or not out.shows_bars():
        say = speaker(quiet)
        yield lambda label, total, unit="MB": _PlainBar(say, label, total, unit).advance
        return
    from .terminal import bars_with_speed

    progress = bars_with_speed(cast(IO[str], out), _speed)

    def start(label: str, total: int, unit: str = "MB") -> Advance:
        task = progress.add_task(label, total=total, unit=unit)
        return lambda done: progress.advance(task, done)

    with progress:
        yield start


@contextmanager
def progress_bar(label: str, quiet: bool, unit: str = "tokens") -> Iterator[Bar]:
    """Show progress bars like `progress_bars`, all with the same label and unit."""
    with progress_bars(quiet) as bars:
        yield lambda total: bars(label, total, unit)


class _PlainBar:
    """Progress as one line per minute, where there is no terminal."""

    def __init__(self, say: Say, label: str, total: int, unit: str) -> None:
        self.say, self.label, self.total, self.unit = say, label, total, unit
        self.done = 0
        self.began = self.said = time.perf_counter()

    def advance(self, done: int) -> None:
        """Count `done` more units, and show a line if the last one is a minute old."""
        self.done += done
        now = time.perf_counter()
        if now - self.said < _PLAIN_EVERY:
            return
        self.said = now
        speed = self.done / (now - self.began)
        left = (self.total - self.done) / speed if speed else 0.0
        share = self.done / max(1, self.total)
        self.say(
            f"{self.label}: {share:.0%}  {_speed(speed, self.unit)}  {clock(max(0.0, left))} left"
        )


class TrainingBar:
    """The progress bar of a training, with messages above it.

    Without a terminal it shows one line of progress per minute instead.
    """

    def __init__(self, quiet: bool) -> None:
        self.said = time.perf_counter()
        self.bar: Progress | None = None
        out = _StandardError()
        if not quiet and out.shows_bars():
            from .terminal import bar_with_status

            self.bar = bar_with_status(cast(IO[str], out))
            self.task = self.bar.add_task("training", total=1.0, status="")
        self._say = speaker(quiet)

    def __enter__(self) -> Self:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar:
            self.bar.stop()

    def show(self, label: str, fraction: float, status: str) -> None:
        """Move the bar to `fraction` (from 0 to 1) and show `label` and `status` beside it."""
        if self.bar:
            self.bar.update(self.task, description=label, completed=fraction, status=status)
        elif (now := time.perf_counter()) - self.said >= _PLAIN_EVERY:
            self.said = now
            self.say(f"{label}  {fraction:.0%}  {status}")

    def say(self, message: str) -> None:
        """Show a message above the bar."""
        if self.bar:
            self.bar.console.print(message, markup=False, soft_wrap=True)
        else:
            self._say(message)
