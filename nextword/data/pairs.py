"""Sentence pairs of similar lengths together, as many as a budget of tokens allows."""

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
    """Batches of whole pairs. Rows are sorted by the source's length, then the target's, those of
    equal lengths drawn anew in every pass, so that little of a batch is padding; the batches come
    in random order."""

    carries: ClassVar[bool] = False

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
        """`ids` and `source`: sentences one after another, each up to its `<eos>`. A batch has at
        most `batch_tokens` tokens on either side, padding included, and `batch_size` rows."""
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
            InputError: the text is not pairs.
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
    """Of a batch when nobody says how many: few pairs are learnt in more, smaller steps."""
    return max(256, min(2048, tokens // 100))


class Sentences:
    """Ids (N,) cut behind every `<eos>`."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self.ends = np.flatnonzero(np.asarray(ids) == EOS) + 1
        self.starts = np.concatenate([[0], self.ends[:-1]])
        self.lengths = self.ends - self.starts  # `<eos>` included

    def __len__(self) -> int:
        return len(self.ends)

    def padded(self, rows: Ids) -> tuple[Tensor, Tensor]:
        """The sentences `rows` (B,) as `pad` gives them."""
        return pad([self.ids[self.starts[row] : self.ends[row]] for row in rows])


def pad(sentences: list[Any]) -> tuple[Tensor, Tensor]:
    """Lists of ids → ids (B, T), `<eos>` behind the end, and where they are real (B, T)."""
    lengths = np.array([len(ids) for ids in sentences])
    ids = np.full((len(sentences), lengths.max()), EOS, dtype=np.int64)
    for row, sentence in zip(ids, sentences, strict=True):
        row[: len(sentence)] = sentence
    mask = np.arange(ids.shape[1]) < lengths[:, None]
    return torch.from_numpy(ids), torch.from_numpy(mask)


def shifted(targets: Tensor) -> Tensor:
    """targets (B, T) → the tokens before them, beginning with `<eos>`."""
    first = torch.full_like(targets[:, :1], EOS)
    return torch.cat([first, targets[:, :-1]], dim=1)


def _cut(order: Ids, lengths: Ids, budget: int, most: int) -> list[Ids]:
    """Sorted rows in stretches whose number times their longest stays within the budget; a row
    that alone is longer makes a batch of its own."""
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
