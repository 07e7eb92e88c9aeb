"""Loops that numpy cannot say, compiled to machine code by numba and kept on disk.

The first call on a machine compiles (seconds); `python -m nextword.warm_up` does it before.
Compiled functions let go of the interpreter's lock, so plain threads run them side by side.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar, cast

import numba

#: In compiled code Python's and numpy's integers are one; a type checker keeps them apart.
Int = Any

F = TypeVar("F", bound=Callable[..., object])
A = TypeVar("A")
B = TypeVar("B")


def compiled(function: F) -> F:
    """Machine code for `function`, compiled when first called with arguments of these types."""
    return _compiled(function)


def compiled_arithmetic(function: F) -> F:
    """As `compiled`; a product and a sum may become one instruction."""
    return _compiled(function, fastmath={"contract"})


def compiled_sums(function: F) -> F:
    """As `compiled_arithmetic`; sums may be taken in any order, so with vector instructions."""
    return _compiled(function, fastmath={"contract", "reassoc"})


def inlined(function: F) -> F:
    """As `compiled`, its code put into that of its callers."""
    return _compiled(function, inline="always")


def _compiled(function: F, **options: Any) -> F:
    made: Any = numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    return cast(F, made)


def threads() -> int:
    """How many threads a loop may use: the processor's share of this process, at most 8."""
    return max(1, min(8, len(os.sched_getaffinity(0)) if _AFFINITY else os.cpu_count() or 1))


_AFFINITY = hasattr(os, "sched_getaffinity")


def helpers() -> ThreadPoolExecutor:
    """Threads that stay, for shares too small to start one; one fewer than `threads`."""
    global _helpers
    if _helpers is None:
        _helpers = ThreadPoolExecutor(max(1, threads() - 1), thread_name_prefix="nextword")
    return _helpers


def _forget_helpers() -> None:
    global _helpers
    _helpers = None


_helpers: ThreadPoolExecutor | None = None
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)  # a child has none of its parent's threads


def parallel_map(
    function: Callable[[A], B], items: Iterable[A], workers: int | None = None
) -> list[B]:
    """`function` of every item, several at a time, results in the order of the items."""
    work = list(items)
    workers = min(workers or threads(), len(work))
    if workers <= 1:
        return [function(item) for item in work]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, work))


def parallel_imap(
    function: Callable[[A], B], items: Iterable[A], workers: int | None = None
) -> Iterator[B]:
    """`parallel_map`, result by result in order; a few are computed ahead."""
    work = iter(items)
    workers = workers or threads()
    with ThreadPoolExecutor(workers) as pool:
        ahead = deque(pool.submit(function, item) for item in islice(work, 3 * workers))
        while ahead:
            result = ahead.popleft().result()
            ahead.extend(pool.submit(function, item) for item in islice(work, 1))
            yield result


def chunks(total: int, size: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """(from, to) in steps of `size`."""
    for at in range(start, total, size):
        yield at, min(total, at + size)
