"""Which mistakes would the tests not notice?

    python -m tests.mutate nextword/data/stripes.py nextword/types.py --sample 40
    python -m tests.mutate nextword/training/loop.py --tests tests/unit/test_training.py --json

Every mutant of a file (see `tests.mutants`) is written into a copy of the tree, and the tests that
run the changed line are run there until one fails. Mutants that none of them notices are listed.
The tests are those named like the file (`tests/unit/test_stripes*.py`) and those of `--tests`; one
run of them before finds out which test runs which lines and how long it takes.

Mutants that no test could notice stand in `tests/equivalent.txt`, each with the reason.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import pytest

from tests.mutants import Mutant, mutants
from tests.traced import Recorder, Test, read

ROOT = Path(__file__).parents[1]
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
PARTS = ("nextword", "tests", "examples", "benchmarks", "pyproject.toml", "README.md")
#: Loaded once; the processes that run the tests are forked from this one.
LIBRARIES = ("torch", "hypothesis", "pydantic", "typer", "tokenizers", "matplotlib.pyplot")
FORK = multiprocessing.get_context("fork")


@dataclass
class Score:
    """What became of one file's mutants."""

    mutants: int
    tried: int = 0
    killed: int = 0
    equivalent: int = 0
    survived: list[dict[str, Any]] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("files", nargs="+", help="files of the package")
    parser.add_argument("--tests", nargs="*", default=[], help="more tests: files or folders")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--sample", type=int, help="at most so many mutants of each file")
    parser.add_argument("--seconds", type=float, default=60, help="of tests for each mutant")
    parser.add_argument("--again", type=Path, help="only survivors of an earlier --json's output")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    files = [str(Path(file).resolve().relative_to(ROOT)) for file in options.files]
    for name in LIBRARIES:
        __import__(name)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees = [copy_of_tree(Path(folder) / str(i)) for i in range(options.workers)]
        tests = run_once([*named_like(files), *options.tests], files, trees)
        say(f"{len(tests)} tests run something of them")
        scores = try_all(files, tests, trees, options)
    if options.json:
        print(json.dumps({file: vars(score) for file, score in scores.items()}, indent=1))
    else:
        report(scores)
    sys.exit(any(score.survived for score in scores.values()))


def report(scores: dict[str, Score]) -> None:
    for file, score in scores.items():
        for survivor in score.survived:
            print(f"\n{file}:{survivor['line']} {survivor['why']}\n{survivor['diff']}")
    print(f"\n{'file':44} {'mutants':>8} {'tried':>6} {'killed':>6} {'equivalent':>10} survived")
    for file, s in scores.items():
        counts = f"{s.mutants:8} {s.tried:6} {s.killed:6} {s.equivalent:10} {len(s.survived):8}"
        print(f"{file:44} {counts}")


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------ what to run


def named_like(files: Iterable[str]) -> list[str]:
    """The tests of a file by its name: `test_stripes.py`, `test_stripes_long.py`."""
    found = {p for file in files for p in (ROOT / "tests").rglob(f"test_{Path(file).stem}*.py")}
    return sorted(str(path.relative_to(ROOT)) for path in found)


def copy_of_tree(folder: Path) -> Path:
    for part in PARTS:
        if (ROOT / part).is_dir():
            skip = shutil.ignore_patterns("*.pyc")  # compiled loops (*.machine) are taken along
            shutil.copytree(ROOT / part, folder / part, ignore=skip)
        elif (ROOT / part).exists():
            shutil.copy(ROOT / part, folder / part)
    return folder


