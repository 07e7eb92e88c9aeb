"""Operations that numba lacks, written in the language of LLVM."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils as _cgutils
from numba.extending import intrinsic as _intrinsic_of_numba
from numba.np.arrayobj import populate_array

intrinsic: Any = _intrinsic_of_numba  # numba's own types say little of these
llvm: Any = _cgutils
_pair: Any = types.UniTuple


@intrinsic  # type: ignore[untyped-decorator]
def stack(typing: Any, shape: Any, dtype: Any) -> Any:
    """An array, not filled, that the function has until it returns."""
    kind = _array_type(shape, dtype)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        lengths = _lengths(context, builder, signature.args[0], values[0])
        entries = lengths[0]
        for length in lengths[1:]:
            entries = builder.mul(entries, length)
        data = builder.alloca(context.get_data_type(kind.dtype), size=entries)
        data.align = 16
        return array(context, builder, kind, data, lengths)

    return kind(shape, dtype), generate


@intrinsic  # type: ignore[untyped-decorator]
def array_at(typing: Any, address: Any, shape: Any, dtype: Any) -> Any:
    """The memory at an address, as an array."""
    kind = _array_type(shape, dtype)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        lengths = _lengths(context, builder, signature.args[1], values[1])
        data = builder.inttoptr(values[0], context.get_data_type(kind.dtype).as_pointer())
        return array(context, builder, kind, data, lengths)

    return kind(types.intp, shape, dtype), generate


def array(
    context: Any,
    builder: Any,
    kind: Any,
    data: Any,
    lengths: list[Any],
    strides: list[Any] | None = None,
) -> Any:
    """An array of a type `kind` with its entries at the pointer `data`, contiguous if there are no
    `strides`."""
    size = llvm.intp_t(context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    if strides is None:
        strides = [size]
        for length in lengths[:0:-1]:
            strides.insert(0, builder.mul(strides[0], length))
    made = context.make_array(kind)(context, builder)
    populate_array(  # type: ignore[no-untyped-call]
        made, data=data, shape=lengths, strides=strides, itemsize=size, meminfo=None
    )
    return made._getvalue()


def _array_type(shape: Any, dtype: Any) -> Any:
    dimensions = len(shape) if isinstance(shape, types.BaseTuple) else 1
    return types.Array(dtype.dtype, dimensions, "C")


def _lengths(context: Any, builder: Any, kind: Any, value: Any) -> list[Any]:
    """The lengths of a shape, which is a number or a tuple."""
    if not isinstance(kind, types.BaseTuple):
        return [context.cast(builder, value, kind, types.intp)]
    parts: Any = kind
    return [
        context.cast(builder, builder.extract_value(value, i), parts[i], types.intp)
        for i in range(len(parts))
    ]


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing: Any, array: Any, row: Any) -> Any:
    """Begin to load a row of an array from memory, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows = context.make_array(signature.args[0])(context, builder, values[0])
        word, byte, flag = llvm.intp_t, llvm.voidptr_t, llvm.int32_t
        offset = builder.mul(values[1], builder.extract_value(rows.strides, 0))
        place = builder.inttoptr(builder.add(builder.ptrtoint(rows.data, word), offset), byte)
        kind = llvm.ir.FunctionType(llvm.ir.VoidType(), [byte, flag, flag, flag])
        function = llvm.get_or_insert_function(builder.module, kind, "llvm.prefetch")
        builder.call(function, [place, flag(0), flag(3), flag(1)])  # to read, to keep, data
        return context.get_dummy_value()

    return types.void(array, row), generate


@intrinsic  # type: ignore[untyped-decorator]
def utf8(typing: Any, text: Any) -> Any:
    """The address and the number of the UTF-8 bytes of a `str`; the address is 0, and an exception
    is raised, if the object is none or has no UTF-8."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = context.get_value_type(types.intp)
        size = llvm.alloca_once_value(builder, word(0))
        kind = llvm.ir.FunctionType(word, [word, word.as_pointer()])
        function = llvm.get_or_insert_function(builder.module, kind, "PyUnicode_AsUTF8AndSize")
        address = builder.call(function, [values[0], size])
        return context.make_tuple(builder, signature.return_type, [address, builder.load(size)])

    return _pair(types.intp, 2)(types.intp), generate
