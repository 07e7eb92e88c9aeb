"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from ...config import TrainConfig
from ...errors import TrainingError
from ...nn import kernels
from ...nn.kernels.memory import keep_freed_memory
from ...run import WEIGHTS, write_weights
from ...screen import clock
from ...state import detach
from ...tasks.results import Validation
from .averaging import Average, worsening
from .budget import Budget
from .checkpoint import Saver
from .graphs import Graphs, on_cuda
from .interrupt import Interrupt
from .journal import Journal
from .standing import Standing
from .step import Backward, backward, clip_gradients, set_rates
from .training import Training


def fit(training: Training, *, resume: bool = False, quiet: bool = False) -> Standing:
    """Train until the epochs, the minutes or the patience are used up; return the progress.

    Raises:
        KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP; the state is saved first.
        TrainingError: the loss or the gradient is not finite; the last good weights are saved.
    """
    settings, config, model = training.config, training.config.train, training.model
    keep_freed_memory()
    optimizer = settings.optimizer.build(model.parameters(), model.groups())
    average = Average.wanted(model.parameters(), config)
    saver = Saver(training.folder, model, optimizer, average, 60 * config.save_every_minutes)
    state, at = saver.restore() if resume else (None, training.beginning)
    stream = training.stream(at.epoch)
    budget = Budget(config, at, training.began, len(stream), training.valid_tokens)
    interrupt = Interrupt()
    journal = Journal(training.folder, at, config.tensorboard, quiet=quiet, resume=resume)
    learn = learner(training)
    model.train()
    with interrupt.listening(), journal, kernels.backend(config.backend) as layers, _clean(model):
        try:
            if not resume:
                saver.save(None, at, journal, budget)  # from here on the training can be resumed
            while True:
                over = budget.used(at) >= 1
                if _validation_is_due(training, at, len(stream), over):
                    _validate(training, at, average, budget, journal, interrupt)
                    saver.save(state, at, journal, budget)
                if over or _given_up(config, at):
                    return at
                if at.index == len(stream):
                    at.epoch, at.index = at.epoch + 1, 0
                    stream = training.stream(at.epoch)
                    budget.batches = len(stream)

                with interrupt.step():
                    done = budget.used(at)
                    batch = replace(stream.batch(at.index), done=done)
                    state = detach(state) if batch.continues else None
                    terms, loss, state = learn(batch.to(training.device), state)
                    rates = settings.schedule(at.step, done, at.history)
                    scale = at.scale_of_update(batch, config.accumulate)
                    norm = 0.0 if scale is None else clip_gradients(model, config)
                    _check_finite(training, at, float(loss), norm)
                    if scale is not None:
                        deepest = settings.optimizer.deepest(at.epoch)
                        set_rates(optimizer, settings.optimizer.lr, rates, scale, deepest)
                        optimizer.step()
                        optimizer.zero_grad()
                        average.update()
                    at.advance(batch)
                    state = state if stream.carries else None
                    journal.add(terms, settings.optimizer.lr * rates.lr, layers)
                    journal.record_progress(at, budget, norm, always=at.index == len(stream))
                    if saver.is_due():
                        saver.save(state, at, journal, budget)
        except KeyboardInterrupt:
            with interrupt.step():  # a closed terminal sends its signal twice
                saver.save(state, at, journal, budget)
            raise


def learner(training: Training) -> Backward:
    """Return the function that adds a batch's gradient, with CUDA graphs if they are wanted."""
    learn: Backward = partial(backward, training)
    if not training.by_graphs:
        return learn
    return Graphs(learn, list(training.model.parameters()), on_cuda())


def _validation_is_due(training: Training, at: Standing, batches: int, over: bool) -> bool:
    """Return whether to validate now: after each epoch, or after `eval_every` steps."""
    if at.valid_step == at.step:
        return False
    if at.step == 0:
        return at.starts_trained
    every = training.config.train.eval_every
    return over or (at.step % every == 0 if every else at.index == batches)


def _validate(
    training: Training,
    at: Standing,
    average: Average,
    budget: Budget,
    journal: Journal,
    interrupt: Interrupt,
) -> None:
    """Validate, with averaged weights if there are any, and write them if they are the best."""
    began = time.perf_counter()
    average.checkpoint(at.step)
    with average.applied(interrupt.step):
        result = training.validate()
        budget.reserve = time.perf_counter() - began
        with interrupt.step():
            _keep_if_best(training, at, journal, budget, result)
            if average.begin_if_worsening(at.history):
                at.averaged_from = len(at.history)
                journal.say("validation stopped improving: averaging weights from here on")


def _keep_if_best(
    training: Training, at: Standing, journal: Journal, budget: Budget, result: Validation | None
) -> None:
    """Write the weights if they are the best so far; without validation text always."""
    at.valid_step = at.step
    if result is None:
        at.kept_step = at.step
        write_weights(training.folder, training.model, {"step": at.step})
        return
    _check_finite(training, at, result.nll, 0.0)
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
    best = "  (best)" if better else ""
    elapsed = clock(budget.elapsed)
    journal.say(f"epoch {at.epoch + 1}  step {at.step}  valid {result}{best}  {elapsed}")


def _given_up(config: TrainConfig, at: Standing) -> bool:
    """Return whether training stops early: by `patience` or by `non_monotone_stop`."""
    since = at.history[at.averaged_from :]
    stop = config.non_monotone_stop and worsening(since, config.non_monotone)
    return stop or at.without_improvement >= (config.patience or math.inf)


def _check_finite(training: Training, at: Standing, loss: float, norm: float) -> None:
    """Raise TrainingError unless loss and gradient norm are finite; the last good weights stay."""
    if math.isfinite(loss) and math.isfinite(norm):
        return
    if at.kept_step < 0:  # before the first validation the current weights are the last good ones
        write_weights(training.folder, training.model, {"step": at.step})
    kept, config = training.folder / WEIGHTS, training.config
    what = "the gradient is not finite" if math.isfinite(loss) else f"the loss is {loss}"
    layers = [layer for part in training.model.recurrent_layers.values() for layer in part]
    grows = training.stream(at.epoch).carries and not all(layer.cell.bounded for layer in layers)
    fresh = "train.stream=windows (carried on, the state grows without limit), " if grows else ""
    raise TrainingError(
        f"{what} at step {at.step + 1}; the last good weights are kept in '{kept}'. Try {fresh}"
        f"a smaller optimizer.lr (now {config.optimizer.lr:g}) or train.clip "
        f"(now {config.train.clip or 'none'})"
    )


@contextmanager
def _clean(model: nn.Module) -> Iterator[None]:
    """Flush denormal numbers to zero while the context is open, and clear gradients at its end.

    Arithmetic with denormal numbers takes many times as long.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        model.zero_grad(set_to_none=True)
