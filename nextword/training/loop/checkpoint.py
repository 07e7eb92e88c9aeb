"""Everything a training needs to go on exactly where it stopped, as tensors and JSON."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ... import state as trees
from ...files import read_tensors, write_tensors
from ...models.base import TrainableModel
from ...run import STATE, load_weights
from ...types import LanguageModel, State
from .averaging import Average
from .budget import Budget
from .journal import Journal
from .standing import Standing


class Saver:
    """Writes what a training needs to go on, now and then."""

    def __init__(
        self,
        folder: Path,
        model: TrainableModel,
        optimizer: torch.optim.Optimizer,
        average: Average,
        every: float,
    ) -> None:
        """`every`: seconds between two saves."""
        self.folder, self.model = folder, model
        self.optimizer, self.average = optimizer, average
        self.every = every
        self.saved = time.perf_counter()

    def is_due(self) -> bool:
        """Whether the last save was long ago."""
        return time.perf_counter() - self.saved > self.every

    def save(self, state: State, at: Standing, journal: Journal, budget: Budget) -> None:
        """Write everything, with the model's state before the next batch."""
        at.seconds, at.metrics_bytes = budget.elapsed, journal.size
        save(self.folder, self.model, self.optimizer, self.average, state, at)
        self.saved = time.perf_counter()

    def restore(self) -> tuple[State, Standing]:
        """Put everything back; the model's state before the next batch, and the standing."""
        return restore(self.folder, self.model, self.optimizer, self.average)


def save(
    folder: Path,
    model: TrainableModel,
    optimizer: torch.optim.Optimizer,
    average: Average,
    state: State,
    standing: Standing,
) -> None:
    """Write `state.safetensors`: weights and their mean, gradients waiting for their step, the
    optimizer's averages, the hidden state, the random generators, and where the data stands."""
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
    tensors["rng.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    meta = {"standing": asdict(standing), "optimizer": plain, "carried": state is not None}
    write_tensors(folder / STATE, tensors, meta)


def restore(
    folder: Path, model: TrainableModel, optimizer: torch.optim.Optimizer, average: Average
) -> tuple[State, Standing]:
    """Put everything back; returns the hidden state and the standing."""
    tensors, meta = read_tensors(folder / STATE)
    weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    load_weights(model, weights, folder / STATE)
    for name, parameter in model.named_parameters():
        if f"grad.{name}" in tensors:
            parameter.grad = tensors[f"grad.{name}"].to(parameter.device)
    states: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *meta["optimizer"].items()]:
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            states.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": states})
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    state = (
        trees.unflatten(cast(LanguageModel, model).start(1), tensors, "state")
        if meta["carried"]
        else None
    )
    standing = Standing(**meta["standing"])
    checkpoints: dict[int, list[Tensor]] = {}
    for step in sorted(
        {int(key.split(".")[1]) for key in tensors if key.startswith("checkpoint.")}
    ):
        checkpoints[step] = [
            tensors[f"checkpoint.{step}.{index}"].to(parameter.device)
            for index, parameter in enumerate(average.parameters)
        ]
    average.remember(checkpoints)
    if "average.0" in tensors:
        average.begin()
        for index, mean in enumerate(average.means):
            mean.copy_(tensors[f"average.{index}"])
        average.steps = standing.averaged_steps
    return state, standing
