"""Log-probabilities of sentences, by language models and by translators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..run import Run
from ..text.input_lines import blocks
from ..text.tokenizer import EOS, UNK, line_named
from ..types import Ability, ArrayModel, Batch
from .figures import safe_exp
from .gradients import without_gradients

_TOKENS = 4096  # in a batch, padding included
_LINES = 8  # times the size of a batch: lines that are sorted by length together


@dataclass(frozen=True)
class SentenceScore:
    """The score of one sentence, which is read without the sentences before it."""

    text: str
    log_prob: float  # natural logarithm, `<eos>` included
    tokens: int  # `<eos>` included
    oov: int  # number of unknown words
    perplexity: float  # exp(-log_prob / tokens)
    pseudo: bool = False  # log_prob is a pseudo-log-likelihood, without `<eos>` (BERT)

    def as_dict(self) -> dict[str, Any]:
        """Return the score by name; `pseudo` only if it is true."""
        values = asdict(self)
        return values if self.pseudo else {k: v for k, v in values.items() if k != "pseudo"}


def score_lines(run: Run, texts: Iterable[str], batch_size: int = 64) -> Iterator[SentenceScore]:
    """Yield the log-probability of each text as a whole line, in their order.

    Raises:
        InputError: the run does not predict text.
    """
    run.require(Ability.GENERATE)

    def encoded(number: int, text: str) -> tuple[str, list[int]]:
        with line_named(number):
            return text, [*run.tokenizer.encode(text), EOS]

    for block in blocks(texts, _LINES * batch_size, encoded):
        targets = [ids for _, ids in block]
        if isinstance(run.model, ArrayModel):
            scores = [run.model.score_ids(np.array(ids))[0] for ids in targets]
            log_probs = [float(one.sum(dtype=np.float64)) for one in scores]
        else:
            log_probs = _in_batches(run, targets, [[] for _ in targets], batch_size)
        for (text, ids), log_prob in zip(block, log_probs, strict=True):
            yield _scored(run, text, text, ids, log_prob)


def score_pair_lines(
    run: Run, texts: Iterable[str], batch_size: int = 64
) -> Iterator[SentenceScore]:
    """Yield the log-probability of each target given its source; a line is source, tab, target.

    Raises:
        InputError: the run does not translate, a line has no tab, or is longer than the model's
            context.
    """
    from ..generation.translate import check_fits

    run.require(Ability.TRANSLATE)
    assert run.source is not None
    tokenizers = run.source, run.tokenizer

    def encoded(number: int, line: str) -> tuple[str, list[int], list[int]]:
        if "\t" not in line:
            raise InputError(f"line {number} has no tab; '{run.name}' scores source, tab, target")
        source, target = (
            [*tokenizer.encode(side.strip()), EOS]  # as in training
            for tokenizer, side in zip(tokenizers, line.split("\t")[:2], strict=True)
        )
        check_fits(run, max(len(source), len(target)), number)
        return line, source, target

    for block in blocks(texts, _LINES * batch_size, encoded):
        targets = [target for _, _, target in block]
        log_probs = _in_batches(run, targets, [source for _, source, _ in block], batch_size)
        for (line, _, ids), log_prob in zip(block, log_probs, strict=True):
            yield _scored(run, line, line.split("\t")[1], ids, log_prob)


def _scored(run: Run, line: str, target: str, ids: list[int], log_prob: float) -> SentenceScore:
    oov = len(run.tokenizer.unknown(target)) if UNK in ids else 0
    return SentenceScore(line, log_prob, len(ids), oov, safe_exp(-log_prob / len(ids)))


def _in_batches(
    run: Run, targets: list[list[int]], sources: list[list[int]], batch_size: int
) -> list[float]:
    """Return the log-probability of each target; those of similar length share a batch."""
    order = sorted(range(len(targets)), key=lambda i: len(targets[i]))
    found = dict[int, float]()
    for rows in batches(order, [len(ids) for ids in targets], batch_size):
        scores = _score(run, [targets[i] for i in rows], [sources[i] for i in rows])
        found |= zip(rows, scores, strict=True)
    return [found[i] for i in range(len(targets))]


def batches(order: list[int], lengths: list[int], batch_size: int) -> Iterator[list[int]]:
    """Group rows of similar length: at most `batch_size` rows and `_TOKENS` tokens in a batch."""
    rows: list[int] = []
    for index in order:
        if rows and (len(rows) == batch_size or (len(rows) + 1) * lengths[index] > _TOKENS):
            yield rows
            rows = []
        rows.append(index)
    yield rows


@without_gradients
def _score(run: Run, rows: list[list[int]], sources: list[list[int]]) -> list[float]:
    """Score one batch. Padding follows the end of a row, so it does not change a score."""
    from ..data.pairs import pad, shifted

    targets, mask = pad(rows)
    batch = Batch(shifted(targets), targets, continues=False, mask=mask)
    if any(sources):
        source, source_mask = pad(sources)
        batch = replace(batch, source=source, source_mask=source_mask)
    batch = batch.to(run.device)
    log_prob = run.model.score(batch.ids, batch.targets, batch.start(run.model)).log_prob
    return [float(x) for x in log_prob.double().where(mask.to(run.device), 0).sum(dim=1)]
