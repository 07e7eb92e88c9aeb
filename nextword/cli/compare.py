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
    from rich.console import Console
    from rich.table import Table

    from ..errors import InputError
    from ..evaluation.compare import compare
    from ..run import load

    settings = dynamic_settings(dynamic, dynamic_set)
    loaded = [load(path, device) for path in runs]
    translators = [run for run in loaded if run.source is not None]
    if translators:
        if settings or stripes > 1 or len(translators) < len(loaded):
            raise InputError(
                f"'{translators[0].name}' translates: compare it with translators only, without "
                "--dynamic and --stripes"
            )
        how = {"beam": beam, "alpha": alpha}
        _translations(loaded, data, target, how, out, json=json, quiet=quiet)
        return
    if target or out:
        raise InputError("--target and --out are for runs that translate")
    with token_bar("comparing", quiet) as bar:
        result = compare(loaded, data, dynamic=settings, stripes=stripes, bar=bar)
    if json:
        print_json(result.as_dict())
        return
    table = Table(box=None, header_style="bold")
    table.add_column("run", overflow="fold")
    for heading in ("parameters", "bits/byte", "95 %", "ppl/word", "95 %", "ppl/token", "accuracy"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("unknown", "tokens/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in result.rows:
        e = row.evaluation
        table.add_row(
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
        )
    console = Console(highlight=False)
    if not console.is_terminal or console.width < _WIDTH:
        console.width = _WIDTH  # a table cut off is no table
    console.print(table)
    if any(row.evaluation.pseudo for row in result.rows):
        console.print(
            "pseudo: each token from all others of its line, no probability of the text; such "
            "figures compare only with each other",
            soft_wrap=True,
        )
    if result.p_value is not None:
        first, second = result.rows[0].name, result.rows[1].name
        verdict = "better than" if result.significant else "not clearly better than"
        console.print(
            f"{first} is {verdict} {second}: paired bootstrap over {result.pieces} pieces of the "
            f"text, p {'<' if result.p_value < 1e-3 else '='} {max(result.p_value, 1e-3):.3f}",
            markup=False,
            soft_wrap=True,
        )


def _translations(
    runs: Any,
    data: Any,
    targets: Any,
    how: dict[str, Any],
    out: Path | None,
    *,
    json: bool,
    quiet: bool,
) -> None:
    from rich.console import Console
    from rich.table import Table

    from .. import plot
    from ..config import parse_section
    from ..evaluation.compare_translations import compare_translations, draw_lengths
    from ..generation.translate import Decoding

    if out:
        plot.check(out)
    decoding = parse_section(Decoding, how, "compare")
    with token_bar("translating", quiet, unit="sentences") as bar:
        result = compare_translations(runs, data, targets, how=decoding, bar=bar)
    if out:
        draw_lengths(result, out)
    if json:
        print_json(result.as_dict())
        return
    table = Table(box=None, header_style="bold")
    table.add_column("run", overflow="fold")
    for heading in ("parameters", "BLEU", "95 %", "p", "chrF", "95 %", "p", "ppl/token", "lines/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in result.rows:
        e = row.evaluation
        table.add_row(
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
        )
    console = Console(highlight=False)
    if not console.is_terminal or console.width < _WIDTH:
        console.width = _WIDTH
    console.print(table)
    first = result.rows[0].evaluation.quality
    console.print(
        f"p: paired bootstrap against {result.baseline}\n{first.bleu_signature}\n"
        f"{first.chrf_signature}",
        markup=False,
        soft_wrap=True,
    )
