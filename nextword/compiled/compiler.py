"""Compiles functions with numba, to object files that need nothing of numba.

Python calls the machine code with the addresses of its arguments (`machine_code`). So a call begins
with code that looks whether the arguments have the types that it was compiled for, and reads them:
numbers with Python's C interface, arrays at their place in numpy's structures, which do not change
between versions (https://numpy.org/doc/stable/reference/c-api/types-and-structures.html).
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
from llvmlite import binding
from numba import types
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher
from numba.np.numpy_support import from_dtype

from .deferred import Deferred
from .intrinsics import array, intrinsic, llvm
from .machine_code import NDARRAY, define_ndarray
from .python import PyErr_Occurred, PyEval_RestoreThread, PyEval_SaveThread

_WORD = np.dtype(np.intp).itemsize
_HEAD = object.__basicsize__  # CPython's PyObject; its last member is the type
_TYPE = _HEAD - _WORD
# PyArrayObject: data, number of dimensions, lengths, strides, base, element type, flags
_DATA, _NDIM, _SHAPE, _STRIDES, _, _DESCR, _FLAGS = (_HEAD + _WORD * i for i in range(7))
# PyArray_Descr: the type of an element, then kind, type, byte order, flags (1 byte each), number
_BYTE_ORDER, _NUMBER = _HEAD + _WORD + 2, _HEAD + _WORD + 4
_CONTIGUOUS, _ALIGNED = 0x0001, 0x0100

# no counts of references to arrays: none is made, and counting takes longer than a call
_OPTIONS = {"error_model": "numpy", "_nrt": False}
_NUMBERS = {"int": "PyLong_Type", "float": "PyFloat_Type", "bool": "PyBool_Type"}
_READ = {"int": "PyLong_AsLongLong", "float": "PyFloat_AsDouble", "bool": "PyObject_IsTrue"}
_KIND = {"int": types.int64, "float": types.float64, "bool": types.boolean}


def dispatcher(function: Callable[..., object], options: dict[str, object]) -> Any:
    """A function as other compiled functions call it: what `numba.njit` makes, but also where the
    environment has `NUMBA_DISABLE_JIT`."""
    options = {"nopython": True, "boundscheck": None, **_OPTIONS, **options}
    return CPUDispatcher(_without_deferred(function), targetoptions=options)


def compile_call(function: Any, kinds: tuple[str, ...], name: str) -> bytes:
    """An object file whose function `name` calls `function`, a dispatcher, with arguments of these
    types.

    It returns NotImplemented if the arguments are of other types.

    Args:
        kinds: "int", "float" or "bool"; for an array its dtype, number of dimensions and layout:
            "<u4 2C" if it is contiguous, else "<u4 2A".
    """
    fits, read = _fits(kinds), _read(kinds)
    box: Any = _box

    def call(self: int, arguments: int, count: int) -> object:
        if not fits(arguments, count):
            return not_implemented()
        values = read(arguments)
        if PyErr_Occurred():  # an int of more than 64 bits
            return 0
        thread = PyEval_SaveThread()
        result = function(*values)
        PyEval_RestoreThread(thread)
        return box(result)

    return compile_builtin(call, name)


def compile_builtin(function: Callable[[int, int, int], object], name: str) -> bytes:
    """An object file whose function `name` is `function`; see `machine_code.load`."""
    define_ndarray()
    signature = ((types.intp, types.intp, types.intp), types.intp)
    made: Any = CFunc(_without_deferred(function), signature, {}, _OPTIONS)
    with global_compiler_lock:
        result = made._compile_uncached()
        return _object_file(result.library, result.fndesc.llvm_cfunc_wrapper_name, name)


def _object_file(library: Any, entry: str, name: str) -> bytes:
    """An object file that has one name, that of its entry.

    The names of numba's functions may be those of others in another file. Inlined once more where
    they are used, they also lose the handling of errors that they do not raise.
    """
    module = binding.parse_bitcode(library.serialize_using_bitcode()[2])
    for symbol in (*module.functions, *module.global_variables):
        if not symbol.is_declaration:
            symbol.linkage = "internal"
    found = module.get_function(entry)
    found.linkage, found.name = "external", name
    passes = library.codegen._pass_builder()
    passes.getModulePassManager().run(module, passes)
    used = [symbol.name for symbol in module.functions if symbol.is_declaration]
    if wrong := [called for called in used if called.startswith(("NRT_", "numba_"))]:
        raise TypeError(f"a compiled function raises no errors and makes no arrays: {wrong[0]}")
    file: bytes = library.codegen._tm.emit_object(module)
    return file


def _without_deferred(function: Any) -> Any:
    """A function of which numba sees what it compiles, in the place of what Python calls."""
    known = function.__globals__
    used = {name: known[name] for name in function.__code__.co_names if name in known}
    made = {name: value.made for name, value in used.items() if isinstance(value, Deferred)}
    copy = FunctionType(
        function.__code__,
        {**known, **made},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    copy.__annotations__ = {}
    return copy


def _field(builder: Any, address: Any, offset: int, kind: Any) -> Any:
    """A member of a structure."""
    place = builder.add(address, llvm.intp_t(offset))
    return builder.load(builder.inttoptr(place, kind.as_pointer()))


def _argument(builder: Any, arguments: Any, index: int) -> Any:
    return _field(builder, arguments, index * _WORD, llvm.intp_t)


def _address_of(builder: Any, name: str) -> Any:
    """The address of a variable of CPython."""
    found = builder.module.globals.get(name)
    if found is None:
        found = llvm.ir.GlobalVariable(builder.module, llvm.int8_t, name)
    return builder.ptrtoint(found, llvm.intp_t)


def _python(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Call a function of CPython."""
    kind = llvm.ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(llvm.get_or_insert_function(builder.module, kind, name), arguments)


