"""Reads minimal pairs: two sentences that differ in one thing, of which one is good."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..errors import InputError, shown
from ..parsing import parse_json
from .reader import lines

#: What the columns may be called in a first line that names them.
_GOOD, _BAD = ("good", "sentence_good"), ("bad", "sentence_bad")
#: The fields in BLiMP's files that name what a pair is about; the first one that a pair has counts.
_PHENOMENON = ("linguistics_term", "UID", "field")


class MinimalPair(NamedTuple):
    """A good sentence, a bad one that differs in one thing, and what the pair is about."""

    good: str
    bad: str
    phenomenon: str  # empty if the file does not say


def read_minimal_pairs(path: str | os.PathLike[str]) -> Iterator[MinimalPair]:
    r"""The minimal pairs of a file, plain or compressed. Empty lines are skipped.

    The lines are JSON if the first one is. JSON lines have BLiMP's fields (Warstadt et al. 2020,
    arXiv:1912.00582): `sentence_good`, `sentence_bad`, and if given `linguistics_term`, `UID` or
    `field`, the first of which names the phenomenon. Other lines are good sentence, tab, bad
    sentence, and if given tab, phenomenon; a first line with the names of the columns (`good`,
    `bad`) may say that they are the other way round.

    Raises:
        InputError: the file cannot be read or holds no pairs; a line has no tab, is no JSON or has
            not the fields; a sentence is empty, or both are the same.

    Example:
        list(read_minimal_pairs("pairs.tsv"))  # [MinimalPair("dogs bark", "dogs barks", "")]
    """
    read: Callable[[str, str], MinimalPair | None] | None = None
    found = False
    for number, line in enumerate(lines(path), start=1):
        if not line.strip():
            continue
        where = f"line {number:,} of '{path}'"
        if read is None:
            is_json = line.lstrip().startswith("{")
            read = _of_json if is_json else _Columns()
        if pair := read(line, where):
            yield _checked(pair, where)
            found = True
    if not found:
        raise InputError(f"'{path}' holds no pairs; each line is a good sentence, tab, a bad one")


class _Columns:
    """Reads lines whose columns are parted by tabs."""

    def __init__(self) -> None:
        self.is_first = True
        self.bad_first = False

    def __call__(self, line: str, where: str) -> MinimalPair | None:
        columns = [column.strip() for column in line.split("\t")]
        names = [column.lower() for column in columns[:2]]
        is_header = (
            self.is_first
            and len(names) == 2
            and any(names[i] in _GOOD and names[1 - i] in _BAD for i in (0, 1))
        )
        self.is_first = False
        if is_header:
            self.bad_first = names[0] in _BAD
            return None
        if len(columns) not in (2, 3):
            has = "no tab" if len(columns) == 1 else f"{len(columns) - 1} tabs"
            raise InputError(
                f"{where} has {has}; each line is a good sentence, tab, a bad one, and if you like "
                "tab, what the pair is about"
            )
        good, bad = columns[1::-1] if self.bad_first else columns[:2]
        return MinimalPair(good, bad, columns[2] if len(columns) == 3 else "")


def _of_json(line: str, where: str) -> MinimalPair:
    try:
        fields: Any = parse_json(line)
    except ValueError as error:
        raise InputError(f"{where} is not JSON ({shown(str(error), 100)})") from None
    if not isinstance(fields, dict):
        raise InputError(f"{where} is not a JSON object; it needs sentence_good and sentence_bad")
    sentences = []
    for name in ("sentence_good", "sentence_bad"):
        if name not in fields:
            has = ", ".join(map(str, fields)) or "none"
            raise InputError(f"{where} has no field '{name}'; its fields: {shown(has, 200)}")
        if not isinstance(fields[name], str):
            raise InputError(f"{where}: the field '{name}' is not text")
        sentences.append(fields[name].strip())
    named = (fields[name] for name in _PHENOMENON if isinstance(fields.get(name), str))
    good, bad = sentences
    return MinimalPair(good, bad, " ".join(next(named, "").split()))


def _checked(pair: MinimalPair, where: str) -> MinimalPair:
    for name, sentence in (("good", pair.good), ("bad", pair.bad)):
        if not sentence:
            raise InputError(f"{where}: the {name} sentence is empty")
        if len(sentence.splitlines()) > 1:
            raise InputError(f"{where}: the {name} sentence has a line end in it")
    if pair.good == pair.bad:
        raise InputError(f"{where} has the same sentence twice: {shown(pair.good, 60)}")
    return pair
