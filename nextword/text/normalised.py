"""A tokenizer that normalises texts before another one cuts them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from .. import registry
from .normalise import normaliser, tokenised
from .tokenizer import BetweenBlanks, Span, Tokenizer, restore_tokenizer

if TYPE_CHECKING:
    from ..config import TextConfig

_CHUNK = re.compile(r"\s*\S+|\s+")  # a word and the white space before it
_ALIGNED = 1000  # characters of a chunk that are aligned one by one


class NormalisedTokenizer(Tokenizer):
    """Gives the ids that another tokenizer gives to the normalised text.

    Everything that reads a text through it (training, scoring, evaluation, prompts) thereby reads
    the normalised text, while counts of words and bytes are those of the text as it was given.

    Example:
        >>> from nextword.text.word import WordTokenizer
        >>> inner = WordTokenizer(["<unk>", "<eos>", "yes", "."], "whitespace", lower=True)
        >>> NormalisedTokenizer(inner, "tokenised").encode("Yes.\\n")
        [2, 3, 1]
    """

    def __init__(self, inner: Tokenizer, how: str) -> None:
        self.inner = inner
        self.normalisation = how
        self.normalise = fitting(inner, how)
        self.name = inner.name  # type: ignore[misc]  # other tokenizers have it in the class

    @classmethod
    def train(cls, texts: Iterable[str], config: TextConfig) -> Self:
        kind: type[Tokenizer] = registry.load("tokenizer", config.tokenizer_kind)
        normalise = normaliser(config.normalise)
        return cls(kind.train(map(normalise, texts), config), config.normalise)

    @property
    def vocab_size(self) -> int:
        return self.inner.vocab_size

    def encode(self, text: str) -> list[int]:
        return self.inner.encode(self.normalise(text))

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        normal, origin = _aligned(text, self.normalise)
        ids, spans = self.inner.encode_with_spans(normal)
        return ids, [_joined(origin, start, end) for start, end in spans]

    def encode_parts(self, parts: Sequence[str]) -> list[list[int]]:
        return self.inner.encode_parts(_blanks_moved([self.normalise(part) for part in parts]))

    def between_blanks(self) -> BetweenBlanks | None:
        cuts = self.inner.between_blanks()
        if cuts is None:
            return None
        fold = cuts.fold
        return cuts._replace(fold=lambda text: fold(self.normalise(text)))

    def word_boundaries(self) -> list[int] | None:
        return self.inner.word_boundaries()

    def continues_word(self, index: int, before: int) -> bool:
        return self.inner.continues_word(index, before)

    def with_marks(self) -> NormalisedTokenizer:
        return NormalisedTokenizer(self.inner.with_marks(), self.normalisation)

    def decode(self, ids: Iterable[int]) -> str:
        return self.inner.decode(ids)

    def token(self, index: int) -> str:
        return self.inner.token(index)

    def same_ids(self, other: Tokenizer) -> bool:
        if not isinstance(other, NormalisedTokenizer):
            return False
        return self.normalisation == other.normalisation and self.inner.same_ids(other.inner)

    @property
    def choices(self) -> tuple[str, ...]:
        return (*self.inner.choices, f"normalise:{self.normalisation}")

    def recognised(self, config: TextConfig) -> list[str]:
        return self.inner.recognised(config)

    @property
    def without_normalisation(self) -> Tokenizer:
        return self.inner

    def unknown(self, text: str) -> list[str]:
        return self.inner.unknown(self.normalise(text))

    def known(self, word: str) -> int | None:
        return self.inner.known(word)

    def settings(self) -> dict[str, Any]:
        return {"normalise": self.normalisation} | self.inner.settings()

    @classmethod
    def restore(cls, settings: dict[str, Any]) -> Self:
        how = settings.pop("normalise")
        return cls(restore_tokenizer(settings), how)


def fitting(tokenizer: Tokenizer, how: str) -> Callable[[str], str]:
    """Return the function that normalises texts for a tokenizer.

    With `tokenised` it makes the form of the tokenizer's own training text: the Penn Treebank's if
    the vocabulary has its `n't`, else WikiText's.

    Raises:
        InputError: there is no normalisation of that name.
    """
    is_penn = tokenizer.known("n't") is not None and tokenizer.known("@-@") is None
    return partial(tokenised, treebank=True) if how == "tokenised" and is_penn else normaliser(how)


def _blanks_moved(parts: list[str]) -> list[str]:
    """Move blanks from the end of each part of a text to the beginning of the next one.

    A text may be cut between a word and the spaces after it, not inside the spaces; but a word that
    a part ends with may be normalised to something that ends with a space (`．` to `. `).
    """
    moved: list[str] = []
    blanks = ""
    for part in parts:
        whole = blanks + part
        end = max(whole.rfind("\n") + 1, len(whole.rstrip()))
        moved.append(whole[:end])
        blanks = whole[end:]
    return [*moved[:-1], moved[-1] + blanks] if moved else []


def _aligned(text: str, normalise: Callable[[str], str]) -> tuple[str, list[Span]]:
    """Normalise a text word by word.

    Returns:
        The normalised text, and for each of its characters the part of `text` that it comes from,
        which is empty for an inserted one; the last is the end.
    """
    parts: list[str] = []
    origin: list[Span] = []
    for chunk in _CHUNK.finditer(text):
        normal = normalise(chunk.group())
        parts.append(normal)
        at = chunk.start()
        places = _places(chunk.group(), normal, normalise)
        origin += [(at + start, at + end) for start, end in places]
    return "".join(parts), [*origin, (len(text), len(text))]


def _places(chunk: str, normal: str, normalise: Callable[[str], str]) -> list[Span]:
    """Return for each character of a normalised chunk the part of the chunk it comes from."""
    if chunk == normal:
        return [(at, at + 1) for at in range(len(chunk))]
    alone = [normalise(character) for character in chunk]
    if "".join(alone) == normal:
        return [(at, at + 1) for at, one in enumerate(alone) for _ in one]
    if len(chunk) > _ALIGNED:
        ends = [at * len(chunk) // len(normal) for at in range(len(normal) + 1)]
        return list(pairwise(ends))
    places: list[Span] = []
    for how, a, b, c, d in SequenceMatcher(None, chunk, normal, autojunk=False).get_opcodes():
        if how == "equal":
            places += [(a + at, a + at + 1) for at in range(d - c)]
        else:
            places += [(a, b)] * (d - c)
    return places


def _joined(origin: list[Span], start: int, end: int) -> Span:
    """Return the part of the text that the normalised characters `start` to `end` come from."""
    if start == end:
        return origin[start][0], origin[start][0]
    parts = origin[start:end]
    full = [part for part in parts if part[0] < part[1]] or parts
    return full[0][0], full[-1][1]
