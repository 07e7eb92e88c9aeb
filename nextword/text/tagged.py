"""Reads files of tagged words. Each line is word, tab (or spaces), tag; an empty line ends a
sentence. If a line has more columns, as in CoNLL files, the first is the word and the last the
tag.

A word has no blank of ASCII in it, because blanks separate the words of a text to be tagged; other
white space, such as a no-break space, may be part of a word."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from .corpus import Corpus
from .labelled import LABELS, find_labels, open_labelled
from .pairs import write_lines
from .reader import lines
from .tokenizer import EOS, UNK, Tokenizer
from .word import BETWEEN_BLANKS, CJK_CHARACTER

NONE = -1  # the tag of a token that is not the first of its word
_BLOCK = 2000


@dataclass(frozen=True)
class TaggedSentence:
    """The words of a sentence and their tags."""

    line: int  # line number of the first word, from 1
    words: tuple[str, ...]
    tags: tuple[str, ...]

    label = ""  # a sentence as a whole has no label

    @property
    def texts(self) -> tuple[str]:
        """The sentence as running text."""
        return ("".join(spaced(self.words)),)

    @property
    def labels(self) -> tuple[str, ...]:
        """The tags of the words."""
        return self.tags

    @property
    def written(self) -> str:
        """The sentence as the lines of a file."""
        pairs = zip(self.words, self.tags, strict=True)
        return "".join(f"{word}\t{tag}\n" for word, tag in pairs) + "\n"


def read_tagged(path: str | os.PathLike[str]) -> Iterator[TaggedSentence]:
    """The sentences of a file.

    Raises:
        InputError: a word has no tag, or a blank in it; the message names the line.
    """
    path = Path(path)
    words: list[str] = []
    tags: list[str] = []
    first = 1
    for number, line in enumerate(lines(path), start=1):
        parts = line.split("\t") if "\t" in line else BETWEEN_BLANKS.findall(line)
        parts = [part.strip() for part in parts]
        if not any(parts):
            if words:
                yield TaggedSentence(first, tuple(words), tuple(tags))
            words, tags = [], []
            continue
        if len(parts) < 2 or not parts[0] or not parts[-1]:
            raise InputError(
                f"line {number} of '{path}' has no tag; each line is word, tab, tag, and an empty "
                "line ends a sentence"
            )
        if len(cut_words(parts[0])) > 1:
            raise InputError(
                f"line {number} of '{path}' has the word '{parts[0]}' with a blank in it; words of "
                "a text to be tagged are cut at blanks, so write it without one, for example "
                f"'{'_'.join(cut_words(parts[0]))}'"
            )
        first = first if words else number
        words.append(parts[0])
        tags.append(parts[-1])
    if words:
        yield TaggedSentence(first, tuple(words), tuple(tags))


def cut_words(text: str) -> list[str]:
    """The words of a text to be tagged, which blanks of ASCII separate.

    Example:
        >>> cut_words("10\\u00a0000 words")
        ['10\\xa0000', 'words']
    """
    return BETWEEN_BLANKS.findall(text)


def spaced(words: Sequence[str]) -> list[str]:
    """The words with the space that stands before each in running text: none before the first and
    none between Chinese characters.

    Example:
        >>> spaced(["a", "word"])
        ['a', ' word']
    """
    return [
        word if i == 0 or _close(words[i - 1], word) else f" {word}" for i, word in enumerate(words)
    ]


def _close(left: str, right: str) -> bool:
    return bool(CJK_CHARACTER.match(left[-1:]) and CJK_CHARACTER.match(right[:1]))


def encode_words(tokenizer: Tokenizer, words: Sequence[str]) -> tuple[list[int], list[int]]:
    """The ids of a sentence, `<eos>` last, and the index of each word's first token in them."""
    ids: list[int] = []
    firsts = []
    for word in spaced(words):
        own = [UNK if index == EOS else index for index in tokenizer.encode(word)] or [UNK]
        blank = next((i for i, index in enumerate(own) if tokenizer.token(index).strip()), 0)
        firsts.append(len(ids) + blank)
        ids += own
    return [*ids, EOS], firsts


def prepare_tagged(
    paths: Sequence[Path], tokenizer: Tokenizer, folder: Path, tags: Sequence[str] = ()
) -> tuple[Corpus, list[str]]:
    """Encode tagged sentences and write their ids (`<eos>` after each) and tags to `folder`. The
    first token of a word has the word's tag; every other token has `NONE`.

    Args:
        tags: the tags that are allowed; empty = those that occur in the files, sorted.

    Returns:
        The corpus, and the names of the tags in the order of their numbers.

    Raises:
        InputError: a tag is unknown (the message names the line), there are no words, or there is
            only one tag.
    """
    tags = tags or find_labels(paths, read_tagged)
    numbers = {tag: number for number, tag in enumerate(tags)}
    found: list[int] = []

    def rows() -> Iterable[tuple[list[str], list[list[int]]]]:
        for path in paths:
            for sentence in read_tagged(path):
                ids, firsts = encode_words(tokenizer, sentence.words)
                own = [NONE] * len(ids)
                for place, (first, tag) in enumerate(zip(firsts, sentence.tags, strict=True)):
                    if tag not in numbers:
                        raise InputError(
                            f"line {sentence.line + place} of '{path}' has the tag '{tag}'; there "
                            f"are: {', '.join(tags)}"
                        )
                    own[first] = numbers[tag]
                found.extend(own)
                yield list(sentence.texts), [ids]

    write_lines(folder, tokenizer, rows())
    if not found:
        raise InputError(f"no tagged words in '{paths[0]}'; each line is word, tab, tag")
    with (folder / LABELS).open("wb") as file:
        np.save(file, np.asarray(found, dtype=np.int64), allow_pickle=False)
    return open_labelled(folder), list(tags)
