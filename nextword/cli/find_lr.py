"""`nextword find-lr`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Json, Quiet, Set


def command(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe's name or file.")],
    train: Annotated[
        list[Path], typer.Option("--train", metavar="FILE", help="Text to learn from; repeatable.")
    ],
    target: Annotated[
        list[Path],
        typer.Option("--target", metavar="FILE", help="Of pairs in two files: the other language."),
    ] = [],  # noqa: B006
    out: Annotated[Path, typer.Option(metavar="FILE", help="Picture: .png, .svg or .pdf.")] = Path(
        "lr.png"
    ),
    steps: Annotated[int, typer.Option(min=10, help="Steps from the lowest to the highest.")] = 100,
    low: Annotated[float, typer.Option(help="Where to begin.")] = 1e-6,
    high: Annotated[float, typer.Option(help="Where to end.")] = 10.0,
    settings: Set = [],  # noqa: B006
    json: Json = False,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Which learning rate to train with: a short run with a growing one, and its picture."""
    from .. import plot
    from ..experiments.lr_finder import find_lr
    from ..screen import progress_bar
    from ..training.request import Request
    from .options import print_json

    plot.check(out)
    request = Request.of(recipe, train, targets=target, overrides=settings, device=device)
    with progress_bar("range test", quiet, unit="steps") as bar:
        found = find_lr(request, steps=steps, low=low, high=high, progress=bar(steps))
    found.draw(out)
    if json:
        print_json(found.as_dict())
    else:
        print(f"suggested: --set optimizer.lr={found.suggestion:.2g}   (drawn in {out})")
