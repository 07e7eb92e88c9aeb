"""What BERT is pre-trained on: pairs of pieces, and which words are hidden."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nextword.config import TrainConfig
from nextword.data.masked import SHARE, Masked, mask_words, truncate
from nextword.errors import InputError
from nextword.text.corpus import Corpus, Counts
from nextword.text.tokenizer import EOS, UNK
from nextword.text.wordpiece import CLS, MARKS, MASK, PAD

FIRST = len(MARKS)


def text(documents: int = 6, sentences: int = 8, seed: int = 0) -> np.ndarray:
    """Documents of sentences; every token says where it stands, so that neighbours are known."""
    rng = np.random.default_rng(seed)
    ids: list[int] = []
    token = FIRST
    for _ in range(documents):
        for _ in range(sentences):
            length = int(rng.integers(2, 7))
            ids += [*range(token, token + length), EOS]
            token += length
        ids.append(EOS)  # an empty line
    return np.array(ids, dtype=np.uint16)


IDS = text()


def rows(stream: Masked) -> list[tuple[list[int], list[int], bool]]:
    """The two pieces of every sequence, unmasked, and whether they are said to be neighbours."""
    found = []
    for batch in stream:
        for tokens, real, segments, label in zip(
            batch.targets, batch.real, batch.segments, batch.labels, strict=True
        ):
            whole = tokens[real].tolist()
            assert whole[0] == CLS and whole[-1] == EOS
            assert not tokens[~real].ne(PAD).any() and not segments[~real].any()
            middle = whole.index(EOS)
            a, b = whole[1:middle], whole[middle + 1 : -1]
            assert segments[real].tolist() == [0] * (middle + 1) + [1] * (len(b) + 1)
            found.append((a, b, not label))
    return found


def test_every_sequence_fits_and_follows_or_not() -> None:
    stream = Masked(IDS, 4, 24, seed=3)
    for a, b, follows in rows(stream):
        assert len(a) + len(b) + 3 <= 24
        assert a and b
        for piece in (a, b):  # in the order of the text, nothing left out in the middle
            assert all(y - x == 1 for x, y in pairwise(piece))
        if follows and len(a) + len(b) + 3 < 24:  # nothing was cut
            assert b[0] == a[-1] + 1


def test_half_of_them_follow() -> None:
    ids = text(60, 12)
    shares = [np.mean([f for _, _, f in rows(Masked(ids, 16, 32, seed=s))]) for s in range(3)]
    assert all(0.4 < share < 0.6 for share in shares)


@pytest.mark.parametrize("documents", [2, 6])
def test_what_does_not_follow_comes_from_another_document(documents: int) -> None:
    ids = text(documents)
    ends = np.flatnonzero(ids == EOS)
    starts = [FIRST, *(int(ids[end - 1]) + 1 for end in ends[7::9])]  # first token of each document
    kinds = set()
    for seed in range(3):
        for a, b, follows in rows(Masked(ids, 4, 24, seed=seed)):
            same = np.searchsorted(starts, a[0], "right") == np.searchsorted(starts, b[0], "right")
            assert same == follows
            kinds.add(follows)
    assert kinds == {True, False}


def test_a_single_document_still_gives_both_kinds() -> None:
    kinds = {follows for _, _, follows in rows(Masked(text(1, 40), 4, 24, seed=1))}
    assert kinds == {True, False}


def test_all_of_the_text_is_read() -> None:
    """Nearly every word stands in some sequence of a pass."""
    stream = Masked(IDS, 4, 64, seed=2)
    seen = {token for a, b, _ in rows(stream) for token in (*a, *b)}
    words = set(IDS.tolist()) - {EOS}
    assert len(words - seen) < 0.1 * len(words)


def test_passes_differ_and_repeat() -> None:
    def first(seed: int) -> torch.Tensor:
        return Masked(IDS, 4, 24, seed=seed)[0].ids

    assert torch.equal(first(1), first(1))
    assert first(1).shape != first(2).shape or not torch.equal(first(1), first(2))
    assert torch.equal(Masked(IDS, 4, 24)[0].ids, first(0))  # the first pass, if nobody says which
    stream = Masked(IDS, 4, 24, seed=1)
    assert torch.equal(stream[2].ids, stream[2].ids)  # whatever was asked for before


def test_masks_are_drawn_as_published() -> None:
    rng = np.random.default_rng(0)
    ids = np.concatenate(
        [np.full((300, 1), CLS), rng.integers(FIRST, 1000, (300, 98)), np.full((300, 1), EOS)], 1
    )
    seen, predicted = mask_words(ids, 1000, rng)
    assert (predicted.sum(axis=1) == round(SHARE * 98)).all()
    assert not predicted[:, 0].any() and not predicted[:, -1].any()
    assert (seen[~predicted] == ids[~predicted]).all()
    masked = seen[predicted] == MASK
    same = seen[predicted] == ids[predicted]
    assert 0.78 < masked.mean() < 0.82
    assert 0.085 < same.mean() < 0.115
    others = seen[predicted][~masked & ~same]
    assert 0.085 < len(others) / predicted.sum() < 0.115
    assert others.min() >= FIRST and others.max() < 1000


@given(st.integers(1, 40), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_something_is_predicted_in_every_row(words: int, padding: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    row = [CLS, *rng.integers(FIRST, 50, words), EOS, *[PAD] * padding]
    seen, predicted = mask_words(np.array([row]), 50, rng)
    assert predicted.sum() == max(1, round(SHARE * words))
    assert not predicted[0, words + 1 :].any()
    assert seen.shape == predicted.shape == (1, len(row))


def test_an_unknown_word_may_be_predicted() -> None:
    ids = np.array([[CLS, UNK, EOS]])
    assert mask_words(ids, 50, np.random.default_rng(0))[1].tolist() == [[False, True, False]]


@given(st.integers(0, 60), st.integers(0, 60), st.integers(2, 50), st.integers(0, 2**32 - 1))
def test_truncation_cuts_the_longer(a: int, b: int, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = truncate(np.arange(a), np.arange(100, 100 + b), most, rng)
    assert len(one) + len(other) == min(a + b, most)
    assert all(y - x == 1 for piece in (one, other) for x, y in pairwise(piece.tolist()))
    if a + b > most:
        assert abs(len(one) - len(other)) <= max(1, abs(a - b))
        if min(a, b) >= -(-most // 2):
            assert abs(len(one) - len(other)) <= 1
    assert all(token < 100 for token in one) and all(token >= 100 for token in other)


def test_of_a_corpus() -> None:
    corpus = Corpus(IDS, Counts(tokens=len(IDS)), "test")
    stream = Masked.of(corpus, TrainConfig(stream="masked", bptt=24, batch_size=5), 7)
    assert not stream.carries
    batch = stream[0]
    assert not batch.continues
    assert batch.ids.shape[0] == 5 and batch.ids.shape[1] <= 24
    assert batch.tokens == int(batch.real.sum())
    with pytest.raises(InputError, match="at least 8"):
        Masked.of(corpus, TrainConfig(stream="masked", bptt=4), 7)


def test_a_title_goes_with_what_follows_it() -> None:
    """A document of one sentence is none; its sentence begins the next one."""
    ids = np.array([5, 6, EOS, EOS, 7, EOS, 8, EOS, EOS, 9, EOS, 10, EOS])
    stream = Masked(ids, 4, 16, seed=0)
    assert [tuple(document) for document in stream.documents] == [(0, 3), (3, 5)]


def test_a_pair_takes_no_more_sentences_than_fill_it() -> None:
    """Where something is cut off, it would not be full without its last sentence: then B ends in
    that one or A begins in the first; and two sentences that fit exactly stay whole."""
    exact = np.array([t for i in range(40) for t in (*range(10 * i + 10, 10 * i + 15), EOS)])
    for a, b, follows in rows(Masked(exact, 4, 13, seed=1)):
        if follows:
            assert all(len(piece) == 5 and piece[-1] - piece[0] == 4 for piece in (a, b))
    triple = np.array([t for i in range(40) for t in (*range(10 * i + 10, 10 * i + 13), EOS)])
    last = int(triple[-2])
    for seed in range(4):
        for a, b, follows in rows(Masked(triple, 4, 13, seed=seed)):
            if follows and last not in b:  # more text would have been there
                assert len(a) + len(b) == 10


def test_little_is_cut_off() -> None:
    """Pieces end where they are long enough: a pass reads most of the words, however short its
    sequences are."""
    ids = text(4, 40)
    words = set(ids.tolist()) - {EOS}
    for seed in range(3):
        seen = {t for a, b, _ in rows(Masked(ids, 4, 24, seed=seed)) for t in (*a, *b)}
        assert len(seen) > 0.8 * len(words)


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        ([7, 8, 9, 10, 11, 12], [[0, 6]]),  # no mark at all
        ([7, 8, 9, EOS], [[0, 3]]),
        ([7, 8, EOS, 9, 10], [[0, 2], [3, 5]]),
        ([7, 8, EOS, 9, 10, EOS], [[0, 2], [3, 5]]),
    ],
)
def test_the_last_sentence_may_lack_its_mark(ids: list[int], found: list[list[int]]) -> None:
    stream = Masked(np.array(ids), 2, 24, seed=0)
    assert stream.sentences.tolist() == found
    assert [tuple(document) for document in stream.documents] == [(0, len(found))]
    assert {token for a, b, _ in rows(stream) for token in (*a, *b)} == set(ids) - {EOS}


def test_shuffling_is_of_the_sequences() -> None:
    """Without it they come in the order of the text; with it the same ones, in another order."""
    plain, shuffled = (rows(Masked(IDS, 4, 24, shuffle=s, seed=1)) for s in (False, True))
    firsts = [a[0] for a, _, _ in plain]
    assert firsts == sorted(firsts)
    others = [a[0] for a, _, _ in shuffled]
    assert others != sorted(others) and len(others) == len(firsts)


@pytest.mark.parametrize("excess", [1, 2, 5])
def test_truncation_is_at_either_end(excess: int) -> None:
    """Any share of what is too much goes from the beginning, by chance: none and all of it too."""
    firsts = set()
    for seed in range(200):
        longer, _ = truncate(np.arange(20), np.arange(2), 22 - excess, np.random.default_rng(seed))
        firsts.add(int(longer[0]))
    assert firsts == set(range(excess + 1))
