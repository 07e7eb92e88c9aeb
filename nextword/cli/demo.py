"""`nextword demo`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import bounds
from .options import Quiet


def command(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Directory for runs and figures.")
    ] = Path("demo-out"),
    seed: Annotated[
        int, typer.Option(min=0, max=bounds.SEED, help="Random seed of every training.")
    ] = 1,
    quiet: Quiet = False,
) -> None:
    """Train a series of models, from unigram to Transformer.

    Each model predicts the next word of the numbers one to 9,999 written out as words. Prints a
    table of accuracies and perplexities and draws two figures.
    """
    from ..demo import run_demo

    run_demo(out, seed=seed, quiet=quiet)
