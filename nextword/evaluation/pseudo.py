"""Pseudo-log-likelihoods of masked language models (Salazar et al. 2020, arXiv:1910.14659, section
2): each token is predicted from all others.

    PLL(x) = Σ_i log p(x_i | x with x_i masked)

It is not a probability of the text, so such figures compare only with each other.
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
from ..ngram.documents import DocumentSums
from ..run import Run
from ..screen import Bar
from ..text.corpus import Corpus
from ..text.input_lines import blocks
from ..text.tokenizer import EOS, UNK
from ..text.wordpiece import CLS, MASK
from ..types import MaskedLanguageModel
from .figures import Evaluation, safe_exp, signature, summarise
from .predictions import Predictions
from .sentences import SentenceScore
from .tensor_predictions import describe_tensor
from .token_scores import TokenScores

_TOKENS = 8192  # in a batch of masked copies, padding included
_ROWS = 128  # predictions whose distributions are held at a time
_LINES = 256  # lines whose masked copies are sorted by length together
_LINES_AT_ONCE = 32  # lines of a stream that are scored together


def score_masked(
    model: MaskedLanguageModel,
    ids: Ids,
    device: torch.device,
    progress: Callable[[int], None] | None = None,
) -> TokenScores:
    """Score every token of a text (N,) from all others of its line.

    Lines longer than the context are divided into pieces. Line ends are not predicted; their
    log-probability is 0 and they do not count as right.

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
    """Score every token of each row from all others of the row.

    Args:
        rows: token ids without special tokens; with the two that are added, each row must fit into
            the model's context.

    Returns:
        For each row the natural log-probability of each token (T,), and whether it was the most
        probable one (T,).
    """
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


@torch.no_grad()
def predict_masked(
    model: MaskedLanguageModel,
    rows: Sequence[Sequence[int]],
    words: Sequence[Sequence[int]],
    device: torch.device,
) -> list[Predictions]:
    """Predict every token of each row from the others, but not from the later ones of its own word
    (Kauf and Ivanova 2023, arXiv:2305.10588, "within-word left-to-right"). If the model saw
    them, the first pieces of a rare word would look far too probable.

    Args:
        rows: see `pseudo_log_likelihood`.
        words: for each token the number of its word in the row; numbers that differ everywhere give
            the predictions of `pseudo_log_likelihood`.
    """
    wholes = [np.concatenate([[CLS], row, [EOS]]).astype(np.int64) for row in rows]
    found = [_empty(len(row)) for row in rows]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    copies = ((i, place) for i in order for place in range(len(rows[i])))
    for batch in _batches(copies, wholes):
        ids, real = pad([wholes[i] for i, _ in batch])
        targets = []
        for copy, (i, place) in zip(ids, batch, strict=True):
            targets.append(int(copy[place + 1]))
            later = range(place, len(rows[i]))
            copy[[at + 1 for at in later if words[i][at] == words[i][place]]] = MASK
        own = torch.arange(len(batch))
        places = torch.tensor([place + 1 for _, place in batch])
        hidden = model(ids.to(device), real.to(device))[own.to(device), places.to(device)]
        wanted = torch.tensor(targets, device=device)
        parts = [
            describe_tensor(model.logits(some), of_them, None)
            for some, of_them in zip(
                torch.split(hidden, _ROWS), torch.split(wanted, _ROWS), strict=True
            )
        ]
        at = 0
        for part in parts:
            for n in range(len(part.rank)):
                i, place = batch[at]
                found[i].log_prob[place] = part.log_prob[n]
                found[i].entropy[place] = part.entropy[n]
                found[i].rank[place] = part.rank[n]
                at += 1
    return found


def _empty(length: int) -> Predictions:
    return Predictions(np.zeros(length), np.zeros(length), np.zeros(length, np.int64))


def _batches(
    copies: Iterator[tuple[int, int]], wholes: list[Ids]
) -> Iterator[list[tuple[int, int]]]:
    """Group masked copies, sorted by length, into batches of at most `_TOKENS` tokens."""
    batch: list[tuple[int, int]] = []
    for copy in copies:
        if batch and (len(batch) + 1) * len(wholes[copy[0]]) > _TOKENS:
            yield batch
            batch = []
        batch.append(copy)
    if batch:
        yield batch


def _pieces(ids: Ids, most: int) -> Iterator[tuple[int, int]]:
    """Yield the bounds of lines without `<eos>`, in pieces of at most `most` tokens."""
    start = 0
    for end in (*np.flatnonzero(ids == EOS).tolist(), len(ids)):
        yield from ((at, min(at + most, end)) for at in range(start, end, most))
        start = end + 1


def evaluate_pseudo(
    run: Run, corpus: Corpus, bar: Bar | None = None
) -> tuple[Evaluation, TokenScores]:
    """Evaluate a masked language model: each token is predicted from all others of its line.

    The figures are marked `pseudo`. They are no probabilities of the text and compare only with
    each other.

    Returns:
        The figures, and the score of every token.

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


def check_fits_masked(model: MaskedLanguageModel, tokens: int, line: int) -> None:
    """Raise InputError if a line has more tokens than the model reads between its two marks."""
    if model.context is not None and tokens > model.context - 2:
        raise InputError(
            f"line {line} has {tokens} tokens; with its marks that is more than the model's "
            f"context of {model.context}; split it"
        )


def score_pseudo_lines(run: Run, texts: Iterable[str]) -> Iterator[SentenceScore]:
    """Yield the pseudo-log-likelihood of each line, without `<eos>`, in their order.

    Raises:
        InputError: the run does not predict masked words, or a line is longer than its context.
    """
    model = gap_filler(run)

    def encoded(number: int, text: str) -> tuple[str, list[int]]:
        ids = run.tokenizer.encode(text.replace("\n", " "))
        check_fits_masked(model, len(ids), number)
        return text, ids

    for block in blocks(texts, _LINES_AT_ONCE, encoded):
        found = pseudo_log_likelihood(model, [ids for _, ids in block], run.device)
        for (text, ids), (values, _) in zip(block, found, strict=True):
            log_prob = float(values.sum(dtype=np.float64))
            oov = len(run.tokenizer.unknown(text)) if UNK in ids else 0
            each = safe_exp(-log_prob / max(1, len(ids)))
            yield SentenceScore(text, log_prob, len(ids), oov, each, pseudo=True)


def sum_pseudo_documents(run: Run, texts: Sequence[str]) -> DocumentSums:
    """Add up the pseudo-log-likelihoods of documents, without the ends of their lines. A line that
    is longer than the model's context is divided into pieces.

    Raises:
        InputError: the run does not predict masked words.
    """
    model = gap_filler(run)
    rows = [np.array(run.tokenizer.encode(text), np.int64) for text in texts]
    ends = np.cumsum([len(row) for row in rows])
    log_prob = score_masked(model, np.concatenate(rows), run.device).log_prob
    sums = [float(part.sum(dtype=np.float64)) for part in np.split(log_prob, ends[:-1])]
    missing = [
        run.tokenizer.unknown(text) if UNK in row else []
        for text, row in zip(texts, rows, strict=True)
    ]
    return DocumentSums(
        np.array(sums),
        np.array([int((row != EOS).sum()) for row in rows]),
        np.array([len(pieces) for pieces in missing]),
        np.array([sum(len(piece.encode("utf-8")) + 1 for piece in pieces) for pieces in missing]),
    )
