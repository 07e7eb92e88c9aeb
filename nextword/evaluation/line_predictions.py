"""Predicts the tokens of lines of running text: with arrays if the model can, else with tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..run import Run
from ..text.tokenizer import EOS
from ..types import ArrayModel, State
from .predictions import NUMBERS, Array, Predictions, as_found, describe, joined


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
