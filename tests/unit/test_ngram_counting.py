"""Counting n-grams: what a dictionary would count, in memory and on disk."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextword.errors import InputError
from nextword.ngram import counting, partition
from nextword.ngram.counting import NgramCounts, count_ngrams
from nextword.ngram.storage import Storage
from nextword.text.tokenizer import EOS
from tests.support import bounded

V = 7
Gram = tuple[int, ...]

token_lists = st.lists(st.sampled_from([EOS, EOS, *range(V)]), max_size=60)


def naive(ids: list[int], order: int) -> list[Counter[Gram]]:
    """By definition: every line with <eos> before and after it; what lies within."""
    lines = [[]]
    for word in ids:
        if word == EOS:
            lines.append([])
        else:
            lines[-1].append(word)
    if len(lines) > 1 and not lines[-1]:
        lines.pop()  # the last line had an end
    found: list[Counter[Gram]] = [Counter() for _ in range(order)]
    for words in lines:
        line = [EOS, *words, EOS]
        found[0].update((word,) for word in line[1:])
        for k in range(2, order + 1):
            found[k - 1].update(zip(*(line[at:] for at in range(k)), strict=False))
    return found


def ngrams(counts: NgramCounts) -> list[list[Gram]]:
    """The n-grams of each order, put together from words and followers."""
    orders: list[list[Gram]] = [[(int(word),) for word in counts.words[0]]]
    for words, followers in zip(counts.words[1:], counts.followers, strict=True):
        contexts = np.repeat(np.arange(len(orders[-1])), followers)
        assert len(contexts) == len(words)
        orders.append(
            [(*orders[-1][c], w) for c, w in zip(contexts.tolist(), words.tolist(), strict=True)]
        )
    return orders


def check(counts: NgramCounts, ids: list[int], order: int, vocab_size: int) -> None:
    """The counts are the naive ones, and the structure is what the docstrings say."""
    expected = naive(ids, order)
    orders = ngrams(counts)
    assert counts.order == order
    assert len(counts) == sum(map(len, orders))
    assert counts.tokens == expected[0].total()
    assert counts.words[0].tolist() == list(range(vocab_size))
    assert counts.counts[0].tolist() == [expected[0][(word,)] for word in range(vocab_size)]
    for k in range(1, order):
        assert dict(zip(orders[k], counts.counts[k].tolist(), strict=True)) == expected[k]
    for k, grams in enumerate(orders):
        assert grams == sorted(set(grams))
        if k:
            assert {gram[1:] for gram in grams} <= set(orders[k - 1])
    for arrays in (counts.words, counts.counts, counts.followers):
        assert all(array.dtype == np.uint32 for array in arrays)


def text_of(tokens: int, vocab_size: int, length: int, seed: int = 0) -> np.ndarray:
    """Tokens in lines of about `length` words, a few words being frequent."""
    rng = np.random.default_rng(seed)
    ids = 2 + (rng.random(tokens) ** 3 * (vocab_size - 2)).astype(np.uint32)
    ids[rng.random(tokens) < 1 / length] = EOS
    ids[-1] = EOS
    return ids


# ---------------------------------------------------------------- in memory


@given(ids=token_lists, order=st.integers(1, 6), dtype=st.sampled_from([np.uint16, np.uint32]))
def test_as_a_dictionary_counts(ids: list[int], order: int, dtype: type) -> None:
    """n-grams, their counts and their order, whatever the text."""
    check(count_ngrams(np.array(ids, dtype), V, order, Storage()), ids, order, V)


@pytest.mark.parametrize(
    "ids",
    [[], [EOS], [2], [2, EOS], [EOS, EOS, EOS], [2, 2, 2, 2, 2], [0], [0, EOS], [EOS, 2]],
    ids=str,
)
@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_hardly_anything(ids: list[int], order: int, tmp_path: Path) -> None:
    """No text (one empty line), empty lines, one word, with and without an end."""
    array = np.array(ids, np.uint32)
    check(count_ngrams(array, V, order, Storage()), ids, order, V)
    check(count_ngrams(array, V, order, bounded(tmp_path, 1 << 20)), ids, order, V)


def test_by_hand() -> None:
    """Two lines, the second without an end: nothing crosses from one to the other, <eos> comes
    first as the beginning and last as the end."""
    counts = count_ngrams(np.array([2, 3, EOS, 2, 3, 2], np.uint32), 4, 3, Storage())
    assert counts.tokens == 7
    assert counts.counts[0].tolist() == [0, 2, 3, 2]
    bigrams = [(EOS, 2), (2, EOS), (2, 3), (3, EOS), (3, 2)]
    trigrams = [(EOS, 2, 3), (2, 3, EOS), (2, 3, 2), (3, 2, EOS)]
    assert ngrams(counts)[1:] == [bigrams, trigrams]
    assert [c.tolist() for c in counts.counts[1:]] == [[2, 1, 2, 1, 1], [2, 1, 1, 1]]
    assert [f.tolist() for f in counts.followers] == [[0, 1, 2, 2], [1, 0, 2, 0, 1]]


@pytest.mark.parametrize("length", [10**9, 20], ids=["one line", "many lines"])
@pytest.mark.parametrize("order", [1, 3])
def test_a_long_text(order: int, length: int) -> None:
    """200,000 tokens: groups of tens of thousands of places are sorted as well as small ones."""
    ids = text_of(200_000, 50, length)
    check(count_ngrams(ids, 50, order, Storage()), ids.tolist(), order, 50)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_threads(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are joined in their order however many threads work on them."""
    monkeypatch.setattr(Storage, "workers", workers)
    ids = text_of(3000, 30, 10)
    check(count_ngrams(ids, 30, 4, Storage()), ids.tolist(), 4, 30)


