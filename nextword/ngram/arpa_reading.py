"""From an ARPA file to a table; see `arpa` for the format."""

from __future__ import annotations

import gzip
import lzma
import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from ..compiled import Int, compiled
from ..errors import InputError
from ..text.numbering import Lexicon, _find, _hash
from ..text.tokenizer import EOS, SPECIALS, UNK
from .arpa import BEGINNING, END, MISSING_UNKNOWN, TENS, UNKNOWN
from .assembly import assemble
from .table import HIGHEST, Table

Array = np.ndarray[Any, Any]
Progress = Callable[[int], None]

_LARGEST = 1e4  # back-off weight: beyond it something is wrong
_BLOCK = 1 << 24  # bytes parsed at a time


@dataclass
class _Section:
    """The n-grams of one order, as they come."""

    order: int
    ids: list[Array] = field(default_factory=list)  # (m, order) uint32 each
    probs: list[Array] = field(default_factory=list)  # (m,) float32
    weights: list[Array] = field(default_factory=list)  # (m,) float32

    @property
    def length(self) -> int:
        return sum(map(len, self.probs))

    def joined(self) -> tuple[Array, Array, Array]:
        """All ids (m, order), log-probabilities and weights (m,)."""
        return np.concatenate(self.ids), np.concatenate(self.probs), np.concatenate(self.weights)


_OK, _NO_NUMBER, _NO_WORDS, _UNKNOWN_WORD, _NO_WEIGHT, _WEIGHT, _EXTRA, _POSITIVE = range(8)
_MESSAGES = {
    _NO_NUMBER: "does not begin with a number",
    _NO_WORDS: "has too few words for a {order}-gram",
    _UNKNOWN_WORD: "has a word that is not among the 1-grams",
    _NO_WEIGHT: "ends in something that is no back-off weight",
    _WEIGHT: "has a back-off weight, which the highest order has none of",
    _EXTRA: "goes on after the back-off weight",
    _POSITIVE: "has a log-probability above zero",
}


@compiled
def _number(text: Array, at: Int, stop: Int, tens: Array) -> tuple[bool, Any, Int]:
    """(whether there is one, the number, the byte after it)."""
    negative = False
    if at < stop and (text[at] == 45 or text[at] == 43):
        negative = text[at] == 45
        at += 1
    if stop - at >= 3 and text[at] == 105 and text[at + 1] == 110 and text[at + 2] == 102:
        return negative, -99.0, at + 3  # -inf, as some write what is impossible
    digits: Int = np.int64(0)
    decimals, exponent = 0, 0
    some, point = False, False
    while at < stop:
        byte = text[at]
        if 48 <= byte <= 57:
            some = True
            if digits < 100000000000000000:
                digits = digits * 10 + (byte - 48)
                if point:
                    decimals += 1
            elif not point:
                exponent += 1
        elif byte == 46 and not point:
            point = True
        else:
            break
        at += 1
    if not some:
        return False, 0.0, at
    if at < stop and (text[at] == 101 or text[at] == 69):
        at += 1
        sign = 1
        if at < stop and (text[at] == 45 or text[at] == 43):
            sign = -1 if text[at] == 45 else 1
            at += 1
        power: Int = 0
        some = False
        while at < stop and 48 <= text[at] <= 57:
            power = min(1000, power * 10 + (np.int64(text[at]) - 48))
            some = True
            at += 1
        if not some:
            return False, 0.0, at
        exponent += sign * power
    exponent -= decimals
    value = float(digits)
    while exponent < 0 and value != 0:
        step = min(22, -exponent)
        value /= tens[step]
        exponent += step
    while exponent > 0 and value < 1e300:
        step = min(22, exponent)
        value *= tens[step]
        exponent -= step
    return True, -value if negative else value, at


