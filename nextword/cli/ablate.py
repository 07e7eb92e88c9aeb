"""`nextword ablate`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import bounds
from .options import Device, Json, Quiet, Set, print_json

Recipe = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recurrent recipe, such as awd-lstm-wt2.")
]
Train = Annotated[
    list[Path], typer.Option("--train", metavar="FILE", help="The training text; repeatable.")
]
Valid = Annotated[
    list[Path],
    typer.Option("--valid", metavar="FILE", help="The validation text; repeatable."),
]
Out = Annotated[
    Path, typer.Option(metavar="DIR", help="Directory for the runs, the table and the figure.")
]
Test = Annotated[
    list[Path],
    typer.Option("--test", metavar="FILE", help="A test text to evaluate on too; repeatable."),
]
FineTune = Annotated[
    int,
    typer.Option(
        min=0,
        max=bounds.COUNT,
        metavar="EPOCHS",
        help="Fine-tune each model with ASGD for at most this many epochs; 0 skips it.",
    ),
]


def command(
    recipe: Recipe,
    train: Train,
    valid: Valid,
    out: Out,
    test: Test = [],  # noqa: B006
    settings: Set = [],  # noqa: B006
    fine_tune: FineTune = 0,
    json: Json = False,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Measure what each part of a recipe contributes.

    Trains the recipe as it is, then once without each of its ingredients, and prints a table of
    perplexities. The same command continues an interrupted ablation.
    """
    from ..errors import Interrupted
    from ..experiments.ablation import PICTURE, TABLE, ablate
    from ..numerals import fixed
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
        raise Interrupted("stopped and saved; run the same command to continue") from None
    if json:
        print_json({"rows": [row.as_dict() for row in rows]})
        return
    full = rows[0]
    print(f"{'':<26}{'valid':>9}{'':>9}{'test':>9}{'paper: PTB':>13}{'WT2':>8}{'minutes':>9}")
    for row in rows:
        change = "" if row is full else fixed(row.valid - full.valid, sign="+")
        tested = "" if row.test is None else fixed(row.test)
        print(
            f"{row.title:<26}{fixed(row.valid):>9}{change:>9}{tested:>9}{row.paper[0]:>13.1f}"
            f"{row.paper[1]:>8.1f}{row.seconds / 60:>9.1f}"
        )
    print(f"written: {out / TABLE}, {out / PICTURE}")