def _fits(kinds: tuple[str, ...]) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def fits(typing: Any, arguments: Any, count: Any) -> Any:
        """Whether the arguments are as many as `kinds`, and of these types."""

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            given, count = values
            answer = llvm.alloca_once_value(builder, llvm.false_bit)
            end = builder.append_basic_block("end")

            def need(found: Any, wanted: Any) -> None:
                following = builder.append_basic_block("fits")
                builder.cbranch(builder.icmp_unsigned("==", found, wanted), following, end)
                builder.position_at_end(following)

            need(count, llvm.intp_t(len(kinds)))
            for index, kind in enumerate(kinds):
                item = _argument(builder, given, index)
                name = _NUMBERS.get(kind, NDARRAY)
                need(_field(builder, item, _TYPE, llvm.intp_t), _address_of(builder, name))
                if kind in _NUMBERS:
                    continue
                byte, number = llvm.int8_t, llvm.int32_t
                dtype, dimensions, contiguous = _parsed(kind)
                need(_field(builder, item, _NDIM, number), number(dimensions))
                flags = _field(builder, item, _FLAGS, number)
                mask = number(_CONTIGUOUS | _ALIGNED)
                wanted = number(_ALIGNED | (_CONTIGUOUS if contiguous else 0))
                need(builder.and_(flags, mask), wanted)
                descr = _field(builder, item, _DESCR, llvm.intp_t)
                need(_field(builder, descr, _NUMBER, number), number(dtype.num))
                need(_field(builder, descr, _BYTE_ORDER, byte), byte(ord(dtype.byteorder)))
            builder.store(llvm.true_bit, answer)
            builder.branch(end)
            builder.position_at_end(end)
            return builder.load(answer)

        return types.boolean(types.intp, types.intp), generate

    return fits


def _read(kinds: tuple[str, ...]) -> Any:
    wanted = types.Tuple([_type(kind) for kind in kinds])  # type: ignore[no-untyped-call]

    @intrinsic  # type: ignore[untyped-decorator]
    def read(typing: Any, arguments: Any) -> Any:
        """The values of the arguments."""

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            made = []
            for index, (kind, type_) in enumerate(zip(kinds, wanted, strict=True)):
                item = _argument(builder, values[0], index)
                if kind in _NUMBERS:
                    result = context.get_value_type(types.int32 if kind == "bool" else type_)
                    value = _python(builder, _READ[kind], result, item)
                    if kind == "bool":
                        value = builder.trunc(value, llvm.bool_t)
                    made.append(value)
                else:
                    made.append(_array(context, builder, type_, item))
            return context.make_tuple(builder, wanted, made)

        return wanted(types.intp), generate

    return read


def _type(kind: str) -> Any:
    if kind in _KIND:
        return _KIND[kind]
    dtype, dimensions, contiguous = _parsed(kind)
    return types.Array(from_dtype(dtype), dimensions, "C" if contiguous else "A")


def _parsed(kind: str) -> tuple[np.dtype[Any], int, bool]:
    """The dtype and the number of dimensions of an array, and whether it is contiguous."""
    dtype, layout = kind.split()
    return np.dtype(dtype), int(layout[0]), layout[1] == "C"


def _array(context: Any, builder: Any, type_: Any, item: Any) -> Any:
    """An array of numba's with the memory of an array of numpy's."""
    word = llvm.intp_t
    shape, strides = (
        [
            _field(builder, _field(builder, item, table, word), i * _WORD, word)
            for i in range(type_.ndim)
        ]
        for table in (_SHAPE, _STRIDES)
    )
    data = _field(builder, item, _DATA, context.get_data_type(type_.dtype).as_pointer())
    return array(context, builder, type_, data, shape, strides if type_.layout == "A" else None)


@intrinsic  # type: ignore[untyped-decorator]
def not_implemented(typing: Any) -> Any:
    """A new reference to NotImplemented."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _reference(builder, "_Py_NotImplementedStruct")

    return types.intp(), generate


def _reference(builder: Any, name: str) -> Any:
    address = _address_of(builder, name)
    _python(builder, "Py_IncRef", llvm.ir.VoidType(), address)
    return address


@intrinsic  # type: ignore[untyped-decorator]
def _box(typing: Any, result: Any) -> Any:
    """A result as an object of Python."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _object(context, builder, signature.args[0], values[0])

    return types.intp(result), generate


def _object(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    word = llvm.intp_t
    if isinstance(kind, types.NoneType):
        return _reference(builder, "_Py_NoneStruct")
    if isinstance(kind, types.BaseTuple):
        made = _python(builder, "PyTuple_New", word, word(len(kind)))
        parts: Any = kind
        for index in range(len(parts)):
            item = _object(context, builder, parts[index], builder.extract_value(value, index))
            _python(builder, "PyTuple_SetItem", llvm.int32_t, made, word(index), item)
        return made
    if isinstance(kind, types.Boolean):
        value = context.cast(builder, value, kind, types.int64)
        return _python(builder, "PyBool_FromLong", word, value)
    if isinstance(kind, types.Float):
        value = context.cast(builder, value, kind, types.float64)
        return _python(builder, "PyFloat_FromDouble", word, value)
    if kind in types.signed_domain | types.unsigned_domain:
        signed = kind in types.signed_domain
        value = context.cast(builder, value, kind, types.int64 if signed else types.uint64)
        name = "PyLong_FromLongLong" if signed else "PyLong_FromUnsignedLongLong"
        return _python(builder, name, word, value)
    raise TypeError(f"a compiled function cannot give {kind} to Python")
