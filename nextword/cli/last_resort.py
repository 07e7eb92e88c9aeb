"""What is said about an error that nobody foresaw, and where its traceback goes."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
import traceback
from importlib import metadata

from ..version import __version__

_PACKAGES = ("torch", "numpy", "numba", "tokenizers", "safetensors", "pydantic", "typer")
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "unable to allocate", "bad_alloc")
_LONGEST = 200  # characters of an error's own message that are shown
_HINTS: tuple[tuple[type[Exception], str], ...] = (
    (RecursionError, "something in the input is nested too deeply"),
    (UnicodeError, "some text is not valid Unicode; look at the input, the arguments and names"),
    (OverflowError, "a number is too large; look at the settings and options"),
    (ImportError, "a package is missing or damaged; install nextword again"),
)


def explain(error: BaseException, *, debug: bool) -> str:
    """Return the message for an error: a hint, the error itself, and where its traceback is.

    Args:
        debug: the traceback has been shown already; no report is written.
    """
    what = " ".join(str(error).split())[:_LONGEST]
    message = f"{_hint(error)} ({type(error).__name__}{': ' if what else ''}{what})"
    if debug:
        return message
    report = write_report(error)
    where = f"the traceback is in '{report}'" if report else "no report could be written"
    return f"{message}; {where}, and --debug shows it"


def write_report(error: BaseException) -> str | None:
    """Write the traceback and what is needed to understand it into a temporary file.

    Returns:
        The file; None if there is no place for one.
    """
    try:
        lines = [
            f"nextword {__version__}, Python {platform.python_version()}, {platform.platform()}",
            ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
            f"$ {shlex.join(sys.argv)}",
            "",
            *traceback.format_exception(error),
        ]
        number, path = tempfile.mkstemp(prefix="nextword-error-", suffix=".txt", text=True)
        with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join(lines))
        return path
    except Exception:  # a full disk, no temporary folder, no memory: the message must still appear
        return None


def _hint(error: BaseException) -> str:
    said = str(error).lower()
    if isinstance(error, MemoryError) or any(words in said for words in _OUT_OF_MEMORY):
        return "not enough memory; try a smaller model, batch or text"
    hints = (hint for kind, hint in _HINTS if isinstance(error, kind))
    return next(hints, "an error that nextword did not expect; please report it")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"
