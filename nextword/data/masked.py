"""Two pieces of text with words masked: what BERT is pre-trained on (Devlin et al. 2019,
arXiv:1810.04805, sections 3.1 and appendix A.1)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch

from ..config import TrainConfig
from ..errors import InputError
from ..text.corpus import Corpus
from ..text.tokenizer import EOS
from ..text.wordpiece import CLS, MARKS, MASK, PAD
from ..types import Batch
from .stream import Ids, Stream, auto_batch

SHARE = 0.15  # of the words are predicted
_MASKED, _CHANGED = 0.8, 0.1  # of those: by [MASK], by another word; the rest stay as they are
_SHORTEST = 8  # tokens of a sequence, marks included


class Piece(NamedTuple):
    """Sentences `first` to `stop` of the text."""

    first: int
    stop: int


class Item(NamedTuple):
    """Two pieces, and whether the second follows the first."""

    a: Piece
    b: Piece
    follows: bool


class Masked(Stream):
    """Batches of [CLS] A [SEP] B [SEP]. In half of them B follows A, in the others it comes from
    anywhere. Of each 15 % of the words are to be predicted: 80 % of those stand there as [MASK],
    10 % as another word, 10 % as themselves. Pairs and masks are drawn anew in every pass.

    A sentence ends at `<eos>`, a document at an empty line.
    """

    carries: ClassVar[bool] = False

    def __init__(
        self,
        ids: Ids,
        batch_size: int,
        bptt: int,
        *,
        stride: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        """`bptt`: tokens of a sequence at most, marks included."""
        super().__init__(ids, batch_size, bptt)
        self.seed = seed
        self.sentences, self.documents = _sentences(ids)
        self.words = int(np.max(ids, initial=len(MARKS))) + 1
        rng = np.random.default_rng(seed)
        self.items = list(_items(self.sentences, self.documents, bptt - 3, rng))
        if shuffle:
            self.items = [self.items[i] for i in rng.permutation(len(self.items))]

    @classmethod
    def of(cls, corpus: Corpus, train: TrainConfig, seed: int) -> Self:
        """See `Stream.of`.

        Raises:
            InputError: `train.bptt` leaves no room for words.
        """
        if train.bptt < _SHORTEST:
            raise InputError(
                f"train.bptt = {train.bptt}: give at least {_SHORTEST}, marks included"
            )
        rows = train.batch_size or auto_batch(len(corpus), train.bptt)
        return cls(corpus.ids, rows, train.bptt, shuffle=train.shuffle, seed=seed)

    def __len__(self) -> int:
        return -(-len(self.items) // self.batch_size)

    def batch(self, index: int) -> Batch:
        rng = np.random.default_rng([self.seed, index])
        items = self.items[index * self.batch_size : (index + 1) * self.batch_size]
        rows = [self._row(item, rng) for item in items]
        width = max(len(tokens) for tokens, _ in rows)
        ids = np.full((len(rows), width), PAD, dtype=np.int64)
        segments = np.zeros_like(ids)
        for row, (tokens, second) in enumerate(rows):
            ids[row, : len(tokens)] = tokens
            segments[row, second : len(tokens)] = 1
        real = ids != PAD
        seen, predicted = mask_words(ids, self.words, rng)
        return Batch(
            torch.from_numpy(seen),
            torch.from_numpy(ids),
            continues=False,
            mask=torch.from_numpy(predicted),
            real=torch.from_numpy(real),
            segments=torch.from_numpy(segments),
            labels=torch.tensor([int(not item.follows) for item in items]),
        )

    def _row(self, item: Item, rng: np.random.Generator) -> tuple[Ids, int]:
        """Tokens, and where the second segment begins."""
        a, b = self._words(item.a), self._words(item.b)
        a, b = truncate(a, b, self.bptt - 3, rng)
        tokens = np.concatenate([[CLS], a, [EOS], b, [EOS]])
        return tokens, len(a) + 2

    def _words(self, piece: Piece) -> Ids:
        if piece.first == piece.stop:
            return np.zeros(0, np.int64)
        start, stop = self.sentences[piece.first, 0], self.sentences[piece.stop - 1, 1]
        tokens = np.asarray(self.ids[start:stop]).astype(np.int64)
        words: Ids = tokens[tokens != EOS]
        return words


def mask_words(ids: Ids, words: int, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """ids (B, T) → what the model sees (B, T), and which are to be predicted (B, T) bool.

    In each row 15 % of what is no mark, at least one. `words`: ids below it (and no marks) stand in
    for others.
    """
    possible = ids >= len(MARKS)
    possible |= ids == 0  # an unknown word is a word
    order = np.where(possible, rng.random(ids.shape), 2.0)
    wanted = np.maximum(1, np.round(SHARE * possible.sum(axis=1, keepdims=True)))
    ranks = order.argsort(axis=1).argsort(axis=1)
    predicted = possible & (ranks < wanted)
    how = rng.random(ids.shape)
    others = rng.integers(len(MARKS), max(words, len(MARKS) + 1), ids.shape)
    seen = np.where(predicted & (how < _MASKED), MASK, ids)
    changed = predicted & (how >= _MASKED) & (how < _MASKED + _CHANGED)
    return np.where(changed, others, seen), predicted


def truncate(a: Ids, b: Ids, most: int, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Cut the longer of the two, at its beginning or its end by chance, until both fit."""
    while len(a) + len(b) > most:
        excess = len(a) + len(b) - most
        longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
        cut = min(excess, max(1, len(longer) - len(shorter)))
        front = int(rng.integers(0, cut + 1))
        longer = longer[front : len(longer) - (cut - front)]
        a, b = (longer, shorter) if len(a) >= len(b) else (shorter, longer)
    return a, b


