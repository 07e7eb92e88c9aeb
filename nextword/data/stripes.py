"""Contiguous stripes, for truncated backpropagation through time with a carried state (Williams and
Peng 1990).

The text is cut into `batch_size` stripes of equal length, which are read side by side, `bptt`
tokens at a time: row b of a batch continues row b of the batch before.
"""

from __future__ import annotations

import numpy as np

from ..types import Batch
from .stream import Ids, Stream, rows


class Stripes(Stream):
    """Batches (B, bptt); the last one may be shorter. Up to B - 1 tokens do not fit into stripes of
    equal length: they are left out at the beginning of the text if `seed` is odd, else at the end.

    Example:
        >>> stream = Stripes(np.arange(2, 10), batch_size=2, bptt=3)
        >>> [batch.targets.tolist() for batch in stream]
        [[[2, 3, 4], [6, 7, 8]], [[5], [9]]]
    """

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
