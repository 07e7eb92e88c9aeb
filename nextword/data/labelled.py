"""Batches of labelled texts of similar length."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
import torch

from ..config import TrainConfig
from ..errors import InputError
from ..text.corpus import Corpus
from ..text.tokenizer import EOS
from ..types import Batch
from .masked import truncate
from .pairs import Sentences, pad
from .stream import Ids, Stream


class Labelled(Stream):
    """Batches of whole texts. `<eos>` follows each text; in a labelled pair it follows both.

    With `shuffle` the batches come in random order, and the texts of a batch have similar lengths.
    An example of more than `bptt` tokens is cut; of a pair the longer text is cut.
    """

    carries: ClassVar[bool] = False
    settings = frozenset({"batch_size", "bptt", "shuffle"})

    def __init__(
        self,
        ids: Ids,
        labels: Ids,
        batch_size: int,
        bptt: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        """`ids` holds the texts one after another, each ending in `<eos>`; `labels` (N,) holds the
        label of each example."""
        super().__init__(ids, batch_size, bptt)
        self.texts, self.labels = Sentences(ids), labels
        self.each = len(self.texts) // max(1, len(labels))  # texts of an example
        lengths = self.texts.lengths.reshape(-1, self.each).sum(axis=1)
        self.cut = lengths > bptt  # (N,) which examples are too long to be read whole
        self.rows = in_batches(lengths, batch_size, shuffle, seed)

    @classmethod
    def of(cls, corpus: Corpus, train: TrainConfig, seed: int) -> Self:
        """See `Stream.of`.

        Raises:
            InputError: the texts have no labels.
        """
        if corpus.labels is None:
            raise InputError("train.stream=labelled needs a classifier")
        rows = train.batch_size or auto_rows(len(corpus.labels))
        return cls(corpus.ids, corpus.labels, rows, train.bptt, shuffle=train.shuffle, seed=seed)

    @property
    def size(self) -> str:
        return f"of {self.batch_size} texts"

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: int) -> Batch:
        rows = self.rows[index]
        found = [self._tokens(int(row)) for row in rows]
        ids, real = pad([np.concatenate(texts) for texts in found])
        segments = torch.zeros_like(ids)
        for row, texts in enumerate(found):
            segments[row, len(texts[0]) : sum(map(len, texts))] = 1
        return Batch(
            ids,
            ids,
            continues=False,
            real=real,
            segments=segments,
            labels=torch.from_numpy(self.labels[rows].astype(np.int64)),
        )

    def _tokens(self, row: int) -> list[Ids]:
        texts = []
        for number in range(row * self.each, (row + 1) * self.each):
            start, end = self.texts.starts[number], self.texts.ends[number] - 1
            texts.append(np.asarray(self.ids[start:end]).astype(np.int64))
        most = self.bptt - self.each
        if len(texts) == 1:
            texts[0] = texts[0][:most]
        elif sum(map(len, texts)) > most:
            first, second = texts
            texts = list(truncate(first, second, most, np.random.default_rng(row)))
        return [np.append(text, EOS) for text in texts]


def auto_rows(texts: int) -> int:
    """The default batch size: 4 to 32, so that a pass has about 100 batches or more."""
    return max(4, min(32, texts // 100))


def in_batches(lengths: Ids, batch_size: int, shuffle: bool, seed: int) -> list[Ids]:
    """Divide rows of these lengths (N,) into batches, given as row numbers: in the given order, or
    with `shuffle` in random order, rows of similar length together. Another seed puts other rows
    together."""
    rng = np.random.default_rng(seed)
    order = np.arange(len(lengths))
    if shuffle:
        order = np.argsort(lengths * rng.uniform(0.8, 1.25, len(lengths)), kind="stable")
    rows = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    return [rows[i] for i in rng.permutation(len(rows))] if shuffle else rows
