"""The causal objective: nll, AR and TAR against their formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from nextword.errors import InputError
from nextword.models.ngram import NgramConfig
from nextword.models.recurrent import RecurrentConfig
from nextword.models.transformer_lm import TransformerLMConfig
from nextword.objectives.causal import Causal
from nextword.training.loop.step import sum_of
from nextword.types import Batch, Scored, Term

V, B, T, H = 7, 3, 5, 4


class Answers:
    """A model that gives a fixed answer and remembers what it was asked."""

    def __init__(self, hidden: Tensor | None = None, raw: Tensor | None = None) -> None:
        torch.manual_seed(0)
        self.log_prob = -torch.rand(B, T, dtype=torch.float64)
        self.hidden, self.raw = hidden, raw

    def score(self, ids: Tensor, targets: Tensor, state: Any) -> Scored:
        self.asked = ids, targets, state
        return Scored(self.log_prob, ("after", state), None, self.hidden, self.raw)


def mean(term: Term) -> Tensor:
    return term.total / term.count


def batch(mask: Tensor | None = None) -> Batch:
    ids = torch.randint(0, V, (B, T), generator=torch.Generator().manual_seed(1))
    return Batch(ids, ids.flip(0), continues=False, mask=mask)


def test_nll_is_the_sum_over_all_targets() -> None:
    """total = -Σ log p, count = B·T; model, ids, targets and state are passed through."""
    model, given = Answers(), batch()
    terms, state = Causal()(model, given, "before")
    assert list(terms) == ["nll"]
    assert terms["nll"].count == B * T == given.tokens
    assert float(terms["nll"].total) == pytest.approx(-float(model.log_prob.sum()))
    assert float(mean(terms["nll"])) == pytest.approx(-float(model.log_prob.mean()))
    assert state == ("after", "before")
    assert model.asked[0] is given.ids
    assert model.asked[1] is given.targets
    assert model.asked[2] == "before"


def test_mask_says_what_counts() -> None:
    """Masked targets are in neither the total nor the count, and get no gradient."""
    model = Answers()
    model.log_prob.requires_grad_()
    mask = torch.rand(B, T, generator=torch.Generator().manual_seed(2)) < 0.5
    assert 0 < int(mask.sum()) < B * T
    terms, _ = Causal()(model, batch(mask), None)
    assert terms["nll"].count == int(mask.sum())
    assert float(terms["nll"].total.detach()) == pytest.approx(
        -float(model.log_prob.detach()[mask].sum())
    )
    terms["nll"].total.backward()
    assert torch.equal(model.log_prob.grad, -mask.double())


def test_ar_is_on_what_the_head_saw() -> None:
    """α mean(h²), h after dropout."""
    hidden, raw = torch.randn(B, T, H), torch.randn(B, T, H)
    terms, _ = Causal(ar=2.0)(Answers(hidden, raw), batch(), None)
    assert list(terms) == ["nll", "ar"]
    torch.testing.assert_close(mean(terms["ar"]), 2.0 * (hidden**2).mean())


def test_tar_is_on_the_raw_output() -> None:
    """β mean((h_t - h_{t-1})²), h before dropout, over T - 1 differences."""
    hidden, raw = torch.randn(B, T, H), torch.randn(B, T, H)
    terms, _ = Causal(tar=3.0)(Answers(hidden, raw), batch(), None)
    assert list(terms) == ["nll", "tar"]
    differences = [raw[:, t] - raw[:, t - 1] for t in range(1, T)]
    torch.testing.assert_close(mean(terms["tar"]), 3.0 * torch.stack(differences).pow(2).mean())
    assert terms["tar"].count == B * (T - 1) * H


def test_tar_needs_two_steps() -> None:
    """A single token has no difference: the term is left out rather than 0/0."""
    raw = torch.randn(B, 1, H)
    terms, _ = Causal(ar=1.0, tar=1.0)(Answers(raw, raw), batch(), None)
    assert list(terms) == ["nll", "ar"]


def test_penalties_pass_over_models_without_hidden_states() -> None:
    """An n-gram model has nothing to regularise."""
    model = NgramConfig().build(V)
    terms, _ = Causal(ar=2.0, tar=1.0)(model, batch(), model.start(B))
    assert list(terms) == ["nll"]


def test_the_loss_of_a_real_model() -> None:
    """nll, AR and TAR of a recurrent model in training, from its own logits and outputs; all of
    them send a gradient to the recurrent weights."""
    torch.manual_seed(0)
    model = RecurrentConfig(hidden=H, dropout_output=0.5).build(V).double().train()
    given = batch()
    torch.manual_seed(5)
    terms, _ = Causal(ar=2.0, tar=1.0)(model, given, model.start(B))
    torch.manual_seed(5)
    output = model.forward(given.ids, model.start(B))
    nll = torch.nn.functional.cross_entropy(output.logits.flatten(0, 1), given.targets.flatten())
    torch.testing.assert_close(mean(terms["nll"]), nll)
    torch.testing.assert_close(mean(terms["ar"]), 2.0 * output.hidden.pow(2).mean())
    torch.testing.assert_close(mean(terms["tar"]), output.raw.diff(dim=1).pow(2).mean())
    for term in terms.values():
        (gradient,) = torch.autograd.grad(mean(term), model.stack.layers[0].U, retain_graph=True)
        assert gradient.any()


def test_loss_is_the_sum_of_means() -> None:
    """Every term divided by its own count."""
    terms = {"nll": Term(torch.tensor(6.0), 2), "ar": Term(torch.tensor(4.0), 8)}
    assert float(sum_of(terms)) == 3.5


def test_negative_weights_are_refused() -> None:
    """α and β are penalties."""
    with pytest.raises(InputError):
        Causal(ar=-1)
    with pytest.raises(InputError):
        Causal(tar=-1)


# --------------------------------------------------------------------------------- label smoothing

SMOOTHED = {
    "recurrent": RecurrentConfig(hidden=H, layers=2),
    "recurrent-tied": RecurrentConfig(hidden=H, tied=True),
    "transformer": TransformerLMConfig(hidden=H, heads=2, layers=1, context=T, dropout=0.0),
    "transformer-tied": TransformerLMConfig(
        hidden=H, heads=2, layers=1, context=3, tied=True, dropout=0.0
    ),
}


def scattered(name: str) -> Any:
    torch.manual_seed(0)
    model = SMOOTHED[name].build(V).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("name", list(SMOOTHED))
def test_label_smoothing_is_torchs(name: str, epsilon: float, masked: bool) -> None:
    """The loss, and the gradients of every weight, of what the mask leaves."""
    model = scattered(name)
    mask = torch.rand(B, T, generator=torch.Generator().manual_seed(2)) < 0.5 if masked else None
    given = batch(mask)
    terms, _ = Causal(label_smoothing=epsilon)(model, given, model.start(B))
    assert list(terms) == (["nll", "smoothing"] if epsilon else ["nll"])
    logits = model.forward(given.ids, model.start(B)).logits
    counted = torch.ones(B, T, dtype=torch.bool) if mask is None else mask
    expected = torch.nn.functional.cross_entropy(
        logits[counted], given.targets[counted], label_smoothing=epsilon
    )
    torch.testing.assert_close(sum_of(terms), expected)
    hard = torch.nn.functional.cross_entropy(logits[counted], given.targets[counted])
    torch.testing.assert_close(mean(terms["nll"]), hard)  # what is reported stays the plain figure
    weights = list(model.parameters())
    found = torch.autograd.grad(sum_of(terms), weights)
    torch.testing.assert_close(found, torch.autograd.grad(expected, weights))


@pytest.mark.parametrize(
    "settings", [{"softmaxes": 2}, {"softmax": "adaptive", "cutoffs": [3]}], ids=str
)
def test_label_smoothing_needs_a_softmax(settings: dict[str, Any]) -> None:
    """Others have no cheap way to the mean, and say so."""
    model = RecurrentConfig(hidden=H, **settings).build(V)
    with pytest.raises(InputError, match="label smoothing needs"):
        Causal(label_smoothing=0.1)(model, batch(), model.start(B))
    Causal()(model, batch(), model.start(B))


@pytest.mark.parametrize("epsilon", [-0.1, 1.0])
def test_impossible_smoothing_is_refused(epsilon: float) -> None:
    """A share of the probability, not all of it."""
    with pytest.raises(InputError, match="label_smoothing"):
        Causal(label_smoothing=epsilon)
