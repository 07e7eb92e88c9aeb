"""`nextword export`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Overwrite, Quiet, RunPath


def command(
    run: RunPath,
    format: Annotated[
        str,
        typer.Option(metavar="arpa|kenlm-probing|kenlm-trie|hf", help="The file format to write."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="A file; for arpa it ends in .arpa, .arpa.gz, .arpa.xz or .arpa.bz2. For hf a "
            "folder.",
        ),
    ],
    add_marks: Annotated[
        bool,
        typer.Option(
            "--add-marks",
            help="RUN is an ARPA file without <s> or </s>: what is missing counts as an unknown "
            "word.",
        ),
    ] = False,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="RUN is a mixture: a text on which it is compared with what is written.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write a model in a format that other programs read.

    `arpa` writes an n-gram model as an ARPA file, `kenlm-probing` and `kenlm-trie` as a binary file
    of KenLM: hash tables, which are fast, or a trie, which is small. A linear mixture of n-gram
    models is written as one model. `hf` writes a BERT as a folder that the library transformers
    reads.
    """
    from ..errors import InputError
    from ..exporting import check_target, export
    from ..ngram.arpa_header import is_arpa
    from ..run import load, load_arpa

    check_target(format, out, overwrite)  # first, so that a wrong path fails before loading
    if add_marks and (format != "arpa" or not is_arpa(run)):
        raise InputError("--add-marks is for an ARPA file that is written with --format arpa")
    opened = load_arpa(run, add_marks=True) if add_marks else load(run)
    export(opened, format, out, data=data or (), overwrite=overwrite, quiet=quiet)
