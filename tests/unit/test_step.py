"""A step of training: the gradient of a batch, clipping, learning rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nextword.config import Config
from nextword.text.corpus import Corpus, Counts
from nextword.training.loop.step import (
    add_gradients,
    backward,
    clip_gradients,
    set_rates,
    sum_of,
    without_graph,
)
from nextword.training.loop.training import Training
from nextword.training.optimizers import SGD, AdamW, RMSProp
from nextword.training.schedules import Rates
from nextword.types import Batch, Term
from tests.support import NO_WORDS, text_ids, tiny

V = 9


def training(**settings: Any) -> Training:
    """Of a small LSTM without dropout."""
    still: dict[str, Any] = {f"dropout_{place}": 0.0 for place in ("input", "hidden", "output")}
    config = Config.parse({"model": {"name": "recurrent"}, "train": settings})
    corpus = Corpus(text_ids(40), Counts(tokens=40), "")
    model = tiny(V, embedding=8, **still)
    return Training(Path(), config, model, corpus, None, torch.device("cpu"), 0.0, NO_WORDS)


def batch(rows: int = 2, steps: int = 5, seed: int = 0) -> Batch:
    ids = torch.randint(0, V, (2, rows, steps), generator=torch.Generator().manual_seed(seed))
    return Batch(ids[0], ids[1], continues=False)


def gradients(model: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def loss_of(job: Training, given: Batch, state: Any) -> Tensor:
    """The loss, computed without the code that is tested: -Σ log p / count."""
    model: Any = job.model
    return -model.score(given.ids, given.targets, state).log_prob.mean()  # type: ignore[no-any-return]


# ---------------------------------------------------------------------------------- the gradient


def test_the_gradient_is_that_of_the_loss() -> None:
    """Without a state the model's own first state; the state after the batch is returned, and
    terms and loss are cut off from the graph."""
    job, given = training(), batch()
    model: Any = job.model
    terms, loss, state = backward(job, given, None)
    found = gradients(job.model)
    wanted = loss_of(job, given, model.start(2))
    torch.testing.assert_close(loss, wanted)
    torch.testing.assert_close(found, list(torch.autograd.grad(wanted, list(model.parameters()))))
    assert not loss.requires_grad and not terms["nll"].total.requires_grad
    assert terms["nll"].count == 10
    torch.testing.assert_close(state, model.score(given.ids, given.targets, model.start(2)).state)


def test_the_state_is_the_one_given() -> None:
    """Not the model's first state."""
    job, given = training(), batch()
    model: Any = job.model
    with torch.no_grad():
        before = model.advance(batch(seed=1).ids, model.start(2))
    _, loss, _ = backward(job, given, before)
    torch.testing.assert_close(loss, loss_of(job, given, before))
    assert abs(loss - loss_of(job, given, model.start(2))) > 1e-4


def test_gradients_of_batches_are_added_up() -> None:
    """With train.accumulate they make the mean of the batches' gradients; the loss is whole."""
    one, two = batch(seed=1), batch(seed=2)
    alone = []
    for given in (one, two):
        job = training()
        _, loss, _ = backward(job, given, None)
        alone.append((loss, gradients(job.model)))
    job = training(accumulate=2)
    losses = [backward(job, given, None)[1] for given in (one, two)]
    assert losses == [loss for loss, _ in alone]
    (_, first), (_, second) = alone
    wanted = [(a + b) / 2 for a, b in zip(first, second, strict=True)]
    torch.testing.assert_close(gradients(job.model), wanted)


def test_what_the_loss_does_not_depend_on_has_no_gradient() -> None:
    """Nor do parameters that are not to learn."""
    job = training()
    still = next(job.model.parameters()).requires_grad_(False)
    job.model.register_parameter("idle", nn.Parameter(torch.ones(2)))
    backward(job, batch(), None)
    without = [name for name, p in job.model.named_parameters() if p.grad is None]
    assert len(without) == 2 and "idle" in without and still.grad is None


def test_gradients_are_added_to_those_that_are_there() -> None:
    """A parameter without either has none; those after it in the list do get theirs."""
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(4)]
    parameters[1].grad, parameters[2].grad = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    add_gradients(parameters, [None, torch.tensor([10.0, 20.0]), None, torch.tensor([5.0, 6.0])])
    found = [None if p.grad is None else p.grad.tolist() for p in parameters]
    assert found == [None, [11.0, 22.0], [3.0, 4.0], [5.0, 6.0]]
    with pytest.raises(ValueError, match="shorter"):
        add_gradients(parameters, [None])


