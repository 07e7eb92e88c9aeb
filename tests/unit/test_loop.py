"""The loop: what it hands from batch to batch, and when it saves."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import nextword
from nextword.config import configure
from nextword.errors import TrainingError
from nextword.files import read_tensors
from nextword.run import STATE, WEIGHTS
from nextword.state import leaves
from nextword.tasks.results import Validation
from nextword.text.corpus import Corpus, Counts
from nextword.training.loop import loop
from nextword.training.loop.journal import read_metrics
from nextword.training.loop.standing import Standing
from nextword.training.loop.training import Training
from nextword.types import Batch, State
from tests.support import NO_WORDS, STORY, interrupt_at, text_ids

TINY: dict[str, Any] = {
    "text.tokenizer": "char",
    "model.hidden": 8,
    "model.embedding": 8,
    "model.layers": 1,
    "train.epochs": 2,
    "train.batch_size": 4,
    "train.bptt": 10,
}


def train(out: Path, **settings: Any) -> nextword.Run:
    text = out.parent / "story.txt"
    text.write_text(STORY, encoding="utf-8")
    overrides = TINY | {key.replace("__", "."): value for key, value in settings.items()}
    return nextword.train("lstm", text, out, valid=text, overrides=overrides, quiet=True)


@pytest.mark.parametrize("stream", ["stripes", "variable", "windows"])
def test_the_state_goes_on_where_the_batch_does(
    stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that continues gets the values of the last state, cut off from the graph; any other
    begins with none."""
    original = loop.learner
    calls: list[tuple[bool, State, State]] = []

    def learner(training: Training) -> Any:
        learn = original(training)

        def watched(batch: Batch, state: State) -> Any:
            terms, loss, after = learn(batch, state)
            calls.append((batch.continues, state, after))
            return terms, loss, after

        return watched

    monkeypatch.setattr(loop, "learner", learner)
    train(tmp_path / "run", train__stream=stream)
    assert len(calls) > 10
    assert {continues for continues, _, _ in calls[1:]} == (
        {False} if stream == "windows" else {True, False}
    )
    last: State = None
    for continues, state, after in calls:
        assert (state is None) == (not continues)
        if continues:
            for given, before in zip(leaves(state), leaves(last), strict=True):
                assert not given.requires_grad
                assert torch.equal(given, before)
        last = after


def test_the_state_is_written_as_often_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`train.save_every_minutes` is in minutes, the saver's period in seconds."""
    periods: list[float] = []
    original = loop.Saver

    class Watched(original):  # type: ignore[valid-type, misc]
        def __init__(self, folder: Path, model: Any, optimizer: Any, average: Any, every: float):
            periods.append(every)
            super().__init__(folder, model, optimizer, average, every)

    monkeypatch.setattr(loop, "Saver", Watched)
    train(tmp_path / "run", train__save_every_minutes=2.5, train__epochs=1)
    assert periods == [150.0]


def test_every_record_tells_of_the_steps_since_the_last(tmp_path: Path) -> None:
    """Means of the loss's terms, the learning rate of the last step, tokens and time."""
    train(tmp_path / "run", optimizer__lr=0.25, schedule__name="constant", objective__ar=0.5)
    records = [record for record in read_metrics(tmp_path / "run") if "lr" in record]
    assert len(records) >= 2  # one at the end of each pass at least
    for record in records:
        assert record["lr"] == 0.25
        assert record["perplexity"] == pytest.approx(math.exp(record["nll"]))
        assert record["ar"] > 0 and record["grad_norm"] > 0
        assert record["tokens_per_second"] > 0
    for key in ("step", "tokens", "seconds"):
        assert [r[key] for r in records] == sorted({r[key] for r in records})


