"""The processes of `nextword filter`: how they start, work and end."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import nextword
from nextword.errors import InputError
from nextword.filtering import pool as pool_module
from nextword.filtering.pool import Pool, started
from nextword.filtering.settings import Settings
from nextword.filtering.work import Work

RUNS = Path(__file__).parent.parent / "fixtures" / "earlier_runs"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are none")


@pytest.fixture
def pool() -> Iterator[Pool]:
    with started(2) as pool:
        yield pool


def test_a_call_is_answered_by_other_processes(pool: Pool) -> None:
    call = pool.load(eval)
    assert call("1 + 2") == 3
    with pytest.raises(ZeroDivisionError):
        call("1 / 0")
    with ThreadPoolExecutor(2) as threads:  # the second call has the other process
        pids = set(threads.map(call, [f"({_PAUSE}, {_PID})[1]"] * 2))
    assert len(pids) == 2 and os.getpid() not in pids
    threads_there = "len(__import__('os').listdir('/proc/self/task'))"
    assert call(threads_there) == 1  # so it was forked from a process without threads


_PAUSE, _PID = "__import__('time').sleep(0.5)", "__import__('os').getpid()"


def test_arrays_are_those_of_this_process(pool: Pool, tmp_path: Path) -> None:
    """Also if they are mapped from a file, part of another array, or read-only."""
    whole = np.arange(100, dtype=np.uint32)
    whole.tofile(tmp_path / "a")
    mapped = np.memmap(tmp_path / "a", np.uint32, "r", 40, (30, 3))
    fixed = whole[:5].copy()
    fixed.flags.writeable = False
    arrays = [whole, whole[3:50], whole.reshape(50, 2)[:, 1], whole[:0], mapped, mapped[4:], fixed]
    call = pool.load(partial(operator.getitem, arrays))
    for index, array in enumerate(arrays):
        np.testing.assert_array_equal(call(index), array)


@pytest.mark.parametrize("how", ["none", "ccnet"])
def test_a_model_scores_as_in_this_process(how: str, pool: Pool) -> None:
    """Also after it has scored, when it has looked words up."""
    run = nextword.load(RUNS / "ngram").normalised(how)
    work = Work(run, Settings())
    texts = ["the horse", "zzz\nÉté 12"]
    here = work.scores(texts).figures()
    there = pool.load(work.scores)(texts).figures()
    assert {name: list(values) for name, values in there.items()} == {
        name: list(values) for name, values in here.items()
    }


def test_what_other_processes_cannot_have(pool: Pool) -> None:
    """A class of the caller's script is known there alone."""
    here = types.ModuleType("here")
    exec("class Own:\n    def __call__(self, item): return item", vars(here))
    patch = pytest.MonkeyPatch()
    for function in (lambda item: item, partial(print, file=sys.__stderr__), here.Own()):
        with patch.context() as only_here:
            only_here.setitem(sys.modules, "here", here)
            with pytest.raises(InputError, match=r"be given to other processes .*--workers 1"):
                pool.load(function)


def test_a_process_that_dies_is_one_line() -> None:
    with started(2) as pool:
        call = pool.load(eval)
        with pytest.raises(InputError, match=r"has been ended, .*--resume"):
            call(f"__import__('os').kill(__import__('os').getpid(), {signal.SIGKILL:d})")


def test_processes_end_with_the_pool() -> None:
    with started(2) as pool:
        pid = pool.load(eval)("__import__('os').getpid()")
    assert not Path(f"/proc/{pid}").exists()
    with started(2):  # before they have begun to work
        pass


def test_locks_of_other_threads_are_not_inherited(pool: Pool) -> None:
    """What a thread of another package holds at the time is free in the processes."""
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        import logging

        with logging._lock:  # type: ignore[attr-defined]
            held.set()
            free.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        assert pool.load(eval)("__import__('logging').getLogger('x').name") == "x"
    finally:
        free.set()
        thread.join()


def test_a_script_without_a_main_guard(tmp_path: Path) -> None:
    """The processes do not run the caller's script again."""
    (tmp_path / "a.txt").write_text("the horse\n" * 1000)
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import nextword
        from nextword.filtering import job
        job.BLOCK = 1000
        print("once")
        run = nextword.load({str(RUNS / "ngram")!r})
        nextword.filter(run, "a.txt", "out", workers=2, quiet=True)
        """)
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr, done.returncode) == ("once\n", "", 0)
    assert time.monotonic() - began < 60
    assert len((tmp_path / "out" / "a.txt").read_text().splitlines()) == 1000


def test_a_model_is_in_memory_once(tmp_path: Path) -> None:
    """However many views of its arrays there are; and without the room for states that a model in
    KenLM's hash tables may reach."""
    whole = np.arange(1_000_000, dtype=np.uint32)
    views = [whole, whole.view(np.float32), whole.view(np.uint8)]
    run = nextword.load(RUNS / "ngram")
    nextword.export(run, "kenlm-probing", tmp_path / "model.bin")
    hashed = nextword.load(tmp_path / "model.bin").model
    for value, most in ((views, 4_100_000), (hashed, 2 * (tmp_path / "model.bin").stat().st_size)):
        memory = pool_module._shared_memory()
        pool_module._write(memory, value)
        assert os.fstat(memory).st_size < most
        os.close(memory)


def test_a_python_without_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with started(2) as pool:
        assert pool.load(abs)(-3) == 3


def test_what_a_process_cannot_give_back(pool: Pool) -> None:
    call = pool.load(eval)
    with pytest.raises(InputError, match="cannot give back"):
        call("lambda: 3")
    assert call("1 + 1") == 2  # it goes on


def test_places_of_modules_may_be_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, Path("/nowhere")])
    with started(2) as pool:
        assert pool.load(abs)(-3) == 3


def test_a_model_of_the_caller_s_own(tmp_path: Path) -> None:
    """Its class is in no module: several processes only if they are asked for."""
    run = nextword.load(RUNS / "ngram")

    class Own(type(run.model)):  # type: ignore[misc]
        pass

    run.model.__class__ = Own
    text = tmp_path / "a.txt"
    text.write_text("the horse raced\n" * 200_000, encoding="utf-8")
    with pytest.raises(InputError, match="--workers 1"):
        nextword.filter(run, text, tmp_path / "two", workers=2, quiet=True)
    report = nextword.filter(run, text, tmp_path / "out", quiet=True)
    assert report.documents == 200_000
