"""Generates text from a masked language model, which reads both ways: all new tokens are masks at
first, and are filled in again and again.

mask-predict   Each step predicts all masks at once and keeps the most probable token at each, then
               masks the least certain ones again: N (T - t) / T of N tokens at step t of T
               (Ghazvininejad et al. 2019, arXiv:1904.09324, section 3). It draws nothing.
gibbs          Each step masks a position drawn at random and draws its token from the distribution
               given all others (Wang and Cho 2019, arXiv:1902.04094, section 3).

In mask-predict for translation the length N is predicted; here it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from .. import bounds
from ..arguments import checked
from ..config import Section
from ..errors import InputError
from ..run import Run
from ..text.tokenizer import EOS
from ..text.wordpiece import CLS, MARKS, MASK
from ..types import MaskedLanguageModel
from .continuation import Continuation
from .infill import gap_filler
from .sampling import Sampling


class MaskedDecoding(Section):
    """How a masked language model generates."""

    method: Literal["mask-predict", "gibbs"] = "mask-predict"
    steps: int = Field(
        10,
        ge=1,
        le=bounds.SAMPLES,
        description="mask-predict: T, predictions of the text; gibbs: draws for each token",
    )


@torch.no_grad()
def mask_predict(model: MaskedLanguageModel, ids: Tensor, places: Tensor, steps: int) -> Tensor:
    """Fill the positions `places` (N,) of a text by mask-predict in T = `steps` steps.

    ids (S,), marks around the text included → the ids (S,) with tokens at the places.

    Example:
        ids = torch.tensor([CLS, 7, MASK, MASK, EOS])
        mask_predict(model, ids, torch.tensor([2, 3]), steps=10)
    """
    ids = ids.clone()
    certainty = torch.zeros(len(places), device=ids.device)
    for step in range(steps):
        masked = certainty.argsort(stable=True)[: len(places) * (steps - step) // steps]
        if not len(masked):
            break
        ids[places[masked]] = MASK
        best = _logits(model, ids, places[masked]).softmax(dim=-1).max(dim=-1)
        ids[places[masked]], certainty[masked] = best.indices, best.values
    return ids


@torch.no_grad()
def gibbs(
    model: MaskedLanguageModel,
    ids: Tensor,
    places: Tensor,
    steps: int,
    sampling: Sampling,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill the positions `places` (N,) of a text by Gibbs sampling: `steps` · N draws.

    ids (S,), marks around the text included → the ids (S,) with tokens at the places. Every place
    is drawn once, in order, before positions are drawn at random, so that no mask is left.
    """
    ids = ids.clone()
    ids[places] = MASK
    order = torch.randint(len(places), ((steps - 1) * len(places),), generator=generator)
    for number in [*range(len(places)), *order.tolist()]:
        place = places[number : number + 1]
        ids[place] = MASK
        ids[place] = sampling.choose(_logits(model, ids, place), generator)
    return ids


def _logits(model: MaskedLanguageModel, ids: Tensor, places: Tensor) -> Tensor:
    """The logits (M, V) of the words at places (M,) of a text (S,); a mark is no word."""
    hidden = model(ids[None])[0]
    logits = model.logits(hidden[places]).float()
    logits[:, : len(MARKS)] = -torch.inf
    return logits


@checked
def generate_masked(
    run: Run,
    prompt: str = "",
    *,
    tokens: int = 100,
    decoding: MaskedDecoding | None = None,
    sampling: Sampling | None = None,
    seed: int | None = None,
    stop: Sequence[str] = (),
) -> str:
    """The text of `tokens` tokens that a masked language model writes after `prompt`, without the
    prompt; it is cut before the first `stop` text.

    Args:
        decoding: the method and its steps; None = mask-predict in 10.
        sampling, seed: of gibbs; None = the distribution as it is, a new seed.

    Raises:
        InputError: the run fills no gaps, or prompt and new text are longer than its context.

    Example:
        generate_masked(nextword.load("runs/bert"), "the film was", tokens=8)
    """
    model = gap_filler(run)
    decoding = decoding or MaskedDecoding()
    if sampling is not None and sampling.repetition_penalty > 1:
        raise InputError("a repetition penalty is for text that is written from left to right")
    text = Continuation(run.tokenizer, prompt, tokens, stop)
    begun = [CLS, *text.ids[1:]]  # instead of `<eos>`
    length = len(begun) + tokens + 1
    if model.context is not None and length > model.context:
        raise InputError(
            f"prompt and new text have {length} tokens, marks included, more than the model's "
            f"context of {model.context}; give fewer with --tokens"
        )
    if text.over:
        return ""
    ids = torch.tensor([*begun, *[MASK] * tokens, EOS], device=run.device)
    places = torch.arange(len(begun), len(begun) + tokens, device=run.device)
    if decoding.method == "mask-predict":
        ids = mask_predict(model, ids, places, decoding.steps)
    else:
        generator = torch.Generator()
        generator.seed() if seed is None else generator.manual_seed(seed)
        ids = gibbs(model, ids, places, decoding.steps, sampling or Sampling(), generator)
    pieces = []
    for index in ids[places].tolist():
        if not text.over:
            pieces.append(text.add(index))
    return "".join(pieces) + text.rest()
