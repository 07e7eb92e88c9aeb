"""What a model predicts before each token of a line: the token's probability, the entropy, the
token's rank, and how probable it is that a word begins there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..logarithms import log_softmax, log_sum_exp
from ..run import Run
from ..text.tokenizer import EOS
from ..types import ArrayModel, State

Array = np.ndarray[Any, Any]

NUMBERS = 1 << 22  # probabilities that are held at a time


class Predictions(NamedTuple):
    """The predictions of T tokens, each before the token is read; natural logarithms."""

    log_prob: Array  # (T,) float64, of the token
    entropy: Array  # (T,) float64, of the distribution, in nats
    rank: Array  # (T,) int64; 1 = no token was more probable
    boundary: Array | None = None  # (T,) float64, log p(a word begins here, or the line ends)
    order: Array | None = None  # (T,) int64, n-gram models: the length of the n-gram that answered


def describe(logits: Array, targets: Array, boundaries: Array | None) -> Predictions:
    """Describe the predictions logits (N, V) of targets (N,).

    Args:
        boundaries: the ids (M,) of the tokens that begin a word or end a line, if there are any.
    """
    wanted = targets[:, None]
    log_probs = log_softmax(logits.astype(np.float64))
    probs = np.exp(log_probs)
    possible = np.where(probs > 0, log_probs, 0)
    return Predictions(
        np.take_along_axis(log_probs, wanted, 1)[:, 0],
        -(probs * possible).sum(-1),
        (logits > np.take_along_axis(logits, wanted, 1)).sum(-1) + 1,
        None if boundaries is None else log_sum_exp(log_probs[:, boundaries]),
    )


def predict_lines(
    run: Run,
    targets: Sequence[Sequence[int]],
    before: State,
    boundaries: Array | None,
    batch_size: int,
) -> list[Predictions]:
    """Predict every token of each line from those before it.

    Args:
        targets: the ids of each line, `<eos>` included.
        before: what `state_after` returned for a context; None = there is none.
        boundaries: see `describe`.
        batch_size: the most lines in a batch; it changes memory and speed, not the result.
    """
    if isinstance(run.model, ArrayModel):
        return [predict_next_line(run, ids, before, boundaries)[0] for ids in targets]
    from .tensor_predictions import predict_batches

    return predict_batches(run, targets, [], before, boundaries, batch_size)


def predict_next_line(
    run: Run, ids: Sequence[int], state: State, boundaries: Array | None
) -> tuple[Predictions, State]:
    """Predict every token of a line, `<eos>` included, from the tokens before it in the line and
    from the lines that led to `state`; None = from the line alone.

    Returns:
        The predictions, and the state before the next line.
    """
    parts = []
    for part, after in _read(run, ids, state, boundaries):
        parts.append(part)
        state = after
    return joined(parts, len(ids)), state


def state_after(run: Run, ids: Sequence[int]) -> State:
    """The state after a context, whose ids end in `<eos>`; that `<eos>` itself is the first token
    that a line reads."""
    read = [EOS, *ids[:-1]]
    if isinstance(run.model, ArrayModel):
        return run.model.advance_ids(np.array(read))
    from .tensor_predictions import advanced

    return advanced(run, read)


def _read(
    run: Run, ids: Sequence[int], state: State, boundaries: Array | None
) -> Iterator[tuple[Predictions, State]]:
    """Read a line, some tokens at a time.

    Yields:
        The predictions of these tokens, and the state after them.
    """
    if not isinstance(run.model, ArrayModel):
        from .tensor_predictions import read_line

        yield from read_line(run, ids, state, boundaries)
        return
    targets = np.array(ids)
    inputs = np.array([EOS, *ids[:-1]])
    steps = max(1, NUMBERS // run.model.vocab_size)
    for first in range(0, len(ids), steps):
        some = slice(first, first + steps)
        predicted = run.model.predict_ids(inputs[some], state)
        state = predicted.state
        row = describe(predicted.log_probs, targets[some], boundaries)
        if predicted.found is not None:
            row = as_found(row, *predicted.found(targets[some]))
        yield row, state


def as_found(row: Predictions, log_prob: Array, order: Array) -> Predictions:
    """The predictions with the probabilities that an n-gram table has, and the orders."""
    return row._replace(log_prob=log_prob.astype(np.float64), order=order)


def joined(parts: list[Predictions], length: int) -> Predictions:
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
