"""Batches for the pre-training of BERT: two pieces of text, in which some tokens are masked (Devlin
et al. 2019, arXiv:1810.04805, section 3.1 and appendix A.1 and A.2)."""

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

SHARE = 0.15  # of the tokens are to be predicted
_MASKED, _CHANGED = 0.8, 0.1  # of those: replaced by [MASK], by a random token; the rest stay
_SHORTEST = 8  # the smallest `bptt`, marks included


class Piece(NamedTuple):
    """The sentences `first` to `stop` - 1 of the text."""

    first: int
    stop: int


class Item(NamedTuple):
    """Two pieces of text, and whether the second follows the first."""

    a: Piece
    b: Piece
    follows: bool


class Masked(Stream):
    """Batches of rows [CLS] A [SEP] B [SEP]. In half of the rows B follows A in the text; in the
    others B comes from another document, if the text has more than one.

    In each row 15 % of the tokens are to be predicted. Of these 80 % are replaced by [MASK], 10 %
    by a random token, and 10 % stay. Every pass draws new pairs and new masks. Sentences end at
    `<eos>`, documents at an empty line.
    """

    carries: ClassVar[bool] = False
    settings = frozenset({"batch_size", "bptt", "shuffle"})

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
        """`bptt` is the most tokens of a row, [CLS] and [SEP] included."""
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
            InputError: `train.bptt` is below 8.
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
        """The tokens of a row, and the index at which its second segment begins."""
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
    """Choose the tokens to be predicted: in each row 15 % of those that are no marks, at least one.

    Args:
        ids: (B, T) the original tokens.
        words: random replacements are drawn from the ids below it that are no marks.

    Returns:
        The ids (B, T) that the model reads, and a mask (B, T) bool of the tokens to be predicted.
    """
    possible = ids >= len(MARKS)
    possible |= ids == 0  # `<unk>` stands for a word, so it may be masked too
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
    """Shorten two texts to `most` tokens together: remove tokens from the longer one, at its
    beginning or at its end by chance (Devlin et al.'s `truncate_seq_pair`)."""
    while len(a) + len(b) > most:
        excess = len(a) + len(b) - most
        longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
        cut = min(excess, max(1, len(longer) - len(shorter)))
        front = int(rng.integers(0, cut + 1))
        longer = longer[front : len(longer) - (cut - front)]
        a, b = (longer, shorter) if len(a) >= len(b) else (shorter, longer)
    return a, b


def _sentences(ids: Ids) -> tuple[Any, list[Piece]]:
    """The sentences as token positions (S, 2), from and to, without `<eos>`; and the documents."""
    ends = np.flatnonzero(np.asarray(ids) == EOS)
    if not len(ends) or ends[-1] != len(ids) - 1:
        ends = np.append(ends, len(ids))
    starts = np.concatenate([[0], ends[:-1] + 1])
    filled = ends > starts
    spans = np.stack([starts[filled], ends[filled]], axis=1)
    before = np.cumsum(filled)
    breaks = np.unique(before[~filled])  # how many sentences precede each empty line
    edges = [0, *(int(b) for b in breaks if 0 < b < len(spans)), len(spans)]
    # A single sentence, a title say, is joined to the document after it.
    alone = {b for a, b in pairwise(edges) if b - a == 1}
    edges = [edge for edge in edges if edge not in alone or edge == len(spans)]
    documents = [Piece(a, b) for a, b in pairwise(edges) if b > a]
    return spans, documents


def _items(sentences: Any, documents: list[Piece], most: int, rng: np.random.Generator) -> Any:
    """Pairs of pieces with about `most` tokens together, or more; the caller cuts them."""
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
                break  # a single sentence is left, and no sentence follows it
            middle = first + (int(rng.integers(1, at - first)) if at - first > 1 else 1)
            a = Piece(first, middle)
            if middle < at and rng.random() < 0.5:
                yield Item(a, Piece(middle, at), True)
            else:
                room = most - int(lengths[first:middle].sum())
                yield Item(a, _anywhere(lengths, documents, number, room, rng), False)
                at = middle  # the second half was not used: the next pair begins with it
            first, held = at, 0


def _anywhere(
    lengths: Ids, documents: list[Piece], but: int, room: int, rng: np.random.Generator
) -> Piece:
    """Consecutive sentences of a random document other than document `but`, with about `room`
    tokens."""
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
