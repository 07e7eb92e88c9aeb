"""Beam search finds continuations that have a high probability as a whole.

It needs only `(ids, state) → logits, state`, so it works for every model: a language model
continues a prompt, a sequence-to-sequence model translates a source.

Example:
    >>> import numpy as np
    >>> from nextword.models.ngram import NgramConfig
    >>> model = NgramConfig(order=2, smoothing="witten-bell").build(vocab_size=4)
    >>> _ = model.fit(np.array([2, 3, 1] * 9))  # nine times the line "a b"
    >>> [[best]] = beam_search(model, torch.tensor([1]), model.start(1), [5], beam=2, end=1)
    >>> best.ids, best.ended
    ([2, 3], True)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..state import select
from ..text.tokenizer import UNK
from ..types import Predictor, State
from . import filters


@dataclass(frozen=True)
class Hypothesis:
    """A continuation that the search has found."""

    ids: list[int]  # without the end mark
    log_prob: float  # natural logarithm; includes the end mark if it was reached
    score: float  # log_prob / length penalty; hypotheses are ranked by it
    ended: bool  # True: it ends with the end mark; False: it was cut at its limit


def length_penalty(length: int, alpha: float) -> float:
    """((5 + length) / 6)^α (Wu et al. 2016, arXiv:1609.08144, section 7, equation 14). `length`
    includes the end mark. α = 0 means no penalty; a larger α favours longer outputs."""
    return float(((5 + length) / 6) ** alpha)


@dataclass
class _Search:
    """The finished hypotheses of one row."""

    limit: int
    beam: int
    alpha: float
    finished: list[Hypothesis] = field(default_factory=list)

    def add(self, ids: list[int], log_prob: float, ended: bool) -> None:
        score = log_prob / length_penalty(len(ids) + ended, self.alpha)
        self.finished.append(Hypothesis(ids, log_prob, score, ended))

    def goes_on(self, best: float, length: int) -> bool:
        """Whether the search goes on after `length` tokens. It stops at the limit, and when there
        are `beam` finished hypotheses and the best unfinished one, whose log-probability is `best`,
        scores no better."""
        if length >= self.limit:
            return False
        if len(self.finished) < self.beam:
            return best > -math.inf
        worst = sorted(h.score for h in self.finished)[-self.beam]
        return best / length_penalty(length, self.alpha) > worst

    def ranked(self, n_best: int) -> list[Hypothesis]:
        return sorted(self.finished, key=lambda h: -h.score)[:n_best]


@torch.no_grad()
def beam_search(
    model: Predictor,
    last: Tensor,
    state: State,
    limits: list[int],
    *,
    beam: int = 4,
    alpha: float = 0.6,
    n_best: int = 1,
    end: int | None = None,
    allow_unk: bool = False,
    prefix: Sequence[int] = (),
    no_repeat: int = 0,
) -> list[list[Hypothesis]]:
    """The `n_best` best continuations of each row, best first.

    A hypothesis is finished when the end mark is among the `beam` most probable next steps. A row
    is finished when it has `beam` finished hypotheses and no other scores better. With `beam` = 1
    the search is greedy.

    Args:
        last: (B,) the last token before the output; the model reads it after `state`.
        limits: the most tokens of each row's output.
        alpha: see `length_penalty`.
        end: the end mark; None = every output has as many tokens as its limit.
        allow_unk: whether `<unk>` may occur in an output.
        prefix: the tokens that every output begins with; they may be `<unk>`.
        no_repeat: no output has an n-gram of this length twice, after the prefix; 0 = any may.

    Raises:
        ValueError: `beam` or a limit is below 1.
        InputError: the model gives no probabilities.
    """
    if beam < 1 or min(limits, default=1) < 1:
        raise ValueError("a beam and its limits are at least 1")
    searches = [_Search(limit, beam, alpha) for limit in limits]
    rows = list(range(len(limits)))  # rows that are not finished
    scores = torch.zeros(len(rows), 1, device=last.device)  # one empty hypothesis in each row
    written = torch.zeros(len(rows), 1, 0, dtype=torch.int64, device=last.device)
    step = 0
    while rows:
        step += 1
        output = model.forward(last.view(-1, 1), state)
        log_probs = filters.check(output.logits[:, -1].float()).log_softmax(dim=-1)
        if step <= len(prefix):
            log_probs = filters.force(log_probs, prefix[step - 1])
        else:
            log_probs = _without_forbidden(log_probs, written, allow_unk, no_repeat)
        totals, parents, grown = _candidates(scores, written, log_probs, 2 * beam)
        going = _finish(searches, rows, totals, grown, beam, end)
        order, best = _best(totals, going, beam)
        likeliest = best.max(dim=1).values.tolist()
        stay = [i for i, row in enumerate(rows) if searches[row].goes_on(likeliest[i], step)]
        kept = torch.tensor(stay, dtype=torch.int64, device=last.device)
        first = torch.arange(len(rows), device=last.device)[:, None] * scores.shape[1]
        state = select(output.state, (first + parents.gather(1, order))[kept].flatten())
        rows, scores = [rows[i] for i in stay], best[kept]
        written = grown.gather(1, order[..., None].expand(-1, -1, step))[kept]
        last = written[..., -1].flatten()
    return [search.ranked(n_best) for search in searches]


def _best(totals: Tensor, going: Tensor, beam: int) -> tuple[Tensor, Tensor]:
    """The places (B, beam) of the best unfinished candidates, in order, and their totals.

    A row may have fewer; the rest have the total -inf.
    """
    ranks = torch.arange(going.shape[1], device=going.device)
    order = torch.where(going, ranks, ranks + going.shape[1]).argsort(dim=1)[:, :beam]
    return order, totals.where(going, -torch.inf).gather(1, order)


def _without_forbidden(
    log_probs: Tensor, written: Tensor, allow_unk: bool, no_repeat: int
) -> Tensor:
    """log_probs (rows · hypotheses, V), with -inf for `<unk>` and for what would repeat an n-gram
    of `written` (rows, hypotheses, step - 1)."""
    if not allow_unk:
        log_probs = filters.forbid(log_probs, [UNK])
    if no_repeat:
        again = filters.repeated(written.flatten(0, 1), no_repeat, log_probs.shape[1])
        log_probs = log_probs.masked_fill(again, -torch.inf)
    return log_probs


def _candidates(
    scores: Tensor, written: Tensor, log_probs: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The C = `count` most probable extensions of each row's hypotheses.

    Args:
        scores: (R, W) log-probabilities of W hypotheses.
        written: (R, W, T) their tokens.
        log_probs: (R·W, V) log-probabilities of the next token.

    Returns:
        Best first: the log-probabilities (R, C), the hypotheses that are extended (R, C), and the
        extended tokens (R, C, T + 1).
    """
    rows, width, length = written.shape
    words = log_probs.shape[1]
    totals = (scores[:, :, None] + log_probs.view(rows, width, words)).flatten(1)  # (R, W·V)
    totals, places = totals.topk(min(count, totals.shape[1]), dim=1)
    parents, tokens = places // words, places % words
    before = written.gather(1, parents[..., None].expand(-1, -1, length))
    return totals, parents, torch.cat([before, tokens[..., None]], dim=2)


def _finish(
    searches: list[_Search],
    rows: list[int],
    totals: Tensor,
    grown: Tensor,
    beam: int,
    end: int | None,
) -> Tensor:
    """Add finished hypotheses to their searches. Returns which candidates (R, C) are unfinished."""
    tokens, step = grown[..., -1], grown.shape[2]
    ended = torch.zeros_like(tokens, dtype=torch.bool) if end is None else tokens == end
    possible = totals > -torch.inf
    for i, j in (ended & possible)[:, :beam].nonzero().tolist():
        searches[rows[i]].add(grown[i, j, :-1].tolist(), float(totals[i, j]), True)
    for i, row in enumerate(rows):
        if step == searches[row].limit:  # unfinished hypotheses are cut here
            for j in (~ended & possible)[i].nonzero()[:beam, 0].tolist():
                searches[row].add(grown[i, j].tolist(), float(totals[i, j]), False)
    return ~ended & possible
