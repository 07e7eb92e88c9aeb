"""Puts words of the source in the place of `<unk>` in a translation.

Each `<unk>` becomes the source word that it attended to most (Jean et al. 2015, arXiv:1412.2007,
section 3.3; Luong et al. 2015, arXiv:1410.8206, aligned it otherwise). That is right for names and
numbers, which are written alike in both languages.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..text.tokenizer import SPECIALS, UNK, Tokenizer


def surfaces(tokenizer: Tokenizer, text: str, ids: Sequence[int]) -> list[str]:
    """Return the text of each token of a source, of unknown words too.

    Args:
        ids: the tokens of `text`, `<eos>` last.
    """
    unknown = tokenizer.unknown(text)
    if list(ids).count(UNK) != len(unknown):  # a literal <unk> in the text
        unknown = [SPECIALS[UNK]] * list(ids).count(UNK)
    words = iter(unknown)
    return [next(words) if index == UNK else tokenizer.token(index) for index in ids]


def replace_unknown(
    tokenizer: Tokenizer, written: Sequence[int], weights: Tensor, source: Sequence[str]
) -> str:
    """Decode a translation with a source word in the place of each `<unk>`.

    Args:
        tokenizer: of the target.
        written: the tokens of the translation (T,).
        weights: how much each of them attended to each source token (≥ T, S), `<eos>` last.
        source: the text of each source token (S,).
    """
    decoded = tokenizer.decode(written)
    first, *parts = decoded.split(tokenizer.decode([UNK]))  # not every tokenizer writes `<unk>`
    places = [step for step, index in enumerate(written) if index == UNK]
    if len(parts) != len(places):  # a piece of the text looks like it
        return decoded
    text = first
    for step, part in zip(places, parts, strict=True):
        text += source[int(weights[step, :-1].argmax())].strip() + part
    return text
