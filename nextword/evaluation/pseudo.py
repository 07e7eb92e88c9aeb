"""Pseudo-log-likelihood: how well a model that reads both ways knows each token from all others
(Salazar et al. 2020, arXiv:1910.14659, section 2).

    PLL(x) = Σ_i log p(x_i | x with x_i masked)

It is no probability of the text: such figures compare only with each other.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import torch

from ..data.pairs import pad
from ..data.stream import Ids
from ..errors import InputError
from ..generation.infill import gap_filler
from ..run import Run
from ..screen import Bar
from ..text.corpus import Corpus
from ..text.input_lines import take
from ..text.tokenizer import EOS, UNK
from ..text.wordpiece import CLS, MASK
from ..types import MaskedLanguageModel
from .figures import Evaluation, safe_exp, signature, summarise
from .sentences import SentenceScore
from .token_scores import TokenScores

_TOKENS = 8192  # of masked copies read together, padding included
_LINES = 256  # whose copies are sorted by length
_LINES_AT_ONCE = 32  # of a stream, scored before the first is answered


def score_masked(
    model: MaskedLanguageModel,
    ids: Ids,
    device: torch.device,
    progress: Callable[[int], None] | None = None,
) -> TokenScores:
    """Of a text (N,): each line read alone, in pieces where it is longer than the context. The ends
    of lines are not predicted: they cost nothing, and hit nothing.

    Args:
        progress: called with the number of tokens just scored.
    """
    ids = np.asarray(ids)
    log_prob = np.zeros(len(ids), dtype=np.float32)
    hit = np.zeros(len(ids), dtype=bool)
    places = _pieces(ids, (model.context or 1 << 30) - 2)
    while block := list(islice(places, _LINES)):
        rows = [ids[start:stop].astype(np.int64) for start, stop in block]
        for (start, stop), (values, hits) in zip(
            block, pseudo_log_likelihood(model, rows, device), strict=True
        ):
            log_prob[start:stop], hit[start:stop] = values, hits
        if progress:
            progress(sum(stop - start for start, stop in block))
    return TokenScores(log_prob, hit)


@torch.no_grad()
def pseudo_log_likelihood(
    model: MaskedLanguageModel, rows: Sequence[Sequence[int] | Ids], device: torch.device
) -> list[tuple[Ids, Ids]]:
    """For each row of token ids (marks left out): log p of each of its tokens, natural logarithms,
    and whether it was the most probable one. A row with its marks fits the model's context."""
    wholes = [np.concatenate([[CLS], row, [EOS]]).astype(np.int64) for row in rows]
    found = [(np.zeros(len(row), np.float32), np.zeros(len(row), bool)) for row in rows]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    copies = ((i, place) for i in order for place in range(len(rows[i])))
    for batch in _batches(copies, wholes):
        ids, real = pad([wholes[i] for i, _ in batch])
        own = torch.arange(len(batch))
        places = torch.tensor([place + 1 for _, place in batch])
        targets = ids[own, places].clone()
        ids[own, places] = MASK
        hidden = model(ids.to(device), real.to(device))[own.to(device), places.to(device)]
        log_prob, hits = model.predict(hidden, targets.to(device))
        for (i, place), value, right in zip(batch, log_prob.tolist(), hits.tolist(), strict=True):
            found[i][0][place], found[i][1][place] = value, right
    return found


def _batches(
    copies: Iterator[tuple[int, int]], wholes: list[Ids]
) -> Iterator[list[tuple[int, int]]]:
    """Copies one after another, the longest last, as many as `_TOKENS` allows."""
    batch: list[tuple[int, int]] = []
    for copy in copies:
        if batch and (len(batch) + 1) * len(wholes[copy[0]]) > _TOKENS:
            yield batch
            batch = []
        batch.append(copy)
    if batch:
        yield batch


def _pieces(ids: Ids, most: int) -> Iterator[tuple[int, int]]:
    """Where lines begin and end, `<eos>` left out; longer ones in pieces of at most `most`."""
    start = 0
    for end in (*np.flatnonzero(ids == EOS).tolist(), len(ids)):
        yield from ((at, min(at + most, end)) for at in range(start, end, most))
        start = end + 1


def evaluate_pseudo(
    run: Run, corpus: Corpus, bar: Bar | None = None
) -> tuple[Evaluation, TokenScores]:
    """Figures of a model that reads both ways: each token from all others of its line.

    They are no probabilities of the text, are marked `pseudo`, and compare only with each other.

    Raises:
        InputError: the run does not predict masked words, or there are no words in the text.
    """
    model = gap_filler(run)
    predicted = np.asarray(corpus.ids) != EOS
    total = int(predicted.sum())
    if not total:
        raise InputError("no words in the text, only ends of lines")
    began = time.perf_counter()
    scores = score_masked(model, corpus.ids, run.device, bar(total) if bar else None)
    seconds = time.perf_counter() - began
    assert scores.hit is not None
    known = scores.log_prob[predicted & (corpus.ids != UNK)]
    of_words = TokenScores(scores.log_prob[predicted], scores.hit[predicted])
    result = summarise(
        of_words,
        replace(corpus.counts, tokens=total),
        safe_exp(-float(known.mean(dtype=np.float64))) if len(known) else math.inf,
        run.parameters,
        seconds,
        signature(run, f"pseudo:line:{run.model.context}"),
    )
    return replace(result, pseudo=True), scores


def score_pseudo_lines(run: Run, texts: Iterable[str]) -> Iterator[SentenceScore]:
    """The pseudo-log-likelihood of each line, without `<eos>`; see `score_lines`.

    Raises:
        InputError: the run does not predict masked words, or a line is longer than its context.
    """
    model = gap_filler(run)
    longest = (model.context or 1 << 30) - 2  # without the marks at both ends
    lines = iter(texts)
    first = 1
    while block := take(lines, _LINES_AT_ONCE):
        rows = [run.tokenizer.encode(text.replace("\n", " ")) for text in block]
        for number, ids in enumerate(rows, start=first):
            if len(ids) > longest:
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
