"""`nextword demo`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Quiet


def command(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where everything goes.")] = Path(
        "demo-out"
    ),
    seed: Annotated[int, typer.Option(min=0, help="The same seed, the same table.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Climb the ladder: ever better models of the numbers one to 9,999 in words."""
    from ..demo import climb

    climb(out, seed=seed, quiet=quiet)
