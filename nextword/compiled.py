"""Decorators that compile loops to machine code with numba, and threads to run them in.

The first call on a machine compiles a function (seconds) and keeps the machine code on disk
(`compile_cache.py`); `python -m nextword.warm_up` compiles all functions beforehand. Compiled
functions release the global interpreter lock, so threads run them in parallel.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import types
from numba.core import cgutils as _cgutils
from numba.extending import intrinsic

from .compile_cache import Cache

_intrinsic: Any = intrinsic  # numba's own types say little of these
_llvm: Any = _cgutils

#: An integer. Compiled code does not distinguish Python's integers from numpy's; type checkers do.
Int = int | np.integer[Any]

F = TypeVar("F", bound=Callable[..., object])
A = TypeVar("A")
B = TypeVar("B")


def compiled(function: F) -> F:
    """Compile `function` to machine code when it is first called with arguments of these types."""
    return _compiled(function)


def compiled_arithmetic(function: F) -> F:
    """Compile like `compiled`, and let a product and a sum become one instruction (FMA)."""
    return _compiled(function, fastmath={"contract"})


def compiled_sums(function: F) -> F:
    """Compile like `compiled_arithmetic`, and let sums be reordered so that they vectorise."""
    return _compiled(function, fastmath={"contract", "reassoc"})


def inlined(function: F) -> F:
    """Compile like `compiled`, and inline the code into its callers."""
    return _compiled(function, inline="always")


def borrowing(function: F) -> F:
    """Compile like `compiled`, for a function that makes no array. numba does not count the
    references to its arguments, which would take longer than a call in the middle of a loop."""
    return _compiled(function, _nrt=False)


@_intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing: Any, array: Any, row: Any) -> Any:
    """Begin to load a row of an array from memory, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows = context.make_array(signature.args[0])(context, builder, values[0])
        word, byte, flag = _llvm.intp_t, _llvm.voidptr_t, _llvm.int32_t
        offset = builder.mul(values[1], builder.extract_value(rows.strides, 0))
        place = builder.inttoptr(builder.add(builder.ptrtoint(rows.data, word), offset), byte)
        kind = _llvm.ir.FunctionType(_llvm.ir.VoidType(), [byte, flag, flag, flag])
        function = _llvm.get_or_insert_function(builder.module, kind, "llvm.prefetch")
        builder.call(function, [place, flag(0), flag(3), flag(1)])  # to read, to keep, data
        return context.get_dummy_value()

    return types.void(array, row), generate


def _compiled(function: F, **options: Any) -> F:
    made: Any = numba.njit(nogil=True, error_model="numpy", **options)(function)
    made._cache = Cache(function)  # what numba.njit(cache=True) does, with its own cache
    return cast(F, made)


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
