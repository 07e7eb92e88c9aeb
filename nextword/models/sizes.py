"""Checks the sizes that settings claim before memory is taken for them.

A model is first built without memory (torch's device "meta"), which gives the shapes of its
parameters. They are compared with the weights that a file really has, and with the memory that is
free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..errors import InputError

ModelT = TypeVar("ModelT")


def without_memory(build: Callable[[], ModelT]) -> ModelT:
    """Build a model whose tensors have shapes and no numbers; nothing is drawn.

    Example:
        >>> without_memory(lambda: nn.Linear(60_000, 60_000)).weight.shape
        torch.Size([60000, 60000])
    """
    with torch.device("meta"):
        return build()


def check_shapes(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Check that a model, built without memory, has the tensors that were read from `path`.

    Raises:
        InputError: a tensor is missing, has another shape, or is one too many.
    """
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    for name in [*wanted, *found]:
        if wanted.get(name) != found.get(name):
            raise InputError(
                f"'{path}' does not fit the settings beside it ({name} is "
                f"{found.get(name, 'missing')}, the settings say {wanted.get(name, 'nothing')})"
            )


def check_memory(model: nn.Module) -> None:
    """Check that there is memory for a model, which was built without memory.

    Raises:
        InputError: its parameters alone need more than is free.
    """
    needed = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    free = free_memory()
    if free is not None and needed > free:
        parameters = sum(p.numel() for p in model.parameters())
        raise InputError(
            f"a model of this size has {parameters:,} parameters and takes {needed / 1e9:,.1f} GB, "
            f"and {free / 1e9:,.1f} GB of memory are free; give smaller sizes, for example --set "
            "model.hidden=256, or a smaller text.vocab_size"
        )


def check_finite(weights: Mapping[str, Tensor], path: Path) -> None:
    """Check weights that were read from `path`.

    Raises:
        InputError: one is infinite or not a number.
    """
    for name, value in weights.items():
        if value.is_floating_point() and value.numel():
            ends = torch.stack(value.aminmax())  # both are NaN if one number is
            if not torch.isfinite(ends).all():
                raise InputError(
                    f"'{path}' has numbers that are infinite or not numbers, in {name}: it is "
                    "damaged or its training diverged; train the run again"
                )


def free_memory() -> int | None:
    """Return how many bytes this process may still take; None if the system does not say."""
    bounds = [_available(), _within_group(), _within_limit()]
    return min((bound for bound in bounds if bound is not None), default=None)


def _available() -> int | None:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _within_group() -> int | None:
    """What the container's bound leaves."""
    bound, used = _lines("/sys/fs/cgroup/memory.max"), _lines("/sys/fs/cgroup/memory.current")
    if not bound or not used or not bound[0].isdecimal():
        return None
    return max(0, int(bound[0]) - int(used[0]))


def _within_limit() -> int | None:
    """What `ulimit -v` leaves."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return None
    bound, used = resource.getrlimit(resource.RLIMIT_AS)[0], _lines("/proc/self/statm")
    if bound == resource.RLIM_INFINITY or not used:
        return None
    return max(0, bound - int(used[0].split()[0]) * resource.getpagesize())


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return []
