"""Monte-Carlo dropout: the mean of what many thinned networks predict (Gal and Ghahramani 2016,
arXiv:1506.02142; for recurrent models arXiv:1512.05287, section 4)."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import nn

from ..data.stream import Ids
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
    """As `score_tokens`, dropout drawn as in training: log of the mean probability over `samples`
    passes, the s-th with masks from seed s. Which token was the most probable is not known."""
    total = np.full(len(ids), -np.inf)
    devices = [device] if device.type == "cuda" else []
    network = cast(nn.Module, model)
    network.train()
    try:
        with torch.random.fork_rng(devices=devices):
            for seed in range(samples):
                torch.manual_seed(seed)
                scores = score_tokens(model, ids, device, progress=progress, **reading)
                total = np.logaddexp(total, scores.log_prob.astype(np.float64))
    finally:
        network.eval()
    return TokenScores((total - np.log(samples)).astype(np.float32), None)
