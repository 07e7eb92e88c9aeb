"""The learning-rate range test (Smith 2017, arXiv:1506.01186, section 3.3).

It is a short training with an exponentially growing learning rate. A good learning rate is the one
at which the loss falls fastest.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import bounds, plot
from ..arguments import checked
from ..config import Overrides
from ..device import pick_device, resolve_precision
from ..errors import InputError
from ..files import Paths
from ..nn import kernels
from ..nn.randomness import own_generator
from ..scratch import temporary_folder
from ..screen import progress_bar
from ..state import detach
from ..tasks import task_of
from ..text.source import streams_kept
from ..training.by_gradient import new_model, open_training
from ..training.loop.step import backward, clip_gradients, set_rates
from ..training.loop.training import Training
from ..training.request import Request, check
from ..training.schedules import Rates
from ..types import State

_SMOOTH = 0.9  # weight of the past in the running mean of the loss
_STOP = 2.0  # the test ends when the loss is this many times its minimum


@dataclass(frozen=True)
class LearningRates:
    """The result of a range test."""

    lr: list[float]  # learning rate of each step
    loss: list[float]  # running mean of the training loss at each step, nats per token
    suggestion: float  # the rate at which the loss falls fastest over log(rate)

    def as_dict(self) -> dict[str, Any]:
        """Return the result by name, for programs."""
        return asdict(self)

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Draw the loss over the learning rate and mark the suggestion."""
        with plot.figure(path) as (ax,):
            ax.plot(self.lr, self.loss)
            ax.axvline(self.suggestion, ls="--", color=plot.COLOURS[1])
            ax.annotate(f" {self.suggestion:.1e}", (self.suggestion, max(self.loss)), va="top")
            ax.set(
                xscale="log",
                xlabel="learning rate",
                ylabel="training loss (nats per token)",
                title="The loss falls fastest at the dashed line",
            )


@checked
def find_lr(
    recipe: str,
    train: Paths,
    *,
    targets: Paths = (),
    overrides: Overrides = None,
    steps: int = 100,
    low: float = 1e-6,
    high: float = 10.0,
    device: str = "cpu",
    quiet: bool = True,
) -> LearningRates:
    """Suggest a learning rate by a range test. The trained model is discarded.

    Args:
        recipe, train, targets, overrides: the training to find a learning rate for; see
            `nextword.train`.
        steps: number of steps; the test ends early if the loss diverges.
        low: learning rate of the first step.
        high: learning rate of the last step.
        device, quiet: "cpu", "cuda" or "cuda:N"; show no progress.

    Returns:
        The learning rate and loss of each step, the suggestion, and `draw(path)`.

    Raises:
        InputError: `low` is not below `high`, the model is not trained by gradients, or the loss
            diverges within three steps.

    Example:
        nextword.find_lr("lstm", "book.txt").suggestion
    """
    request = Request.of(recipe, train, targets=targets, overrides=overrides, device=device)
    with progress_bar("range test", quiet, unit="steps") as bar:
        return range_test(request, steps=steps, low=low, high=high, progress=bar(steps))


@streams_kept()
def range_test(
    request: Request,
    *,
    steps: int = 100,
    low: float = 1e-6,
    high: float = 10.0,
    progress: Callable[[int], None] | None = None,
) -> LearningRates:
    """Find a learning rate for a request like `find_lr`.

    Args:
        progress: called with the number of steps just done.
    """
    bounds.check("steps", steps, 3, bounds.COUNT)
    bounds.check("high", high, 0.0, bounds.NUMBER)
    if not 0 < low < high:
        raise InputError(f"--low {low:g} must be above 0 and below --high {high:g}")
    device = pick_device(request.device)
    job = check(request)
    config = resolve_precision(job.config, device)
    if config.model.trained_by != "gradient":
        raise InputError(f"the model '{config.model.name}' has no learning rate")
    with temporary_folder() as name:
        folder = Path(name)
        config, _ = task_of(config).prepare(
            job.train,
            job.valid,
            config,
            job.origin,
            folder,
            bars=lambda label, total, unit="MB": lambda done: None,
            bptt_is_given=job.bptt_is_given,
        )
        with own_generator(config.train.seed, device), kernels.backend(config.train.backend):
            model, _ = new_model(config, job.origin, folder)
            training = open_training(folder, config, model, device, time.perf_counter())
            return _range_test(training, np.geomspace(low, high, steps), progress)


def _range_test(
    training: Training, rates: np.ndarray[Any, Any], progress: Callable[[int], None] | None
) -> LearningRates:
    config, model = training.config, training.model
    optimizer = config.optimizer.build(model.parameters())
    epoch, index, stream = 0, 0, training.stream(0)
    state: State = None
    mean, seen, losses = 0.0, 0, list[float]()
    for lr in rates:
        if index == len(stream):
            epoch, index = epoch + 1, 0
            stream = training.stream(epoch)
        batch = stream.batch(index)
        index += 1
        state = detach(state) if batch.continues else None
        _, loss, state = backward(training, batch.to(training.device), state)
        clip_gradients(model, config.train)
        set_rates(optimizer, float(lr), Rates(1.0))
        optimizer.step()
        optimizer.zero_grad()
        mean, seen = _SMOOTH * mean + (1 - _SMOOTH) * float(loss), seen + 1
        smooth = mean / (1 - _SMOOTH**seen)
        if not math.isfinite(smooth) or (losses and smooth > _STOP * min(losses)):
            break
        losses.append(smooth)
        if progress:
            progress(1)
    if len(losses) < 3:
        raise InputError(f"the loss diverges at once; give a smaller --low than {rates[0]:g}")
    lrs = rates[: len(losses)]
    slope = np.gradient(np.asarray(losses), np.log(lrs))
    return LearningRates(lrs.tolist(), losses, float(lrs[int(slope.argmin())]))
