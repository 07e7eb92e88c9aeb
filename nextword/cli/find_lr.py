"""`nextword find-lr`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import bounds
from .options import Device, Json, Quiet, Set


def command(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="Name of a recipe, or a .toml file.")
    ],
    train: Annotated[
        list[Path], typer.Option("--train", metavar="FILE", help="The training text; repeatable.")
    ],
    target: Annotated[
        list[Path],
        typer.Option(
            "--target",
            metavar="FILE",
            help="The translations of --train, line by line, if pairs are in two files.",
        ),
    ] = [],  # noqa: B006
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="File for the figure: .png, .svg or .pdf.")
    ] = Path("lr.png"),
    steps: Annotated[
        int, typer.Option(min=10, max=bounds.COUNT, help="Number of training steps.")
    ] = 100,
    low: Annotated[
        float, typer.Option(max=bounds.NUMBER, help="Learning rate of the first step.")
    ] = 1e-6,
    high: Annotated[
        float, typer.Option(max=bounds.NUMBER, help="Learning rate of the last step.")
    ] = 10.0,
    settings: Set = [],  # noqa: B006
    json: Json = False,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Suggest a learning rate by a range test.

    Trains for a few steps while the learning rate grows exponentially, draws the loss over the
    learning rate, and suggests the rate at which the loss falls fastest.
    """
    from .. import plot
    from ..experiments.lr_finder import find_lr
    from .options import print_json

    plot.check(out)
    found = find_lr(
        recipe,
        train,
        targets=target,
        overrides=settings,
        steps=steps,
        low=low,
        high=high,
        device=device,
        quiet=quiet,
    )
    found.draw(out)
    if json:
        print_json(found.as_dict())
    else:
        print(f"suggested: --set optimizer.lr={found.suggestion:.2g}   (drawn in {out})")
