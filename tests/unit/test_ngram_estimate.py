"""Estimation: the same bits with much and with little memory; entropy pruning by brute force."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextword import registry
from nextword.errors import InputError
from nextword.ngram import estimate as estimate_module
from nextword.ngram import pruning, table_from_orders
from nextword.ngram.estimate import Estimated, estimate
from nextword.ngram.settings import NgramSettings
from nextword.ngram.storage import Storage, resident
from nextword.ngram.trie import LOG_PROB
from nextword.text.tokenizer import EOS
from tests.support import bounded, text_of

METHODS = registry.names("smoothing")
Gram = tuple[int, ...]


def assert_same(one: Estimated, two: Estimated) -> None:
    """The same to the bit."""
    assert one.sizes == two.sizes
    assert one.notes == two.notes
    assert np.array_equal(one.table.offsets, two.table.offsets)
    assert np.array_equal(one.table.nodes, two.table.nodes)
    assert np.array_equal(one.table.contexts, two.table.contexts)
    for mine, others in zip(one.parameters, two.parameters, strict=True):
        assert mine == pytest.approx(others, rel=1e-12)  # sums of Jelinek-Mercer in pieces


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("prune", [(), (0, 1), (0, 0, 1, 2)], ids=str)
@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("name", METHODS)
def test_little_memory_gives_the_same_bits(
    name: str,
    order: int,
    prune: tuple[int, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In files, a few n-grams at a time, windows smaller than every order: the same model."""
    ids = text_of(1500, 20)
    passes: list[int] = []
    spans = Storage.spans

    def spy(storage: Storage, total: int) -> Iterator[tuple[int, int]]:
        found = list(spans(storage, total))
        passes.append(len(found))
        yield from found

    for interpolate in (True, False):
        settings = NgramSettings(
            order=order, smoothing=name, interpolate=interpolate, prune=prune[:order]
        )
        whole = estimate(ids, 20, settings)
        with monkeypatch.context() as patch:
            patch.setattr(Storage, "spans", spy)
            patch.setattr(Storage, "piece_size", 50)
            patch.setattr(Storage, "window", 13 if order == 2 else 150)
            storage = bounded(tmp_path / str(interpolate), 40_000)
            assert_same(whole, estimate(ids, 20, settings, storage=storage))
    assert max(passes, default=1) > 1 or order == 1


