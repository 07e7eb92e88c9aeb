"""`nextword filter`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import bounds
from .options import Device, Json, Overwrite, Quiet, RunPath


def command(
    run: RunPath,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Files of documents: .txt with one a line, .jsonl or .parquet, each also "
            "compressed (gzip, bzip2, xz, zstd); patterns like 'crawl/*.jsonl.gz'; or - for "
            "standard input.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")],
    field: Annotated[
        str, typer.Option(metavar="NAME", help="The field or column with the text.")
    ] = "text",
    format: Annotated[
        str | None,
        typer.Option(
            help="Format of the inputs: txt, jsonl or parquet (default: what their names say)."
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            help="The figure to judge documents by: perplexity (per token), word_perplexity or "
            "bits_per_byte."
        ),
    ] = "perplexity",
    minimum: Annotated[
        float | None,
        typer.Option(
            "--min", min=0, max=bounds.NUMBER, help="Drop documents with a smaller figure."
        ),
    ] = None,
    maximum: Annotated[
        float | None,
        typer.Option(
            "--max", min=0, max=bounds.NUMBER, help="Drop documents with a larger figure."
        ),
    ] = None,
    dropped: Annotated[
        bool, typer.Option("--dropped", help="Write dropped documents into DIR/dropped.")
    ] = False,
    buckets: Annotated[
        str,
        typer.Option(
            metavar="30,60",
            help="Put documents into buckets, divided at these percentiles of the figure; two "
            "percentiles make head, middle and tail.",
        ),
    ] = "",
    sample: Annotated[
        int,
        typer.Option(
            min=1,
            max=bounds.COUNT,
            help="Learn the buckets from so many documents, from the first on.",
        ),
    ] = 10_000,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Learn the buckets from this file of documents instead."),
    ] = None,
    split: Annotated[
        bool, typer.Option("--split", help="Write each bucket into a folder of its own in DIR.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Leave the columns with the scores out.")
    ] = False,
    normalise: Annotated[
        str,
        typer.Option(
            help="Change a copy of each line before scoring: none, tokenised, nfkc, ccnet."
        ),
    ] = "none",
    on_error: Annotated[
        str, typer.Option(help="At a record that is no document: stop, or skip and count it.")
    ] = "stop",
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=bounds.WORKERS, help="Number of processes (default: one per core)."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with work that was stopped or killed.")
    ] = False,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    device: Device = "cpu",
) -> None:
    """Score documents, and keep, drop or sort them by their scores.

    Each file becomes a file of the same name and format in DIR, with the documents in the same
    order and the columns perplexity, word_perplexity and bits_per_byte (in .txt before the
    document, separated by tabs). Without --min, --max and --buckets all are kept. DIR/summary.json
    has counts, thresholds and quantiles, DIR/histogram.png shows how the scores are distributed.
    """
    from ..filtering.filter import filter
    from ..run import load
    from .options import print_json

    report = filter(
        load(run, device), inputs, out, field=field, format=format, by=by, minimum=minimum,
        maximum=maximum, buckets=_percentiles(buckets), sample=sample, reference=reference,
        split=split, dropped=dropped, plain=plain, normalise=normalise, on_error=on_error,
        workers=workers, resume=resume, overwrite=overwrite, quiet=quiet,
    )  # fmt: skip
    if json:
        print_json(report.as_dict())
        return
    for name, value in report.lines():
        print(f"{name:<22}{value}")


def _percentiles(text: str) -> list[float]:
    """The numbers of `30,60`."""
    from ..errors import InputError, shown

    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise InputError(
            f"--buckets {shown(text)}: give percentiles, separated by commas, such as 30,60"
        ) from None
