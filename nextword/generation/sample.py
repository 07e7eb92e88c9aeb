"""Sampling: token after token, each drawn from the model's distribution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ..config import Section
from ..errors import InputError
from ..run import Run
from ..text.tokenizer import EOS, UNK, Tokenizer
from ..types import LanguageModel, State
from . import filters


class Sampling(Section):
    """How the next token is chosen. Filters apply in the order temperature, top-k, top-p, min-p."""

    temperature: float = Field(1.0, ge=0, description="0 = always the most probable token")
    top_k: int | None = Field(None, ge=1)
    top_p: float | None = Field(None, gt=0, le=1)
    min_p: float | None = Field(None, ge=0, le=1)
    allow_unk: bool = False

    @model_validator(mode="after")
    def _finite(self) -> Self:
        if not self.temperature < float("inf"):
            raise ValueError("temperature must be a finite number")
        return self

    def choose(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """logits (B, V) → ids (B,)."""
        logits = logits.float()
        if not self.allow_unk:
            logits = filters.forbid(logits, [UNK])
        if self.temperature < 1e-6:  # smaller ones would only overflow
            return logits.argmax(-1)
        logits = logits / self.temperature
        if self.top_k is not None:
            logits = filters.top_k(logits, self.top_k)
        if self.top_p is not None:
            logits = filters.top_p(logits, self.top_p)
        if self.min_p is not None:
            logits = filters.min_p(logits, self.min_p)
        probs = logits.softmax(-1).cpu()  # drawn on the CPU: one seed, one text on any device
        return torch.multinomial(probs, 1, generator=generator)[:, 0].to(logits.device)


@torch.no_grad()
def sample_ids(
    model: LanguageModel,
    prompt: Tensor,
    state: State,
    sampling: Sampling,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """Endless ids (B,) that continue `prompt` (B, T ≥ 1), read from `state` on."""
    if prompt.shape[1] > 1:
        state = model.advance(prompt[:, :-1], state)
    last = prompt[:, -1:]
    while True:
        output = model.forward(last, state)
        state = output.state
        chosen = sampling.choose(output.logits[:, -1], generator)
        last = chosen[:, None]
        yield chosen


def stream_text(
    run: Run,
    prompt: str = "",
    *,
    tokens: int = 100,
    sampling: Sampling | None = None,
    seed: int | None = None,
    stop: Sequence[str] = (),
) -> Iterator[str]:
    """The continuation of `prompt`, piece by piece as it is drawn, to print at once.

    Stops after `tokens` tokens, or just before the first of the `stop` texts appears.

    Raises:
        InputError: a number out of its range.
    """
    if tokens < 0:
        raise InputError(f"tokens = {tokens}: give 0 or more")
    ids = [EOS, *run.tokenizer.encode(prompt)]
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    drawn = sample_ids(
        run.model,
        torch.tensor([ids], device=run.device),
        run.model.start(1),
        sampling or Sampling(),
        generator,
    )
    text = _Text(run.tokenizer, ids)
    held = ""  # might be the beginning of a stop
    for _, chosen in zip(range(tokens), drawn, strict=False):
        held += text.add(int(chosen))
        cut = min((at for s in stop if s and (at := held.find(s)) >= 0), default=-1)
        if cut >= 0:
            yield held[:cut]
            return
        keep = max((_overlap(held, s) for s in stop), default=0)
        if len(held) > keep:
            yield held[: len(held) - keep]
            held = held[len(held) - keep :]
    yield held + text.rest()


def generate(
    run: Run,
    prompt: str = "",
    *,
    tokens: int = 100,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    seed: int | None = None,
    stop: Sequence[str] = (),
) -> str:
    """Text that continues `prompt` (which it does not repeat). See `stream_text`."""
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    return "".join(stream_text(run, prompt, tokens=tokens, sampling=sampling, seed=seed, stop=stop))


class _Text:
    """Ids → text as it grows. A character whose bytes are not all there yet waits."""

    def __init__(self, tokenizer: Tokenizer, ids: list[int]) -> None:
        self.tokenizer = tokenizer
        self.ids = ids[-4:]  # enough of the past to know whether a space is due
        self.printed = len(tokenizer.decode(self.ids))

    def add(self, index: int) -> str:
        self.ids.append(index)
        text = self.tokenizer.decode(self.ids)
        if text.endswith("\N{REPLACEMENT CHARACTER}") and len(self.ids) < 64:
            return ""
        fresh = text[self.printed :]
        if len(self.ids) >= 32:
            self.ids = self.ids[-4:]
            text = self.tokenizer.decode(self.ids)
        self.printed = len(text)
        return fresh

    def rest(self) -> str:
        return self.tokenizer.decode(self.ids)[self.printed :]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` begin `stop`."""
    return next(
        (n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0
    )
