"""Reads files of labelled texts. Each line is label, tab, text; for labelled pairs of texts another
tab and the second text follow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from ..errors import InputError
from .corpus import Corpus, damaged, open_corpus
from .pairs import encode_lines, write_lines
from .reader import lines
from .tokenizer import Tokenizer

LABELS = "labels.npy"
_BLOCK = 2000


@dataclass(frozen=True)
class Example:
    """A labelled text, or a labelled pair of texts."""

    line: int  # line number in the file, from 1
    label: str
    texts: tuple[str, ...]  # one or two

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the example: one."""
        return (self.label,)

    @property
    def written(self) -> str:
        """The example as a line of a file."""
        return "\t".join((self.label, *self.texts)) + "\n"


def read_labelled(path: str | os.PathLike[str], texts_wanted: int = 0) -> Iterator[Example]:
    """The examples of a file. Empty lines are skipped.

    Args:
        texts_wanted: how many texts every example has, 1 or 2; 0 = as many as the first one has.

    Raises:
        InputError: a line has no tab, no label, or another number of texts.
    """
    path = Path(path)
    wanted = texts_wanted
    for number, line in enumerate(lines(path), start=1):
        label, *texts = (part.strip() for part in line.split("\t"))
        if not line.strip() or (texts and not any(texts)):
            continue
        if not texts:
            raise InputError(f"line {number} of '{path}' has no tab; each line is label, tab, text")
        if not label:
            raise InputError(f"line {number} of '{path}' has no label before its tab")
        wanted = wanted or len(texts)
        if len(texts) != wanted or wanted > 2:
            all_have = {1: "one", 2: "two"}.get(texts_wanted, "one, or all two")
            raise InputError(
                f"line {number} of '{path}' has {len(texts)} texts; all lines must have {all_have}"
            )
        yield Example(number, label, tuple(texts))


def find_labels(paths: Sequence[Path], read: Callable[[Path], Iterator[Any]]) -> list[str]:
    """The labels that occur in the files, sorted. `read` gives the examples of a file.

    Raises:
        InputError: there is only one label.
    """
    labels = sorted({label for path in paths for one in read(path) for label in one.labels})
    if len(labels) == 1:
        raise InputError(
            f"everything in '{paths[0]}' is labelled '{labels[0]}': there is nothing to learn"
        )
    return labels


def prepare_labelled(
    paths: Sequence[Path],
    tokenizer: Tokenizer,
    folder: Path,
    labels: Sequence[str] = (),
    texts_wanted: int = 0,
) -> tuple[Corpus, list[str]]:
    """Encode labelled texts and write their ids (`<eos>` after each text) and labels to `folder`.

    Args:
        labels: the labels that are allowed; empty = those that occur in the files, sorted.
        texts_wanted: how many texts every example has, 1 or 2; 0 = as many as the first one has.

    Returns:
        The corpus, and the names of the labels in the order of their numbers.

    Raises:
        InputError: a label is unknown (the message names the line), there is no text, or there is
            only one label.
    """
    labels = labels or find_labels(paths, read_labelled)
    numbers = {label: number for number, label in enumerate(labels)}
    found: list[int] = []

    def rows() -> Iterable[tuple[list[str], list[list[int]]]]:
        wanted = texts_wanted
        for path in paths:
            examples = read_labelled(path, wanted)
            while block := list(islice(examples, _BLOCK)):
                for example in block:
                    wanted = len(example.texts)
                    if example.label not in numbers:
                        raise InputError(
                            f"line {example.line} of '{path}' has the label '{example.label}'; "
                            f"there are: {', '.join(labels)}"
                        )
                    found.append(numbers[example.label])
                texts = [text for example in block for text in example.texts]
                yield texts, encode_lines(tokenizer, texts)

    write_lines(folder, tokenizer, rows())
    if not found:
        raise InputError(f"no labelled texts in '{paths[0]}'; each line is label, tab, text")
    with (folder / LABELS).open("wb") as file:
        np.save(file, np.asarray(found, dtype=np.int64), allow_pickle=False)
    return open_labelled(folder), list(labels)


def open_labelled(folder: str | os.PathLike[str]) -> Corpus:
    """Open a corpus that `prepare_labelled` wrote.

    Raises:
        InputError: a file is missing or damaged.
    """
    try:
        stored = np.load(Path(folder) / LABELS, mmap_mode="r", allow_pickle=False)
        labels = np.asarray(stored, dtype=np.int64)  # mapped first: a header may claim any size
    except (EOFError, OSError, SyntaxError, TokenError, ValueError) as error:  # in its header too
        raise damaged(folder, error) from None
    return replace(open_corpus(folder), labels=labels)
