"""Processes that work on blocks.

They come from a server process that is started afresh and has no threads. A fork of this process
would inherit the locks that its threads hold at the time, be they those of another package, and
nobody would ever give them back. The model is copied once, into memory that all processes map.
"""

from __future__ import annotations

import gc
import io
import mmap
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..errors import InputError, shown

A = TypeVar("A")
B = TypeVar("B")
_ALIGNED = 64  # bytes
_SHM = "/dev/shm"  # a file there is in memory
_PATIENCE = 5  # seconds that the processes have to end by themselves
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")  # of what numpy starts


class Part(NamedTuple):
    """Where in the memory of all processes a part of a value is."""

    place: int
    size: int  # bytes
    writable: bool


class Pool:
    """Several processes, or none: then all is done in this one. `started` makes one.

    Args:
        workers: the number of processes. 1 starts none, as does any number where there is no Linux.

    Raises:
        InputError: they cannot be started.
    """

    def __init__(self, workers: int) -> None:
        alone = workers <= 1 or sys.platform != "linux" or not sys.executable
        self._ours: list[Connection] = []
        self._memory = -1
        self._server: subprocess.Popen[bytes] | None = None
        if not alone:
            try:
                self._start(workers)
            except OSError as error:
                self.close()
                raise InputError(
                    f"no {workers} processes can be started ({error.strerror}); --workers 1 needs "
                    "none"
                ) from None

    def _start(self, workers: int) -> None:
        self._memory = _shared_memory()
        with ExitStack() as stack:
            theirs = []
            for _ in range(workers):
                ours, there = Pipe()
                self._ours.append(ours)
                theirs.append(stack.enter_context(there).fileno())
            places = [place for place in sys.path if isinstance(place, str)]
            script = (
                f"import sys; sys.path[:] = {places}\n"
                f"from {__name__} import serve; serve({theirs}, {self._memory})"
            )
            self._server = subprocess.Popen(
                [sys.executable, "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[*theirs, self._memory],
                env=os.environ | dict.fromkeys(_THREADS, "1"),
                process_group=0,  # Ctrl-C is for this process: it decides
            )

    def load(self, function: Callable[[A], B]) -> Callable[[A], B]:
        """Return a function that calls `function` in one of the processes; threads may call it.
        A pool can do so once.

        Raises:
            InputError: the processes cannot have it. The function that is returned raises it if a
                process has died, and besides what `function` raises.
        """
        if self._server is None:
            return function
        try:
            sizes = _write(self._memory, function)
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
            raise _not_loaded(error) from None
        except (OSError, MemoryError):
            raise InputError(
                "there is no memory for a copy of the model, which several processes need; "
                "--workers 1 needs none"
            ) from None
        _ask(self._ours[0], sizes)
        _answer(self._ours[0])
        free: SimpleQueue[Connection] = SimpleQueue()
        for connection in self._ours:
            free.put(connection)

        def call(item: A) -> B:
            connection = free.get()
            try:
                _ask(connection, item)
                found: B = _answer(connection)
            finally:
                free.put(connection)
            return found

        return call

    def close(self) -> None:
        """End the processes."""
        for connection in self._ours:
            connection.close()
        if self._server is not None:
            try:
                self._server.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(self._server.pid, signal.SIGKILL)
                self._server.wait()
        if self._memory >= 0:
            os.close(self._memory)


@contextmanager
def started(workers: int) -> Iterator[Pool]:
    """Start processes that end with the context; see `Pool`. They import what they need while this
    process goes on; `Pool.load` gives them their work.

    Example:
        with started(2) as pool:
            print(pool.load(abs)(-3))
    """
    pool = Pool(workers)
    try:
        yield pool
    finally:
        pool.close()


def _ask(connection: Connection, item: object) -> None:
    with suppress(OSError):  # `_answer` says that the process is dead
        connection.send(item)


def _answer(connection: Connection) -> Any:
    try:
        is_error, result = connection.recv()
    except (EOFError, OSError):
        raise InputError(
            "a process that scores documents has been ended, perhaps for want of memory; go on "
            "with --resume"
        ) from None
    if is_error:
        raise result
    return result


def _not_loaded(error: Exception) -> InputError:
    return InputError(
        f"the model cannot be given to other processes ({shown(error, 200)}); --workers 1 needs "
        "none"
    )


class _Pickler(pickle.Pickler):
    """Leaves arrays out of the pickle, those that are mapped from a file too."""

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, np.memmap):
            return np.asarray(value).__reduce_ex__(5)
        return NotImplemented


