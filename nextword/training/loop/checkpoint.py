"""Saving and restoring the state of a training, so that it continues exactly where it stopped.

A matrix product may round differently if its arguments lie differently in memory: at another
distance from a multiple of 64 bytes, or with other strides. So a restored tensor is laid out as it
was when it was saved.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ... import state as trees
from ...errors import InputError
from ...files import read_tensors, write_tensors
from ...models.base import TrainableModel
from ...models.building import load_weights
from ...nn.randomness import generator
from ...run import STATE
from ...types import LanguageModel, State
from .averaging import Average
from .budget import Budget
from .journal import Journal
from .standing import Standing

_BOUNDARY = 64  # bytes; torch's memory begins at multiples of it
_SPREAD = 4096  # a tensor lies in at most this many times its own memory

#: How a tensor lies in memory: the elements between a boundary and its first one, and its strides.
Layout = tuple[int, list[int]]


class Saver:
    """Saves the state of a training at regular intervals."""

    def __init__(
        self,
        folder: Path,
        model: TrainableModel,
        optimizer: torch.optim.Optimizer,
        average: Average,
        every: float,
    ) -> None:
        """`every`: seconds between two regular saves."""
        self.folder, self.model = folder, model
        self.optimizer, self.average = optimizer, average
        self.every = every
        self.saved = time.perf_counter()

    def is_due(self) -> bool:
        """Return whether the last save is more than `every` seconds ago."""
        return time.perf_counter() - self.saved > self.every

    def save(self, state: State, at: Standing, journal: Journal, budget: Budget) -> None:
        """Save the training; `state` is the state of the model before the next batch."""
        at.seconds, at.metrics_bytes = budget.elapsed, journal.size
        save(self.folder, self.model, self.optimizer, self.average, state, at)
        self.saved = time.perf_counter()

    def restore(self) -> tuple[State, Standing]:
        """Restore the training; return the model's state before the next batch and the progress."""
        return restore(self.folder, self.model, self.optimizer, self.average)


