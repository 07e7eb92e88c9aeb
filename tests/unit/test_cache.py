"""The neural cache: its distribution, its share of the probability, and where it is used."""

from __future__ import annotations

import copy
import json
import shutil
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

import nextword
from nextword.cli.main import main
from nextword.config import Config
from nextword.errors import InputError
from nextword.evaluation import cache as module
from nextword.evaluation import dynamic as dynamic_evaluation
from nextword.evaluation.cache import (
    THETAS,
    WINDOWS,
    Cache,
    Reach,
    Watcher,
    best_share,
    check_window,
    reaches,
    tune,
    with_cache,
)
from nextword.evaluation.dynamic import Dynamic, score_dynamic
from nextword.evaluation.perplexity import Reading, evaluate_text, load_text, tune_cache
from nextword.evaluation.token_scores import score_tokens
from nextword.models.mixture import MixtureConfig, MixtureLM
from nextword.models.ngram import NgramConfig
from nextword.models.windowed import Windowed
from nextword.run import Run
from nextword.text.char import CharTokenizer
from nextword.text.tokenizer import EOS
from nextword.types import Scored
from tests.support import Cli, snapshot, text_ids, tiny

CPU = torch.device("cpu")
V, N, H = 6, 40, 5
Array = np.ndarray[Any, Any]


def drawn(count: int = N, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Hidden vectors (N, H) that predicted, and the words (N,) that came."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(count, H, generator=generator)
    return hidden, torch.randint(0, V, (count,), generator=generator)


def twin(hidden: Tensor, words: Tensor, window: int, theta: float) -> Array:
    """p_cache (N, V) of every word at every place, by two loops in double precision."""
    h, ids = hidden.double().numpy(), words.tolist()
    p = np.zeros((len(ids), V))
    for t in range(len(ids)):
        seen = range(max(0, t - window), t)
        if not seen:
            continue
        powers = [theta * float(h[t] @ h[i]) for i in seen]
        for i, power in zip(seen, powers, strict=True):
            p[t, ids[i]] += np.exp(power - max(powers))
        p[t] /= p[t].sum()
    return p


def of_words(p: Array, words: Tensor) -> Array:
    """p (N, V) → of the words that came (N,)."""
    return p[np.arange(len(words)), words.numpy()]


def follow(places: list[Reach], hidden: Tensor, words: Tensor, sizes: list[int]) -> Watcher:
    """A watcher that was shown the text in pieces of these sizes, over and over."""
    watcher, at, turn = Watcher(places, len(words)), 0, 0
    while at < len(words):
        size = sizes[turn % len(sizes)]
        watcher(hidden[at : at + size], words[at : at + size])
        at, turn = at + size, turn + 1
    return watcher


REACHES = [Reach(window, theta) for window in (1, 2, 7, N - 1, N, 1000) for theta in (0, 0.3, 2.5)]


# --------------------------------------------------------------------------------- its distribution


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, N - 1, N, 512])
def test_the_cache_is_its_equation(size: int) -> None:
    """Every token's share, from a window shorter or longer than the text, for several reaches at
    once, however many tokens come at a time."""
    hidden, words = drawn()
    watcher = follow(REACHES, hidden, words, [size])
    assert watcher.p.shape == (len(REACHES), N)
    for row, reach in enumerate(REACHES):
        expected = of_words(twin(hidden, words, *reach), words)
        np.testing.assert_allclose(watcher.p[row], expected, rtol=2e-5, atol=1e-7)
        assert watcher.p[row, 0] == 0


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    window=st.integers(1, 60),
    theta=st.floats(0, 3),
    count=st.integers(1, 50),
)
def test_how_the_text_is_cut_changes_nothing(
    sizes: list[int], window: int, theta: float, count: int
) -> None:
    """Pieces of any sizes; a reach beside others is what it is alone."""
    hidden, words = drawn(count, seed=3)
    expected = of_words(twin(hidden, words, window, theta), words)
    reach = Reach(window, theta)
    for places in ([reach], [Reach(1, 1.0), reach], [reach, Reach(100, 0.1)]):
        watcher = follow(places, hidden, words, sizes)
        np.testing.assert_allclose(watcher.p[places.index(reach)], expected, rtol=5e-5, atol=1e-7)
        assert watcher.at == count


@pytest.mark.parametrize("window", [1, 4, 1000])
def test_without_similarity_it_counts(window: int) -> None:
    """θ = 0: how often the word came among the last `window` tokens."""
    hidden, words = drawn()
    found = follow([Reach(window, 0.0)], hidden, words, [7]).p[0]
    for t in range(1, N):
        past = words[max(0, t - window) : t].tolist()
        assert found[t] == pytest.approx(Counter(past)[int(words[t])] / len(past))


@pytest.mark.parametrize("theta", [0.0, 0.4, 3.0])
def test_its_distribution_sums_to_one(theta: float) -> None:
    """Asked for every word in turn, from the second token on; for the first there is nothing."""
    hidden, words = drawn()
    places = [Reach(window, theta) for window in (1, 5, 1000)]
    watcher = Watcher(places, N)
    for t in range(N):
        total = np.zeros(len(places))
        for word in range(V):
            asked = copy.deepcopy(watcher)
            asked(hidden[t : t + 1], torch.tensor([word]))
            total += asked.p[:, t]
        np.testing.assert_allclose(total, float(t > 0), atol=1e-5)
        watcher(hidden[t : t + 1], words[t : t + 1])


