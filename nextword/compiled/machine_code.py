"""Loads machine code, and makes built-in functions of Python of it.

CPython calls a built-in function with the addresses of its arguments, as it calls the functions of
extension modules written in C; that takes 0.05 µs. No C compiler is needed, nor numba's front end:
LLVM's loader puts an object file into memory, and Python's C interface does the rest.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np

#: the name under which compiled code knows the type `numpy.ndarray`
NDARRAY = "nextword_ndarray"

_METH_FASTCALL = 0x80  # the function gets (self, the arguments' address, their number)


class Code(NamedTuple):
    """Machine code of one function."""

    name: str  # no other code has it
    file: bytes  # an object file with a function of this name


class Data(bytes):
    """The bytes that a built-in function knows as `self`; `kept` lives as long as they do."""

    kept: tuple[object, ...]


class _Definition(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_new = ctypes.pythonapi.PyCFunction_NewEx
_new.restype = ctypes.py_object
_new.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]

_loaded: dict[str, _Definition] = {}  # CPython does not copy a definition: it has to stay
_lock = Lock()


def builtin(definition: _Definition, data: Data | None) -> Callable[..., Any]:
    """Make a built-in function.

    Args:
        definition: what `load` returns.
        data: what the function gets as `self`.
    """
    made: Callable[..., Any] = _new(ctypes.addressof(definition), data, None)
    return made


def load(code: Code, name: str) -> _Definition:
    """Put machine code into memory.

    Args:
        code: a function (self, arguments, count) that gets the addresses of an object and of an
            array with the addresses of the arguments, and their number. It returns the address of
            an object, which then belongs to the caller, or 0 after an exception.
        name: the function's name in Python.
    """
    with _lock:
        if code.name not in _loaded:
            engine = _engine()
            engine.add_object_file(llvm.ObjectFileRef.from_data(code.file))
            engine.finalize_object()
            address = engine.get_function_address(code.name)
            _loaded[code.name] = _Definition(name.encode(), address, _METH_FASTCALL, None)
        return _loaded[code.name]


def processor() -> str:
    """The name of this machine's processor and what it can do."""
    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


@lru_cache
def _engine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    define_ndarray()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


def define_ndarray() -> None:
    """Tell LLVM's loader where `NDARRAY` is, which has no name in the process."""
    llvm.add_symbol(NDARRAY, id(np.ndarray))
