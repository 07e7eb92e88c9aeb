"""`nextword export`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Overwrite, Quiet, RunPath, token_bar

NAME = "export"
_FORMATS = ("arpa",)


def command(
    run: RunPath,
    format: Annotated[str, typer.Option(metavar="arpa", help="The format to write.")],
    out: Annotated[
        Path, typer.Option(metavar="PATH", help="The file: .arpa, .arpa.gz or .arpa.xz.")
    ],
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write a model in a format that other programs read: n-gram models as ARPA."""
    import os

    from .. import registry
    from ..errors import InputError
    from ..models.ngram import NgramLM
    from ..ngram.arpa import open_to_write, write_arpa
    from ..run import check_file, is_arpa, load, scratch
    from ..text.numbering import Lexicon

    if format not in _FORMATS:
        raise InputError(registry.unknown("format", format, _FORMATS))
    if out.is_dir():
        raise InputError(f"'{out}' is a directory; name a file")
    if not is_arpa(out):
        raise InputError(f"'{out}' must end in .arpa, .arpa.gz or .arpa.xz")
    check_file(out, overwrite)
    opened = load(run)
    model = opened.model
    if not isinstance(model, NgramLM):
        raise InputError(f"'{run}' is no n-gram model: an ARPA file cannot hold it")
    tokenizer = opened.tokenizer
    lexicon = model.lexicon or Lexicon.of(map(tokenizer.token, range(tokenizer.vocab_size)))

    with scratch(out) as folder, token_bar("writing", quiet, "n-grams") as bar:
        with open_to_write(folder / out.name) as file:
            write_arpa(model.table, lexicon, file, bar(sum(model.table.counts)))
        os.replace(folder / out.name, out)
