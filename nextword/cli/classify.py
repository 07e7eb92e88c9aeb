"""`nextword classify`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .options import Device


def command(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The run directory of a classifier or tagger.")
    ],
    file: Annotated[
        str,
        typer.Argument(
            metavar="[FILE|-]", help="A file with one text per line, or - for standard input."
        ),
    ] = "-",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per text.")] = False,
    device: Device = "cpu",
) -> None:
    """Classify texts, or tag their words.

    Prints for each text: label, tab, probability, tab, text. A tagger prints a line for each word
    (word, tab, tag) and an empty line after each text.
    """
    from ..run import load
    from ..tasks import task_of
    from .options import print_json, text_lines

    lines = text_lines(file)
    loaded = load(run, device)
    cut = 0
    for answer in task_of(loaded.config).classify_lines(loaded, lines):
        cut += answer.cut
        if json:
            print_json(answer.as_dict())
        else:
            print(answer.as_text())
    if cut:
        most = loaded.config.train.bptt
        print(f"{cut:,} texts were cut: the model reads {most} tokens", file=sys.stderr)
