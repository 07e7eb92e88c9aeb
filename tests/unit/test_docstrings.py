"""Docstrings: the classes that users extend or choose have them, and their examples are right.

An example is the indented block after a line "Example:". Lines that begin with `>>>` are run and
their output is compared; other blocks need a file, a run or a trained model, and must compile.
"""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

import nextword
from nextword.data.stream import Stream
from nextword.models.base import Encoder, TrainableModel
from nextword.ngram.smoothing import Smoothing
from nextword.nn.cells.cell import Cell
from nextword.nn.heads import Head
from nextword.registry import REGISTRY, load
from nextword.text.tokenizer import Tokenizer

PACKAGE = Path(nextword.__file__).parent
BASES: list[type] = [Tokenizer, Stream, Cell, Head, Smoothing, Encoder, TrainableModel]
REGISTERED: list[type] = [load(kind, name) for kind in REGISTRY for name in REGISTRY[kind]]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Example(NamedTuple):
    """An example of a docstring."""

    module: str
    where: str  # "Tokenizer.encode", or "" in the docstring of the module
    code: str


def undocumented(cls: type) -> list[str]:
    """The class and its public methods and properties that have no docstring. A method may inherit
    its docstring, a class may not."""
    missing = [] if (vars(cls).get("__doc__") or "").strip() else [cls.__name__]
    for name in dir(cls):
        owner = next(base for base in cls.__mro__ if name in vars(base) or base is object)
        if name.startswith("_") or not owner.__module__.startswith(("nextword", __name__)):
            continue
        member = inspect.getattr_static(cls, name)
        if isinstance(member, (property, staticmethod, classmethod)) or inspect.isfunction(member):
            docs = [vars(base)[name].__doc__ for base in cls.__mro__ if name in vars(base)]
            if not any(docs):
                missing.append(f"{cls.__name__}.{name}")
    return missing


def examples_of(module: str, source: str) -> Iterator[Example]:
    """The examples in the docstrings of a module."""

    def visit(node: ast.AST, where: str) -> Iterator[Example]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.ClassDef, ast.FunctionDef)):
                yield from visit(child, f"{where}.{child.name}".lstrip("."))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            doc = ast.get_docstring(node) or ""
            for block in re.findall(r"^Example:\n((?:[ ]{4}.*(?:\n|$)|\n)+)", doc, re.M):
                yield Example(module, where, textwrap.dedent(block))

    yield from visit(ast.parse(source), "")


def wrong(example: Example) -> str | None:
    """What is wrong with an example; None = nothing."""
    name = f"{example.module}:{example.where}"
    if ">>>" not in example.code:
        try:
            compile(example.code, name, "exec")
        except SyntaxError as error:
            return f"{name} does not compile: {error}"
        return None
    names = dict(vars(import_module(example.module)))
    test = doctest.DocTestParser().get_doctest(example.code, names, name, None, None)
    said: list[str] = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=said.append)
    return "".join(said) or None


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


EXAMPLES = [
    example
    for path in sorted(PACKAGE.rglob("*.py"))
    for example in examples_of(module_name(path), path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(
    "cls", BASES + REGISTERED, ids=lambda cls: f"{cls.__module__}.{cls.__name__}"
)
def test_classes_and_their_public_methods_have_docstrings(cls: type) -> None:
    assert undocumented(cls) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.module}:{e.where}")
def test_examples_are_right(example: Example) -> None:
    assert wrong(example) is None


def test_no_example_is_overlooked() -> None:
    """Every line "Example:" of the package begins an example that is found."""
    lines = sum(
        len(re.findall(r"^\s*Example:$", path.read_text(encoding="utf-8"), re.M))
        for path in PACKAGE.rglob("*.py")
    )
    assert len(EXAMPLES) == lines > 0


@pytest.mark.parametrize("base", [Tokenizer, Stream, Cell, Head, Smoothing, Encoder])
def test_interfaces_have_an_example_that_runs(base: type) -> None:
    own = [e for e in EXAMPLES if e.module == base.__module__ and e.where == base.__name__]
    assert own and all(">>>" in example.code for example in own)


class Bare:
    def method(self) -> None: ...

    @property
    def value(self) -> int:
        return 0


class Inherits(Tokenizer):
    """Has a docstring."""


def test_missing_docstrings_are_found() -> None:
    assert undocumented(Bare) == ["Bare", "Bare.method", "Bare.value"]
    assert undocumented(Inherits) == []


def test_wrong_examples_are_found() -> None:
    source = '"""Text.\n\nExample:\n    {}\n"""'
    for code in (">>> 1 + 1\n    3", ">>> undefined_name", "1 +"):
        (example,) = examples_of("nextword.errors", source.format(code))
        assert wrong(example), code
    (example,) = examples_of(
        "nextword.errors", source.format(">>> InputError.__name__\n    'InputError'")
    )
    assert wrong(example) is None
