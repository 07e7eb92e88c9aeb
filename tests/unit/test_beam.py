"""Beam search against counting everything out, greedy loops and the model's own scores."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from torch import Tensor, nn

from nextword.data.pairs import pad
from nextword.generation.beam import Hypothesis, beam_search, length_penalty
from nextword.models.ngram import NgramConfig
from nextword.models.recurrent import RecurrentConfig
from nextword.models.seq2seq import Seq2SeqConfig
from nextword.models.transformer import TransformerConfig
from nextword.models.transformer_lm import TransformerLMConfig
from nextword.models.windowed import Windowed
from nextword.text.tokenizer import EOS, UNK
from nextword.types import Output

V = 6


def scatter(model: Any, seed: int = 0, std: float = 0.7) -> Any:
    """Every parameter drawn at random, so that distributions are far from even."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=std)
    return model.double().eval()


def recurrent(words: int = V) -> Any:
    return RecurrentConfig(cell="lstm", embedding=4, hidden=5).build(words)


def transformer_lm(words: int = V) -> Any:
    return TransformerLMConfig(hidden=8, layers=1, heads=2, context=4).build(words)


def seq2seq(words: int = V, **settings: Any) -> Any:
    return Seq2SeqConfig(cell="gru", embedding=4, hidden=6, **settings).build(words, 7)


def transformer(words: int = V) -> Any:
    return TransformerConfig(hidden=8, layers=1, heads=2, context=20).build(words, 7)


LANGUAGE: dict[str, Callable[..., Any]] = {
    "recurrent": recurrent,
    "transformer-lm": transformer_lm,
    "windowed": lambda words=V: Windowed(recurrent(words), 3),
}
PAIRS: dict[str, Callable[..., Any]] = {
    "seq2seq": seq2seq,
    "seq2seq-plain": lambda words=V: seq2seq(words, attention="none"),
    "seq2seq-fed": lambda words=V: seq2seq(words, input_feeding=True),
    "transformer": transformer,
}
MODELS = LANGUAGE | PAIRS
SOURCES = [[3, 4, EOS], [2, EOS], [5, 6, 2, 2, 4, EOS], [4, 4, EOS]]


def begin(name: str, model: Any, rows: int = 1) -> tuple[Tensor, Any]:
    """The token before the first and the state, of so many different rows."""
    if name in LANGUAGE:
        last = torch.tensor([EOS, 2, 3, 4])[:rows]
        return last, model.start(rows)
    source, mask = pad(SOURCES[:rows])
    return torch.full((rows,), EOS), model.start(source, mask)


def log_probs_after(name: str, model: Any, ids: list[int], row: int = 0) -> Tensor:
    """log p(next) (V,) after `ids`, by a fresh reading of all of them."""
    if name in LANGUAGE:
        last, state = [EOS, 2, 3, 4][row], model.start(1)
    else:
        source, mask = pad([SOURCES[row]])
        last, state = EOS, model.start(source, mask)
    with torch.no_grad():
        logits = model.forward(torch.tensor([[last, *ids]]), state).logits[0, -1]
    out: Tensor = logits.log_softmax(-1)
    return out


def log_prob(name: str, model: Any, ids: list[int], row: int = 0) -> float:
    """What `score` says about an output."""
    if name in LANGUAGE:
        last, state = [EOS, 2, 3, 4][row], model.start(1)
    else:
        source, mask = pad([SOURCES[row]])
        last, state = EOS, model.start(source, mask)
    read = torch.tensor([[last, *ids[:-1]]])
    with torch.no_grad():
        return float(model.score(read, torch.tensor([ids]), state).log_prob.sum())


def all_outputs(limit: int, end: int | None, words: int = V) -> list[tuple[list[int], bool]]:
    """Every output there is: (ids without the end mark, whether it ended)."""
    if end is None:
        return [(list(ids), False) for ids in itertools.product(range(words), repeat=limit)]
    others = [i for i in range(words) if i != end]
    ended = [
        (list(ids), True)
        for length in range(limit)
        for ids in itertools.product(others, repeat=length)
    ]
    return ended + [(list(ids), False) for ids in itertools.product(others, repeat=limit)]


