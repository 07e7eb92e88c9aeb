"""How a command line is run, and how errors become one line and an exit status.

What takes time to import is imported inside the functions, so that Ctrl-C is understood from the
first moment on.
"""

from __future__ import annotations

import errno
import os
import sys

from ..errors import InputError, Interrupted, TrainingError
from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

#: what is wrong with a path that somebody gave; other errors of the system are not bad input
_OF_PATHS = frozenset(
    {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR}
    | {errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO}
)
# pydantic would read the metadata of every installed package in search of plugins.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

#: packages that n-gram models do not need, and what they are called
_NEURAL = {"torch": "PyTorch", "sacrebleu": "sacreBLEU"}


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command line and exit the process.

    The exit status is 0 for success, 1 if a training fails (`TrainingError`), a disk is full or
    fails or an error is not foreseen, 2 for bad input, 130 after Ctrl-C and 141 if the reader of
    standard output has closed it. For 1, 2 and 130 one line on standard error says what is wrong
    and what to do. An error that is not foreseen leaves its traceback in a temporary file, which
    the line names. With `--debug` the traceback of any error is shown.

    Args:
        arguments: the words after `nextword`; None = those of this process, whose standard streams
            and signals are then set up.

    Raises:
        SystemExit: always, with the exit status.

    Example:
        main(["evaluate", "runs/book", "--data", "other.txt"])
    """
    ctrl_c = process.CtrlC() if arguments is None else None
    if ctrl_c:
        ctrl_c.ends_the_process()
        process.open_streams()
    debug, words = _debug(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _run(words, ctrl_c)
        sys.stdout.flush()
    except (InputError, TrainingError, Interrupted, KeyboardInterrupt) as error:
        status = _end(error, debug=debug)
    except Exception as error:  # some packages turn Ctrl-C into an error of theirs
        status = _end(KeyboardInterrupt() if ctrl_c and ctrl_c.pressed else error, debug=debug)
    if ctrl_c:
        ctrl_c.ends_the_process()
    process.drop_unwritten()
    sys.exit(status)


def _debug(words: list[str]) -> tuple[bool, list[str]]:
    """Take `--debug` out of a command line, wherever it stands."""
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    return len(kept) < end, kept + words[end:]


def _run(words: list[str], ctrl_c: process.CtrlC | None) -> int:
    """Run a command line and return its exit status.

    typer would do this too, but take a closed pipe for status 1 and a compressed file that is cut
    off for Ctrl-C.
    """
    import typer

    from ..text.source import streams_kept
    from .program import VERBS, program

    named = [verb for verb in VERBS if words and words[0] == verb.replace("_", "-")]
    command = typer.main.get_command(program(named or VERBS))
    try:
        with streams_kept(), command.make_context("nextword", list(words)) as context:
            if ctrl_c:
                process.warn_in_one_line()
                ctrl_c.interrupts_the_work()
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0


def _end(error: BaseException, *, debug: bool) -> int:
    """Say what is wrong and what to do, and return the exit status."""
    import typer

    if debug:
        import traceback

        traceback.print_exception(error)
    match error:
        case BrokenPipeError():  # the reader of our output has closed it, as `| head` does
            return 141
        case KeyboardInterrupt() | Interrupted():
            status, message = 130, str(error) or "stopped"
        case typer.TyperException():
            status, message = 2, error.format_message()
        case InputError():
            status, message = 2, str(error)
        case TrainingError():
            status, message = 1, str(error)
        case OSError():
            status, message = 2 if error.errno in _OF_PATHS else 1, _explain(error)
        case ModuleNotFoundError() if error.name in _NEURAL:
            status, message = 2, f"this needs {_NEURAL[error.name]}: pip install 'nextword[neural]'"
        case _:
            from .last_resort import explain

            status, message = 1, explain(error, debug=debug)
    process.say(message)
    return status


def _explain(error: OSError) -> str:
    where = f" '{error.filename}'" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"no space left on the disk for{where or ' the output'}; free some and run it again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        if error.filename and not _can_read(error.filename):
            return f"no permission to read{where}; ask its owner for it"
        return f"no permission to write{where}; choose another place"
    return f"{error.strerror or error}{where}"


def _can_read(path: str) -> bool:
    """Return whether nothing that is at a path is closed to this user."""
    try:
        os.stat(path)
    except PermissionError:  # a folder on the way is closed
        return False
    except OSError:  # nothing is there, so it was to be written
        return True
    return os.access(path, os.R_OK)
