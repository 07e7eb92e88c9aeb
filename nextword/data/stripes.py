"""Contiguous stripes: truncated backpropagation through time with a carried state.

The text is cut into `batch_size` stripes of equal length, read side by side, `bptt` tokens at a
time; row b of a batch continues row b of the one before (Williams and Peng 1990).
"""

from __future__ import annotations

import numpy as np

from ..types import Batch
from .stream import Ids, Stream, rows


class Stripes(Stream):
    """Batches (B, bptt); the last one is shorter. The up to B - 1 tokens that do not fill a row
    are left out at the beginning in odd passes and at the end in even ones (by `seed`)."""

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
        self.length = len(ids) // batch_size
        spare = len(ids) - self.length * batch_size
        first = spare if seed % 2 else 0
        self.starts = first + self.length * np.arange(batch_size)

    def __len__(self) -> int:
        return -(-self.length // self.bptt)

    def batch(self, index: int) -> Batch:
        offset = index * self.bptt
        steps = min(self.bptt, self.length - offset)
        ids, targets = rows(self.ids, self.starts + offset, steps)
        return Batch(ids, targets, continues=index > 0)
