"""The learning-rate range test: what it trains on, when it ends, and what it suggests."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch

from nextword import plot
from nextword.errors import InputError
from nextword.experiments import lr_finder
from nextword.experiments.lr_finder import LearningRates, range_test
from nextword.state import leaves
from nextword.training.loop.training import Training
from nextword.training.request import Request
from nextword.types import Batch, State
from tests.support import STORY

TINY: dict[str, Any] = {
    "text.tokenizer": "char",
    "model.hidden": 8,
    "model.embedding": 8,
    "train.batch_size": 4,
    "train.bptt": 20,
    "optimizer.name": "sgd",
}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "story.txt").write_text(STORY, encoding="utf-8")
    return tmp_path / "story.txt"


def request(text: Path, recipe: str = "lstm", **settings: Any) -> Request:
    changes = {key.replace("__", "."): value for key, value in settings.items()}
    return Request.of(recipe, text, overrides=TINY | changes)


def script(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Batches have these losses, and then the last of them."""
    calls = 0

    def backward(training: Training, batch: Batch, state: State) -> Any:
        nonlocal calls
        calls += 1
        return {}, torch.tensor(losses[min(calls, len(losses)) - 1], dtype=torch.float64), None

    monkeypatch.setattr(lr_finder, "backward", backward)


def running(losses: list[float]) -> list[float]:
    """The mean of the losses up to each, every one of them weighing 0.9 of the one after it."""
    means = []
    for count in range(1, len(losses) + 1):
        weights = [0.9 ** (count - 1 - index) for index in range(count)]
        means.append(float(np.average(losses[:count], weights=weights)))
    return means


# ------------------------------------------------------------------------------------ the training


