"""The loop: what it hands from batch to batch, and when it saves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

import nextword
from nextword.errors import TrainingError
from nextword.files import read_tensors
from nextword.state import leaves
from nextword.training.loop import loop
from nextword.training.loop.journal import read_metrics
from nextword.training.loop.standing import Standing
from nextword.training.loop.training import Training
from nextword.types import Batch, State
from tests.support import STORY

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
