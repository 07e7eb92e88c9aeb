"""Averaged weights: when the mean begins, what it is of, who sees it, and that it can be saved."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn, optim

import nextword
from nextword.errors import Interrupted
from nextword.files import read_tensors
from nextword.tasks.results import Validation
from nextword.training.loop.averaging import Average, worsening
from nextword.training.loop.journal import read_metrics
from nextword.training.loop.training import Training
from tests.support import interrupt_at

TINY: dict[str, Any] = {
    "text.tokenizer": "char",
    "model.hidden": 12,
    "model.embedding": 8,
    "model.embedding_std": 0.05,
    "model.dropout_hidden": 0.3,
    "model.dropout_weight": 0.2,
    "train.epochs": 2,
    "train.batch_size": 4,
    "train.bptt": 10,
    "train.patience": None,
    "train.eval_every": 2,
    "train.non_monotone": 2,
    "optimizer.name": "sgd",
    "optimizer.lr": 0.5,
    "optimizer.weight_decay": 1e-3,
    "schedule.name": "constant",
}
STEPS, ROUNDS = 26, 13  # of such a training: 13 steps an epoch, a validation every other step
FALLING = [5 - 0.1 * index for index in range(ROUNDS)]


def algorithm_1(losses: list[float], n: int) -> int | None:
    """Merity et al. 2017, algorithm 1, as its authors have corrected it (the best of all but the
    last n): how many validations have been done when averaging begins."""
    logs: list[float] = []
    for t, v in enumerate(losses):
        if t > n:
            best = logs[0]
            for position in range(t - n):
                best = logs[position] if logs[position] < best else best
            if v > best:
                return t + 1
        logs.append(v)
    return None


# ---------------------------------------------------------------------------------- when it begins


@given(st.lists(st.one_of(st.floats(0, 9), st.integers(0, 4)), max_size=15), st.integers(1, 6))
def test_worsening_is_algorithm_1(losses: list[float], n: int) -> None:
    """At every validation of any history, up to the one that begins the averaging."""
    first = next((t for t in range(len(losses) + 1) if t and worsening(losses[:t], n)), None)
    assert first == algorithm_1(losses, n)


@pytest.mark.parametrize(
    ("history", "n", "expected"),
    [
        ([], 1, False),
        ([3], 1, False),
        ([3, 4], 1, False),
        ([3, 4, 5], 1, True),
        ([3, 2, 3], 1, False),  # no worse than the best but the last one: 3
        ([3, 2, 3.1], 1, True),
        ([3, 2, 1, 2.5], 1, True),
        ([3, 2, 1, 2.5], 2, False),
        ([3, 2, 1, 3], 2, False),
        ([3, 2, 1, 3.5], 2, True),
        ([1, 2, 2, 2, 2, 2], 5, False),
        ([1, 2, 2, 2, 2, 2, 2], 5, True),
        ([2, 1, 1, 1, 1, 1, 1], 5, False),
        ([9, 1, 1, 1, 1, 1, 5], 5, False),
        ([9, 1, 1, 1, 1, 1, 1, 5], 5, True),
    ],
)
def test_worsening_by_hand(history: list[float], n: int, expected: bool) -> None:
    """Worse than the best of those more than n before; too short a history is never worse."""
    assert worsening(history, n) is expected
    assert worsening(tuple(history), n) is expected


# ------------------------------------------------------------------------------------ what it is of


def weights_of(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [p.detach().clone() for p in parameters]


def some_parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((5, 3), (4,), ())]


def descents(
    parameters: list[nn.Parameter], optimizer: optim.Optimizer, steps: int
) -> list[list[Tensor]]:
    """The weights after each of some steps down a bowl, the same slopes every time."""
    generator = torch.Generator().manual_seed(2)
    iterates = []
    for _ in range(steps):
        for parameter in parameters:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.grad = parameter.detach() + noise
        optimizer.step()
        iterates.append(weights_of(parameters))
    return iterates


def mean(iterates: list[list[Tensor]]) -> list[Tensor]:
    parts = zip(*iterates, strict=True)
    return [torch.stack(part).double().mean(dim=0).float() for part in parts]


def same(found: list[Tensor], expected: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("begin", [0, 1, 4, 9])
def test_mean_of_the_iterates(begin: int) -> None:
    """The arithmetic mean of the weights after each step since the beginning; the weights are
    where they would be without it."""
    alone = some_parameters()
    iterates = descents(alone, optim.SGD(alone, lr=0.1), 10)
    parameters = some_parameters()
    average = Average(parameters)
    generator = torch.Generator().manual_seed(2)
    optimizer = optim.SGD(parameters, lr=0.1)
    for index in range(10):
        if index == begin:
            assert not average.begun
            average.begin()
            assert average.begun
            assert same(average.means, weights_of(parameters))
        for parameter in parameters:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.grad = parameter.detach() + noise
        optimizer.step()
        average.update()
        assert same(weights_of(parameters), iterates[index])
        if index >= begin:
            assert average.steps == index + 1 - begin
            torch.testing.assert_close(average.means, mean(iterates[begin : index + 1]))
        if index == begin:
            assert same(average.means, iterates[index])
    assert not any(value.requires_grad for value in average.means)


@pytest.mark.parametrize("decay", [0.0, 0.05])
@pytest.mark.parametrize("t0", [0, 1, 5])
def test_mean_of_torchs_asgd(t0: int, decay: float) -> None:
    """torch's ASGD without its decay: the same weights after plain SGD, and the same mean. (Its
    first mean is of step t0 + 2, for its rate lags a step behind.)"""
    theirs, ours = some_parameters(), some_parameters()
    asgd = optim.ASGD(theirs, lr=0.1, lambd=0, t0=t0, weight_decay=decay)
    sgd = optim.SGD(ours, lr=0.1, weight_decay=decay)
    iterates = descents(ours, sgd, 12)
    average = Average(ours)
    for count in range(1, 13):
        for parameter, value in zip(ours, iterates[count - 1], strict=True):
            parameter.data.copy_(value)
        if count == t0 + 2:
            average.begin()
        average.update()
    torch.testing.assert_close(descents(theirs, asgd, 12), iterates)
    torch.testing.assert_close(average.means, [asgd.state[p]["ax"] for p in theirs])
    assert not torch.allclose(average.means[0], iterates[-1][0], atol=1e-3)


def test_nothing_is_averaged_before_it_begins() -> None:
    """Updates do nothing, and within `applied` the weights are the weights."""
    parameters = some_parameters()
    average = Average(iter(parameters))
    before = weights_of(parameters)
    average.update()
    assert (average.begun, average.steps, average.means) == (False, 0, [])
    with average.applied():
        assert same(weights_of(parameters), before)
    assert same(weights_of(parameters), before)


@pytest.mark.parametrize("fails", [None, ValueError, KeyboardInterrupt])
def test_the_mean_is_lent_and_taken_back(fails: type[BaseException] | None) -> None:
    """Within `applied` the parameters hold the mean, afterwards what they held, to the last bit
    and in the same place, however it ends."""
    parameters = some_parameters()
    average = Average(parameters)
    average.begin()
    optimizer = optim.SGD(parameters, lr=0.1)
    for _ in range(3):
        descents(parameters, optimizer, 1)
        average.update()
    plain, means = weights_of(parameters), [value.clone() for value in average.means]
    places = [p.data_ptr() for p in parameters]
    assert not same(plain, means)
    for _ in range(2):
        with pytest.raises(fails) if fails else nullcontext(), average.applied():
            assert same(weights_of(parameters), means)
            assert [p.data_ptr() for p in parameters] == places
            if fails:
                raise fails
        assert same(weights_of(parameters), plain)
        assert [p.data_ptr() for p in parameters] == places
        assert same(average.means, means)
        assert average.steps == 3
        assert all(p.requires_grad for p in parameters)


@pytest.mark.parametrize("last", [1, 2, 4])
def test_mean_of_the_last_checkpoints(last: int) -> None:
    """Of as many of the latest as there are, and no others are held; steps in between count for
    nothing. A validation that is done again takes the place of the one before."""
    parameters = some_parameters()
    average = Average(parameters, last)
    optimizer = optim.SGD(parameters, lr=0.1)
    assert not average.begun
    seen: dict[int, list[Tensor]] = {}
    for step in (3, 5, 5, 8, 13):
        descents(parameters, optimizer, 2)
        average.checkpoint(step)
        seen[step] = weights_of(parameters)
        latest = dict(sorted(seen.items())[-last:])
        assert average.begun and average.checkpoints.keys() == latest.keys()
        torch.testing.assert_close(average.means, mean(list(latest.values())))
        before = [value.clone() for value in average.means]
        descents(parameters, optimizer, 1)
        average.update()
        assert same(average.means, before) and average.steps == 0


def test_no_checkpoints_are_held_unless_they_are_averaged() -> None:
    """Neither before a mean of all steps begins nor after."""
    parameters = some_parameters()
    average = Average(parameters)
    average.checkpoint(1)
    assert not average.begun and not average.checkpoints
    average.begin()
    descents(parameters, optim.SGD(parameters, lr=0.1), 1)
    average.checkpoint(2)
    assert not average.checkpoints and same(average.means, weights_of(some_parameters()))


# ---------------------------------------------------------------------------------- whole trainings


def fit(text: Path, out: Path, quiet: bool = True, **settings: Any) -> nextword.Run:
    overrides = TINY | {key.replace("__", "."): value for key, value in settings.items()}
    average, stops = overrides.get("train.average"), overrides.get("train.non_monotone_stop")
    if average != "non-monotone" and not stops:
        del overrides["train.non_monotone"]  # it would do nothing
    return nextword.train("lstm", text, out, overrides=overrides, quiet=quiet)


Weights = dict[str, Tensor]


def script(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> list[Weights]:
    """Validations give these losses, then the last one, in every training and wherever it is
    resumed; the weights that each of them sees."""
    seen: list[Weights] = []

    def validate(self: Training) -> Validation:
        seen.append({name: w.detach().clone() for name, w in self.model.state_dict().items()})
        loss = losses[min(len(validations(self.folder)), len(losses) - 1)]
        return Validation(loss, {"perplexity": math.exp(loss), "accuracy": 0.5})

    monkeypatch.setattr(Training, "validate", validate)
    return seen


def validations(run: Path) -> list[float]:
    return [r["valid_nll"] for r in read_metrics(run) if "valid_nll" in r]


def iterates_of(monkeypatch: pytest.MonkeyPatch) -> list[list[Tensor]]:
    """The weights after each step of the optimizer from now on."""
    iterates: list[list[Tensor]] = []
    original: Callable[..., Any] = optim.SGD.step

    def step(self: optim.Optimizer, *given: Any, **named: Any) -> Any:
        answer = original(self, *given, **named)
        iterates.append(weights_of(self.param_groups[0]["params"]))
        return answer

    monkeypatch.setattr(optim.SGD, "step", step)
    return iterates


def kept(run: Path) -> Weights:
    """The weights of a run, in the order of its parameters."""
    weights: Weights = nextword.load(run).model.state_dict()  # type: ignore[attr-defined]
    return weights


def saved(run: Path) -> tuple[Weights, dict[str, Any]]:
    """The state of a training without the mean, and where it stands."""
    tensors, meta = read_tensors(run / "state.safetensors")
    plain = {name: value for name, value in tensors.items() if not name.startswith("average.")}
    return plain, meta["standing"]


def same_run(a: Path, b: Path) -> None:
    """Weights, mean, optimizer, random state, standing and validations, to the last bit."""
    for name in ("model.safetensors", "state.safetensors"):
        (one, first), (other, second) = (read_tensors(run / name) for run in (a, b))
        assert one.keys() == other.keys()
        assert [key for key in one if not torch.equal(one[key], other[key])] == []
        for meta in (first, second):
            for key in ("seconds", "metrics_bytes"):
                meta.get("standing", {}).pop(key, None)
        assert first == second
    assert validations(a) == validations(b)


def near(found: Weights, expected: list[Tensor]) -> None:
    torch.testing.assert_close(list(found.values()), expected)


@pytest.mark.parametrize(
    ("losses", "n"),
    [
        ([5, 4, 3, 2, 6, 1], 2),
        ([3, 4, 4, 4, 5], 2),
        ([3, 2, 3, 3.5, 1], 1),
        ([3, 2.9, 2.8, 2.9, 2.85, 2.8, 2.95, 2], 2),
        ([1, 2, 2, 2, 2, 2, 2, 1], 5),
        ([*FALLING[:11], 9], 3),
    ],
)
def test_averaging_begins_when_validation_gets_no_better(
    losses: list[float],
    n: int,
    text: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """At the validation that algorithm 1 says, which sees the plain weights; all later ones see
    the mean of the steps since then. It is said once."""
    seen = script(monkeypatch, losses)
    iterates = iterates_of(monkeypatch)
    settings = {"train__average": "non-monotone", "train__non_monotone": n, "train__keep": "last"}
    fit(text, tmp_path / "run", quiet=False, **settings)
    begin = algorithm_1(losses, n)
    assert begin is not None and len(seen) == ROUNDS
    for index, weights in enumerate(seen, start=1):
        step = 2 * index
        if index <= begin:
            near(weights, iterates[step - 1])
        else:
            near(weights, mean(iterates[2 * begin : step]))
    _, standing = saved(tmp_path / "run")
    assert standing["averaged_from"] == begin
    assert standing["averaged_steps"] == STEPS - 2 * begin
    assert capfd.readouterr().err.count("averaging weights from here on") == 1


@pytest.mark.parametrize("average", ["non-monotone", "none"])
def test_averaging_may_never_begin(
    average: str,
    text: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As long as validation gets better, or where nobody asked for it."""
    seen = script(monkeypatch, FALLING if average != "none" else FALLING[::-1])
    iterates = iterates_of(monkeypatch)
    fit(text, tmp_path / "run", quiet=False, train__average=average)
    assert len(seen) == ROUNDS
    near(seen[-1], iterates[-1])
    tensors, _ = read_tensors(tmp_path / "run" / "state.safetensors")
    assert not any(name.startswith("average.") for name in tensors)
    assert "averaging weights" not in capfd.readouterr().err


