"""Lines from a pipe are answered as they come."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nextword
from nextword.errors import InputError
from nextword.text import input_lines
from nextword.text.input_lines import InputLines, blocks
from nextword.text.source import open_stream
from tests.support import Cli


def ignore() -> None:
    pass


def as_is(number: int, line: str) -> str:
    return line


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
    found = blocks(pipe.lines, 2, as_is)
    pipe.write("one\n")
    assert next(found) == ["one"]
    pipe.write("two\nfo")
    assert next(found) == ["two"]
    assert pipe.lines.waits()
    pipe.write("ur\nfive\nsix\n")
    assert next(found) == ["four", "five"]
    assert not pipe.lines.waits()
    assert next(found) == ["six"]
    pipe.write("\r\nlast")
    pipe.end()
    assert list(found) == [["", "last"]]
    assert pipe.waited == []


def test_answers_are_shown_before_waiting(pipe: Pipe) -> None:
    """And only then."""
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(0.3); print('late')"], stdout=pipe.writer
    )
    pipe.write("a\nb\n")
    pipe.end()
    for texts in blocks(pipe.lines, 1, as_is):
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
        for block in blocks(lines, most, as_is):
            assert len(block) <= most
            found += block
        assert found == expected


def test_lists_are_taken_whole() -> None:
    assert list(blocks(map(str, range(5)), 2, as_is)) == [["0", "1"], ["2", "3"], ["4"]]
    assert list(blocks([], 2, as_is)) == []


def test_lines_before_a_bad_one_come_first() -> None:
    """Whether it cannot be read, is no text, or is refused."""

    def refuse(number: int, line: str) -> int:
        if line == "bad":
            raise InputError(f"line {number} is bad")
        return number

    unread = InputLines(io.BytesIO(b"a\nb\nc\n\xff\nd\n"), ignore)
    given: list[Any] = [["a", "b", "c", "bad", "d"], ["a", "b", "c", 4, "d"], unread]
    for lines in given:
        for most in (1, 2, 3, 64):
            found: list[int] = []
            with pytest.raises(InputError):
                found.extend(chain.from_iterable(blocks(lines, most, refuse)))
            assert found == [1, 2, 3]
            if lines is unread:
                break


RUNS = Path(__file__).parents[1] / "fixtures" / "earlier_runs"
LONG = b"w " * 600
ANSWERED = {  # a command, good lines, a bad one
    "score ngram": (b"the cat\nthe dog\n", b"\xff"),
    "score lstm": (b"the cat\nthe dog\n", b"\xff"),
    "score seq2seq": (b"one\teins\ntwo\tzwei\n", b"no tab"),
    "score bert": (b"the cat\nthe dog\n", LONG),
    "score --by word lstm": (b"the cat\nthe dog\n", b"\xff"),
    "score --by token seq2seq": (b"one\teins\ntwo\tzwei\n", b"no tab"),
    "score --by word bert": (b"the cat\nthe dog\n", LONG),
    "score --regions ngram": (b"the | cat\nthe | dog\n", b"the ||"),
    "translate seq2seq": (b"one\ntwo\n", b"\xff"),
    "translate transformer": (b"one\ntwo\n", LONG),
    "classify classifier": (b"good\nbad\n", b"\xff"),
    "classify tagger": (b"Anna lives\nRome\n", b"\xff"),
    "embed bert": (b"the cat\nthe dog\n", b"\xff"),
}


@pytest.mark.parametrize("words", ANSWERED)
@pytest.mark.parametrize("piped", [True, False])
def test_verbs_answer_all_lines_before_a_bad_one(
    words: str, piped: bool, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers are those without it; then there is one line of error, and status 2."""
    good, bad = ANSWERED[words]
    if bad == b"\xff" and not piped:
        pytest.skip("a file is checked block by block before its lines are taken")
    *verb, run = words.split()

    def call(text: bytes) -> tuple[int, str, str]:
        path = tmp_path / "lines.txt"
        path.write_bytes(text)
        with path.open() as file:
            monkeypatch.setattr("sys.stdin", file)
            return cli(*verb, RUNS / run, "-" if piped else path)

    status, wanted, _ = call(good)
    assert status == 0 and wanted
    status, out, err = call(good + bad + b"\n" + good)
    assert (status, out) == (2, wanted)
    assert "line 3" in err.splitlines()[-1], err


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
