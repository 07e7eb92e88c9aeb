"""`nextword export`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Overwrite, Quiet, RunPath


def command(
    run: RunPath,
    format: Annotated[str, typer.Option(metavar="arpa|hf", help="The file format to write.")],
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH", help="A file ending in .arpa, .arpa.gz or .arpa.xz; a folder for hf."
        ),
    ],
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write a model in a format that other programs read.

    `arpa` writes an n-gram model as an ARPA file. `hf` writes a BERT as a folder that the library
    transformers reads.
    """
    from ..exporting import check_target, export
    from ..run import load

    check_target(format, out, overwrite)  # first, so that a wrong path fails before loading
    export(load(run), format, out, overwrite=overwrite, quiet=quiet)
