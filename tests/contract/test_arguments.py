"""Every public Python function with arguments that it cannot take: one sentence says what to give.

The tests go over `nextword.__all__`, so a function that is added later is held to the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import nextword
from nextword.arguments import KINDS, checked
from nextword.errors import InputError

FOLDER = Path(__file__).parent.parent / "fixtures" / "earlier_runs"
FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(nextword, name)
    for name in nextword.__all__
    if inspect.isfunction(getattr(nextword, name))
}
#: Values that no parameter takes, or only those whose kind is named beside them.
WRONG: list[tuple[Any, tuple[str, ...]]] = [
    (None, ()),
    (object(), ()),
    (3.5, ("_number",)),
    (7, ("_number", "_count")),
    (True, ("_flag",)),
    (b"bytes", ()),
    ("word", ("_text", "_name", "_stops", "_path", "_paths")),
    ({"a": 1}, ("_overrides",)),
    ([1, 2], ("_numbers",)),
    ([None], ()),
    (["a", 2], ()),
    ("\udcff", ("_path", "_paths", "_name")),
    (["\udcff"], ("_paths",)),
]
RUN = object()  # stands for a run until one is loaded


def right(name: str, run: Any) -> Any:
    """An argument that the check of a parameter accepts."""
    kind = KINDS[name].__name__
    return {
        "_text": "word",
        "_name": "word",
        "_texts": ["word"],
        "_text_list": ["word"],
        "_stops": ["word"],
        "_path": "nowhere",
        "_paths": ["nowhere"],
        "_count": 1,
        "_number": 1.0,
        "_numbers": [],
        "_flag": False,
        "_call": print,
        "_overrides": {},
        "_run": run,
        "_runs": [run],
        "_rows": [],
        "check": None,
    }[kind]


def cases() -> Iterator[Any]:
    for function, called in FUNCTIONS.items():
        for parameter in inspect.signature(called).parameters:
            yield pytest.param(function, parameter, id=f"{function}-{parameter}")


@pytest.fixture(scope="module")
def run() -> Any:
    return nextword.load(FOLDER / "ngram")


def test_every_public_function_checks_its_arguments() -> None:
    """By the names of its parameters, each of which has one meaning."""
    unchecked = [
        name
        for name, function in FUNCTIONS.items()
        if inspect.signature(function).parameters and not hasattr(function, "__wrapped__")
    ]
    assert unchecked == [] and len(FUNCTIONS) > 12

    with pytest.raises(KeyError):

        @checked
        def new(of_a_name_that_nobody_knows: str) -> None: ...


@pytest.mark.parametrize(("function", "parameter"), list(cases()))
def test_what_cannot_be_meant_is_refused(
    function: str, parameter: str, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is read or written, and the sentence names the parameter."""
    monkeypatch.chdir(tmp_path)
    called = FUNCTIONS[function]
    parameters = inspect.signature(called).parameters
    needed = {
        name: right(name, run)
        for name, one in parameters.items()
        if one.default is inspect.Parameter.empty
    }
    for value, taken_by in WRONG:
        if value is None and parameters[parameter].default is None:
            continue
        if KINDS[parameter].__name__ in taken_by:
            continue
        with pytest.raises(InputError) as error:
            called(**needed | {parameter: value})
        message = str(error.value)
        assert message.startswith((f"{function}: {parameter} is ", "the number ", "None stands "))
        assert "give " in message and len(message.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if f not in ("load", "train")])
def test_a_path_in_place_of_a_run(function: str, run: Any) -> None:
    """The sentence says how to open it."""
    parameters = inspect.signature(FUNCTIONS[function]).parameters
    for name in {"run", "runs"} & parameters.keys():
        needed = {
            other: right(other, run)
            for other, one in parameters.items()
            if one.default is inspect.Parameter.empty
        }
        for path in ("runs/book", Path("runs/book")):
            given = path if name == "run" else [path]
            with pytest.raises(InputError, match=r"nextword\.load"):
                FUNCTIONS[function](**needed | {name: given})


def test_one_item_where_nothing_else_can_be_meant(run: Any, tmp_path: Path) -> None:
    """One run to compare, one stop text, one path."""
    text = FOLDER / "train.txt"
    assert len(nextword.compare(run, text).rows) == 1
    every = nextword.generate(run, "", tokens=40, seed=1, stop=["zzz"])
    assert nextword.generate(run, "", tokens=40, seed=1, stop="zzz") == every
    letter = every.strip()[5]
    assert nextword.generate(run, "", tokens=40, seed=1, stop=letter) == every.split(letter)[0]
    assert nextword.evaluate(run, str(text)).nll == nextword.evaluate(run, [text]).nll


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        ("score", "ngram"),
        ("score", "transformer"),
        ("embed", "lstm"),
        ("translate", "transformer"),
        ("classify", "classifier"),
        ("tag", "tagger"),
    ],
)
def test_texts_from_any_iterable(verb: str, name: str) -> None:
    """A generator gives what a list gives; an item that is no text is refused when it comes."""
    run = nextword.load(FOLDER / name)
    texts = ["one two\tthree"] if name == "transformer" and verb == "score" else ["one two"]
    called = FUNCTIONS[verb]
    wanted = str(called(run, texts))
    assert str(called(run, iter(texts))) == str(called(run, tuple(texts))) == wanted
    with pytest.raises(InputError, match="the number 7 stands where a text belongs"):
        called(run, iter([*texts, 7]))
