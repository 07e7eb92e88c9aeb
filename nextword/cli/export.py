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
    from ..errors import InputError
    from ..files import write
    from ..models.ngram import NgramLM
    from ..ngram.arpa import open_to_write, write_arpa
    from ..outputs import check_file
    from ..run import is_arpa
    from ..screen import progress_bar
    from ..text.lexicon import Lexicon

    if not is_arpa(out) and not out.is_dir():
        raise InputError(f"'{out}' must end in .arpa, .arpa.gz or .arpa.xz")
    check_file(out, overwrite)
    opened = _load(run, "arpa")
    model, tokenizer = cast(NgramLM, opened.model), opened.tokenizer
    lexicon = model.lexicon or Lexicon.of(map(tokenizer.token, range(tokenizer.vocab_size)))
    with progress_bar("writing", quiet, "n-grams") as bar:

        def save(path: Path) -> None:
            with open_to_write(path) as file:
                write_arpa(model.table, lexicon, file, bar(sum(model.table.sizes)))

        write(out, save)


def _hub(run: Path, out: Path, *, overwrite: bool) -> None:
    from .. import hub
    from ..outputs import check_folder
    from ..scratch import replace_folder, work_folder

    out = check_folder(out, hub.FILES, overwrite)
    opened = _load(run, "hf")
    out.parent.mkdir(parents=True, exist_ok=True)
    with work_folder(out) as folder:
        made = folder / "new"
        made.mkdir()
        hub.save(made, cast("nn.Module", opened.model), opened.config, opened.tokenizer)
        replace_folder(made, out)
