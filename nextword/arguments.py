"""Checks of the arguments of the public Python functions.

A parameter's name says what it may be, and means the same in every function: `texts` is always a
list of strings, `run` always an open run. What would be read wrongly (a string where a list belongs
is a list of its letters) or would fail deep inside (None, a number, a path in place of a run) is
refused at once, in one sentence.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from importlib import import_module
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar

from .errors import InputError

P = ParamSpec("P")
R = TypeVar("R")
#: Returns the argument, perhaps as another type; raises `_Refused` with what to give instead.
Check = Callable[[Any], Any]


class _Refused(Exception):
    """An argument is not what it must be; the message says what to give."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of a function by the names of its parameters, as in `KINDS`.

    An argument may be None if that is the parameter's default.

    Raises:
        KeyError: when a function is decorated that has a parameter of an unknown name.

    Example:
        >>> @checked
        ... def count(texts: list[str]) -> int:
        ...     return len(texts)
        >>> count(["a", "b"])
        2
        >>> count("ab")
        Traceback (most recent call last):
        nextword.errors.InputError: count: texts is the string 'ab'; give a list ...
    """
    parameters = inspect.signature(function).parameters
    checks = {name: KINDS[name] for name in parameters}

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = inspect.signature(function).bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            if value is None and parameters[name].default is None:
                continue
            try:
                bound.arguments[name] = checks[name](value)
            except _Refused as refused:
                raise InputError(
                    f"{function.__name__}: {name} is {described(value)}; {refused}"
                ) from None
        return function(*bound.args, **bound.kwargs)

    return call


def given(**arguments: object) -> dict[str, object]:
    """Return the arguments that are not None, by name."""
    return {name: value for name, value in arguments.items() if value is not None}


def described(value: object) -> str:
    """Say what a value is, in a few words.

    Example:
        >>> described(None), described("a"), described(2), described([1])
        ('None', "the string 'a'", 'the number 2', 'a list')
    """
    if value is None:
        return "None"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        shown = value[:40].encode(errors="backslashreplace").decode()
        return f"the string '{shown}{'…' * (len(value) > 40)}'"
    if isinstance(value, (Real, complex)):
        return f"the number {value}"
    if isinstance(value, os.PathLike):
        return f"the path '{os.fspath(value)!s}'"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def check_text(value: object) -> str:
    """Return an item of a list of texts; raise InputError if it is no string, or no Unicode."""
    try:
        return _text(value)
    except _Refused as refused:
        raise InputError(f"{described(value)} stands where a text belongs; {refused}") from None


# --------------------------------------------------------------------------------- kinds of values


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _Refused("give one string")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _Refused(
                f"character {error.start + 1} is half of a surrogate pair; give Unicode text"
            ) from None
    return value


def _name(value: object) -> str:
    """A name or a path, which may have bytes that are no text."""
    if isinstance(value, str):
        return value
    raise _Refused("give one string")


def _texts(value: Any) -> Iterable[str]:
    """Texts may come from an iterator that is not read here; who reads it checks its items."""
    if isinstance(value, str):
        raise _Refused(f"give a list of strings, such as [{value[:20]!r}]")
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable):
        raise _Refused("give a list of strings")
    if isinstance(value, (list, tuple)):
        for item in value:
            if not isinstance(item, str):
                raise _Refused(f"it holds {described(item)}; give strings only")
            _text(item)
    return value


def _text_list(value: Any) -> list[str]:
    return list(_texts(list(_texts(value))))


def _stops(value: Any) -> list[str]:
    return [_text(value)] if isinstance(value, str) else _text_list(value)


def _path(value: object) -> Any:
    if isinstance(value, (str, os.PathLike)):
        return value
    raise _Refused("give one path")


def _paths(value: Any) -> Any:
    if isinstance(value, (str, os.PathLike)):
        return value
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable):
        raise _Refused("give a path or a list of paths")
    listed = list(value)
    for item in listed:
        if not isinstance(item, (str, os.PathLike)):
            raise _Refused(f"it holds {described(item)}; give paths only")
    return listed


def _count(value: object) -> Any:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return value
    raise _Refused("give a whole number")


def _number(value: object) -> Any:
    if isinstance(value, Real) and not isinstance(value, bool):
        return value
    raise _Refused("give a number")


def _numbers(value: Any) -> Any:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise _Refused("give a list of numbers, such as [30, 60]")
    listed = list(value)
    for item in listed:
        if not isinstance(item, Real) or isinstance(item, bool):
            raise _Refused(f"it holds {described(item)}; give numbers only")
    return listed


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise _Refused("give True or False")


def _call(value: object) -> Any:
    if callable(value):
        return value
    raise _Refused("give a function")


def _overrides(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str):
        raise _Refused('give a dict or a list, such as {"model.hidden": 650}')
    return _text_list(value)


def _is_run(value: object) -> bool:
    return isinstance(value, import_module("nextword.run").Run)


def _run(value: object) -> Any:
    if _is_run(value):
        return value
    if isinstance(value, (str, os.PathLike)):
        raise _Refused(f"give an open run: nextword.load({os.fspath(value)!r})")
    raise _Refused("give a run, such as nextword.load returns")


def _runs(value: Any) -> Any:
    if _is_run(value):
        return [value]
    if isinstance(value, (str, bytes, Mapping, os.PathLike)) or not isinstance(value, Iterable):
        raise _Refused("give a list of runs, such as [nextword.load(path)]")
    listed = list(value)
    for item in listed:
        if not _is_run(item):
            raise _Refused(f"it holds {described(item)}; give runs, such as nextword.load returns")
    return listed


def _rows(value: Any) -> Any:
    kind = import_module("nextword.evaluation.surprisal").Surprisal
    listed = list(value) if isinstance(value, Iterable) else [None]
    if all(isinstance(item, kind) for item in listed):
        return listed
    raise _Refused("give rows, such as nextword.surprisal returns")


def _settings(*places: str) -> Check:
    """Return the check of settings; a place is "module:Class", imported when it is needed."""

    def check(value: object) -> Any:
        for place in places:
            module, _, name = place.partition(":")
            if isinstance(value, getattr(import_module(f"nextword.{module}"), name)):
                return value
        names = " or ".join(f"nextword.{place.partition(':')[2]}" for place in places)
        raise _Refused(f"give settings of the class {names}")

    return check


#: The name of a parameter → the check of its argument. One name has one meaning everywhere.
KINDS: dict[str, Check] = {
    **dict.fromkeys(("text", "prompt", "source", "target", "device", "precision", "format"), _text),
    "recipe": _name,
    **dict.fromkeys(("by", "context", "library", "normalise", "field", "on_error"), _text),
    "rows": _rows,
    "texts": _texts,
    **dict.fromkeys(("prompts", "candidates"), _text_list),
    "stop": _stops,
    **dict.fromkeys(("path", "out", "start_from", "reference"), _path),
    **dict.fromkeys(
        ("data", "files", "targets", "train", "valid", "valid_targets", "test", "members"), _paths
    ),
    "inputs": _paths,
    **dict.fromkeys(
        ("tokens", "top_k", "seed", "seeds", "top", "batch_size", "mc_dropout", "stripes"), _count
    ),
    **dict.fromkeys(("warmup", "beam", "length", "samples", "steps", "fine_tune"), _count),
    **dict.fromkeys(("sample", "workers"), _count),
    **dict.fromkeys(
        ("temperature", "top_p", "min_p", "repetition_penalty", "low", "high"), _number
    ),
    **dict.fromkeys(("minimum", "maximum"), _number),
    "buckets": _numbers,
    **dict.fromkeys(("overwrite", "quiet", "allow_unk", "joint", "add_marks"), _flag),
    **dict.fromkeys(("corrected", "previous"), _flag),
    **dict.fromkeys(("split", "dropped", "plain", "resume"), _flag),
    **dict.fromkeys(("bar", "bars", "say"), _call),
    "overrides": _overrides,
    "run": _run,
    "runs": _runs,
    "decoding": _settings("generation.decoding:Decoding", "generation.masked:MaskedDecoding"),
    "how": _settings("generation.decoding:Decoding"),
    "sampling": _settings("generation.sampling:Sampling"),
    "dynamic": _settings("evaluation.dynamic:Dynamic"),
    "cache": _settings("evaluation.cache:Cache"),
}
