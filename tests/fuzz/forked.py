"""Runs cases in a forked process with bounded memory and time, and says how each ended."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SECONDS = 20.0  # of the processor: a case that takes longer hangs
WAIT = 6  # times as long by the clock, on a machine that does other things too
MEMORY = 1 << 30  # bytes that a case may take besides what the process has

Case = Callable[[int, Path], str | None]  # number, empty folder → what was wrong


@dataclass(frozen=True)
class Failure:
    """A case that ended in another way than it may."""

    case: int
    what: str


def run(case: Case, numbers: range) -> list[Failure]:
    """Run cases in forked processes; a crash or a hang ends one, and the next goes on after it."""
    failures: list[Failure] = []
    todo = list(numbers)
    while todo:
        done, failed, end = _forked(case, todo)
        failures += failed
        todo = todo[done:]
        if todo and end:
            failures.append(Failure(todo.pop(0), end))
    return failures


def _forked(case: Case, numbers: list[int]) -> tuple[int, list[Failure], str]:
    """Returns how many cases are done, the failed ones, and how the process ended if too early."""
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        os.setpgid(0, 0)
        _child(case, numbers, writer)
    os.close(writer)
    done, failed, rest = 0, [], b""
    end = ""
    while True:
        if not _answers(reader, child):
            os.kill(child, signal.SIGKILL)
            end = f"takes longer than {SECONDS:.0f} seconds"
            break
        data = os.read(reader, 1 << 16)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            number, _, what = line.decode("utf-8", "replace").partition(" ")
            done += 1
            if what:
                failed.append(Failure(int(number), what))
    os.close(reader)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    if not end and done < len(numbers):
        end = f"ends the process: {os.waitstatus_to_exitcode(status)}"
    return done, failed, end


def _answers(reader: int, child: int) -> bool:
    """Wait until a case is done, or has had its time."""
    before = _seconds(child)
    for _ in range(WAIT):
        if select.select([reader], [], [], SECONDS)[0]:
            return True
        if _seconds(child) - before > SECONDS:
            return False
    return False


def _seconds(process: int) -> float:
    """The processor's seconds that a process has taken."""
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_name[11:13])) / os.sysconf("SC_CLK_TCK")


def _child(case: Case, numbers: list[int], writer: int) -> None:
    faulthandler.disable()  # a crash is told by the process that waits
    _bound_memory()
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    try:
        for number in numbers:
            what = outcome(case, number) or ""
            os.write(writer, f"{number} {' '.join(what.split())}\n".encode("utf-8", "replace"))
    finally:
        os._exit(0)


def outcome(case: Case, number: int) -> str | None:
    """Run one case in this process: what was wrong, if anything."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    before = os.getcwd()
    try:
        os.chdir(folder)
        return case(number, folder)
    except BaseException as error:
        return described(error)
    finally:
        os.chdir(before)
        shutil.rmtree(folder, ignore_errors=True)


def described(error: BaseException) -> str:
    """An exception with the last places in the package that it went through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/nextword/" in f.filename][-2:] or frames[-1:]
    places = " < ".join(
        f"{f.filename.rsplit('/nextword/', 1)[-1]}:{f.lineno}" for f in reversed(ours)
    )
    return f"{type(error).__name__}: {str(error)[:200]} ({places})"


def _bound_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