def _shared_memory() -> int:
    """A descriptor of memory without a name; it is gone when nobody has it open."""
    if hasattr(os, "memfd_create"):  # not in a Python that was built with an old C library
        return os.memfd_create("nextword")
    with tempfile.TemporaryFile(dir=_SHM if os.path.isdir(_SHM) else None) as file:
        return os.dup(file.fileno())


def _write(memory: int, value: object) -> list[Part]:
    """Write a value into memory: its pickle and its arrays, each of them once, however many views
    of it there are."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = io.BytesIO()
    _Pickler(pickled, 5, buffer_callback=buffers.append).dump(value)
    written: dict[tuple[int, int], int] = {}  # address and size of what is there, and its place
    parts, end = [], 0
    for data in (memoryview(pickled.getvalue()), *(buffer.raw() for buffer in buffers)):
        key = np.frombuffer(data, np.uint8).ctypes.data, len(data)
        if key not in written:
            written[key] = end
            rest = data
            while rest:
                rest = rest[os.pwrite(memory, rest, end + len(data) - len(rest)) :]
            end += -(-len(data) // _ALIGNED) * _ALIGNED
        parts.append(Part(written[key], len(data), not data.readonly))
    os.truncate(memory, end)
    return parts


def _read(memory: int, parts: list[Part]) -> Any:
    """The value that `_write` wrote; its arrays stay where they are."""
    whole = memoryview(mmap.mmap(memory, 0, access=mmap.ACCESS_COPY))
    found = [whole[part.place : part.place + part.size] for part in parts]
    buffers = [
        data if part.writable else data.toreadonly()
        for data, part in zip(found, parts, strict=True)
    ]
    return pickle.loads(buffers[0], buffers=buffers[1:])


def serve(numbers: list[int], memory: int) -> None:
    """Fork a process for each connection; it answers calls until the other end is closed, be it
    that the process there is killed.

    Args:
        numbers: the file descriptors of the connections.
        memory: that of the memory that `Pool.load` writes to.
    """
    connections = [Connection(number) for number in numbers]
    with suppress(EOFError, OSError):
        try:
            from . import work  # noqa: F401  (it takes a while; the first process goes on meanwhile)

            function = _read(memory, connections[0].recv())
        except EOFError:
            return
        except Exception as error:
            connections[0].send((True, _not_loaded(error)))
            return
        connections[0].send((False, None))
        gc.freeze()  # what is not changed is in memory once
        for own in connections:
            if not _forked(own):
                for other in connections:
                    if other is not own:
                        other.close()
                with suppress(EOFError, OSError):
                    _work(function, own)
                os._exit(0)
        for connection in connections:
            connection.close()
        with suppress(ChildProcessError):
            while True:
                os.wait()


def _forked(connection: Connection) -> int:
    """Fork; returns 0 in the child. If there can be none, the first call of the connection gets the
    error, and the others go on."""
    try:
        return os.fork()
    except OSError as error:
        wrong = f"no more processes can be started ({error.strerror}); name fewer --workers"
        connection.send((True, InputError(wrong)))
        return -1


def _work(function: Callable[[Any], Any], there: Connection) -> None:
    while True:
        item = there.recv()
        try:
            answer = False, function(item)
        except Exception as error:
            answer = True, error
        try:
            there.send(answer)
        except (pickle.PicklingError, TypeError, AttributeError):  # raised before anything is sent
            wrong = answer[1] if answer[0] else type(answer[1]).__name__
            there.send((True, InputError(f"a process cannot give back: {shown(wrong, 200)}")))
