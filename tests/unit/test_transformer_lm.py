"""How the Transformer slides its context, with rows at different places, and its training."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nextword import registry
from nextword.config import configure
from nextword.generation.beam import beam_search
from nextword.models.building import with_window
from nextword.models.recurrent import RecurrentLM
from nextword.models.transformer_lm import TransformerLM, TransformerLMConfig
from nextword.models.windowed import Windowed
from nextword.nn.attention_weights import record_attention
from nextword.objectives.causal import Causal
from nextword.state import concatenate, detach, leaves, select
from nextword.training.loop.step import sum_of

V, B = 7, 3


def build(context: int, **settings: Any) -> TransformerLM:
    torch.manual_seed(0)
    sizes = {"hidden": 6, "heads": 2, "inner": 8, "layers": 2, "positions": "learned"} | settings
    model = TransformerLMConfig(context=context, **sizes).build(V)
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, std=0.4)
        if "norm" in name and name.endswith("weight"):
            parameter.data += 1
    return model.double().eval()


def draw(steps: int, rows: int = B) -> Tensor:
    return torch.randint(V, (rows, steps), generator=torch.Generator().manual_seed(3))


def window(t: int, context: int) -> range:
    """The places that the token at place t of a text sees, itself among them: from 0 while there is
    room, then the younger half stays and it goes on behind that."""
    first = 0
    for now in range(t + 1):
        if now - first == context:
            first = now - context // 2
    return range(first, t + 1)


@torch.no_grad()
def slowly(model: TransformerLM, text: Tensor, context: int) -> Tensor:
    """text (T,) → logits (T, V), each from its window alone, read from scratch."""
    rows = []
    for t in range(len(text)):
        seen = text[list(window(t, context))][None]
        rows.append(model.forward(seen, model.start(1)).logits[0, -1])
    return torch.stack(rows)


def in_pieces(model: TransformerLM, ids: Tensor, state: Any, piece: int) -> tuple[Tensor, Any]:
    parts = []
    for begin in range(0, ids.shape[1], piece):
        output = model.forward(ids[:, begin : begin + piece], state)
        parts.append(output.logits)
        state = output.state
    return torch.cat(parts, 1), state


def test_windows_are_what_the_docstring_says() -> None:
    """At least the C / 2 tokens before it, where there are so many, at most C - 1; in fives:"""
    assert [list(window(t, 5)) for t in (0, 4, 5, 7, 8)] == [
        [0],
        [0, 1, 2, 3, 4],
        [3, 4, 5],
        [3, 4, 5, 6, 7],
        [6, 7, 8],
    ]
    for context, t in product((2, 3, 4, 5, 8), range(40)):
        assert min(t, context // 2) <= len(window(t, context)) - 1 <= context - 1


@pytest.mark.parametrize("piece", [1, 2, 5, 7, 23])
@pytest.mark.parametrize("context", [2, 3, 4, 5, 8, 23, 30])
def test_sliding_is_its_slow_twin(context: int, piece: int) -> None:
    """Whatever pieces a text is given in; `score` and `advance` slide as `forward` does."""
    model, ids = build(context), draw(23)
    expected = torch.stack([slowly(model, row, context) for row in ids])
    logits, state = in_pieces(model, ids, model.start(B), piece)
    torch.testing.assert_close(logits, expected)
    seen, (count, past) = state
    assert count.tolist() == [len(window(22, context))] * B
    assert torch.equal(seen[0], ids[0, list(window(22, context))])
    assert all(leaf.shape == (*seen.shape, 6) for leaf in leaves(past))
    scored = model.score(ids, ids.flip(0), model.start(B))
    picked = expected.log_softmax(-1).gather(-1, ids.flip(0)[..., None])[..., 0]
    torch.testing.assert_close(scored.log_prob, picked)
    for one, other in zip(leaves(model.advance(ids, model.start(B))), leaves(state), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_sliding_with_sinusoids(norm: Any) -> None:
    """Positions are counted anew, so a table of C rows is enough."""
    model, ids = build(4, positions="sinusoidal", norm=norm, tied=True), draw(15)
    expected = torch.stack([slowly(model, row, 4) for row in ids])
    torch.testing.assert_close(model.forward(ids, model.start(B)).logits, expected)
    assert model.embedded.positions.table.shape == (4, 6)


@pytest.mark.parametrize("piece", [1, 3, 20])
@pytest.mark.parametrize("lengths", [[1, 4, 2], [5, 6, 3], [3, 9, 12], [0, 3, 7]])
@pytest.mark.parametrize("context", [2, 3, 6, 50])
def test_rows_that_have_read_more_or_less(context: int, lengths: list[int], piece: int) -> None:
    """States of texts of different lengths as one batch: each row slides when its own context is
    full, and goes on as it would alone; so do rows taken out of it."""
    model, ids = build(context), draw(32)
    states = [
        model.advance(ids[row : row + 1, :length], model.start(1))
        for row, length in enumerate(lengths)
    ]
    texts = [ids[row, : length + 20] for row, length in enumerate(lengths)]
    follow = torch.stack([text[-20:] for text in texts])
    expected = torch.stack([slowly(model, text, context)[-20:] for text in texts])
    with torch.no_grad():
        logits, state = in_pieces(model, follow, concatenate(states), piece)
        torch.testing.assert_close(logits, expected)
        assert state[1][0].tolist() == [len(window(n + 19, context)) for n in lengths]
        order = torch.tensor([2, 0, 2, 1])
        first, state = in_pieces(model, follow[:, :9], concatenate(states), piece)
        rest, _ = in_pieces(model, follow[order, 9:], select(state, order), piece)
    torch.testing.assert_close(torch.cat([first[order], rest], 1), expected[order])


def test_ragged_rows_keep_no_more_than_they_can_see() -> None:
    """However long it goes on: two contexts' worth at most, where rows slide at different times."""
    # Fails: rows that do not slide carry their padding along, and it grows with each slide.
    context = 4
    model, ids = build(context), draw(40, 2)
    state = concatenate(
        [model.advance(ids[:1, :2], model.start(1)), model.advance(ids[1:, :3], model.start(1))]
    )
    for t in range(40):
        state = model.advance(ids[:, t : t + 1], state)
        assert state[0].shape[1] <= 2 * context
        assert state[1][0].max() <= context


