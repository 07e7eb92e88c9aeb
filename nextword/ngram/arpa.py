"""ARPA files: the text format that every n-gram toolkit reads, plain, .gz or .xz.

    \\data\\
    ngram 1=5584
    ngram 2=20062

    \\1-grams:
    -3.0      word      -0.30103     log10 probability, words, log10 back-off weight
    …
    \\end\\

`<s>` and `</s>` are the beginning and the end of a line, `<unk>` every word that is not there. They
are written with seven or more digits, as few as give back the same number.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from ..compiled import Int, chunks, compiled, spread, stream
from ..errors import InputError
from ..text.numbering import Lexicon, _find, _hash, plain
from ..text.tokenizer import EOS, SPECIALS, UNK
from .table import BACKOFF, BEGIN, CONTEXT, HIGHEST, LOG_PROB, NODE, WORD, Table, _child, _step

Array = np.ndarray[Any, Any]
Progress = Callable[[int], None]

BEGINNING, END, UNKNOWN = "<s>", "</s>", "<unk>"
MISSING_UNKNOWN = -100.0  # log10 p of unknown words where a file has no <unk>: KenLM's

_LARGEST = 1e4  # back-off weight: beyond it something is wrong
_BLOCK = 1 << 24  # bytes parsed at a time
_LINES = 1 << 14  # n-grams formatted at a time
_TENS = 10.0 ** np.arange(23)


# ---------------------------------------------------------------- writing


@compiled
def _put_float(out: Array, at: Int, value: Any, tens: Array) -> Int:
    """Write a float32 in as few decimals as give it back, nine significant digits at most."""
    if value == 0:
        out[at] = 48
        return at + 1
    if value < 0:
        out[at] = 45
        at += 1
        value = -value
    whole = np.float32(value)
    decimals = 6 if value < 10 else 5  # of single precision: fewer give the number back, or these
    small = value
    while small < 1 and decimals < 20:
        small *= 10
        decimals += 1
    number = np.int64(0)
    for digits in range(decimals, decimals + 4):
        number = np.int64(np.round(value * tens[min(digits, 22)]))
        decimals = min(digits, 22)
        if np.float32(number / tens[decimals]) == whole:
            break
    while decimals > 0 and number % 10 == 0:
        number //= 10
        decimals -= 1
    length = 1
    rest = number
    while rest >= 10:
        rest //= 10
        length += 1
    width = max(length, decimals + 1) + (1 if decimals else 0)
    put = at + width - 1
    for place in range(max(length, decimals + 1)):
        if decimals and place == decimals:
            out[put] = 46
            put -= 1
        out[put] = 48 + number % 10
        number //= 10
        put -= 1
    return at + width


@compiled
def _lines_of(
    contexts: Array,
    weights: Array,
    nodes: Array,
    probs: Array,
    path: Array,
    first: Int,
    stop: Int,
    highest: bool,
    blob: Array,
    ends: Array,
    spellings: Array,
    tens: Array,
    out: Array,
) -> tuple[Int, Int]:
    """Write the lines of nodes first … stop - 1; path (n,) holds the nodes on the way to the first,
    itself last. spellings (3,): the ids under which `<s>`, `</s>` are spelled in the blob. Returns
    (the node it stopped at because `out` was full, bytes written)."""
    order = path.size
    at = 0
    for node in range(first, stop):
        path[order - 1] = node
        for depth in range(order - 2, -1, -1):
            while np.int64(contexts[path[depth] + 1, 0]) <= path[depth + 1]:
                path[depth] += 1
        length: Int = 64
        for depth in range(order):
            word = np.int64(nodes[path[depth], 0])
            if word == EOS:
                word = spellings[0] if depth == 0 and order > 1 else spellings[1]
            length += np.int64(ends[word]) - (np.int64(ends[word - 1]) if word else 0) + 1
        if at + length > out.size:
            return node, at
        at = _put_float(out, at, probs[node, 1], tens)
        for depth in range(order):
            word = np.int64(nodes[path[depth], 0])
            if word == EOS:
                word = spellings[0] if depth == 0 and order > 1 else spellings[1]
            out[at] = 9 if depth == 0 else 32
            at += 1
            start = np.int64(ends[word - 1]) if word else np.int64(0)
            for byte in range(start, np.int64(ends[word])):
                out[at] = blob[byte]
                at += 1
        if not highest:
            out[at] = 9
            at += 1
            weight = np.float32(0)
            if order > 1 or nodes[node, 0] != EOS:
                weight = weights[node, 1]
            at = _put_float(out, at, weight, tens)
        out[at] = 10
        at += 1
    return stop, at


def write_arpa(
    table: Table,
    lexicon: Lexicon,
    out: IO[bytes],
    progress: Progress | None = None,
    workers: int | None = None,
) -> None:
    """Write a table as ARPA text.

    Words that the format has no room for are written as `<space>` and the like (see `spelling`).

    Args:
        progress: told of every few n-grams written.
        workers: threads that format (default: one per core).
    """
    spelled = _spelled(lexicon)
    size = _LINES // 8 if workers == 1 else _LINES  # one alone: where memory is short
    words = len(lexicon)
    out.write(b"\\data\\\n")
    for order, count in enumerate(table.counts, start=1):
        out.write(f"ngram {order}={count + (order == 1)}\n".encode())
    weights, probs = table.contexts.view(np.float32), table.nodes.view(np.float32)
    for order in range(1, table.order + 1):
        out.write(f"\n\\{order}-grams:\n".encode())
        highest = order == table.order
        if order == 1:  # the beginning of a line is never predicted
            tail = "" if highest else f"\t{_shortest(weights[1 + EOS, BACKOFF])}"
            out.write(f"0\t{BEGINNING}{tail}\n".encode())

        low, high = int(table.offsets[order - 1]), int(table.offsets[order])
        carried = table.offsets[:order].astype(np.int64)  # from the first of every order on

        def lines(
            piece: tuple[int, int],
            order: int = order,
            highest: bool = highest,
            low: int = low,
            carried: Array = carried,
        ) -> Any:
            first, stop = piece
            # One after another, a piece goes on from where the one before ended.
            path = carried if workers == 1 else _path_to(table, first, order)
            done = []
            while first < stop:
                buffer = np.empty(max(1 << 12, 64 * (stop - first)), np.uint8)
                while True:
                    reached, written = _lines_of(
                        table.contexts,
                        weights,
                        table.nodes,
                        probs,
                        path,
                        first,
                        stop,
                        highest,
                        spelled.blob,
                        spelled.ends,
                        np.array([words, words + 1]),
                        _TENS,
                        buffer,
                    )
                    if reached > first or reached == stop:
                        break
                    buffer = np.empty(4 * len(buffer), np.uint8)  # a very long line
                done.append(buffer[:written])
                first = reached
            carried[:] = path
            return done, piece

        for texts, (first, stop) in stream(lines, chunks(high, size, low), workers):
            for text in texts:
                out.write(text.data)
            if progress:
                progress(stop - first)
    out.write(b"\n\\end\\\n")


@compiled
def _parent(contexts: Array, low: Int, high: Int, node: Int) -> Int:
    """The last of the contexts low … high - 1 whose followers begin at `node` or before."""
    while high - low > 1:
        middle = (low + high) >> 1
        if contexts[middle, 0] <= node:
            low = middle
        else:
            high = middle
    return low


def _path_to(table: Table, node: int, order: int) -> Array:
    """The nodes on the way to one of an order, itself last."""
    path = np.zeros(order, np.int64)
    for depth in range(order - 1, -1, -1):
        path[depth] = node
        low, high = int(table.offsets[depth - 1]) if depth else 0, int(table.offsets[depth])
        node = int(_parent(table.contexts, low, high, node))
    return path


def _shortest(value: Any) -> str:
    out = np.zeros(64, np.uint8)
    return out[: _put_float(out, 0, float(value), _TENS)].tobytes().decode()


def spelling(word: str) -> str:
    """A word as an ARPA file can have it: white space, which parts the words there, by name; what
    is a boundary there with a backslash."""
    if word in (BEGINNING, END):
        return "\\" + word
    if word.split() != [word] or any(mark in word for mark in "\t\n\r "):
        return "".join(_NAMES.get(c, f"<U+{ord(c):04X}>") if c.isspace() else c for c in word) or (
            "<empty>"
        )
    return word


_NAMES = {" ": "<space>", "\t": "<tab>", "\n": "<newline>", "\r": "<return>"}


def _spelled(lexicon: Lexicon) -> Lexicon:
    """The words as they are written, then `<s>` and `</s>`."""
    boundaries = BEGINNING.encode() + END.encode()
    if plain(lexicon) and BEGINNING not in lexicon and END not in lexicon:
        ends = lexicon.ends[-1] + np.array([len(BEGINNING), len(boundaries)], np.uint64)
        blob = np.concatenate(
            [lexicon.blob[: int(lexicon.ends[-1])], np.frombuffer(boundaries, np.uint8)]
        )
        return Lexicon(blob, np.concatenate([lexicon.ends, ends]))
    words: list[str] = []
    taken = {BEGINNING, END}
    for index, word in enumerate(lexicon.words()):
        spelled = spelling(word)
        if spelled in taken:  # pieces of characters, say, that look the same
            spelled = f"{spelled}<{index}>"
        taken.add(spelled)
        words.append(spelled)
    return Lexicon.of([*words, BEGINNING, END])


def open_to_write(path: Path) -> IO[bytes]:
    """A file to be written, compressed as its name says."""
    name = path.name.lower()
    if name.endswith(".gz"):
        return io.BufferedWriter(gzip.open(path, "wb", compresslevel=5), 1 << 20)
    if name.endswith(".xz"):
        return io.BufferedWriter(lzma.open(path, "wb", preset=1), 1 << 20)
    return path.open("wb", buffering=1 << 20)


# ---------------------------------------------------------------- reading


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
    return _build(path, sections, lexicon), lexicon


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
            text, order, highest, known.table, known.blob, known.ends, _TENS, ids, probs, weights
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


# ---------------------------------------------------------------- n-grams in any order → table


@compiled
def _parents(begins: Array, bounds: Array, words: Array, ids: Array, out: Array) -> None:
    """The place of each n-gram's context among those of its order, -1 where it is missing.

    begins, words: of orders 1 …, one after another; bounds (k, 2): where each order begins in them.
    """
    order = ids.shape[1]
    for row in range(ids.shape[0]):
        same = row > 0
        if same:
            for depth in range(order - 1):
                if ids[row, depth] != ids[row - 1, depth]:
                    same = False
                    break
        if same:
            out[row] = out[row - 1]
            continue
        node = np.int64(ids[row, 0])
        for depth in range(1, order - 1):
            low = begins[bounds[depth - 1, 0] + node]
            high = begins[bounds[depth - 1, 0] + node + 1]
            base = bounds[depth, 1]
            word = ids[row, depth]
            end = high
            while low < high:
                middle = (low + high) >> 1
                if words[base + middle] < word:
                    low = middle + 1
                else:
                    high = middle
            if low == end or words[base + low] != word:
                node = np.int64(-1)
                break
            node = low
        out[row] = node


@compiled
def wire(contexts: Array, weights: Array, nodes: Array, probs: Array) -> None:
    """Fill in where states fail to and lead to (see `table`), from words and followers.

    A node whose probability is NaN gets the one that backing off gives it.
    """
    last = contexts.shape[0] - 1
    for parent in range(last):
        fail = np.int64(contexts[parent, 2])
        for node in range(contexts[parent, 0], contexts[parent + 1, 0]):
            word = np.int64(nodes[node, 0])
            to = np.int64(0)
            if parent:
                state = fail
                while True:
                    to = _child(contexts, nodes, state, word)
                    if to:
                        break
                    state = np.int64(contexts[state, 2])
                if np.isnan(probs[node, 1]):
                    log_prob, _ = _step(contexts, weights, nodes, probs, fail, word)
                    probs[node, 1] = weights[parent, 1] + log_prob
                to = np.int64(nodes[to, 2])
            leads = to
            if node < last:
                contexts[node, 2] = to
                if contexts[node, 0] < contexts[node + 1, 0] or weights[node, 1] != 0:
                    leads = np.int64(node)
            nodes[node, 2] = leads


def _build(path: Path, sections: list[_Section], lexicon: Lexicon) -> Table:
    ids = [np.concatenate(section.ids) for section in sections]
    probs = [np.concatenate(section.probs) for section in sections]
    weights = [np.concatenate(section.weights) for section in sections]
    vocab_size = len(lexicon)
    words = [ids[0][:, 0]]
    begins: list[Array] = []
    for k in range(1, len(sections)):
        if k > 1:
            parents = _places(begins, words, ids[k])
            if (parents < 0).any():
                _put_in_contexts(ids, probs, weights)
                sections = [
                    _Section(order, [i], [p], [w])
                    for order, (i, p, w) in enumerate(zip(ids, probs, weights, strict=True), 1)
                ]
                return _build(path, sections, lexicon)
        else:
            parents = ids[k][:, 0].astype(np.int64)
        keys = parents * vocab_size + ids[k][:, -1]
        if not np.all(keys[1:] > keys[:-1]):
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            if np.any(twice := keys[1:] == keys[:-1]):
                row = ids[k][order[int(np.argmax(twice))]]
                gram = " ".join(lexicon.words()[word] for word in row)
                raise InputError(f"'{path}' has the {k + 1}-gram '{gram}' twice")
            ids[k], probs[k], weights[k] = ids[k][order], probs[k][order], weights[k][order]
            parents = parents[order]
        begins.append(np.searchsorted(parents, np.arange(len(words[-1]) + 1)))
        words.append(np.ascontiguousarray(ids[k][:, -1]))
    sizes = [len(some) for some in words]
    offsets = np.concatenate([[1], 1 + np.cumsum(sizes)]).astype(np.int64)
    nodes = np.zeros((int(offsets[-1]), NODE), np.uint32)
    contexts = np.zeros((int(offsets[-2]) + 1, CONTEXT), np.uint32)
    nodes[1:, WORD] = np.concatenate(words)
    nodes.view(np.float32)[1:, LOG_PROB] = np.concatenate(probs)
    contexts[0, BEGIN], contexts[-1, BEGIN] = 1, offsets[-1]
    for k, begin in enumerate(begins):
        low, high = int(offsets[k]), int(offsets[k + 1])
        contexts[low:high, BEGIN] = begin[:-1] + high
        contexts.view(np.float32)[low:high, BACKOFF] = weights[k]
    wire(contexts, contexts.view(np.float32), nodes, nodes.view(np.float32))
    return Table(nodes, contexts, offsets)


def _places(begins: list[Array], words: list[Array], ids: Array) -> Array:
    bounds = np.zeros((len(words), 2), np.int64)
    bounds[1:, 1] = np.cumsum([len(some) for some in words[:-1]])
    bounds[1 : len(begins), 0] = np.cumsum([len(some) for some in begins[:-1]])
    all_begins, all_words = np.concatenate(begins), np.concatenate(words)

    def place(piece: tuple[int, int]) -> Array:
        out = np.empty(piece[1] - piece[0], np.int64)
        _parents(all_begins, bounds, all_words, ids[piece[0] : piece[1]], out)
        return out

    return np.concatenate([np.zeros(0, np.int64), *spread(place, chunks(len(ids), 1 << 18))])


def _put_in_contexts(ids: list[Array], probs: list[Array], weights: list[Array]) -> None:
    """Contexts that are missing, from the highest order down, their probability being NaN."""
    for k in range(len(ids) - 1, 1, -1):
        have = set(map(bytes, np.ascontiguousarray(ids[k - 1])))
        need = {bytes(row) for row in np.ascontiguousarray(ids[k][:, :-1])} - have
        if not need:
            continue
        rows = np.frombuffer(b"".join(sorted(need)), np.uint32).reshape(len(need), k)
        ids[k - 1] = np.concatenate([ids[k - 1], rows])
        probs[k - 1] = np.concatenate([probs[k - 1], np.full(len(need), np.nan, np.float32)])
        weights[k - 1] = np.concatenate([weights[k - 1], np.zeros(len(need), np.float32)])
