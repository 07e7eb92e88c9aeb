"""Sentences of equal length, each from a fresh state."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..text.tokenizer import EOS
from ..types import Batch
from .stream import Ids, Stream, rows


class EqualLengths(Stream):
    """Batches of whole sentences of the same number of tokens, so that nothing is padded; up to B
    sentences each. A sentence ends with `<eos>`; one of more than `bptt` tokens is cut into rows of
    `bptt` tokens and a rest, which begin with a fresh state too.

    With `shuffle` sentences of equal length and the batches come in an order drawn with `seed`,
    else short sentences come first.

    Example:
        >>> stream = EqualLengths(np.array([5, 1, 6, 7, 1, 8, 1]), 2, 10, shuffle=False)
        >>> [batch.targets.tolist() for batch in stream]
        [[[5, 1], [8, 1]], [[6, 7, 1]]]
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
        super().__init__(ids, batch_size, bptt)
        ends = np.flatnonzero(np.asarray(ids) == EOS) + 1
        if not len(ends) or ends[-1] != len(ids):
            ends = np.append(ends, len(ids))  # a last sentence without its end
        firsts = np.concatenate([[0], ends[:-1]])
        pieces = [np.arange(first, end, bptt) for first, end in zip(firsts, ends, strict=True)]
        self.starts = np.concatenate(pieces)
        self.lengths = np.diff(np.append(self.starts, len(ids)))
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self.starts)) if shuffle else np.arange(len(self.starts))
        order = order[np.argsort(self.lengths[order], kind="stable")]
        changes = np.flatnonzero(np.diff(self.lengths[order])) + 1
        self.rows = [
            group[first : first + batch_size]
            for group in np.split(order, changes)
            for first in range(0, len(group), batch_size)
        ]
        if shuffle:
            self.rows = [self.rows[i] for i in rng.permutation(len(self.rows))]

    @property
    def size(self) -> str:
        return f"of up to {self.batch_size} sentences"

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, index: int) -> Batch:
        chosen = self.rows[index]
        ids, targets = rows(self.ids, self.starts[chosen], int(self.lengths[chosen[0]]))
        return Batch(ids, targets, continues=False)
