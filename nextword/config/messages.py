"""What is wrong with a setting, in one sentence: `model.layers must be a whole number, not 'x'`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from .. import registry
from ..errors import shown

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

Place = tuple[str | int, ...]  # the keys that lead to a value, and its number in a list

#: what the schemas refuse, by pydantic's name of it → what must be given instead
WANTED = {
    **dict.fromkeys(
        ("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "a whole number"
    ),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("string_type", "string_unicode"), "text"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
    **dict.fromkeys(("dict_type", "model_type"), "a table of settings"),
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "literal_error": "{expected}",
}
#: the same for lists of a wrong length
LENGTHS = {"too_short": ("at least", "min_length"), "too_long": ("at most", "max_length")}
#: how pydantic names the alternatives of a union, which are no keys
_ALTERNATIVE = re.compile(r"int|float|str|bool|constrained-\w+|[\w-]+\[.*\]", re.DOTALL)


def explain(error: ValidationError, known: Collection[str], table: str = "") -> str:
    """Say what is wrong with the first value that was refused, and what to give instead.

    Args:
        error: what the schema of a table of settings raised.
        known: the keys that there are, the nearest of which is named for an unknown one.
        table: what stands before the keys, such as "model"; "" = nothing.
    """
    errors = error.errors(include_url=False)
    first, place = errors[0], _place(errors[0])
    keys = [part for part in (table, *place) if isinstance(part, str) and part]
    key, value = ".".join(keys), _given(first["input"])
    match first["type"]:
        case "extra_forbidden":
            return registry.unknown("setting", key, known)
        case "value_error" | "assertion_error":  # the words of a validator of ours
            said = str(first["msg"]).partition(", ")[2]
            return f"{key} = {value}: {said}" if place else f"{key}: {said}".removeprefix(": ")
        case "missing" if place and isinstance(place[-1], int):
            items = 1 + max(_number(one) for one in errors if one["type"] == "missing")
            return f"{key} must have {_items(items)}, not {value}"
        case "missing":
            return f"{key} is missing"
        case kind if kind in LENGTHS:
            words, name = LENGTHS[kind]
            return f"{key} must have {words} {_items(first['ctx'][name])}, not {value}"
    if place and isinstance(place[-1], int):
        key = f"{key}: item {place[-1] + 1}"
    alternatives = dict.fromkeys(_wanted(one, place) for one in errors if _is_at(one, place))
    return f"{key} must be {_either(list(alternatives))}, not {value}"


def _place(error: ErrorDetails) -> Place:
    return tuple(
        part for part in error["loc"] if isinstance(part, int) or not _ALTERNATIVE.fullmatch(part)
    )


def _is_at(error: ErrorDetails, place: Place) -> bool:
    return _place(error)[: len(place)] == place


def _number(error: ErrorDetails) -> int:
    """The number of an item, from 0 on."""
    last = error["loc"][-1]
    return last if isinstance(last, int) else 0


def _items(count: int) -> str:
    return f"{count} item{'s' * (count != 1)}"


def _wanted(error: ErrorDetails, place: Place) -> str:
    """What must be given at a place, by an error there or at an item of the list there."""
    words = WANTED.get(error["type"])
    wanted = str(error["msg"]) if words is None else words.format_map(_context(error))
    return wanted if _place(error) == place else f"a list in which each item is {wanted}"


def _context(error: ErrorDetails) -> Mapping[str, Any]:
    """The bounds that an error names, whole ones without a point."""
    return {
        name: int(bound) if isinstance(bound, float) and bound.is_integer() else bound
        for name, bound in error.get("ctx", {}).items()
    }


def _either(alternatives: list[str]) -> str:
    comma = "," * any(" or " in words for words in alternatives)
    return f"{comma} or ".join(alternatives)


def _given(value: object) -> str:
    """A value as settings have it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return shown(repr(value))
