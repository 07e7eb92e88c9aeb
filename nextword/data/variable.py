"""Stripes with random batch lengths (Merity et al. 2017, arXiv:1708.02182, section 4.1).

With a fixed length the batches of every pass begin at the same tokens, and no gradient ever crosses
these boundaries. Here the length L of each batch is random:

    L ~ N(base, 5), at least 5;  base = bptt with probability 0.95, else bptt / 2

The learning rate of a batch is multiplied by L / bptt: the loss is a mean over the tokens, so
otherwise the few tokens of a short batch would weigh more.
"""

from __future__ import annotations

import numpy as np

from ..types import Batch
from .stream import Ids, rows
from .stripes import Stripes

_HALF = 0.05  # probability of a batch around half the length
_SPREAD = 5.0
_LEAST = 5


class Variable(Stripes):
    """Batches (B, L) of lengths that are drawn with `seed`; the last one takes what is left."""

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
        super().__init__(ids, batch_size, bptt, seed=seed)
        draw = np.random.default_rng(seed)
        most = -(-self.length // _LEAST)
        base = np.where(draw.random(most) < _HALF, bptt / 2, bptt)
        lengths = np.maximum(draw.normal(base, _SPREAD).astype(np.int64), _LEAST)
        ends = lengths.cumsum()
        ends = ends[: np.searchsorted(ends, self.length) + 1]
        ends[-1] = self.length
        self.edges = np.concatenate([[0], ends])

    def __len__(self) -> int:
        return len(self.edges) - 1

    def batch(self, index: int) -> Batch:
        first, end = (int(edge) for edge in self.edges[index : index + 2])
        ids, targets = rows(self.ids, self.starts + first, end - first)
        return Batch(ids, targets, continues=index > 0, lr_scale=(end - first) / self.bptt)
