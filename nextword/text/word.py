"""A tokenizer whose tokens are words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .folding import Folding
from .tokenizer import (
    EOS,
    SPECIALS,
    UNK,
    BetweenBlanks,
    Span,
    Tokenizer,
    build_vocabulary,
    trimmed,
)

if TYPE_CHECKING:
    from ..config import TextConfig

# Chinese characters and Japanese kana are written without spaces, so each is a word of its own.
CJK = "\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = rf"<unk>|<eos>|[{CJK}]|[^\W{CJK}]+(?:['’\-][^\W{CJK}]+)*|\S"
_WIDE = rf"{CJK}\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
_NO_SPACE_BETWEEN = rf"[{_WIDE}][{_WIDE}“‘—…]|[”’—…][{_WIDE}—…]"
#: What a split means about the training text, for the user.
RECOGNISED = {
    "whitespace": "the text looks tokenised already: words are cut at white space alone "
    "(--set text.split=words cuts punctuation off too)",
    "words": "the text looks like prose, not tokenised: punctuation is cut off the words "
    "(--set text.split=whitespace leaves it there)",
}
#: Characters at the beginning of a text by which it is recognised as tokenised or not.
SAMPLE = 1 << 18
_JUDGED = 20_000  # words of a vocabulary by which it is judged
_ENDS_IN_A_MARK = r".*[^\W_][.,。，、]"  # `late.`, which tokenised text has only of abbreviations
_PIECE = r"[▁Ġ].*|##.+|.+@@|.+</w>"
_ALONE = re.compile(r"(?<!\S)[.,。，、](?!\S)")
_ATTACHED = re.compile(r"\S[.,。，、](?!\S)")
_LEFT_BY_TOKENISERS = re.compile(
    r"(?<!\S)(?:<unk>|n['’]t|['’](?:s|re|ve|ll|d|m)|``|''|-[lr][rcs]b-|@[-,.]@|&(?:apos|quot);\w*)"
    r"(?!\S)",
    re.IGNORECASE,
)
#: A word between blanks of ASCII, as `bytes.split` and KenLM find it.
BETWEEN_BLANKS = re.compile(r"[^ \t\n\r\v\f]+")
#: For each split, a word or the end of a line.
_PATTERNS = {
    "whitespace": r"\n|\S+",
    "ascii": rf"\n|{BETWEEN_BLANKS.pattern}",
    "words": rf"\n|{_WORD}",
}
#: One Chinese character or kana.
CJK_CHARACTER = re.compile(f"[{CJK}]")
_NO_SPACE_BEFORE = frozenset(".,;:!?)]}%…’”'，。；：！？、）】》」』")
_NO_SPACE_AFTER = frozenset("([{‘“（【《「『")


class WordTokenizer(Tokenizer):
    """Cuts text into words: at white space (`split = "whitespace"`), at the blanks of ASCII alone,
    as KenLM does (`split = "ascii"`), or so that also punctuation marks and single Chinese
    characters are tokens of their own (`split = "words"`).

    `split = "auto"` decides by the beginning of the training text: corpora that are already
    tokenised (WikiText, Penn Treebank) are cut at white space, others into words; see
    `guess_split`.

    Example:
        >>> tokenizer = WordTokenizer(["<unk>", "<eos>", "yes", "."], "words", lower=True)
        >>> tokenizer.encode("Yes.\\n")
        [2, 3, 1]
    """

    name: ClassVar[str] = "word"
    reads = Tokenizer.reads | {"split"}

    def __init__(
        self, vocabulary: list[str], split: str, lower: bool, strip_accents: bool = False
    ) -> None:
        self.vocabulary = vocabulary
        self.split = split
        self.fold = Folding(lower, strip_accents)
        self._ids = {token: index for index, token in enumerate(vocabulary)}

    @classmethod
    def train(cls, texts: Iterable[str], config: TextConfig) -> Self:
        counts: Counter[str] = Counter()
        split: str = config.split
        if split == "auto":
            sample, texts = beginning(texts)
            split = guess_split(sample)
        fold = Folding.of(config)
        for text in texts:
            for line in _lines(fold(text), split):
                counts.update(line)
        vocabulary = build_vocabulary(counts, config.limit(), config.min_count)
        return cls(vocabulary, split, *fold)

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    @property
    def choices(self) -> tuple[str, ...]:
        return (f"split:{self.split}",)

    def recognised(self, config: TextConfig) -> list[str]:
        return [RECOGNISED[self.split]] if config.split == "auto" else []

    def encode(self, text: str) -> list[int]:
        get = self._ids.get
        ids: list[int] = []
        for index, line in enumerate(_lines(self.fold(text), self.split)):
            if index:
                ids.append(EOS)
            ids.extend([get(word, UNK) for word in line])
        return ids

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        folded, starts, ends = self.fold.aligned(text)
        ids: list[int] = []
        spans: list[Span] = []
        for match in _compiled(_PATTERNS[self.split]).finditer(folded):
            word, first, last = match[0], match.start(), match.end()
            if word == "\n":
                ids.append(EOS)
                spans.append((starts[first], starts[first]))
            else:
                ids.append(self._ids.get(word, UNK))
                spans.append(trimmed(text, starts[first], ends[last - 1]))
        return ids, spans

    def decode(self, ids: Iterable[int]) -> str:
        out: list[str] = []
        previous = "\n"
        for index in ids:
            token = "\n" if index == EOS else self.vocabulary[index]
            if self._spaced(previous, token):
                out.append(" ")
            out.append(token)
            previous = token
        return "".join(out)

    def _spaced(self, left: str, right: str) -> bool:
        if left == "\n" or right == "\n":
            return False
        if self.split != "words":
            return True
        if right in _NO_SPACE_BEFORE or left in _NO_SPACE_AFTER:
            return False
        return not _compiled(_NO_SPACE_BETWEEN).match(left[-1] + right[0])

    def token(self, index: int) -> str:
        return self.vocabulary[index]

    @property
    def reads_tokenised(self) -> bool:
        """Marks stand alone, and hardly any word ends in one: of the words of prose a quarter do.
        The order of the words tells nothing: only in our own vocabularies it is that of their
        frequency. Vocabularies of characters or pieces of words are none of tokenised text."""
        marks = (".", ",", "'s", "n't", "。", "，")
        if self.split == "words" or not any(mark in self._ids for mark in marks):
            return False
        words = self.vocabulary[len(SPECIALS) : _JUDGED]
        attached, piece = _compiled(_ENDS_IN_A_MARK), _compiled(_PIECE)
        return (
            sum(map(bool, map(attached.fullmatch, words))) < 0.05 * len(words)
            and sum(map(bool, map(piece.fullmatch, words))) < 0.01 * len(words)
            and sum(len(word) == 1 and word.isalnum() for word in words) < 0.5 * len(words)
        )

    def unknown(self, text: str) -> list[str]:
        words = chain.from_iterable(_lines(self.fold(text), self.split))
        return [word for word in words if word not in self._ids]

    def same_ids(self, other: Tokenizer) -> bool:
        mine = isinstance(other, WordTokenizer) and other.vocabulary == self.vocabulary
        return mine or super().same_ids(other)

    def known(self, word: str) -> int | None:
        return self._ids.get(word)

    def between_blanks(self) -> BetweenBlanks | None:
        if self.split == "words":
            return None
        return BetweenBlanks(self.vocabulary, self.split == "ascii", self.fold.__call__)

    def settings(self) -> dict[str, Any]:
        return {"split": self.split} | self.fold.settings() | {"vocabulary": self.vocabulary}

    @classmethod
    def restore(cls, settings: dict[str, Any]) -> Self:
        if tuple(settings["vocabulary"][:2]) != SPECIALS:
            raise ValueError("the vocabulary does not begin with <unk> <eos>")
        if settings["split"] not in ("whitespace", "ascii", "words"):
            raise ValueError(f"no split '{settings['split']}'")
        accents = settings.get("strip_accents", False)
        return cls(settings["vocabulary"], settings["split"], settings["lower"], accents)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern, compiled when it is first used: ranges of Chinese characters take long."""
    return re.compile(pattern)


