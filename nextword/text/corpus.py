"""A corpus on disk: the token ids of a text in `ids.bin`, which is memory-mapped, and its counts in
`meta.json`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, shown
from ..parsing import read_json
from .id_files import open_ids
from .reader import Span, blocks
from .tokenizer import EOS, UNK, BadLine, Tokenizer
from .word import CJK_CHARACTER

#: Called with the number of bytes just read.
Progress = Callable[[int], None]

_IDS = 1 << 22  # ids that are looked at together
_CUT = re.compile(r"(?<=\n)|(?<=\S)(?= )")


@dataclass(frozen=True)
class Counts:
    """The size of a text in different units. Counts of two texts can be added."""

    tokens: int = 0  # `<eos>` included
    words: int = 0  # see `count_words`
    bytes: int = 0  # in UTF-8
    chars: int = 0
    oov: int = 0  # tokens that are not in the vocabulary
    oov_bytes: int = 0  # bytes that would spell them, plus one end mark for each

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            *(a + b for a, b in zip(asdict(self).values(), asdict(other).values(), strict=True))
        )


@dataclass(frozen=True)
class Corpus:
    """The token ids of a text, with its counts."""

    ids: np.ndarray[Any, Any]  # (N,) uint16 or uint32, memory-mapped
    counts: Counts
    tokenizer: str  # the fingerprint of the tokenizer
    segment_ends: np.ndarray[Any, Any] | None = None  # (S,) token index after each segment
    segment_bytes: np.ndarray[Any, Any] | None = None  # (S,) UTF-8 bytes of each segment
    source: Corpus | None = None  # sentence pairs only: the source side, with as many lines
    labels: np.ndarray[Any, Any] | None = None  # int64: one for each example, or for each token

    def __len__(self) -> int:
        return len(self.ids)

    def check(self, folder: Path, vocab_size: int, labels: int = 0) -> None:
        """Check what a training relies on, in a corpus that was written earlier.

        Args:
            folder: where the corpus is, for the message.
            vocab_size: every id is below it.
            labels: every label is below it.

        Raises:
            InputError: the files are damaged, or of another tokenizer.
        """
        lines = 0
        for start in range(0, len(self.ids), _IDS):
            some = self.ids[start : start + _IDS]
            lines += int(np.count_nonzero(some == EOS))
            if (highest := int(some.max())) >= vocab_size:
                raise damaged(folder, f"it has the id {highest:,} of {vocab_size:,}")
        if self.source is not None and int(np.count_nonzero(self.source.ids == EOS)) != lines:
            raise damaged(folder, "its two sides differ in length")
        if self.labels is not None:
            fits = len(self.labels) in (len(self.ids), lines, lines / 2)
            if not fits or int(self.labels.max(initial=0)) >= labels:
                raise damaged(folder, "its labels do not fit its texts")


def damaged(folder: str | os.PathLike[str], why: object) -> InputError:
    """The error for a prepared text that cannot be used."""
    return InputError(
        f"the prepared text in '{folder}' is damaged ({shown(why, 200)}); train the run again"
    )


def count_words(text: str) -> int:
    """Count the words of a text: stretches between white space, plus one for every newline, because
    published word perplexities count `<eos>` as a word.

    Chinese and Japanese are written without spaces: in a line that consists mostly of Chinese
    characters or kana, each of them counts as a word.

    Example:
        >>> count_words("two words\\n"), count_words("你好")
        (3, 2)
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
    """The counts of one block of text, whose ids the tokenizer has given."""
    missing = tokenizer.unknown(text) if UNK in ids else []
    text = tokenizer.counted(text)
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
    """Encode a text block by block and write its ids to `folder`. Memory use does not grow with the
    text.

    Args:
        spans: the files, or parts of files, to read.
        progress: called with the number of bytes of every block.
        segment: if given, also record where segments of about this many characters end. Segments
            end at the end of a line or a word, so they are the same for every tokenizer, and models
            with different tokenizers can be compared segment by segment.

    Raises:
        InputError: a file is not UTF-8 text.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    dtype = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32
    total = Counts()
    ends: list[int] = []
    sizes: list[int] = []
    spans = list(spans) if tokenizer.spells else open_ids(spans)
    with (folder / "ids.bin").open("wb") as out, lines_named(spans, tokenizer):
        for text, read in blocks(spans):
            ids: list[int] = []
            parts = list(pieces(text, segment)) if segment else [text]
            for piece, own in zip(parts, tokenizer.encode_parts(parts), strict=True):
                ids += own
                if segment:
                    ends.append(total.tokens + len(ids))
                    sizes.append(len(tokenizer.counted(piece).encode("utf-8")))
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


@contextmanager
def lines_named(spans: Iterable[Span], tokenizer: Tokenizer) -> Iterator[None]:
    """While files are encoded: what is wrong with a line is said with its file and number."""
    try:
        yield
    except BadLine:
        for span in spans:
            before = 1
            for text, _ in blocks([Span(span.source, 0, span.stop)]):
                try:
                    tokenizer.encode(text)
                except BadLine as error:
                    line = f"line {before + error.line:,} of '{span.path}'"
                    where = line if span.source.is_text else f"'{span.path}'"
                    raise InputError(f"{where}: {error}") from None
                before += text.count("\n")
        raise


def open_corpus(folder: str | os.PathLike[str]) -> Corpus:
    """Open a corpus that `prepare` wrote; the ids are mapped, not read.

    Raises:
        InputError: a file is missing or cut off.
    """
    folder = Path(folder)
    try:
        meta = read_json(folder / "meta.json")
        counts = Counts(**{name: meta[name] for name in asdict(Counts())})
        return Corpus(_map(folder, counts.tokens, meta["dtype"]), counts, meta["tokenizer"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, error) from None


def pieces(text: str, size: int) -> Iterator[str]:
    """Cut a text into pieces of at least `size` characters (the last may be shorter); each ends
    after a newline or between a word and the space after it."""
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
