"""A pytest plugin that notes which lines of some files each test runs."""

from __future__ import annotations

import pickle
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

Lines = dict[str, set[int]]  # by file


@dataclass
class Test:
    """A test as it ran on the files as they are."""

    seconds: float
    lines: Lines


class Recorder:
    """Notes which lines of some files each test runs, those of the fixtures it uses included."""

    def __init__(self, files: list[str], out: Path) -> None:
        self.names = files
        self.out = out
        self.inner: list[Lines] = []  #: of what is being run: a test, a fixture it asked for, …
        self.of_fixture: dict[Any, Lines] = {}
        self.tests: dict[str, tuple[Test, list[Any]]] = {}
        self.passed: set[str] = set()

    def trace(self, frame: Any, event: str, argument: object) -> Any:
        file = self.files.get(frame.f_code.co_filename)
        return None if file is None else self.line(file)(frame, event, argument)

    def line(self, file: str) -> Any:
        def note(frame: Any, event: str, argument: object) -> Any:
            if self.inner:
                self.inner[-1].setdefault(file, set()).add(frame.f_lineno)
            return note

        return note

    @cached_property
    def files(self) -> dict[str, str]:
        return {str(Path.cwd() / file): file for file in self.names}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        self.inner.append({})
        start = time.perf_counter()
        sys.settrace(self.trace)
        threading.settrace(self.trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
            fixtures = [f for each in item._fixtureinfo.name2fixturedefs.values() for f in each]
            test = Test(time.perf_counter() - start, self.inner.pop())
            self.tests[item.nodeid] = test, fixtures

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        self.inner.append({})
        try:
            return (yield)
        finally:
            _add(self.of_fixture.setdefault(fixturedef, {}), self.inner.pop())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        for test, fixtures in self.tests.values():
            for fixture in fixtures:
                _add(test.lines, self.of_fixture.get(fixture, {}))
        tests = {name: self.tests[name][0] for name in self.passed}
        found = {name: (test.seconds, test.lines) for name, test in tests.items() if test.lines}
        self.out.write_bytes(pickle.dumps(found))


def read(folder: Path) -> dict[str, Test]:
    """What recorders left in a folder, by the tests' names."""
    return {
        name: Test(*noted)
        for part in folder.iterdir()
        for name, noted in pickle.loads(part.read_bytes()).items()
    }


def _add(lines: Lines, more: Lines) -> None:
    for file, numbers in more.items():
        lines.setdefault(file, set()).update(numbers)
