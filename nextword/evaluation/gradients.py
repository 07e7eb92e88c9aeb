"""Functions that compute no gradients, in files that n-gram models use, which need no torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def without_gradients(function: Callable[P, R]) -> Callable[P, R]:
    """`torch.no_grad` as a decorator; torch is imported when `function` is called."""

    @wraps(function)
    def call(*arguments: P.args, **settings: P.kwargs) -> R:
        import torch

        with torch.no_grad():
            return function(*arguments, **settings)

    return call
