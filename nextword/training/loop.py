"""The training loop: straight-line code from batch to step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from .. import registry
from ..config import Config, TrainConfig
from ..data.pairs import auto_tokens
from ..data.stream import Stream, auto_batch
from ..errors import TrainingError
from ..nn import kernels
from ..nn.kernels.memory import keep_freed_memory
from ..run import WEIGHTS, write_weights
from ..text.corpus import Corpus
from ..text.tokenizer import Tokenizer
from ..types import Batch, State, Term
from . import checkpoint
from .averaging import Average, worsening
from .budget import Budget, clock
from .checkpoint import Standing
from .graphs import Graphs, Learnt, descend, on_cuda
from .interrupt import Interrupt
from .journal import Journal
from .validation import VALIDATE, Validation

_RECORD_SECONDS = 2.0  # the bar moves at least so often


@dataclass
class Training:
    """What one training works on."""

    folder: Path
    config: Config
    model: Any  # nn.Module that is a LanguageModel
    train: Corpus
    valid: Corpus | None
    device: torch.device
    began: float  # time.perf_counter() when the wall-time budget began
    tokenizer: Tokenizer | None = None  # of the targets, where translations are read
    warm: bool = False  # the weights come from another run: how good they are is the first question

    @property
    def wanted_batch(self) -> int:
        """Rows of a batch, if the text is long enough."""
        t = self.config.train
        return t.batch_size or auto_batch(len(self.train), t.bptt)

    @property
    def batch_size(self) -> str:
        """As people read it."""
        t = self.config.train
        if self.train.source is not None:
            return f"of up to {t.batch_tokens or auto_tokens(len(self.train)):,} tokens"
        if self.train.labels is not None:
            return f"of {self.stream(0).batch_size} texts"
        return f"{self.wanted_batch} x {t.bptt}"

    def stream(self, epoch: int) -> Stream:
        """The batches of a pass; the same for the same seed and epoch."""
        t = self.config.train
        kind: type[Stream] = registry.load("stream", t.stream)
        seed = int(np.random.SeedSequence([t.seed, epoch]).generate_state(1)[0])
        return kind.of(self.train, t, seed)

    def learn(self, batch: Batch, state: State) -> tuple[dict[str, Term], float, State]:
        """Add a batch's gradient to the parameters': terms, loss, the state for the next batch."""
        batch = batch.to(self.device)
        if not batch.continues or state is None:
            state = batch.start(self.model) if self.config.model.reads == "text" else None
        terms, value, state = self.descend(batch, state)
        return terms, value * self.config.train.accumulate, state if self.carries else None

    @cached_property
    def carries(self) -> bool:
        """Whether a batch may go on from the state of the one before it."""
        kind: type[Stream] = registry.load("stream", self.config.train.stream)
        return kind.carries

    @property
    def by_graphs(self) -> bool:
        """A graph is bound to shapes: no word may decide how much work there is."""
        fixed = getattr(self.model, "fixed_shapes", False)
        return self.config.train.graphs and self.device.type == "cuda" and fixed

    @cached_property
    def descend(self) -> Callable[[Batch, State], Learnt]:
        """The passes through the model, as CUDA graphs if that is wanted."""
        if self.by_graphs:
            return Graphs(self.forward, list(self.model.parameters()), on_cuda())
        return partial(descend, self.forward)

    def forward(self, batch: Batch, state: State) -> tuple[dict[str, Term], torch.Tensor, State]:
        """Terms, the share of a batch in a step's loss, the state after it."""
        with self.precision():
            if state is None:
                state = batch.start(self.model)
            terms, state = self.config.objective(self.model, batch, state)
        return terms, sum_of(terms) / self.config.train.accumulate, state

    def precision(self) -> AbstractContextManager[Any]:
        if self.config.train.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def validate(self) -> Validation | None:
        """How good the present weights are on the validation text."""
        if self.valid is None:
            return None
        self.model.eval()
        try:
            return VALIDATE[self.config.model.reads](self)
        finally:
            self.model.train()


