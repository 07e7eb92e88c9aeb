"""CPython's C interface, for compiled code.

The functions that begin with `Py` are of the stable interface
(https://docs.python.org/3/c-api/stable.html). An object is given and returned as its address; 0 in
the place of an object means that an exception has been raised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .deferred import Deferred, deferred


def _function(name: str, result: str, *arguments: str) -> Callable[..., int]:
    def make() -> object:
        from numba import types

        kinds = [getattr(types, argument) for argument in arguments]
        return types.ExternalFunction(name, getattr(types, result)(*kinds))

    made: Any = Deferred(make)
    function: Callable[..., int] = made
    return function


PyObject_GetAttr = _function("PyObject_GetAttr", "intp", "intp", "intp")
PyObject_SetAttr = _function("PyObject_SetAttr", "int32", "intp", "intp", "intp")
PyObject_IsTrue = _function("PyObject_IsTrue", "int32", "intp")
PyLong_AsSsize_t = _function("PyLong_AsSsize_t", "intp", "intp")
PyLong_FromSsize_t = _function("PyLong_FromSsize_t", "intp", "intp")
PyFloat_FromDouble = _function("PyFloat_FromDouble", "intp", "float64")
PyBool_FromLong = _function("PyBool_FromLong", "intp", "long_")
PyTuple_New = _function("PyTuple_New", "intp", "intp")
PyTuple_SetItem = _function("PyTuple_SetItem", "int32", "intp", "intp", "intp")
PyBytes_AsString = _function("PyBytes_AsString", "intp", "intp")
PyErr_Occurred = _function("PyErr_Occurred", "intp")
PyErr_Clear = _function("PyErr_Clear", "void")
PyEval_SaveThread = _function("PyEval_SaveThread", "intp")
PyEval_RestoreThread = _function("PyEval_RestoreThread", "void", "intp")
Py_IncRef = _function("Py_IncRef", "void", "intp")
Py_DecRef = _function("Py_DecRef", "void", "intp")

#: utf8(object): the address and the number of the UTF-8 bytes of a `str`
utf8 = deferred("nextword.compiled.intrinsics", "utf8")
