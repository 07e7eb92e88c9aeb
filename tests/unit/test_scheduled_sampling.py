"""Scheduled sampling: which words a model reads while it learns."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from nextword.errors import InputError
from nextword.models.recurrent import RecurrentConfig
from nextword.models.seq2seq import Seq2SeqConfig
from nextword.models.transformer import TransformerConfig
from nextword.models.transformer_lm import TransformerLMConfig
from nextword.objectives.causal import Causal
from nextword.objectives.scheduled_sampling import ScheduledSampling
from nextword.state import leaves
from nextword.training.loop.step import sum_of
from nextword.types import Batch, Output, Scored

V, B, T, S = 7, 3, 6, 4
DECAYS: Any = pytest.mark.parametrize("decay", ["linear", "inverse-sigmoid"])
SMALL = {"hidden": 4, "layers": 1}
MODELS = {
    "recurrent": lambda: RecurrentConfig(**SMALL).build(V),
    "transformer-lm": lambda: TransformerLMConfig(**SMALL, heads=2, context=4, dropout=0.0).build(
        V
    ),
    "seq2seq": lambda: Seq2SeqConfig(**SMALL, input_feeding=True).build(V, V),
    "transformer": lambda: TransformerConfig(**SMALL, heads=2, dropout=0.0).build(V, V),
}


def build(name: str) -> Any:
    torch.manual_seed(0)
    model = MODELS[name]().double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def batch(name: str, done: float) -> Batch:
    generator = torch.Generator().manual_seed(1)
    ids, targets = torch.randint(V, (2, B, T), generator=generator)
    mask = torch.arange(T) < torch.tensor([T, 2, 4])[:, None]
    source = source_mask = None
    if name in ("seq2seq", "transformer"):
        source = torch.randint(V, (B, S), generator=generator)
        source_mask = torch.arange(S) < torch.tensor([2, 4, 3])[:, None]
    return Batch(ids, targets, False, mask, 1.0, source, source_mask, done)


class Certain:
    """A model that is sure of w + 1 after w, and remembers what it read; its state is how much."""

    def __init__(self, gradient: bool = False) -> None:
        self.read: list[Tensor] = []
        self.scale = torch.tensor(50.0, dtype=torch.float64, requires_grad=gradient)

    def forward(self, ids: Tensor, state: Tensor) -> Output:
        self.read.append(ids)
        sure = torch.nn.functional.one_hot((ids + 1) % V, V).double()
        return Output(sure * self.scale, state + ids.shape[1])

    def score(self, ids: Tensor, targets: Tensor, state: Tensor) -> Scored:
        output = self.forward(ids, state)
        log_prob = output.logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
        return Scored(log_prob, output.state)


def what_it_reads(objective: ScheduledSampling, given: Batch) -> Tensor:
    """(B, T)."""
    model = Certain()
    _, state = objective(model, given, torch.zeros(len(given.ids)))  # type: ignore[arg-type]
    assert (state == given.ids.shape[1]).all()
    return torch.cat(model.read, 1)


# ------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("done", [0.0, 0.5, 1.0])
def test_rate_0_reads_the_text(done: float) -> None:
    """All the time; and any rate does before the training has begun, if it falls linearly (the
    paper's curve begins at k / (k + 1))."""
    given = batch("recurrent", done)
    assert torch.equal(what_it_reads(ScheduledSampling(rate=0), given), given.ids)
    start = batch("recurrent", 0.0)
    assert torch.equal(what_it_reads(ScheduledSampling(rate=1), start), start.ids)


def test_rate_1_reads_only_its_own_words() -> None:
    """From the second on: the first is the text's."""
    given = batch("recurrent", 1.0)
    read = what_it_reads(ScheduledSampling(rate=1), given)
    assert torch.equal(read, (given.ids[:, :1] + torch.arange(T)) % V)
    assert not torch.equal(read, given.ids)


def test_a_share_is_its_own() -> None:
    """Each word of each row by itself, the first never."""
    torch.manual_seed(0)
    rows, steps, rate = 200, 20, 0.3
    ids = torch.zeros(rows, steps, dtype=torch.int64)  # own words are never 0
    given = Batch(ids, ids, False, done=1.0)
    torch.manual_seed(0)
    # After w comes w + 1, or the text's 0: what is not 0 is its own.
    own = what_it_reads(ScheduledSampling(rate=rate), given)[:, 1:] != 0
    assert not what_it_reads(ScheduledSampling(rate=rate), given)[:, 0].any()
    share = float(own.double().mean())
    assert abs(share - rate) < 0.04
    assert own.any(0).all() and not own.all(0).any()
    assert len({tuple(row.tolist()) for row in own}) > rows / 2
    half = Batch(ids, ids, False, done=0.5)
    share = float((what_it_reads(ScheduledSampling(rate=rate), half) != 0).double().mean())
    assert abs(share - rate / 2) < 0.04


# ------------------------------------------------------------------------------ what it scores


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", list(MODELS))
def test_without_own_words_it_is_teacher_forcing(name: str, smoothing: float) -> None:
    """Rate 0, or the beginning: the terms, the state and the gradients of `Causal`. A rate so small
    that nothing is drawn goes step by step to the same."""
    weights = {"label_smoothing": smoothing, "ar": 0.5}
    results = []
    for objective, done in (
        (Causal(**weights), 0.7),
        (ScheduledSampling(rate=0, **weights), 0.7),
        (ScheduledSampling(rate=1, **weights), 0.0),
        (ScheduledSampling(rate=1e-12, **weights), 1.0),
    ):
        model, given = build(name), batch(name, done)
        terms, state = objective(model, given, given.start(model))
        sum_of(terms).backward()
        gradients = {key: parameter.grad for key, parameter in model.named_parameters()}
        counts = {key: term.count for key, term in terms.items()}
        totals = {key: term.total.detach().double() for key, term in terms.items()}
        results.append((totals, counts, list(leaves(state)), gradients))
    for other in results[1:3]:
        torch.testing.assert_close(other, results[0])
    # Step by step in single precision, as it draws.
    torch.testing.assert_close(results[3], results[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", list(MODELS))
def test_scores_are_of_what_was_read(name: str) -> None:
    """Own words: the log-probabilities of the text's words after the words that were read, with
    their gradients; none through the choice."""
    model, given = build(name), batch(name, 1.0)
    read: list[Tensor] = []
    forward = model.forward

    def watched(ids: Tensor, state: Any) -> Output:
        read.append(ids)
        return forward(ids, state)

    model.forward = watched
    objective = ScheduledSampling(rate=0.6, label_smoothing=0.2)
    terms, _ = objective(model, given, given.start(model))
    words = torch.cat(read, 1)
    assert words.shape == (B, T) and all(ids.shape == (B, 1) for ids in read)
    assert not torch.equal(words, given.ids)
    logits = forward(words, given.start(model)).logits
    assert given.mask is not None
    expected = torch.nn.functional.cross_entropy(
        logits[given.mask], given.targets[given.mask], label_smoothing=0.2
    )
    torch.testing.assert_close(sum_of(terms).double(), expected, atol=1e-5, rtol=1e-5)
    weights = list(model.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(sum_of(terms), weights, allow_unused=True),
        torch.autograd.grad(expected, weights, allow_unused=True),
        atol=1e-5,
        rtol=1e-4,
    )


# --------------------------------------------------------------------------------- the schedule


@DECAYS
@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_own_rises_from_0_to_the_rate(rate: float, decay: Any) -> None:
    """Never falling, never beyond, whatever the share that is over is said to be."""
    objective = ScheduledSampling(rate=rate, decay=decay)
    shares = [objective.own(step / 100) for step in range(131)]
    assert all(a <= b for a, b in pairwise(shares))
    assert shares[0] == pytest.approx(0, abs=0.1 * rate)
    assert shares[100] == pytest.approx(rate, rel=1e-3)
    assert shares[130] == shares[100] <= rate
    assert rate == 0 or shares[0] < shares[20] < shares[50]


def test_own_is_its_formula() -> None:
    """A line; one less the paper's inverse sigmoid, half of it at 23 per cent."""
    linear = ScheduledSampling(rate=0.8)
    assert [linear.own(x) for x in (0.0, 0.25, 1.0)] == pytest.approx([0, 0.2, 0.8])
    curved = ScheduledSampling(rate=0.8, decay="inverse-sigmoid")
    for done in (0.0, 0.1, 0.23, 0.6, 1.0):
        text = 10 / (10 + math.exp(100 * done / 10))
        assert curved.own(done) == pytest.approx(0.8 * (1 - text))
    assert curved.own(0.23) == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("settings", [{"rate": -0.1}, {"rate": 1.1}, {"decay": "exponential"}])
def test_bad_settings_are_refused(settings: dict[str, Any]) -> None:
    """A share is one; the decay is one of two."""
    with pytest.raises(InputError):
        ScheduledSampling(**settings)
