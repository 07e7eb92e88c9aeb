"""Two or more sides measured in turn, each in a process of its own that stays open.

A process for each side, so that what one does to the memory allocator or to threads neither helps
nor hurts another; open all the time, so that starting is not measured; asked one after the other,
so that a machine that grows slower does so for all.
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
    """A process that answers requests: `python -m MODULE --side NAME`."""

    def __init__(self, module: str, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, "--side", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> Answer:
        """Its answer to a request."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a side of the benchmark ended; its message is above")
        answer: Answer = json.loads(line)
        return answer

    def close(self) -> None:
        """Let it end."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def serve(answer: Callable[..., Answer]) -> None:
    """In the process of a side: answer every request on standard input."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    for line in sys.stdin:
        out.write(json.dumps(answer(**json.loads(line))) + "\n")
        out.flush()


def in_turn(sides: dict[str, Side], repeats: int, **request: Any) -> dict[str, list[Answer]]:
    """Every side's answers to the same request, asked in turn; the first round is not counted."""
    answers: dict[str, list[Answer]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name, side in sides.items():
            answer = side.ask(**request)
            if repeat:
                answers[name].append(answer)
    return answers


def median(answers: list[Answer], key: str = "seconds") -> float:
    """The median of a figure."""
    return statistics.median(answer[key] for answer in answers)


def relative_range(answers: list[Answer], key: str = "seconds") -> float:
    """(largest - smallest) / median: what a side differs from itself."""
    values = [answer[key] for answer in answers]
    return (max(values) - min(values)) / statistics.median(values)


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def peak_gflops(size: int = 2048, repeats: int = 7) -> float:
    """GFLOP/s of the fastest float32 product of two square matrices here: torch's own `mm`, or
    oneDNN's with a matrix laid out before. The median over the repeats of each, the better one."""
    import torch

    from nextword.nn.kernels.product import multiply_by

    a, b = torch.randn(size, size), torch.randn(size, size)
    laid = multiply_by(b, torch.float32, size, 100)
    times = [
        statistics.median(seconds(lambda f=f: f()) for _ in range(repeats))  # type: ignore[misc]
        for f in (lambda: torch.mm(a, b), lambda: laid(a))
    ]
    return 2 * size**3 / min(times) / 1e9


def machine() -> str:
    """What this was measured on."""
    import torch

    return (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()})"
    )