def save(
    folder: Path,
    model: TrainableModel,
    optimizer: torch.optim.Optimizer,
    average: Average,
    state: State,
    standing: Standing,
) -> None:
    """Write `state.safetensors`.

    It contains the weights and their mean, accumulated gradients, the state of the optimizer, the
    state of the model before the next batch, the random generators and the progress.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            tensors[f"grad.{name}"] = parameter.grad
    plain: dict[str, Any] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            key = f"optimizer.{index}.{name}"
            if isinstance(value, Tensor):
                tensors[key] = value
            else:
                plain[key] = value
    if not average.last:
        tensors |= {f"average.{index}": mean for index, mean in enumerate(average.means)}
    for step, weights in average.checkpoints.items():
        tensors |= {f"checkpoint.{step}.{index}": value for index, value in enumerate(weights)}
    standing.averaged_steps = average.steps
    tensors |= trees.flatten(trees.detach(state), "state")
    tensors["rng.cpu"] = generator().get_state()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    meta = {
        "standing": asdict(standing),
        "optimizer": plain,
        "carried": state is not None,
        "layouts": {name: layout for name, t in tensors.items() if (layout := layout_of(t))},
    }
    write_tensors(folder / STATE, tensors, meta)


def restore(
    folder: Path, model: TrainableModel, optimizer: torch.optim.Optimizer, average: Average
) -> tuple[State, Standing]:
    """Restore what `save` wrote; return the model's state and the progress.

    Raises:
        InputError: the file is missing or damaged.
    """
    tensors, meta = read_tensors(folder / STATE)
    try:
        return _restore(folder, model, optimizer, average, tensors, meta)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        what = " ".join(str(e).split())[:200]
        raise InputError(
            f"'{folder / STATE}' is damaged ({type(e).__name__}: {what}); start again with "
            f"--from {folder}"
        ) from None


def _restore(
    folder: Path,
    model: TrainableModel,
    optimizer: torch.optim.Optimizer,
    average: Average,
    tensors: dict[str, Tensor],
    meta: dict[str, Any],
) -> tuple[State, Standing]:
    layouts: dict[str, Layout] = meta.get("layouts", {})  # earlier versions wrote none
    device = next(model.parameters()).device
    for name, value in tensors.items():
        on_cpu = name.startswith(("rng.", "optimizer."))  # the optimizer moves its own
        where = torch.device("cpu") if on_cpu else device
        tensors[name] = laid_out(value, layouts.get(name), where)
    weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    load_weights(model, weights, folder / STATE)
    for name, parameter in model.named_parameters():
        if f"grad.{name}" in tensors:
            parameter.grad = tensors[f"grad.{name}"]
    states: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *meta["optimizer"].items()]:
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            states.setdefault(int(index), {})[name] = value
    _check_optimizer(optimizer, states)
    optimizer.load_state_dict(optimizer.state_dict() | {"state": states})
    generator().set_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    state: State = None
    if meta["carried"]:
        like = cast(LanguageModel, model).start(1)
        state = trees.unflatten(like, tensors, "state")
        _check_state(state, like)
    standing = Standing(**meta["standing"])
    standing.check()
    checkpoints: dict[int, list[Tensor]] = {}
    for step in sorted(
        {int(key.split(".")[1]) for key in tensors if key.startswith("checkpoint.")}
    ):
        checkpoints[step] = [
            tensors[f"checkpoint.{step}.{index}"] for index in range(len(average.parameters))
        ]
    average.remember(checkpoints)
    if "average.0" in tensors:
        average.begin()
        for index, mean in enumerate(average.means):
            mean.copy_(tensors[f"average.{index}"])
        average.steps = standing.averaged_steps
    return state, standing


def layout_of(value: Tensor) -> Layout | None:
    """Return how a tensor lies in memory; None = contiguous, from a boundary on.

    It is None too for a tensor with places that share memory, such as one that was expanded.
    """
    shift = value.data_ptr() % _BOUNDARY // value.element_size()
    shared = any(step == 0 and n > 1 for n, step in zip(value.shape, value.stride(), strict=True))
    if shared or not value.numel() or (value.is_contiguous() and not shift):
        return None
    return shift, list(value.stride())


def laid_out(value: Tensor, layout: Layout | None, device: torch.device) -> Tensor:
    """Return a copy of a tensor that lies in memory as `layout_of` said."""
    if layout is None:
        return torch.empty(value.shape, dtype=value.dtype, device=device).copy_(value)
    shift, strides = layout
    room = 1 + shift + sum((n - 1) * step for n, step in zip(value.shape, strides, strict=True))
    if not 0 < room <= _BOUNDARY + _SPREAD * value.numel():
        raise ValueError(f"a tensor of {value.numel():,} numbers is said to take {room:,} places")
    place = torch.empty(room, dtype=value.dtype, device=device)
    return place.as_strided(value.shape, strides, shift).copy_(value)


def _check_optimizer(optimizer: torch.optim.Optimizer, states: dict[int, dict[str, Any]]) -> None:
    """Raise ValueError unless each tensor is a number, or has the shape of its parameter."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, values in states.items():
        for name, value in values.items():
            shape = tuple(parameters[index].shape)
            if isinstance(value, Tensor) and value.numel() != 1 and tuple(value.shape) != shape:
                raise ValueError(f"optimizer.{index}.{name} has the shape {tuple(value.shape)}")


def _check_state(state: State, like: State) -> None:
    """Raise ValueError unless the state has the shapes of `like`, whatever the number of rows, and
    of past tokens (in keys and values of Transformers)."""
    found = list(trees.leaves(state))
    for one, other in zip(found, trees.leaves(like), strict=True):
        sizes = 1 if other.dim() == 2 else 2
        same = one.dim() == other.dim() and one.shape[sizes:] == other.shape[sizes:]
        if not same or len(one) != len(found[0]):
            raise ValueError(f"a state has the shape {tuple(one.shape)}")
