"""`nextword.filter`: score every document of files of any size, and keep, drop or sort them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .. import bounds
from ..arguments import checked
from ..errors import InputError, shown
from ..files import AnyPath, Paths, locked, path_list
from ..run import Run
from ..scratch import made_folder
from ..text.document_formats import format_of
from ..text.source import is_stream
from ..types import Ability
from .inputs import open_inputs
from .job import Job
from .output import check_out
from .report import FilterReport
from .settings import Settings


@checked
def filter(
    run: Run,
    inputs: Paths,
    out: AnyPath,
    *,
    field: str = "text",
    format: str | None = None,
    by: str = "perplexity",
    minimum: float | None = None,
    maximum: float | None = None,
    buckets: Sequence[float] = (),
    sample: int = 10_000,
    reference: AnyPath | None = None,
    split: bool = False,
    dropped: bool = False,
    plain: bool = False,
    normalise: str = "none",
    on_error: str = "stop",
    workers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> FilterReport:
    """Score every document of files, and keep, drop or sort the documents by their scores.

    Every file becomes a file of the same name, format and compression in the folder `out`, with the
    documents in the same order and columns added: `perplexity` (per token), `word_perplexity`,
    `bits_per_byte` and, with buckets, `bucket`. Memory does not grow with the files.

    Args:
        run: a language model or a BERT. N-gram models are scored in one process per core.
        inputs: files of documents, patterns of file names, or "-" for standard input. Text has a
            document a line, JSON lines and Parquet have a field with the text; gzip, bzip2, xz and
            zstd are recognised by their content.
        out: the folder to write, with `summary.json` and `histogram.png`.
        field: the field with the text.
        format: "txt", "jsonl" or "parquet"; None = what the name of a file says.
        by: the figure that documents are judged by: "perplexity", "word_perplexity" or
            "bits_per_byte".
        minimum, maximum: documents outside are dropped; without both, all are kept.
        buckets: percentiles at which documents are divided; [30, 60] makes CCNet's buckets head,
            middle and tail.
        sample: the number of documents, from the first on, whose scores give the percentiles.
        reference: a file of documents that gives them instead.
        split: write each bucket into a folder of its own.
        dropped: write dropped documents into the folder `dropped`.
        plain: leave the columns with the scores out.
        normalise: what is done to each line before it is scored: "none", "tokenised", "nfkc" or
            "ccnet". The records stay as they are.
        on_error: "stop" at a record that is no document, or "skip" and count it.
        workers: number of processes; None = one per core, at most 8; see docs/filter.md.
        resume: go on with work that was stopped or killed.
        overwrite: replace the output of an earlier filter.
        quiet: show no progress.

    Returns:
        A `FilterReport`: what `summary.json` holds.

    Raises:
        InputError: a file cannot be read or has changed since, a record is no document, an option
            is out of range, or `out` may not be written.
        Interrupted: Ctrl-C; what is done is saved.

    Example:
        nextword.filter(nextword.load("runs/clean"), "crawl/*.jsonl.gz", "scored", maximum=800)
    """
    run.require(Ability.PREDICT)
    if on_error not in ("stop", "skip"):
        raise InputError(f"--on-error {shown(on_error)}: stop and skip are possible")
    bounds.check("workers", workers, 1, bounds.WORKERS)
    settings = Settings(
        field, format, by, minimum, maximum, tuple(buckets), sample,
        None if reference is None else os.path.abspath(reference),
        split, dropped, plain, normalise,
    )  # fmt: skip
    settings.check()
    folder = check_out(Path(out), overwrite, resume)
    paths = path_list(inputs)
    if resume and any(is_stream(path) for path in paths):
        raise InputError("a stream cannot be read again, so nothing can go on: --overwrite")
    opened = open_inputs(paths, settings, folder)
    for documents in opened:
        format_of(documents).check(documents, field)
    run = run.normalised(normalise)
    job = Job(run, settings, opened, folder, on_error == "skip", workers, quiet)
    with made_folder(folder):
        try:
            with locked(folder, "filtering into"):
                return job.resume() if resume else job.start()
        finally:
            if os.listdir(folder) == [".lock"]:
                (folder / ".lock").unlink()
