"""Names for what compiled code uses of numba, which is imported only when something is compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import Any


class Deferred:
    """Something that is made when a function that uses it is compiled."""

    def __init__(self, make: Callable[[], object], module: str | None = None) -> None:
        """
        Args:
            make: makes it.
            module: where it is written, if no other module has it.
        """
        self._make = make
        self.module = module

    @cached_property
    def made(self) -> Any:
        """What stands in the place of this object in the function."""
        return self._make()


def deferred(module: str, name: str) -> Any:
    """The object of this name in a module, which is imported when it is needed."""
    return Deferred(lambda: getattr(import_module(module), name), module)


#: stack(shape, dtype): an array, not filled, that a function has until it returns
stack = deferred("nextword.compiled.intrinsics", "stack")
#: array_at(address, shape, dtype): the memory at an address, as an array
array_at = deferred("nextword.compiled.intrinsics", "array_at")
#: prefetch(array, row): begin to load a row of an array from memory, without waiting for it
prefetch = deferred("nextword.compiled.intrinsics", "prefetch")