def fit(training: Training, *, resume: bool = False, quiet: bool = False) -> Standing:
    """Train until the epochs, the minutes or the patience are used up.

    Raises:
        KeyboardInterrupt: Ctrl-C; the state is saved first.
        TrainingError: the loss or the gradient is not finite; the last good weights are saved.
    """
    config, model = training.config.train, training.model
    keep_freed_memory()
    groups = model.groups() if hasattr(model, "groups") else None
    optimizer = training.config.optimizer.build(model.parameters(), groups)
    last = config.checkpoints if config.average == "checkpoints" else 0
    average = Average(model.parameters(), last)
    stream = training.stream(0)
    state: State = None
    at = Standing()
    if resume:
        state, at = checkpoint.restore(training.folder, model, optimizer, average)
        stream = training.stream(at.epoch)
    valid_tokens = len(training.valid) if training.valid is not None else 0
    budget = Budget(config, at, training.began, len(stream), valid_tokens)
    interrupt = Interrupt()
    journal = Journal(
        training.folder, config.tensorboard, quiet, at.metrics_bytes if resume else None
    )

    def save() -> None:
        at.seconds, at.metrics_bytes = budget.elapsed, journal.size
        checkpoint.save(training.folder, model, optimizer, average, state, at)

    model.train()
    kernel = kernels.backend(config.backend)
    with interrupt.listening(), journal, kernel as layers, _dense(model), _no_denormals():
        saved = recorded = time.perf_counter()
        recorded_tokens = at.tokens
        told = False  # what runs the recurrent layers
        try:
            if not resume:
                if config.average == "always":
                    average.begin()
                save()  # from now on there is something to go on from
            while True:
                epoch_over = at.index >= len(stream)
                over = budget.used(at) >= 1
                due = at.step % config.eval_every == 0 if config.eval_every else epoch_over
                due = training.warm if at.step == 0 else due or over
                if due and at.valid_step != at.step:
                    began = time.perf_counter()
                    average.checkpoint(at.step)
                    with average.applied(interrupt.step):
                        result = training.validate()
                        budget.reserve = time.perf_counter() - began
                        with interrupt.step():
                            _note_validation(training, at, journal, budget, result)
                            if _time_to_average(config, at, average):
                                average.begin()
                                at.averaged_from = len(at.history)
                                journal.say("no better for a while: averaging weights from here on")
                    save()
                    saved = time.perf_counter()
                if over or _given_up(config, at):
                    break
                if epoch_over:
                    at.epoch, at.index = at.epoch + 1, 0
                    stream = training.stream(at.epoch)
                    budget.batches = len(stream)

                with interrupt.step():
                    batch = stream.batch(at.index)
                    done = budget.used(at)
                    terms, value, state = training.learn(replace(batch, done=done), state)
                    rates = training.config.schedule(at.step, done, at.history)
                    ready = (at.step + 1) % config.accumulate == 0
                    norm = clip_gradients(model, config) if ready else 0.0
                    if not (math.isfinite(norm) and math.isfinite(value)):
                        raise _not_finite(training, at, value)
                    if ready:
                        apply_rates(
                            optimizer,
                            training.config.optimizer.lr,
                            rates,
                            batch.lr_scale,
                            training.config.optimizer.deepest(at.epoch),
                        )
                        optimizer.step()
                        optimizer.zero_grad()
                        average.update()
                    at.step, at.index, at.tokens = (
                        at.step + 1,
                        at.index + 1,
                        at.tokens + batch.tokens,
                    )
                    journal.add(terms)
                    if layers and not told:
                        for how in dict.fromkeys(layers.values()):
                            alike = [layer for layer in layers if layers[layer] == how]
                            journal.say(f"{', '.join(alike)}: {how}")
                        told = True
                    now = time.perf_counter()
                    if now - recorded > _RECORD_SECONDS or at.index == len(stream):
                        speed = (at.tokens - recorded_tokens) / (now - recorded)
                        _record(journal, at, budget, rates.lr, norm, speed, training)
                        recorded, recorded_tokens = now, at.tokens
                    if now - saved > 60 * config.save_every_minutes:
                        save()
                        saved = now
        except KeyboardInterrupt:
            save()
            raise
    return at


def sum_of(terms: dict[str, Term]) -> torch.Tensor:
    """The loss: Σ total / count."""
    shares = [term.total / term.count for term in terms.values() if term.learnt]
    return torch.stack(shares).sum()


