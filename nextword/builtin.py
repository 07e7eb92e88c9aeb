"""Built-in functions of Python whose code numba compiles: CPython calls the machine code itself.

A call of a compiled function from Python costs 0.2 µs and as much again for each array, because
numba looks at the type of every argument. A built-in function gets the addresses of its arguments
and asks Python's C interface about them, as an extension module written in C does, and so costs
0.05 µs. No C compiler is needed.

The functions here that begin with `Py` are CPython's, of its stable interface
(https://docs.python.org/3/c-api/stable.html). An object is given and returned as its address; 0 in
the place of an object means that an exception has been raised.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from numba import types
from numba.core import cgutils as _cgutils
from numba.core.ccallback import CFunc
from numba.extending import intrinsic

from .compile_cache import Cache
from .compiled import Int

_intrinsic: Any = intrinsic  # numba's own types say little of these
_llvm: Any = _cgutils
_OBJECT, _SIZE, _INT = types.intp, types.intp, types.int32
_METH_FASTCALL = 0x80  # the function gets (self, the arguments' address, their number)


def _python(name: str, result: Any, *arguments: Any) -> Callable[..., int]:
    function: Any = types.ExternalFunction(name, result(*arguments))
    made: Callable[..., int] = function
    return made


PyObject_GetAttr = _python("PyObject_GetAttr", _OBJECT, _OBJECT, _OBJECT)
PyObject_SetAttr = _python("PyObject_SetAttr", _INT, _OBJECT, _OBJECT, _OBJECT)
PyObject_IsTrue = _python("PyObject_IsTrue", _INT, _OBJECT)
PyLong_AsSsize_t = _python("PyLong_AsSsize_t", _SIZE, _OBJECT)
PyLong_FromSsize_t = _python("PyLong_FromSsize_t", _OBJECT, _SIZE)
PyFloat_FromDouble = _python("PyFloat_FromDouble", _OBJECT, types.float64)
PyBool_FromLong = _python("PyBool_FromLong", _OBJECT, types.long_)
PyTuple_New = _python("PyTuple_New", _OBJECT, _SIZE)
PyTuple_SetItem = _python("PyTuple_SetItem", _INT, _OBJECT, _SIZE, _OBJECT)
PyBytes_AsString = _python("PyBytes_AsString", types.intp, _OBJECT)
PyErr_Clear = _python("PyErr_Clear", types.void)
Py_IncRef = _python("Py_IncRef", types.void, _OBJECT)
Py_DecRef = _python("Py_DecRef", types.void, _OBJECT)


@_intrinsic  # type: ignore[untyped-decorator]
def pointer(typing: Any, address: Any) -> Any:
    """An address as a pointer, for `numba.carray`."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], _llvm.voidptr_t)

    return types.voidptr(types.intp), generate


@_intrinsic  # type: ignore[untyped-decorator]
def utf8(typing: Any, text: Any) -> Any:
    """The address and the number of the UTF-8 bytes of a `str`; the address is 0, and an exception
    is raised, if the object is none or has no UTF-8."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = context.get_value_type(types.intp)
        size = _llvm.alloca_once_value(builder, word(0))
        kind = _llvm.ir.FunctionType(word, [word, word.as_pointer()])
        function = _llvm.get_or_insert_function(builder.module, kind, "PyUnicode_AsUTF8AndSize")
        address = builder.call(function, [values[0], size])
        return context.make_tuple(builder, signature.return_type, [address, builder.load(size)])

    pair: Any = types.UniTuple
    return pair(types.intp, 2)(types.intp), generate


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


def builtin(function: Callable[[int, int, int], Int], data: Data) -> Callable[..., Any]:
    """Make a built-in function.

    Args:
        function: compiled with numba; it gets the addresses of `data`, which is an object, and of
            an array with the addresses of the arguments, and their number. It returns the address
            of an object, which then belongs to the caller, or 0 after an exception.
        data: what `function` has to know.
    """
    made: Callable[..., Any] = _new(ctypes.addressof(_definition(function)), data, None)
    return made


_new = ctypes.pythonapi.PyCFunction_NewEx
_new.restype = ctypes.py_object
_new.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]


@lru_cache  # CPython does not copy a definition: it has to stay
def _definition(function: Callable[[int, int, int], Int]) -> _Definition:
    address = _machine_code(function)
    return _Definition(function.__name__.encode(), address, _METH_FASTCALL, None)


@lru_cache
def _kept() -> list[object]:
    return []


def _machine_code(function: Callable[[int, int, int], Int]) -> int:
    """The address of the compiled function, which `compile_cache` keeps on disk."""
    signature = ((types.intp, types.intp, types.intp), types.intp)
    made: Any = CFunc(function, signature, {}, {"error_model": "numpy"})
    made._cache = Cache(function)
    made.compile()
    _kept().append(made)
    return int(made.address)
