"""The program `nextword`: its verbs, and how errors become one line and an exit status."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import NoReturn

import typer

from ..errors import InputError, Interrupted, TrainingError
from ..text.source import streams_kept

#: The only list of verbs, in the order of `--help`: `find_lr` is cli/find_lr.py
#: and `nextword find-lr`.
VERBS = (
    "demo",
    "train",
    "ablate",
    "evaluate",
    "score",
    "generate",
    "translate",
    "fill",
    "classify",
    "embed",
    "compare",
    "inspect",
    "find_lr",
    "export",
    "recipes",
)

app = typer.Typer(
    name="nextword",
    help="Train, evaluate, compare and use language models that fit on one machine.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for verb in VERBS:
    app.command(verb.replace("_", "-"))(import_module(f".{verb}", __package__).command)


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    if version:
        from ..version import __version__

        typer.echo(f"nextword {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command line and exit the process.

    The exit status is 0 for success, 1 if a training fails (`TrainingError`), 2 for bad input, 130
    after Ctrl-C and 141 if the reader of standard output has closed it. For 1, 2 and 130 one line
    on standard error says what is wrong and what to do.

    Args:
        arguments: the words after `nextword`; None = those of this process.

    Raises:
        SystemExit: always, with the exit status.

    Example:
        main(["evaluate", "runs/book", "--data", "other.txt"])
    """
    try:
        with streams_kept():
            status = app(args=arguments, standalone_mode=False)
        if status == 130:  # typer returns this after Ctrl-C
            raise KeyboardInterrupt
        sys.stdout.flush()
        sys.exit(status if isinstance(status, int) else 0)
    except typer.TyperException as error:
        _end(2, error.format_message())
    except (InputError, TrainingError) as error:
        _end(2 if isinstance(error, InputError) else 1, str(error))
    except (Interrupted, KeyboardInterrupt, typer.Abort) as error:
        _end(130, str(error) or "stopped")
    except BrokenPipeError:  # the reader of our output has closed it, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        _end(2, _explain(error))


def _end(status: int, message: str) -> NoReturn:
    line = " ".join(message.split())
    print(f"nextword: {line}", file=sys.stderr)
    sys.exit(status)


def _explain(error: OSError) -> str:
    import errno

    where = f" '{error.filename}'" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"no space left on the disk for{where or ' the output'}; free some and run it again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission to write{where}; choose another place"
    return f"{error.strerror or error}{where}"
