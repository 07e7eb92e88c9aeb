"""The verbs of the program `nextword`, and its options that belong to no verb."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import wraps
from importlib import import_module

import typer

from ..errors import InputError

#: The only list of verbs, in the order of `--help`: `find_lr` is cli/find_lr.py
#: and `nextword find-lr`.
VERBS = (
    "demo",
    "train",
    "ablate",
    "evaluate",
    "score",
    "filter",
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


def program(verbs: Iterable[str] = VERBS) -> typer.Typer:
    """Make the program, with some of its verbs: each of them takes time to import."""
    app = typer.Typer(
        name="nextword",
        help="Train, evaluate, compare and use language models that fit on one machine.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for verb in verbs:
        command: Callable[..., None] = import_module(f".{verb}", __package__).command
        app.command(verb.replace("_", "-"))(_of_text(command))
    app.callback(invoke_without_command=True)(_top)
    return app


def _of_text(command: Callable[..., None]) -> Callable[..., None]:
    """Make a verb refuse arguments with bytes that are not UTF-8.

    Python passes them as surrogates, which no tokenizer can read. Names of existing files may have
    them, names of new ones not: safetensors could not open them.
    """

    @wraps(command)
    def checked(**values: object) -> None:
        for name, value in values.items():
            for text in value if isinstance(value, list) else [value]:
                if name == "out" or (isinstance(text, str) and not os.path.lexists(text)):
                    _check_text(name, str(text))
        command(**values)

    return checked


def _check_text(name: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        stray = os.fsencode(text[error.start])
        raise InputError(
            f"{name} is not UTF-8 text (byte 0x{stray.hex()} after {error.start} characters)"
        ) from None


def _top(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
    debug: bool = typer.Option(
        False, "--debug", help="Show the traceback of an error; it may stand after the verb too."
    ),
) -> None:
    if version:
        from ..version import __version__

        typer.echo(f"nextword {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
