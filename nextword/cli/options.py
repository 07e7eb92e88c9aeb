"""Options and helpers that several verbs share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import bounds

if TYPE_CHECKING:
    from ..evaluation.dynamic import Dynamic
    from ..generation.decoding import Decoding

RunPath = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="A run directory, an .arpa file or a Hugging Face BERT folder."
    ),
]
Data = Annotated[
    list[Path],
    typer.Option(
        "--data", metavar="FILE", help="The text to read, or - for standard input; repeatable."
    ),
]
Device = Annotated[str, typer.Option(help="The device to compute on: cpu or cuda.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress and no notes.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Set = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; repeatable."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing output.")]
DynamicFlag = Annotated[
    bool, typer.Option("--dynamic", help="Update the weights on each segment after predicting it.")
]
DynamicSet = Annotated[
    list[str],
    typer.Option(
        "--dynamic-set",
        metavar="KEY=VALUE",
        help="A setting of --dynamic: method, lr, segment, decay, clip or momentum; repeatable.",
    ),
]
Stripes = Annotated[
    int,
    typer.Option(
        min=1,
        max=bounds.SAMPLES,
        help="Number of parts of the text to read in parallel. More than 1 is faster but changes "
        "the figures slightly; the signature says so.",
    ),
]

Target = Annotated[
    list[Path],
    typer.Option(
        "--target",
        metavar="FILE",
        help="The translations of --data, line by line, if pairs are in two files.",
    ),
]
Beam = Annotated[
    int | None,
    typer.Option(
        min=1, max=bounds.BEAM, help="Beam width of a translator (default: 4); 1 is greedy search."
    ),
]
Alpha = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=bounds.ALPHA,
        help="Length penalty of a translator's beam search (default: 0.6); 0 is none.",
    ),
]


def decoding_settings(beam: int | None, alpha: float | None, verb: str) -> Decoding | None:
    """Parse the options --beam and --alpha of `verb`; None if neither is given."""
    from ..arguments import given
    from ..config import parse_section
    from ..generation.decoding import Decoding

    values = given(beam=beam, alpha=alpha)
    return parse_section(Decoding, values, verb) if values else None


def dynamic_settings(wanted: bool, items: list[str]) -> Dynamic | None:
    """Parse the options --dynamic and --dynamic-set.

    Returns:
        The settings as a `Dynamic`, or None without --dynamic.

    Raises:
        InputError: --dynamic-set is given without --dynamic, or a setting is not valid.
    """
    from ..config import parse_override, parse_section
    from ..errors import InputError
    from ..evaluation.dynamic import Dynamic

    if not wanted and items:
        raise InputError("--dynamic-set needs --dynamic")
    values = dict(parse_override(item, "--dynamic-set") for item in items)
    return parse_section(Dynamic, values, "--dynamic-set") if wanted else None


def print_json(value: object) -> None:
    """Print a value as one line of JSON. Infinities and NaN become null: JSON has neither."""
    from ..numerals import json_text

    print(json_text(value))


def text_lines(file: str) -> Iterator[str]:
    """Read the lines of a file, or of standard input if `file` is "-". Those of a stream come as
    they are written.

    Raises:
        InputError: the file cannot be read. It is raised at once, not with the first line.
    """
    import sys

    from ..text.input_lines import InputLines
    from ..text.reader import lines
    from ..text.source import is_stream, open_stream

    path = Path(file)
    if not is_stream(path):
        return lines(path)
    return InputLines(open_stream(path), sys.stdout.flush, path)
