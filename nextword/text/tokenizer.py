"""What every tokenizer is: text ⇄ ids, `<unk>` = 0 and `<eos>` = 1.

`<eos>` stands for the end of a line: every newline is one `<eos>`, nothing else is. So a text
with N lines has N of them, and character and byte tokenizers lose nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

from .. import registry
from ..config import TextConfig
from ..errors import InputError

UNK, EOS = 0, 1
SPECIALS = ("<unk>", "<eos>")


class Tokenizer(ABC):
    """Text to ids and back.

    Cutting a text just after a newline, or between a word and the spaces after it, and encoding
    the pieces one by one gives the ids of the whole, so a corpus of any size is encoded block by
    block.
    """

    name: ClassVar[str]
    #: Tokens are pieces of words, which must occur often enough to be learnt.
    learns_pieces: ClassVar[bool] = False
    #: `text.sentences` makes `<eos>` follow every sentence.
    ends_sentences: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def train(cls, texts: Iterable[str], config: TextConfig) -> Self:
        """The vocabulary of `texts` and of nothing else."""

    @property
    @abstractmethod
    def vocab_size(self) -> int: ...

    @abstractmethod
    def encode(self, text: str) -> list[int]: ...

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str: ...

    @abstractmethod
    def token(self, index: int) -> str:
        """One id as people read it."""

    @property
    def splits_at_white_space(self) -> bool:
        """Words are cut at white space alone; punctuation stays with them."""
        return False

    def unknown(self, text: str) -> list[str]:
        """The pieces of `text` that the vocabulary lacks (a literal `<unk>` is not one)."""
        return []

    def known(self, word: str) -> int | None:
        """The id of a whole word, if it is one token (pretrained vectors are looked up so)."""
        return None

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What `restore` needs, as JSON."""

    @classmethod
    @abstractmethod
    def restore(cls, settings: dict[str, Any]) -> Self: ...

    def to_json(self) -> str:
        return json.dumps({"kind": self.name} | self.settings(), ensure_ascii=False)

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that differ when the tokenizer does."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:8]


def train_tokenizer(texts: Iterable[str], config: TextConfig, size: int | None = None) -> Tokenizer:
    """The tokenizer that `config.tokenizer` names, trained on `texts` (of `size` bytes).

    With `vocab_size = "auto"` pieces of words get one token per 200 bytes of a small text:
    pieces of words must occur often enough to be learnt.
    """
    kind: type[Tokenizer] = registry.load("tokenizer", config.tokenizer)
    if config.vocab_size == "auto" and kind.learns_pieces and size is not None:
        limit = max(500, min(8000, size // 200))
        config = config.model_copy(update={"vocab_size": limit})
    return kind.train(texts, config)


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """Read a `tokenizer.json`.

    Raises:
        InputError: the file is missing, cut off or not a tokenizer.
    """
    try:
        settings = json.loads(Path(path).read_text(encoding="utf-8"))
        kind: type[Tokenizer] = registry.load("tokenizer", settings.pop("kind"))
        return kind.restore(settings)
    except FileNotFoundError:
        raise InputError(f"no file '{path}'; the run is incomplete, train it again") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"'{path}' is damaged ({error}); train the run again") from None


def build_vocabulary(counts: Counter[str], size: int | None, min_count: int) -> list[str]:
    """The most frequent types, `<unk>` and `<eos>` first; ties in the order of the characters,
    so that the same text always gives the same ids. `size` counts the two specials."""
    ranked = sorted(
        (item for item in counts.items() if item[1] >= min_count and item[0] not in SPECIALS),
        key=lambda item: (-item[1], item[0]),
    )
    limit = None if size is None else max(0, size - len(SPECIALS))
    return [*SPECIALS, *(token for token, _ in ranked[:limit])]
