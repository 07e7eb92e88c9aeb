"""The process of a command line: its standard streams, its warnings, and what Ctrl-C does to it.

Nothing here takes long to import, so that Ctrl-C is understood from the first moment on.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType


def open_streams() -> None:
    """Make the three standard streams usable, whatever the process was started with.

    A stream that is closed becomes /dev/null; the next file that is opened would take its place
    otherwise. Output is UTF-8 in every locale, as all input is. The bytes of a file name that are
    not UTF-8 are written as they are.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            file = os.open(os.devnull, os.O_RDWR)
            if file != number:
                os.dup2(file, number)
                os.close(file)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        stream.reconfigure(encoding="utf-8", errors=errors)  # type: ignore[union-attr]


def say(message: str) -> None:
    """Print a message as one line on standard error, if anybody can read it."""
    with suppress(OSError, ValueError):
        print(f"nextword: {' '.join(message.split())}", file=sys.stderr, flush=True)


def drop_unwritten() -> None:
    """Send what a stream cannot write to /dev/null; Python would complain about it at the end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def warn_in_one_line() -> None:
    """Show warnings as messages, without the place in the code; and none about missing caches."""
    import logging
    import warnings

    def show(message: Warning | str, *place: object, **more: object) -> None:
        say(f"warning: {message}")

    warnings.showwarning = show
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns if there is no home


#: Ctrl-C, what `kill` and job queues send, and a terminal or connection that was closed.
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class CtrlC:
    """What Ctrl-C does, and SIGTERM and SIGHUP with it. What the process was started to ignore, as
    SIGHUP after `nohup`, it goes on ignoring.

    While a verb works, KeyboardInterrupt is raised, so that it can clear up. Before and after,
    while modules are loaded and the interpreter shuts down, the process ends at once: there an
    exception would be shown as a traceback, or be taken for another error.
    """

    def __init__(self) -> None:
        self.pressed = False

    def ends_the_process(self) -> None:
        """From here on Ctrl-C ends the process at once, with status 130."""
        self._set(self._end)

    def interrupts_the_work(self) -> None:
        """From here on Ctrl-C raises KeyboardInterrupt, and `pressed` tells of it."""
        self._set(self._raise)
        sys.unraisablehook = self._not_lost

    def _set(self, handler: signal._HANDLER) -> None:
        for name in _SIGNALS:
            number = signal.Signals.__members__.get(name)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                signal.signal(number, handler)

    def _end(self, number: int = 0, frame: FrameType | None = None) -> None:
        with suppress(OSError):  # not `say`: the signal may have come while that is printing
            os.write(2, b"nextword: stopped\n")
        os._exit(130)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True
        raise KeyboardInterrupt

    def _not_lost(self, unraisable: sys.UnraisableHookArgs) -> None:
        """End the process if Python ignores the exception, as it does in a destructor."""
        if unraisable.exc_type is KeyboardInterrupt:
            self._end()
        sys.__unraisablehook__(unraisable)
