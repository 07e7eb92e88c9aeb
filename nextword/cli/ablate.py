"""`nextword ablate`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Json, Quiet, Set, print_json


def command(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="For example awd-lstm-wt2.")],
    train: Annotated[
        list[Path], typer.Option("--train", metavar="FILE", help="Text to learn from; repeatable.")
    ],
    valid: Annotated[
        list[Path],
        typer.Option("--valid", metavar="FILE", help="Text to judge by; repeatable."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where everything goes.")],
    test: Annotated[
        list[Path],
        typer.Option("--test", metavar="FILE", help="Text to report on besides; repeatable."),
    ] = [],  # noqa: B006
    settings: Set = [],  # noqa: B006
    fine_tune: Annotated[
        int,
        typer.Option(min=0, metavar="EPOCHS", help="Follow each training by so many of ASGD."),
    ] = 0,
    json: Json = False,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """The recipe, then once without each of its ingredients. Run it again to go on."""
    from ..errors import Interrupted
    from ..experiments.ablation import PICTURE, TABLE, ablate
    from ..screen import progress_bar, speaker

    try:
        rows = ablate(
            recipe,
            train,
            valid,
            out,
            test=test,
            overrides=settings,
            fine_tune=fine_tune,
            device=device,
            quiet=quiet,
            say=speaker(quiet),
            bars=lambda: progress_bar("evaluating", quiet),
        )
    except (Interrupted, KeyboardInterrupt):
        raise Interrupted("stopped and saved; the same command again goes on") from None
    if json:
        print_json({"rows": [row.as_dict() for row in rows]})
        return
    full = rows[0]
    print(f"{'':<26}{'valid':>9}{'':>9}{'test':>9}{'paper: PTB':>13}{'WT2':>8}{'minutes':>9}")
    for row in rows:
        change = "" if row is full else f"{row.valid - full.valid:+.2f}"
        tested = "" if row.test is None else f"{row.test:.2f}"
        print(
            f"{row.title:<26}{row.valid:>9.2f}{change:>9}{tested:>9}{row.paper[0]:>13.1f}"
            f"{row.paper[1]:>8.1f}{row.seconds / 60:>9.1f}"
        )
    print(f"written: {out / TABLE}, {out / PICTURE}")
