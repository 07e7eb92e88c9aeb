"""Scores of documents, for filtering.

A document is scored as CCNet does (Wenzek et al. 2020, arXiv:1911.00359, section 4.3): each of its
lines on its own, from the beginning of a line to its `<eos>`, and the log-probabilities are added.
Its perplexity is exp(-log_prob / tokens), with one `<eos>` a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..ngram.documents import DocumentSums
from ..run import Run
from ..text.corpus import count_words
from ..text.tokenizer import Tokenizer
from .figures import safe_exp, signature, spelled_bits

Array = np.ndarray[Any, Any]

#: The figures of a document by which it can be kept or dropped.
FIGURES = ("perplexity", "word_perplexity", "bits_per_byte")
#: Blanks that separate words, but not in every tokenizer that cuts at blanks.
_OTHER_BLANKS = (
    "\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f"
)
#: All bytes but those that begin U+3000 and the characters after it in UTF-8. Each of those may be
#: a word of its own.
_BELOW_CJK = bytes(byte for byte in range(256) if not 0xE3 <= byte <= 0xF4)


@dataclass(frozen=True)
class DocumentScore:
    """The score of one document, whose lines are read one by one; its last line ends too, so that
    every line has an `<eos>` and a newline."""

    log_prob: float  # natural logarithm, summed over the lines, with an `<eos>` each
    tokens: int  # an `<eos>` for each line included
    words: int  # words between white space, plus one for each line
    bytes: int  # in UTF-8, with a newline for each line
    oov: int  # tokens that are not in the vocabulary
    oov_bytes: int  # bytes that would spell them, plus one end mark for each

    @property
    def perplexity(self) -> float:
        """Per token."""
        return safe_exp(-self.log_prob / max(1, self.tokens))

    @property
    def word_perplexity(self) -> float:
        """Per word between white space; an `<eos>` counts as a word."""
        return safe_exp(-self.log_prob / max(1, self.words))

    @property
    def bits_per_byte(self) -> float:
        """Unknown words are spelled out at 8 bits per byte."""
        return spelled_bits(-self.log_prob, self.oov_bytes) / max(1, self.bytes)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures and the counts by name."""
        return {
            "perplexity": self.perplexity,
            "word_perplexity": self.word_perplexity,
            "bits_per_byte": self.bits_per_byte,
        } | asdict(self)


@dataclass(frozen=True)
class DocumentScores:
    """The scores of N documents, as arrays (N,)."""

    sums: DocumentSums
    words: Array
    bytes: Array

    def __iter__(self) -> Iterator[DocumentScore]:
        log_prob, tokens, oov, oov_bytes = (column.tolist() for column in self.sums)
        columns = log_prob, tokens, self.words.tolist(), self.bytes.tolist(), oov, oov_bytes
        return (DocumentScore(*row) for row in zip(*columns, strict=True))

    def figures(self) -> dict[str, Array]:
        """Each of `FIGURES`, (N,) float64; to the bit what `DocumentScore` says."""
        nll = (-self.sums.log_prob).tolist()
        each = [
            [safe_exp(x / max(1, n)) for x, n in zip(nll, count.tolist(), strict=True)]
            for count in (self.sums.tokens, self.words)
        ]
        rows = zip(nll, self.sums.unknown_bytes.tolist(), self.bytes.tolist(), strict=True)
        bits = [spelled_bits(x, oov_bytes) / max(1, size) for x, oov_bytes, size in rows]
        return {name: np.array(v) for name, v in zip(FIGURES, [*each, bits], strict=True)}


def as_lines(text: str) -> str:
    """A document as it is scored: Windows line ends become newlines, and the last line ends too.

    Example:
        >>> as_lines("one\\r\\ntwo"), as_lines("one\\n"), as_lines("")
        ('one\\ntwo\\n', 'one\\n', '\\n')
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    return text if text.endswith("\n") else f"{text}\n"


def counted(texts: Sequence[str], sums: DocumentSums, *, words_are_tokens: bool) -> DocumentScores:
    """Add the numbers of words and bytes to the sums of documents, each ending in a newline.

    Args:
        words_are_tokens: the tokens are the words between blanks, if all blanks are ASCII's.
    """
    sizes, words = [], []
    for text, tokens in zip(texts, sums.tokens.tolist(), strict=True):
        data = text.encode("utf-8")
        plain = words_are_tokens and _has_plain_blanks(text, data)
        sizes.append(len(data))
        words.append(tokens if plain else count_words(text))
    return DocumentScores(sums, np.array(words, np.int64), np.array(sizes, np.int64))


def _has_plain_blanks(text: str, data: bytes) -> bool:
    """Whether the words of a text are what stands between the blanks of ASCII; `data` is the text
    in UTF-8."""
    blanks = _OTHER_BLANKS[:4] if len(data) == len(text) else _OTHER_BLANKS
    if any(blank in text for blank in blanks):
        return False
    return len(data) == len(text) or not data.translate(None, _BELOW_CJK)


@runtime_checkable
class SumsDocuments(Protocol):
    """A model that scores whole documents by itself, without torch."""

    def sum_documents(
        self, texts: Sequence[str], tokenizer: Tokenizer, workers: int | None = None
    ) -> DocumentSums:
        """Score documents, each of which ends in a newline, line by line."""
        ...


def sums_of_lines(
    run: Run, texts: Sequence[str], score: Callable[[Iterable[str]], Iterator[Any]]
) -> DocumentSums:
    """Score documents by the scores of their lines, which `score` gives (`Task.score_lines`)."""
    lines = [line for text in texts for line in text[:-1].split("\n")]
    scores = list(score(lines))
    found = np.zeros((4, len(texts)))
    at = 0
    for index, text in enumerate(texts):
        own = range(at, at + text.count("\n"))
        missing = [piece for i in own if scores[i].oov for piece in run.tokenizer.unknown(lines[i])]
        found[:, index] = (
            sum(scores[i].log_prob for i in own),
            sum(scores[i].tokens for i in own),
            len(missing),
            sum(len(piece.encode("utf-8")) + 1 for piece in missing),
        )
        at = own.stop
    return DocumentSums(found[0], *found[1:].astype(np.int64))


def document_signature(run: Run) -> str:
    """What the scores of documents depend on besides model and text."""
    return signature(run, "line")