def test_nothing_later_is_seen() -> None:
    """Other words and other vectors from t on leave everything before t as it was, and the
    distribution at t knows nothing of the word at t."""
    hidden, words = drawn()
    p = follow(REACHES, hidden, words, [9]).p
    for t in range(1, N):
        others, vectors = words.clone(), hidden.clone()
        others[t:] = (others[t:] + 1) % V
        vectors[t:] = -vectors[t:]
        changed = follow(REACHES, vectors, others, [9]).p
        np.testing.assert_array_equal(changed[:, :t], p[:, :t])
        other = words.clone()
        other[t] = (other[t] + 1) % V
        expected = twin(hidden, words, 7, 2.5)[t, int(other[t])]
        found = follow([Reach(7, 2.5)], hidden, other, [9]).p[0, t]
        assert found == pytest.approx(expected, rel=2e-5, abs=1e-7)


def test_far_vectors_overflow_nothing() -> None:
    """θ h·h in the hundreds of thousands: the most similar place takes all."""
    hidden, words = drawn()
    hidden *= 500
    found = follow([Reach(N, 1.0), Reach(3, 1.0)], hidden, words, [8]).p
    assert np.isfinite(found).all()
    for row, window in enumerate((N, 3)):
        expected = of_words(twin(hidden, words, window, 1.0), words)
        np.testing.assert_allclose(found[row], expected, atol=1e-3)


def test_no_more_is_kept_than_the_longest_window() -> None:
    """Memory does not grow with the text; nothing holds a graph."""
    hidden, words = drawn()
    watcher = follow([Reach(3, 1.0), Reach(11, 0.5)], hidden.requires_grad_(), words, [7])
    assert watcher.hidden is not None and watcher.words is not None
    assert not watcher.hidden.requires_grad
    assert torch.equal(watcher.hidden, hidden[-11:].detach())
    assert torch.equal(watcher.words, words[-11:])


# ------------------------------------------------------------------------------------ both together


def some_scores(seed: int, count: int = 300) -> tuple[Array, Array]:
    """Log-probabilities of a model and p_cache; the cache often knows nothing."""
    rng = np.random.default_rng(seed)
    log_prob = -rng.exponential(2.0, count).astype(np.float32)
    p_cache = rng.beta(0.4, 1.0, count).astype(np.float32) * (rng.random(count) < rng.random())
    p_cache[0] = 0
    return log_prob, p_cache


@pytest.mark.parametrize("weight", [0.01, 0.3, 0.9999])
def test_with_cache_is_its_equation(weight: float) -> None:
    """(1 - λ) p + λ p_cache; the first token, for which there is no cache, keeps its p."""
    log_prob, p_cache = some_scores(0)
    found = with_cache(log_prob, p_cache, weight)
    expected = np.log((1 - weight) * np.exp(log_prob.astype(float)) + weight * p_cache)
    np.testing.assert_allclose(found[1:], expected[1:], rtol=1e-6, atol=1e-6)
    assert found[0] == log_prob[0]
    assert found.dtype == np.float32
    only = with_cache(log_prob[:1], p_cache[:1], weight)
    assert only.tolist() == log_prob[:1].tolist()


def test_no_share_changes_nothing() -> None:
    """λ = 0 is the model alone, to the last bit; what was handed in is left as it was."""
    log_prob, p_cache = some_scores(1)
    before = log_prob.copy(), p_cache.copy()
    np.testing.assert_array_equal(with_cache(log_prob, p_cache, 0.0), log_prob)
    with_cache(log_prob, p_cache, 0.5)
    np.testing.assert_array_equal(log_prob, before[0])
    np.testing.assert_array_equal(p_cache, before[1])


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_hardly_possible_words(weight: float) -> None:
    """A model may call a word all but impossible (a log-linear mixture does): where the cache does
    not know it either it stays so, and it says nothing about the best share."""
    log_prob = np.array([-1, -700, -5000, -np.inf, -2], dtype=np.float32)
    found = with_cache(log_prob, np.zeros(5, dtype=np.float32), weight)
    np.testing.assert_allclose(found[1:], np.log1p(-weight) + log_prob[1:], rtol=1e-6)
    known = with_cache(log_prob, np.full(5, 0.5, dtype=np.float32), 0.3)
    np.testing.assert_allclose(known[1:4], np.log(0.15), rtol=1e-6)
    log_prob, p_cache = some_scores(2)
    expected = best_share(log_prob, p_cache)
    assert 0 < expected < 1
    p_cache[7] = p_cache[9] = 0
    expected = best_share(np.delete(log_prob, [7, 9]), np.delete(p_cache, [7, 9]))
    log_prob[7], log_prob[9] = -5000, -np.inf
    assert best_share(log_prob, p_cache) == expected


