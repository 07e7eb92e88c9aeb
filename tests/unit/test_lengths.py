"""Files and functions have the lengths that CONTRIBUTING.md promises."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE, FUNCTION = 350, 60  # lines at most; of a function without its head and its docstring
FILES = sorted(path for part in ("nextword", "benchmarks") for path in (ROOT / part).rglob("*.py"))


def too_long(source: str) -> list[str]:
    """What is longer than it may be, by name."""
    found = ["the file"] if source.count("\n") > FILE else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body and (body[-1].end_lineno or 0) - body[0].lineno + 1 > FUNCTION:
                found.append(node.name)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_too_long(path: Path) -> None:
    assert not too_long(path.read_text(encoding="utf-8"))


def test_what_is_too_long_is_seen() -> None:
    lines = "    pass\n"
    assert too_long(f"def f():\n{lines * 60}") == []
    assert too_long(f"def f():\n{lines * 61}") == ["f"]
    assert too_long("x = 1\n" * 350) == []
    assert too_long("x = 1\n" * 351) == ["the file"]
