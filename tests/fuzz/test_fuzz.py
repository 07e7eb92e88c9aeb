"""The fuzz: some cases of every kind always, two thousand of each with the slow tests."""

from __future__ import annotations

import random

import pytest

from nextword.cli.app import app

from . import forked, odd, verbs
from .__main__ import KINDS, case_of

SOME, MANY = 12, 2000


@pytest.mark.parametrize("kind", KINDS)
def test_some(kind: str) -> None:
    assert not forked.run(case_of(kind), range(SOME))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many(kind: str) -> None:
    assert not forked.run(case_of(kind), range(MANY))


def test_every_verb_has_a_good_command_line() -> None:
    import typer.main

    assert verbs.GOOD.keys() == typer.main.get_command(app).commands.keys()  # type: ignore[attr-defined]


def test_the_same_number_is_the_same_case() -> None:
    good = b"a 1\nb 2\n" * 20
    first, again = (odd.damaged(good, random.Random("x 7")) for _ in range(2))
    assert first == again != good


def test_every_way_to_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes
    import time
    from pathlib import Path

    from nextword.errors import InputError

    monkeypatch.setattr(forked, "SECONDS", 1.0)

    def case(number: int, folder: Path) -> str | None:
        ways = {
            1: lambda: ctypes.string_at(0),
            2: lambda: time.sleep(60),
            3: lambda: bytearray(1 << 33),
            4: lambda: 1 / 0,
        }
        ways.get(number, lambda: None)()
        if number == 5:
            raise InputError("a foreseen error is for the case to judge")
        return "wrong" if number == 6 else None

    found = {failure.case: failure.what for failure in forked.run(case, range(8))}
    assert found.keys() == {1, 2, 3, 4, 5, 6}
    assert "ends the process: -11" in found[1] and "longer than 1 second" in found[2]
    assert "MemoryError" in found[3] and "ZeroDivisionError" in found[4] and found[6] == "wrong"