@given(seed=st.integers(0, 100_000), count=st.integers(2, 400))
def test_best_share_is_that_of_a_fine_search(seed: int, count: int) -> None:
    """No λ in steps of a ten-thousandth makes the text more probable."""
    log_prob, p_cache = some_scores(seed, count)
    p, q = np.exp(log_prob[1:].astype(float)), p_cache[1:].astype(float)
    grid = np.arange(10_000) / 10_000
    totals = np.log((1 - grid[:, None]) * p + grid[:, None] * q).sum(1)
    found = best_share(log_prob, p_cache)
    assert 0 <= found < 1
    assert abs(found - grid[totals.argmax()]) < 1.01e-4
    reached = np.log((1 - found) * p + found * q).sum()
    assert reached >= totals.max() - 1e-4


def test_best_share_at_the_ends() -> None:
    """A cache that never knows a word has none; one that knows every word nearly all, still below
    one; a text of one token, or of none, says nothing."""
    log_prob = np.full(50, -1.0, dtype=np.float32)
    assert best_share(log_prob, np.zeros(50, dtype=np.float32)) == 0
    everything = best_share(log_prob, np.ones(50, dtype=np.float32))
    assert 0.999 < everything < 1
    Cache(weight=everything)
    first = np.zeros(50, dtype=np.float32)
    first[0] = 1
    assert best_share(log_prob, first) == 0
    for count in (0, 1):
        assert best_share(log_prob[:count], np.ones(count, dtype=np.float32)) == 0


def test_tune_is_a_search_over_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reach and the share of the best of all pairs, tried one by one."""
    monkeypatch.setattr(module, "THETAS", (0.0, 0.5, 4.0))
    monkeypatch.setattr(module, "WINDOWS", (2, 9, 30, N))
    chosen = set()
    for seed in range(12):
        hidden, words = drawn(seed=seed)
        if seed % 3:  # a text that repeats itself, at one distance or another
            words = words[: 4 * seed].repeat(N)[:N]
        if seed % 2:  # and situations that tell where
            hidden = 2 * F.one_hot(words.roll(1), H + 1)[:, :H].float() + 0.1 * hidden
        watcher = follow(reaches(N), hidden, words, [16])
        assert watcher.reaches == [Reach(w, t) for w in (2, 9, 30) for t in (0.0, 0.5, 4.0)]
        log_prob, _ = some_scores(seed, N)
        found = tune(log_prob, watcher)
        totals = {
            (reach, weight): float(with_cache(log_prob, p, weight).sum(dtype=float))
            for reach, p in zip(watcher.reaches, watcher.p, strict=True)
            for weight in np.arange(0, 1, 0.002)
        }
        reach = Reach(found.window, found.theta)
        p_cache = watcher.p[watcher.reaches.index(reach)]
        reached = float(with_cache(log_prob, p_cache, found.weight).sum(dtype=float))
        assert reached >= max(totals.values()) - 1e-4
        chosen.add(reach)
    assert len(chosen) > 3


@pytest.mark.parametrize("tokens", [1, 2, 3, 500, 501, 2000, 10_000])
def test_what_is_tried_fits_the_text(tokens: int) -> None:
    """All windows below the text's length, or the one that just fits, each with every θ."""
    tried = reaches(tokens)
    windows = sorted({reach.window for reach in tried})
    assert windows == ([w for w in WINDOWS if w < tokens] or [max(1, tokens - 1)])
    assert len(set(tried)) == len(tried) == len(windows) * len(THETAS)
    assert {reach.theta for reach in tried} == set(THETAS)


@pytest.mark.parametrize("window", [1, 9, 10, 11, 5000])
def test_a_cache_larger_than_the_text_is_refused(window: int) -> None:
    """The message names one that fits."""
    ids = np.zeros(10, dtype=np.uint16)
    if window < 10:
        check_window(window, ids)
        return
    with pytest.raises(InputError, match="--cache-set window=5"):
        check_window(window, ids)


# ----------------------------------------------------------------------------- reading with a cache


class Note:
    """Keeps what a watcher is shown."""

    def __init__(self) -> None:
        self.calls: list[tuple[Tensor, Tensor]] = []

    def __call__(self, hidden: Tensor, targets: Tensor) -> None:
        self.calls.append((hidden.detach().clone(), targets.clone()))

    @property
    def all(self) -> tuple[Tensor, Tensor]:
        hidden, targets = zip(*self.calls, strict=True)
        return torch.cat(hidden), torch.cat(targets)


@pytest.mark.parametrize("chunk", [1, 7, 512])
@pytest.mark.parametrize("count", [1, 2, 50])
def test_a_watcher_sees_what_predicted(count: int, chunk: int) -> None:
    """Every token once, in order, with the very vector from which its probability came; being
    watched changes no score."""
    model, ids, note = tiny(V), text_ids(count, vocab_size=V), Note()
    scores = score_tokens(model, ids, CPU, chunk=chunk, watch=note)
    hidden, targets = note.all
    assert targets.tolist() == ids.tolist()
    assert [len(words) for _, words in note.calls[:-1]] == [chunk] * (len(note.calls) - 1)
    logits = model.head(hidden, model.embedding.weight)
    log_prob = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
    np.testing.assert_allclose(scores.log_prob, log_prob.detach(), atol=1e-5)
    unwatched = score_tokens(model, ids, CPU, chunk=chunk)
    np.testing.assert_array_equal(scores.log_prob, unwatched.log_prob)
    assert scores.hit is not None
    np.testing.assert_array_equal(scores.hit, unwatched.hit)