@pytest.mark.parametrize(
    ("what", "words"), [("loss", "the loss is nan"), ("gradient", "the gradient is not finite")]
)
@pytest.mark.parametrize("kept", ["none", "first pass", "given"])
def test_a_training_that_diverges_keeps_the_last_good_weights(
    kept: str, what: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the best validation, of the run that it started from too; before any validation
    those of before the step. One line says which of loss and gradient is not finite."""
    origin = train(tmp_path / "origin", train__epochs=1).folder if kept == "given" else None
    original, calls = loop.learner, 0
    fails_at = 17 if kept == "first pass" else 1

    def learner(training: Training) -> Any:
        learn = original(training)

        def failing(batch: Batch, state: State) -> Any:
            nonlocal calls
            calls += 1
            terms, loss, after = learn(batch, state)
            if calls == fails_at and what == "loss":
                return terms, torch.tensor(math.nan), after
            if calls == fails_at:
                next(training.model.parameters()).grad.fill_(math.inf)  # type: ignore[union-attr]
            return terms, loss, after

        return failing

    monkeypatch.setattr(loop, "learner", learner)
    text = tmp_path / "story.txt"
    text.write_text(STORY, encoding="utf-8")
    with pytest.raises(TrainingError, match=words):
        nextword.train(
            "lstm",
            text,
            tmp_path / "run",
            valid=text,
            overrides=TINY,
            start_from=origin,
            quiet=True,
        )
    _, meta = read_tensors(tmp_path / "run" / "model.safetensors")
    records = [r for r in read_metrics(tmp_path / "run") if "valid_nll" in r]
    if kept == "none":
        assert meta == {"step": 0} and not records
    else:
        assert meta == {"step": records[0]["step"], "valid_nll": records[0]["valid_nll"]}


def test_the_state_is_written_between_validations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the last save was long enough ago, whatever else happens."""
    steps: list[int] = []
    save = loop.Saver.save

    def watched(self: loop.Saver, state: State, at: Standing, *rest: Any) -> None:
        steps.append(at.step)
        save(self, state, at, *rest)

    monkeypatch.setattr(loop.Saver, "save", watched)
    train(tmp_path / "run", train__save_every_minutes=1e-9, train__epochs=1)
    assert set(steps) == set(range(max(steps) + 1))


# ------------------------------------------------------------ a training of which each step is seen


def made(folder: Path, **settings: Any) -> Training:
    """A training of a small model, the same weights each time; `loop.fit` runs it."""
    folder.mkdir(exist_ok=True)
    overrides = TINY | {key.replace("__", "."): value for key, value in settings.items()}
    config = configure("lstm", overrides)
    torch.manual_seed(1)
    ids = text_ids(500)
    corpus, model = Corpus(ids, Counts(tokens=len(ids)), ""), config.model.build(9)
    began = time.perf_counter()
    return Training(folder, config, model, corpus, None, torch.device("cpu"), began, NO_WORDS)


def script(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> list[int]:
    """Validations give these losses, then ever better ones. Counts those that were done."""
    done: list[int] = []

    def validate(self: Training) -> Validation:
        done.append(len(done))
        loss = losses[done[-1]] if done[-1] < len(losses) else min(losses) / (1 + len(done))
        return Validation(loss, {"perplexity": math.exp(loss)})

    monkeypatch.setattr(Training, "validate", validate)
    return done


def validated(folder: Path) -> list[int]:
    return [r["step"] for r in read_metrics(folder) if "valid_nll" in r]


def standing_of(folder: Path) -> dict[str, Any]:
    meta: dict[str, Any] = read_tensors(folder / STATE)[1]["standing"]
    return meta


def optimizer_steps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of each step of the optimizer from now on."""
    rates: list[float] = []
    original = torch.optim.SGD.step

    def step(self: torch.optim.SGD, *given: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return original(self, *given)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    return rates


def test_a_training_begins_anew_unless_it_is_resumed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It says what it does, and learns even if the model was only used before."""
    training = made(tmp_path, train__epochs=1)
    training.model.eval()
    learning: list[bool] = []
    model: Any = training.model
    original = model.score

    def watched(*given: Any) -> Any:
        learning.append(model.training)
        return original(*given)

    model.score = watched
    at = loop.fit(training)
    assert at.step == len(training.stream(0)) == len(learning)
    assert all(learning)
    assert "LSTM" in capfd.readouterr().err


@pytest.mark.parametrize("stream", ["stripes", "variable"])
def test_every_pass_reads_each_batch_once(
    stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, however many there are in each; batches know how much of the training is over."""
    training = made(tmp_path, train__stream=stream, train__epochs=3)
    original, seen = loop.learner, list[Batch]()

    def learner(training: Training) -> Any:
        learn = original(training)

        def watched(batch: Batch, state: State) -> Any:
            seen.append(batch)
            return learn(batch, state)

        return watched

    monkeypatch.setattr(loop, "learner", learner)
    at = loop.fit(training, quiet=True)
    wanted = [
        (epoch, index, batch)
        for epoch in range(3)
        for index, batch in enumerate(training.stream(epoch))
    ]
    assert len(seen) == len(wanted) == at.step
    assert (at.epoch, at.index) == (2, len(training.stream(2)))
    assert at.tokens == sum(batch.tokens for batch in seen)
    for batch, (epoch, index, same) in zip(seen, wanted, strict=True):
        assert torch.equal(batch.ids, same.ids) and torch.equal(batch.targets, same.targets)
        share = (epoch + index / len(training.stream(epoch))) / 3
        assert batch.done == pytest.approx(share)
    assert [r["epoch"] for r in read_metrics(tmp_path)] == [0, 1, 2]


def test_a_step_of_the_optimizer_is_made_of_so_many_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients are added up in between and forgotten after it; a record in between has no norm."""
    rates = optimizer_steps(monkeypatch)
    training = made(
        tmp_path,
        train__accumulate=3,
        train__epochs=1,
        optimizer__name="sgd",
        optimizer__lr=0.5,
        schedule__name="constant",
    )
    batches = len(training.stream(0))
    assert batches % 3
    original, fresh = loop.learner, list[bool]()

    def learner(training: Training) -> Any:
        learn = original(training)

        def watched(batch: Batch, state: State) -> Any:
            fresh.append(all(p.grad is None for p in training.model.parameters()))
            return learn(batch, state)

        return watched

    monkeypatch.setattr(loop, "learner", learner)
    loop.fit(training, quiet=True)
    assert fresh == [index % 3 == 0 for index in range(batches)]
    assert rates == [0.5] * (batches // 3)
    assert read_metrics(tmp_path)[-1]["grad_norm"] == 0.0
    assert all(p.grad is None for p in training.model.parameters())  # no memory is held


def test_rates_are_those_of_the_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the share of the training that is over; a record has the rate of the last step."""
    rates = optimizer_steps(monkeypatch)
    training = made(
        tmp_path,
        train__epochs=2,
        optimizer__name="sgd",
        optimizer__lr=0.5,
        schedule__name="cosine",
    )
    loop.fit(training, quiet=True)
    batches = len(training.stream(0))
    schedule = training.config.schedule
    wanted = [0.5 * schedule(i, i / (2 * batches), []).lr for i in range(2 * batches)]
    assert rates == pytest.approx(wanted)
    assert [r["lr"] for r in read_metrics(tmp_path)] == [rates[batches - 1], rates[-1]]


# ---------------------------------------------------------------------------------- validations


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("every", [0, 1, 5])
def test_when_validations_are(
    every: int, trained: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every so many steps or after each pass, and at the end, once each; before the first
    step if the weights come from another run."""
    script(monkeypatch, [3.0])
    training = made(tmp_path, train__eval_every=every or None)
    training.starts_trained = trained
    end = loop.fit(training, quiet=True).step
    assert end % 5 and end == 2 * len(training.stream(0))
    wanted = {end, *range(every or end // 2, end, every or end // 2)} | ({0} if trained else set())
    assert validated(tmp_path) == sorted(wanted)
    assert standing_of(tmp_path)["step"] == standing_of(tmp_path)["valid_step"] == end


@pytest.mark.parametrize("keep", ["best", "last"])
def test_which_weights_are_kept(
    keep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Those of the best validation, of equals the first; or those of the last. What is said of
    each validation says whether it is the best so far."""
    losses = [3.0, 2.0, 2.0, 2.5]
    script(monkeypatch, losses)
    training = made(tmp_path, train__epochs=4, train__keep=keep)
    loop.fit(training)
    _, meta = read_tensors(tmp_path / WEIGHTS)
    steps = validated(tmp_path)
    index = 1 if keep == "best" else 3
    assert meta == {"step": steps[index], "valid_nll": losses[index]}
    at = standing_of(tmp_path)
    assert (at["kept_step"], at["history"]) == (steps[index], losses)
    said = [line for line in capfd.readouterr().err.splitlines() if "  valid " in line]
    assert len(said) == 4
    for count, (line, step, loss) in enumerate(zip(said, steps, losses, strict=True), start=1):
        assert f"epoch {count}  step {step}  valid " in line
        assert f"{math.exp(loss):.2f}" in line
        assert ("(best)" in line) == (count <= 2)


def test_without_validation_text_the_last_weights_are_kept(tmp_path: Path) -> None:
    training = made(tmp_path)
    at = loop.fit(training, quiet=True)
    weights, meta = read_tensors(tmp_path / WEIGHTS)
    assert meta == {"step": at.step} and at.kept_step == at.step and not at.history
    assert all(torch.equal(w, weights[n]) for n, w in training.model.state_dict().items())


@pytest.mark.parametrize(
    ("losses", "settings", "end"),
    [
        ([3, 2, 2, 2.5], {"train__patience": 2}, 4),  # as good as the best is not better
        ([3, 2, 2.5, 1, 1, 1], {"train__patience": 2}, 6),
        ([3, 4], {"train__patience": 1}, 2),
        ([3, 4, 4, 4, 4, 4, 4], {"train__patience": None}, 8),
        ([3, 2.5, 2.8, 3.5, 1], {"train__non_monotone_stop": True}, 4),
        ([3, 2.5, 2.8, 3.5, 1], {"train__non_monotone_stop": False}, 8),
        ([3, 2.5, 2.8, 3.5], {"train__non_monotone_stop": True, "train__patience": 2}, 4),
        ([3, 3.5, 3.6, 1], {"train__non_monotone_stop": True, "train__patience": 2}, 3),
    ],
)
def test_a_training_gives_up(
    losses: list[float],
    settings: dict[str, Any],
    end: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After `patience` validations without a better one, or with `non_monotone_stop` after one
    worse than those more than `non_monotone` before; of 8 validations."""
    script(monkeypatch, losses)
    common = {"train__batch_size": 16, "train__patience": None, "train__non_monotone": 2}
    at = loop.fit(made(tmp_path, train__epochs=8, **common | settings), quiet=True)
    assert len(validated(tmp_path)) == len(at.history) == end


def test_a_validation_that_is_not_a_number_ends_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights of the one before are kept."""
    script(monkeypatch, [3.0, math.nan])
    with pytest.raises(TrainingError, match="the loss is nan"):
        loop.fit(made(tmp_path), quiet=True)
    (step,) = validated(tmp_path)
    assert read_tensors(tmp_path / WEIGHTS)[1] == {"step": step, "valid_nll": 3.0}


def test_time_is_reserved_for_the_last_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As much as the first took, in seconds."""
    budgets = []
    original = loop.Budget

    def watched(*given: Any) -> loop.Budget:
        budgets.append(original(*given))
        return budgets[-1]

    def validate(self: Training) -> Validation:
        time.sleep(0.05)
        return Validation(1.0, {"perplexity": math.e})

    monkeypatch.setattr(loop, "Budget", watched)
    monkeypatch.setattr(Training, "validate", validate)
    began = time.perf_counter()
    loop.fit(made(tmp_path, train__epochs=1), quiet=True)
    (budget,) = budgets
    assert budget.reserve is not None and 0.05 <= budget.reserve <= time.perf_counter() - began


# --------------------------------------------------------------------------------------- the state


def test_ctrl_c_saves_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step that was under way is finished; the same training goes on from there."""
    whole = loop.fit(made(tmp_path / "whole"), quiet=True)
    interrupt_at(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        loop.fit(made(tmp_path / "parts"), quiet=True)
    assert standing_of(tmp_path / "parts")["step"] == 4
    parts = made(tmp_path / "parts")
    assert loop.fit(parts, resume=True, quiet=True).step == whole.step
    weights, _ = read_tensors(tmp_path / "whole" / WEIGHTS)
    assert all(torch.equal(w, weights[n]) for n, w in parts.model.state_dict().items())


def test_numbers_near_zero_are_zero_only_while_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For speed; whoever trains computes afterwards as before."""
    near_zero = torch.tensor(2e-308, dtype=torch.float64)
    seen = []

    def validate(self: Training) -> None:
        seen.append(float(near_zero / 4))

    monkeypatch.setattr(Training, "validate", validate)
    loop.fit(made(tmp_path, train__epochs=1), quiet=True)
    assert seen == [0.0]
    assert float(near_zero / 4) > 0
