"""Where machine code is kept: one file for every function and combination of types.

- Code is looked for, and written to the first that can be written, in `NUMBA_CACHE_DIR` if it is
  set, `__pycache__` beside the source, and the user's cache. So code that was compiled at
  installation is used even where its folder can only be read.
- A file's name says what it was made from: the source of all functions that it has, constants, the
  processor, and the versions of what compiled it. If any of these changes, the code is compiled
  again and takes the place of the old.
- Where no folder can be written, the loops are compiled in every process, and a warning says so.
"""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType

import llvmlite
import numpy as np

from .deferred import Deferred
from .machine_code import Code, processor

_PACKAGE = __name__.partition(".")[0]
_ALWAYS = tuple(
    f"{_PACKAGE}.compiled.{name}"
    for name in ("compiler", "function", "intrinsics", "machine_code", "python")
)
_CONSTANT = (bool, int, float, str, bytes, tuple, np.generic)
_DIGEST = 32  # bytes of SHA-256
_SUFFIX = ".machine"
_ABANDONED = 3600  # seconds after which nobody is still writing a file
_OLD = 90 * 24 * 3600  # seconds


def code(
    function: Callable[..., object], types: tuple[str, ...], compile_it: Callable[[str], bytes]
) -> Code:
    """The machine code of a function for arguments of certain types, from disk or compiled now.

    Args:
        compile_it: makes an object file with one function, of the name that it is given.
    """
    label = f"{function.__module__}.{function.__qualname__}".removeprefix(f"{_PACKAGE}.")
    prefix = f"{label}-{_short(repr(types))}-{_machine()}-"
    name = prefix + stamp(function.__module__)[:16]
    file = name + _SUFFIX
    for folder in _folders(function):
        if found := _read(folder / file):
            return Code(name, found)
    made = compile_it(name)
    for folder in _folders(function):
        try:
            _write(folder / file, made)
        except OSError:  # it cannot be written, or the disk is full
            continue
        _clear(folder, prefix, file, folder == _beside(function))
        return Code(name, made)
    _say_what_it_costs()
    return Code(name, made)


def _clear(folder: Path, prefix: str, current: str, own: bool) -> None:
    """Remove old code of a function, and what processes that were killed have left of it.

    Args:
        own: no other installation uses the folder; else code is old after three months.
    """
    for path in folder.glob(f"{prefix}*"):
        with suppress(OSError):
            age = time.time() - path.stat().st_mtime
            enough = (0 if own else _OLD) if path.suffix == _SUFFIX else _ABANDONED
            if path.name != current and age >= enough:
                path.unlink()


@lru_cache
def stamp(module: str) -> str:
    """Return a digest of all that the compiled functions of a module are made from.

    That is the module's source, the source of each module whose functions it uses, directly or not,
    the constants (names in capitals) in any of them, wherever they come from, and what compiles.
    """
    digest, found, todo, compiling = sha256(), set(), [module], set(_ALWAYS)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        digest.update(_source(name))
        for key, value in sorted(vars(sys.modules[name]).items()):
            function = inspect.unwrap(value) if callable(value) else value
            if isinstance(function, FunctionType) and function.__module__.startswith(_PACKAGE):
                todo.append(function.__module__)
            elif isinstance(value, Deferred) and value.module:
                compiling.add(value.module)
            elif key.isupper() and isinstance(value, _CONSTANT):
                digest.update(f"{key}={value!r};".encode())
    for name in sorted(compiling):  # which are not imported if nothing has to be compiled
        digest.update(_source(name))
    return digest.hexdigest()


@lru_cache
def _source(module: str) -> bytes:
    found = find_spec(module)
    return Path(found.origin).read_bytes() if found and found.origin else b""


@lru_cache
def _machine() -> str:
    python = (sys.implementation.cache_tag, object.__basicsize__)
    numba = find_spec("numba")  # importing it would take longer than all the rest
    version = Path(str(numba.origin)).with_name("_version.py").read_bytes() if numba else b""
    return _short(repr((processor(), python, np.__version__, llvmlite.__version__, version)))


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]


def _folders(function: Callable[..., object]) -> Iterator[Path]:
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(given)
    yield _beside(function)
    with suppress(RuntimeError):  # no home
        yield _cache_of_user() / _PACKAGE


def _beside(function: Callable[..., object]) -> Path:
    return Path(function.__code__.co_filename).parent / "__pycache__"


def _cache_of_user() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _read(path: Path) -> bytes | None:
    """What a file has; None if there is none, or not all of it."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
        return None
    return data[_DIGEST:]


def _write(path: Path, made: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    number, temporary = tempfile.mkstemp(prefix=f"{path.name}-", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as out:
            out.write(sha256(made).digest() + made)
        os.chmod(temporary, 0o644)  # who may use the folder may use the code
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


@lru_cache  # once a process: compiling resets what `warnings` remembers
def _say_what_it_costs() -> None:
    warnings.warn(
        "no folder for compiled code can be written, so every process compiles its loops again, "
        "which takes up to half a minute; set NUMBA_CACHE_DIR to a folder that can be written, or "
        "run `python -m nextword.warm_up` once as the user who installed nextword",
        stacklevel=2,
    )
