"""Windows: every row is a separate piece of the text and starts from a fresh state."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..types import Batch
from .stream import Ids, Stream, rows


class Windows(Stream):
    """Batches (B, bptt) of windows. A window starts every `stride` tokens (default: `bptt`, so that
    they do not overlap); the last one ends with the text. With `shuffle` they come in an order
    drawn with `seed`, else in the order of the text."""

    carries: ClassVar[bool] = False
    settings = frozenset({"batch_size", "bptt", "stride", "shuffle"})

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
        last = len(ids) - bptt
        starts = np.arange(0, last + 1, stride or bptt)
        if starts[-1] != last:
            starts = np.append(starts, last)
        self.starts = np.random.default_rng(seed).permutation(starts) if shuffle else starts

    def __len__(self) -> int:
        return -(-len(self.starts) // self.batch_size)

    def batch(self, index: int) -> Batch:
        starts = self.starts[index * self.batch_size : (index + 1) * self.batch_size]
        ids, targets = rows(self.ids, starts, self.bptt)
        return Batch(ids, targets, continues=False)