def test_ragged_rows_learn_as_alone() -> None:
    """Gradients of a batch whose rows begin at different places."""
    model, ids = build(5), draw(12)
    names = list(model.parameters())
    lengths, totals = [1, 4, 2], []
    for row, length in enumerate(lengths):
        state = model.advance(ids[row : row + 1, :length], model.start(1))
        follow = ids[row : row + 1, length : length + 8]
        totals.append(model.score(follow[:, :-1], follow[:, 1:], state).log_prob.sum())
    alone = torch.autograd.grad(sum(totals), names, allow_unused=True)
    states = [
        model.advance(ids[row : row + 1, :length], model.start(1))
        for row, length in enumerate(lengths)
    ]
    follow = torch.stack([ids[row, n : n + 8] for row, n in enumerate(lengths)])
    scored = model.score(follow[:, :-1], follow[:, 1:], concatenate(states))
    together = torch.autograd.grad(scored.log_prob.sum(), names, allow_unused=True)
    torch.testing.assert_close(together, alone)


def test_gradients_through_a_slide_are_finite_differences() -> None:
    """Every weight, along a random direction."""
    model, ids = build(4), draw(10)

    def loss() -> Tensor:
        return model.score(ids[:, :-1], ids[:, 1:], model.start(B)).log_prob.sum()

    named = dict(model.named_parameters())
    gradients = torch.autograd.grad(loss(), list(named.values()))
    for (name, parameter), gradient in zip(named.items(), gradients, strict=True):
        direction, kept, values = torch.randn_like(parameter), parameter.detach().clone(), []
        for step in (1e-5, -1e-5):
            parameter.data.copy_(kept + step * direction)
            values.append(float(loss().detach()))
        parameter.data.copy_(kept)
        slope = (values[0] - values[1]) / 2e-5
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-7), name


