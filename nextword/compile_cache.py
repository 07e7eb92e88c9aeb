"""Where compiled loops are kept: numba's cache on disk, with three differences.

- Compiled code is taken for out of date if any file that it was made from has changed. numba looks
  only at the file of the function itself, not at the functions and constants that it uses.
- Code that was compiled at installation is used even where its folder can only be read.
- Where no folder can be written, the loops are compiled in every process, and a warning says so;
  numba refuses to work.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, lru_cache
from types import FunctionType
from typing import Any, Self

import numpy as np
from numba.core import caching

_PACKAGE = __name__.partition(".")[0]
_CONSTANT = (bool, int, float, str, bytes, tuple, np.generic)


@lru_cache
def stamp(module: str) -> str:
    """Return a digest of all that the compiled functions of a module are made from.

    That is the module's source, the source of each module whose functions it uses, directly or not,
    and the constants (names in capitals) in any of them, wherever they come from.
    """
    digest, found, todo = hashlib.sha256(), set(), [module, _PACKAGE + ".compiled"]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        digest.update(inspect.getsource(sys.modules[name]).encode())
        for key, value in sorted(vars(sys.modules[name]).items()):
            function = inspect.unwrap(value) if callable(value) else value
            if isinstance(function, FunctionType) and function.__module__.startswith(_PACKAGE):
                todo.append(function.__module__)
            elif key.isupper() and isinstance(value, _CONSTANT):
                digest.update(f"{key}={value!r};".encode())
    return digest.hexdigest()


class Cache(caching.NullCache):
    """The cache of one compiled function, looked for when the function is first called.

    By then everything that the function uses has been imported, so that it can be in the stamp.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return compiled code for a signature; None if it is not in the cache."""
        for cache in filter(None, (self._written, self._installed)):
            try:
                if (code := cache.load_overload(signature, target)) is not None:
                    return code
            except Exception:  # what reading half a file raises can be anything
                with suppress(OSError):
                    cache.flush()
        return None

    def save_overload(self, signature: Any, code: Any) -> None:
        """Keep compiled code if there is a place for it; warn if not."""
        try:
            if self._written is not None:
                self._written.save_overload(signature, code)
                return
        except OSError:  # the disk is full, or the folder has been locked since
            pass
        _say_what_it_costs()

    @cached_property
    def _written(self) -> Any:
        """The cache in the first folder that numba can write: `NUMBA_CACHE_DIR`, `__pycache__` or
        the user's cache."""
        return _open(_Disk, self._function)

    @cached_property
    def _installed(self) -> Any:
        """The cache in `__pycache__`, to be read."""
        return _open(_InstalledDisk, self._function)


@lru_cache  # once a process: compiling resets what `warnings` remembers
def _say_what_it_costs() -> None:
    warnings.warn(
        "no folder for compiled code can be written, so every process compiles its loops again, "
        "which takes up to half a minute; set NUMBA_CACHE_DIR to a folder that can be written, or "
        "run `python -m nextword.warm_up` once as the user who installed nextword",
        stacklevel=2,
    )


def _open(kind: type[_Disk], function: Callable[..., object]) -> _Disk | None:
    try:
        return kind(function)
    except (RuntimeError, OSError):  # no folder; no source to compare with
        return None


class _Disk(caching.FunctionCache):
    """numba's cache of a function, out of date if our stamp has changed."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        self._cache_file = caching.IndexDataCacheFile(  # type: ignore[no-untyped-call]
            self.cache_path, self._impl.filename_base, stamp(function.__module__)
        )


class _Beside:
    """Tells numba that a function is cached in `__pycache__` beside its source."""

    def __init__(self, function: Callable[..., object], file: str) -> None:
        self._line = function.__code__.co_firstlineno
        self._folder = os.path.join(os.path.dirname(file), "__pycache__")

    @classmethod
    def from_function(cls, function: Callable[..., object], file: str) -> Self | None:
        made = cls(function, file)
        return made if os.path.isdir(made._folder) else None

    def get_cache_path(self) -> str:
        return self._folder

    def get_source_stamp(self) -> None:
        """No stamp: `_Disk` has its own."""

    def get_disambiguator(self) -> str:
        return str(self._line)


class _InstalledImplementation(caching.CompileResultCacheImpl):
    _locator_classes = [_Beside]  # noqa: RUF012


class _InstalledDisk(_Disk):
    _impl_class = _InstalledImplementation  # type: ignore[assignment]
