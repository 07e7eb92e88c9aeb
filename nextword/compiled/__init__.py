"""Loops that are compiled to machine code.

A function is compiled when it is first called with arguments of certain types (`compiler`: numba
takes seconds), and its machine code is kept on disk (`cache`). From then on a call needs neither
numba nor the time to import it: the code is loaded (`machine_code`: a millisecond) and called like
a function of an extension module. `python -m nextword.warm_up` compiles all functions beforehand.

What Python gives to a compiled function are numbers and contiguous arrays; what it gets back is a
number, a tuple of numbers or None. A compiled function makes no arrays: it fills those that it is
given, and takes a little working memory from `stack`. While it runs, the global interpreter lock is
released, so threads run compiled functions in parallel.
"""

from .deferred import array_at, prefetch, stack
from .function import Int, compiled, compiled_arithmetic, compiled_sums, inlined

__all__ = [
    "Int",
    "array_at",
    "compiled",
    "compiled_arithmetic",
    "compiled_sums",
    "inlined",
    "prefetch",
    "stack",
]
