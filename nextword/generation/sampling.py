"""How the next token is chosen: settings, filters and the draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from .. import bounds
from ..config import Section
from ..text.tokenizer import EOS, UNK
from . import filters

_COLDEST = 1e-6  # dividing by a temperature below this would overflow
Drawing = torch.Generator | Sequence[torch.Generator] | None


class Sampling(Section):
    """How the next token is chosen. Temperature is applied first, then top-k, top-p and min-p.

    Example:
        >>> Sampling(temperature=0).choose(torch.tensor([[0.0, 1.0, 3.0]])).tolist()
        [2]
    """

    temperature: float = Field(
        1.0, ge=0, le=bounds.TEMPERATURE, description="0 = always the most probable token"
    )
    top_k: int | None = Field(None, ge=1, le=bounds.COUNT)
    top_p: float | None = Field(None, gt=0, le=1)
    min_p: float | None = Field(None, ge=0, le=1)
    allow_unk: bool = False
    repetition_penalty: float = Field(
        1.0,
        ge=1,
        le=bounds.NUMBER,
        description="log-probabilities of tokens that the text has are multiplied by this",
    )

    @model_validator(mode="after")
    def _finite(self) -> Self:
        if not self.temperature < float("inf"):
            raise ValueError("temperature must be a finite number")
        filters = {"top_k": self.top_k, "top_p": self.top_p, "min_p": self.min_p}
        used = [name for name, value in filters.items() if value is not None]
        if used and self.temperature < _COLDEST:
            raise ValueError(
                f"{used[0]} does nothing with temperature = 0, which always takes the most "
                "probable token"
            )
        return self

    def choose(
        self, logits: Tensor, generator: Drawing = None, seen: Tensor | None = None
    ) -> Tensor:
        """logits (B, V) → ids (B,). `generator` is one for all rows, or one for each row; None =
        the global generator of torch. `seen` (B, V) says which tokens each text has, if there is a
        repetition penalty."""
        logits = logits.float()
        if seen is not None:
            logits = filters.penalise(logits, seen, self.repetition_penalty)
        if not self.allow_unk:
            logits = filters.forbid(logits, [UNK])
        filters.check(logits)
        if self.temperature < _COLDEST:
            return logits.argmax(-1)
        logits = logits / self.temperature
        if self.top_k is not None:
            logits = filters.top_k(logits, self.top_k)
        if self.top_p is not None:
            logits = filters.top_p(logits, self.top_p)
        if self.min_p is not None:
            logits = filters.min_p(logits, self.min_p)
        probs = logits.softmax(-1).cpu()  # on the CPU a seed draws the same on every device
        if not isinstance(generator, Sequence):
            return torch.multinomial(probs, 1, generator=generator)[:, 0].to(logits.device)
        rows = zip(probs, generator, strict=True)
        return torch.cat([torch.multinomial(p, 1, generator=g) for p, g in rows]).to(logits.device)


class Seen:
    """The tokens that each text of a batch has, for a repetition penalty."""

    def __init__(self, sampling: Sampling, texts: Sequence[Sequence[int]], words: int) -> None:
        """`texts` are the ids so far; `words` is V."""
        self.mask: Tensor | None = None  # (B, V); None = there is no penalty
        if sampling.repetition_penalty > 1:
            self.mask = torch.zeros(len(texts), words, dtype=torch.bool)
            for row, ids in enumerate(texts):
                self.mask[row, list(ids)] = True
            self.mask[:, EOS] = False  # where a line ends says nothing of repetition

    def add(self, chosen: Tensor) -> None:
        """Count the tokens (B,) that were chosen."""
        if self.mask is not None:
            self.mask[torch.arange(len(chosen)), chosen.cpu()] = True
            self.mask[:, EOS] = False

    def keep(self, rows: Tensor) -> None:
        """Keep only some rows of the batch."""
        if self.mask is not None:
            self.mask = self.mask[rows.cpu()]
