"""Fills the masks of a text by a masked language model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor

from .. import bounds
from ..arguments import checked
from ..errors import InputError
from ..run import Run
from ..text.tokenizer import EOS, Tokenizer
from ..text.wordpiece import CLS, MARKS, MASK
from ..types import Ability, MaskedLanguageModel
from .filters import check

GAP = MARKS[MASK]
_BEAM = 50  # hypotheses that a joint search keeps


@dataclass(frozen=True)
class Filling:
    """A candidate for a mask."""

    word: str
    probability: float


@dataclass(frozen=True)
class JointFilling:
    """Words for all masks together."""

    words: list[str]
    log_prob: float  # natural logarithm, from left to right: each word given those before it


@dataclass(frozen=True)
class Filled:
    """A text with masks and, for each mask, the most probable words."""

    text: str
    gaps: list[list[Filling]]
    joint: list[JointFilling] | None = None  # best first, if they were asked for

    def as_dict(self) -> dict[str, Any]:
        """Return the candidates by name, for programs; `joint` only if it was asked for."""
        values = asdict(self)
        return (
            values if self.joint is not None else {k: v for k, v in values.items() if k != "joint"}
        )

    def filled(self, words: Sequence[str]) -> str:
        """Return the text with a word in place of each mask."""
        parts = self.text.split(GAP)
        return "".join(a + b for a, b in zip(parts, [*words, ""], strict=True))

    @property
    def best(self) -> str:
        """The text with the most probable word in place of each mask."""
        if self.joint:
            return self.filled(self.joint[0].words)
        return self.filled([gap[0].word for gap in self.gaps])


@checked
@torch.no_grad()
def fill(
    run: Run,
    text: str,
    top: int | None = None,
    *,
    candidates: Sequence[str] | None = None,
    joint: bool = False,
) -> Filled:
    """Predict the most probable words for each `[MASK]` of a text.

    Every mask is predicted from the text in which all of them are still masked. With `joint`, words
    are also found that fit together: a beam search fills the masks from left to right, each word
    given those before it. The product of these probabilities depends on the order, because the
    predictions of a BERT are not those of one joint distribution (Wang and Cho 2019,
    arXiv:1902.04094, section 2).

    Args:
        run: a BERT.
        text: a text with `[MASK]` for each missing word.
        top: number of words for each mask; None = 5, or all `candidates`.
        candidates: the words to choose from; None = the whole vocabulary. Their probabilities are
            those among the whole vocabulary.
        joint: also find words for all masks together.

    Raises:
        InputError: the text has no mask (for `joint` fewer than two), the run is not of a masked
            language model, the text is longer than its context, or a candidate is not one token of
            the vocabulary.

    Example:
        fill(nextword.load("runs/bert"), "a [MASK] film").best
    """
    model = gap_filler(run)
    if top is not None:
        bounds.check("top", top, 1, bounds.COUNT)
    ids = _ids(run, model, text)
    places = [place for place, index in enumerate(ids) if index == MASK]
    if joint and len(places) < 2:
        raise InputError(f"one {GAP} has nothing to be filled jointly with; leave joint out")
    allowed = None if candidates is None else _candidates(run.tokenizer, candidates)
    most = top or (5 if allowed is None else len(allowed))
    log_probs = _log_probs(run, model, [ids], places, allowed)[0]  # (gaps, V)
    found = log_probs.topk(min(most, _choices(log_probs)), dim=-1)
    gaps = [
        [
            Filling(_word(run.tokenizer, index), math.exp(log_prob))
            for index, log_prob in zip(words, chances, strict=True)
        ]
        for words, chances in zip(found.indices.tolist(), found.values.tolist(), strict=True)
    ]
    together = _jointly(run, model, ids, places, allowed, most) if joint else None
    return Filled(text, gaps, together)


def _ids(run: Run, model: MaskedLanguageModel, text: str) -> list[int]:
    """Encode a text with masks, between the special tokens."""
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
    return ids


def _word(tokenizer: Tokenizer, index: int) -> str:
    """A token as it is written into a text, without the white space that belongs to it."""
    return tokenizer.decode([index]).strip() or tokenizer.token(index)


def _candidates(tokenizer: Tokenizer, words: Sequence[str]) -> list[int]:
    """Return the ids of candidates, each once."""
    found = []
    for word in words:
        ids = tokenizer.encode(word)
        if len(ids) != 1 or ids[0] < len(MARKS):
            raise InputError(
                f"the candidate '{word}' is not one word of the vocabulary; leave it out"
            )
        found.append(ids[0])
    if not found:
        raise InputError("there are no candidates; give at least one word")
    return list(dict.fromkeys(found))


def _log_probs(
    run: Run,
    model: MaskedLanguageModel,
    texts: list[list[int]],
    places: list[int],
    allowed: list[int] | None,
) -> Tensor:
    """Log-probabilities (B, gaps, V) at some places of B texts; -∞ for what is not allowed."""
    hidden = model(torch.tensor(texts, device=run.device))  # (B, T, H)
    logits = check(model.logits(hidden[:, places]).float())
    logits[..., : len(MARKS)] = -torch.inf  # a mark is no word
    log_probs = logits.log_softmax(dim=-1)
    if allowed is None:
        return log_probs
    kept = torch.full_like(log_probs, -torch.inf)
    kept[..., allowed] = log_probs[..., allowed]
    return kept


def _choices(log_probs: Tensor) -> int:
    """The number of words that are possible at a place (..., V)."""
    return int((log_probs > -torch.inf).flatten(0, -2)[0].sum())


def _jointly(
    run: Run,
    model: MaskedLanguageModel,
    ids: list[int],
    places: list[int],
    allowed: list[int] | None,
    most: int,
) -> list[JointFilling]:
    """The `most` best fillings of all places that a beam search from left to right finds."""
    texts, scores = [ids], torch.zeros(1)
    for place in places:
        log_probs = _log_probs(run, model, texts, [place], allowed)[:, 0].cpu()  # (B, V)
        totals = (scores[:, None] + log_probs).flatten()
        possible = len(texts) * _choices(log_probs)
        scores, best = totals.topk(min(max(_BEAM, most), possible))
        words = log_probs.shape[1]
        grown = []
        for index in best.tolist():
            grown.append(list(texts[index // words]))
            grown[-1][place] = index % words
        texts = grown
    return [
        JointFilling([_word(run.tokenizer, filled[place]) for place in places], score)
        for filled, score in zip(texts[:most], scores.tolist()[:most], strict=True)
    ]


def gap_filler(run: Run) -> MaskedLanguageModel:
    """The model of a run, which must be able to fill masks.

    Raises:
        InputError: the model cannot fill masks, or came without the layers that predict words.
    """
    run.require(Ability.FILL)
    if not run.config.model.predicts:
        raise InputError(f"'{run.name}' came without the part that predicts masked words")
    return cast(MaskedLanguageModel, run.model)