@compiled
def _parse(
    text: Array,
    order: Int,
    highest: bool,
    table: Array,
    blob: Array,
    ends: Array,
    tens: Array,
    ids: Array,
    probs: Array,
    weights: Array,
) -> tuple[Int, Int, Int, Int]:
    """Parse whole lines of n-grams until an empty one, or one that begins with a backslash. Returns
    (n-grams, lines, bytes read, what is wrong with the line after them)."""
    at, put, lines = 0, 0, 0
    while at < text.size:
        stop = at
        while stop < text.size and text[stop] != 10:
            stop += 1
        after = stop + 1
        if stop > at and text[stop - 1] == 13:
            stop -= 1
        if stop == at or text[at] == 92:
            break
        good, prob, at_ = _number(text, at, stop, tens)
        if not good or at_ >= stop or (text[at_] != 9 and text[at_] != 32):
            return put, lines, at, _NO_NUMBER
        if prob > 0:
            return put, lines, at, _POSITIVE
        for index in range(order):
            while at_ < stop and (text[at_] == 32 or text[at_] == 9):
                at_ += 1
            start = at_
            while at_ < stop and text[at_] != 32 and text[at_] != 9:
                at_ += 1
            if start == at_:
                return put, lines, at, _NO_WORDS
            value = _hash(text, start, at_)
            _, found = _find(text, start, at_, value, table, blob, ends)
            if found < 0:
                return put, lines, at, _UNKNOWN_WORD
            ids[put, index] = found
        while at_ < stop and (text[at_] == 32 or text[at_] == 9):
            at_ += 1
        weights[put] = 0
        if at_ < stop:
            if highest:
                return put, lines, at, _WEIGHT
            good, weight, at_ = _number(text, at_, stop, tens)
            if not good or weight > _LARGEST:
                return put, lines, at, _NO_WEIGHT
            weights[put] = weight
            while at_ < stop and (text[at_] == 32 or text[at_] == 9):
                at_ += 1
            if at_ < stop:
                return put, lines, at, _EXTRA
        probs[put] = prob
        put += 1
        lines += 1
        at = after
    return put, lines, min(at, text.size), _OK


class _Lines:
    """The bytes of a file, whole lines at a time, with the number of the next line."""

    def __init__(self, file: IO[bytes], path: Path, progress: Progress | None) -> None:
        self.file, self.path, self.progress = file, path, progress
        self.buffer = b""
        self.number = 1
        self.ended = False

    def fill(self) -> None:
        """More bytes, so that there is a whole line or the rest of the file."""
        while not self.ended and b"\n" not in self.buffer:
            self._read(1 << 16)

    def _read(self, size: int) -> None:
        try:
            more = self.file.read(size)
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            raise InputError(
                f"'{self.path}' is damaged or cut off after line {self.number:,} ({error})"
            ) from None
        self.ended = not more
        self.buffer += more
        if self.progress:
            self.progress(len(more))

    def next(self) -> str | None:
        """One line without its end, None at the end of the file."""
        self.fill()
        if not self.buffer:
            return None
        raw, _, self.buffer = self.buffer.partition(b"\n")
        self.number += 1
        try:
            return raw.rstrip(b"\r").decode("utf-8")
        except UnicodeDecodeError:
            self.number -= 1
            self.wrong("is not UTF-8 text")

    def block(self) -> Array:
        """Many whole lines; `skip` says how much of it was used."""
        if not self.ended and len(self.buffer) < _BLOCK:
            self._read(_BLOCK)
        self.fill()
        end = len(self.buffer) if self.ended else self.buffer.rfind(b"\n") + 1
        return np.frombuffer(self.buffer, np.uint8, end)

    def skip(self, size: int, lines: int) -> None:
        self.buffer = self.buffer[size:]
        self.number += lines

    def wrong(self, what: str) -> NoReturn:
        raise InputError(f"'{self.path}' line {self.number:,} {what}")


