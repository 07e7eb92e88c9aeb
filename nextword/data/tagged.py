"""Batches of sentences of tagged words, of similar length."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
import torch

from ..config import TrainConfig
from ..errors import InputError
from ..text.corpus import Corpus
from ..text.tagged import NONE
from ..text.tokenizer import EOS
from ..types import Batch
from .labelled import auto_rows, in_batches
from .pairs import Sentences, pad
from .stream import Ids, Stream


class Tagged(Stream):
    """Batches of whole sentences. A sentence of more than `bptt` tokens is cut into pieces that
    begin with a word. With `shuffle` the batches come in random order."""

    carries: ClassVar[bool] = False
    settings = frozenset({"batch_size", "bptt", "shuffle"})

    def __init__(
        self,
        ids: Ids,
        tags: Ids,
        batch_size: int,
        bptt: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        """`ids` (N,) holds the sentences one after another, each ending in `<eos>`; `tags` (N,)
        holds the tag at the first token of a word, and -1 elsewhere."""
        super().__init__(ids, batch_size, bptt)
        self.tags = np.asarray(tags)
        sentences = Sentences(ids)
        self.pieces = [
            piece
            for start, end in zip(sentences.starts, sentences.ends, strict=True)
            for piece in _pieces(self.tags, int(start), int(end), bptt)
        ]
        lengths = np.array([stop - start for start, stop in self.pieces])
        self.rows = in_batches(lengths, batch_size, shuffle, seed)

    @classmethod
    def of(cls, corpus: Corpus, train: TrainConfig, seed: int) -> Self:
        """See `Stream.of`.

        Raises:
            InputError: the corpus has no tags.
        """
        if corpus.labels is None or len(corpus.labels) != len(corpus.ids):
            raise InputError("train.stream=tagged needs a tagger")
        rows = train.batch_size or auto_rows(int((np.asarray(corpus.ids) == EOS).sum()))
        return cls(corpus.ids, corpus.labels, rows, train.bptt, shuffle=train.shuffle, seed=seed)

    @property
    def size(self) -> str:
        return f"of {self.batch_size} texts"

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: int) -> Batch:
        spans = [self.pieces[row] for row in self.rows[index]]
        ids, real = pad([np.asarray(self.ids[a:b]).astype(np.int64) for a, b in spans])
        labels = torch.full_like(ids, NONE)
        for row, (a, b) in enumerate(spans):
            labels[row, : b - a] = torch.from_numpy(self.tags[a:b].astype(np.int64))
        return Batch(ids, ids, continues=False, real=real, labels=labels)


def _pieces(tags: Ids, start: int, end: int, most: int) -> list[tuple[int, int]]:
    """Cut the span start to end into spans of at most `most` tokens, each beginning with a word if
    possible."""
    found = []
    while end - start > most:
        words = np.flatnonzero(tags[start + 1 : start + most + 1] != NONE)
        stop = start + 1 + int(words[-1]) if len(words) else start + most
        found.append((start, stop))
        start = stop
    return [*found, (start, end)]
