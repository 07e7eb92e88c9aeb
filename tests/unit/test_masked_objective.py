"""BERT's objective: every term against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nextword.objectives.masked import MaskedWords
from nextword.training.loop.step import sum_of
from nextword.types import Batch

B, T, V, H = 3, 4, 5, 2
#: Four tokens are to be predicted: one of the first row, none of the second, three of the third.
MASK = torch.tensor([[0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 1, 1]]).bool()
CHANCES = [0.5, 0.25, 0.125, 0.5]  # of those four
RIGHT = [True, False, False, True]
#: Chances of "follows" and "does not"; the model is right about rows 0 and 2.
FOLLOWS = [[0.75, 0.25], [0.6, 0.4], [0.2, 0.8]]
LABELS = torch.tensor([0, 1, 1])
NEXT = -math.log(0.75) - math.log(0.4) - math.log(0.8)


class Answers:
    """A model that gives these answers, and remembers what it was asked."""

    vocab_size: int = V
    context: int | None = None

    def __init__(self) -> None:
        self.hidden = torch.randn(B, T, H, generator=torch.Generator().manual_seed(0))
        self.log_prob = torch.tensor(CHANCES).log().requires_grad_()
        self.follows = torch.tensor(FOLLOWS).log().requires_grad_()
        self.asked_for_the_next = False

    def __call__(
        self, ids: Tensor, real: Tensor | None = None, segments: Tensor | None = None
    ) -> Tensor:
        self.read = ids, real, segments
        return self.hidden

    def logits(self, hidden: Tensor) -> Tensor:
        raise AssertionError("all logits of all positions are a waste of memory")

    def predict(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        self.predicted = hidden, targets
        return self.log_prob, torch.tensor(RIGHT)

    def next_sentence(self, hidden: Tensor) -> Tensor:
        self.asked_for_the_next = True
        assert hidden is self.hidden
        return self.follows


def batch() -> Batch:
    ids, targets = torch.randint(0, V, (2, B, T), generator=torch.Generator().manual_seed(1))
    real = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]]).bool()
    segments = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 0], [0, 1, 1, 1]])
    return Batch(ids, targets, False, MASK, real=real, segments=segments, labels=LABELS)


def test_the_masked_words_are_what_is_predicted() -> None:
    """The model reads the batch, and predicts the targets from the vectors at the masked places."""
    model, given = Answers(), batch()
    _, state = MaskedWords()(model, given, None)
    assert state is None
    assert model.read == (given.ids, given.real, given.segments)
    hidden, targets = model.predicted
    places = [(0, 1), (2, 0), (2, 2), (2, 3)]
    assert torch.equal(hidden, torch.stack([model.hidden[place] for place in places]))
    assert targets.tolist() == [int(given.targets[place]) for place in places]


def test_the_terms_of_the_words() -> None:
    """nll is -Σ log p over the masked words: ½ · ¼ · ⅛ · ½ = 2⁻⁷. Two of the four are right."""
    terms, _ = MaskedWords()(Answers(), batch(), None)
    assert terms["nll"].total.item() == pytest.approx(7 * math.log(2))
    assert (terms["nll"].count, terms["nll"].learnt) == (4, True)
    assert (int(terms["accuracy"].total), terms["accuracy"].count) == (2, 4)
    assert not terms["accuracy"].learnt


def test_the_terms_of_the_next_sentence() -> None:
    """next is -Σ log p over the rows; the most probable answer is right in two of three."""
    terms, _ = MaskedWords()(Answers(), batch(), None)
    assert terms["next"].total.item() == pytest.approx(NEXT)
    assert (terms["next"].count, terms["next"].learnt) == (B, True)
    assert (int(terms["next_accuracy"].total), terms["next_accuracy"].count) == (2, B)
    assert not terms["next_accuracy"].learnt


def test_both_are_learnt_unless_the_settings_say_otherwise() -> None:
    """The loss is the sum of the two means; each has its gradient, the accuracies have none."""
    model = Answers()
    terms, _ = MaskedWords()(model, batch(), None)
    assert terms.keys() == {"nll", "accuracy", "next", "next_accuracy"}
    loss = sum_of(terms)
    assert loss.item() == pytest.approx(7 * math.log(2) / 4 + NEXT / 3)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(model.log_prob.grad, torch.full((4,), -1 / 4))
    wanted = torch.tensor([[0.75 - 1, 0.25], [0.6, 0.4 - 1], [0.2, 0.8 - 1]]) / 3  # (p - y) / B
    torch.testing.assert_close(model.follows.grad, wanted)


def test_without_the_next_sentence() -> None:
    """next_sentence=false: the words are learnt as before, and nobody asks which text follows."""
    model, whole = Answers(), MaskedWords()(Answers(), batch(), None)[0]
    terms, _ = MaskedWords(next_sentence=False)(model, batch(), None)
    assert terms.keys() == {"nll", "accuracy"}
    assert all(terms[name] == whole[name] for name in terms)
    assert sum_of(terms).item() == pytest.approx(7 * math.log(2) / 4)
    assert not model.asked_for_the_next


def test_next_sentence_losses_are_added_in_single_precision() -> None:
    """Also where the model computes in bfloat16."""
    model = Answers()
    model.follows = model.follows.detach().bfloat16()
    terms, _ = MaskedWords()(model, batch(), None)
    assert terms["next"].total.dtype == torch.float32
    assert terms["next"].total.item() == pytest.approx(NEXT, rel=1e-2)