@pytest.mark.parametrize("work", [40_000, 100_000, 1 << 20, 1 << 27])
@pytest.mark.parametrize("name", ["modified-kneser-ney", "jelinek-mercer"])
def test_any_amount_of_memory(name: str, work: int, tmp_path: Path) -> None:
    """With pieces and windows as they follow from the bound; the ids in a file of two bytes each,
    the table in files too."""
    ids = text_of(6000, 300)
    ids.astype(np.uint16).tofile(tmp_path / "ids")
    mapped = np.memmap(tmp_path / "ids", np.uint16, "r")
    storage = bounded(tmp_path / "work", work)

    def allocate(offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shapes = (int(offsets[-1]), 3), (int(offsets[-2]) + 1, 3)
        nodes, contexts = (
            np.memmap(tmp_path / f"{at}.out", np.uint32, "w+", shape=shape)
            for at, shape in enumerate(shapes)
        )
        return nodes, contexts

    settings = NgramSettings(order=4, smoothing=name, prune=(0, 0, 1))
    made = estimate(mapped, 300, settings, storage=storage, allocate=allocate)
    assert isinstance(made.table.nodes, np.memmap)
    assert_same(estimate(ids, 300, settings), made)


@pytest.mark.parametrize("nodes", [1, 2, 7, 100])
@pytest.mark.parametrize("name", METHODS)
def test_any_size_of_pieces(name: str, nodes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory: pieces of any size, down to a single context, give the same bits."""
    ids = text_of(300, 12)
    settings = NgramSettings(order=3, smoothing=name, prune=(0, 0, 1))
    whole = estimate(ids, 12, settings)
    monkeypatch.setattr(Storage, "piece_size", nodes)
    assert_same(whole, estimate(ids, 12, settings))


@given(
    ids=st.lists(st.sampled_from([0, EOS, EOS, 2, 3, 4]), max_size=40),
    name=st.sampled_from(METHODS),
    order=st.integers(1, 4),
    prune=st.sampled_from([(), (0, 1)]),
    nodes=st.integers(1, 9),
    window=st.integers(1, 9),
)
def test_any_text_in_little_memory(
    ids: list[int],
    name: str,
    order: int,
    prune: tuple[int, ...],
    nodes: int,
    window: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """No text, one line or many, every piece and every window a few numbers long."""
    array = np.array(ids, np.uint32)
    settings = NgramSettings(order=order, smoothing=name, prune=prune[:order])
    whole = estimate(array, 6, settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Storage, "piece_size", nodes)
        patch.setattr(Storage, "window", window)
        storage = bounded(tmp_path_factory.mktemp("estimate"), 1 << 16)
        assert_same(whole, estimate(array, 6, settings, storage=storage))


def test_a_bound_that_is_too_small(tmp_path: Path) -> None:
    """A bound that leaves the program no room is refused, and the least that does is told."""
    Storage(tmp_path, resident() + (256 << 20))  # what it does to memory it has done after that
    with pytest.raises(InputError, match="too small to work with") as error:
        Storage(tmp_path, resident() + (1 << 20))
    least = re.search(r"at least (\d+)MB", str(error.value))
    assert least is not None
    storage = Storage(tmp_path, int(least[1]) << 20)
    assert storage.bounded
    assert_same(
        estimate(text_of(1500, 20), 20, NgramSettings(order=3), storage=storage),
        estimate(text_of(1500, 20), 20, NgramSettings(order=3)),
    )
    assert resident() < (int(least[1]) << 20) + (64 << 20)


def test_storage_in_files(tmp_path: Path) -> None:
    """What was appended or filled in is read back, `gather` and `spans` in several passes too;
    `drop` removes a file, the others stay until the folder goes."""
    storage = bounded(tmp_path, 16 * 10)  # a window of ten numbers
    assert storage.window == 10
    appender = storage.appender(np.uint32)
    for part in (np.arange(5), np.zeros(0), np.arange(5, 37)):
        appender.append(part)
    values = appender.close()
    assert values.tolist() == list(range(37)) and values.dtype == np.uint32
    assert list(storage.spans(37)) == [(0, 10), (10, 20), (20, 30), (30, 37)]
    places = np.random.default_rng(0).permutation(37)
    get = storage.gather(values, places)
    assert get(0, 37).tolist() == places.tolist()
    assert get(20, 25).tolist() == places[20:25].tolist()
    full = storage.zeros(11, np.float32)
    assert not full.any()
    full[3:5] = 2.5
    storage.release()
    assert full.tolist() == [0, 0, 0, 2.5, 2.5, 0, 0, 0, 0, 0, 0]
    before = set(tmp_path.iterdir())
    assert len(storage.appender(np.bool_).close()) == 0
    assert set(tmp_path.iterdir()) == before  # of an empty array no file stays


def test_storage_in_memory() -> None:
    """Without a bound there is one pass and no file."""
    storage = Storage()
    appender = storage.appender(np.uint32)
    for part in (np.arange(5), np.arange(5, 37)):
        appender.append(part)
    values = appender.close()
    assert values.tolist() == list(range(37)) and values.dtype == np.uint32
    assert not isinstance(values, np.memmap)
    assert list(storage.spans(1 << 30)) == [(0, 1 << 30)]
    assert storage.gather(values, np.array([3, 1, 1]))(1, 3).tolist() == [1, 1]
    assert len(storage.appender(np.bool_).close()) == 0


# ---------------------------------------------------------------- entropy pruning


@cache
def captured(
    settings: NgramSettings, vocab_size: int = 12
) -> tuple[list[Any], int, list[list[Gram]]]:
    """The orders of a model before entropy pruning, the tokens, and the n-grams by order."""
    found: list[Any] = []

    def spy(orders: list[Any], threshold: float, tokens: int) -> None:
        found.extend([copy.deepcopy(orders), tokens])
        keep_all(orders)

    def keep_all(orders: list[Any]) -> None:
        for order in orders:
            if order.keep is None:
                order.keep = np.ones(len(order), np.bool_)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimate_module, "prune_by_entropy", spy)
        estimate(
            text_of(400, vocab_size), vocab_size, settings.model_copy(update={"prune_entropy": 0.5})
        )
    orders, tokens = found
    keep_all(orders)
    grams: list[list[Gram]] = [[(word,) for word in range(vocab_size)]]
    for order, below in zip(orders[1:], orders, strict=False):
        parents = np.repeat(np.arange(len(below)), below.followers).tolist()
        grams.append(
            [(*grams[-1][h], w) for h, w in zip(parents, order.words.tolist(), strict=True)]
        )
    return orders, tokens, grams


def brute_force(settings: NgramSettings) -> list[dict[Gram, float]]:
    """Per order, for every n-gram e^D - 1, D being p(h) times the relative entropy between the
    distributions over all words after h with and without it."""
    orders, tokens, grams = captured(settings)
    kept = [
        {
            gram: float(p)
            for gram, p, keep in zip(names, order.prob, order.keep, strict=True)
            if keep
        }
        for names, order in zip(grams, orders, strict=True)
    ]
    times = [
        dict(zip(names, order.counts.tolist(), strict=True))
        for names, order in zip(grams, orders, strict=True)
    ]
    words = range(len(orders[0]))

    def after(context: Gram, without: Gram | None = None) -> np.ndarray:
        """The distribution after a context, the kept n-grams having their probabilities and the
        others, in the proportions of the shorter context, what is left."""
        if not context:
            return np.array([kept[0][(word,)] for word in words])
        lower = after(context[1:])
        seen = kept[len(context)]
        stay = [(*context, w) in seen and (*context, w) != without for w in words]
        own = np.array([seen.get((*context, w), 0.0) for w in words])
        left = 1 - own[stay].sum()
        return np.where(stay, own, lower * (left / lower[~np.array(stay)].sum()))

    changes: list[dict[Gram, float]] = [{}]
    for k in range(2, len(orders) + 1):
        changes.append({})
        for gram in kept[k - 1]:
            context = gram[:-1]
            share = sum(n for other, n in times[k - 1].items() if other[:-1] == context) / tokens
            one, two = after(context), after(context, without=gram)
            changes[-1][gram] = float(np.expm1(share * (one * np.log(one / two)).sum()))
    return changes


MODELS = [
    NgramSettings(order=2, smoothing="modified-kneser-ney"),
    NgramSettings(order=3, smoothing="modified-kneser-ney"),
    NgramSettings(order=3, smoothing="witten-bell", interpolate=False),
    NgramSettings(order=3, smoothing="absolute-discounting", prune=(0, 0, 1)),
    NgramSettings(order=4, smoothing="jelinek-mercer"),
]
THRESHOLDS = [1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 0.5]


def pruned(settings: NgramSettings, threshold: float) -> list[dict[Gram, bool]]:
    """Per order, which n-grams stay."""
    orders, tokens, grams = captured(settings)
    orders = copy.deepcopy(orders)
    pruning.prune_by_entropy(orders, threshold, tokens)
    return [
        dict(zip(names, order.keep.tolist(), strict=True))
        for names, order in zip(grams, orders, strict=True)
    ]


@pytest.mark.parametrize("settings", MODELS, ids=lambda s: f"{s.smoothing} {s.order}")
def test_pruned_by_relative_entropy(settings: NgramSettings) -> None:
    """Each n-gram of the highest order goes just above its e^D - 1 and stays just below."""
    changes = brute_force(settings)[-1]
    assert len(changes) > 40
    tried = 0
    for gram, change in sorted(changes.items())[::5]:
        if change > 1e-6:  # below, single precision has its say
            assert pruned(settings, change * (1 - 1e-4))[-1][gram], gram
            assert not pruned(settings, change * (1 + 1e-4))[-1][gram], gram
            tried += 1
    assert tried > 8


@pytest.mark.parametrize("settings", MODELS, ids=lambda s: f"{s.smoothing} {s.order}")
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_pruned_from_the_longest_down(settings: NgramSettings, threshold: float) -> None:
    """All orders: an n-gram stays if leaving it out changes enough or if a longer one that stays
    begins with it; unigrams, and those that the counts pruned, do not change."""
    changes = brute_force(settings)
    orders, _, grams = captured(settings)
    got = pruned(settings, threshold)
    needed: set[Gram] = set()
    for k in range(len(orders), 1, -1):
        stay: set[Gram] = set()
        for gram, here in zip(grams[k - 1], orders[k - 1].keep.tolist(), strict=True):
            if not here:
                assert not got[k - 1][gram]
                continue
            change = changes[k - 1][gram]
            if abs(change - threshold) > 1e-4 * threshold + 1e-8 or gram in needed:
                assert got[k - 1][gram] == (change >= threshold or gram in needed), gram
            if got[k - 1][gram]:
                stay.add(gram)
        needed = {gram[:-1] for gram in stay}
    assert all(got[0].values())


@pytest.mark.parametrize("settings", MODELS, ids=lambda s: f"{s.smoothing} {s.order}")
def test_what_is_left_is_a_model(settings: NgramSettings) -> None:
    """The higher the threshold the fewer n-grams; those that stay keep their probabilities,
    distributions sum to one, and a longer n-gram's beginning is there."""
    ids = text_of(400, 12)
    full = estimate(ids, 12, settings)
    sizes = [full.table.sizes]
    for threshold in THRESHOLDS:
        made = estimate(ids, 12, settings.model_copy(update={"prune_entropy": threshold}))
        table = made.table
        assert made.sizes == full.sizes
        for state in range(len(table.contexts) - 1):
            p = 10 ** table.distribution(state).astype(np.float64)
            assert p.sum() == pytest.approx(1, abs=1e-5)
        names = pruned(settings, threshold)
        assert table.sizes == [sum(keep.values()) for keep in names]
        for stay in names:
            for gram, keep in stay.items():
                node, before = table.find(gram), full.table.find(gram)
                assert (node is not None) == keep
                if node is not None:
                    assert before is not None
                    assert table.nodes[node, LOG_PROB] == full.table.nodes[before, LOG_PROB]
        assert all(a <= b for a, b in zip(table.sizes, sizes[-1], strict=True))
        sizes.append(table.sizes)
    assert len({sum(counts) for counts in sizes}) > 4
    assert sizes[-1] == [12] + [0] * (settings.order - 1)


def test_a_tiny_threshold_changes_nothing_that_matters() -> None:
    """What goes at 1e-12 are n-grams that say what the shorter ones say: probabilities change by
    the square root of it at most, as entropy does by squares."""
    ids = text_of(400, 12)
    gone = 0
    for settings in MODELS:
        full = estimate(ids, 12, settings).table
        made = estimate(ids, 12, settings.model_copy(update={"prune_entropy": 1e-12})).table
        assert sum(made.sizes) > 0.6 * sum(full.sizes)
        gone += sum(full.sizes) - sum(made.sizes)
        assert made.score(ids)[0] == pytest.approx(full.score(ids)[0], abs=1e-4)
    assert gone > 10


def test_not_with_a_memory_bound(tmp_path: Path) -> None:
    """Entropy pruning needs everything in memory, and says so."""
    with pytest.raises(InputError, match="entropy pruning needs all n-grams in memory"):
        estimate(
            text_of(400, 12),
            12,
            NgramSettings(order=2, prune_entropy=0.1),
            storage=bounded(tmp_path, 1 << 20),
        )


def test_too_many_ngrams(monkeypatch: pytest.MonkeyPatch) -> None:
    """More n-grams than 32 bits number are refused before anything is made."""
    monkeypatch.setattr(table_from_orders, "_kept", lambda order, storage: 1 << 32)
    with pytest.raises(InputError, match="more than a model holds"):
        estimate(text_of(400, 12), 12, NgramSettings(order=2, prune=(0, 1)))
