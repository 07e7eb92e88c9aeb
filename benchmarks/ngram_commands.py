"""Helpers of the n-gram benchmarks: they time commands and print a table of the times."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NEXTWORD = [sys.executable, "-m", "nextword"]
ORDER = 5


def timed(command: list[str], stdin: Path | None = None, stdout: Path | None = None) -> Any:
    """Run a command; returns (seconds, peak memory in bytes)."""
    began = time.perf_counter()
    source = stdin.open("rb") if stdin else subprocess.DEVNULL
    target = stdout.open("wb") if stdout else subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=source, stdout=target, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{said}")
    return time.perf_counter() - began, usage.ru_maxrss * 1024


def ours(train: Path, out: Path, order: int = ORDER, settings: tuple[str, ...] = ()) -> list[str]:
    """The `nextword` command that makes a run or an ARPA file."""
    command = [*NEXTWORD, "train", "ngram", "--train", str(train), "--out", str(out), "--quiet"]
    for setting in (f"model.order={order}", *settings):
        command += ["--set", setting]
    return [*command, "--overwrite"]


def report(sides: dict[str, Any], base: str) -> dict[str, Any]:
    """Print medians, spreads, and ratios to the side `base`; returns all figures."""
    print(f"{'':<22}{'median s':>10}{'spread':>9}{'ratio':>8}{'peak MB':>9}")
    for side, values in sides.items():
        seconds = values["seconds"]
        median = statistics.median(seconds)
        spread = (max(seconds) - min(seconds)) / median
        ratio = median / statistics.median(sides[base]["seconds"]) if base in sides else 1.0
        peak = f"{values['peak'] / 1e6:,.0f}" if values.get("peak") else ""
        print(f"{side:<22}{median:>10.3f}{spread:>9.1%}{ratio:>8.2f}{peak:>9}")
    return sides
