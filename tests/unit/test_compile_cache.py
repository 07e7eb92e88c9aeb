"""Compiled code is kept on disk, is out of date when what it was made from has changed, and runs
where nothing can be kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import nextword
from nextword.compiled import cache
from nextword.ngram import arpa, queries, table_from_ngrams
from nextword.nn.kernels import gates

# Compiles one loop, which uses functions of another file.
USE = """
import sys
import numpy as np
from nextword.text import lexicon

slots = np.zeros(4, np.uint64)
lexicon.fill_hash_table(slots, np.array([97], np.uint8), np.array([1], np.uint64), 1)
print("a word is in slot", int(np.flatnonzero(slots)[0]))
print("compiled" if "numba" in sys.modules else "loaded")
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """An installation of one's own, without compiled code."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(nextword.__file__).parent, tmp_path / "lib" / "nextword", ignore=ignore)
    return tmp_path / "lib"


def run(copy: Path, script: str, **environment: str) -> tuple[str, str]:
    """Output and errors of a script in a process that has nothing but the installation."""
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(copy), "HOME": str(copy.parent)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=kept | environment,
        cwd=copy.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def lock(copy: Path) -> None:
    """Make all `__pycache__` impossible, for root too: a file is in their place."""
    for folder in [copy / "nextword", *(copy / "nextword").rglob("*")]:
        if folder.is_dir() and folder.name != "__pycache__":
            (folder / "__pycache__").touch()


def test_without_a_folder_for_it_code_is_compiled_each_time(copy: Path) -> None:
    """One warning says what that costs and how to avoid it."""
    lock(copy)
    out, err = run(copy, USE, HOME="/dev/null")
    assert out.startswith("a word is in slot")
    assert "compiled" in out
    assert err.count("no folder for compiled code can be written") == 1
    out, err = run(copy, USE, HOME="/dev/null", NUMBA_CACHE_DIR=str(copy.parent / "kept"))
    assert not err
    assert list((copy.parent / "kept").rglob("*.machine"))


def test_compiled_code_is_used_as_long_as_it_is_good(copy: Path) -> None:
    """Also where it can only be read, so that an image in which root ran `warm_up` starts fast for
    every user; not if a file that it was made from has changed, or if half of it is missing."""
    assert "compiled" in run(copy, USE)[0]
    assert "loaded" in run(copy, USE)[0]
    nowhere = """
from nextword.compiled import cache
def refuse(path, made):
    raise PermissionError
cache._write = refuse
"""
    out, err = run(copy, nowhere + USE, HOME="/dev/null")
    assert "loaded" in out
    assert not err

    changed = copy / "nextword" / "text" / "word_bytes.py"  # not the file of the loop itself
    changed.write_text(changed.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert "compiled" in run(copy, USE)[0]
    (kept,) = (copy / "nextword").rglob("*.machine")  # the old code is gone

    good = kept.read_bytes()
    for bad in (good[: len(good) // 2], b"", good[:-1] + bytes([good[-1] ^ 1])):
        kept.write_bytes(bad)
        assert "compiled" in run(copy, USE)[0]
        assert kept.read_bytes() == good


def test_what_killed_processes_left_is_removed(copy: Path) -> None:
    """Not what another process is writing."""
    assert "compiled" in run(copy, USE)[0]
    (kept,) = (copy / "nextword").rglob("*.machine")
    left, written = kept.with_name(kept.name + "-left"), kept.with_name(kept.name + "-new")
    kept.rename(left)
    written.write_bytes(b"half")
    os.utime(left, (0, 0))
    assert "compiled" in run(copy, USE)[0]
    assert kept.exists() and written.exists() and not left.exists()


def test_code_of_another_processor_is_left_alone(copy: Path) -> None:
    """Two machines that share a disk do not take each other's code away."""
    other = """
from nextword.compiled import cache
cache.processor = lambda: "another"
"""
    assert "compiled" in run(copy, USE)[0]
    assert "compiled" in run(copy, other + USE)[0]
    assert len(list((copy / "nextword").rglob("*.machine"))) == 2
    assert "loaded" in run(copy, USE)[0]


def test_two_installations_that_share_a_folder_keep_their_code(copy: Path) -> None:
    folder = {"NUMBA_CACHE_DIR": str(copy.parent / "shared")}
    changed = copy / "nextword" / "text" / "word_bytes.py"
    one, other = changed.read_bytes(), changed.read_bytes() + b"\n"
    for source, wanted in ((one, "compiled"), (other, "compiled"), (one, "loaded")):
        changed.write_bytes(source)
        assert wanted in run(copy, USE, **folder)[0]


Changed = Callable[[], set[str]]


@pytest.fixture
def changed() -> Iterator[Changed]:
    """Which of these files have another stamp than at the last call."""
    before: dict[str, str] = {}

    def call() -> set[str]:
        cache.stamp.cache_clear()
        files = (queries, table_from_ngrams, arpa, gates)
        now = {name: cache.stamp(name) for name in (file.__name__ for file in files)}
        different = {name.rpartition(".")[2] for name in now if now[name] != before.get(name)}
        before.update(now)
        return different

    call()
    yield call
    cache.stamp.cache_clear()


def test_the_stamp_covers_what_a_loop_is_made_from(
    changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Functions in other files, constants from other files, the decorators; and nothing else."""
    sources: dict[str, bytes] = {}
    original = cache._source
    monkeypatch.setattr(cache, "_source", lambda name: sources.get(name) or original(name))
    assert changed() == set()
    sources[queries.__name__] = b"other code"
    assert changed() == {"queries", "table_from_ngrams"}
    monkeypatch.setattr(queries, "BACKOFF", 7)
    assert changed() == {"queries", "table_from_ngrams"}
    sources["nextword.ngram.decimals"] = b"other code"
    assert changed() == {"arpa"}
    sources["nextword.compiled.compiler"] = b"other options"
    assert changed() == {"queries", "table_from_ngrams", "arpa", "gates"}