class LastWord:
    """Predicts evenly, from a vector that says which word was last and nothing else."""

    vocab_size, context = V, None

    def start(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size)

    def score(self, ids: Tensor, targets: Tensor, state: Tensor) -> Scored:
        log_prob = torch.full(targets.shape, -float(np.log(V)))
        return Scored(log_prob, state, torch.zeros(targets.shape, dtype=torch.bool),
                      10 * F.one_hot(ids, V).float())  # fmt: skip


@pytest.mark.parametrize("chunk", [1, 4, 512])
def test_similar_situations_are_those_that_predicted(chunk: int) -> None:
    """With vectors that say what the last word was, the cache holds what came after that word (all
    words, where it is new): a shift of one would hold what came after the next."""
    ids = np.array([2, 3, 2, 3, 4, 2, 3, 5, 4, 2, 1, 2, 3, 4, 4, 0, 5], dtype=np.uint16)
    watcher = Watcher([Reach(1000, 1.0)], len(ids))
    score_tokens(LastWord(), ids, CPU, chunk=chunk, watch=watcher)  # type: ignore[arg-type]
    followed: dict[int, list[int]] = {}
    last, everything = EOS, []
    for t, word in enumerate(ids.tolist()):
        past = followed.get(last, everything)
        expected = past.count(word) / len(past) if past else 0
        assert watcher.p[0, t] == pytest.approx(expected, abs=1e-6), t
        followed.setdefault(last, []).append(word)
        everything.append(word)
        last = word
    assert watcher.p[0, 3] == 1  # 2 3 2 → 3
    assert watcher.p[0, 6] == pytest.approx(1)  # twice 2 3 before


@pytest.mark.parametrize("dynamic", [None, Dynamic(lr=0.05, segment=16)])
def test_chunks_do_not_change_the_cache(dynamic: Dynamic | None) -> None:
    """However many tokens go through the model at once (with dynamic evaluation: a segment), the
    shares are those of all hidden vectors together."""
    model, ids = tiny(V), text_ids(50, vocab_size=V)
    for chunk in (1, 7, 50, 512) if dynamic is None else (0,):
        note, watcher = Note(), Watcher(REACHES, len(ids))

        def both(hidden: Tensor, words: Tensor) -> None:
            note(hidden, words)  # noqa: B023
            watcher(hidden, words)  # noqa: B023

        if dynamic is None:
            score_tokens(model, ids, CPU, chunk=chunk, watch=both)
        else:
            score_dynamic(model, ids, CPU, dynamic, watch=both)
            assert [len(words) for _, words in note.calls] == [16, 16, 16, 2]
        hidden, words = note.all
        assert words.tolist() == ids.tolist()
        for row, reach in enumerate(REACHES):
            expected = of_words(twin(hidden, words, *reach), words)
            np.testing.assert_allclose(watcher.p[row], expected, rtol=2e-5, atol=1e-7)


def test_dynamic_evaluation_shows_what_predicted_before_it_learns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A segment's vectors are those that gave its scores, of the weights as they then were: neither
    the trained ones nor those that have learnt the segment; being watched changes no score."""
    model, ids = tiny(V), text_ids(48, vocab_size=V)
    settings = Dynamic(lr=0.05, segment=16)
    note, seen, copies = Note(), [], []
    copy = dynamic_evaluation._learner
    monkeypatch.setattr(
        dynamic_evaluation, "_learner", lambda model: copies.append(copy(model)) or copies[-1]
    )

    def watch(hidden: Tensor, words: Tensor) -> None:
        note(hidden, words)
        logits = copies[0].head(hidden, copies[0].embedding.weight)
        seen.append(logits.log_softmax(-1).gather(1, words[:, None])[:, 0].detach())

    scores = score_dynamic(model, ids, CPU, settings, watch=watch)
    np.testing.assert_allclose(scores.log_prob, torch.cat(seen), atol=1e-5)
    plain = score_dynamic(model, ids, CPU, settings)
    np.testing.assert_array_equal(scores.log_prob, plain.log_prob)
    static = Note()
    score_tokens(model, ids, CPU, watch=static)
    torch.testing.assert_close(note.all[0][:16], static.all[0][:16])
    assert (note.all[0][16:] - static.all[0][16:]).abs().max() > 0.01


@pytest.mark.parametrize("dynamic", [None, Dynamic(lr=0.05, segment=16)])
def test_no_score_depends_on_what_comes_later(dynamic: Dynamic | None) -> None:
    """Another end of the text leaves the mixed scores before it as they were."""
    model, ids = tiny(V), text_ids(48, vocab_size=V)
    other = ids.copy()
    other[32:] = (other[32:] + 1) % V
    found = []
    for text in (ids, other):
        watcher = Watcher([Reach(20, 0.5)], len(text))
        if dynamic is None:
            scores = score_tokens(model, text, CPU, chunk=16, watch=watcher)
        else:
            scores = score_dynamic(model, text, CPU, dynamic, watch=watcher)
        found.append(with_cache(scores.log_prob, watcher.p[0], 0.4))
    np.testing.assert_array_equal(found[0][:32], found[1][:32])
    assert np.abs(found[0][32:] - found[1][32:]).max() > 0.01


# ------------------------------------------------------------------------------------------- a run


LINES = "abc cab\nbca acb\ncab abc\naab cc\n"


def run_of(model: Callable[[int], Any] = tiny) -> Run:
    config = Config.parse({"text": {"tokenizer": "char"}, "model": {"dropout_output": 0.2}})
    tokenizer = CharTokenizer.train([LINES], config.text)
    return Run("tiny", config, tokenizer, model(tokenizer.vocab_size))


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text that says everything again and again."""
    path = tmp_path_factory.mktemp("cache") / "text.txt"
    path.write_text(LINES * 12, encoding="utf-8")
    return path


