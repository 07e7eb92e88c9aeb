"""Fills the masks of a text by a masked language model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, cast

import torch

from .. import bounds
from ..arguments import checked
from ..errors import InputError
from ..run import Run
from ..text.tokenizer import EOS
from ..text.wordpiece import CLS, MARKS, MASK
from ..types import Ability, MaskedLanguageModel
from .filters import check

GAP = MARKS[MASK]


@dataclass(frozen=True)
class Filling:
    """A candidate for a mask."""

    word: str
    probability: float


@dataclass(frozen=True)
class Filled:
    """A text with masks and, for each mask, the most probable words."""

    text: str
    gaps: list[list[Filling]]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def best(self) -> str:
        """The text with the most probable word in place of each mask."""
        parts = self.text.split(GAP)
        words = [gap[0].word for gap in self.gaps]
        return "".join(a + b for a, b in zip(parts, [*words, ""], strict=True))


@checked
@torch.no_grad()
def fill(run: Run, text: str, top: int = 5) -> Filled:
    """Predict the `top` most probable words for each `[MASK]` of a text. All masks are predicted
    from the text in which all of them are still masked.

    Raises:
        InputError: the text has no mask, the run is not of a masked language model, or the text is
            longer than its context.

    Example:
        fill(nextword.load("runs/bert"), "a [MASK] film").best
    """
    model = gap_filler(run)
    bounds.check("top", top, 1, bounds.COUNT)
    parts = text.split(GAP)
    if len(parts) < 2:
        raise InputError(f"no {GAP} in the text; write it where a word is missing")
    ids = [CLS]
    for number, part in enumerate(parts):
        ids += [MASK] * (number > 0) + run.tokenizer.encode(part.replace("\n", " "))
    ids.append(EOS)
    if model.context is not None and len(ids) > model.context:
        raise InputError(
            f"the text has {len(ids)} tokens, more than the model's context of {model.context}; "
            "shorten it"
        )
    hidden = model(torch.tensor([ids], device=run.device))[0]  # (T, H)
    gaps = torch.tensor([place for place, index in enumerate(ids) if index == MASK])
    logits = check(model.logits(hidden[gaps.to(run.device)]).float())
    logits[:, : len(MARKS)] = -torch.inf  # a mark is no word
    found = logits.softmax(dim=-1).topk(min(top, logits.shape[1] - len(MARKS)), dim=-1)
    return Filled(
        text,
        [
            [
                Filling(run.tokenizer.token(index), probability)
                for index, probability in zip(words, chances, strict=True)
            ]
            for words, chances in zip(found.indices.tolist(), found.values.tolist(), strict=True)
        ],
    )


def gap_filler(run: Run) -> MaskedLanguageModel:
    """The model of a run, which must be able to fill masks.

    Raises:
        InputError: the model cannot fill masks, or came without the layers that predict words.
    """
    run.require(Ability.FILL)
    if not run.config.model.predicts:
        raise InputError(f"'{run.name}' came without the part that predicts masked words")
    return cast(MaskedLanguageModel, run.model)
