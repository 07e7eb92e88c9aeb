"""The interface of tokenizers, which turn text into ids and ids into text.

In every tokenizer `<unk>` has the id 0 and `<eos>` the id 1. `<eos>` stands for the end of a line:
`encode` turns every newline into one `<eos>`. (WordPiece may also put one after each sentence.)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from .. import bounds, registry
from ..errors import InputError, shown
from ..parsing import read_json

if TYPE_CHECKING:
    from ..config import TextConfig

UNK, EOS = 0, 1
SPECIALS = ("<unk>", "<eos>")

Span = tuple[int, int]  # the first character of a part of a text, and the one after its last


class BadLine(InputError):
    """A line of a text cannot be encoded."""

    def __init__(self, line: int, why: str) -> None:
        """`line` is its number in the text that was given, from 0."""
        super().__init__(why)
        self.line = line


class BetweenBlanks(NamedTuple):
    """How a tokenizer cuts whose tokens are the words between blanks."""

    vocabulary: list[str]  # the words, by id
    ascii_only: bool  # only the blanks of ASCII separate words, as in KenLM
    fold: Callable[[str], str]  # what is done to a text before it is cut; newlines stay


class Tokenizer(ABC):
    """Turns text into ids and back.

    A text may be cut after a newline, or between a word and the spaces after it: the ids of the
    pieces, one after another, are the ids of the whole text. So a corpus of any size can be encoded
    block by block.

    Example:
        >>> from nextword.config import TextConfig
        >>> tokenizer = train_tokenizer(["a b a\\n"], TextConfig(tokenizer="word"))
        >>> tokenizer.encode("b a c\\n")
        [3, 2, 0, 1]
        >>> tokenizer.decode([3, 2, 0, 1])
        'b a <unk>\\n'
    """

    name: ClassVar[str]  # the tokenizer's name in the registry
    #: the keys of [text], of those that not every tokenizer reads, that `train` reads
    reads: ClassVar[frozenset[str]] = frozenset(
        "vocab_size min_count lower strip_accents normalise vectors vectors_scale".split()
    )
    from_file: ClassVar[bool] = False  # `text.tokenizer` names a file of another library after it
    spells: ClassVar[bool] = True  # the tokens spell a text; else they are numbers
    learns_pieces: ClassVar[bool] = False  # pieces of words must occur often enough to be learnt
    ends_sentences: ClassVar[bool] = False  # `text.sentences` puts `<eos>` after every sentence
    normalisation: str = "none"  # what is done to a text before it is cut; see text/normalise.py

    @classmethod
    @abstractmethod
    def train(cls, texts: Iterable[str], config: TextConfig) -> Self:
        """Learn a vocabulary from the training texts.

        Args:
            texts: blocks of text, read once.
            config: vocabulary size, smallest count, lower case and so on.

        Raises:
            InputError: a setting does not fit this tokenizer, or a text cannot be read.
        """

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """V, the number of ids: they run from 0 to V - 1, `<unk>` and `<eos>` included."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The ids of a text. A piece that is not in the vocabulary becomes `<unk>`, a newline
        `<eos>`. Any string can be encoded; the empty one has no ids.

        Example:
            tokenizer.encode("a line\\n")  # [17, 204, 1]

        Raises:
            BadLine: the tokenizer reads numbers, and a line has something else.
        """

    def counted(self, text: str) -> str:
        """The text whose bytes, characters and words are counted: it is as it was given."""
        return text

    def encode_parts(self, parts: Sequence[str]) -> list[list[int]]:
        """The ids of each of the parts that a text was cut into. Together they are those of the
        whole text."""
        return [self.encode(part) for part in parts]

    @abstractmethod
    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        """The ids of `encode(text)`, and where each of them stands in `text`.

        A span has the first character of a token and the one after its last, counted in `text` as
        it was given: before it was put in lower case or normalised. White space around a token is
        left out. A token that is only white space, the end of a line included, has an empty span
        where it begins. Bytes of one character have all the span of the character.

        Example:
            tokenizer.encode_with_spans("A line\\n")  # [17, 204, 1], [(0, 1), (2, 6), (6, 6)]
        """

    def word_boundaries(self) -> list[int] | None:
        """The ids of all tokens that begin a new word or end the line, where white space belongs to
        the token that begins a word (` the`, `▁the`); None for other tokenizers.

        After the last piece of a word, their probabilities add up to the probability that the word
        ends there.
        """
        return None

    def continues_word(self, index: int, before: int) -> bool:
        """Whether a token goes on with the word of the token `before` it, by the marks that pieces
        of words have (`##ing`)."""
        return False

    def with_marks(self) -> Tokenizer:
        """The tokenizer of a model that reads BERT's marks, which have the ids 2 to 4; InputError
        where these are words."""
        kinds = "wordpiece, hf:FILE and sentencepiece:FILE"
        raise InputError(f"text.tokenizer: BERT's marks need ids of their own, which {kinds} have")

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids from 0 to V - 1; `<eos>` becomes a newline.

        Example:
            tokenizer.decode([17, 204, 1])  # "a line\\n"
        """

    @abstractmethod
    def token(self, index: int) -> str:
        """One id in readable form, for tables and plots."""

    def same_ids(self, other: Tokenizer) -> bool:
        """Whether both tokenizers give every token the same id, so that models with them can be
        mixed."""
        return self.fingerprint == other.fingerprint

    @property
    def choices(self) -> tuple[str, ...]:
        """How text is cut, as parts of the signature of an evaluation, such as `split:words`."""
        return ()

    def recognised(self, config: TextConfig) -> list[str]:
        """Notes for the user: what was recognised in the training text where `config` says
        "auto"."""
        return []

    @property
    def without_normalisation(self) -> Tokenizer:
        """The tokenizer that cuts the text once it is normalised."""
        return self

    @property
    def reads_tokenised(self) -> bool:
        """Whether the vocabulary is that of tokenised text, so that prose with punctuation attached
        to its words would be full of unknown words."""
        return False

    def unknown(self, text: str) -> list[str]:
        """The pieces of `text` that are not in the vocabulary. A literal `<unk>` in the text does
        not count."""
        return []

    def known(self, word: str) -> int | None:
        """The id of a whole word, None if the word is not a single token. Pretrained word vectors
        are looked up by it."""
        return None

    def between_blanks(self) -> BetweenBlanks | None:
        """How words are found, if tokens are the words between blanks and nothing else; such a
        tokenizer can be replaced by a `Lexicon`, which is faster."""
        return None

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """All that `restore` needs to make the same tokenizer again, as values for JSON."""

    @classmethod
    @abstractmethod
    def restore(cls, settings: dict[str, Any]) -> Self:
        """Make the tokenizer again from what `settings` returned.

        Raises:
            ValueError: the settings are damaged.
            KeyError: a setting is missing.
        """

    def to_json(self) -> str:
        """The contents of a run's `tokenizer.json`; `load_tokenizer` reads them."""
        return json.dumps({"kind": self.name} | self.settings(), ensure_ascii=False)

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits of a hash: tokenizers that differ have different ones."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:8]