def _sentences(ids: Ids) -> tuple[Any, list[Piece]]:
    """Sentences as (S, 2) token positions, `<eos>` left out, and documents as pieces."""
    ends = np.flatnonzero(np.asarray(ids) == EOS)
    if not len(ends) or ends[-1] != len(ids) - 1:
        ends = np.append(ends, len(ids))
    starts = np.concatenate([[0], ends[:-1] + 1])
    filled = ends > starts
    spans = np.stack([starts[filled], ends[filled]], axis=1)
    before = np.cumsum(filled)
    breaks = np.unique(before[~filled])  # sentences so far at every empty line
    edges = [0, *(int(b) for b in breaks if 0 < b < len(spans)), len(spans)]
    alone = {b for a, b in pairwise(edges) if b - a == 1}  # a title goes with what follows it
    edges = [edge for edge in edges if edge not in alone or edge == len(spans)]
    documents = [Piece(a, b) for a, b in pairwise(edges) if b > a]
    return spans, documents


def _items(sentences: Any, documents: list[Piece], most: int, rng: np.random.Generator) -> Any:
    """Pairs of pieces of together about `most` tokens, or more, to be cut."""
    lengths = sentences[:, 1] - sentences[:, 0]
    for number, document in enumerate(documents):
        at = first = document.first
        held = 0
        while at < document.stop:
            held += int(lengths[at])
            at += 1
            left = document.stop - at
            if left and (held < most or left == 1):
                continue
            if at - first == 1 and first > document.first:
                break  # one sentence is left, which nothing follows
            middle = first + (int(rng.integers(1, at - first)) if at - first > 1 else 1)
            a = Piece(first, middle)
            if middle < at and rng.random() < 0.5:
                yield Item(a, Piece(middle, at), True)
            else:
                room = most - int(lengths[first:middle].sum())
                yield Item(a, _anywhere(lengths, documents, number, room, rng), False)
                at = middle  # what was not used comes next
            first, held = at, 0


def _anywhere(
    lengths: Ids, documents: list[Piece], but: int, room: int, rng: np.random.Generator
) -> Piece:
    """Sentences of another document, about as many tokens as there is room for."""
    other = int(rng.integers(0, max(1, len(documents) - 1)))
    if len(documents) > 1 and other >= but:
        other += 1
    document = documents[other]
    start = int(rng.integers(document.first, document.stop))
    stop, held = start, 0
    while stop < document.stop and (held < room or stop == start):
        held += int(lengths[stop])
        stop += 1
    return Piece(start, stop)
