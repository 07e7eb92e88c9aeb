"""Reads sentence pairs, from one file of lines source, tab, target, or from two files whose lines
correspond, and writes them as corpora."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import InputError
from .corpus import Corpus, Counts, count, open_corpus
from .reader import lines, open_texts
from .tokenizer import EOS, UNK, Tokenizer

SOURCE = "source"  # the folder of the source side, inside the folder of the target side
_BLOCK = 2000  # pairs that are encoded at a time


@dataclass(frozen=True)
class Pair:
    """A sentence and its translation, without white space around them."""

    line: int  # line number in the file, from 1
    source: str
    target: str


@dataclass(frozen=True)
class PairFile:
    """A file of pairs, or two files whose lines correspond; perhaps only some of their lines."""

    path: Path
    target: Path | None = None  # the file of the targets; None: `path` holds source, tab, target
    first: int = 0
    stop: int | None = None

    def __iter__(self) -> Iterator[Pair]:
        """Read the pairs one by one.

        Raises:
            InputError: a line has no tab, the two files differ in length, or there is no text.
        """
        pairs = self._separate() if self.target else self._tabbed()
        return islice(pairs, self.first, self.stop)

    def _tabbed(self) -> Iterator[Pair]:
        for number, line in enumerate(lines(self.path), start=1):
            source, tab, rest = line.partition("\t")
            if not tab and source.strip():
                raise InputError(
                    f"line {number} of '{self.path}' has no tab; each line is source, tab, "
                    "target, or name the file of the other language too"
                )
            yield Pair(number, source.strip(), rest.partition("\t")[0].strip())

    def _separate(self) -> Iterator[Pair]:
        assert self.target is not None
        both = zip_longest(lines(self.path), lines(self.target))
        for number, (source, target) in enumerate(both, start=1):
            if source is None or target is None:
                short, long = self.path, self.target
                if source is not None:
                    short, long = long, short
                raise InputError(
                    f"'{short}' ends after line {number - 1:,}, '{long}' goes on: line by line "
                    "they must be translations of each other"
                )
            yield Pair(number, source.strip(), target.strip())


@dataclass(frozen=True)
class Skipped:
    """How many pairs were left out, and why."""

    empty: int = 0  # one side is empty
    long: int = 0

    def __str__(self) -> str:
        return f"{self.empty:,} with an empty side, {self.long:,} too long"


def open_pairs(
    paths: Iterable[str | os.PathLike[str]], targets: Iterable[str | os.PathLike[str]] = ()
) -> list[PairFile]:
    """Open files of pairs. With `targets`, the paths are files of sources, and targets[i] holds the
    translations of paths[i].

    Raises:
        InputError: a file is missing, a directory, unreadable or empty, or the numbers of source
            and target files differ.
    """
    sources = [span.path for span in open_texts(paths)]
    if not (others := list(targets)):
        return [PairFile(path) for path in sources]
    partners = [span.path for span in open_texts(others)]
    if len(sources) != len(partners):
        raise InputError(
            f"{len(sources)} source files and {len(partners)} target files; give as many of each"
        )
    return [PairFile(a, b) for a, b in zip(sources, partners, strict=True)]


def hold_out_pairs(files: list[PairFile], fraction: float) -> tuple[list[PairFile], list[PairFile]]:
    """Split every file: (the first lines, the last `fraction` of the lines)."""
    kept, held = [], []
    for file in files:
        total = sum(1 for _ in file)
        cut = total - int(total * fraction)
        kept.append(replace(file, stop=cut))
        if cut < total:
            held.append(replace(file, first=cut))
    return kept, held


def side(files: Iterable[PairFile], name: str) -> Iterator[str]:
    """The text of one side (`source` or `target`), many lines at a time."""
    for file in files:
        texts = (getattr(pair, name) for pair in file)
        while block := list(islice(texts, _BLOCK)):
            yield "\n".join(block) + "\n"


def encode_lines(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """The ids of each line: `<eos>` is the last one and occurs nowhere else."""
    rows: list[list[int]] = [[]]
    for index in tokenizer.encode("".join(f"{text}\n" for text in texts)):
        rows[-1].append(index)
        if index == EOS:
            rows.append([])
    if len(rows) - 1 == len(texts):
        return rows[:-1]
    # A text contains the characters `<eos>`, which are not the end of a line: encode one by one.
    each = (tokenizer.encode(text) for text in texts)
    return [[*(UNK if index == EOS else index for index in ids), EOS] for ids in each]


def prepare_pairs(
    files: Iterable[PairFile],
    tokenizer: Tokenizer,
    source_tokenizer: Tokenizer,
    folder: str | os.PathLike[str],
    longest: int,
    progress: Callable[[int], None] | None = None,
) -> tuple[Corpus, Skipped]:
    """Encode pairs and write their ids, a few thousand pairs at a time: the target side in
    `folder`, the source side in a folder inside it. Pairs with an empty side, or with a side of
    more than `longest` tokens, are left out and counted.

    Args:
        progress: called with the number of bytes just encoded.

    Raises:
        InputError: a line has no tab, or two files differ in length.
    """
    folder = Path(folder)
    skipped = Skipped()
    with _Side(folder, tokenizer) as target, _Side(folder / SOURCE, source_tokenizer) as source:
        for file in files:
            pairs = iter(file)
            while block := list(islice(pairs, _BLOCK)):
                there = [pair for pair in block if pair.source and pair.target]
                rows = list(
                    zip(
                        there,
                        encode_lines(source_tokenizer, [pair.source for pair in there]),
                        encode_lines(tokenizer, [pair.target for pair in there]),
                        strict=True,
                    )
                )
                fit = [row for row in rows if max(len(row[1]), len(row[2])) <= longest]
                source.add([pair.source for pair, _, _ in fit], [ids for _, ids, _ in fit])
                target.add([pair.target for pair, _, _ in fit], [ids for _, _, ids in fit])
                skipped = Skipped(
                    skipped.empty + len(block) - len(there), skipped.long + len(rows) - len(fit)
                )
                if progress:
                    progress(sum(len(f"{p.source}{p.target}".encode()) + 2 for p in block))
    return open_pairs_corpus(folder), skipped


def write_lines(
    folder: Path, tokenizer: Tokenizer, blocks: Iterable[tuple[list[str], list[list[int]]]]
) -> None:
    """Write a corpus from blocks of texts and the ids of each text, `<eos>` last."""
    with _Side(folder, tokenizer) as side:
        for texts, rows in blocks:
            side.add(texts, rows)


def open_pairs_corpus(folder: str | os.PathLike[str]) -> Corpus:
    """Open a corpus that `prepare_pairs` wrote.

    Raises:
        InputError: a file is missing or cut off.
    """
    return replace(open_corpus(folder), source=open_corpus(Path(folder) / SOURCE))


class _Side:
    """Writes one side of the pairs."""

    def __init__(self, folder: Path, tokenizer: Tokenizer) -> None:
        self.folder, self.tokenizer = folder, tokenizer
        self.dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
        self.counts = Counts()
        self.file: BinaryIO

    def __enter__(self) -> _Side:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = (self.folder / "ids.bin").open("wb")
        return self

    def add(self, texts: list[str], rows: list[list[int]]) -> None:
        ids = [index for row in rows for index in row]
        self.file.write(np.asarray(ids, dtype=self.dtype).tobytes())
        self.counts += count("".join(f"{text}\n" for text in texts), ids, self.tokenizer)

    def __exit__(self, *error: Any) -> None:
        self.file.close()
        meta = asdict(self.counts) | {
            "tokenizer": self.tokenizer.fingerprint,
            "dtype": np.dtype(self.dtype).name,
        }
        (self.folder / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