def test_words_that_never_come() -> None:
    """A vocabulary larger than the text's: unigrams without count or followers."""
    counts = count_ngrams(np.array([5, EOS], np.uint32), 1000, 2, Storage())
    check(counts, [5, EOS], 2, 1000)
    assert counts.followers[0].sum() == 2


def test_progress_adds_up() -> None:
    """Progress counts every token, the ends of lines too."""
    seen: list[int] = []
    counts = count_ngrams(text_of(5000, 30, 10), 30, 3, Storage(), seen.append)
    assert sum(seen) == counts.tokens == 5000


def test_too_long() -> None:
    """2^32 tokens are more than places can number."""
    ids = np.broadcast_to(np.uint32(2), (2**32,))  # takes no memory
    with pytest.raises(InputError, match="more than one count holds"):
        count_ngrams(ids, 3, 2, Storage())


# ---------------------------------------------------------------- on disk


@pytest.fixture
def _small_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the ids in pieces of few tokens."""
    monkeypatch.setattr(partition, "_READ", 37)


def assert_equal(one: NgramCounts, two: NgramCounts) -> None:
    """Array for array."""
    assert one.tokens == two.tokens
    for mine, others in (
        (one.words, two.words),
        (one.counts, two.counts),
        (one.followers, two.followers),
    ):
        assert len(mine) == len(others)
        for a, b in zip(mine, others, strict=True):
            assert a.dtype == b.dtype
            assert np.array_equal(a, b)


@pytest.mark.usefixtures("_small_reads")
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_on_disk_as_in_memory(
    order: int, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With less and less memory there are more and more parts, at last several for one word; the
    counts stay the same, until the bound is too small for the text and that is said."""
    ids = text_of(3000, 30, 10)
    whole = count_ngrams(ids, 30, order, Storage())
    check(whole, ids.tolist(), order, 30)
    monkeypatch.setattr(Storage, "workers", workers)
    refine = counting.refine
    firsts: list[int] = []

    def spy(part: Any, order: int) -> Any:
        firsts.append(part.first)
        return refine(part, order)

    monkeypatch.setattr(counting, "refine", spy)
    most, split = 0, False
    refused: list[str] = []
    for power in range(24, 8, -1):
        for work in (1 << power, 3 << power - 1):
            firsts.clear()
            try:
                disk = count_ngrams(ids, 30, order, bounded(tmp_path / str(work), work))
            except InputError as error:
                refused.append(str(error))
                continue
            assert_equal(whole, disk)
            assert sorted(firsts) == firsts
            most = max(most, len(firsts))
            split |= len(set(firsts)) < len(firsts)
    assert refused
    assert all("too small for this text" in message for message in refused)
    assert most > 4
    assert split == (order > 1)


@pytest.mark.usefixtures("_small_reads")
@given(ids=token_lists, order=st.integers(1, 6), capacity=st.integers(0, 14))
def test_any_text_in_little_memory(
    ids: list[int], order: int, capacity: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Texts of no, one or many lines, in parts of a few n-grams."""
    storage = bounded(tmp_path_factory.mktemp("counts"), capacity * 200)
    try:
        counts = count_ngrams(np.array(ids, np.uint32), V, order, storage)
    except InputError:
        # a word, or a pair, is by itself more than there is room for
        pairs = naive(ids, min(2, order))[-1].most_common(1)[0][1]
        assert pairs > capacity
        return
    check(counts, ids, order, V)


def test_the_memory_asked_for_is_enough(tmp_path: Path) -> None:
    """The error says how much more it takes, and with that it works."""
    ids = np.array([2, 3] * 30_000, np.uint32)
    storage = bounded(tmp_path, 1 << 20)
    bound = storage.bound
    assert bound is not None
    with pytest.raises(InputError, match="too small for this text") as error:
        count_ngrams(ids, 4, 3, storage)
    words = str(error.value).split()
    assert words[0] == f"train.memory={bound >> 20}MB"
    megabytes = int(words[-1].removesuffix("MB"))
    assert (bound >> 20) < megabytes < (bound >> 20) + 32
    enough = bounded(tmp_path, (1 << 20) + (megabytes << 20) - bound)
    assert_equal(count_ngrams(ids, 4, 3, enough), count_ngrams(ids, 4, 3, Storage()))


def test_files(tmp_path: Path) -> None:
    """On disk every array but the unigrams' is a file, read only, and no other is left; in memory
    there is none."""
    ids = text_of(3000, 30, 10)
    storage = bounded(tmp_path, 1 << 24)
    counts = count_ngrams(ids, 30, 4, storage)
    arrays = [*counts.words[1:], *counts.counts[1:], *counts.followers[1:]]
    assert len(arrays) == 3 + 3 + 2
    for array in arrays:
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable
    sizes = sorted(path.stat().st_size for path in tmp_path.iterdir())
    assert sizes == sorted(array.nbytes for array in arrays)
    storage.release()
    check(counts, ids.tolist(), 4, 30)  # what was let go is read again
    assert not any(
        isinstance(array, np.memmap) for array in count_ngrams(ids, 30, 2, Storage()).words
    )


def test_ids_from_a_file(tmp_path: Path) -> None:
    """Ids that are mapped from a file, two bytes each as a corpus has them."""
    ids = text_of(3000, 30, 10)
    ids.astype(np.uint16).tofile(tmp_path / "ids")
    mapped = np.memmap(tmp_path / "ids", np.uint16, "r")
    for storage in (Storage(), bounded(tmp_path / "tmp", 1 << 20)):
        check(count_ngrams(mapped, 30, 3, storage), ids.tolist(), 3, 30)
