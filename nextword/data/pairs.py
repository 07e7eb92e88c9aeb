"""Batches of sentence pairs of similar length; the number of tokens in a batch is bounded."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from ..config import TrainConfig
from ..errors import InputError
from ..text.corpus import Corpus
from ..text.tokenizer import EOS
from ..types import Batch
from .stream import Ids, Stream


class Pairs(Stream):
    """Batches of whole sentence pairs with little padding.

    Rows are sorted by the length of the source, then of the target; every pass draws a new order of
    pairs of equal lengths. With `shuffle` the batches come in random order.
    """

    carries: ClassVar[bool] = False
    settings = frozenset({"batch_size", "batch_tokens", "shuffle"})

    def __init__(
        self,
        ids: Ids,
        source: Ids,
        batch_tokens: int,
        batch_size: int | None = None,
        *,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        """`ids` and `source` hold the targets and the sources one after another, each ending in
        `<eos>`. A batch has at most `batch_tokens` tokens on either side, padding included, and at
        most `batch_size` rows."""
        self.target, self.source = Sentences(ids), Sentences(source)
        self.batch_tokens = batch_tokens
        rng = np.random.default_rng(seed)
        order = np.arange(len(self.target))
        if shuffle:
            rng.shuffle(order)
        keys = self.target.lengths[order], self.source.lengths[order]
        order = order[np.lexsort(keys)]
        longest = np.maximum(self.target.lengths, self.source.lengths)[order]
        self.rows = _cut(order, longest, batch_tokens, batch_size or len(order))
        if shuffle:
            self.rows = [self.rows[i] for i in rng.permutation(len(self.rows))]

    @classmethod
    def of(cls, corpus: Corpus, train: TrainConfig, seed: int) -> Self:
        """See `Stream.of`.

        Raises:
            InputError: the corpus does not consist of pairs.
        """
        if corpus.source is None:
            raise InputError("train.stream=pairs needs a model of sentence pairs")
        return cls(
            corpus.ids,
            corpus.source.ids,
            train.batch_tokens or auto_tokens(len(corpus)),
            train.batch_size,
            shuffle=train.shuffle,
            seed=seed,
        )

    @property
    def size(self) -> str:
        return f"of up to {self.batch_tokens:,} tokens"

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: int) -> Batch:
        targets, mask = self.target.padded(self.rows[index])
        source, source_mask = self.source.padded(self.rows[index])
        return Batch(
            shifted(targets),
            targets,
            continues=False,
            mask=mask,
            source=source,
            source_mask=source_mask,
        )


def auto_tokens(tokens: int) -> int:
    """The default number of tokens in a batch: a small corpus gets smaller batches and so more
    steps in a pass."""
    return max(256, min(2048, tokens // 100))


class Sentences:
    """Ids (N,) divided into sentences, each ending in `<eos>`."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self.ends = np.flatnonzero(np.asarray(ids) == EOS) + 1
        self.starts = np.concatenate([[0], self.ends[:-1]])
        self.lengths = self.ends - self.starts  # `<eos>` included

    def __len__(self) -> int:
        return len(self.ends)

    def padded(self, rows: Ids) -> tuple[Tensor, Tensor]:
        """The sentences with the numbers `rows` (B,), padded by `pad`."""
        return pad([self.ids[self.starts[row] : self.ends[row]] for row in rows])


def pad(sentences: list[Any]) -> tuple[Tensor, Tensor]:
    """Pad sentences to the length T of the longest.

    Returns:
        The ids (B, T) int64, filled up with `<eos>`, and a mask (B, T), False = padding.

    Example:
        >>> ids, mask = pad([[5, 1], [7]])
        >>> ids.tolist(), mask.tolist()
        ([[5, 1], [7, 1]], [[True, True], [True, False]])
    """
    lengths = np.array([len(ids) for ids in sentences])
    ids = np.full((len(sentences), lengths.max()), EOS, dtype=np.int64)
    for row, sentence in zip(ids, sentences, strict=True):
        row[: len(sentence)] = sentence
    mask = np.arange(ids.shape[1]) < lengths[:, None]
    return torch.from_numpy(ids), torch.from_numpy(mask)


def shifted(targets: Tensor) -> Tensor:
    """The inputs that predict targets (B, T): the token before each target, `<eos>` first."""
    first = torch.full_like(targets[:, :1], EOS)
    return torch.cat([first, targets[:, :-1]], dim=1)


def _cut(order: Ids, lengths: Ids, budget: int, most: int) -> list[Ids]:
    """Cut sorted rows into batches in which the number of rows times the longest row is at most
    `budget`. A row that is longer than `budget` makes a batch of its own."""
    parts, start, longest = [], 0, 0
    for place, length in enumerate(lengths.tolist()):
        wider = max(longest, length)
        rows = place - start + 1
        if rows > 1 and (rows * wider > budget or rows > most):
            parts.append(order[start:place])
            start, wider = place, length
        longest = wider
    if start < len(order):
        parts.append(order[start:])
    return parts