def apply_rates(
    optimizer: torch.optim.Optimizer,
    base: float,
    rates: Any,
    lr_scale: float = 1.0,
    deepest: float = math.inf,
) -> None:
    """Set the learning rate, and the momentum or first beta where the schedule has one; layers
    below the `deepest` do not learn."""
    for group in optimizer.param_groups:
        learns = group.get("depth", 0) <= deepest
        group["lr"] = base * rates.lr * lr_scale * group.get("scale", 1.0) * learns
        if rates.momentum is not None:
            if "betas" in group:
                group["betas"] = (rates.momentum, group["betas"][1])
            elif "momentum" in group:
                group["momentum"] = rates.momentum


def clip_gradients(model: Any, config: TrainConfig) -> float:
    """Clip by value, then by global norm (Pascanu et al. 2013); returns the norm before."""
    if config.clip_value is not None:
        clip_grad_value_(model.parameters(), config.clip_value)
    return float(clip_grad_norm_(model.parameters(), config.clip or math.inf))


def _time_to_average(config: TrainConfig, at: Standing, average: Average) -> bool:
    wanted = config.average == "non-monotone" and not average.begun
    return wanted and worsening(at.history, config.non_monotone)


def _given_up(config: TrainConfig, at: Standing) -> bool:
    """Whether validation has not got better for too long, by either rule."""
    since = at.history[at.averaged_from :]
    stop = config.non_monotone_stop and worsening(since, config.non_monotone)
    return stop or at.bad >= (config.patience or math.inf)


def _note_validation(
    training: Training,
    at: Standing,
    journal: Journal,
    budget: Budget,
    result: Validation | None,
) -> None:
    """Keep the weights if they are the best so far; without validation text the newest are."""
    at.valid_step = at.step
    if result is None:
        at.kept_step = at.step
        write_weights(training.folder, training.model, {"step": at.step})
        return
    if not math.isfinite(result.nll):
        raise _not_finite(training, at, result.nll)
    better = result.cost < at.best
    at.history.append(result.cost)
    if better or training.config.train.keep == "last":
        at.kept_step = at.step
        write_weights(training.folder, training.model, {"step": at.step, "valid_nll": result.nll})
    journal.record(
        step=at.step,
        epoch=at.epoch,
        tokens=at.tokens,
        valid_nll=result.nll,
        **{f"valid_{name}": value for name, value in result.figures.items()},
    )
    journal.say(
        f"epoch {at.epoch + 1}  step {at.step}  valid {result}{'  (best)' if better else ''}  "
        f"{clock(budget.elapsed)}"
    )


def _record(
    journal: Journal,
    at: Standing,
    budget: Budget,
    factor: float,
    norm: float,
    speed: float,
    training: Training,
) -> None:
    means = journal.means()
    journal.record(
        step=at.step,
        epoch=at.epoch,
        tokens=at.tokens,
        lr=training.config.optimizer.lr * factor,
        grad_norm=norm,
        tokens_per_second=speed,
        seconds=budget.elapsed,
        **means,
    )
    journal.show(
        at.epoch + 1,
        budget.used(at),
        f"{_said(means)}  {speed:,.0f} tokens/s  {clock(budget.left(at))} left",
    )


def _said(means: dict[str, float]) -> str:
    """A training's figures as the bar has them."""
    shown = {
        "nll": "loss {:.3f}",
        "perplexity": "perplexity {:.1f}",
        "accuracy": "accuracy {:.1%}",
        "next_accuracy": "next sentence {:.1%}",
    }
    return "  ".join(text.format(means[name]) for name, text in shown.items() if name in means)


def _not_finite(training: Training, at: Standing, loss: float) -> TrainingError:
    kept = training.folder / WEIGHTS
    if at.kept_step < 0:  # nothing validated yet: the weights before this step are the last good
        write_weights(training.folder, training.model, {"step": at.step})
    lr = training.config.optimizer.lr
    what = "the gradient is not finite" if math.isfinite(loss) else f"the loss is {loss}"
    return TrainingError(
        f"{what} at step {at.step + 1}; the last good weights are kept in '{kept}'. Try a smaller "
        f"optimizer.lr (now {lr:g}) or train.clip (now {training.config.train.clip or 'none'})"
    )


@contextmanager
def _dense(model: Any) -> Iterator[None]:
    """No gradient left over from before, none left behind."""
    try:
        yield
    finally:
        model.zero_grad(set_to_none=True)


@contextmanager
def _no_denormals() -> Iterator[None]:
    """Numbers too near zero are zero: they would cost 25 times the time."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
