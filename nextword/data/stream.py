"""What every stream of batches is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from ..config import TrainConfig
from ..text.corpus import Corpus
from ..text.tokenizer import EOS
from ..types import Batch

Ids = np.ndarray[Any, Any]


class Stream(Sequence[Batch], ABC):
    """One pass over `ids`: batch `i` depends on nothing but the arguments and `i`.

    The first token's predecessor is `<eos>`, as at the start of every text.
    """

    #: whether some batch goes on from the one before it
    carries: ClassVar[bool] = True

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
        """`ids` (N,); `bptt` tokens a row; `seed` differs from pass to pass. A
        stream leaves alone what it has no use for (stripes: `stride` and `shuffle`)."""
        self.ids = ids
        self.batch_size = batch_size
        self.bptt = bptt

    @classmethod
    def of(cls, corpus: Corpus, train: TrainConfig, seed: int) -> Self:
        """One pass over a text, as the settings want it."""
        wanted = train.batch_size or auto_batch(len(corpus), train.bptt)
        batch_size, bptt = fit_batch(len(corpus), wanted, train.bptt)
        return cls(
            corpus.ids, batch_size, bptt, stride=train.stride, shuffle=train.shuffle, seed=seed
        )

    @property
    def size(self) -> str:
        """How much a batch holds, as people read it."""
        return f"{self.batch_size} x {self.bptt}"

    @abstractmethod
    def __len__(self) -> int:
        """How many batches a pass has."""

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.batch(index)

    @abstractmethod
    def batch(self, index: int) -> Batch:
        """Batch `index` of the pass, from 0 to len(self) - 1; see `Batch` for its tensors.

        Example:
            stream = Stripes(ids, batch_size=32, bptt=64)
            stream.batch(0).ids.shape  # (32, 64)
        """


def rows(ids: Ids, starts: Ids, length: int) -> tuple[Tensor, Tensor]:
    """The tokens before positions start … start+length-1 and the tokens there: two (B, length).
    Positions before the text hold `<eos>`, positions after it repeat the last token."""
    where = starts[:, None] + np.arange(-1, length)[None, :]  # (B, length + 1)
    tokens = ids[where.clip(0, len(ids) - 1)].astype(np.int64)
    tokens[where < 0] = EOS
    both = torch.from_numpy(tokens)
    return both[:, :-1], both[:, 1:]


def auto_batch(tokens: int, bptt: int) -> int:
    """Rows for a text when nobody says how many: a small text is learnt in more, smaller steps."""
    return max(4, min(32, tokens // (100 * bptt)))


def fit_batch(tokens: int, batch_size: int, bptt: int) -> tuple[int, int]:
    """Batch size and length for a text that may be shorter than one batch: every row gets a full
    `bptt` if the text allows, then fewer rows, then a shorter one."""
    bptt = min(bptt, tokens)
    return max(1, min(batch_size, tokens // bptt)), bptt
