"""What a model predicts before each token of a line: the token's probability, the entropy, the
token's rank, and how probable it is that a word begins there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..data.pairs import pad, shifted
from ..run import Run
from ..state import repeat
from ..text.tokenizer import EOS
from ..types import Batch, Found, Predictor, State
from .sentences import batches

Array = np.ndarray[Any, Any]

_NUMBERS = 1 << 22  # probabilities that are held at a time
_CHUNK = 512  # tokens of a context that are read at a time


class Predictions(NamedTuple):
    """The predictions of T tokens, each before the token is read; natural logarithms."""

    log_prob: Array  # (T,) float64, of the token
    entropy: Array  # (T,) float64, of the distribution, in nats
    rank: Array  # (T,) int64; 1 = no token was more probable
    boundary: Array | None = None  # (T,) float64, log p(a word begins here, or the line ends)
    order: Array | None = None  # (T,) int64, n-gram models: the length of the n-gram that answered


def describe(logits: Tensor, targets: Tensor, boundaries: Tensor | None) -> Predictions:
    """Describe the predictions logits (N, V) of targets (N,).

    Args:
        boundaries: the ids (M,) of the tokens that begin a word or end a line, if there are any.
    """
    wanted = targets[:, None]
    log_probs = logits.double().log_softmax(-1)
    ends = None if boundaries is None else log_probs[:, boundaries].logsumexp(-1)
    return Predictions(
        _array(log_probs.gather(-1, wanted)[:, 0]),
        _array(torch.special.entr(log_probs.exp()).sum(-1)),
        _array((logits > logits.gather(-1, wanted)).sum(-1) + 1),
        None if ends is None else _array(ends),
    )


def predict_lines(
    run: Run,
    targets: Sequence[Sequence[int]],
    sources: Sequence[Sequence[int]],
    before: State | None,
    boundaries: Tensor | None,
    batch_size: int,
) -> list[Predictions]:
    """Predict every token of each line from those before it.

    Args:
        targets: the ids of each line, `<eos>` included.
        sources: a translator's sources, one a line; empty for other models.
        before: the state of one row after a context; None = that of the start.
        boundaries: see `describe`.
        batch_size: the most lines in a batch; it changes memory and speed, not the result.
    """
    most = max(1, min(batch_size, _NUMBERS // run.model.vocab_size))
    order = sorted(range(len(targets)), key=lambda i: len(targets[i]))
    found = dict[int, Predictions]()
    for rows in batches(order, [len(ids) for ids in targets], most):
        wanted, mask = pad([targets[i] for i in rows])
        batch = Batch(shifted(wanted), wanted, continues=False, mask=mask)
        if sources:
            source, source_mask = pad([sources[i] for i in rows])
            batch = replace(batch, source=source, source_mask=source_mask)
        batch = batch.to(run.device)
        state = batch.start(run.model) if before is None else repeat(before, len(rows))
        parts = [part for part, _ in _read(run, batch.ids, batch.targets, state, boundaries)]
        for place, i in enumerate(rows):
            found[i] = _joined([part[place] for part in parts], len(targets[i]))
    return [found[i] for i in range(len(targets))]


def predict_next_line(
    run: Run, ids: Sequence[int], state: State, boundaries: Tensor | None
) -> tuple[Predictions, State]:
    """Predict every token of a line, `<eos>` included, from the tokens before it in the line and
    from the lines that led to `state` (of one row).

    Returns:
        The predictions, and the state before the next line.
    """
    targets = torch.tensor([ids], device=run.device)
    parts = []
    for part, after in _read(run, shifted(targets), targets, state, boundaries):
        parts.append(part[0])
        state = after
    return _joined(parts, len(ids)), state


@torch.no_grad()
def state_after(run: Run, ids: Sequence[int]) -> State:
    """The state of one row after a context, whose ids end in `<eos>`; that `<eos>` itself is the
    first token that a line reads."""
    state = run.model.start(1)
    for part in torch.split(torch.tensor([[EOS, *ids[:-1]]], device=run.device), _CHUNK, 1):
        state = run.model.advance(part, state)
    return state


@torch.no_grad()
def _read(
    run: Run, ids: Tensor, targets: Tensor, state: State, boundaries: Tensor | None
) -> Iterator[tuple[list[Predictions], State]]:
    """Read ids (B, T), some tokens at a time.

    Yields:
        The predictions of each row, and the state after these tokens.
    """
    model: Predictor = run.model
    steps = max(1, _NUMBERS // (model.vocab_size * len(ids)))
    for some, wanted in zip(
        torch.split(ids, steps, 1), torch.split(targets, steps, 1), strict=True
    ):
        output = model.forward(some, state)
        state = output.state
        rows = [
            describe(logits, row, boundaries)
            for logits, row in zip(output.logits, wanted, strict=True)
        ]
        if output.found is not None:
            rows = _as_found(rows, output.found(wanted))
        yield rows, state


def _as_found(rows: list[Predictions], found: Found) -> list[Predictions]:
    """The predictions with the probabilities that an n-gram table has, and the orders."""
    answers = zip(rows, found.log_prob, found.order, strict=True)
    return [
        row._replace(log_prob=_array(log_prob).astype(np.float64), order=_array(order))
        for row, log_prob, order in answers
    ]


def _joined(parts: list[Predictions], length: int) -> Predictions:
    """The first `length` of predictions that follow each other."""

    def whole(column: list[Array]) -> Array:
        return np.concatenate(column)[:length]

    boundary = [part.boundary for part in parts if part.boundary is not None]
    order = [part.order for part in parts if part.order is not None]
    return Predictions(
        whole([part.log_prob for part in parts]),
        whole([part.entropy for part in parts]),
        whole([part.rank for part in parts]),
        whole(boundary) if boundary else None,
        whole(order) if order else None,
    )


def _array(tensor: Tensor) -> Array:
    return tensor.cpu().numpy()
