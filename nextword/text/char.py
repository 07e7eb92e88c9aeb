"""A tokenizer whose tokens are Unicode characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .folding import Folding
from .tokenizer import EOS, SPECIALS, UNK, Span, Tokenizer, build_vocabulary, trimmed

if TYPE_CHECKING:
    from ..config import TextConfig


class CharTokenizer(Tokenizer):
    """Every character is a token; the newline is `<eos>`. A character that is not in the vocabulary
    becomes `<unk>`; everything else can be decoded exactly.

    Example:
        >>> tokenizer = CharTokenizer(["<unk>", "<eos>", "a", "b"], lower=False)
        >>> tokenizer.encode("ab!\\n")
        [2, 3, 0, 1]
    """

    name: ClassVar[str] = "char"

    def __init__(self, vocabulary: list[str], lower: bool, strip_accents: bool = False) -> None:
        self.vocabulary = vocabulary
        self.fold = Folding(lower, strip_accents)
        self._ids = {token: index for index, token in enumerate(vocabulary)}
        self._ids["\n"] = EOS

    @classmethod
    def train(cls, texts: Iterable[str], config: TextConfig) -> Self:
        counts: Counter[str] = Counter()
        fold = Folding.of(config)
        for text in texts:
            counts.update(fold(text))
        del counts["\n"]
        vocabulary = build_vocabulary(counts, config.limit(), config.min_count)
        return cls(vocabulary, *fold)

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    def encode(self, text: str) -> list[int]:
        get = self._ids.get
        return [get(char, UNK) for char in self.fold(text)]

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        _, starts, ends = self.fold.aligned(text)
        spans = [trimmed(text, start, end) for start, end in zip(starts, ends, strict=True)]
        return self.encode(text), spans

    def decode(self, ids: Iterable[int]) -> str:
        return "".join(
            "\n" if i == EOS else "\N{REPLACEMENT CHARACTER}" if i == UNK else self.vocabulary[i]
            for i in ids
        )

    def token(self, index: int) -> str:
        return self.vocabulary[index]

    def unknown(self, text: str) -> list[str]:
        return [c for c in self.fold(text) if c not in self._ids]

    def known(self, word: str) -> int | None:
        return self._ids.get(word)

    def settings(self) -> dict[str, Any]:
        return self.fold.settings() | {"vocabulary": self.vocabulary}

    @classmethod
    def restore(cls, settings: dict[str, Any]) -> Self:
        if tuple(settings["vocabulary"][:2]) != SPECIALS:
            raise ValueError("the vocabulary does not begin with <unk> <eos>")
        return cls(settings["vocabulary"], settings["lower"], settings.get("strip_accents", False))
