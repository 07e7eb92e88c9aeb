"""`nextword classify`"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .options import Device, Json, RunPath

NAME = "classify"


def command(
    run: RunPath,
    file: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="A text a line; - = standard input.")
    ] = "-",
    json: Json = False,
    device: Device = "cpu",
) -> None:
    """The label of each line and its probability, a tab between them and before the line."""
    from ..evaluation.classification import check_classifies, classify_lines, longest
    from ..run import load
    from .options import print_json, text_lines

    lines = text_lines(file)
    loaded = load(run, device)
    check_classifies(loaded)
    cut = 0
    for done in classify_lines(loaded, lines):
        cut += done.cut
        if json:
            print_json(done.as_dict())
        else:
            print(f"{done.label}\t{done.probability:.4f}\t{done.text}")
        sys.stdout.flush()
    if cut:
        most = longest(loaded)
        print(f"{cut:,} texts were cut: the model reads {most} tokens", file=sys.stderr)
