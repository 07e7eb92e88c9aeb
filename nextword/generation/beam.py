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
    width = 1  # hypotheses of each; they differ from the second step on
    scores = torch.zeros(len(rows), 1, device=last.device)
    written = torch.zeros(len(rows), 1, 0, dtype=torch.int64, device=last.device)
    step = 0
    while rows:
        output = model.forward(last.view(-1, 1), state)
        log_probs = output.logits[:, -1].float().log_softmax(dim=-1)
        if not allow_unk:
            log_probs = filters.forbid(log_probs, [UNK])
        log_probs = log_probs.view(len(rows), width, -1)
        words = log_probs.shape[2]
        totals = (scores[:, :, None] + log_probs).flatten(1)  # (R, W·V)
        step += 1
        totals, places = totals.topk(min(2 * beam, totals.shape[1]), dim=1)
        parents, tokens = places // words, places % words  # (R, 2·beam)
        grown = torch.cat(
            [written.gather(1, parents[..., None].expand(-1, -1, step - 1)), tokens[..., None]], 2
        )
        going = _finish(searches, rows, totals, tokens, grown, step, beam, end)
        # The `beam` best that go on, in order; a row may have fewer.
        ranks = torch.arange(going.shape[1], device=going.device)
        order = torch.where(going, ranks, ranks + going.shape[1]).argsort(dim=1)[:, :beam]
        scores = totals.where(going, -torch.inf).gather(1, order)
        tokens, parents = tokens.gather(1, order), parents.gather(1, order)
        written = grown.gather(1, order[..., None].expand(-1, -1, step))
        best = scores.max(dim=1).values.tolist()
        stay = [
            i
            for i, row in enumerate(rows)
            if step < searches[row].limit and not searches[row].over(best[i], step)
        ]
        kept = torch.tensor(stay, dtype=torch.int64, device=last.device)
        from_ = (torch.arange(len(rows), device=last.device)[:, None] * width + parents)[kept]
        state = select(output.state, from_.flatten())
        rows = [rows[i] for i in stay]
        scores, written, last = scores[kept], written[kept], tokens[kept].flatten()
        width = order.shape[1]
    return [search.ranked(n_best) for search in searches]


def _finish(
    searches: list[_Search],
    rows: list[int],
    totals: Tensor,
    tokens: Tensor,
    grown: Tensor,
    step: int,
    beam: int,
    end: int | None,
) -> Tensor:
    """Hand finished hypotheses over; returns which candidates (R, C) go on."""
    ended = torch.zeros_like(tokens, dtype=torch.bool) if end is None else tokens == end
    possible = totals > -torch.inf
    for i, j in (ended & possible)[:, :beam].nonzero().tolist():
        searches[rows[i]].add(grown[i, j, :-1].tolist(), float(totals[i, j]), True)
    for i, row in enumerate(rows):
        if step == searches[row].limit:  # what has not ended is cut off
            for j in (~ended & possible)[i].nonzero()[:beam, 0].tolist():
                searches[row].add(grown[i, j].tolist(), float(totals[i, j]), False)
    return ~ended & possible
