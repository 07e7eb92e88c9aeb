"""Training: exact resume, budgets, stopping, and what is kept."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import optim

import nextword
from nextword import registry, screen
from nextword.cli.main import main
from nextword.config import RECIPES, configure
from nextword.errors import InputError, Interrupted, TrainingError
from nextword.experiments.lr_finder import range_test
from nextword.files import read_tensors
from nextword.models.windowed import Windowed
from nextword.registry import names
from nextword.state import leaves
from nextword.text.corpus import open_corpus
from nextword.training.loop import loop
from nextword.training.loop.budget import Budget
from nextword.training.loop.checkpoint import Saver, laid_out, layout_of
from nextword.training.loop.journal import read_metrics
from nextword.training.loop.standing import Standing
from nextword.training.loop.training import Training
from nextword.training.request import Request
from nextword.types import Batch, State
from tests.support import LEARNT, STORY, Cli, interrupt_at

OTHERS = {  # streams not of running text
    stream for task in registry.names("task") for stream in registry.load("task", task).streams
}

TINY: dict[str, Any] = {
    "text.tokenizer": "char",
    "model.hidden": 12,
    "model.embedding": 8,
    "train.epochs": 2,
    "train.batch_size": 4,
    "train.bptt": 10,
    "train.patience": None,
    "model.embedding_std": 0.05,
}


def fit(
    text: Path, out: Path, recipe: str = "lstm", valid: Any = (), **settings: Any
) -> nextword.Run:
    overrides = TINY | {key.replace("__", "."): value for key, value in settings.items()}
    return nextword.train(recipe, text, out, valid=valid, overrides=overrides, quiet=True)


def metrics(run: Path) -> list[dict[str, Any]]:
    timed = ("seconds", "tokens_per_second")
    return [{k: v for k, v in r.items() if k not in timed} for r in read_metrics(run)]


def same_tensors(a: Path, b: Path) -> bool:
    first, second = load_file(a), load_file(b)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


VARIANTS: dict[str, dict[str, Any]] = {
    "adamw": {"model__dropout_hidden": 0.3, "model__dropout_weight": 0.2},
    "momentum": {
        "optimizer__name": "sgd",
        "optimizer__lr": 0.5,
        "optimizer__momentum": 0.9,
        "schedule__name": "plateau",
        "train__eval_every": 3,
    },
    "accumulate": {"train__accumulate": 3, "optimizer__name": "rmsprop", "train__keep": "last"},
    "windows": {"train__stream": "windows", "model__cell": "irnn", "train__eval_every": 4},
    "variable": {"train__stream": "variable", "model__dropout_hidden": 0.3},
    "averaged": {"train__average": "always", "train__eval_every": 3, "schedule__name": "cosine"},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("call", [1, 7, 13, 14, 20])
def test_resume_is_bit_identical(
    variant: str, call: int, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, optimizer, random state and metrics are those of a training never interrupted."""
    fit(text, tmp_path / "whole", **VARIANTS[variant])
    with monkeypatch.context() as patch:
        interrupt_at(patch, call)
        with pytest.raises(Interrupted):
            fit(text, tmp_path / "parts", **VARIANTS[variant])
    torch.manual_seed(999)  # whatever happened since must not matter
    nextword.resume(tmp_path / "parts", quiet=True)
    for name in ("model.safetensors", "state.safetensors"):
        assert same_tensors(tmp_path / "whole" / name, tmp_path / "parts" / name), name
    a, b = metrics(tmp_path / "whole"), metrics(tmp_path / "parts")
    assert [r for r in a if "valid_nll" in r] == [r for r in b if "valid_nll" in r]


#: Small shapes, in which tensors begin at all kinds of addresses.
NARROW: dict[str, dict[str, Any]] = {
    **{
        f"{cell} {hidden} wide, batch {batch}": {
            "model__cell": cell,
            "model__hidden": hidden,
            "train__batch_size": batch,
            "train__stream": "windows" if cell == "irnn" else "stripes",
        }
        for cell in names("cell")
        for hidden, batch in ((64, 3), (7, 2))
    },
    "step by step": {"train__backend": "step", "train__batch_size": 2},
    "fast loops": {"train__backend": "fast", "train__batch_size": 1},
    "narrow gating": {"model__mogrify": 2, "model__mogrify_rank": 8, "train__batch_size": 1},
    "half a gradient": {"train__accumulate": 3, "model__tied": False, "train__batch_size": 1},
    "averaged": {"train__average": "checkpoints", "train__eval_every": 2},
}


