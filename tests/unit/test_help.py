"""What the help of the command line and the docstrings of the public names must have."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import pytest
import typer

import nextword
from nextword.cli.app import app

BEGINNINGS = ("Of ", "The same", "As ", "With which")
WORDS = 3


def parameters() -> Iterator[tuple[str, str | None]]:
    """(verb and name, help) of every argument and option."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    commands = {"nextword": group, **group.commands}
    for verb, command in commands.items():
        for parameter in command.params:
            yield f"{verb} {parameter.name}", getattr(parameter, "help", None)


def faults_of_help(text: str | None) -> list[str]:
    """What is wrong with the help of an option; empty if nothing is."""
    if not text:
        return ["there is none"]
    faults = []
    if len(text.split()) < WORDS:
        faults.append(f"fewer than {WORDS} words")
    if not text.endswith(".") or text.endswith(".."):
        faults.append("no full stop")
    if text.startswith(BEGINNINGS):
        faults.append("begins in the middle of a sentence")
    if not re.match(r"[A-Z0-9]", text):
        faults.append("no capital letter")
    return faults


def faults_of_docstring(value: object) -> list[str]:
    """What is missing in the docstring of a public name."""
    text = getattr(value, "__doc__", None)
    if not text or not text.strip():
        return ["there is none"]
    if inspect.isfunction(value) and not re.search(r"^\s*(Example|Raises):$", text, re.M):
        return ["no Example and no Raises"]
    return []


@pytest.mark.parametrize(
    ("name", "text"), [pytest.param(*found, id=found[0]) for found in parameters()]
)
def test_the_help_of_an_option_is_read_once(name: str, text: str | None) -> None:
    assert faults_of_help(text) == [], f"{name}: {text!r}"


def test_all_verbs_are_walked() -> None:
    names = [name for name, _ in parameters()]
    assert {"generate top_p", "evaluate stripes", "train recipe", "nextword version"} <= set(names)
    assert len({name.split()[0] for name in names}) == len(app.registered_commands) + 1


@pytest.mark.parametrize("command", app.registered_commands, ids=lambda command: str(command.name))
def test_the_first_line_of_a_verb_fits_into_the_list(command: typer.models.CommandInfo) -> None:
    first = inspect.getdoc(command.callback or object()).split("\n\n")[0]  # type: ignore[union-attr]
    assert "\n" not in first and len(first) < 65 and faults_of_help(first) == []


@pytest.mark.parametrize("name", [name for name in nextword.__all__ if name != "__version__"])
def test_a_public_name_is_documented(name: str) -> None:
    assert faults_of_docstring(getattr(nextword, name)) == []


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "Of --sample.",
        "The same for --valid.",
        "How many tokens",
        "cpu or cuda.",
        "Tokens.",
    ],
)
def test_a_bad_help_is_found(text: str | None) -> None:
    assert faults_of_help(text)


def test_a_bare_function_is_found() -> None:
    def bare() -> None:
        """Does something."""

    def told() -> None:
        """Does something.

        Raises:
            InputError: it cannot.
        """

    assert faults_of_docstring(bare) and not faults_of_docstring(told)
