"""Loops that are compiled to machine code.

A function is compiled when it is first called with arguments of certain types (`compiler`: numba
takes seconds), and its machine code is kept on disk (`cache`). From then on a call needs neither
numba nor the time to import it: the code is loaded (`machine_code`: a millisecond) and called like
a function of an extension module. `python -m nextword.warm_up` compiles all functions beforehand.

What Python gives to a function of `@compiled` are numbers and arrays. It gets back a number, a
tuple of numbers or None. The function makes no arrays: it fills those that it is given (without a
look at whether they may be written to), and takes a little working memory from `stack`. While it
runs, the global interpreter lock is released, so threads run compiled functions in parallel.
`compiled_builtin` makes a function of code that asks Python about its arguments itself, and keeps
the lock.
"""

from .deferred import array_at, prefetch, stack
from .function import (
    Int,
    compiled,
    compiled_arithmetic,
    compiled_builtin,
    compiled_sums,
    inlined,
)
from .machine_code import Data

__all__ = [
    "Data",
    "Int",
    "array_at",
    "compiled",
    "compiled_arithmetic",
    "compiled_builtin",
    "compiled_sums",
    "inlined",
    "prefetch",
    "stack",
]
