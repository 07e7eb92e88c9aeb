"""The predictions of models that read tensors, in batches; see `predictions`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..data.pairs import pad, shifted
from ..run import Run
from ..state import repeat
from ..types import Batch, Predictor, State
from .predictions import NUMBERS, Array, Predictions, as_found, joined
from .sentences import batches

_CHUNK = 512  # tokens of a context that are read at a time


def predict_batches(
    run: Run,
    targets: Sequence[Sequence[int]],
    sources: Sequence[Sequence[int]],
    before: State,
    boundaries: Array | None,
    batch_size: int,
) -> list[Predictions]:
    """Predict every token of each line from those before it.

    Args:
        targets: the ids of each line, `<eos>` included.
        sources: a translator's sources, one a line; empty for other models.
        before: the state of one row after a context; None = that of the start.
        boundaries: see `predictions.describe`.
        batch_size: the most lines in a batch; it changes memory and speed, not the result.
    """
    most = max(1, min(batch_size, NUMBERS // run.model.vocab_size))
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
            found[i] = joined([part[place] for part in parts], len(targets[i]))
    return [found[i] for i in range(len(targets))]


def read_line(
    run: Run, ids: Sequence[int], state: State, boundaries: Array | None
) -> Iterator[tuple[Predictions, State]]:
    """Read a line, some tokens at a time; `state` None = that of the start.

    Yields:
        The predictions of these tokens, and the state after them.
    """
    targets = torch.tensor([ids], device=run.device)
    state = run.model.start(1) if state is None else state
    for rows, after in _read(run, shifted(targets), targets, state, boundaries):
        yield rows[0], after


@torch.no_grad()
def advanced(run: Run, ids: Sequence[int]) -> State:
    """The state of one row after ids."""
    state = run.model.start(1)
    for part in torch.split(torch.tensor([ids], device=run.device), _CHUNK, 1):
        state = run.model.advance(part, state)
    return state


@torch.no_grad()
def _read(
    run: Run, ids: Tensor, targets: Tensor, state: State, boundaries: Array | None
) -> Iterator[tuple[list[Predictions], State]]:
    """Read ids (B, T), some tokens at a time.

    Yields:
        The predictions of each row, and the state after these tokens.
    """
    model: Predictor = run.model
    steps = max(1, NUMBERS // (model.vocab_size * len(ids)))
    for some, wanted in zip(
        torch.split(ids, steps, 1), torch.split(targets, steps, 1), strict=True
    ):
        output = model.forward(some, state)
        state = output.state
        rows = [
            describe_tensor(*one, boundaries) for one in zip(output.logits, wanted, strict=True)
        ]
        if output.found is not None:
            found = output.found(wanted)
            answers = zip(rows, as_array(found.log_prob), as_array(found.order), strict=True)
            rows = [as_found(*answer) for answer in answers]
        yield rows, state


def describe_tensor(logits: Tensor, targets: Tensor, boundaries: Array | None) -> Predictions:
    """What `predictions.describe` does for arrays, on the device of the tensors and by all its
    threads."""
    wanted = targets[:, None]
    log_probs = logits.double().log_softmax(-1)
    ends = None
    if boundaries is not None:
        of_ends = log_probs[:, torch.from_numpy(boundaries).to(logits.device)]
        ends = as_array(of_ends.logsumexp(-1))
    return Predictions(
        as_array(log_probs.gather(-1, wanted)[:, 0]),
        as_array(torch.special.entr(log_probs.exp()).sum(-1)),
        as_array((logits > logits.gather(-1, wanted)).sum(-1) + 1),
        ends,
    )


def as_array(tensor: Tensor) -> Array:
    """The numbers of a tensor; bfloat16 and float16 as float32."""
    low = tensor.dtype in (torch.bfloat16, torch.float16)
    plain: Array = (tensor.float() if low else tensor).cpu().numpy()
    return plain
