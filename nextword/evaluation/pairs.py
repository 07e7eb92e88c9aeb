"""The log-probability of every target sentence, given its source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from ..data.pairs import Pairs
from ..text.corpus import Corpus
from ..text.tokenizer import UNK
from ..types import Seq2Seq

_TOKENS = 4096  # in a batch, padding included


class PairScores(NamedTuple):
    """In the order of the text."""

    log_prob: np.ndarray[Any, Any]  # (N,) of each sentence, natural logarithms, `<eos>` included
    tokens: np.ndarray[Any, Any]  # (N,) of each target, `<eos>` included
    hits: int  # tokens that were the most probable one
    known_log_prob: float  # of the tokens that the vocabulary has, together
    known: int  # how many those are

    @property
    def nll(self) -> float:
        """-Σ log p."""
        return float(-self.log_prob.sum())

    @property
    def accuracy(self) -> float:
        """Share of tokens that were the most probable one."""
        return self.hits / int(self.tokens.sum())


@torch.no_grad()
def score_pairs(
    model: Seq2Seq,
    corpus: Corpus,
    device: torch.device,
    progress: Callable[[int], None] | None = None,
) -> PairScores:
    """Read every target (teacher-forced) after its source. Sentences of similar lengths are read
    together; padding is masked, so how many does not change a figure.

    Args:
        progress: called with the number of target tokens just scored.
    """
    assert corpus.source is not None
    batches = Pairs(corpus.ids, corpus.source.ids, _TOKENS, shuffle=False)
    log_prob = np.zeros(len(batches.target))
    hits, known, known_log_prob = 0, 0, 0.0
    for rows, on_cpu in zip(batches.rows, batches, strict=True):
        batch = on_cpu.to(device)
        assert batch.mask is not None
        scored = model.score(batch.ids, batch.targets, batch.start(model))
        values = scored.log_prob.double().where(batch.mask, 0)
        log_prob[rows] = values.sum(dim=1).cpu().numpy()
        there = batch.mask & (batch.targets != UNK)
        known, known_log_prob = (
            known + int(there.sum()),
            known_log_prob + float(values[there].sum()),
        )
        assert scored.hit is not None
        hits += int((scored.hit & batch.mask).sum())
        if progress:
            progress(batch.tokens)
    return PairScores(log_prob, batches.target.lengths, hits, known_log_prob, known)
