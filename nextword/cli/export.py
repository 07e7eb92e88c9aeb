"""`nextword export`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from .options import Overwrite, Quiet, RunPath

if TYPE_CHECKING:
    from torch import nn

    from ..run import Run

_FORMATS = ("arpa", "hf")


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
    from .. import registry
    from ..errors import InputError

    if format not in _FORMATS:
        raise InputError(registry.unknown("format", format, _FORMATS))
    if format == "arpa":
        _arpa(run, out, overwrite=overwrite, quiet=quiet)
    else:
        _hub(run, out, overwrite=overwrite)


def _load(run: Path, format: str) -> Run:
    """The run, if its model can be written in the format."""
    from ..errors import InputError
    from ..run import load
    from ..tasks import task_of

    opened = load(run)
    formats = opened.config.model.exports
    if format not in formats:
        known = f"only as {' or '.join(formats)}" if formats else "in no other format"
        task = task_of(opened.config)
        raise InputError(
            f"'{run}' {task.does}; its model '{opened.config.model.name}' can be exported {known}. "
            f"Use it with: {task.usage(run)}"
        )
    return opened


def _arpa(run: Path, out: Path, *, overwrite: bool, quiet: bool) -> None:
    import os

    from ..errors import InputError
    from ..files import check_file, scratch
    from ..models.ngram import NgramLM
    from ..ngram.arpa import open_to_write, write_arpa
    from ..run import is_arpa
    from ..screen import progress_bar
    from ..text.lexicon import Lexicon

    if out.is_dir():
        raise InputError(f"'{out}' is a directory; name a file")
    if not is_arpa(out):
        raise InputError(f"'{out}' must end in .arpa, .arpa.gz or .arpa.xz")
    check_file(out, overwrite)
    opened = _load(run, "arpa")
    model, tokenizer = cast(NgramLM, opened.model), opened.tokenizer
    lexicon = model.lexicon or Lexicon.of(map(tokenizer.token, range(tokenizer.vocab_size)))
    with scratch(out) as folder, progress_bar("writing", quiet, "n-grams") as bar:
        with open_to_write(folder / out.name) as file:
            write_arpa(model.table, lexicon, file, bar(sum(model.table.sizes)))
        os.replace(folder / out.name, out)


def _hub(run: Path, out: Path, *, overwrite: bool) -> None:
    from .. import hub
    from ..errors import InputError
    from ..files import scratch, swap

    opened = _load(run, "hf")
    if out.is_file():
        raise InputError(f"'{out}' is a file; name a folder")
    if out.is_dir() and any(out.iterdir()) and not (overwrite and hub.is_hub(out)):
        ours = hub.is_hub(out)
        what = "exists; add --overwrite to replace it" if ours else "holds something else"
        raise InputError(f"'{out}' {what}")
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch(out) as folder:
        made = folder / "model"
        made.mkdir()
        hub.save(made, cast("nn.Module", opened.model), opened.config, opened.tokenizer)
        swap(made, out)
