"""`nextword fill`"""

from __future__ import annotations

from typing import Annotated

import typer

from .. import bounds
from .options import Device, Json, RunPath


def command(
    run: RunPath,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A text with [MASK] for each gap.")],
    top: Annotated[
        int, typer.Option(min=1, max=bounds.COUNT, help="Number of words for each gap.")
    ] = 5,
    json: Json = False,
    device: Device = "cpu",
) -> None:
    """Predict the missing words of a text, with probabilities."""
    from ..generation.infill import fill
    from ..run import load
    from .options import print_json

    found = fill(load(run, device), text, top)
    if json:
        print_json(found.as_dict())
        return
    for number, gap in enumerate(found.gaps, start=1):
        if len(found.gaps) > 1:
            print(f"gap {number}")
        for filling in gap:
            print(f"{filling.probability:7.2%}  {filling.word}")
