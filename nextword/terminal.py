"""Progress bars on a terminal, drawn by rich, which takes time to import."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_WIDTH = 24  # characters of a bar


class _Speed(ProgressColumn):
    """A column of a bar that shows units per second, as `shown` writes them."""

    def __init__(self, shown: Callable[[float, str], str]) -> None:
        super().__init__()
        self.shown = shown

    def render(self, task: Task) -> Text:
        return Text(self.shown(task.finished_speed or task.speed or 0, task.fields["unit"]))


def bars_with_speed(file: IO[str], speed: Callable[[float, str], str]) -> Progress:
    """Bars that disappear when they are stopped, with speed and remaining time.

    Args:
        speed: writes a number of units per second; the unit is a task's field `unit`.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=_WIDTH),
        TextColumn("{task.percentage:>3.0f} %"),
        _Speed(speed),
        TimeRemainingColumn(),
        console=_console(file),
        transient=True,
    )


def bar_with_status(file: IO[str]) -> Progress:
    """A bar that stays, with a text beside it: a task's field `status`."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=_WIDTH),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[status]}"),
        console=_console(file),
    )


def _console(file: IO[str]) -> Console:
    return Console(file=file, highlight=False)
