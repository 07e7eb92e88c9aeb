"""Stripes cut at varying places (Merity et al. 2017, arXiv:1708.02182, section 4.1).

With fixed lengths the same tokens always stand at the end of a batch, where little gradient reaches
them. Here a batch's length is drawn anew: around `bptt` mostly, around half of it now and then.

    L ~ N(base, 5), at least 5;  base = bptt with probability 0.95, else bptt / 2

The learning rate of a batch is scaled by L / bptt: a short batch has fewer tokens to say where to
go, but its loss is a mean like any other's.
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
    """Batches (B, L), the lengths drawn from `seed`; the last one takes what is left."""

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