@pytest.mark.parametrize("stream", ["stripes", "windows"])
def test_it_is_a_training_with_a_rate_for_each_step(
    stream: str, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pass after pass in the order of a training; the state carries where batches continue, cut off
    from the graph; each step starts without gradients, and with the weights that plain descent of
    the rate, with clipping, led to."""
    original = lr_finder.backward
    seen: list[tuple[Batch, State, State]] = []
    weights: list[torch.Tensor] = []  # before each step, all in one
    slopes: list[torch.Tensor] = []
    trainings: list[Training] = []

    def backward(training: Training, batch: Batch, state: State) -> Any:
        parameters = list(training.model.parameters())
        assert all(p.grad is None for p in parameters)
        weights.append(torch.cat([p.detach().flatten().clone() for p in parameters]))
        answer = original(training, batch, state)
        slopes.append(torch.cat([p.grad.flatten().clone() for p in parameters]))  # type: ignore[union-attr]
        seen.append((batch, state, answer[2]))
        trainings.append(training)
        return answer

    monkeypatch.setattr(lr_finder, "backward", backward)
    found = range_test(
        request(text, train__stream=stream, train__clip=0.2), steps=25, low=1e-3, high=0.1
    )
    assert found.lr == pytest.approx(np.geomspace(1e-3, 0.1, 25))
    training = trainings[0]
    wanted = [batch for epoch in range(5) for batch in training.stream(epoch)]
    assert len(seen) == 25 > 3 * len(training.stream(0))
    last: State = None
    for (batch, state, after), same in zip(seen, wanted, strict=False):
        assert torch.equal(batch.ids, same.ids)
        assert (state is not None) == batch.continues
        if batch.continues:
            for given, before in zip(leaves(state), leaves(last), strict=True):
                assert torch.equal(given, before) and not given.requires_grad
        last = after
    assert any(slope.norm() > 0.2 for slope in slopes)
    for index, rate in enumerate(found.lr[:-1]):
        step = slopes[index] * min(1.0, 0.2 / float(slopes[index].norm()))
        torch.testing.assert_close(weights[index + 1], weights[index] - rate * step)


def test_nothing_is_left_of_it(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither beside the text nor in the folder it works in."""
    folders = []
    original = lr_finder.open_training

    def watched(folder: Path, *given: Any) -> Training:
        folders.append(folder)
        return original(folder, *given)

    monkeypatch.setattr(lr_finder, "open_training", watched)
    range_test(request(text), steps=3)
    assert [path.name for path in text.parent.iterdir()] == ["story.txt"]
    assert len(folders) == 1 and not folders[0].exists()


# ------------------------------------------------------------------------------------- the figures


def test_rates_grow_from_the_lowest_to_the_highest(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the same factor at every step, 100 of them from 1e-6 to 10 unless told otherwise."""
    script(monkeypatch, [1.0])
    found = range_test(request(text))
    assert len(found.lr) == len(found.loss) == 100
    assert found.lr == pytest.approx([10 ** (-6 + 7 * step / 99) for step in range(100)])
    told: list[int] = []
    found = range_test(request(text), steps=4, low=0.5, high=4.0, progress=told.append)
    assert found.lr == pytest.approx([0.5, 1, 2, 4])
    assert told == [1, 1, 1, 1]
    assert found.as_dict() == vars(found)


def test_the_loss_is_a_running_mean(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = [3.0, 2.0, 4.0, 1.0, 1.5, 0.5]
    script(monkeypatch, losses)
    assert range_test(request(text), steps=6).loss == pytest.approx(running(losses))


def test_the_suggestion_is_where_the_mean_falls_fastest(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the logarithm of the rate, from the step before to the step after."""
    losses = [5.0, 5.0, 5.0, 4.5, 2.0, 1.9, 1.9, 1.9, 5.0]
    script(monkeypatch, losses)
    found = range_test(request(text), steps=9, low=1e-4, high=1.0)
    means = running(losses)
    falls = {found.lr[i]: means[i - 1] - means[i + 1] for i in range(1, 8)}
    assert found.suggestion == max(falls, key=falls.__getitem__)
    assert found.lr[3] < found.suggestion < found.lr[8]


@pytest.mark.parametrize(
    ("losses", "steps"),
    [
        ([1.0, 1.0, 1.0, 1.0, 20.0, 1.0], 4),  # its mean would be above 2 × 1
        ([1.0, 1.0, 1.0, 1.0, 5.0, 1.0], 20),  # and this one's would not
        ([4.0] * 4 + [0.001] * 10 + [9.0, 9.0, 9.0], 14),  # above twice the least, not the first
        ([1.0, 1.0, 1.0, math.nan], 3),
        ([1.0, 1.0, 1.0, 1.0, math.inf], 4),
    ],
)
def test_it_ends_when_the_loss_diverges(
    losses: list[float], steps: int, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its running mean is twice the least so far, or no number; that step does not count."""
    script(monkeypatch, losses)
    told: list[int] = []
    found = range_test(request(text), steps=20, progress=told.append)
    assert len(found.loss) == len(found.lr) == len(told) == steps
    means = running([*losses, *losses[-1:] * 20])
    assert found.loss == pytest.approx(means[:steps])
    assert steps == 20 or not means[steps] <= 2 * min(means[:steps])


# ------------------------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize("losses", [[math.nan], [1.0, 50.0], [1.0, 1.0, math.inf]])
def test_a_loss_that_diverges_at_once(
    losses: list[float], text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than three losses have no slope."""
    script(monkeypatch, losses)
    with pytest.raises(InputError, match="diverges at once; give a smaller --low"):
        range_test(request(text), steps=9, low=0.01)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.5, 1.0), (0.5, 0.5), (2.0, 1.0)])
def test_a_range_that_is_none(low: float, high: float, text: Path) -> None:
    with pytest.raises(
        InputError, match=f"--low {low:g} must be above 0 and below --high {high:g}"
    ):
        range_test(request(text), low=low, high=high)


@pytest.mark.parametrize("recipe", ["ngram", "unigram"])
def test_a_model_without_a_rate(recipe: str, text: Path) -> None:
    with pytest.raises(InputError, match="the model 'ngram' has no learning rate"):
        range_test(Request.of(recipe, text))


# ------------------------------------------------------------------------------------- the picture


def test_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """The losses over the rates, the suggestion as a line of another colour with its value at the
    top of the picture."""
    axes = MagicMock()

    @contextmanager
    def figure(path: str) -> Iterator[list[MagicMock]]:
        assert path == "lr.png"
        yield [axes]

    monkeypatch.setattr(plot, "figure", figure)
    LearningRates([0.01, 0.1, 1.0], [3.0, 2.0, 4.0], 0.1).draw("lr.png")
    axes.plot.assert_called_once_with([0.01, 0.1, 1.0], [3.0, 2.0, 4.0])
    ((at,), line), (label, where) = axes.axvline.call_args, axes.annotate.call_args.args
    assert at == 0.1 and line["color"] != plot.COLOURS[0]
    assert label.strip() == "1.0e-01" and where == (0.1, 4.0)
    assert axes.set.call_args.kwargs["xscale"] == "log"
