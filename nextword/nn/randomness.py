"""The random numbers of a training come from a generator of its own.

torch has one generator for the whole process. Two trainings in two threads would take numbers from
each other, and a training would change those of the program that calls it. So code that draws while
a model learns passes `generator()` to torch. On a GPU the generator is that of the device, whose
state is restored at the end; trainings that run at the same time on one GPU need a process each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import isfunction, signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_own: ContextVar[torch.Generator | None] = ContextVar("generator", default=None)


@contextmanager
def own_generator(seed: int, device: torch.device | str = "cpu") -> Iterator[torch.Generator]:
    """Draw from a new generator while the context is open, in this thread only.

    It gives the numbers that torch's generator gives after `torch.manual_seed(seed)`.

    Args:
        device: where the model computes; the generator of a GPU gets the seed too, and its state
            back when the context ends.

    Example:
        >>> with own_generator(seed=1) as drawn:
        ...     first = torch.rand(1, generator=generator())
        >>> torch.equal(first, torch.rand(1, generator=torch.Generator().manual_seed(1)))
        True
    """
    made = torch.Generator()
    made.manual_seed(seed)
    token = _own.set(made)
    on_gpu = torch.device(device).type == "cuda"
    before = torch.cuda.get_rng_state(device) if on_gpu else None
    try:
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield made
    finally:
        _own.reset(token)
        if before is not None:
            torch.cuda.set_rng_state(before, device)


def generator() -> torch.Generator:
    """The generator that code in this thread draws from on the CPU; outside a training torch's."""
    return _own.get() or torch.default_generator


def generator_of(device: torch.device) -> torch.Generator | None:
    """`generator()` for a CPU, None (the device's own) for a GPU."""
    return generator() if device.type == "cpu" else None


@contextmanager
def initialising() -> Iterator[None]:
    """Draw the first weights of layers that are made while the context is open from `generator()`.

    Outside a training they come from a generator that nothing else uses: a model that is read from
    a file draws weights too, though they are replaced.

    Example:
        >>> before = torch.get_rng_state()
        >>> with own_generator(seed=1), initialising():
        ...     layer = nn.Linear(3, 3)
        >>> torch.equal(before, torch.get_rng_state())
        True
    """
    with _From(_own.get() or torch.Generator()):
        yield


_DRAW = {
    *(
        f
        for f in vars(nn.init).values()
        if isfunction(f) and "generator" in signature(f).parameters
    ),
    *(torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.multinomial),
    *(Tensor.uniform_, Tensor.normal_, Tensor.bernoulli_, Tensor.random_),
    *(Tensor.exponential_, Tensor.log_normal_, Tensor.cauchy_, Tensor.geometric_),
}


class _From(TorchFunctionMode):
    """Passes a generator to every function that draws and was given none, as torch's own layers do
    when they are made."""

    def __init__(self, source: torch.Generator) -> None:
        super().__init__()
        self.source = source

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func in _DRAW and given.get("generator") is None:
            given["generator"] = self.source
        return func(*args, **given)
