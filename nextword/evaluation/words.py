"""Which tokens of a line make a word, which words a region, and where one word ends and the next
begins."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import InputError, shown
from ..text.tokenizer import EOS, Span
from .predictions import Array, Predictions

MARK = "|"  # between regions


class Line(NamedTuple):
    """A line, and how the model reads it."""

    number: int  # 1 = the first
    given: str
    read: str  # the text that the model reads
    places: Sequence[int]  # for each character of `read` its place in `given`
    regions: Sequence[Span]  # in `read`; empty unless the line is divided by marks
    ids: list[int]  # with the final `<eos>`, if the model predicts it
    spans: list[Span]  # of ids in `read`

    def given_span(self, start: int, end: int) -> Span:
        """A span of `read` in `given`."""
        if start < end:
            return self.places[start], self.places[end - 1] + 1
        if start < len(self.places):
            return self.places[start], self.places[start]
        at = self.places[-1] + 1 if self.places else len(self.given)
        return at, at


class Unit(NamedTuple):
    """Tokens first to last - 1 of a line, and the part of `Line.read` that they stand for."""

    first: int
    last: int
    start: int
    end: int


def read_regions(text: str, number: int) -> tuple[str, list[int], list[Span]]:
    """Read a line that is divided by marks, `the horse | raced past | the barn`.

    A mark with white space at one of its sides is read as one blank, any other as nothing.

    Returns:
        The text that the model reads, for each of its characters the place in `text`, and the spans
        of the regions in it.

    Raises:
        InputError: there is no mark, or a region is empty.
    """
    if MARK not in text:
        raise InputError(
            f"line {number} has no mark between regions ({shown(text, 60)}); write '{MARK}' there"
        )
    places: list[int] = []
    regions: list[Span] = []
    at = 0
    spaced = False
    for part in text.split(MARK):
        body = part.strip()
        if not body:
            raise InputError(f"line {number}: region {len(regions) + 1} is empty; give it words")
        start = at + len(part) - len(part.lstrip())
        if regions and (spaced or part[0].isspace()):
            places.append(at - 1)  # of the mark
        regions.append((len(places), len(places) + len(body)))
        places += range(start, start + len(body))
        spaced = part[-1].isspace()
        at += len(part) + 1
    read = "".join(" " if text[place] == MARK else text[place] for place in places)
    return read, places, regions


def words_of(line: Line, *, blank_begins: bool) -> list[Unit]:
    """The words of a line: runs of characters other than white space, divided at the regions.

    Every `<eos>` is a word of its own. A token that reaches over several words makes them one.

    Args:
        blank_begins: a token that is white space belongs to the word that follows it, else to the
            one that it ends. White space that ends no word belongs to what follows.

    Raises:
        InputError: a token reaches over two regions.
    """
    if not line.ids:
        return []
    spans = _word_spans(line)
    starts = [start for start, _ in spans]
    names: list[int | None] = []  # of the word of each token; None = white space
    joined = list(range(len(spans)))
    for at, (index, (start, end)) in enumerate(zip(line.ids, line.spans, strict=True)):
        if index == EOS:
            names.append(-1 - at)
        elif start == end:
            names.append(None)
        else:
            first, last = (bisect_right(starts, place) - 1 for place in (start, end - 1))
            if first < last:
                _check_regions(line, start, end)
                joined[first + 1 : last + 1] = [joined[first]] * (last - first)
            names.append(first)
    merged = [name if name is None or name < 0 else joined[name] for name in names]
    owners = _owners(merged, blank_begins=blank_begins)
    edges = [at for at in range(len(owners)) if not at or owners[at] != owners[at - 1]]
    units = []
    for first, last in zip(edges, [*edges[1:], len(owners)], strict=True):
        name = owners[first]
        if name < 0:
            start, end = line.spans[-1 - name]
        else:
            start = spans[name][0]
            end = spans[max(i for i, root in enumerate(joined) if root == name)][1]
        units.append(Unit(first, last, start, end))
    return units


def _word_spans(line: Line) -> list[Span]:
    spans: list[Span] = []
    cuts = [start for start, _ in line.regions]
    for match in re.finditer(r"\S+", line.read):
        inside = [cut for cut in cuts if match.start() < cut < match.end()]
        spans += zip([match.start(), *inside], [*inside, match.end()], strict=True)
    return spans


def _check_regions(line: Line, start: int, end: int) -> None:
    """Raise InputError if a region begins inside the token that stands from `start` to `end`."""
    if any(start < first < end for first, _ in line.regions):
        raise InputError(
            f"line {line.number}: a mark cuts the token '{shown(line.read[start:end], 40)}'; put "
            "it before or after"
        )


def _owners(names: list[int | None], *, blank_begins: bool) -> list[int]:
    """Give white space to a word; see `words_of`."""
    follows: list[int | None] = [None] * len(names)
    after: int | None = None
    for at in reversed(range(len(names))):
        after = after if names[at] is None else names[at]
        follows[at] = after
    owners: list[int] = []
    for at, name in enumerate(names):
        before = owners[-1] if owners and owners[-1] >= 0 else None
        choices = (name, follows[at], before) if blank_begins else (name, before, follows[at])
        owners.append(next((one for one in choices if one is not None), 0))
    return owners


def boundary_shares(
    line: Line, words: list[Unit], predictions: Predictions, boundaries: frozenset[int]
) -> Array:
    """What the published correction adds to the log-probability of each word (Oh and Schuler 2024,
    arXiv:2406.10851; Pimentel and Meister 2024, arXiv:2406.14561).

        p(w | c) = Π p(pieces) p(boundary | c, w) / p(boundary | c)

    p(boundary) is the probability of all tokens that begin a word or end the line. A piece with
    white space in front says two things, that the word before it has ended and how the next one
    begins; the first belongs to the word before. The first word, and one that does not begin with
    white space, has no divisor. All shares of a line add up to 0.

    Args:
        boundaries: the ids that begin a word or end the line.

    Returns:
        Natural logarithms (W,).
    """
    shares = np.zeros(len(words))
    if predictions.boundary is None:
        return shares
    for at in range(1, len(words)):
        first = words[at].first
        share = predictions.boundary[first]
        if line.ids[first] in boundaries and line.ids[first - 1] != EOS and np.isfinite(share):
            shares[at - 1] += share
            shares[at] -= share
    return shares


def regions_of(line: Line, words: list[Unit]) -> list[list[int]]:
    """The numbers of the words of each region; every `<eos>` is a region of its own."""
    found: list[list[int]] = []
    current = -1
    starts = [start for start, _ in line.regions]
    for number, word in enumerate(words):
        ends = line.ids[word.last - 1] == EOS
        region = -2 if ends else bisect_right(starts, word.start) - 1
        if ends or region != current:
            found.append([])
        found[-1].append(number)
        current = region
    return found
