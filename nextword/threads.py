"""Threads for loops that release the global interpreter lock, as compiled functions do."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def threads() -> int:
    """Return how many threads a loop may use: the cores this process may run on, at most 8."""
    return max(1, min(8, len(os.sched_getaffinity(0)) if _AFFINITY else os.cpu_count() or 1))


_AFFINITY = hasattr(os, "sched_getaffinity")


def helpers() -> ThreadPoolExecutor:
    """Return a pool of threads that stays alive, for work too short to start threads for.

    It has one thread fewer than `threads()`, because the caller works too.
    """
    global _helpers
    if _helpers is None:
        _helpers = ThreadPoolExecutor(max(1, threads() - 1), thread_name_prefix="nextword")
    return _helpers


def _forget_helpers() -> None:
    global _helpers
    _helpers = None


_helpers: ThreadPoolExecutor | None = None
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        after_in_child=_forget_helpers
    )  # a forked child has none of its parent's threads


def parallel_map(
    function: Callable[[A], B], items: Iterable[A], workers: int | None = None
) -> list[B]:
    """Call `function` on every item in parallel.

    Args:
        workers: number of threads; None = `threads()`.

    Returns:
        The results in the order of the items.
    """
    work = list(items)
    workers = min(workers or threads(), len(work))
    if workers <= 1:
        return [function(item) for item in work]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, work))


def parallel_imap(
    function: Callable[[A], B], items: Iterable[A], workers: int | None = None
) -> Iterator[B]:
    """Call `function` on every item in parallel and yield the results in order.

    At most three items per thread are computed ahead, so endless iterables work.

    Args:
        workers: number of threads; None = `threads()`.
    """
    work = iter(items)
    workers = workers or threads()
    with ThreadPoolExecutor(workers) as pool:
        ahead = deque(pool.submit(function, item) for item in islice(work, 3 * workers))
        while ahead:
            result = ahead.popleft().result()
            ahead.extend(pool.submit(function, item) for item in islice(work, 1))
            yield result


def chunks(total: int, size: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """Yield the bounds (start, stop) of consecutive chunks of at most `size` up to `total`."""
    for at in range(start, total, size):
        yield at, min(total, at + size)