@pytest.mark.parametrize("variant", NARROW)
def test_resumed_tensors_lie_in_memory_as_fresh_ones(
    variant: str, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On some processors a product rounds by the addresses of its arguments, so they are the same
    too: bytes after a multiple of 64, and strides."""
    settings = {"train__epochs": 1, "model__embedding": 7, **NARROW[variant]}
    text.write_text(STORY[:700], encoding="utf-8")
    savers: list[Saver] = []
    read: list[list[Any]] = []  # by each step
    original = loop.backward

    def backward(training: Training, batch: Batch, state: State) -> Any:
        parameters = list(training.model.parameters())
        tensors = [*leaves(state), *parameters, *(p.grad for p in parameters)]
        for parameter in parameters:
            values = savers[-1].optimizer.state.get(parameter, {})
            tensors += [v for _, v in sorted(values.items()) if isinstance(v, torch.Tensor)]
        read.append([None if t is None else (t.data_ptr() % 64, t.stride()) for t in tensors])
        return original(training, batch, state)

    monkeypatch.setattr(loop, "backward", backward)
    made = Saver.__init__
    monkeypatch.setattr(
        Saver, "__init__", lambda self, *given: savers.append(self) or made(self, *given)
    )
    fit(text, tmp_path / "whole", **settings)
    whole, read[:] = list(read), []
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5)
        with pytest.raises(Interrupted):
            fit(text, tmp_path / "parts", **settings)
    nextword.resume(tmp_path / "parts", quiet=True)
    assert read == whole
    for name in ("model.safetensors", "state.safetensors"):
        assert same_tensors(tmp_path / "whole" / name, tmp_path / "parts" / name), name


@pytest.mark.parametrize("shift", [0, 1, 3, 16])
@pytest.mark.parametrize("strides", [(12, 4, 1), (1, 2, 6), (40, 9, 2)])
def test_a_tensor_is_laid_out_as_it_was(shift: int, strides: tuple[int, ...]) -> None:
    value = torch.empty(200).as_strided((2, 3, 4), strides, shift)
    value.copy_(torch.arange(24.0).view(2, 3, 4))
    again = laid_out(value.contiguous(), layout_of(value), value.device)
    assert torch.equal(again, value)
    assert again.data_ptr() % 64 == value.data_ptr() % 64
    assert again.stride() == value.stride()


def test_tensors_that_share_memory_are_written_out() -> None:
    """A gradient of a sum may be one number that stands for all."""
    value = torch.ones(1).expand(3, 4)
    assert layout_of(value) is None
    assert laid_out(value, None, value.device).stride() == (4, 1)


def test_resume_after_interrupted_validation(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C during a validation loses nothing: it is done again."""
    fit(text, tmp_path / "whole", train__eval_every=3)
    original = Training.validate
    calls = 0

    def validate(self: Training) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "validate", validate)
        with pytest.raises(Interrupted):
            fit(text, tmp_path / "parts", train__eval_every=3)
    nextword.resume(tmp_path / "parts", quiet=True)
    for name in ("model.safetensors", "state.safetensors"):
        assert same_tensors(tmp_path / "whole" / name, tmp_path / "parts" / name)