def read_arpa(
    path: str | os.PathLike[str], progress: Progress | None = None
) -> tuple[Table, Lexicon]:
    """The table and the vocabulary of an ARPA file; `<unk>` is word 0, `<s>` and `</s>` word 1.

    An n-gram whose context is missing is kept: the context is put in, with the probability that
    backing off gives it. A file without `<unk>` gives unknown words 1e-100, as KenLM does.

    Args:
        progress: told of every few bytes of text read.

    Raises:
        InputError: the file is missing, cut off or malformed; the line is named.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"'{path}' is a directory; name an ARPA file")
    if not path.exists():
        raise InputError(f"no file '{path}'")
    with _open(path) as file:
        lines = _Lines(file, path, progress)
        counts = _header(lines)
        lexicon, first = _unigrams(lines, counts)
        sections = [first]
        for order in range(2, len(counts) + 1):
            sections.append(_section(lines, order, counts, lexicon))
        _end(lines)
    grams = [section.joined() for section in sections]
    return assemble(path, grams, lexicon), lexicon


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        magic = file.read(6)
    if magic[:2] == b"\x1f\x8b":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if magic == b"\xfd7zXZ\x00":
        return lzma.open(path, "rb")
    return path.open("rb")


def _filled(lines: _Lines) -> str | None:
    """The next line that is not empty."""
    while (line := lines.next()) is not None:
        if line.strip():
            return line
    return None


def _header(lines: _Lines) -> list[int]:
    line = _filled(lines)
    while line is not None and line.strip() != "\\data\\":
        if lines.number > 1000 or "\0" in line:
            line = None
            break
        line = _filled(lines)
    if line is None:
        raise InputError(f"'{lines.path}' is not an ARPA file (no \\data\\ line)")
    counts: list[int] = []
    while (line := lines.next()) is not None and line.strip():
        name, _, value = line.partition("=")
        parts = name.split()
        number = value.strip()
        plain = number.isascii() and number.isdecimal() and len(number) < 19
        if len(parts) != 2 or parts[0] != "ngram" or not plain:
            lines.number -= 1
            lines.wrong(f"is not of the form 'ngram 1=100' ({line[:40]!r})")
        if parts[1] != str(len(counts) + 1):
            lines.number -= 1
            lines.wrong(f"gives order {parts[1]} where {len(counts) + 1} is due")
        counts.append(int(value))
    if not counts:
        lines.wrong("gives no counts of n-grams")
    if len(counts) > HIGHEST:
        raise InputError(f"'{lines.path}' has order {len(counts)}; at most {HIGHEST} can be used")
    return counts


def _begin_section(lines: _Lines, order: int) -> None:
    line = _filled(lines)
    if line is None:
        lines.wrong(f"the file ends before \\{order}-grams:; it is cut off")
    elif line.strip() != f"\\{order}-grams:":
        lines.number -= 1
        lines.wrong(f"should be \\{order}-grams: ({line[:40]!r})")


def _check_count(lines: _Lines, order: int, found: int, said: int) -> None:
    if found != said:
        cut = " (the file is cut off)" if lines.ended and not lines.buffer.strip() else ""
        lines.wrong(f"ends the {order}-grams: {found:,} of them, but \\data\\ says {said:,}{cut}")


def _unigrams(lines: _Lines, counts: list[int]) -> tuple[Lexicon, _Section]:
    _begin_section(lines, 1)
    words: dict[str, tuple[float, float]] = {}
    while True:
        line = lines.next()
        if line is None or not line.strip() or line.startswith("\\"):
            break
        parts = line.replace("\t", " ").split(" ")
        parts = [part for part in parts if part]
        lines.number -= 1
        prob = _float(parts[0])
        if prob is None:
            lines.wrong("does not begin with a number")
        if prob > 0:
            lines.wrong("has a log-probability above zero")
        if len(parts) < 2:
            lines.wrong("has too few words for a 1-gram")
        weight = 0.0
        if len(parts) > 2:
            if len(counts) == 1:
                lines.wrong("has a back-off weight, which the highest order has none of")
            given = _float(parts[2])
            if given is None or given > _LARGEST:
                lines.wrong("ends in something that is no back-off weight")
            weight = given
        if len(parts) > 3:
            lines.wrong("goes on after the back-off weight")
        if parts[1] in words:
            lines.wrong(f"repeats the word '{parts[1]}'")
        words[parts[1]] = (prob, weight)
        lines.number += 1
    if line is not None:  # the line that ends the section is read again, or named
        lines.buffer = line.encode() + b"\n" + lines.buffer
        lines.number -= 1
    if SPECIALS[EOS] in words:
        raise InputError(
            f"'{lines.path}' has a word '{SPECIALS[EOS]}', which is the end of a line here; "
            "rename it"
        )
    _check_count(lines, 1, len(words), counts[0])
    for needed in (BEGINNING, END):
        if needed not in words:
            raise InputError(f"'{lines.path}' has no {needed} among its 1-grams")
    begin, end = words.pop(BEGINNING), words.pop(END)
    unknown = words.pop(UNKNOWN, None) or words.pop("<UNK>", None) or (MISSING_UNKNOWN, 0.0)
    names = [*SPECIALS, *words]
    values = [unknown, (end[0], begin[1]), *words.values()]
    section = _Section(
        1,
        [np.arange(len(names), dtype=np.uint32)[:, None]],
        [
            np.array(
                [max(prob, -99.0) if prob != MISSING_UNKNOWN else prob for prob, _ in values],
                np.float32,
            )
        ],
        [np.array([max(weight, -99.0) for _, weight in values], np.float32)],
    )
    return Lexicon.of(names), section


_PLAIN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|-inf", re.ASCII)


def _float(text: str) -> float | None:
    """A number as an ARPA file has it."""
    return max(float(text), -1e30) if _PLAIN.fullmatch(text) else None


def _section(lines: _Lines, order: int, counts: list[int], lexicon: Lexicon) -> _Section:
    _begin_section(lines, order)
    known = _with_boundaries(lexicon)
    section = _Section(order)
    highest = order == len(counts)
    while True:
        text = lines.block()
        capacity = len(text) // (2 * order + 1) + 1
        ids = np.empty((capacity, order), np.uint32)
        probs, weights = np.empty(capacity, np.float32), np.empty(capacity, np.float32)
        found, read, used, wrong = _parse(
            text, order, highest, known.table, known.blob, known.ends, TENS, ids, probs, weights
        )
        finished = used < len(text) or not len(text)
        del text
        lines.skip(used, read)
        if wrong:
            lines.wrong(_MESSAGES[wrong].format(order=order))
        ids = ids[:found]
        beginning, other_unknown = len(lexicon), len(lexicon) + 2
        misplaced = (ids[:, 1:] == beginning).any(1) | (ids[:, :-1] == EOS).any(1)
        if misplaced.any():
            lines.number += int(np.argmax(misplaced)) - read
            lines.wrong(f"has {BEGINNING} after, or {END} before another word")
        ids[ids == beginning] = EOS
        ids[ids == other_unknown] = UNK
        section.ids.append(ids.copy())
        section.probs.append(np.maximum(probs[:found], np.float32(-99)))
        section.weights.append(np.maximum(weights[:found], np.float32(-99)))
        if finished:
            break
    _check_count(lines, order, section.length, counts[order - 1])
    return section


def _with_boundaries(lexicon: Lexicon) -> Lexicon:
    """Words as they are spelled in a file: `</s>` in the place of `<eos>`; `<s>` after all."""
    words = lexicon.words()
    words[EOS] = END  # `<eos>` itself is not in the file
    return Lexicon.of([*words, BEGINNING, END, "<UNK>"])


def _end(lines: _Lines) -> None:
    line = _filled(lines)
    if line is None or line.strip() != "\\end\\":
        if line is not None:
            lines.number -= 1
        lines.wrong("\\end\\ is missing; the file is cut off")
