"""The largest numbers that people may give, each stated once.

Settings, options of the command line and arguments of functions use them. They are far beyond what
is useful, and keep a number within the type that it becomes, or memory within reason.
"""

from __future__ import annotations

import math
from numbers import Integral, Real

from .errors import InputError

COUNT = 2**31 - 1  # tokens, lines, steps, passes
SEED = 2**63 - 1  # random seeds; seed + i still fits into 64 bits
NUMBER = 1e9  # other numbers; float32 holds their squares
WIDTH = 65_536  # numbers in a vector of a model
LAYERS = 1_024  # layers, heads, softmaxes
CONTEXT = 1 << 20  # tokens that a model sees at once
PIECES = 1 << 24  # pieces of words that a tokenizer learns
BEAM = 1_000  # hypotheses of a beam search
SAMPLES = 10_000  # texts, or passes, that are computed together
WORKERS = 256  # processes
TRAININGS = 10_000  # trainings in one directory
ALPHA = 10.0  # length penalty, an exponent
TEMPERATURE = 1e6  # logits are divided by it
MINUTES = 1e7  # 19 years


def check(name: str, value: float | None, low: float, high: float) -> None:
    """Check an argument that is a number; None, where it is allowed, passes.

    Raises:
        InputError: it is no number, or not from `low` to `high`.

    Example:
        >>> check("beam", 4, 1, BEAM)
    """
    if value is None:
        return
    whole = isinstance(low, int)
    if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
        raise InputError(f"{name} = {value!r}: give a {'whole ' * whole}number")
    if math.isnan(value) or value < low:
        raise InputError(f"{name} = {value}: give {low} or more")
    if value > high:
        raise InputError(f"{name} = {value}: give {high} or less")
