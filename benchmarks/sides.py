"""Measures several sides in turn, each in a process of its own that stays open.

Each side has its own process, so the memory allocator and the threads of one do not affect another.
The process stays open, so its start is not measured. The sides take turns, so a machine that
becomes slower does so for all of them.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

Answer = dict[str, Any]


class Side:
    """A process that serves requests: `python -m MODULE --side NAME`."""

    def __init__(self, module: str, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, "--side", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> Answer:
        """Send a request and return the answer."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a side of the benchmark ended; its message is above")
        answer: Answer = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def serve(answer: Callable[..., Answer]) -> None:
    """Runs in the process of a side: answer every request on standard input."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # other output must not mix with the answers
    for line in sys.stdin:
        out.write(json.dumps(answer(**json.loads(line))) + "\n")
        out.flush()


def in_turn(sides: dict[str, Side], repeats: int, **request: Any) -> dict[str, list[Answer]]:
    """Send the same request to all sides in turn; returns the answers of each, without the first
    round."""
    answers: dict[str, list[Answer]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name, side in sides.items():
            answer = side.ask(**request)
            if repeat:
                answers[name].append(answer)
    return answers


def median(answers: list[Answer], key: str = "seconds") -> float:
    """The median of a figure over the answers."""
    return float(statistics.median(answer[key] for answer in answers))


def relative_range(answers: list[Answer], key: str = "seconds") -> float:
    """(largest - smallest) / median of a figure: how much the measurements of a side vary."""
    values = [float(answer[key]) for answer in answers]
    return (max(values) - min(values)) / statistics.median(values)


def seconds(function: Callable[[], object]) -> float:
    """The seconds that a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def peak_gflops(size: int = 2048, repeats: int = 7) -> float:
    """The GFLOP/s of a product of two square float32 matrices on this machine, by torch's `mm` or
    by oneDNN with a reordered matrix: the better of the two medians over the repeats."""
    import torch

    from nextword.nn.kernels.product import multiply_by

    a, b = torch.randn(size, size), torch.randn(size, size)
    laid = multiply_by(b, torch.float32, size, 100)
    ways: tuple[Callable[[], object], ...] = (lambda: torch.mm(a, b), lambda: laid(a))
    times = [statistics.median(seconds(way) for _ in range(repeats)) for way in ways]
    return 2 * size**3 / min(times) / 1e9


def machine() -> str:
    """A description of this machine and of torch."""
    import torch

    return (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()})"
    )
