"""The decorators, and how a compiled function is called."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, update_wrapper
from threading import Lock
from typing import Any, TypeVar, cast

import numpy as np

from . import cache
from .deferred import Deferred
from .machine_code import Data, builtin, load

#: An integer. Compiled code does not distinguish Python's integers from numpy's; type checkers do.
Int = int | np.integer[Any]

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile `function` to machine code when it is first called with arguments of these types."""
    return cast(F, Compiled(function))


def compiled_arithmetic(function: F) -> F:
    """Compile like `compiled`, and let a product and a sum become one instruction (FMA)."""
    return cast(F, Compiled(function, fastmath={"contract"}))


def compiled_sums(function: F) -> F:
    """Compile like `compiled_arithmetic`, and let sums be reordered so that they vectorise."""
    return cast(F, Compiled(function, fastmath={"contract", "reassoc"}))


def inlined(function: F) -> F:
    """Compile like `compiled`, and inline the code into its callers."""
    return cast(F, Compiled(function, inline="always"))


class Compiled(Deferred):
    """A function that runs as machine code: one built-in function for each combination of types."""

    __wrapped__: Callable[..., object]
    __name__: str

    def __init__(self, function: Callable[..., object], **options: object) -> None:
        super().__init__(lambda: _compiler().dispatcher(function, options))
        update_wrapper(self, function)
        self._calls: dict[tuple[str, ...], Callable[..., Any]] = {}
        self._lock = Lock()

    def __call__(self, *arguments: Any) -> Any:
        for call in self._calls.values():
            result = call(*arguments)
            if result is not NotImplemented:  # which means arguments of other types
                return result
        plain = [_plain(argument) for argument in arguments]
        result = self._call_for(tuple(map(_type, plain)))(*plain)
        if result is NotImplemented:
            raise TypeError(f"{self.__name__} does not take arrays that are not aligned")
        return result

    def _call_for(self, types: tuple[str, ...]) -> Callable[..., Any]:
        with self._lock:
            if types not in self._calls:

                def compile_it(name: str) -> bytes:
                    return cast(bytes, _compiler().compile_call(self.made, types, name))

                code = cache.code(self.__wrapped__, types, compile_it)
                made = builtin(load(code, self.__name__), None)
                self._calls = {**self._calls, types: made}  # threads may be reading the old one
            return self._calls[types]


def compiled_builtin(function: Callable[[int, int, int], Int], data: Data) -> Callable[..., Any]:
    """Make a built-in function whose code asks Python about its arguments itself.

    Args:
        function: it gets the addresses of `data`, which is an object, and of an array with the
            addresses of the arguments, and their number. It returns the address of an object, which
            then belongs to the caller, or 0 after an exception.
        data: what `function` has to know.
    """
    return builtin(_definition(function), data)


@lru_cache
def _definition(function: Callable[[int, int, int], Int]) -> Any:
    def compile_it(name: str) -> bytes:
        return cast(bytes, _compiler().compile_builtin(function, name))

    return load(cache.code(function, (), compile_it), function.__name__)


def _compiler() -> Any:
    from importlib import import_module  # compiling needs numba, whose import takes long

    return import_module("nextword.compiled.compiler")


def _plain(argument: Any) -> Any:
    """An argument in the form that machine code reads: a number of Python, or an array whose class
    is `numpy.ndarray` itself and whose type has one name."""
    if isinstance(argument, np.ndarray):
        array = argument.view(np.ndarray)
        canonical = np.dtype(array.dtype.str)
        return array if array.dtype.num == canonical.num else array.view(canonical)
    return argument.item() if isinstance(argument, np.generic) else argument


def _type(argument: object) -> str:
    if isinstance(argument, np.ndarray):
        layout = "C" if argument.flags.c_contiguous else "A"  # any, numba calls it
        return f"{argument.dtype.str} {argument.ndim}{layout}"
    if isinstance(argument, (int, float)):
        return type(argument).__name__
    raise TypeError(f"compiled functions take numbers and arrays, not {type(argument).__name__}")