def test_resume_after_kill(text: Path, tmp_path: Path) -> None:
    """kill -9 loses the steps since the last saved state and nothing else."""
    settings: dict[str, Any] = {"train__epochs": 8, "train__save_every_minutes": 1e-6}
    fit(text, tmp_path / "whole", **settings)
    overrides = TINY | {key.replace("__", "."): value for key, value in settings.items()}
    code = (
        f"import nextword; nextword.train('lstm', {str(text)!r}, {str(tmp_path / 'parts')!r}, "
        f"overrides={overrides!r}, quiet=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    state = tmp_path / "parts" / "state.safetensors"
    deadline = time.monotonic() + 60
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL
    nextword.resume(tmp_path / "parts", quiet=True)
    for name in ("model.safetensors", "state.safetensors"):
        assert same_tensors(tmp_path / "whole" / name, tmp_path / "parts" / name)


def test_resumed_twice_and_finished(text: Path, tmp_path: Path) -> None:
    """Resuming a finished training changes nothing; more epochs go on from its end."""
    fit(text, tmp_path / "run")
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    nextword.resume(tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    steps = max(r["step"] for r in read_metrics(tmp_path / "run"))
    nextword.resume(tmp_path / "run", overrides={"train.epochs": 3}, quiet=True)
    assert max(r["step"] for r in read_metrics(tmp_path / "run")) == steps * 3 // 2


def test_resume_refuses_other_settings(text: Path, tmp_path: Path) -> None:
    fit(text, tmp_path / "run")
    with pytest.raises(InputError, match=r"model\.hidden"):
        nextword.resume(tmp_path / "run", overrides={"model.hidden": 5}, quiet=True)
    with pytest.raises(InputError, match="recipe"):
        nextword.resume(tmp_path / "run", recipe="gru", quiet=True)


def test_same_seed_same_run(text: Path, tmp_path: Path) -> None:
    fit(text, tmp_path / "a", model__dropout_output=0.5)
    fit(text, tmp_path / "b", model__dropout_output=0.5)
    fit(text, tmp_path / "c", model__dropout_output=0.5, train__seed=2)
    weights = [(tmp_path / name / "model.safetensors") for name in "abc"]
    assert same_tensors(weights[0], weights[1])
    assert not same_tensors(weights[0], weights[2])


def test_not_a_number_stops(text: Path, tmp_path: Path) -> None:
    """A diverging training names the step, and the weights it keeps are finite."""
    with pytest.raises(TrainingError, match=r"step \d+.*optimizer\.lr"):
        fit(
            text,
            tmp_path / "run",
            optimizer__name="sgd",
            optimizer__lr=100,
            optimizer__weight_decay=1.0,  # each step multiplies the weights by -99
            train__clip=None,
            schedule__name="constant",
            train__epochs=20,
        )
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.isfinite(w).all() for w in weights.values())
    nextword.load(tmp_path / "run")


@pytest.mark.parametrize("stream", ["stripes", "windows"])
def test_a_diverging_irnn_is_told_of_windows(stream: str, text: Path, tmp_path: Path) -> None:
    """Unless it is trained on them."""
    settings = {"optimizer__name": "sgd", "optimizer__lr": 1e9, "train__clip": None}
    with pytest.raises(TrainingError) as error:
        fit(text, tmp_path / "run", "irnn", train__stream=stream, **settings)
    assert ("train.stream=windows" in str(error.value)) == (stream == "stripes")


def test_minutes_bound_the_training(text: Path, tmp_path: Path) -> None:
    """The schedule runs over the time: the last learning rate is near the schedule's end."""
    began = time.monotonic()
    timed = {key: value for key, value in TINY.items() if key != "train.epochs"}
    timed |= {"train.minutes": 0.05, "schedule.name": "cosine"}
    nextword.train("lstm", text, tmp_path / "run", overrides=timed, quiet=True)
    assert 2 < time.monotonic() - began < 8
    rates = [r["lr"] for r in read_metrics(tmp_path / "run") if "lr" in r]
    assert rates[-1] < 0.2 * max(rates)


def test_minutes_shorter_than_the_preparation(text: Path, tmp_path: Path, cli: Cli) -> None:
    """One update is made, and what is advised works."""
    small = [f"--set={key}={value}" for key, value in TINY.items() if value is not None]
    small += ["--set=train.minutes=1e-6", "--set=schedule.name=cosine", "--set=train.accumulate=2"]
    status, _, said = cli("train", "lstm", "--train", text, "--out", tmp_path / "run", *small)
    assert status == 0
    assert "preparation took longer than train.minutes=1e-06" in said
    records = read_metrics(tmp_path / "run")
    assert max(r["step"] for r in records) == 2  # two batches are one update
    advice = re.search(r"go on with: nextword (.*)", said)
    assert advice is not None
    assert cli(*advice[1].split()[:-1], "train.minutes=0.02")[0] == 0
    assert max(r["step"] for r in read_metrics(tmp_path / "run")) > 2
    assert cli("evaluate", tmp_path / "run", "--data", text)[0] == 0


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_save_the_training(
    name: str, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed terminal sends its signal twice: the second one does not end the saving."""
    fit(text, tmp_path / "whole")
    number = signal.Signals[name]
    save = Saver.save

    def saved(self: Saver, *given: Any) -> None:
        if len(sent) == 1:
            sent.append(os.kill(os.getpid(), number))
            time.sleep(0.01)
        save(self, *given)

    sent: list[None] = []
    with monkeypatch.context() as patch:
        original = loop.backward

        def backward(*given: Any) -> Any:
            if not sent:
                sent.append(os.kill(os.getpid(), number))
            return original(*given)

        patch.setattr(loop, "backward", backward)
        patch.setattr(Saver, "save", saved)
        with pytest.raises(Interrupted, match="--resume"):
            fit(text, tmp_path / "parts")
    assert len(sent) == 2
    nextword.resume(tmp_path / "parts", quiet=True)
    for file in ("model.safetensors", "state.safetensors"):
        assert same_tensors(tmp_path / "whole" / file, tmp_path / "parts" / file)


def test_a_signal_that_is_ignored_stays_ignored(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    original = loop.backward
    try:
        monkeypatch.setattr(
            loop, "backward", lambda *a: os.kill(os.getpid(), signal.SIGHUP) or original(*a)
        )
        fit(text, tmp_path / "run")
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


class Failing(io.StringIO):
    """A terminal, or a file, that nothing can be written to."""

    def __init__(self, terminal: bool, error: int) -> None:
        super().__init__()
        self.terminal, self.error = terminal, error

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        raise OSError(self.error, os.strerror(self.error))


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    "stream",
    [
        None,
        closed(),
        Failing(True, errno.EIO),
        Failing(False, errno.ENOSPC),
        Failing(False, errno.EPIPE),
    ],
    ids=["none", "closed", "terminal gone", "disk full", "reader gone"],
)
def test_standard_error_that_fails_ends_no_training(
    stream: Any, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    overrides = TINY | {"train.epochs": 1}
    nextword.train("lstm", text, tmp_path / "run", overrides=overrides)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        with pytest.raises(Interrupted):
            nextword.train("lstm", text, tmp_path / "parts", overrides=overrides)
    nextword.resume(tmp_path / "parts")
    for file in ("model.safetensors", "state.safetensors"):
        assert same_tensors(tmp_path / "run" / file, tmp_path / "parts" / file)


def test_a_line_a_minute_in_a_log_file(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """With the step, the loss, the speed and the time left."""
    monkeypatch.setattr(screen, "_PLAIN_EVERY", 0.0)
    nextword.train("lstm", text, tmp_path / "run", overrides=TINY | {"train.patience": None})
    line = r"^epoch 1  step \d+  \d+%  loss \d\.\d+  .*[\d,]+ tokens/s  \d+:\d\d left$"
    assert re.search(line, capfd.readouterr().err, re.MULTILINE)
    monkeypatch.setattr(screen, "_PLAIN_EVERY", 60.0)
    nextword.train("lstm", text, tmp_path / "other", overrides=TINY)
    assert "tokens/s" not in capfd.readouterr().err


def test_long_preparation_leaves_time_to_train(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first validation will take is guessed from the steps, not from the preparation."""
    now = 100.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    config = configure("lstm", {"train.minutes": 1.0}).train
    at = Standing()
    now = 130.0  # half of the minute went by before the first step
    budget = Budget(config, at, 100.0, 50, valid_tokens=30_000)
    assert budget.used(at) == 0  # the first update has the rate that the schedule begins with
    at.step, at.tokens, now = 1, 2_000, 131.0  # 30,000 / 2,000 / 3 = 5 seconds to validate
    assert budget.used(at) == pytest.approx(31 / 55)
    now = 140.0  # a slow first step: 50 seconds would be too many
    assert budget.used(at) == pytest.approx(40 / 45)
    budget.reserve = 8.0  # measured
    assert budget.used(at) == pytest.approx(40 / 52)
    assert budget.left(at) == pytest.approx(20)


def test_patience_ends_the_training(text: Path, tmp_path: Path) -> None:
    """Nothing can get better at a learning rate of nearly zero."""
    run = tmp_path / "run"
    fit(
        text,
        run,
        optimizer__lr=1e-30,
        schedule__name="constant",
        train__epochs=50,
        train__patience=3,
        optimizer__weight_decay=0.0,
    )
    validations = [r for r in read_metrics(run) if "valid_nll" in r]
    assert len(validations) == 4  # the first is the best, three bring nothing


def test_best_or_last_weights(text: Path, tmp_path: Path) -> None:
    """keep=best stores the weights of the lowest validation loss, keep=last the newest."""
    kept = {}
    for keep in ("best", "last"):
        fit(
            text,
            tmp_path / keep,
            train__keep=keep,
            train__epochs=20,
            optimizer__lr=0.3,
            schedule__name="constant",
        )
        _, kept[keep] = read_tensors(tmp_path / keep / "model.safetensors")
    losses = {
        r["step"]: r["valid_nll"] for r in read_metrics(tmp_path / "best") if "valid_nll" in r
    }
    assert kept["best"]["step"] == min(losses, key=losses.__getitem__)
    assert kept["last"]["step"] == max(losses)
    assert kept["best"]["step"] != kept["last"]["step"]


def test_accumulation_is_the_mean_gradient(text: Path, tmp_path: Path) -> None:
    """Two windows at a time are one step on the mean of two windows of one."""
    common: dict[str, Any] = {
        "train__stream": "windows",
        "train__shuffle": False,
        "train__epochs": 1,
        "optimizer__name": "sgd",
        "optimizer__lr": 1.0,
        "schedule__name": "constant",
        "train__clip": None,
        "model__dropout_input": 0.0,
        "model__dropout_hidden": 0.0,
        "model__dropout_output": 0.0,
        "train__keep": "last",
        "train__bptt": 11,
    }
    text.write_text("the cat sat on the mat" * 10, encoding="utf-8")  # 20 windows of 11
    common |= {"text__tokenizer": "byte"}
    fit(text, tmp_path / "two", valid=text, train__batch_size=2, **common)
    fit(text, tmp_path / "one", valid=text, train__batch_size=1, train__accumulate=2, **common)
    assert read_metrics(tmp_path / "two")[0]["tokens"] == 220
    a = load_file(tmp_path / "two" / "model.safetensors")
    b = load_file(tmp_path / "one" / "model.safetensors")
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-6)


def test_accumulated_batches_share_one_rate(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With varying lengths an update has the mean of its batches' scales, across a resume too."""
    settings: dict[str, Any] = {"train__stream": "variable", "train__accumulate": 3}
    settings |= {"schedule__name": "constant", "train__epochs": 3}
    lengths: list[float] = []
    rates: list[float] = []
    backward, set_rates = loop.backward, loop.set_rates

    def watched(training: Training, batch: Batch, state: State) -> Any:
        lengths.append(batch.ids.shape[1] / 10)
        return backward(training, batch, state)

    def scaled(optimizer: Any, base: float, rates_: Any, scale: float, *rest: Any) -> None:
        rates.append(scale)
        set_rates(optimizer, base, rates_, scale, *rest)

    monkeypatch.setattr(loop, "backward", watched)
    monkeypatch.setattr(loop, "set_rates", scaled)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5)
        with pytest.raises(Interrupted):
            fit(text, tmp_path / "run", **settings)
    nextword.resume(tmp_path / "run", quiet=True)
    updates = len(lengths) // 3
    means = np.array(lengths[: 3 * updates]).reshape(updates, 3).mean(axis=1)
    assert rates == pytest.approx(means.tolist())
    assert len(set(rates)) > 2


@pytest.mark.parametrize(
    ("settings", "bptt"),
    [({}, 16), ({"train.bptt": 12}, 12), ({"train.bptt": 16}, 16), ({"train.bptt": 17}, None)],
)
@pytest.mark.parametrize("again", [False, True])
def test_bert_reads_no_more_than_its_context(
    again: bool, settings: dict[str, Any], bptt: int | None, tmp_path: Path, capfd: Any
) -> None:
    """The recipe's train.bptt gives way to a shorter context, that of another run too."""
    text = tmp_path / "text.txt"
    text.write_text(STORY * 4, encoding="utf-8")
    small = {"train.epochs": 1, "train.batch_size": 4, "text.vocab_size": 40, "model.context": 16}
    small |= {"model.hidden": 16, "model.layers": 1, "model.heads": 2, "model.inner": 16}
    run = tmp_path / "run"
    origin = None
    if again:
        origin = nextword.train("bert", text, tmp_path / "origin", overrides=small, quiet=True)
        small = {"train.epochs": 1, "train.batch_size": 4}
    start = None if origin is None else origin.folder

    def train() -> nextword.Run:
        return nextword.train("bert", text, run, overrides=small | settings, start_from=start)

    if bptt is None:
        with pytest.raises(InputError, match=r"--set train\.bptt=16"):
            train()
        assert not run.exists()
        return
    assert train().config.train.bptt == bptt
    assert ("is shortened to model.context = 16" in capfd.readouterr().err) == (not settings)


def test_clipping(text: Path, tmp_path: Path) -> None:
    """With plain descent of rate 1, steps are no longer than the norm they are clipped to, and no
    weight moves further in one than the value it is clipped to."""
    common: dict[str, Any] = {
        "optimizer__name": "sgd",
        "optimizer__lr": 1.0,
        "schedule__name": "constant",
        "train__epochs": 1,
        "train__keep": "last",
        "train__batch_size": 1,
        "train__bptt": 400,
    }
    for key, value in (("train__clip", 1e-3), ("train__clip_value", 1e-4)):
        settings = common | {"train__clip": None, key: value}
        run = fit(text, tmp_path / key, **settings)
        torch.manual_seed(1)
        first = run.config.model.build(run.tokenizer.vocab_size).state_dict()
        moved = [w - first[n] for n, w in run.model.state_dict().items()]  # type: ignore[attr-defined]
        steps = -(-len(open_corpus(tmp_path / key / "data" / "train")) // 400)
        norm = float(torch.sqrt(sum(m.pow(2).sum() for m in moved)))  # type: ignore[arg-type]
        largest = max(float(m.abs().max()) for m in moved)
        if key == "train__clip":
            assert 0 < norm <= 1.01e-3 * steps
        else:
            assert 0 < largest <= 1.01e-4 * steps


@pytest.mark.parametrize("optimizer", names("optimizer"))
def test_every_optimizer_learns_and_resumes(
    optimizer: str, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"optimizer__name": optimizer, "train__epochs": 4}
    fit(text, tmp_path / "whole", **settings)
    losses = [r["nll"] for r in read_metrics(tmp_path / "whole") if "nll" in r]
    assert losses[-1] < losses[0]
    with monkeypatch.context() as patch:
        interrupt_at(patch, 9)
        with pytest.raises(Interrupted):
            fit(text, tmp_path / "parts", **settings)
    nextword.resume(tmp_path / "parts", quiet=True)
    for name in ("model.safetensors", "state.safetensors"):
        assert same_tensors(tmp_path / "whole" / name, tmp_path / "parts" / name), name


@pytest.mark.parametrize("schedule", names("schedule"))
def test_every_schedule_trains(schedule: str, text: Path, tmp_path: Path) -> None:
    fit(text, tmp_path / "run", schedule__name=schedule, train__epochs=1)


@pytest.mark.parametrize("cell", names("cell"))
def test_every_cell_and_tokenizer_trains(cell: str, text: Path, tmp_path: Path) -> None:
    for tokenizer in LEARNT:
        run = fit(
            text,
            tmp_path / tokenizer,
            model__cell=cell,
            text__tokenizer=tokenizer,
            train__epochs=1,
            train__stream="windows" if cell == "irnn" else "stripes",
        )
        assert np.isfinite(nextword.evaluate(run, text).perplexity)


def test_a_text_shorter_than_a_batch(text: Path, tmp_path: Path, capfd: Any) -> None:
    """The batch shrinks, and the training says so."""
    text.write_text("abcdefgh" * 5, encoding="utf-8")
    overrides = TINY | {"train.batch_size": 64}
    nextword.train("lstm", text, tmp_path / "run", overrides=overrides)
    assert "shorter than one batch of 64 x 10" in capfd.readouterr().err


def test_quiet_says_nothing(text: Path, tmp_path: Path, capfd: Any) -> None:
    fit(text, tmp_path / "run")
    assert capfd.readouterr() == ("", "")


def test_held_out_text(text: Path, tmp_path: Path) -> None:
    """Without validation text the end of the text is held out of training and vocabulary."""
    text.write_text("aaab\n" * 400 + "aaaz\n" * 5, encoding="utf-8")
    run = fit(text, tmp_path / "run", train__epochs=1)
    assert run.tokenizer.unknown("z") == ["z"]
    meta = [
        json.loads((tmp_path / "run" / "data" / part / "meta.json").read_text())
        for part in ("train", "valid")
    ]
    assert meta[0]["bytes"] + meta[1]["bytes"] == text.stat().st_size
    assert meta[1]["oov"] == 5


def test_start_from_another_run(text: Path, tmp_path: Path) -> None:
    """--from keeps vocabulary, model settings and weights, on another text."""
    first = fit(text, tmp_path / "first")
    other = tmp_path / "other.txt"
    other.write_text("the cat ate the mat .\nQ\n" * 10, encoding="utf-8")
    second = nextword.train(
        "gru",
        other,
        tmp_path / "second",
        overrides={"train.epochs": 1, "optimizer.lr": 1e-30, "schedule.name": "constant"},
        start_from=tmp_path / "first",
        quiet=True,
    )
    assert second.tokenizer.to_json() == first.tokenizer.to_json()
    assert second.config.model == first.config.model
    weights = second.model.state_dict()  # type: ignore[attr-defined]
    for name, value in first.model.state_dict().items():  # type: ignore[attr-defined]
        torch.testing.assert_close(weights[name], value)


def test_pretrained_vectors(text: Path, tmp_path: Path) -> None:
    """The rows of known words point where the file says; others are left alone."""
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("cat 1 0 0\ndog 0 2 0\nzebra 0 0 1\n", encoding="utf-8")
    settings = {
        "text__tokenizer": "word",
        "text__vectors": str(vectors),
        "model__embedding": 3,
        "train__epochs": 1,
        "optimizer__lr": 1e-30,
        "optimizer__weight_decay": 0.0,
    }
    run = fit(text, tmp_path / "run", **settings)
    rows = run.model.embedding.weight.detach()  # type: ignore[attr-defined]
    cat, dog = (rows[run.tokenizer.known(word)] for word in ("cat", "dog"))
    assert cat[0] > 0
    torch.testing.assert_close(cat / cat.norm(), torch.tensor([1.0, 0, 0]))
    torch.testing.assert_close(dog, 2 * cat[[1, 0, 2]])
    with pytest.raises(InputError, match="embedding=3"):
        fit(text, tmp_path / "other", **(settings | {"model__embedding": 8}))
    assert not (tmp_path / "other").exists()


def test_windows_are_used_with_window(text: Path, tmp_path: Path) -> None:
    """A model trained on windows of 5 predicts from 5 tokens wherever it is used."""
    run = fit(text, tmp_path / "run", "irnn", train__bptt=5, model__hidden=8)
    assert isinstance(run.model, Windowed)
    assert run.model.context == 5
    assert "window:5" in nextword.evaluate(run, text).signature


def test_bfloat16(text: Path, tmp_path: Path) -> None:
    """Mixed precision trains to about the same loss."""
    losses = []
    for precision in ("fp32", "bf16"):
        fit(text, tmp_path / precision, train__precision=precision, train__epochs=4)
        losses.append(read_metrics(tmp_path / precision)[-1]["valid_nll"])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_step_by_step_backend_gives_the_same_training(text: Path, tmp_path: Path) -> None:
    losses = []
    for backend in ("torch", "step"):
        fit(text, tmp_path / backend, train__backend=backend)
        losses.append(read_metrics(tmp_path / backend)[-1]["valid_nll"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_tensorboard(text: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    fit(text, tmp_path / "run", train__tensorboard=True, train__epochs=1)
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_unigram_counts(text: Path, tmp_path: Path) -> None:
    """All of the text is counted, nothing of it held out."""
    settings = {"text.tokenizer": "char"}
    run = nextword.train("unigram", text, tmp_path / "run", overrides=settings, quiet=True)
    valid = text.read_text()
    best = max(set(valid), key=valid.count)
    result = nextword.evaluate(run, text)
    assert result.accuracy == pytest.approx(valid.count(best) / len(valid))
    size = len(valid) + run.tokenizer.vocab_size
    nll = -sum(valid.count(char) * math.log((valid.count(char) + 1) / size) for char in set(valid))
    assert result.nll == pytest.approx(nll, rel=1e-5)
    assert not (tmp_path / "run" / "data").exists()


def test_learning_rate_finder(text: Path, tmp_path: Path) -> None:
    """The suggestion lies between a rate that does nothing and one that blows up."""
    overrides = TINY | {"optimizer.name": "sgd", "schedule.name": "constant"}
    found = range_test(Request.of("lstm", text, overrides=overrides), steps=60, low=1e-4, high=1e3)
    assert 1e-3 < found.suggestion < 1e2
    assert found.lr == sorted(found.lr)
    found.draw(tmp_path / "lr.png")
    assert (tmp_path / "lr.png").stat().st_size > 1000
    with pytest.raises(InputError, match="below"):
        range_test(Request.of("lstm", text, overrides=overrides), low=1.0, high=0.1)


@pytest.mark.usefixtures("pictures")
def test_a_curve_is_drawn(text: Path, tmp_path: Path) -> None:
    fit(text, tmp_path / "run")
    assert (tmp_path / "run" / "plots" / "training.png").stat().st_size > 1000


def test_arithmetic_is_left_as_it_was(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers near zero are flushed to it while training, for speed; not after it, nor after an
    interruption."""
    near_zero = torch.tensor(2e-308, dtype=torch.float64)
    seen = []
    original = loop.backward

    def backward(*args: Any) -> Any:
        seen.append(float(near_zero / 4))
        return original(*args)

    monkeypatch.setattr(loop, "backward", backward)
    fit(text, tmp_path / "run")
    assert set(seen) == {0.0}
    assert float(near_zero / 4) > 0
    interrupt_at(monkeypatch, 2)
    with pytest.raises(Interrupted):
        fit(text, tmp_path / "other")
    assert float(near_zero / 4) > 0


def test_training_says_what_runs_its_layers(
    text: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Once, with the widths, and as `train.backend` has it."""
    for backend, words in (("fast", "our loops"), ("step", "step by step")):
        nextword.train(
            "lstm",
            text,
            tmp_path / backend,
            overrides=TINY | {"train.backend": backend, "train.epochs": 2},
        )
        said = capfd.readouterr().err
        assert said.count(f": {words}") == 1
        assert "LSTM" in said


def test_precision_is_named_in_the_run_and_learns(text: Path, tmp_path: Path) -> None:
    """bf16 changes the products alone: the weights stay float32 and the loss is near."""
    losses = []
    for precision in ("fp32", "bf16"):
        out = tmp_path / precision
        fit(text, out, train__precision=precision, train__backend="fast", train__epochs=3)
        weights, _ = read_tensors(out / "model.safetensors")
        assert {w.dtype for w in weights.values()} == {torch.float32}
        losses.append(min(r["valid_nll"] for r in read_metrics(out) if "valid_nll" in r))
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0] != losses[1]


# ---------------------------------------------------------------- streams and passes


@pytest.mark.parametrize("stream", [name for name in names("stream") if name not in OTHERS])
def test_an_epoch_is_a_whole_pass(stream: str, text: Path, tmp_path: Path) -> None:
    """As many passes as asked for, each over every token, each with a validation at its end;
    however many batches it takes."""
    fit(text, tmp_path / "run", train__stream=stream, train__epochs=6)
    records = read_metrics(tmp_path / "run")
    validations = [r for r in records if "valid_nll" in r]
    assert [r["epoch"] for r in validations] == [0, 1, 2, 3, 4, 5]
    one = validations[0]["tokens"]
    assert [r["tokens"] for r in validations] == [one * count for count in range(1, 7)]
    if stream == "variable":
        steps = np.diff([0, *(r["step"] for r in validations)])
        assert len(set(steps)) > 1


@pytest.mark.parametrize("stream", [name for name in names("stream") if name not in OTHERS])
def test_resuming_a_finished_training_changes_nothing(
    stream: str, text: Path, tmp_path: Path
) -> None:
    """Not a weight, and nothing of where it stands."""
    fit(text, tmp_path / "run", train__stream=stream, train__epochs=3)
    kept = ("model.safetensors", "metrics.jsonl", "config.json")
    before = [(tmp_path / "run" / name).read_bytes() for name in kept]
    state = read_tensors(tmp_path / "run" / "state.safetensors")
    nextword.resume(tmp_path / "run", quiet=True)
    assert [(tmp_path / "run" / name).read_bytes() for name in kept] == before
    tensors, meta = read_tensors(tmp_path / "run" / "state.safetensors")
    assert meta == state[1]
    torch.testing.assert_close(tensors, state[0], atol=0, rtol=0)


@pytest.mark.parametrize("stream", ["stripes", "variable"])
def test_the_learning_rate_goes_by_the_length_of_a_batch(
    stream: str, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variable lengths L: the optimizer steps with the schedule's rate times L / bptt. Stripes:
    with the schedule's, the last batch of a pass too."""
    lengths, rates = [], []
    backward, step = loop.backward, optim.SGD.step

    def watched_backward(training: Training, batch: Batch, state: State) -> Any:
        lengths.append(batch.ids.shape[1])
        return backward(training, batch, state)

    def watched_step(self: optim.Optimizer, *args: Any, **named: Any) -> Any:
        rates.append([group["lr"] for group in self.param_groups])
        return step(self, *args, **named)

    monkeypatch.setattr(loop, "backward", watched_backward)
    monkeypatch.setattr(optim.SGD, "step", watched_step)
    fit(
        text,
        tmp_path / "run",
        train__stream=stream,
        train__epochs=4,
        optimizer__name="sgd",
        optimizer__lr=0.5,
        schedule__name="milestones",
        schedule__at=[0.5],
    )
    assert len(lengths) == len(rates) > 40
    assert len(set(lengths)) > (5 if stream == "variable" else 1)
    factors = [
        rate / 0.5 / (length / 10 if stream == "variable" else 1)
        for length, (rate,) in zip(lengths, rates, strict=True)
    ]
    early = sum(factor > 0.5 for factor in factors)
    assert 0.4 < early / len(factors) < 0.6
    assert factors == pytest.approx([1] * early + [0.1] * (len(factors) - early))


# ---------------------------------------------------------------- sequences longer than the text


def short_text(folder: Path) -> Path:
    """Forty characters."""
    (folder / "short.txt").write_text("abcdefgh" * 5, encoding="utf-8")
    return folder / "short.txt"


def train(capfd: Any, text: Path, out: Path, recipe: str, *settings: str) -> tuple[int, str]:
    """Status and standard error of `nextword train`, the model a small one."""
    small = ["text.tokenizer=char", "model.hidden=8", "model.embedding=8", "train.epochs=1"]
    options = [part for setting in (*small, *settings) for part in ("--set", setting)]
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["train", recipe, "--train", str(text), "--out", str(out), "--overwrite", *options])
    return int(end.value.code or 0), capfd.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "settings", "bptt"),
    [
        ("lstm", ["train.bptt=41"], 41),
        ("lstm", ["train.bptt = 1000"], 1000),
        ("irnn", ["train.bptt=41"], 41),
        ("lstm", ["train.bptt=41", "train.stream=variable"], 41),
        ("lstm", ["train.stream=variable"], 64),
        ("awd-lstm-ptb", [], 70),
        ("awd-lstm-char", ["train.epochs=2"], 150),
    ],
)
def test_sequences_longer_than_the_text_are_refused(
    recipe: str, settings: list[str], bptt: int, tmp_path: Path, capfd: Any
) -> None:
    """If somebody set the length, or the learning rate goes by it: status 2 and one line whose
    advice works. Nothing is left behind, and what was there stays."""
    text = short_text(tmp_path)
    status, said = train(capfd, text, tmp_path / "new", recipe, *settings)
    assert (status, said.count("\n")) == (2, 1)
    assert f"train.bptt = {bptt} is longer than the training text of 40 tokens" in said
    assert list(tmp_path.iterdir()) == [text]
    advice = said.strip().rpartition("--set ")[2]
    assert advice == "train.bptt=10"
    rest = [setting for setting in settings if "bptt" not in setting]
    assert train(capfd, text, tmp_path / "new", recipe, *rest, advice)[0] == 0
    before = (tmp_path / "new" / "model.safetensors").read_bytes()
    assert train(capfd, text, tmp_path / "new", recipe, *settings)[0] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "short.txt"]
    assert (tmp_path / "new" / "model.safetensors").read_bytes() == before
    overrides = {"text.tokenizer": "char", "train.stream": "variable", "train.bptt": bptt}
    with pytest.raises(InputError, match=f"{bptt} is longer"):
        nextword.train(recipe, text, tmp_path / "other", overrides=overrides, quiet=True)


@pytest.mark.parametrize("settings", [[], ["train.bptt=40"], ["train.bptt=40", "train.epochs=2"]])
def test_a_default_longer_than_the_text_is_cut(
    settings: list[str], tmp_path: Path, capfd: Any
) -> None:
    """With a note; a length that just fits is nobody's mistake."""
    status, said = train(capfd, short_text(tmp_path), tmp_path / "run", "lstm", *settings)
    assert status == 0
    assert "shorter than one batch" in said
    assert "using 1 x 40" in said


def test_a_length_in_a_recipe_of_ones_own_is_a_default(tmp_path: Path, capfd: Any) -> None:
    """It is cut; for stripes alone."""
    mine = tmp_path / "mine.toml"
    mine.write_text("[train]\nbptt = 1000\n", encoding="utf-8")
    status, said = train(capfd, short_text(tmp_path), tmp_path / "run", str(mine))
    assert status == 0 and "using 1 x 40" in said
    mine.write_text('[train]\nbptt = 1000\nstream = "variable"\n', encoding="utf-8")
    status, said = train(capfd, short_text(tmp_path), tmp_path / "run", str(mine))
    assert status == 2 and "longer than the training text" in said


# ---------------------------------------------------------------- published recipes


@pytest.mark.parametrize("recipe", sorted(path.stem for path in RECIPES.glob("awd-*.toml")))
def test_published_recipes_train(recipe: str, text: Path, tmp_path: Path) -> None:
    """A few steps with everything but the size as it is: every weight moves, to a finite place."""
    small = {"train.batch_size": 4, "train.bptt": 10, "train.epochs": 1}
    small |= {"model.hidden": 12, "model.embedding": 8}
    run = nextword.train(recipe, text, tmp_path / "run", overrides=small, quiet=True)
    records = read_metrics(tmp_path / "run")
    assert max(r["step"] for r in records) >= 2
    assert all(math.isfinite(r["valid_nll"]) for r in records if "valid_nll" in r)
    assert math.isfinite(nextword.evaluate(run, text).perplexity)
    torch.manual_seed(1)
    first = run.config.model.build(run.tokenizer.vocab_size).state_dict()
    assert sum(name.startswith("stack") for name in first) >= 9  # W, U and b of three layers
    for name, weight in run.model.state_dict().items():  # type: ignore[attr-defined]
        assert torch.isfinite(weight).all()
        assert not torch.equal(weight, first[name]), name


def test_a_start_that_is_never_beaten_is_kept(text: Path, tmp_path: Path) -> None:
    """A training from another run's weights asks first how good they are, and keeps them if
    nothing better comes."""
    fit(text, tmp_path / "start", train__epochs=6)
    overrides = {
        "train.epochs": 1,
        "train.batch_size": 4,
        "train.bptt": 10,
        "optimizer.name": "sgd",
        "optimizer.lr": 100.0,
        "train.clip": None,
    }
    start = tmp_path / "start"
    nextword.train(
        "lstm", text, tmp_path / "worse", overrides=overrides, start_from=start, quiet=True
    )
    first = next(r for r in read_metrics(tmp_path / "worse") if "valid_nll" in r)
    assert first["step"] == 0
    before, _ = read_tensors(tmp_path / "start" / "model.safetensors")
    after, _ = read_tensors(tmp_path / "worse" / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
