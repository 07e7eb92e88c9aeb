"""Processes that work on blocks, forked from this one, so that they share its memory: the model is
in it once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, TypeVar

from ..errors import InputError

A = TypeVar("A")
B = TypeVar("B")


@contextmanager
def forked(function: Callable[[A], B], workers: int) -> Iterator[Callable[[A], B]]:
    """Give a function that calls `function` in one of several processes; threads may call it.

    Only Linux forks safely; elsewhere, and with one worker, `function` itself is given.

    Raises:
        InputError: what `function` raises; or a process has died.
    """
    if workers <= 1 or sys.platform != "linux":
        yield function
        return
    context = multiprocessing.get_context("fork")
    ours: list[Connection] = []
    processes = []
    for _ in range(workers):
        here, there = context.Pipe()
        ours.append(here)
        process = context.Process(target=_serve, args=(function, there), daemon=True)
        process.start()
        there.close()
        processes.append(process)
    free: SimpleQueue[Connection] = SimpleQueue()
    for connection in ours:
        free.put(connection)

    def call(item: A) -> B:
        connection = free.get()
        try:
            connection.send(item)
            is_error, result = connection.recv()
        except (EOFError, OSError):
            raise InputError(
                "a process that scores documents has been ended, perhaps for want of memory; go on "
                "with --resume"
            ) from None
        finally:
            free.put(connection)
        if is_error:
            raise result
        found: B = result
        return found

    try:
        yield call
    finally:
        for connection in ours:
            connection.close()
        for process in processes:
            process.join(5)
            if process.is_alive():
                process.kill()


def _serve(function: Callable[[Any], Any], there: Connection) -> None:
    """Answer calls until the other end is closed, be it that the process there is killed."""
    # Files that are inherited would keep the other ends open, and the lock of the output.
    last = max(map(int, os.listdir("/proc/self/fd")))
    os.closerange(3, there.fileno())
    os.closerange(there.fileno() + 1, last + 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the first process decides
    with suppress(EOFError, OSError):
        while True:
            item = there.recv()
            try:
                answer = False, function(item)
            except Exception as error:
                answer = True, error
            there.send(answer)
    os._exit(0)
