"""The command line as a process: errors that nobody foresaw, its standard streams, Ctrl-C."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numba.core.errors
import numpy as np
import pytest
import torch

import nextword.run
from tests.support import Cli

RUNS = Path(__file__).parents[1] / "fixtures" / "earlier_runs"
COMMAND = [sys.executable, "-m", "nextword"]


def not_unicode() -> str:
    return b"\xff".decode()


def nested() -> Any:
    return nested()


def too_large() -> float:
    return 10.0**1000


def no_memory() -> Any:
    return np.empty(1 << 62, np.uint8)


def raising(error: BaseException) -> Any:
    def call(**given: object) -> Any:
        raise error

    return call


UNFORESEEN = {
    "memory": (no_memory, "not enough memory"),
    "CUDA memory": (raising(torch.OutOfMemoryError("CUDA out of memory. …")), "not enough memory"),
    "torch memory": (raising(RuntimeError("DefaultCPUAllocator: can't allocate memory: you …")),
                     "not enough memory"),
    "recursion": (nested, "nested too deeply"),
    "unicode": (not_unicode, "not valid Unicode"),
    "overflow": (too_large, "too large"),
    "numba": (raising(numba.core.errors.TypingError("no\nsuch\nloop")), "did not expect"),
    "import": (raising(ImportError("no module")), "install nextword again"),
    "end of file": (raising(EOFError()), "did not expect"),
    "assertion": (raising(AssertionError("a" * 10_000)), "did not expect"),
    "end of iteration": (raising(StopIteration()), "did not expect"),
    "many": (raising(ExceptionGroup("two", [ValueError("a"), KeyError("b")])), "did not expect"),
}  # fmt: skip


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Make every verb that loads a run fail; reports go to `tmp_path`."""

    def install(how: Any) -> None:
        monkeypatch.setattr(nextword.run, "load", lambda *given: how())
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    return install


@pytest.mark.parametrize("kind", UNFORESEEN)
def test_an_unforeseen_error_is_one_line_and_a_report(
    cli: Cli, fails: Any, story: Path, tmp_path: Path, kind: str
) -> None:
    how, hint = UNFORESEEN[kind]
    fails(how)
    status, out, err = cli("score", "run", story)
    assert (status, out) == (1, "")
    assert err.startswith("nextword: ") and err.count("\n") == 1
    assert hint in err and "--debug" in err
    assert len(err) < 600
    (report,) = tmp_path.iterdir()
    assert str(report) in err
    written = report.read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in written
    assert nextword.__version__ in written and f"torch {torch.__version__}" in written


@pytest.mark.parametrize("where", [0, 1, 2, 3])
def test_debug_shows_the_traceback(
    cli: Cli, fails: Any, story: Path, tmp_path: Path, where: int
) -> None:
    """Wherever it stands, and also of an error that is foreseen."""
    fails(nested)
    words = ["score", "run", str(story)]
    status, _, err = cli(*words[:where], "--debug", *words[where:])
    assert status == 1
    assert "RecursionError" in err and "Traceback" in err
    assert not list(tmp_path.iterdir())
    status, _, err = cli("score", "nowhere", "nothing", "--debug")
    assert status == 2
    assert "InputError" in err and "Traceback" in err
    assert "Traceback" not in cli("score", "nowhere", "--", "--debug")[2]


