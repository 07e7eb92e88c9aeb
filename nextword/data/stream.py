"""The interface of streams, which divide a corpus into batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ..config import TrainConfig
from ..errors import InputError
from ..text.corpus import Corpus
from ..text.tokenizer import EOS
from ..types import Batch

if TYPE_CHECKING:  # ids need no torch, batches do
    from torch import Tensor

Ids = np.ndarray[Any, Any]


class Stream(Sequence[Batch], ABC):
    """The batches of one pass over a corpus. Batch i depends on the arguments and on i alone, so
    training can resume in the middle of a pass.

    The model reads `<eos>` before the first token of a text.

    Example:
        >>> from nextword.data.windows import Windows
        >>> stream = Windows(np.arange(2, 8), batch_size=2, bptt=3, shuffle=False)
        >>> len(stream), stream[0].ids.tolist(), stream[0].targets.tolist()
        (1, [[1, 2, 3], [4, 5, 6]], [[2, 3, 4], [5, 6, 7]])
    """

    #: whether some batch continues the one before it, so that the state carries over
    carries: ClassVar[bool] = True
    #: the keys of [train] that it reads
    settings: ClassVar[frozenset[str]] = frozenset({"batch_size", "bptt"})

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
        """Prepare one pass. A stream ignores the arguments that it has no use for (stripes ignore
        `stride` and `shuffle`).

        Args:
            ids: (N,) the token ids of the corpus.
            batch_size: B, rows in a batch.
            bptt: T, tokens in a row.
            stride: tokens from the start of one row to the start of the next.
            shuffle: whether rows come in random order.
            seed: differs from pass to pass.
        """
        self.ids = ids
        self.batch_size = batch_size
        self.bptt = bptt

    @classmethod
    def of(cls, corpus: Corpus, train: TrainConfig, seed: int) -> Self:
        """One pass over a corpus with the settings of the training."""
        wanted = train.batch_size or auto_batch(len(corpus), train.bptt)
        batch_size, bptt = fit_batch(len(corpus), wanted, train.bptt)
        return cls(
            corpus.ids, batch_size, bptt, stride=train.stride, shuffle=train.shuffle, seed=seed
        )

    @property
    def size(self) -> str:
        """The size of a batch in words, for messages: "32 x 64"."""
        return f"{self.batch_size} x {self.bptt}"

    @abstractmethod
    def __len__(self) -> int:
        """The number of batches in the pass."""

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.batch(index)

    @abstractmethod
    def batch(self, index: int) -> Batch:
        """Batch `index` of the pass, from 0 to len(self) - 1; see `Batch` for its tensors. Indexing
        the stream calls it and raises IndexError beyond the end.

        Example:
            stream = Stripes(ids, batch_size=32, bptt=64)
            stream.batch(0).ids.shape  # (32, 64)
        """


def rows(ids: Ids, starts: Ids, length: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets (B, length) each of the rows that begin at positions starts (B,). Target t
    of a row is the token at position start + t, input t the token before it. Before the text stands
    `<eos>`; after the text the last token is repeated."""
    import torch

    where = starts[:, None] + np.arange(-1, length)[None, :]  # (B, length + 1)
    tokens = ids[where.clip(0, len(ids) - 1)].astype(np.int64)
    tokens[where < 0] = EOS
    both = torch.from_numpy(tokens)
    return both[:, :-1], both[:, 1:]


def spread(count: int, samples: int) -> Ids:
    """At most `samples` different numbers from 0 to count - 1, evenly spread, in order."""
    return np.unique(np.linspace(0, count - 1, samples).astype(int))


def excerpts(ids: Ids, length: int, samples: int) -> Batch:
    """A batch of excerpts of `length` tokens each, spread evenly over a text (N,).

    Raises:
        InputError: the text is too short.
    """
    if len(ids) < length + 1:
        raise InputError(f"the text has {len(ids)} tokens; looking back {length} needs more")
    return Batch(*rows(ids, spread(len(ids) - length + 1, samples), length), continues=False)


def auto_batch(tokens: int, bptt: int) -> int:
    """The default batch size: a small text gets smaller batches and so more steps in a pass."""
    return max(4, min(32, tokens // (100 * bptt)))


def fit_batch(tokens: int, batch_size: int, bptt: int) -> tuple[int, int]:
    """(batch size, tokens in a row) for a text that may be shorter than one batch: the number of
    rows is reduced first, then the length of the only row."""
    bptt = min(bptt, tokens)
    return max(1, min(batch_size, tokens // bptt)), bptt
