"""The public function `export`: writes a model in a format that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from . import registry
from .arguments import checked
from .errors import InputError
from .files import AnyPath
from .ngram.arpa_header import ENDINGS, names_arpa
from .ngram.kenlm_header import is_kenlm
from .run import Run

if TYPE_CHECKING:
    from torch import nn

    from .models.ngram import NgramLM
    from .ngram.table import Table
    from .text.lexicon import Lexicon

FORMATS = ("arpa", "kenlm-probing", "kenlm-trie", "hf")


@checked
def export(
    run: Run, format: str, out: AnyPath, *, overwrite: bool = False, quiet: bool = True
) -> None:
    """Write a model in a format that other programs read.

    Args:
        run: a BERT for "hf", an n-gram model for the others.
        format: "arpa" = an ARPA file; "kenlm-probing" and "kenlm-trie" = a binary file of KenLM
            with hash tables (fast) or a trie (small); "hf" = a folder that the library transformers
            reads.
        out: for "arpa" a file that ends in .arpa, .arpa.gz, .arpa.xz or .arpa.bz2; for "hf" a
            folder; else any file.
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
    elif format.startswith("kenlm-"):
        _kenlm(run, out, trie=format == "kenlm-trie", quiet=quiet)
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

    if format.startswith("kenlm-"):
        if out.is_file() and out.stat().st_size and not is_kenlm(out):
            raise InputError(f"'{out}' is no binary file of KenLM; name another file")
        check_file(out, overwrite)
        return out
    if not names_arpa(out) and not out.is_dir():
        raise InputError(f"'{out}' must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    check_file(out, overwrite)
    return out


def _arpa(run: Run, out: Path, *, quiet: bool) -> None:
    from .files import write
    from .ngram.arpa import for_other_programs, open_to_write, write_arpa
    from .screen import progress_bar, speaker

    table, lexicon = _listed(run)
    tokenizer = run.tokenizer
    with progress_bar("writing", quiet, "n-grams") as bar:

        def save(path: Path) -> None:
            progress = bar(sum(table.sizes))
            with open_to_write(path) as file:
                write_arpa(table, lexicon, file, progress, tokenizer=tokenizer)

        write(out, save)
    for note in for_other_programs(tokenizer, lexicon):
        speaker(quiet)(note)


def _kenlm(run: Run, out: Path, *, trie: bool, quiet: bool) -> None:
    from .files import write
    from .ngram.kenlm_writing import for_kenlm, write_kenlm
    from .screen import speaker

    table, lexicon = _listed(run)

    def save(path: Path) -> None:
        with path.open("wb") as file:
            write_kenlm(table, lexicon, file, trie=trie)

    write(out, save)
    for note in for_kenlm(table, run.tokenizer, lexicon):
        speaker(quiet)(note)


def _listed(run: Run) -> tuple[Table, Lexicon]:
    """The n-grams of a run and its words; raise InputError if its n-grams cannot be listed."""
    from .text.lexicon import Lexicon

    model, tokenizer = cast("NgramLM", run.model), run.tokenizer
    words = model.lexicon or Lexicon.of(map(tokenizer.token, range(tokenizer.vocab_size)))
    return model.table.listed(), words


def _hub(run: Run, out: Path) -> None:
    from . import hub
    from .scratch import replace_folder, work_folder

    out.parent.mkdir(parents=True, exist_ok=True)
    with work_folder(out) as folder:
        made = folder / "new"
        made.mkdir()
        hub.save(made, cast("nn.Module", run.model), run.config, run.tokenizer)
        replace_folder(made, out)
