"""Tokenizers that encode a text line by line: `<eos>` stands between the pieces of two lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .tokenizer import EOS, Span, trimmed


def joined(lines: Iterable[Iterable[int]]) -> list[int]:
    """The ids of a text, given those of its lines.

    Example:
        >>> joined([[5, 6], [], [7]])
        [5, 6, 1, 1, 7]
    """
    ids: list[int] = []
    for number, line in enumerate(lines):
        if number:
            ids.append(EOS)
        ids.extend(line)
    return ids


def joined_spans(
    text: str,
    lines: Iterable[str],
    spans: Iterable[Iterable[tuple[int, int]]],
    starts: Sequence[int],
    ends: Sequence[int],
) -> list[Span]:
    """The spans of all pieces in `text`, those of `<eos>` among them, which are empty.

    Args:
        lines: what was encoded, perhaps in lower case or with other lengths.
        spans: for each line the spans of its pieces, in the characters of the line.
        starts, ends: for each character of the lines, joined by newlines, the first character of
            `text` that it was made from, and the one after the last.

    Example:
        >>> joined_spans("a b\\nc", ["a b", "c"], [[(0, 3)], [(0, 1)]], range(5), range(1, 6))
        [(0, 3), (3, 3), (4, 5)]
    """
    found: list[Span] = []
    at = 0  # where the line begins
    for number, (line, pieces) in enumerate(zip(lines, spans, strict=True)):
        if number:
            found.append((starts[at - 1], starts[at - 1]))
        found += [trimmed(text, starts[at + first], ends[at + last - 1]) for first, last in pieces]
        at += len(line) + 1
    return found
