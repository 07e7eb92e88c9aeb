"""Log-probabilities of all tokens of a text; each is predicted exactly once, the first too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..data.stream import Ids, rows
from ..text.tokenizer import EOS
from ..types import ArrayModel, LanguageModel
from .gradients import without_gradients

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Progress = Callable[[int], None]  # called with the number of tokens just scored
Watch = Callable[["Tensor", "Tensor"], None]  # called with hidden (T, H) and the targets (T,)


class TokenScores(NamedTuple):
    """The scores of all tokens, in the order of the text."""

    log_prob: np.ndarray[Any, Any]  # (N,) float32, natural logarithms
    hit: np.ndarray[Any, Any] | None  # (N,) bool, it was the most probable one; None = unknown

    @property
    def nll(self) -> float:
        """-Σ log p in nats, summed in double precision."""
        return float(-self.log_prob.sum(dtype=np.float64))

    @property
    def accuracy(self) -> float:
        """The fraction of tokens that were the most probable one; NaN if unknown."""
        return float("nan") if self.hit is None else float(self.hit.mean())


def score_tokens(
    model: LanguageModel,
    ids: Ids,
    where: torch.device | str,
    *,
    stripes: int = 1,
    warmup: int = 0,
    chunk: int = 512,
    watch: Watch | None = None,
    progress: Progress | None = None,
) -> TokenScores:
    """Score every token of a text, carrying the state from the first token to the last.

    The first token is predicted after `<eos>`. With `stripes` > 1 the text is divided into that
    many parts, which are read in parallel. That is faster, but a part knows only the `warmup`
    tokens before it, so the scores of its first tokens differ slightly. One stripe is exact.

    Args:
        ids: the text (N,).
        where: the device of the model.
        stripes: number of parts that are read in parallel.
        warmup: tokens that each part reads before its own, without scoring them.
        chunk: tokens per call of the model; it changes memory and speed, not the result.
        watch: called with the hidden vectors and targets of each chunk (one stripe only).
        progress: called with the number of tokens just scored.
    """
    if isinstance(model, ArrayModel):
        return _score_arrays(model, ids, stripes, warmup, progress)
    return score_by_tensors(
        model,
        ids,
        where,
        stripes=stripes,
        warmup=warmup,
        chunk=chunk,
        watch=watch,
        progress=progress,
    )


def _score_arrays(
    model: ArrayModel, ids: Ids, stripes: int, warmup: int, progress: Progress | None
) -> TokenScores:
    """Score every token by a model that needs no torch; see `score_tokens`."""
    length = -(-len(ids) // stripes)
    parts = []
    for start in range(0, len(ids), length):
        first = start - 1 - (warmup if start else 0)
        before = ids[max(0, first) : start]
        before = np.concatenate([np.full(max(0, -first), EOS, before.dtype), before])
        parts.append(model.score_ids(ids[start : start + length], before, progress))
    log_prob, hit = zip(*parts, strict=True)
    return TokenScores(np.concatenate(log_prob), np.concatenate(hit))


@without_gradients
def score_by_tensors(
    model: LanguageModel,
    ids: Ids,
    device: torch.device | str,
    *,
    stripes: int,
    warmup: int,
    chunk: int,
    watch: Watch | None = None,
    progress: Progress | None = None,
) -> TokenScores:
    """Score every token by a model that reads tensors; see `score_tokens`."""
    import torch

    from ..state import concatenate, select

    total = len(ids)
    length = -(-total // stripes)
    starts = np.arange(stripes) * length
    log_prob = np.zeros((stripes, length), dtype=np.float32)
    hit = np.zeros((stripes, length), dtype=bool)
    state = model.start(stripes)
    if stripes > 1 and warmup:
        before, _ = rows(ids, starts - warmup, warmup)
        state = model.advance(before.to(device), state)
        others = torch.arange(1, stripes, device=device)  # nothing came before the first stripe
        state = concatenate([model.start(1), select(state, others)])
    for offset, steps in _chunks(length, max(1, chunk // stripes)):
        inputs, targets = rows(ids, np.minimum(starts + offset, total - 1), steps)
        scored = model.score(inputs.to(device), targets.to(device), state)
        state = scored.state
        if watch is not None:
            assert scored.hidden is not None
            watch(scored.hidden[0], targets[0].to(device))
        log_prob[:, offset : offset + steps] = scored.log_prob.float().cpu().numpy()
        if scored.hit is not None:
            hit[:, offset : offset + steps] = scored.hit.cpu().numpy()
        if progress:
            progress(min(total, (offset + steps) * stripes) - min(total, offset * stripes))
    return TokenScores(log_prob.reshape(-1)[:total], hit.reshape(-1)[:total])


def _chunks(length: int, size: int) -> Iterator[tuple[int, int]]:
    for offset in range(0, length, size):
        yield offset, min(size, length - offset)
