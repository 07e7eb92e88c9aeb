"""Monte-Carlo dropout: the mean prediction of many passes with dropout (Gal and Ghahramani 2016,
arXiv:1506.02142; for recurrent models arXiv:1512.05287, section 4)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from ..data.stream import Ids
from ..nn.randomness import own_generator
from ..types import LanguageModel
from .token_scores import Progress, TokenScores, score_tokens


def score_mc_dropout(
    model: LanguageModel,
    ids: Ids,
    device: torch.device,
    samples: int,
    progress: Progress | None = None,
    **reading: Any,
) -> TokenScores:
    """Score every token like `score_tokens`, averaged over passes with dropout as in training.

    The score is the logarithm of the mean probability. Which token was the most probable one is not
    computed.

    Args:
        samples: number of passes; pass s (from 0) draws its masks with seed s.
        reading: further arguments of `score_tokens`.
    """
    total = np.full(len(ids), -np.inf)
    learner = deepcopy(model)  # others may be reading the model meanwhile, without dropout
    cast(nn.Module, learner).train()
    for seed in range(samples):
        with own_generator(seed, device):
            scores = score_tokens(learner, ids, device, progress=progress, **reading)
        total = np.logaddexp(total, scores.log_prob.astype(np.float64))
    return TokenScores((total - np.log(samples)).astype(np.float32), None)
