"""The public function `export`: writes a model in a format that other programs read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from . import registry
from .arguments import checked
from .config import Config
from .errors import InputError
from .files import AnyPath, Paths, path_list
from .ngram.arpa_header import ENDINGS, holds_arpa, names_arpa
from .ngram.interface import Listable
from .ngram.kenlm_header import is_kenlm
from .numerals import fixed
from .run import Run
from .screen import speaker
from .text.cutting import cutting
from .text.source import streams_kept

if TYPE_CHECKING:
    from torch import nn

    from .models.ngram import NgramLM
    from .ngram.table import Table
    from .text.lexicon import Lexicon

FORMATS = ("arpa", "kenlm-probing", "kenlm-trie", "hf")


@checked
def export(
    run: Run,
    format: str,
    out: AnyPath,
    *,
    data: Paths = (),
    overwrite: bool = False,
    quiet: bool = True,
) -> tuple[float, float] | None:
    """Write a model in a format that other programs read.

    Args:
        run: a BERT for "hf"; for the others an n-gram model, or a linear mixture of n-gram models,
            which becomes one model (static interpolation; Stolcke 2002, section 3.2).
        format: "arpa" = an ARPA file; "kenlm-probing" and "kenlm-trie" = a binary file of KenLM
            with hash tables (fast) or a trie (small); "hf" = a folder that the library transformers
            reads.
        out: for "arpa" a file that ends in .arpa, .arpa.gz, .arpa.xz or .arpa.bz2; for "hf" a
            folder; else any file.
        data: mixtures only: text files on which the mixture is compared with the model written.
        overwrite: replace what an earlier export wrote.
        quiet: show no progress.

    Returns:
        With `data`, the perplexities per token of the mixture and of the model written.

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
    if path_list(data) and run.config.model.trained_by != "mixing":
        raise InputError(
            f"'{run.path}' is no mixture, so it is the same after its export; leave the data out"
        )
    if format == "hf":
        _hub(run, out, overwrite=overwrite)
        return None
    static = _as_one(run)
    found = _compared(run, static, data) if path_list(data) else None
    if format == "arpa":
        _arpa(static, out, overwrite=overwrite, quiet=quiet)
    else:
        _kenlm(static, out, trie=format == "kenlm-trie", overwrite=overwrite, quiet=quiet)
    if found:
        before, after = map(fixed, found)
        speaker(quiet)(f"perplexity: {before} as a mixture, {after} as one n-gram model")
    return found


@streams_kept()
def _compared(run: Run, static: Run, data: Paths) -> tuple[float, float]:
    from .tasks.verbs import evaluate

    return evaluate(run, data).perplexity, evaluate(static, data).perplexity


def _as_one(run: Run) -> Run:
    """A run whose model is one list of n-grams, which a mixture becomes; raise InputError if it
    cannot."""
    model = cast(Listable, run.model)
    if run.config.model.trained_by != "mixing":
        return run
    table = model.as_table()
    tables = {"text": cutting(run.tokenizer), "model": {"name": "ngram", "order": table.order}}
    config = Config.parse(tables, "ngram")
    ngrams = config.model.build(table.vocab_size)
    ngrams.table = table
    return replace(run, model=ngrams, config=config)


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
        check_file(out, overwrite, "a binary file of KenLM", is_kenlm)
        return out
    if not names_arpa(out) and not out.is_dir():
        raise InputError(f"'{out}' must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    check_file(out, overwrite, "an ARPA file", holds_arpa)
    return out


def _arpa(run: Run, out: Path, *, overwrite: bool, quiet: bool) -> None:
    from .files import write
    from .ngram.arpa import for_other_programs, open_to_write, write_arpa
    from .screen import progress_bar

    table, lexicon = _listed(run)
    tokenizer = run.tokenizer
    with progress_bar("writing", quiet, "n-grams") as bar:

        def save(path: Path) -> None:
            progress = bar(sum(table.sizes))
            with open_to_write(path) as file:
                write_arpa(table, lexicon, file, progress, tokenizer=tokenizer)

        write(out, save, overwrite=overwrite)
    for note in for_other_programs(tokenizer, lexicon):
        speaker(quiet)(note)


def _kenlm(run: Run, out: Path, *, trie: bool, overwrite: bool, quiet: bool) -> None:
    from .files import write
    from .ngram.kenlm_writing import for_kenlm, write_kenlm

    table, lexicon = _listed(run)

    def save(path: Path) -> None:
        with path.open("wb") as file:
            write_kenlm(table, lexicon, file, trie=trie)

    write(out, save, overwrite=overwrite)
    for note in for_kenlm(table, run.tokenizer, lexicon):
        speaker(quiet)(note)


def _listed(run: Run) -> tuple[Table, Lexicon]:
    """The n-grams of a run and its words; raise InputError if its n-grams cannot be listed."""
    from .text.lexicon import Lexicon

    model, tokenizer = cast("NgramLM", run.model), run.tokenizer
    words = model.lexicon or Lexicon.of(map(tokenizer.token, range(tokenizer.vocab_size)))
    return model.as_table(), words


def _hub(run: Run, out: Path, *, overwrite: bool) -> None:
    from . import hub
    from .scratch import made_folder, replace_folder, work_folder

    with made_folder(out.parent), work_folder(out) as folder:
        made = folder / "new"
        made.mkdir()
        hub.save(made, cast("nn.Module", run.model), run.config, run.tokenizer)
        replace_folder(made, out, overwrite=overwrite)
