"""`nextword export`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Overwrite, Quiet, RunPath

_FORMATS = ("arpa", "hf")


def command(
    run: RunPath,
    format: Annotated[str, typer.Option(metavar="arpa|hf", help="The format to write.")],
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH", help="arpa: a file .arpa, .arpa.gz or .arpa.xz; hf: a folder."
        ),
    ],
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write a model in a format that other programs read: n-gram models as ARPA, BERT for
    transformers."""
    from .. import registry
    from ..errors import InputError

    if format not in _FORMATS:
        raise InputError(registry.unknown("format", format, _FORMATS))
    if format == "arpa":
        _arpa(run, out, overwrite=overwrite, quiet=quiet)
    else:
        _hub(run, out, overwrite=overwrite)


def _arpa(run: Path, out: Path, *, overwrite: bool, quiet: bool) -> None:
    import os

    from ..errors import InputError
    from ..files import check_file, scratch
    from ..models.ngram import NgramLM
    from ..ngram.arpa import open_to_write, write_arpa
    from ..run import is_arpa, load
    from ..screen import progress_bar
    from ..text.lexicon import Lexicon

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

    with scratch(out) as folder, progress_bar("writing", quiet, "n-grams") as bar:
        with open_to_write(folder / out.name) as file:
            write_arpa(model.table, lexicon, file, bar(sum(model.table.sizes)))
        os.replace(folder / out.name, out)


def _hub(run: Path, out: Path, *, overwrite: bool) -> None:
    from .. import hub
    from ..errors import InputError
    from ..files import scratch, swap
    from ..run import load
    from ..text.wordpiece import WordPieceTokenizer

    opened = load(run)
    if not isinstance(opened.tokenizer, WordPieceTokenizer) or opened.config.model.name != "bert":
        raise InputError(f"'{run}' is no BERT: --format hf is for that architecture")
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
        hub.save(made, opened.model, opened.config, opened.tokenizer)
        swap(made, out)