def equivalents() -> set[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """(file, lines removed, lines added) of each block of the list."""
    known = set()
    for block in EQUIVALENT.read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if lines:
            removed = tuple(line[2:] for line in lines[1:] if line.startswith("- "))
            added = tuple(line[2:] for line in lines[1:] if line.startswith("+ "))
            known.add((lines[0], removed, added))
    return known


# ----------------------------------------------------------------------------- pytest in processes


@dataclass
class Job:
    """One call of pytest in a copy of the tree, in which a file may be another one."""

    arguments: list[str]
    plugin: Any
    timeout: float
    mutant: Mutant | None = None

    def run(self, tree: Path) -> None:
        """What the process does; it ends with pytest's status."""
        os.setsid()
        sink = os.open(tree.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        os.chdir(tree)
        sys.path[:] = [str(tree), *(p for p in sys.path if Path(p or ".").resolve() != ROOT)]
        os.environ["PYTHONPATH"] = str(tree)
        for name in [name for name in sys.modules if name.split(".")[0] in ("tests", "nextword")]:
            del sys.modules[name]
        sys.dont_write_bytecode = self.mutant is not None  # else a mutant's might be found later
        if self.mutant and "nextword.compiled" in self.mutant.source:
            os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(dir=tree.parent)
        (tree.parent / "tmp").mkdir(exist_ok=True)
        folder = tempfile.mkdtemp(dir=tree.parent / "tmp")
        common = ["-q", "-n0", "-p", "no:cacheprovider", "--tb=line", f"--basetemp={folder}"]
        status = pytest.main([*common, *self.arguments], plugins=[self.plugin])
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(int(status))


def in_processes(jobs: Iterable[Job], trees: list[Path]) -> Iterator[tuple[Job, int | None]]:
    """Every job, one at a time in each tree, with its status: None where it took too long."""
    waiting, free = deque(jobs), list(trees)
    running: dict[Any, tuple[Job, Path, float]] = {}
    try:
        yield from _in_turn(waiting, free, running)
    finally:
        for process in running:
            os.killpg(process.pid, signal.SIGKILL)


def _in_turn(
    waiting: deque[Job], free: list[Path], running: dict[Any, tuple[Job, Path, float]]
) -> Iterator[tuple[Job, int | None]]:
    while waiting or running:
        while waiting and free:
            job, tree = waiting.popleft(), free.pop()
            if job.mutant:
                shutil.copy2(tree / job.mutant.file, tree.with_suffix(".original"))
                (tree / job.mutant.file).write_text(job.mutant.source, encoding="utf-8")
            process = FORK.Process(target=job.run, args=(tree,))
            process.start()
            running[process] = job, tree, time.monotonic() + job.timeout
        soonest = min(until for _, _, until in running.values()) - time.monotonic()
        wait([process.sentinel for process in running], timeout=max(0, soonest))
        for process, (job, tree, until) in list(running.items()):
            if process.is_alive() and time.monotonic() < until:
                continue
            late = process.is_alive()
            if late:
                os.killpg(process.pid, signal.SIGKILL)
            process.join()
            if job.mutant:
                shutil.copy2(tree.with_suffix(".original"), tree / job.mutant.file)
            del running[process]
            free.append(tree)
            yield job, None if late else process.exitcode


# ------------------------------------------------------------------------- which test runs what


def run_once(paths: list[str], files: list[str], trees: list[Path]) -> dict[str, Test]:
    """The tests that run a line of the files, by their pytest names."""
    places = [ROOT / path for path in paths]
    modules = sorted({m for p in places for m in (p.rglob("test_*.py") if p.is_dir() else [p])})
    folder = Path(tempfile.mkdtemp(dir=trees[0].parent))
    modules.sort(key=lambda module: -module.stat().st_size)  # the last to end should be short
    names = [str(module.relative_to(ROOT)) for module in modules]
    jobs = [Job([name], Recorder(files, folder / str(i)), 1800) for i, name in enumerate(names)]
    for job, status in in_processes(jobs, trees):
        if status not in (0, 5):
            say(f"{job.arguments[0]}: not all of its tests pass (pytest's status {status})")
    return read(folder)


# ------------------------------------------------------------------------------------- the mutants


class Only:
    """Runs these tests and no others."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = set(names)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if item.nodeid in self.names]


def covering(mutant: Mutant, tests: dict[str, Test], seconds: float) -> list[str]:
    """The tests that run the changed lines, the shortest first, as many as the time allows. Lines
    that run at import, or compiled, are noted of no test: then those that run any of the file."""
    reached = set(mutant.reached_by)
    runs = {n: t for n, t in tests.items() if reached & t.lines.get(mutant.file, set())}
    if not reached:
        runs = {n: t for n, t in tests.items() if mutant.file in t.lines} or tests
    chosen, spent = [], 0.0
    for name, test in sorted(runs.items(), key=lambda pair: pair[1].seconds):
        spent += test.seconds
        if chosen and spent > seconds:
            break
        chosen.append(name)
    return chosen


def job_of(mutant: Mutant, names: list[str], tests: dict[str, Test]) -> Job:
    modules: dict[str, float] = {}
    for name in names:
        module = name.split("::")[0]
        modules[module] = modules.get(module, 0) + tests[name].seconds
    timeout = 20 + 5 * sum(modules.values())
    return Job(["-x", *sorted(modules, key=lambda m: modules[m])], Only(names), timeout, mutant)


def chosen(file: str, sample: int | None, again: set[str] | None) -> tuple[int, list[Mutant]]:
    """How many mutants a file has, and those to try."""
    every = mutants(file, (ROOT / file).read_text(encoding="utf-8"))
    found = every if again is None else [m for m in every if f"{file}\n{m.diff}" in again]
    if sample is not None and sample < len(found):
        found = random.Random(0).sample(found, sample)
    return len(every), sorted(found, key=lambda mutant: mutant.line)


def try_all(
    files: list[str], tests: dict[str, Test], trees: list[Path], options: argparse.Namespace
) -> dict[str, Score]:
    """Scores by file; of what was tried so far where Ctrl-C ends it."""
    known, again = equivalents(), survivors_of(options.again) if options.again else None
    scores: dict[str, Score] = {}
    jobs: list[Job] = []
    for file in files:
        count, found = chosen(file, options.sample, again)
        scores[file] = score = Score(count)
        for mutant in found:
            if (file, mutant.removed, mutant.added) in known:
                score.equivalent += 1
            elif names := covering(mutant, tests, options.seconds):
                jobs.append(job_of(mutant, names, tests))
            else:
                score.survived.append(survivor(mutant, "no test runs this"))
        score.tried = score.equivalent + len(score.survived)
    say(f"{len(jobs)} mutants to try")
    with suppress(KeyboardInterrupt):
        for job, status in in_processes(jobs, trees):
            assert job.mutant is not None
            score = scores[job.mutant.file]
            score.tried += 1
            if status in (0, 5):
                score.survived.append(survivor(job.mutant, f"{len(job.plugin.names)} tests pass"))
                say(f"survived: {job.mutant.file}:{job.mutant.line}\n{job.mutant.diff}")
            else:
                score.killed += 1
    for score in scores.values():
        score.survived.sort(key=lambda found: found["line"])
    return scores


def survivors_of(report: Path) -> set[str]:
    """Of an earlier run, by file and change."""
    scores = json.loads(report.read_text(encoding="utf-8"))
    return {f"{file}\n{found['diff']}" for file in scores for found in scores[file]["survived"]}


def survivor(mutant: Mutant, why: str) -> dict[str, Any]:
    return {"line": mutant.line, "why": why, "diff": mutant.diff}


if __name__ == "__main__":
    main()
