"""Lines from a pipe are answered as they come."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nextword
from nextword.errors import InputError
from nextword.text import input_lines
from nextword.text.input_lines import InputLines, take
from nextword.text.source import open_stream


def ignore() -> None:
    pass


class Pipe:
    """Both ends of a pipe, and how often the reader had to wait."""

    def __init__(self) -> None:
        reader, self.writer = os.pipe()
        self.file = os.fdopen(reader, "rb")
        self.waited: list[list[str]] = []
        self.answered: list[str] = []
        self.lines = InputLines(self.file, lambda: self.waited.append(list(self.answered)))

    def write(self, text: str) -> None:
        os.write(self.writer, text.encode())

    def end(self) -> None:
        os.close(self.writer)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.file.close()


def test_what_is_there_is_taken_without_waiting_for_more(pipe: Pipe) -> None:
    pipe.write("one\n")
    assert take(pipe.lines, 64) == ["one"]
    pipe.write("two\nthree\nfo")
    assert take(pipe.lines, 64) == ["two", "three"]
    assert pipe.lines.waits()
    pipe.write("ur\nfive\nsix\n")
    assert take(pipe.lines, 2) == ["four", "five"]
    assert not pipe.lines.waits()
    assert take(pipe.lines, 2) == ["six"]
    pipe.write("\r\nlast")
    pipe.end()
    assert take(pipe.lines, 64) == ["", "last"]
    assert take(pipe.lines, 64) == []
    assert pipe.waited == []


def test_answers_are_shown_before_waiting(pipe: Pipe) -> None:
    """And only then."""
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(0.3); print('late')"], stdout=pipe.writer
    )
    pipe.write("a\nb\n")
    pipe.end()
    while texts := take(pipe.lines, 1):
        pipe.answered += texts
    child.wait()
    assert pipe.answered == ["a", "b", "late"]
    assert pipe.waited[0] == ["a", "b"] and len(pipe.waited) <= 2  # and before the end


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", codec="utf-8"))), st.booleans())
def test_lines_are_those_of_the_text(texts: list[str], closed: bool) -> None:
    """Whether or not the last one ends; any number at once."""
    written = "\n".join(texts) + ("\n" if closed and texts else "")
    expected = texts if closed or not texts or texts[-1] else texts[:-1]
    for most in (1, 3, 100):
        found: list[str] = []
        lines = InputLines(io.BytesIO(written.encode()), ignore)
        while block := take(lines, most):
            assert len(block) <= most
            found += block
        assert found == expected


def test_lists_are_taken_whole() -> None:
    numbers = iter(map(str, range(5)))
    assert [take(numbers, 2) for _ in range(4)] == [["0", "1"], ["2", "3"], ["4"], []]


def test_other_than_text_is_named() -> None:
    lines = InputLines(io.BytesIO(b"good\n\xff\xfe\n"), ignore)
    assert next(lines) == "good"
    with pytest.raises(InputError, match="line 2 of the input is not UTF-8"):
        next(lines)


def test_a_verb_answers_each_line_as_it_comes(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat\n" * 30, encoding="utf-8")
    nextword.train("unigram", text, tmp_path / "run", quiet=True)
    command = [sys.executable, "-m", "nextword", "score", str(tmp_path / "run"), "-"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdin and process.stdout
    for line in ("the cat", "sat", "the the"):
        process.stdin.write(line + "\n")
        process.stdin.flush()
        assert process.stdout.readline().split("\t")[1] == line + "\n"
    process.stdin.close()
    assert process.wait() == 0
    assert process.stdout.read() == ""


def test_a_line_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_lines, "LONGEST", 1 << 20)
    with open("/dev/zero", "rb") as endless, pytest.raises(InputError, match="line 1 of the input"):
        next(InputLines(endless, lambda: None))


def test_standard_input_from_an_endless_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read from it, or copied until the disk is full; the null device is empty."""
    with open("/dev/urandom") as device, monkeypatch.context() as patch:
        patch.setattr("sys.stdin", device)
        with pytest.raises(InputError, match="may have no end"):
            open_stream(Path("-"))
    with open("/dev/null") as device:
        monkeypatch.setattr("sys.stdin", device)
        assert open_stream(Path("-")).read() == b""
