"""Shuffled windows: every row starts from a fresh state, somewhere in the text."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..types import Batch
from .stream import Ids, Stream, rows


class Windows(Stream):
    """Batches (B, bptt) of windows that start every `stride` tokens (default: end to end), in an
    order drawn from `seed`, or in the text's; the last window ends with the text."""

    carries: ClassVar[bool] = False

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
