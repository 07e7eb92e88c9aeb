"""`nextword compare`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import (
    Alpha,
    Beam,
    Data,
    Device,
    DynamicFlag,
    DynamicSet,
    Json,
    Quiet,
    Stripes,
    Target,
    dynamic_settings,
    print_json,
    token_bar,
)

NAME = "compare"
_WIDTH = 110

Table = tuple[list[str], list[list[str]]]  # the columns' headings; a row for each run


def _of_texts(result: Any) -> Table:
    headings = ["parameters", "bits/byte", "95 %", "ppl/word", "95 %", "ppl/token", "accuracy"]
    rows = []
    for row in result.rows:
        e = row.evaluation
        rows.append(
            [
                f"{row.name} (pseudo)" if e.pseudo else row.name,
                f"{e.parameters:,}",
                f"{e.bits_per_byte:.4f}",
                "{:.3f}-{:.3f}".format(*row.bits_per_byte_interval),
                f"{e.word_perplexity:.2f}",
                "{:.1f}-{:.1f}".format(*row.word_perplexity_interval),
                f"{e.perplexity:.2f}",
                f"{e.accuracy:.1%}",
                f"{e.oov / e.tokens:.2%}",
                f"{e.tokens / e.seconds:,.0f}",
            ]
        )
    return [*headings, "unknown", "tokens/s"], rows


def _notes_of_texts(result: Any) -> list[str]:
    notes = []
    if any(row.evaluation.pseudo for row in result.rows):
        notes.append(
            "pseudo: each token from all others of its line, no probability of the text; such "
            "figures compare only with each other"
        )
    return notes + _verdict(result, f"{result.pieces} pieces of the text")


def _of_labels(result: Any) -> Table:
    ranked = {"accuracy": "accuracy", "f1": "F1"}[result.metric]
    other = {"accuracy": "F1", "f1": "accuracy"}[result.metric]
    rows = []
    for row in result.rows:
        e, quality = row.evaluation, row.evaluation.quality
        of_other = quality.f1 if other == "F1" else quality.accuracy
        count = e.shares.shape[1]
        rows.append(
            [
                row.name,
                f"{e.parameters:,}",
                f"{getattr(quality, result.metric):.2%}",
                "{:.1%}-{:.1%}".format(*row.interval),
                f"{of_other:.2%}",
                f"{quality.matthews:.3f}",
                f"{count / e.seconds:,.0f}",
            ]
        )
    return ["parameters", ranked, "95 %", other, "Matthews", "texts/s"], rows


def _notes_of_labels(result: Any) -> list[str]:
    return _verdict(result, f"{result.rows[0].evaluation.shares.shape[1]} texts")


def _of_translations(result: Any) -> Table:
    headings = ["parameters", "BLEU", "95 %", "p", "chrF", "95 %", "p", "ppl/token", "lines/s"]
    rows = []
    for row in result.rows:
        e = row.evaluation
        rows.append(
            [
                row.name,
                f"{e.targets.parameters:,}",
                f"{e.quality.bleu:.2f}",
                "{:.1f}-{:.1f}".format(*row.bleu_interval),
                "" if row.bleu_p is None else f"{row.bleu_p:.3f}",
                f"{e.quality.chrf:.2f}",
                "{:.1f}-{:.1f}".format(*row.chrf_interval),
                "" if row.chrf_p is None else f"{row.chrf_p:.3f}",
                f"{e.targets.perplexity:.2f}",
                f"{len(e.sources) / e.seconds:,.1f}",
            ]
        )
    return headings, rows


def _notes_of_translations(result: Any) -> list[str]:
    quality = result.rows[0].evaluation.quality
    against = f"p: paired bootstrap against {result.baseline}"
    return [against, quality.bleu_signature, quality.chrf_signature]


def _verdict(result: Any, over: str) -> list[str]:
    """Whether the best run is better than the second."""
    if result.p_value is None:
        return []
    first, second = result.rows[0].name, result.rows[1].name
    verdict = "better than" if result.significant else "not clearly better than"
    sign = "<" if result.p_value < 1e-3 else "="
    p = max(result.p_value, 1e-3)
    return [f"{first} is {verdict} {second}: paired bootstrap over {over}, p {sign} {p:.3f}"]


_KINDS = {
    "pairs": (_of_translations, _notes_of_translations),
    "labelled": (_of_labels, _notes_of_labels),
    "tagged": (_of_labels, _notes_of_labels),
}


def command(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run directories or .arpa files.")
    ],
    data: Data,
    dynamic: DynamicFlag = False,
    dynamic_set: DynamicSet = [],  # noqa: B006
    target: Target = [],  # noqa: B006
    beam: Beam = 4,
    alpha: Alpha = 0.6,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Translating: a plot of BLEU over the source's length."),
    ] = None,
    stripes: Stripes = 1,
    json: Json = False,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Any runs on the same text in one table, with 95 % intervals and a test of the best two."""
    from .. import plot
    from ..config import parse_section
    from ..errors import InputError
    from ..evaluation.compare import compare
    from ..evaluation.compare_translations import draw_lengths
    from ..generation.translate import Decoding
    from ..run import load

    settings = dynamic_settings(dynamic, dynamic_set)
    decoding = parse_section(Decoding, {"beam": beam, "alpha": alpha}, "compare")
    loaded = [load(path, device) for path in runs]
    reads = loaded[0].config.model.reads
    if out:
        if reads != "pairs":
            raise InputError("--out is for runs that translate")
        plot.check(out)
    label, unit = ("translating", "sentences") if reads == "pairs" else ("comparing", "tokens")
    with token_bar(label, quiet, unit) as bar:
        result = compare(
            loaded, data, target, decoding=decoding, dynamic=settings, stripes=stripes, bar=bar
        )
    if out:
        draw_lengths(result, out)
    if json:
        print_json(result.as_dict())
        return
    table, notes = _KINDS.get(reads, (_of_texts, _notes_of_texts))
    _print(table(result), notes(result))


def _print(table: Table, notes: list[str]) -> None:
    import rich.table
    from rich.console import Console

    headings, rows = table
    drawn = rich.table.Table(box=None, header_style="bold")
    drawn.add_column("run", overflow="fold")
    for heading in headings:
        drawn.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        drawn.add_row(*row)
    console = Console(highlight=False)
    if not console.is_terminal or console.width < _WIDTH:
        console.width = _WIDTH  # a table cut off is no table
    console.print(drawn)
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)
