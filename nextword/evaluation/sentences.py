"""`score`: how natural a sentence is, as its log-probability."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import torch

from ..run import Run
from ..text.tokenizer import EOS, UNK
from .perplexity import safe_exp

_TOKENS = 4096  # in a batch, padding included


@dataclass(frozen=True)
class SentenceScore:
    """One sentence, read from a fresh start to the end of its line."""

    text: str
    log_prob: float  # natural logarithm, `<eos>` included
    tokens: int  # `<eos>` included
    oov: int
    perplexity: float  # exp(-log_prob / tokens)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def score(run: Run, texts: Iterable[str], batch_size: int = 64) -> list[SentenceScore]:
    """The log-probability of each text as a whole line. Higher is more natural; compare lines of
    the same words (word order, word choice) by `log_prob`, of other lengths by `perplexity`."""
    return list(score_lines(run, texts, batch_size))


def score_lines(run: Run, texts: Iterable[str], batch_size: int = 64) -> Iterator[SentenceScore]:
    """`score`, a few batches at a time: for streams of any length, in their order."""
    lines = iter(texts)
    while block := list(islice(lines, 8 * batch_size)):
        encoded = [[*run.tokenizer.encode(text), EOS] for text in block]
        order = sorted(range(len(block)), key=lambda i: len(encoded[i]))
        log_probs = dict[int, float]()
        for rows in _batches(order, [len(ids) for ids in encoded], batch_size):
            log_probs |= zip(rows, _score(run, [encoded[i] for i in rows]), strict=True)
        for index, text in enumerate(block):
            ids, log_prob = encoded[index], log_probs[index]
            oov = len(run.tokenizer.unknown(text)) if UNK in ids else 0
            yield SentenceScore(text, log_prob, len(ids), oov, safe_exp(-log_prob / len(ids)))


def _batches(order: list[int], lengths: list[int], batch_size: int) -> Iterator[list[int]]:
    """Rows of similar length together, at most `_TOKENS` tokens where a row allows it."""
    rows: list[int] = []
    for index in order:
        if rows and (len(rows) == batch_size or (len(rows) + 1) * lengths[index] > _TOKENS):
            yield rows
            rows = []
        rows.append(index)
    yield rows


@torch.no_grad()
def _score(run: Run, rows: list[list[int]]) -> list[float]:
    """Padding stands after the end of a row, so it never reaches what counts."""
    longest = max(map(len, rows))
    padded = torch.full((len(rows), longest + 1), EOS)
    for row, ids in zip(padded, rows, strict=True):
        row[1 : len(ids) + 1] = torch.tensor(ids)
    padded = padded.to(run.device)
    log_prob = run.model.score(padded[:, :-1], padded[:, 1:], run.model.start(len(rows))).log_prob
    lengths = torch.tensor([len(ids) for ids in rows], device=run.device)
    counts = torch.arange(longest, device=run.device) < lengths[:, None]
    return [float(x) for x in log_prob.double().where(counts, 0).sum(dim=1)]