def ranked(
    name: str, model: Any, limit: int, end: int | None, alpha: float, words: int = V
) -> list[tuple[float, list[int], bool]]:
    """All outputs with their scores, best first."""
    found = []
    for ids, ended in all_outputs(limit, end, words):
        whole = [*ids, end] if ended and end is not None else ids
        score = log_prob(name, model, whole) / ((5 + len(whole)) / 6) ** alpha
        found.append((score, ids, ended))
    return sorted(found, key=lambda item: -item[0])


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("end", [None, EOS, 3])
@pytest.mark.parametrize("name", ["recurrent", "seq2seq", "transformer"])
def test_exhaustive(name: str, end: int | None, alpha: float) -> None:
    """A beam as wide as everything finds everything, in the order of the scores."""
    words, limit = 4, 3
    model = scatter(MODELS[name](words), seed=3)
    wanted = ranked(name, model, limit, end, alpha, words)
    last, state = begin(name, model)
    (found,) = beam_search(
        model, last, state, [limit], beam=100, alpha=alpha, n_best=200, end=end, allow_unk=True
    )
    assert [(h.ids, h.ended) for h in found] == [(ids, ended) for _, ids, ended in wanted]
    for h, (score, ids, ended) in zip(found, wanted, strict=True):
        assert h.score == pytest.approx(score, abs=1e-5)
        whole = [*ids, end] if ended else ids
        assert h.log_prob == pytest.approx(log_prob(name, model, whole), abs=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize("end", [None, EOS])
def test_exhaustive_beats_narrow(end: int | None) -> None:
    """No beam finds anything better than the widest, and the widest finds the best of all."""
    for seed in range(8):
        model = scatter(recurrent(5), seed=seed, std=1.5)
        best = ranked("recurrent", model, 3, end, 0.0, 5)[0]
        found = {}
        for beam in (1, 2, 3, 130):
            last, state = begin("recurrent", model)
            ((one,),) = beam_search(
                model, last, state, [3], beam=beam, alpha=0.0, end=end, allow_unk=True
            )
            found[beam] = one.log_prob
        assert found[130] == pytest.approx(best[0], abs=1e-5)
        assert max(found.values()) <= found[130] + 1e-5


@pytest.mark.parametrize("end", [None, EOS])
@pytest.mark.parametrize("name", MODELS)
@effort(max_examples=8)
@given(seed=st.integers(0, 1000), alpha=st.sampled_from([0.0, 1.0]))
def test_a_beam_of_one_is_greedy(name: str, end: int | None, seed: int, alpha: float) -> None:
    """Always the likeliest token but `<unk>`, until the end mark or the limit."""
    model, limit = scatter(MODELS[name](), seed), 6
    ids: list[int] = []
    ended = False
    while len(ids) < limit and not ended:
        steps = log_probs_after(name, model, ids)
        steps[UNK] = -math.inf
        best = int(steps.argmax())
        ended = best == end
        if not ended:
            ids.append(best)
    last, state = begin(name, model)
    ((found,),) = beam_search(model, last, state, [limit], beam=1, alpha=alpha, end=end)
    assert (found.ids, found.ended) == (ids, ended)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("beam", [1, 2, 3, 50])
def test_batched_is_one_by_one(name: str, beam: int) -> None:
    """Rows of other sources, lengths and limits change nothing, nor do rows that are done."""
    end = EOS
    for seed in range(4):
        model = scatter(MODELS[name](), seed, std=1.0)
        limits = [5, 1, 7, 3]
        last, state = begin(name, model, 4)
        together = beam_search(model, last, state, limits, beam=beam, n_best=beam, end=end)
        for row in range(4):
            if name in LANGUAGE:
                first, alone = last[row : row + 1], model.start(1)
            else:
                first, alone = last[:1], model.start(*pad([SOURCES[row]]))
            (wanted,) = beam_search(
                model, first, alone, limits[row : row + 1], beam=beam, n_best=beam, end=end
            )
            assert [(h.ids, h.ended) for h in together[row]] == [(h.ids, h.ended) for h in wanted]
            for a, b in zip(together[row], wanted, strict=True):
                assert a.log_prob == pytest.approx(b.log_prob, abs=1e-5)
                assert a.score == pytest.approx(b.score, abs=1e-5)
            assert all(len(h.ids) + h.ended <= limits[row] for h in together[row])
            assert all(h.ended or len(h.ids) == limits[row] for h in together[row])


@pytest.mark.parametrize("name", MODELS)
def test_scores(name: str) -> None:
    """log_prob is what `score` says; score is that over the penalty; best first, all different."""
    model = scatter(MODELS[name](), 5)
    last, state = begin(name, model, 3)
    found = beam_search(
        model, last, state, [6, 4, 5], beam=4, alpha=0.8, n_best=4, end=EOS, allow_unk=True
    )
    for row, hypotheses in enumerate(found):
        assert len(hypotheses) == 4
        assert len({(*h.ids, h.ended) for h in hypotheses}) == 4
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        for h in hypotheses:
            whole = h.ids + [EOS] * h.ended
            assert EOS not in h.ids
            assert h.log_prob == pytest.approx(log_prob(name, model, whole, row), abs=1e-5)
            assert h.score == pytest.approx(h.log_prob / ((5 + len(whole)) / 6) ** 0.8, abs=1e-6)


def test_n_best_begins_with_the_best() -> None:
    model = scatter(seq2seq(), 2)
    lists = []
    for n_best in (1, 2, 3):
        last, state = begin("seq2seq", model)
        lists.append(beam_search(model, last, state, [5], beam=3, n_best=n_best, end=EOS)[0])
    assert [len(found) for found in lists] == [1, 2, 3]
    assert lists[0] == lists[2][:1]
    assert lists[1] == lists[2][:2]


class Table:
    """p(next | last) from a matrix; the state counts the tokens read."""

    context = None

    def __init__(self, rows: dict[int, dict[int, float]], words: int = 6) -> None:
        self.vocab_size = words
        probs = torch.zeros(words, words, dtype=torch.float64)
        for index in range(words):
            for token, p in rows.get(index, {EOS: 1.0}).items():
                probs[index, token] = p
        self.logits = probs.log()
        self.read: list[int] = []  # rows of each call

    def start(self, batch: int) -> Tensor:
        return torch.zeros(batch, 1)

    def forward(self, ids: Tensor, state: Tensor) -> Output:
        self.read.append(len(ids))
        return Output(self.logits[ids], state + 1)


def search(model: Any, rows: int, limits: list[int], **settings: Any) -> list[list[Hypothesis]]:
    return beam_search(
        model, torch.full((rows,), 2), model.start(rows), limits, end=EOS, **settings
    )


GARDEN = {2: {3: 0.6, 4: 0.4}, 3: {1: 0.3, 3: 0.35, 4: 0.35}, 4: {1: 0.9, 5: 0.1}, 5: {5: 1.0}}


def test_looks_further_than_greedy() -> None:
    """The likeliest first token is not the beginning of the likeliest whole."""
    (greedy,) = search(Table(GARDEN), 1, [2], beam=1, alpha=0.0)[0]
    assert greedy.ids[0] == 3
    (wide,) = search(Table(GARDEN), 1, [2], beam=2, alpha=0.0)[0]
    assert wide == Hypothesis(
        [4], pytest.approx(math.log(0.36)), pytest.approx(math.log(0.36)), True
    )


def test_length_penalty() -> None:
    """Wu et al. 2016, equation 14; a larger one prefers longer outputs."""
    assert length_penalty(1, 0.6) == 1
    assert length_penalty(7, 0.6) == pytest.approx(2**0.6)
    assert length_penalty(19, 1.0) == 4
    assert length_penalty(50, 0.0) == 1
    table = {2: {1: 0.4, 3: 0.6}, 3: {3: 0.8, 1: 0.2}}
    short = search(Table(table), 1, [8], beam=30, alpha=0.0)[0][0]
    long = search(Table(table), 1, [8], beam=30, alpha=5.0)[0][0]
    assert (short.ids, short.ended) == ([], True)
    assert long.ids == [3] * 8


def test_rows_that_are_done_leave() -> None:
    """A row whose outputs have ended costs nothing more."""
    certain = Table({2: {1: 1.0}, 3: {3: 1.0}})
    found = beam_search(
        certain, torch.tensor([2, 3, 2, 3]), certain.start(4), [9, 5, 9, 2], beam=1, end=EOS
    )
    assert certain.read == [4, 2, 1, 1, 1]
    assert [(h.ids, h.ended) for (h,) in found] == [
        ([], True), ([3] * 5, False), ([], True), ([3] * 2, False),
    ]  # fmt: skip


def test_stops_when_nothing_better_can_come() -> None:
    """`beam` finished outputs that no going one reaches end the search long before the limit."""
    model = Table({2: {1: 0.5, 3: 0.4, 4: 0.1}, 3: {1: 0.9, 3: 0.1}, 4: {4: 1.0}})
    found = search(model, 1, [500], beam=2, alpha=0.0, n_best=2)[0]
    assert [h.ids for h in found] == [[], [3]]
    assert len(model.read) <= 3


def test_fewer_outputs_than_wanted() -> None:
    """What is impossible is no output, however many are asked for."""
    model = Table({2: {3: 0.5, 4: 0.5}, 3: {1: 1.0}, 4: {1: 1.0}})
    found = search(model, 1, [9], beam=5, n_best=5)[0]
    assert sorted(h.ids for h in found) == [[3], [4]]
    assert all(h.ended and h.log_prob == pytest.approx(math.log(0.5)) for h in found)


def test_unknown_words_are_not_written() -> None:
    model = Table({2: {UNK: 0.9, 3: 0.1}, 3: {1: 1.0}, 0: {1: 1.0}})
    for beam in (1, 3):
        found = search(model, 1, [4], beam=beam, n_best=beam)[0]
        assert [h.ids for h in found] == [[3]]
    best = search(model, 1, [4], beam=3, n_best=3, allow_unk=True)[0][0]
    assert best.ids == [UNK]
    assert best.log_prob == pytest.approx(math.log(0.9))


@pytest.mark.parametrize("beam", [V - 1, V, 3 * V, 1000])
def test_beam_larger_than_the_vocabulary(beam: int) -> None:
    for name in ("recurrent", "transformer"):
        model = scatter(MODELS[name](), 1)
        last, state = begin(name, model, 2)
        for hypotheses in beam_search(model, last, state, [2, 2], beam=beam, n_best=beam, end=EOS):
            assert len({(*h.ids, h.ended) for h in hypotheses}) == len(hypotheses)
            assert all(math.isfinite(h.log_prob) and UNK not in h.ids for h in hypotheses)
            everything = 1 + (V - 2) + (V - 2) ** 2
            assert len(hypotheses) == min(beam, everything)


def test_an_ngram_model_searches_too() -> None:
    """Models without tensors in their state."""
    model = NgramConfig(order=2).build(V)
    model.fit(torch.randint(1, V, (300,), generator=torch.Generator().manual_seed(0)).numpy())
    (found,) = beam_search(model, torch.tensor([EOS]), model.start(1), [3], beam=300, alpha=0.0)
    steps = itertools.product(range(1, V), repeat=3)
    best = max(steps, key=lambda ids: log_prob("recurrent", model, list(ids)))
    assert found[0].ids == list(best)


@pytest.mark.parametrize(("beam", "limits"), [(0, [3]), (-1, [3]), (2, [0]), (2, [3, 0])])
def test_refused(beam: int, limits: list[int]) -> None:
    model = Table(GARDEN)
    with pytest.raises(ValueError, match="at least 1"):
        search(model, len(limits), limits, beam=beam)


def test_no_rows() -> None:
    assert (
        beam_search(Table(GARDEN), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 1), []) == []
    )