def test_without_a_place_for_reports_the_line_still_appears(
    cli: Cli, fails: Any, story: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(nested)
    monkeypatch.setattr(tempfile, "mkstemp", raising(FileNotFoundError()))
    status, _, err = cli("score", "run", story)
    assert status == 1
    assert err.count("\n") == 1
    assert "no report could be written" in err


# ------------------------------------------------------------------------------ standard streams


def process(*words: object, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run a command line through a shell, which can close streams: `how["streams"]`."""
    line = " ".join([*COMMAND, *map(str, words), how.pop("streams", "")])
    return subprocess.run(line, shell=True, capture_output=True, text=True, check=False, **how)


@pytest.mark.parametrize(
    "streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/null 2>/dev/full"]
)
@pytest.mark.parametrize("right", [True, False])
def test_a_closed_stream_is_as_the_null_device(streams: str, right: bool) -> None:
    """The file that the verb opens does not take its place."""
    done = process("recipes", *([] if right else ["nothing"]), streams=streams)
    assert done.returncode == (0 if right else 2)
    assert "Traceback" not in done.stderr
    printed = right and ">" not in streams.replace("2>", "")
    assert ("awd-lstm" in done.stdout) is printed
    said = not right and "2>" not in streams
    assert ("nothing" in done.stderr) is said


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_errors_of_the_system_have_the_status_of_their_kind(
    number: int, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 for what is wrong with a path that somebody gave; 1 for disks and machines that fail."""
    bad_path = "ENOENT EACCES EPERM EROFS EISDIR ENOTDIR EEXIST ENOTEMPTY ELOOP ENAMETOOLONG ENXIO"
    stopped = {"EPIPE": 141, "EINTR": 1} | dict.fromkeys(bad_path.split(), 2)

    def fails(*given: object) -> None:
        raise OSError(number, os.strerror(number), "/some/file")

    monkeypatch.setattr("nextword.text.reader.open_source", fails)
    status, out, err = cli("score", RUNS / "ngram", "/some/file")
    if number == errno.ESHUTDOWN:  # to Python this is a broken pipe too
        assert status == 141
    else:
        assert status == stopped.get(errno.errorcode[number], 1), err
    assert out == ""
    assert (err.count("\n") == 1 and "'/some/file'" in err) or status == 141


def test_a_full_disk_behind_standard_output() -> None:
    done = process("recipes", streams=">/dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("nextword: no space left") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", ["recipes", "--help", "--version", "train --help"])
def test_a_reader_that_has_gone_ends_quietly(words: str) -> None:
    """`nextword recipes | head -1`: status 141, as the shell has it."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [*COMMAND, *words.split()]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
def test_output_is_utf8_in_every_locale(encoding: str) -> None:
    """As all input is; the stray bytes of a file name are written as they are."""
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    code = "from nextword.cli.process import *; open_streams(); print('猫', sys.argv[1]); say('狗')"
    command = [sys.executable, "-c", code, b"caf\xe9"]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert done.stdout == "猫 caf".encode() + b"\xe9\n"
    assert done.stderr == "nextword: 狗\n".encode()
    done = subprocess.run([*COMMAND, "recipes", "狗"], env=environment, capture_output=True)
    assert "'狗'".encode() in done.stderr and done.stderr.count(b"\n") == 1


def test_arguments_with_stray_bytes(cli: Cli, tmp_path: Path) -> None:
    """Text must be UTF-8; the name of a file that is there need not be."""
    for words in (
        ["generate", "run", "--prompt", "a\udcff"],
        ["generate", "run", "--stop", "b", "--stop", "a\udcff"],
        ["fill", "run", "a\udcff [MASK]"],
        ["train", "ngram", "--set", "text.tokenizer=\udcff", "--train", "text", "--out", "new"],
        ["train", "ngram", "--train", "text", "--out", tmp_path / "new\udcff"],
        ["score", "run", "nothing\udcff"],
    ):
        status, out, err = cli(*words)
        assert (status, out) == (2, ""), words
        assert "is not UTF-8 text (byte 0xff" in err and err.count("\n") == 1
    strange = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.toml")
    Path(strange).write_text("[")
    done = subprocess.run([*COMMAND, "recipes", strange], capture_output=True, text=True)
    assert "is not valid TOML" in done.stderr


# ------------------------------------------------------------------------------------------ Ctrl-C

# The script that an installation makes, with a sign of life: what comes before it is Python's start
# and a few small files.
SCRIPT = "import os; from nextword.cli.main import main; os.write(1, b'.'); main()"
VERBS = {
    "help": ["--help"],
    "version": ["--version"],
    "recipes": ["recipes", "lstm"],
    "score": ["score", "RUN", "TEXT"],
    "train": ["train", "lstm", "--train", "TEXT", "--out", "NEW"],
    "generate": ["generate", "RUN", "--prompt", "the", "--tokens", "500"],
}


def interrupted(words: list[str], after: float) -> tuple[int, bytes, bytes]:
    """Run a command line and send Ctrl-C some seconds after its start."""
    running = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stdout.read(1) == b"."
    time.sleep(after)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    return running.returncode, out, err


def check_interrupted(words: list[str], after: float) -> None:
    status, _, err = interrupted(words, after)
    assert b"Traceback" not in err and b"KeyboardInterrupt" not in err, (after, err)
    if status == 130:
        assert err.decode().strip().split("\n")[-1].startswith("nextword: "), (after, err)
    else:  # the command had already ended, or Python was about to
        assert status in (0, -signal.SIGINT), (status, after, err)


def words_of(verb: str, story: Path, run: Path, out: Path) -> list[str]:
    places = {"RUN": run, "TEXT": story, "NEW": out / "new"}
    return [str(places.get(word, word)) for word in VERBS[verb]]


def test_little_is_loaded_before_ctrl_c_is_understood() -> None:
    """During an import Python shows Ctrl-C as a traceback."""
    code = "import sys, nextword.cli.main; print(*sys.modules)"
    place = {"PYTHONPATH": str(Path(nextword.__file__).parents[1])}
    command = [sys.executable, "-S", "-c", code]  # without what `site` loads
    done = subprocess.run(command, env=place, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "nextword.cli.main" in loaded
    slow = {"typing", "re", "inspect", "json", "pathlib", "logging", "tempfile", "traceback"}
    assert not loaded & (slow | {"typer", "pydantic", "numpy", "torch", "rich"})
    assert len([name for name in loaded if name.startswith("nextword")]) < 8


@pytest.mark.parametrize("after", [0.005, 0.15, 0.6])
def test_ctrl_c_early(story: Path, lstm_run: Path, tmp_path: Path, after: float) -> None:
    check_interrupted(words_of("generate", story, lstm_run, tmp_path), after)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_ctrl_c_at_any_moment(story: Path, lstm_run: Path, tmp_path: Path, verb: str) -> None:
    """Forty moments of the first two seconds, the first of them close together."""
    for number in range(40):
        out = tmp_path / str(number)
        out.mkdir()
        after = 0.003 + 2 * (number / 40) ** 2
        check_interrupted(words_of(verb, story, lstm_run, out), after)


def test_ctrl_c_that_is_ignored_stays_ignored() -> None:
    """As in a job that a shell runs in the background."""
    pressed = SCRIPT.replace("main()", "os.kill(os.getpid(), 2); main()")
    shell = f"trap '' INT; exec {sys.executable} -c \"$0\" --version"
    done = subprocess.run(["sh", "-c", shell, pressed], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
