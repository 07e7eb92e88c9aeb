"""The public function `export`: writes a model in a format that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from . import registry
from .arguments import checked
from .errors import InputError
from .files import AnyPath
from .ngram.arpa_header import ENDINGS, names_arpa
from .run import Run

if TYPE_CHECKING:
    from torch import nn

    from .models.ngram import NgramLM

FORMATS = ("arpa", "hf")


@checked
def export(
    run: Run, format: str, out: AnyPath, *, overwrite: bool = False, quiet: bool = True
) -> None:
    """Write a model in a format that other programs read.

    Args:
        run: an n-gram model for "arpa", a BERT for "hf".
        format: "arpa" = an ARPA file; "hf" = a folder that the library transformers reads.
        out: a file that ends in .arpa, .arpa.gz, .arpa.xz or .arpa.bz2; for "hf" a folder.
        overwrite: replace what an earlier export wrote.
        quiet: show no progress.

    Raises:
        InputError: the model cannot be written in the format, or `out` cannot be written.

    Example:
        nextword.export(nextword.load("runs/ngram"), "arpa", "model.arpa")
    """
    out = check_target(format, Path(out), overwrite)
    formats = run.config.model.exports
    if format not in formats:
        known = f"only as {' or '.join(formats)}" if formats else "in no other format"
        task = registry.load("task", run.config.model.task)()
        raise InputError(
            f"'{run.path}' {task.does}; its model '{run.config.model.name}' can be exported "
            f"{known}. Use it with: {task.usage(run.path)}"
        )
    if format == "arpa":
        _arpa(run, out, quiet=quiet)
    else:
        _hub(run, out)


def check_target(format: str, out: Path, overwrite: bool) -> Path:
    """Check that `out` may be written in a format, and return where it will be written.

    Raises:
        InputError: there is no such format, or `out` cannot be written.
    """
    if format not in FORMATS:
        raise InputError(registry.unknown("format", format, FORMATS))
    if format == "hf":
        from . import hub
        from .outputs import check_folder

        return check_folder(out, hub.FILES, overwrite)
    from .outputs import check_file

    if not names_arpa(out) and not out.is_dir():
        raise InputError(f"'{out}' must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    check_file(out, overwrite)
    return out


def _arpa(run: Run, out: Path, *, quiet: bool) -> None:
    from .files import write
    from .ngram.arpa import for_other_programs, open_to_write, write_arpa
    from .screen import progress_bar, speaker
    from .text.lexicon import Lexicon

    model, tokenizer = cast("NgramLM", run.model), run.tokenizer
    lexicon = model.lexicon or Lexicon.of(map(tokenizer.token, range(tokenizer.vocab_size)))
    with progress_bar("writing", quiet, "n-grams") as bar:

        def save(path: Path) -> None:
            progress = bar(sum(model.table.sizes))
            with open_to_write(path) as file:
                write_arpa(model.table, lexicon, file, progress, tokenizer=tokenizer)

        write(out, save)
    for note in for_other_programs(tokenizer, lexicon):
        speaker(quiet)(note)


def _hub(run: Run, out: Path) -> None:
    from . import hub
    from .scratch import replace_folder, work_folder

    out.parent.mkdir(parents=True, exist_ok=True)
    with work_folder(out) as folder:
        made = folder / "new"
        made.mkdir()
        hub.save(made, cast("nn.Module", run.model), run.config, run.tokenizer)
        replace_folder(made, out)
