"""The learning-rate range test (Smith 2017, arXiv:1506.01186, section 3.3): a short training whose
learning rate grows exponentially; a good one lies where the loss falls fastest."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import plot
from ..config import Config
from ..errors import InputError
from ..files import write_text
from ..nn import kernels
from ..run import DATA, TOKENIZER, build_model, load_source_tokenizer, pick_device
from ..text.corpus import Corpus, prepare
from ..text.pairs import open_pairs, open_pairs_corpus
from ..text.reader import blocks, open_texts
from ..text.tokenizer import load_tokenizer, train_tokenizer
from ..types import State
from .loop import Training, apply_rates, clip_gradients
from .prepare import progress_bar, settle
from .prepare_pairs import prepare_pair_text
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
    targets: Sequence[Path] = (),
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
    where = torch.device(pick_device(device))
    config = settle(config, where.type)
    with tempfile.TemporaryDirectory(prefix="nextword-") as name:
        folder = Path(name)
        corpus = _prepared(config, train, targets, folder)
        tokenizer = load_tokenizer(folder / TOKENIZER)
        torch.manual_seed(config.train.seed)
        model = build_model(config, tokenizer, load_source_tokenizer(folder, config)).to(where)
        if not any(True for _ in model.parameters()):
            raise InputError(f"the model '{config.model.name}' has no learning rate")
        training = Training(folder, config, model, corpus, None, where, time.perf_counter())
        with kernels.backend(config.train.backend):
            return _range_test(training, np.geomspace(low, high, steps), progress)


def _prepared(config: Config, train: list[Path], targets: Sequence[Path], folder: Path) -> Corpus:
    """The text with its tokenizer, in `folder`."""
    if config.model.reads == "pairs":
        with progress_bar(quiet=True) as bar:
            prepare_pair_text(config, None, open_pairs(train, targets), [], folder, bar)
        return open_pairs_corpus(folder / DATA / "train")
    if targets:
        raise InputError(f"'{targets[0]}': the recipe reads running text, not pairs")
    spans = open_texts(train)
    tokenizer = train_tokenizer(
        (text for text, _ in blocks(spans)), config.text, sum(s.size for s in spans)
    )
    write_text(folder / TOKENIZER, tokenizer.to_json())
    corpus = prepare(spans, tokenizer, folder / DATA / "train")
    if not len(corpus):
        raise InputError(f"no words in '{train[0]}'; give a file with text in it")
    return corpus


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
