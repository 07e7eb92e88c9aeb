"""`nextword filter` killed at random moments: what is resumed writes the same bytes."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import nextword
from nextword.filtering import job
from tests.support import snapshot
from tests.unit.test_filter import PACKED, RUNS, jsonl, texts

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")

#: Forks a process that has imported everything and has no threads: other processes come from it.
SERVER = multiprocessing.get_context("forkserver")


def filter_in_small_blocks(**arguments: Any) -> None:
    """Filter with many blocks, each of which is brought to the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "BLOCK", 16 << 10)
        patch.setattr(job, "SAVE_EVERY", 0.005)
        nextword.filter(nextword.load(RUNS / "ngram"), quiet=True, **arguments)


def killed(seconds: float, **arguments: Any) -> bool:
    """Filter in a process that is killed after some time; whether it was killed before its end.

    None of the processes that it started lives on.
    """
    SERVER.set_forkserver_preload(
        ["pytest", "nextword.filtering.filter", "pyarrow", "matplotlib.pyplot"]
    )
    child = SERVER.Process(target=filter_in_small_blocks, kwargs=arguments)
    child.start()
    assert child.pid
    child.join(seconds)
    others: list[int] = []
    if child.is_alive():
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGSTOP)  # it starts no more processes
            others = children(child.pid)
            os.kill(child.pid, signal.SIGKILL)
    child.join(60)
    assert child.exitcode in (0, -signal.SIGKILL)
    limit = time.monotonic() + 60
    while left := [pid for pid in others if state_of(pid)[0] != "Z"]:
        assert time.monotonic() < limit, f"processes live on: {left}"
        time.sleep(0.01)
    return child.exitcode != 0


def children(parent: int) -> list[int]:
    """The processes that a process has started."""
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if state_of(pid)[1] == parent]


def state_of(pid: int) -> tuple[str, int]:
    """The state of a process, "Z" if it has ended, and the process that started it."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "Z", 0
    state, parent = text.rpartition(") ")[2].split()[:2]
    return state, int(parent)


def files(folder: Path, kind: str) -> list[Path]:
    """Three files of documents."""
    made = []
    for number, packed in enumerate(["", ".gz", ".zst"]):
        documents = texts(700, seed=number)
        path = folder / f"{number}.{kind}{packed}"
        if kind == "parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            path = folder / f"{number}.parquet"
            pq.write_table(pa.table({"text": documents}), path, row_group_size=100 + number)
        else:
            lines = "\n".join(text.replace("\n", " ") for text in documents).encode()
            path.write_bytes(PACKED[packed][0](jsonl(documents) if kind == "jsonl" else lines))
        made.append(path)
    return made


def try_kills(kind: str, times: int, seed: int, folder: Path, **options: Any) -> None:
    draw = random.Random(seed)
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    # Other processes take a while to start, so only some of the tests have them.
    arguments = {"inputs": files(folder, kind), "workers": 1 if seed else 2, **options}
    assert not killed(600, out=folder / "first", **arguments)  # it may have to compile
    began = time.perf_counter()
    assert not killed(600, out=folder / "whole", **arguments)
    whole = time.perf_counter() - began
    kills = 0
    for attempt in range(times):
        out, longest = folder / f"out{attempt}", 0.8 * whole
        while killed(draw.uniform(0.02 * whole, longest), out=out, resume=True, **arguments):
            kills += 1
            longest *= 1.3  # on a busy machine not even the first block may be done by then
        assert snapshot(out) == snapshot(folder / "whole")
    assert kills


@pytest.mark.slow  # kills at random moments: how often is by chance
def test_killed(tmp_path: Path) -> None:
    try_kills("jsonl", 2, 0, tmp_path, buckets=[30, 60], split=True, sample=100)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"maximum": 100.0, "dropped": True},
        {"buckets": [30, 60], "split": True, "plain": True},
    ],
    ids=["all", "dropped", "split"],
)
def test_killed_often(kind: str, seed: int, options: dict[str, Any], tmp_path: Path) -> None:
    try_kills(kind, 4, seed, tmp_path, **options)