def _lines(text: str, split: str) -> Iterable[list[str]]:
    lines = text.split("\n")
    if split == "whitespace":
        return (line.split() for line in lines)
    if split == "ascii":
        return (BETWEEN_BLANKS.findall(line) for line in lines)
    return (_compiled(_WORD).findall(line) for line in lines)


def beginning(texts: Iterable[str]) -> tuple[str, Iterable[str]]:
    """The first `SAMPLE` characters of texts that are read once, and all of the texts."""
    texts = iter(texts)
    taken: list[str] = []
    length = 0
    for text in texts:
        taken.append(text)
        length += len(text)
        if length >= SAMPLE:
            break
    return "".join(taken)[:SAMPLE], chain(taken, texts)


def guess_split(text: str) -> str:
    """`whitespace` if a text looks tokenised already, else `words`.

    In tokenised text full stops and commas stand between spaces. In some corpora they are removed
    (Penn Treebank as language models read it), so what else only a tokeniser leaves counts too:
    `<unk>`, `n't` and `'s` as words of their own, ``-lrb-``, `@-@`. All of these are compared with
    the full stops and commas that are attached to a word, of which prose has more in any language.
    Other marks tell nothing: French has a space before `?`, and abbreviations keep their full stop.
    """
    alone = len(_ALONE.findall(text)) + len(_LEFT_BY_TOKENISERS.findall(text))
    attached = len(_ATTACHED.findall(text))
    if alone > attached:
        return "whitespace"
    has_marks = attached or re.search(rf"[{CJK}]|[^\w\s]", text)
    return "words" if has_marks else "whitespace"