def test_the_loss_is_the_sum_of_the_means_that_are_learnt() -> None:
    terms = {
        "nll": Term(torch.tensor(6.0, requires_grad=True), 4),
        "ar": Term(torch.tensor(1.0), 2),
        "accuracy": Term(torch.tensor(3), 4, learnt=False),
    }
    assert sum_of(terms).item() == 6 / 4 + 1 / 2
    plain = without_graph(terms)
    assert plain.keys() == terms.keys() and not plain["nll"].total.requires_grad
    assert plain["nll"].count == 4 and not plain["accuracy"].learnt


# --------------------------------------------------------------------------------------- clipping


@pytest.mark.parametrize(
    ("clip", "clip_value", "norm", "after"),
    [
        (None, None, 5.0, [3.0, -4.0, 0.0]),
        (10.0, None, 5.0, [3.0, -4.0, 0.0]),  # never scaled up
        (2.5, None, 5.0, [1.5, -2.0, 0.0]),
        (1.0, None, 5.0, [0.6, -0.8, 0.0]),
        (None, 3.5, (3**2 + 3.5**2) ** 0.5, [3.0, -3.5, 0.0]),
        (None, 1.0, 2**0.5, [1.0, -1.0, 0.0]),
        (2**-0.5, 1.0, 2**0.5, [0.5, -0.5, 0.0]),  # by value first
    ],
)
def test_clipping(
    clip: float | None, clip_value: float | None, norm: float, after: list[float]
) -> None:
    """All parameters together; what is returned is the norm before it is clipped."""
    model = nn.ParameterList([nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(2))])
    model[0].grad, model[1].grad = torch.tensor([3.0]), torch.tensor([-4.0, 0.0])
    settings = Config.parse({"train": {"clip": clip, "clip_value": clip_value}}).train
    assert clip_gradients(model, settings) == pytest.approx(norm)
    assert torch.cat(gradients(model)).tolist() == pytest.approx(after, rel=1e-5)


# ------------------------------------------------------------------------------------------ rates


def groups_of(count: int) -> list[list[nn.Parameter]]:
    return [[nn.Parameter(torch.zeros(1))] for _ in range(count)]


def test_the_rate_is_a_product() -> None:
    """optimizer.lr × the schedule's factor × the batch's × the layer's, in every group."""
    groups = groups_of(3)
    optimizer = SGD(lr=1.0, layer_decay=0.5).build([p for g in groups for p in g], groups)
    set_rates(optimizer, 8.0, Rates(0.25), 3.0)
    assert [group["lr"] for group in optimizer.param_groups] == [1.5, 3.0, 6.0]
    set_rates(optimizer, 8.0, Rates(0.25))
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("deepest", [0, 1, 2, 5])
def test_groups_below_the_deepest_do_not_learn(deepest: int) -> None:
    groups = groups_of(3)
    optimizer = SGD(lr=1.0, unfreeze=1).build([p for g in groups for p in g], groups)
    set_rates(optimizer, 2.0, Rates(1.0), deepest=deepest)
    from_the_top = [group["lr"] for group in reversed(optimizer.param_groups)]
    assert from_the_top == [2.0 if depth <= deepest else 0.0 for depth in range(3)]
    alike = SGD(lr=1.0).build([nn.Parameter(torch.zeros(1))])
    set_rates(alike, 2.0, Rates(1.0), deepest=deepest)  # one group of all: it always learns
    assert alike.param_groups[0]["lr"] == 2.0


def test_momentum_goes_where_the_optimizer_has_one() -> None:
    """Into momentum or into β₁; β₂ stays, and so does everything where the schedule has none."""
    weights = [nn.Parameter(torch.zeros(1))]
    adam = AdamW(lr=1.0, betas=(0.8, 0.95)).build(weights)
    sgd, rms = (kind(lr=1.0, momentum=0.5).build(weights) for kind in (SGD, RMSProp))
    plain = torch.optim.Adadelta(weights)
    for optimizer in (adam, sgd, rms, plain):
        set_rates(optimizer, 1.0, Rates(1.0))
    assert adam.param_groups[0]["betas"] == (0.8, 0.95)
    assert sgd.param_groups[0]["momentum"] == rms.param_groups[0]["momentum"] == 0.5
    for optimizer in (adam, sgd, rms, plain):
        set_rates(optimizer, 1.0, Rates(1.0, 0.7))
    assert adam.param_groups[0]["betas"] == (0.7, 0.95)
    assert sgd.param_groups[0]["momentum"] == rms.param_groups[0]["momentum"] == 0.7
    assert "momentum" not in plain.param_groups[0] and "betas" not in plain.param_groups[0]
    assert "momentum" not in adam.param_groups[0] and "betas" not in sgd.param_groups[0]
