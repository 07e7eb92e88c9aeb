"""`nextword fill`"""

from __future__ import annotations

import math
from typing import Annotated

import typer

from .. import bounds
from .options import Device, Json, RunPath


def command(
    run: RunPath,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A text with [MASK] for each gap.")],
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=bounds.COUNT,
            help="Number of words for each gap (default: 5, or all of --targets).",
        ),
    ] = None,
    targets: Annotated[
        list[str],
        typer.Option(
            metavar="WORD,WORD…", help="Choose among these words only, with commas; repeatable."
        ),
    ] = [],  # noqa: B006
    joint: Annotated[
        bool, typer.Option("--joint", help="Find words for all gaps that fit together.")
    ] = False,
    json: Json = False,
    device: Device = "cpu",
) -> None:
    """Predict the missing words of a text, with probabilities."""
    from ..generation.infill import fill
    from ..run import load
    from .options import print_json

    words = [word.strip() for part in targets for word in part.split(",") if word.strip()]
    candidates = words if targets else None
    found = fill(load(run, device), text, top, candidates=candidates, joint=joint)
    if json:
        print_json(found.as_dict())
        return
    for together in found.joint or []:
        print(f"{math.exp(together.log_prob):7.2%}  {found.filled(together.words)}")
    if found.joint:
        return
    for number, gap in enumerate(found.gaps, start=1):
        if len(found.gaps) > 1:
            print(f"gap {number}")
        for filling in gap:
            print(f"{filling.probability:7.2%}  {filling.word}")