def tokenizer_class(config: TextConfig) -> type[Tokenizer]:
    """The class of the tokenizer that `config.tokenizer` names."""
    kind: type[Tokenizer] = registry.load("tokenizer", config.tokenizer_kind)
    return kind


def train_tokenizer(
    texts: Iterable[str], config: TextConfig, size: int | None = None, *, marks: bool = False
) -> Tokenizer:
    """Train the tokenizer that `config.tokenizer` names on `texts`, which have `size` bytes. With
    `marks` it is for a model that reads BERT's marks.

    With `vocab_size = "auto"`, BPE and WordPiece get one token per 200 bytes of text, at least 500
    and at most 8,000: pieces of words must occur often enough to be learnt.

    Raises:
        InputError: there is no tokenizer of that name, or a setting does not fit it.
    """
    kind = tokenizer_class(config)
    if kind.learns_pieces and (config.limit() or 0) > bounds.PIECES:
        raise InputError(
            f"text.vocab_size = {config.vocab_size:,}: '{config.tokenizer}' learns at most "
            f"{bounds.PIECES:,} tokens"
        )
    if config.vocab_size == "auto" and kind.learns_pieces and size is not None:
        limit = max(500, min(8000, size // 200))
        config = config.model_copy(update={"vocab_size": limit})
    if config.normalise != "none":
        kind = registry.load("normalisation", config.normalise)
    tokenizer = kind.train(texts, config)
    return tokenizer.with_marks() if marks else tokenizer


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """Read the tokenizer in a `tokenizer.json`.

    Raises:
        InputError: the file is missing, cut off or not a tokenizer.
    """
    try:
        return restore_tokenizer(read_json(path))
    except FileNotFoundError:
        raise InputError(f"no file '{path}'; the run is incomplete, train it again") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = " ".join(str(error).split())
        raise InputError(f"'{path}' is damaged ({shown(why, 300)}); train the run again") from None


def restore_tokenizer(settings: dict[str, Any]) -> Tokenizer:
    """Make a tokenizer from its settings and its "kind", the name in the registry.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, InputError: the settings are damaged.
    """
    if "normalise" in settings:
        wrapper: type[Tokenizer] = registry.load("normalisation", settings["normalise"])
        return wrapper.restore(settings)
    kind: type[Tokenizer] = registry.load("tokenizer", settings.pop("kind"))
    return kind.restore(settings)


def trimmed(text: str, start: int, end: int) -> Span:
    """The span of a part of a text without the white space around it; the span of white space is
    empty, at its beginning.

    Example:
        >>> trimmed("a bc d", 1, 5), trimmed("a  b", 1, 3)
        ((2, 4), (1, 1))
    """
    part = text[start:end]
    body = part.lstrip()
    if not body:
        return start, start
    start += len(part) - len(body)
    return start, start + len(body.rstrip())


@contextmanager
def line_named(number: int) -> Iterator[None]:
    """While a single line is encoded: what is wrong with it is said with its number."""
    try:
        yield
    except BadLine as error:
        raise InputError(f"line {number:,}: {error}") from None


def cut_long_words(text: str, longest: int = 1000) -> Iterator[str]:
    """Cut a text inside words of more than `longest` characters; joined, the parts are the text.

    Trainers of word pieces take time that grows with the square of a word's length.

    Example:
        >>> list(cut_long_words("ab abcdefg", longest=3))
        ['ab abc', 'def', 'g']
    """
    start = 0
    if len(text) > longest:
        for word in re.finditer(rf"(?<!\S)\S{{{longest + 1},}}", text):
            for end in range(word.start() + longest, word.end(), longest):
                yield text[start:end]
                start = end
    yield text[start:]


def build_vocabulary(counts: Counter[str], size: int | None, min_count: int) -> list[str]:
    """A vocabulary: `<unk>`, `<eos>`, then the types from the most to the least frequent. Equally
    frequent ones are sorted by their characters, so the same text always gives the same ids.

    Args:
        counts: how often each type occurs.
        size: the largest vocabulary, `<unk>` and `<eos>` included; None = no limit.
        min_count: types that occur less often are left out.

    Example:
        >>> build_vocabulary(Counter("abba!"), size=4, min_count=1)
        ['<unk>', '<eos>', 'a', 'b']
    """
    ranked = sorted(
        (item for item in counts.items() if item[1] >= min_count and item[0] not in SPECIALS),
        key=lambda item: (-item[1], item[0]),
    )
    limit = None if size is None else max(0, size - len(SPECIALS))
    return [*SPECIALS, *(token for token, _ in ranked[:limit])]
