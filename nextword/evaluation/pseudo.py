"""Pseudo-log-likelihood: how well a model that reads both ways knows each token from all others
(Salazar et al. 2020, arXiv:1910.14659, section 2).

    PLL(x) = Σ_i log p(x_i | x with x_i masked)

It is no probability of the text: such figures compare only with each other.
"""

from __future__ import annotations

from typing import Any

import torch

from ..errors import InputError
from ..generation.infill import check_fills
from ..run import Run
from ..text.tokenizer import EOS
from ..text.wordpiece import CLS, MASK

_TOKENS = 8192  # of masked copies read together


@torch.no_grad()
def pseudo_log_likelihood(run: Run, ids: list[int]) -> list[float]:
    """log p of each of the tokens `ids` (N,) of a sentence (marks left out), natural logarithms.

    Raises:
        InputError: the run predicts no masked words, or the sentence is longer than its context.
    """
    check_fills(run)
    model: Any = run.model
    whole = [CLS, *ids, EOS]
    if len(whole) > model.context:
        raise InputError(
            f"a sentence of {len(whole)} tokens is longer than the model's context of "
            f"{model.context}; split it"
        )
    found: list[float] = []
    step = max(1, _TOKENS // len(whole))
    for first in range(0, len(ids), step):
        places = torch.arange(first, min(first + step, len(ids))) + 1
        rows = torch.tensor([whole]).repeat(len(places), 1)
        own = torch.arange(len(places))
        targets = rows[own, places]
        rows[own, places] = MASK
        hidden = model(rows.to(run.device))[own.to(run.device), places.to(run.device)]
        log_prob, _ = model.predict(hidden, targets.to(run.device))
        found += log_prob.double().tolist()
    return found
