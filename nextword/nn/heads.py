"""From hidden vectors to the next token."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CHUNK = 1 << 22  # logits held at once when no gradient is asked for


class SoftmaxHead(nn.Module):
    """logits = hidden Eᵀ + b. With `tied`, E is the input embedding, given at every call
    (Press and Wolf 2017, arXiv:1608.05859; Inan et al. 2017, arXiv:1611.01462)."""

    def __init__(self, width: int, vocab_size: int, tied: bool) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.zeros(vocab_size))
        self.E: nn.Parameter | None = None
        if not tied:
            self.E = nn.Parameter(torch.empty(vocab_size, width))
            nn.init.uniform_(self.E, -(width**-0.5), width**-0.5)

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """hidden (..., H), the input embedding (V, H) → logits (..., V)."""
        return F.linear(hidden, embedding if self.E is None else self.E, self.b)

    def score(
        self, hidden: Tensor, targets: Tensor, embedding: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """hidden (..., H), targets (...) → log-probabilities (...), and where no gradient is
        asked for whether each target was the most probable token (...)."""
        if torch.is_grad_enabled():
            logits = self(hidden, embedding).flatten(0, -2)
            losses = F.cross_entropy(logits, targets.flatten(), reduction="none")
            return -losses.view(targets.shape), None
        rows = max(1, _CHUNK // len(self.b))
        log_probs, hits = [], []
        for h, y in zip(
            torch.split(hidden.flatten(0, -2), rows),
            torch.split(targets.flatten(), rows),
            strict=True,
        ):
            logits = self(h, embedding).float()
            log_probs.append(-F.cross_entropy(logits, y, reduction="none"))
            hits.append(logits.argmax(dim=-1) == y)
        return torch.cat(log_probs).view(targets.shape), torch.cat(hits).view(targets.shape)
