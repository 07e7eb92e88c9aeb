"""The learning-rate range test (Smith 2017, arXiv:1506.01186, section 3.3): a short training whose
learning rate grows exponentially; a good one lies where the loss falls fastest."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import plot
from ..config import Config
from ..errors import InputError
from ..nn import kernels
from ..run import pick_device
from ..text.corpus import prepare
from ..text.reader import blocks, open_texts
from ..text.tokenizer import train_tokenizer
from ..types import State
from .loop import Training, apply_rates, clip_gradients
from .prepare import settle
from .schedules import Rates

_SMOOTH = 0.9  # weight of the past in the running mean of the loss
_STOP = 2.0  # the test ends when the loss is so many times its best


@dataclass(frozen=True)
class LearningRates:
    """What a range test found."""

    lr: list[float]
    loss: list[float]  # running mean, nats per token
    suggestion: float  # where the loss falls fastest over the logarithm of the rate

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def draw(self, path: str | os.PathLike[str]) -> None:
        """The loss over the learning rate, the suggestion marked."""
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


def find_lr(
    config: Config,
    train: list[Path],
    *,
    steps: int = 100,
    low: float = 1e-6,
    high: float = 10.0,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> LearningRates:
    """Train for `steps` steps from the rate `low` to `high`, ending early if the loss blows up.
    Nothing is kept.

    Raises:
        InputError: `low` is not below `high`, or the model is not trained by gradients.
    """
    if not 0 < low < high:
        raise InputError(f"--low {low:g} must be above 0 and below --high {high:g}")
    spans = open_texts(train)
    where = torch.device(pick_device(device))
    config = settle(config, where.type)
    with tempfile.TemporaryDirectory(prefix="nextword-") as folder:
        tokenizer = train_tokenizer(
            (text for text, _ in blocks(spans)), config.text, sum(s.size for s in spans)
        )
        corpus = prepare(spans, tokenizer, folder)
        if not len(corpus):
            raise InputError(f"no words in '{train[0]}'; give a file with text in it")
        torch.manual_seed(config.train.seed)
        model = config.model.build(tokenizer.vocab_size).to(where)
        if not any(True for _ in model.parameters()):
            raise InputError(f"the model '{config.model.name}' has no learning rate")
        training = Training(Path(folder), config, model, corpus, None, where, time.perf_counter())
        with kernels.backend(config.train.backend):
            return _range_test(training, np.geomspace(low, high, steps), progress)


def _range_test(
    training: Training, rates: np.ndarray[Any, Any], progress: Callable[[int], None] | None
) -> LearningRates:
    optimizer = training.config.optimizer.build(training.model.parameters())
    epoch, index, stream = 0, 0, training.stream(0)
    state: State = None
    mean, seen, losses = 0.0, 0, list[float]()
    for lr in rates:
        if index >= len(stream):
            epoch, index = epoch + 1, 0
            stream = training.stream(epoch)
        _, value, state = training.learn(stream.batch(index), state)
        index += 1
        clip_gradients(training.model, training.config.train)
        apply_rates(optimizer, float(lr), Rates(1.0))
        optimizer.step()
        optimizer.zero_grad()
        mean, seen = _SMOOTH * mean + (1 - _SMOOTH) * value, seen + 1
        smooth = mean / (1 - _SMOOTH**seen)
        if not math.isfinite(smooth) or (losses and smooth > _STOP * min(losses)):
            break
        losses.append(smooth)
        if progress:
            progress(1)
    if len(losses) < 3:
        raise InputError(f"the loss blows up at once; begin lower than --low {rates[0]:g}")
    lrs = rates[: len(losses)]
    slope = np.gradient(np.asarray(losses), np.log(lrs))
    return LearningRates(lrs.tolist(), losses, float(lrs[int(slope.argmin())]))