def test_training_goes_on_from_the_plain_weights(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run keeps the mean; all else of a training, from its weights to its random numbers, is
    that of one without averaging, to the last bit."""
    script(monkeypatch, [3, 3, 3, 4])
    for average in ("none", "non-monotone", "always"):
        iterates = iterates_of(monkeypatch)
        fit(text, tmp_path / average, train__average=average, train__keep="last")
        first = {"none": STEPS - 1, "non-monotone": 8, "always": 0}[average]
        near(kept(tmp_path / average), mean(iterates[first:]))
    plain, standing = saved(tmp_path / "none")
    for average in ("non-monotone", "always"):
        found, other = saved(tmp_path / average)
        assert found.keys() == plain.keys()
        assert [name for name in plain if not torch.equal(found[name], plain[name])] == []
        assert other["history"] == standing["history"]
        for name, weight in kept(tmp_path / average).items():
            assert not torch.equal(weight, plain[f"model.{name}"])


@pytest.mark.parametrize("accumulate", [1, 3])
def test_always_averages_from_the_first_step(
    accumulate: int, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step of the optimizer counts once, however many batches it is made of."""
    seen = script(monkeypatch, FALLING)
    iterates = iterates_of(monkeypatch)
    fit(text, tmp_path / "run", train__average="always", train__accumulate=accumulate)
    assert len(iterates) == STEPS // accumulate
    for index, weights in enumerate(seen, start=1):
        done = 2 * index // accumulate
        near(weights, mean(iterates[:done]) if done else list(weights.values()))
    assert saved(tmp_path / "run")[1]["averaged_steps"] == STEPS // accumulate
    near(kept(tmp_path / "run"), mean(iterates))


def test_the_best_mean_is_kept(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """keep=best: what the best validation saw, and what a run is when it is loaded."""
    seen = script(monkeypatch, [3, 3, 2, 3, 2.5, 1, 1.5, 2])
    fit(text, tmp_path / "run", train__average="always")
    found = kept(tmp_path / "run")
    assert all(torch.equal(found[name], value) for name, value in seen[5].items())


def test_the_mean_of_the_last_validations(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """average=checkpoints: every validation sees the mean of the weights at the last three, its own
    among them, and the run keeps the mean at the last."""
    seen = script(monkeypatch, FALLING)
    iterates = iterates_of(monkeypatch)
    fit(text, tmp_path / "run", train__average="checkpoints", train__checkpoints=3)
    assert len(seen) == ROUNDS
    at = iterates[1::2]  # a validation every other step
    for index, weights in enumerate(seen):
        near(weights, mean(at[max(0, index - 2) : index + 1]))
    near(kept(tmp_path / "run"), mean(at[-3:]))


def test_without_validation_the_mean_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text too short to hold any of it out."""
    (tmp_path / "short.txt").write_text("abcdefgh" * 5, encoding="utf-8")
    iterates = iterates_of(monkeypatch)
    fit(tmp_path / "short.txt", tmp_path / "run", train__average="always", train__batch_size=2)
    assert len(iterates) == 4 and not validations(tmp_path / "run")
    near(kept(tmp_path / "run"), mean(iterates))


# ---------------------------------------------------------------------------------- the stop rule


def expected_end(losses: list[float], n: int, average: str) -> int | None:
    """Validations done when a training is to stop: algorithm 1 again, over those since averaging
    began."""
    first = algorithm_1(losses, n) if average == "non-monotone" else 0
    if first is None:
        return None
    since = algorithm_1(losses[first:], n)
    return None if since is None else first + since


STOPS = [
    [3, 4, 4, 4, 5],
    [3, 4, 4, 5, 2, 1, 1.5, 2.5, 1, 3, 0.5],
    [5, 4, 3, 2, 6, 5, 4, 3, 2, 1, 5.5, 1],
    [*FALLING[:-1], 9],
    FALLING,
]


@pytest.mark.parametrize("average", ["none", "always", "non-monotone"])
@pytest.mark.parametrize("losses", STOPS)
def test_a_training_stops_when_it_gets_no_better(
    losses: list[float],
    average: str,
    text: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the validation that the rule says, counting from where averaging began; not where it
    begins. There it stays, whoever resumes it, with however many epochs."""
    losses = losses + losses[-1:] * (ROUNDS - len(losses))
    script(monkeypatch, [*losses, *(0.1 - 0.001 * index for index in range(7))])
    settings = {"train__average": average, "train__non_monotone_stop": True}
    fit(text, tmp_path / "run", **settings)
    end = expected_end(losses, 2, average)
    assert len(validations(tmp_path / "run")) == (end or ROUNDS)
    before = saved(tmp_path / "run")[0], kept(tmp_path / "run")
    for more in ({}, {"train.epochs": 3}):
        nextword.resume(tmp_path / "run", overrides=more, quiet=True)
        after = saved(tmp_path / "run")[0], kept(tmp_path / "run")
        if end or not more:
            assert len(validations(tmp_path / "run")) == (end or ROUNDS)
            torch.testing.assert_close(after, before, atol=0, rtol=0)
        else:
            assert len(validations(tmp_path / "run")) == 20


def test_a_training_that_need_not_stop_does_not(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule is for who asks for it."""
    script(monkeypatch, FALLING[::-1])
    fit(text, tmp_path / "run", train__average="non-monotone")
    assert len(validations(tmp_path / "run")) == ROUNDS


# -------------------------------------------------------------------------------------- going on

RESUMED: dict[str, dict[str, Any]] = {
    "non-monotone": {"train__average": "non-monotone"},
    "always": {"train__average": "always"},
    "stopping": {"train__average": "non-monotone", "train__non_monotone_stop": True},
    "accumulate": {"train__average": "non-monotone", "train__accumulate": 3},
    "checkpoints": {"train__average": "checkpoints", "train__checkpoints": 3},
}


@pytest.mark.parametrize("variant", RESUMED)
@pytest.mark.parametrize("call", [3, 8, 9, 15])
def test_resume_is_bit_identical(
    variant: str, call: int, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C before averaging begins (at step 8), just then and after it: weights, mean and all
    else are those of a training never interrupted."""
    losses: list[float] = [3, 4, 4, 5, 4, 3, 3, 3, 3, 3, 4.5, 1]
    assert algorithm_1(losses, 2) == 4 and expected_end(losses, 2, "non-monotone") == 11
    script(monkeypatch, losses)
    fit(text, tmp_path / "whole", **RESUMED[variant])
    with monkeypatch.context() as patch:
        interrupt_at(patch, call)
        with pytest.raises(Interrupted):
            fit(text, tmp_path / "parts", **RESUMED[variant])
    torch.manual_seed(999)  # whatever happened since must not matter
    nextword.resume(tmp_path / "parts", quiet=True)
    same_run(tmp_path / "whole", tmp_path / "parts")
    _, standing = saved(tmp_path / "parts")
    assert (standing["averaged_steps"] > 0) == (variant != "checkpoints")
    assert len(standing["history"]) == (11 if variant == "stopping" else ROUNDS)


def test_more_epochs_go_on_with_the_mean(text: Path, tmp_path: Path) -> None:
    """A training that was finished and gets more epochs is the one that had them from the start."""
    fit(text, tmp_path / "whole", train__average="always", train__epochs=3)
    fit(text, tmp_path / "parts", train__average="always")
    nextword.resume(tmp_path / "parts", overrides={"train.epochs": 3}, quiet=True)
    same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("call", [1, 3, 5])
def test_ctrl_c_in_a_validation_saves_the_plain_weights(
    call: int, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parameters hold the mean just then."""
    fit(text, tmp_path / "whole", train__average="always")
    original = Training.validate
    calls = 0

    def validate(self: Training) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "validate", validate)
        with pytest.raises(Interrupted):
            fit(text, tmp_path / "parts", train__average="always")
    nextword.resume(tmp_path / "parts", quiet=True)
    same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("copy", [2, 8, 10, 16])
def test_ctrl_c_while_weights_change_places(
    copy: int, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With some parameters holding the mean and some not, on the way there or back."""
    fit(text, tmp_path / "whole", train__average="always")
    parameters = len(kept(tmp_path / "whole"))
    assert parameters == 8
    original: Callable[..., Any] = nn.Parameter.copy_
    copies = 0

    def copy_(self: nn.Parameter, *given: Any) -> Any:
        nonlocal copies
        copies += 1
        if copies == 2 * parameters + copy:  # at the second validation
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(nn.Parameter, "copy_", copy_)
        with pytest.raises(Interrupted):
            fit(text, tmp_path / "parts", train__average="always")
    nextword.resume(tmp_path / "parts", quiet=True)
    same_run(tmp_path / "whole", tmp_path / "parts")
