"""A text as ids on disk: `ids.bin`, memory-mapped, and `meta.json` with its counts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .reader import Span, blocks
from .tokenizer import UNK, Tokenizer
from .word import CJK_CHARACTER

#: Called with the number of bytes just read.
Progress = Callable[[int], None]

_CUT = re.compile(r"(?<=\n)|(?<=\S)(?= )")


@dataclass(frozen=True)
class Counts:
    """What a text holds, whatever it is cut into."""

    tokens: int = 0  # ids
    words: int = 0  # see `count_words`
    bytes: int = 0  # of UTF-8
    chars: int = 0
    oov: int = 0  # tokens the vocabulary lacks
    oov_bytes: int = 0  # what it would take to spell them, one end mark each included

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            *(a + b for a, b in zip(asdict(self).values(), asdict(other).values(), strict=True))
        )


@dataclass(frozen=True)
class Corpus:
    """Ids of a text, with its counts."""

    ids: np.ndarray[Any, Any]  # (N,) uint16 or uint32, memory-mapped
    counts: Counts
    tokenizer: str  # its fingerprint
    segment_ends: np.ndarray[Any, Any] | None = None  # (S,) token index after each segment
    segment_bytes: np.ndarray[Any, Any] | None = None  # (S,)
    source: Corpus | None = None  # of sentence pairs: the other side, as many lines
    labels: np.ndarray[Any, Any] | None = None  # (N,) int64, of labelled texts

    def __len__(self) -> int:
        return len(self.ids)


def count_words(text: str) -> int:
    """Words between white space, plus one for every end of line (as `<eos>` counts in the
    literature's word perplexities). A line that is mostly Chinese characters or kana, which are
    written without spaces, counts each of them as a word.
    """
    total = text.count("\n")
    if text.isascii():
        return total + len(text.split())
    for line in text.split("\n"):
        parts = line.split()
        single = 0 if line.isascii() else len(CJK_CHARACTER.findall(line))
        if single and 2 * single > sum(map(len, parts)):
            parts = CJK_CHARACTER.sub(r" \g<0> ", line).split()
        total += len(parts)
    return total


def count(text: str, ids: list[int], tokenizer: Tokenizer) -> Counts:
    """The counts of one block of text."""
    missing = tokenizer.unknown(text) if UNK in ids else []
    return Counts(
        tokens=len(ids),
        words=count_words(text),
        bytes=len(text) if text.isascii() else len(text.encode("utf-8")),
        chars=len(text),
        oov=len(missing),
        oov_bytes=sum(len(piece.encode("utf-8")) + 1 for piece in missing),
    )


def prepare(
    spans: Iterable[Span],
    tokenizer: Tokenizer,
    folder: str | os.PathLike[str],
    progress: Progress | None = None,
    segment: int | None = None,
) -> Corpus:
    """Write the ids of a text, block by block, in memory that does not grow with the text.

    Args:
        segment: also keep where pieces of about so many characters end. They end where a line or
            a word does, so they are the same for every tokenizer and models with different
            ones can be compared piece by piece.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
    total = Counts()
    ends: list[int] = []
    sizes: list[int] = []
    with (folder / "ids.bin").open("wb") as out:
        for text, read in blocks(spans):
            ids: list[int] = []
            for piece in pieces(text, segment) if segment else (text,):
                ids += tokenizer.encode(piece)
                if segment:
                    ends.append(total.tokens + len(ids))
                    sizes.append(len(piece.encode("utf-8")))
            out.write(np.asarray(ids, dtype=dtype).tobytes())
            total += count(text, ids, tokenizer)
            if progress:
                progress(read)
    meta = asdict(total) | {"tokenizer": tokenizer.fingerprint, "dtype": np.dtype(dtype).name}
    (folder / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
    return Corpus(
        _map(folder, total.tokens, meta["dtype"]),
        total,
        tokenizer.fingerprint,
        np.asarray(ends) if segment else None,
        np.asarray(sizes) if segment else None,
    )


def open_corpus(folder: str | os.PathLike[str]) -> Corpus:
    """Open what `prepare` wrote.

    Raises:
        InputError: a file is missing or cut off.
    """
    folder = Path(folder)
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        counts = Counts(**{name: meta[name] for name in asdict(Counts())})
        return Corpus(_map(folder, counts.tokens, meta["dtype"]), counts, meta["tokenizer"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"the prepared text in '{folder}' is damaged ({error})") from None


def pieces(text: str, size: int) -> Iterator[str]:
    """Cut after a newline or between a word and a space once `size` characters are reached."""
    start = 0
    while len(text) - start > size and (cut := _CUT.search(text, start + size)):
        yield text[start : cut.start()]
        start = cut.start()
    if start < len(text):
        yield text[start:]


def _map(folder: Path, tokens: int, dtype: str) -> np.ndarray[Any, Any]:
    if tokens == 0:
        return np.zeros(0, dtype=dtype)
    size = (folder / "ids.bin").stat().st_size
    if size != tokens * np.dtype(dtype).itemsize:
        raise ValueError(f"ids.bin has {size} bytes for {tokens} tokens")
    return np.memmap(folder / "ids.bin", dtype=dtype, mode="r", shape=(tokens,))