def test_nothing_is_read_from_no_tokens() -> None:
    """An empty piece changes nothing."""
    model = build(4)
    state = model.advance(draw(3), model.start(B))
    output = model.forward(draw(0), state)
    assert output.logits.shape == (B, 0, V)
    for one, other in zip(leaves(output.state), leaves(state), strict=True):
        assert torch.equal(one, other)


def test_a_beam_over_a_slide() -> None:
    """Greedy search word by word finds what reading from scratch finds, across slides."""
    model, prompt = build(4), draw(3, 1)
    state = model.advance(prompt[:, :-1], model.start(1))
    ((best, *_),) = beam_search(model, prompt[:, -1], state, [12], beam=1, allow_unk=True)
    text = prompt[0]
    for _ in range(12):
        text = torch.cat([text, slowly(model, text, 4)[-1:].argmax(-1)])
    assert best.ids == text[3:].tolist()


def test_attention_is_noted_by_layer() -> None:
    """(B, heads, T, places seen), none on what follows."""
    model = build(8)
    state = model.advance(draw(2), model.start(B))
    with record_attention() as seen:
        model.forward(draw(3), state)
    assert {name: [tuple(t.shape) for t in values] for name, values in seen.items()} == {
        f"layer.{i}.self": [(B, 2, 3, 5)] for i in range(2)
    }
    assert not seen["layer.0.self"][0].triu(3).any()


# ---------------------------------------------------------------------------- as part of a run


def test_with_window_leaves_it_alone() -> None:
    """It has a context of its own, and windows were all it was trained on; a recurrent model that
    was is wrapped, and one that was not is not."""
    config = configure("transformer-lm", {"model.context": 8, "model.hidden": 8})
    assert config.train.stream == "windows"
    model = config.model.build(V)
    assert with_window(model, config) is model
    assert isinstance(model, TransformerLM) and model.context == 8
    config = configure("lstm", {"train.stream": "windows", "train.bptt": 5})
    model = config.model.build(V)
    wrapped = with_window(model, config)
    assert isinstance(wrapped, Windowed) and wrapped.context == 5
    config = configure("lstm", {"train.stream": "stripes"})
    model = config.model.build(V)
    assert isinstance(with_window(model, config), RecurrentLM)


def passes(kind: str, ids: Any, bptt: int) -> Iterator[Any]:
    for seed in range(40):
        yield from registry.load("stream", kind)(ids, 4, bptt, seed=seed)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    ("kind", "bptt", "context"), [("windows", 8, 8), ("windows", 12, 5), ("stripes", 6, 8)]
)
def test_training_learns(kind: str, bptt: int, context: int, smoothing: float) -> None:
    """A text that repeats itself, from windows longer than the context too, and from stripes whose
    state is carried over slides."""
    torch.manual_seed(0)
    config = TransformerLMConfig(hidden=16, heads=2, layers=1, context=context, dropout=0.05)
    model = config.build(V)
    text = np.array([2, 3, 2, 4, 5, 6] * 20)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    objective, losses, state = Causal(label_smoothing=smoothing), [], None
    for batch in passes(kind, text, bptt):
        state = detach(state) if batch.continues else batch.start(model)
        terms, state = objective(model, batch, state)
        optimizer.zero_grad()
        sum_of(terms).backward()
        optimizer.step()
        losses.append(float(terms["nll"].total.detach()) / terms["nll"].count)
        if len(losses) == 120:
            break
    assert np.mean(losses[-10:]) < 0.35 < 1.2 < losses[0]
