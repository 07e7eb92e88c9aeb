"""Dynamic evaluation: every token is predicted before the model learns from it (Mikolov et al.
2010; Krause et al. 2018, arXiv:1709.07432).

The text is read in short segments. A segment is scored with the weights as they are; then its
gradient moves them, and they drift back towards the trained ones:

    w ← w - lr g/(√s + ε) + decay (w_0 - w),   s ← 0.999 s + 0.001 g²   (bias-corrected)

g is the segment's mean gradient, clipped to norm `clip`. The trained weights come back at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from ..config import Section
from ..data.stream import Ids, rows
from ..state import detach
from .stream import Progress, TokenScores


class Dynamic(Section):
    """How fast the model adapts."""

    lr: float = Field(3e-4, gt=0)
    segment: int = Field(16, ge=1, description="tokens between two updates")
    decay: float = Field(0.0, ge=0, lt=1, description="pull back to the trained weights")
    clip: float = Field(1.0, gt=0)
    momentum: float = Field(0.0, ge=0, lt=1)

    @property
    def signature(self) -> str:
        return ",".join(f"{key}={value:g}" for key, value in self.model_dump().items())


@contextmanager
def restored(model: Any) -> Iterator[list[Tensor]]:
    """The trained weights (copies); the model has them again at the end."""
    trained = [p.detach().clone() for p in model.parameters()]
    asked = [p.requires_grad for p in model.parameters()]
    try:
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        yield trained
    finally:
        with torch.no_grad():
            for parameter, value, flag in zip(model.parameters(), trained, asked, strict=True):
                parameter.copy_(value)
                parameter.requires_grad_(flag)
                parameter.grad = None


def score_dynamic(
    model: Any,
    ids: Ids,
    device: torch.device,
    settings: Dynamic,
    progress: Progress | None = None,
) -> TokenScores:
    """As `score_stream`, the weights following the text. No dropout is drawn."""
    log_prob = np.zeros(len(ids), dtype=np.float32)
    hit = np.zeros(len(ids), dtype=bool)
    model.eval()
    with restored(model) as trained, torch.enable_grad():
        parameters = list(model.parameters())
        optimizer = torch.optim.Adam(
            parameters, lr=settings.lr, betas=(settings.momentum, 0.999), fused=True
        )
        state = model.start(1)
        for offset in range(0, len(ids), settings.segment):
            steps = min(settings.segment, len(ids) - offset)
            inputs, targets = (t.to(device) for t in rows(ids, np.array([offset]), steps))
            output = model.forward(inputs, detach(state))
            state = output.state
            logits = output.logits[0].float()
            scores = logits.log_softmax(-1).gather(-1, targets[0, :, None]).squeeze(-1)
            log_prob[offset : offset + steps] = scores.detach().cpu().numpy()
            hit[offset : offset + steps] = (logits.argmax(-1) == targets[0]).cpu().numpy()
            optimizer.zero_grad()
            (-scores.mean()).backward()
            clip_grad_norm_(parameters, settings.clip)
            optimizer.step()
            if settings.decay:
                with torch.no_grad():
                    torch._foreach_lerp_(parameters, trained, settings.decay)
            if progress:
                progress(steps)
    return TokenScores(log_prob, hit)
