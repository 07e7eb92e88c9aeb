"""Beam search: the continuations that a model finds most probable as a whole.

Written against `(ids, state) → logits, state`, so it serves every model: what a language model says
after a prompt, what a sequence-to-sequence model says to a source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..state import select
from ..text.tokenizer import UNK
from ..types import Predictor, State
from . import filters


@dataclass(frozen=True)
class Hypothesis:
    """One continuation."""

    ids: list[int]  # without the end mark
    log_prob: float  # natural logarithm, of the end mark too if it was reached
    score: float  # log_prob / length penalty: what hypotheses are ranked by
    ended: bool  # by its end mark, not by the limit


def length_penalty(length: int, alpha: float) -> float:
    """((5 + length) / 6)^α (Wu et al. 2016, arXiv:1609.08144, equation 14): 0 = none, larger for
    longer outputs. `length` counts the end mark."""
    return float(((5 + length) / 6) ** alpha)


@dataclass
class _Search:
    """The search for one source."""

    limit: int
    beam: int
    alpha: float
    finished: list[Hypothesis] = field(default_factory=list)

    def add(self, ids: list[int], log_prob: float, ended: bool) -> None:
        score = log_prob / length_penalty(len(ids) + ended, self.alpha)
        self.finished.append(Hypothesis(ids, log_prob, score, ended))

    def over(self, best: float, length: int) -> bool:
        """Whether no going hypothesis, the best of which has log-probability `best`, is better than
        those that are kept."""
        if len(self.finished) < self.beam:
            return best == -math.inf
        worst = sorted(h.score for h in self.finished)[-self.beam]
        return best / length_penalty(length, self.alpha) <= worst

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
) -> list[list[Hypothesis]]:
    """For every row the best continuations, best first.

    A hypothesis is finished when the end mark is among the `beam` likeliest next steps. A row is
    done when it has `beam` finished ones and no going one scores better; with `alpha` = 0 nothing
    better can come after that. With a beam as wide as all hypotheses the search is exhaustive,
    with a beam of one it is greedy.

    Args:
        last: (B,) the token before the first, read from `state` on.
        limits: most tokens of each row's output.
        end: the id that ends an output; none = every output has as many tokens as its limit.

    Raises:
        ValueError: `beam` or a limit is below 1.
    """
    if beam < 1 or min(limits, default=1) < 1:
        raise ValueError("a beam and its limits are at least 1")
    searches = [_Search(limit, beam, alpha) for limit in limits]
    rows = list(range(len(limits)))  # sources still searched
    scores = torch.zeros(len(rows), 1, device=last.device)  # one hypothesis each, a beam later on
    written = torch.zeros(len(rows), 1, 0, dtype=torch.int64, device=last.device)
    step = 0
    while rows:
        step += 1
        output = model.forward(last.view(-1, 1), state)
        log_probs = output.logits[:, -1].float().log_softmax(dim=-1)
        if not allow_unk:
            log_probs = filters.forbid(log_probs, [UNK])
        totals, parents, grown = _candidates(scores, written, log_probs, 2 * beam)
        going = _finish(searches, rows, totals, grown, beam, end)
        # The `beam` best that go on, in order; a row may have fewer.
        ranks = torch.arange(going.shape[1], device=going.device)
        order = torch.where(going, ranks, ranks + going.shape[1]).argsort(dim=1)[:, :beam]
        best = totals.where(going, -torch.inf).gather(1, order)
        likeliest = best.max(dim=1).values.tolist()
        stay = [
            i
            for i, row in enumerate(rows)
            if step < searches[row].limit and not searches[row].over(likeliest[i], step)
        ]
        kept = torch.tensor(stay, dtype=torch.int64, device=last.device)
        first = torch.arange(len(rows), device=last.device)[:, None] * scores.shape[1]
        state = select(output.state, (first + parents.gather(1, order))[kept].flatten())
        rows, scores = [rows[i] for i in stay], best[kept]
        written = grown.gather(1, order[..., None].expand(-1, -1, step))[kept]
        last = written[..., -1].flatten()
    return [search.ranked(n_best) for search in searches]


def _candidates(
    scores: Tensor, written: Tensor, log_probs: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The likeliest next steps of each source.

    Log-probabilities of W hypotheses (R, W), their tokens (R, W, T), those of the next token
    (R·W, V) → of the `count` best steps C, best first: log-probability (R, C), the hypothesis that
    is continued (R, C), the tokens (R, C, T + 1).
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
    """Hand finished hypotheses over; returns which candidates (R, C) go on."""
    tokens, step = grown[..., -1], grown.shape[2]
    ended = torch.zeros_like(tokens, dtype=torch.bool) if end is None else tokens == end
    possible = totals > -torch.inf
    for i, j in (ended & possible)[:, :beam].nonzero().tolist():
        searches[rows[i]].add(grown[i, j, :-1].tolist(), float(totals[i, j]), True)
    for i, row in enumerate(rows):
        if step == searches[row].limit:  # what has not ended is cut off
            for j in (~ended & possible)[i].nonzero()[:beam, 0].tolist():
                searches[row].add(grown[i, j].tolist(), float(totals[i, j]), False)
    return ~ended & possible
