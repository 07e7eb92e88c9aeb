"""`score`: how natural a sentence is, as its log-probability."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from ..data.pairs import pad, shifted
from ..errors import InputError
from ..generation.infill import check_fills
from ..generation.translate import check_fits
from ..run import Run
from ..text.input_lines import take
from ..text.tokenizer import EOS, UNK
from ..types import Batch
from .perplexity import safe_exp
from .pseudo import pseudo_log_likelihood

_TOKENS = 4096  # in a batch, padding included
_PSEUDO_LINES = 32


@dataclass(frozen=True)
class SentenceScore:
    """One sentence, read from a fresh start to the end of its line."""

    text: str
    log_prob: float  # natural logarithm, `<eos>` included
    tokens: int  # `<eos>` included
    oov: int
    perplexity: float  # exp(-log_prob / tokens)
    pseudo: bool = False  # a pseudo-log-likelihood, of a model that reads both ways, without <eos>

    def as_dict(self) -> dict[str, Any]:
        values = asdict(self)
        return values if self.pseudo else {k: v for k, v in values.items() if k != "pseudo"}


def score(run: Run, texts: Iterable[str], batch_size: int = 64) -> list[SentenceScore]:
    """The log-probability of each text as a whole line. Higher is more natural; compare lines of
    the same words (word order, word choice) by `log_prob`, of other lengths by `perplexity`."""
    return list(score_lines(run, texts, batch_size))


def score_lines(run: Run, texts: Iterable[str], batch_size: int = 64) -> Iterator[SentenceScore]:
    """`score`, a few batches at a time: for streams of any length, in their order.

    A model of sentence pairs reads source, tab, target, and says how probable the target is. Of a
    model that reads both ways it is the pseudo-log-likelihood.

    Raises:
        InputError: such a line has no tab, or a line is longer than the model's context.
    """
    if run.config.model.reads == "sentences":
        yield from _pseudo_lines(run, texts)
        return
    lines = iter(texts)
    first = 1
    while written := take(lines, 8 * batch_size):
        numbered = enumerate(written, start=first)
        first += len(written)
        block = written
        sources = [_source(run, number, text) for number, text in numbered]
        if run.source is not None:
            block = [text.split("\t")[1] for text in block]
        encoded = [[*run.tokenizer.encode(text), EOS] for text in block]
        order = sorted(range(len(block)), key=lambda i: len(encoded[i]))
        log_probs = dict[int, float]()
        for rows in _batches(order, [len(ids) for ids in encoded], batch_size):
            scores = _score(run, [encoded[i] for i in rows], [sources[i] for i in rows])
            log_probs |= zip(rows, scores, strict=True)
        for index, text in enumerate(block):
            ids, log_prob = encoded[index], log_probs[index]
            oov = len(run.tokenizer.unknown(text)) if UNK in ids else 0
            yield SentenceScore(
                written[index], log_prob, len(ids), oov, safe_exp(-log_prob / len(ids))
            )


def _pseudo_lines(run: Run, texts: Iterable[str]) -> Iterator[SentenceScore]:
    check_fills(run)
    model: Any = run.model
    lines = iter(texts)
    first = 1
    while block := take(lines, _PSEUDO_LINES):
        rows = [run.tokenizer.encode(text.replace("\n", " ")) for text in block]
        for number, ids in enumerate(rows, start=first):
            if len(ids) + 2 > model.context:
                raise InputError(
                    f"line {number} has {len(ids)} tokens; with its marks that is more than the "
                    f"model's context of {model.context}; split it"
                )
        first += len(block)
        found = pseudo_log_likelihood(model, rows, run.device)
        for text, ids, (values, _) in zip(block, rows, found, strict=True):
            log_prob = float(values.sum(dtype=np.float64))
            oov = len(run.tokenizer.unknown(text)) if UNK in ids else 0
            each = safe_exp(-log_prob / max(1, len(ids)))
            yield SentenceScore(text, log_prob, len(ids), oov, each, pseudo=True)


def _batches(order: list[int], lengths: list[int], batch_size: int) -> Iterator[list[int]]:
    """Rows of similar length together, at most `_TOKENS` tokens where a row allows it."""
    rows: list[int] = []
    for index in order:
        if rows and (len(rows) == batch_size or (len(rows) + 1) * lengths[index] > _TOKENS):
            yield rows
            rows = []
        rows.append(index)
    yield rows


def _source(run: Run, number: int, text: str) -> list[int]:
    """The ids of a line's source side; empty where the model reads no pairs."""
    if run.source is None:
        return []
    if "\t" not in text:
        raise InputError(f"line {number} has no tab; '{run.name}' scores source, tab, target")
    source, target = text.split("\t")[:2]
    sides = [run.source.encode(source), run.tokenizer.encode(target)]
    check_fits(run, max(map(len, sides)) + 1, number)
    return [*sides[0], EOS]


@torch.no_grad()
def _score(run: Run, rows: list[list[int]], sources: list[list[int]]) -> list[float]:
    """Padding stands after the end of a row, so it never reaches what counts."""
    targets, mask = pad(rows)
    batch = Batch(shifted(targets), targets, continues=False, mask=mask)
    if run.source is not None:
        source, source_mask = pad(sources)
        batch = replace(batch, source=source, source_mask=source_mask)
    batch = batch.to(run.device)
    log_prob = run.model.score(batch.ids, batch.targets, batch.start(run.model)).log_prob
    return [float(x) for x in log_prob.double().where(mask.to(run.device), 0).sum(dim=1)]
