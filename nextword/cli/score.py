"""`nextword score`"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Device, Normalise, RunPath

if TYPE_CHECKING:
    from ..evaluation.surprisal import Rows
    from ..run import Run


class By(StrEnum):
    """What gets a row."""

    sentence = "sentence"
    token = "token"
    word = "word"


class Format(StrEnum):
    """The formats of rows."""

    tsv = "tsv"
    csv = "csv"
    jsonl = "jsonl"


def command(
    run: RunPath,
    file: Annotated[
        str,
        typer.Argument(
            metavar="[FILE|-]", help="A file with one sentence per line, or - for standard input."
        ),
    ] = "-",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    by: Annotated[
        By | None, typer.Option(help="Print the surprisal in bits, a row for each of these.")
    ] = None,
    format: Annotated[
        Format | None, typer.Option(help="How rows are written (default: tsv, with a header).")
    ] = None,
    regions: Annotated[
        bool,
        typer.Option(
            "--regions",
            help="Print a row for each region; lines are divided by marks: the horse | raced past.",
        ),
    ] = False,
    context: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|previous",
            help="What stands before each line: the text of a file, or the lines before it.",
        ),
    ] = None,
    uncorrected: Annotated[
        bool,
        typer.Option(
            "--uncorrected",
            help="Add up the pieces of a word as they are (default: the probability that a word "
            "ends belongs to that word).",
        ),
    ] = False,
    normalise: Normalise = "none",
    device: Device = "cpu",
) -> None:
    """Print the log-probability of sentences, or words one by one.

    Each line of output has the natural logarithm of the sentence's probability, a tab, and the
    sentence; `sort -g` ranks them. --json adds the number of tokens, the number of unknown words
    and the perplexity. A translator reads source, tab, target and scores the target. A BERT gives
    pseudo-log-likelihoods.

    --by and --regions print rows with surprisal and entropy in bits, rank and place in the line.
    """
    from ..run import load
    from .options import Watched, text_lines

    rows = _rows(by, format, regions, context, uncorrected)
    lines = text_lines(file)  # first, so that a wrong path fails before the model is loaded
    loaded = load(run, device).normalised(normalise)
    lines = Watched(loaded, lines)
    if rows is None:
        _print_sentences(loaded, lines, json=json)
    else:
        _print_rows(loaded, lines, rows, "jsonl" if json else format or "tsv")


def _rows(
    by: By | None, form: Format | None, regions: bool, context: str | None, uncorrected: bool
) -> Rows | None:
    """Return which rows the options ask for; None = the sentences as `score` prints them.

    Raises:
        InputError: options exclude each other, or the context cannot be read.
    """
    from ..errors import InputError
    from ..evaluation.surprisal import Rows
    from ..text.reader import lines

    if by and regions:
        raise InputError("--regions gives a row for each region; leave --by out")
    if not (by or regions):
        of_rows = {"--format": form, "--context": context, "--uncorrected": uncorrected}
        if given := [name for name, value in of_rows.items() if value]:
            raise InputError(f"{' and '.join(given)} is for rows; add --by word or --regions")
        return None
    if context == "-":
        raise InputError("--context is a file, or the word previous; - is where lines are read")
    previous = context == "previous"
    before = (
        "" if context is None or previous else "".join(f"{line}\n" for line in lines(Path(context)))
    )
    return Rows(by or "region", not uncorrected, before, previous)


def _print_sentences(run: Run, lines: Iterable[str], *, json: bool) -> None:
    from ..numerals import fixed
    from ..tasks import task_of
    from .options import print_json

    told = False
    for result in task_of(run.config).score_lines(run, lines):
        if result.pseudo and not told:
            told = True
            _tell_pseudo("all others")
        if json:
            print_json(result.as_dict())
        else:
            print(f"{fixed(result.log_prob, 4)}\t{result.text}")


def _print_rows(run: Run, lines: Iterable[str], rows: Rows, form: str) -> None:
    from ..evaluation.surprisal import formatted, header
    from ..tasks import task_of

    begun = False
    for row in task_of(run.config).surprisal(run, lines, rows):
        if not begun:
            begun = True
            print(header(form), end="")
            if row.pseudo:
                but = " but the later ones of its word" if rows.corrected else ""
                _tell_pseudo(f"all others{but}")
        print(formatted(row, form), end="")
    if not begun:
        print(header(form), end="")


def _tell_pseudo(others: str) -> None:
    print(
        f"nextword: pseudo-log-likelihoods, each token predicted from {others}; compare them only "
        "with each other",
        file=sys.stderr,
    )
