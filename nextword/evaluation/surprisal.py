"""The surprisal of lines, regions, words or tokens: -log2 p, in bits.

    surprisal(w) = -log2 p(w | what stands before it)

The rows of a line add up to the line's own surprisal, whatever the rows are.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

from ..arguments import checked
from ..errors import InputError
from ..numerals import fixed, json_text
from ..registry import unknown

BY = ("sentence", "token", "word", "region")
FORMATS = ("tsv", "csv", "jsonl")
LIBRARIES = ("pandas", "polars")


@dataclass(frozen=True)
class Surprisal:
    """One row: a sentence, region, word or token of a line, or its `<eos>`.

    Entropy, rank and order are those of the prediction before the row, that is of its first piece.

    `rule` says how the pieces of a row make its surprisal, which is in every case a sum over them:

        sum          each piece is predicted from all tokens before it
        boundary     the same, but the probability that a word ends belongs to that word
                     (`words.boundary_shares`)
        within-word  each piece is predicted from all other tokens but the later ones of its word
        all-others   each piece is predicted from all other tokens
    """

    sentence: int  # the number of the line; 1 = the first
    position: int  # the number of the row in its line; 1 = the first
    text: str  # the part of the line, or `<eos>`
    start: int  # its first character in the line
    end: int  # the one after its last
    surprisal_bits: float
    entropy_bits: float  # of the distribution over the next token
    rank: int  # of the first piece; 1 = no token was more probable
    oov: bool  # it has a token that is not in the vocabulary
    pieces: tuple[str, ...]  # its tokens, as the vocabulary has them
    order: int | None  # n-gram models: the length of the n-gram that answered; else None
    rule: str  # how the pieces make the surprisal
    pseudo: bool  # predicted from both sides (BERT): compare only with each other

    def as_dict(self) -> dict[str, Any]:
        """Return the row by name."""
        return vars(self) | {"pieces": list(self.pieces)}


@dataclass(frozen=True)
class Rows:
    """Which rows are wanted; see `nextword.surprisal`."""

    by: str = "word"
    corrected: bool = True
    context: str = ""
    previous: bool = False
    batch_size: int = 64

    def __post_init__(self) -> None:
        """Raise InputError if there are no such rows, or options exclude each other."""
        if self.by not in BY:
            raise InputError(unknown("kind of row", self.by, list(BY)))
        if self.context and self.previous:
            raise InputError("a context is either a text or the lines before, not both")
        if self.batch_size < 1:
            raise InputError(f"batch_size = {self.batch_size}: give 1 or more")

    def refuse_context(self, run: str, does: str) -> None:
        """Raise InputError if there is a context, for a run whose lines have none."""
        if self.context or self.previous:
            raise InputError(
                f"'{run}' {does} line by line; a context is for models of running text"
            )


def header(form: str) -> str:
    """The first line of a table in a format, with its line end; "" for JSON lines."""
    names = [field.name for field in fields(Surprisal)]
    return "" if form == "jsonl" else _separated(names, form)


def formatted(row: Surprisal, form: str) -> str:
    """A row in the format "tsv", "csv" or "jsonl", with its line end.

    In tables the pieces stand between blanks, and white space in them is written ␣.
    """
    values = row.as_dict()
    if form == "jsonl":
        return json_text(values) + "\n"
    values["pieces"] = " ".join(re.sub(r"\s", "␣", piece) for piece in row.pieces)
    return _separated([_cell(value) for value in values.values()], form)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return fixed(value, 6)
    return "" if value is None else str(value)


def _separated(cells: list[str], form: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter="\t" if form == "tsv" else ",", lineterminator="\n").writerow(cells)
    return out.getvalue()


@checked
def to_frame(rows: Iterable[Surprisal], library: str = "pandas") -> Any:
    """Put rows into a data frame, with a column for each field.

    Args:
        rows: what `nextword.surprisal` returned.
        library: "pandas" or "polars".

    Returns:
        A `pandas.DataFrame` or `polars.DataFrame`.

    Raises:
        InputError: narwhals or the library is not installed.

    Example:
        frame = nextword.to_frame(nextword.surprisal(run, ["the cat sat"]), "polars")
    """
    if library not in LIBRARIES:
        raise InputError(unknown("library of data frames", library, list(LIBRARIES)))
    try:
        import narwhals
    except ImportError:
        raise InputError("data frames need narwhals: pip install 'nextword[data]'") from None
    columns: dict[str, list[Any]] = {field.name: [] for field in fields(Surprisal)}
    for row in rows:
        for name, value in row.as_dict().items():
            columns[name].append(value)
    try:
        return narwhals.from_dict(columns, backend=import_module(library)).to_native()
    except ImportError:
        raise InputError(f"{library} is not installed: pip install {library}") from None