def by_hand(run: Run, ids: Array, cache: Cache, model: Any = None) -> float:
    """-Σ log p with a cache, every factor from the slow twins."""
    note = Note()
    score_tokens(model or run.model, ids, CPU, watch=note)
    hidden, words = note.all
    p_cache = of_words(twin(hidden, words, cache.window, cache.theta), words)
    p = np.exp(score_tokens(run.model, ids, CPU).log_prob.astype(float))
    mixed = (1 - cache.weight) * p + cache.weight * p_cache
    mixed[0] = p[0]
    return float(-np.log(mixed).sum())


def ids_of(run: Run, path: Path) -> Array:
    return np.array(run.tokenizer.encode(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("settings", [{}, {"window": 30, "theta": 1.5, "weight": 0.5}])
def test_a_cache_helps_where_a_text_repeats(settings: dict[str, Any], repeated: Path) -> None:
    """The mixed score is the one worked out by hand, and better than the model's alone; every
    token is counted once."""
    run, cache = run_of(), Cache(**{"window": 200, **settings})
    ids = ids_of(run, repeated)
    plain, cached = evaluate_text(run, repeated), evaluate_text(run, repeated, cache=cache)
    assert cached.nll == pytest.approx(by_hand(run, ids, cache), rel=1e-6)
    assert cached.nll < plain.nll - 0.01 * len(ids)
    assert cached.tokens == plain.tokens == len(ids)
    assert cached.perplexity == pytest.approx(np.exp(cached.nll / len(ids)))
    assert np.isnan(cached.accuracy)
    nothing = evaluate_text(run, repeated, cache=Cache(window=200, weight=0))
    assert nothing.nll == plain.nll


def test_a_cache_on_top_of_dynamic_evaluation(repeated: Path) -> None:
    """Scores and vectors of the network as it then was, mixed; the weights come back."""
    run, cache = run_of(), Cache(window=50, theta=0.5, weight=0.3)
    dynamic, ids = Dynamic(lr=0.01), ids_of(run, repeated)
    before = [p.detach().clone() for p in run.model.parameters()]  # type: ignore[attr-defined]
    found = evaluate_text(run, repeated, dynamic=dynamic, cache=cache)
    note = Note()
    scores = score_dynamic(run.model, ids, CPU, dynamic, watch=note)
    hidden, words = note.all
    p_cache = of_words(twin(hidden, words, 50, 0.5), words)
    expected = with_cache(scores.log_prob, p_cache, 0.3).sum(dtype=float)
    assert found.nll == pytest.approx(-expected, rel=1e-6)
    assert found.nll < evaluate_text(run, repeated, dynamic=dynamic).nll
    for parameter, value in zip(run.model.parameters(), before, strict=True):  # type: ignore[attr-defined]
        assert torch.equal(parameter, value)


@pytest.mark.parametrize("dynamic", [None, Dynamic(lr=0.01)])
def test_tune_cache_is_the_best_there_is(
    dynamic: Dynamic | None, repeated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other cache of those tried is better on the text it was tuned on."""
    monkeypatch.setattr(module, "THETAS", (0.1, 0.7))
    monkeypatch.setattr(module, "WINDOWS", (20, 100, 100_000))
    run = run_of()
    totals: list[int] = []
    seen: list[int] = []

    def bar(total: int) -> Any:
        totals.append(total)
        return seen.append

    best = tune_cache(run, repeated, dynamic=dynamic, bar=bar)
    assert totals == [len(ids_of(run, repeated))] == [sum(seen)]
    assert best.window in (20, 100) and best.theta in (0.1, 0.7)
    reached = evaluate_text(run, repeated, dynamic=dynamic, cache=best).nll
    for window in (20, 100):
        for theta in (0.1, 0.7):
            for weight in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, best.weight):
                other = Cache(window=window, theta=theta, weight=weight)
                nll = evaluate_text(run, repeated, dynamic=dynamic, cache=other).nll
                assert reached <= nll + 1e-3


def test_unknown_words_are_left_out_of_both_figures(tmp_path: Path) -> None:
    """The perplexity of known tokens is that of their mixed scores."""
    path = tmp_path / "text.txt"
    path.write_text(LINES * 3 + "abxc\n", encoding="utf-8")
    run, cache = run_of(), Cache(window=30)
    found = evaluate_text(run, path, cache=cache)
    ids = ids_of(run, path)
    watcher = Watcher([Reach(30, 0.3)], len(ids))
    scores = score_tokens(run.model, ids, CPU, watch=watcher)
    mixed = with_cache(scores.log_prob, watcher.p[0], 0.1)
    unknown = ids == run.tokenizer.encode("x")[0]
    assert found.oov == unknown.sum() == 1
    expected = np.exp(-mixed[~unknown].mean(dtype=float))
    assert found.perplexity_excluding_oov == pytest.approx(expected)


def test_a_signature_says_what_was_used(repeated: Path) -> None:
    """Every setting of the cache and the passes of dropout are in it, beside dynamic evaluation."""
    run = run_of()
    dynamic = Dynamic(lr=0.001, method="sgd")
    signatures = [
        evaluate_text(run, repeated, **how).signature  # type: ignore[arg-type]
        for how in (
            {},
            {"cache": Cache(window=20)},
            {"cache": Cache(window=21)},
            {"cache": Cache(window=20, theta=0.25)},
            {"cache": Cache(window=20, weight=0.1234)},
            {"cache": Cache(window=20), "dynamic": dynamic},
            {"dynamic": dynamic},
            {"mc_dropout": 2},
            {"mc_dropout": 3},
            {"mc_dropout": 3, "stripes": 2},
        )
    ]
    assert len(set(signatures)) == len(signatures)
    assert signatures[1].endswith("|cache:window=20,theta=0.3,weight=0.1")
    assert "weight=0.1234" in signatures[4]
    assert f"dynamic:{dynamic.signature}|cache:window=20" in signatures[5]
    assert "method=sgd,lr=0.001" in signatures[5]
    assert "mc-dropout:3" in signatures[8]
    assert "stripes:2" in signatures[9]


@pytest.mark.parametrize(
    ("reading", "says"),
    [
        (Reading(cache=Cache(), stripes=2), "--stripes"),
        (Reading(dynamic=Dynamic(), stripes=2), "--stripes"),
        (Reading(cache=Cache(), mc_dropout=1), "--mc-dropout"),
        (Reading(dynamic=Dynamic(), mc_dropout=1), "--mc-dropout"),
        (Reading(dynamic=Dynamic(), cache=Cache(), mc_dropout=1), "--mc-dropout"),
        (Reading(dynamic=Dynamic(), cache=Cache()), None),
        (Reading(mc_dropout=2, stripes=4), None),
        (Reading(stripes=4), None),
        (Reading(cache=Cache(), stripes=1), None),
    ],
)
def test_ways_of_reading_that_exclude_each_other(reading: Reading, says: str | None) -> None:
    """One stream, one network; all else goes together."""
    if says is None:
        reading.check()
        return
    with pytest.raises(InputError, match=says):
        reading.check()


def test_models_without_hidden_vectors_are_refused(repeated: Path) -> None:
    """Counts have none, windows hide them, a mixture has those of its members: for `evaluate` and
    for tuning."""
    counts, window = NgramConfig(order=2).build, lambda size: Windowed(tiny(size), 4)
    for model in (counts, window, lambda size: mixed(size, counts(size), counts(size))):
        run = run_of(model)
        with pytest.raises(InputError, match="no hidden vectors"):
            evaluate_text(run, repeated, cache=Cache(window=20))
        with pytest.raises(InputError, match="no hidden vectors"):
            tune_cache(run, repeated)


def mixed(vocab_size: int, *members: Any) -> MixtureLM:
    weights = (1 / len(members),) * len(members)
    return MixtureLM(MixtureConfig(weights=weights), list(members), vocab_size)


@pytest.mark.parametrize("place", [0, 1])
def test_a_mixture_has_the_vectors_of_its_network(place: int, repeated: Path) -> None:
    """Wherever among the members it is: the mixture's probabilities, the network's situations."""

    def build(size: int) -> MixtureLM:
        counts = NgramConfig(order=3, smoothing="witten-bell").build(size)
        counts.fit(np.array(run_of().tokenizer.encode(LINES)))
        members = [counts]
        members.insert(place, tiny(size))
        return mixed(size, *members)

    run = run_of(build)
    network = run.model.members[place]  # type: ignore[attr-defined]
    cache = Cache(window=60, theta=0.4, weight=0.3)
    expected = by_hand(run, ids_of(run, repeated), cache, network)
    assert evaluate_text(run, repeated, cache=cache).nll == pytest.approx(expected, rel=1e-5)


# ---------------------------------------------------------------------------------- command line


TINY = {
    "text.tokenizer": "word", "model.hidden": 12, "model.embedding": 8, "train.epochs": 1,
    "train.batch_size": 4, "train.bptt": 10,
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A text, and runs that learnt it: with dropout, without, on windows, counts, and a mixture."""
    folder = tmp_path_factory.mktemp("runs")
    text = folder / "TEXT"
    lines = "the cat sat on the mat .\nthe dog ate the cat .\n"
    text.write_text(lines * 12, encoding="utf-8")
    (folder / "SHORT").write_text(lines * 5, encoding="utf-8")
    for name, settings in (
        ("RUN", {}),
        ("DRY", dict.fromkeys((f"model.dropout_{k}" for k in ("input", "hidden", "output")), 0)),
        ("WINDOWS", {"train.stream": "windows"}),
    ):
        nextword.train("lstm", text, folder / name, overrides=TINY | settings, quiet=True)
    nextword.train("ngram", text, folder / "COUNTS", start_from=folder / "RUN", quiet=True)
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in (
            "train", "mixture", folder / "RUN", folder / "COUNTS", "--valid", text,
            "--out", folder / "MIXTURE", "--quiet", "--set", "model.weights=[0.6, 0.4]",
        )])  # fmt: skip
    assert end.value.code == 0
    shutil.copytree(folder / "RUN", folder / "BARE", ignore=shutil.ignore_patterns("data"))
    return {path.name: path for path in folder.iterdir()}


def words_of(command: str, runs: dict[str, Path]) -> list[str]:
    return [str(runs.get(word, word)) for word in command.split()]


GOOD = [
    "RUN --cache --cache-set window=50",
    "RUN --cache --cache-set window=50 --cache-set theta=0.7 --cache-set weight=0.25",
    "RUN --cache --cache-set window=50 --dynamic",
    "RUN --cache --tune TEXT",
    "RUN --cache --tune SHORT --tune SHORT --dynamic --dynamic-set method=sgd",
    "RUN --dynamic --dynamic-set method=rms",
    "RUN --mc-dropout 3",
    "RUN --mc-dropout 2 --stripes 4",
    "WINDOWS --mc-dropout 2",
    "MIXTURE --cache --cache-set window=50",
    "MIXTURE --cache --tune TEXT",
    "MIXTURE --cache --cache-set window=50 --dynamic",
]


@pytest.mark.parametrize("command", GOOD)
def test_evaluate_on_the_command_line(command: str, cli: Cli, runs: dict[str, Path]) -> None:
    """As from Python, signed with what was used; no accuracy where it is not known; the run's
    files are as they were."""
    run, *rest = command.split()
    before = snapshot(runs[run])
    status, out, err = cli(
        "evaluate", runs[run], "--data", runs["TEXT"], *words_of(" ".join(rest), runs), "--json"
    )
    assert status == 0, err
    found = json.loads(out)
    assert snapshot(runs[run]) == before
    cache = Cache(window=50) if "--cache" in rest else None
    dynamic = Dynamic() if "--dynamic" in rest else None
    how: dict[str, Any] = {}
    if "theta=0.7" in rest:
        cache = Cache(window=50, theta=0.7, weight=0.25)
    if dynamic and rest[-1].startswith("method"):
        dynamic = Dynamic(method=rest[-1].partition("=")[2])
    if "--tune" in rest:
        tuned = [runs[word] for option, word in pairwise(rest) if option == "--tune"]
        cache = tune_cache(nextword.load(runs[run]), tuned, dynamic=dynamic)
    if "--mc-dropout" in rest:
        how["mc_dropout"] = int(rest[1])
        how["stripes"] = 4 if "--stripes" in rest else 1
    expected = evaluate_text(
        nextword.load(runs[run]), runs["TEXT"], cache=cache, dynamic=dynamic, **how
    )
    assert found["nll"] == pytest.approx(expected.nll, rel=1e-9)
    assert found["signature"] == expected.signature
    assert ("cache:" in found["signature"]) == (cache is not None)
    assert ("mc-dropout:" in found["signature"]) == ("mc_dropout" in how)
    assert (found["accuracy"] is None) == (cache is not None or "mc_dropout" in how)
    if cache is None or cache.weight:
        plain = evaluate_text(nextword.load(runs[run]), runs["TEXT"])
        assert found["nll"] != pytest.approx(plain.nll, rel=1e-9)


def test_a_table_without_what_is_not_known(cli: Cli, runs: dict[str, Path]) -> None:
    """No line for the accuracy with a cache, one without."""
    command = ["evaluate", runs["RUN"], "--data", runs["TEXT"]]
    assert "accuracy" in cli(*command)[1]
    status, out, _ = cli(*command, "--cache", "--cache-set", "window=50")
    assert status == 0
    assert "accuracy" not in out
    assert "cache:window=50,theta=0.3,weight=0.1" in out


def test_tuning_finds_the_repetition(cli: Cli, runs: dict[str, Path]) -> None:
    """On its own text a tuned cache is better than none and than the usual one."""
    command = ["evaluate", runs["RUN"], "--data", runs["TEXT"], "--json"]
    nll = [
        json.loads(cli(*command, *words_of(rest, runs))[1])["nll"]
        for rest in ("--cache --tune TEXT", "--cache --cache-set window=50", "")
    ]
    assert nll[0] < nll[1] < nll[2]


BAD = {
    "counts": ("COUNTS --cache --cache-set window=5", "no hidden vectors"),
    "counts tuned": ("COUNTS --cache --tune TEXT", "no hidden vectors"),
    "windows": ("WINDOWS --cache --cache-set window=5", "no hidden vectors"),
    "windows tuned": ("WINDOWS --cache --tune TEXT", "no hidden vectors"),
    "stripes": ("RUN --cache --cache-set window=5 --stripes 2", "--stripes"),
    "dropout and cache": ("RUN --cache --cache-set window=5 --mc-dropout 2", "--mc-dropout"),
    "dropout and dynamic": ("RUN --dynamic --mc-dropout 2", "--mc-dropout"),
    "too large": ("RUN --cache", "--cache-set window="),
    "just too large": ("RUN --cache --cache-set window=180", "--cache-set window=90"),
    "set without": ("RUN --cache-set window=5", "--cache-set needs --cache"),
    "tune without": ("RUN --tune TEXT", "--tune needs --cache"),
    "both": ("RUN --cache --cache-set window=5 --tune TEXT", "leave --cache-set out"),
    "unknown key": ("RUN --cache --cache-set windw=5", "did you mean 'window'"),
    "no window": ("RUN --cache --cache-set window=0", "window must be 1 or more, not 0"),
    "half a token": ("RUN --cache --cache-set window=1.5", "a whole number, not 1.5"),
    "a word": ("RUN --cache --cache-set window=many", "window must be a whole number, not 'many'"),
    "theta": ("RUN --cache --cache-set theta=-1", "theta must be 0 or more, not -1"),
    "theta not a number": ("RUN --cache --cache-set theta=nan", "a finite number, not nan"),
    "theta endless": ("RUN --cache --cache-set theta=inf", "a finite number, not inf"),
    "all of it": ("RUN --cache --cache-set weight=1", "weight must be less than 1, not 1"),
    "less than nothing": ("RUN --cache --cache-set weight=-0.1", "0 or more, not -0.1"),
    "weight not a number": ("RUN --cache --cache-set weight=nan", "a finite number, not nan"),
    "no equals": ("RUN --cache --cache-set window", "="),
    "no file": ("RUN --cache --tune nowhere.txt", "no file 'nowhere.txt'"),
    "no passes": ("RUN --mc-dropout -1", "--mc-dropout"),
    "passes not a number": ("RUN --mc-dropout some", "--mc-dropout"),
    "no dropout": ("DRY --mc-dropout 2", "no dropout"),
    "counts without dropout": ("COUNTS --mc-dropout 2", "no dropout"),
    "mixture without dropout": ("MIXTURE --mc-dropout 2", "no dropout"),
    "text is gone": ("BARE --dynamic --dynamic-set method=rms", "method=running"),
    "mixture has no text": ("MIXTURE --dynamic --dynamic-set method=rms", "method=running"),
    "counts learn nothing": ("COUNTS --dynamic --dynamic-set method=rms", "nothing to adapt"),
    "momentum": ("RUN --dynamic --dynamic-set method=rms --dynamic-set momentum=0.5", "momentum"),
    "unknown method": ("RUN --dynamic --dynamic-set method=rsm", "method"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_so(
    name: str, cli: Cli, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that says what is wrong, status 2, nothing printed or changed."""
    monkeypatch.chdir(tmp_path)
    command, says = BAD[name]
    words = words_of(command, runs)
    before = snapshot(Path(words[0]))
    status, out, err = cli("evaluate", *words, "--data", runs["TEXT"], "--json")
    assert (status, out) == (2, ""), err
    assert err.count("\n") == 1, err
    assert err.startswith("nextword: ")
    assert says in err
    assert snapshot(Path(words[0])) == before


def test_rms_looks_at_the_text_of_the_run(runs: dict[str, Path]) -> None:
    """The ids it was trained on, not those it reads."""
    run = nextword.load(runs["RUN"])
    found = evaluate_text(run, runs["TEXT"], dynamic=Dynamic(method="rms", lr=0.01))
    ids = ids_of(run, runs["TEXT"])
    learnt = load_ids(runs["RUN"] / "data" / "train")
    assert 0 < len(learnt) < len(ids)  # the end was held out
    np.testing.assert_array_equal(learnt, ids[: len(learnt)])
    expected = score_dynamic(run.model, ids, CPU, Dynamic(method="rms", lr=0.01), learnt=learnt)
    assert found.nll == pytest.approx(expected.nll, rel=1e-9)


def load_ids(folder: Path) -> Array:
    from nextword.text.corpus import open_corpus

    return np.array(open_corpus(folder).ids)


def test_a_loaded_text_is_what_is_scored(runs: dict[str, Path], tmp_path: Path) -> None:
    """The tests above take the text's ids from the tokenizer; so does `evaluate`."""
    run = nextword.load(runs["RUN"])
    corpus = load_text(run, runs["TEXT"], str(tmp_path / "corpus"))
    np.testing.assert_array_equal(corpus.ids, ids_of(run, runs["TEXT"]))
