"""`nextword compare`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    Alpha,
    Beam,
    ByOption,
    Data,
    Device,
    DynamicFlag,
    DynamicSet,
    Json,
    MinimalPairs,
    Normalise,
    Quiet,
    Stripes,
    Target,
    advise_on_prose,
    beginning_of,
    beginning_of_pairs,
    decoding_settings,
    dynamic_settings,
    print_json,
    refuse_other_options,
)

if TYPE_CHECKING:
    from ..run import Run
    from ..tasks.results import Comparison
    from ..tasks.task import Options

_WIDTH = 110
_NAME = 20  # characters of a run's name that always fit into a line


def command(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run directories or .arpa files to compare."),
    ],
    data: Data = [],  # noqa: B006
    minimal_pairs: MinimalPairs = [],  # noqa: B006
    by: ByOption = None,
    normalise: Normalise = "none",
    dynamic: DynamicFlag = False,
    dynamic_set: DynamicSet = [],  # noqa: B006
    target: Target = [],  # noqa: B006
    beam: Beam = None,
    alpha: Alpha = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Plot BLEU by the length of the source into this file (translators only).",
        ),
    ] = None,
    stripes: Stripes = 1,
    json: Json = False,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Compare several runs on the same text.

    Prints one table, best run first, with 95 % confidence intervals and a significance test: the
    best run against the second, or each translator against the first one named. With minimal
    pairs, each run is tested against the best.
    """
    from ..run import load
    from ..screen import progress_bar
    from ..tasks.minimal_pairs import compare_minimal_pairs
    from ..tasks.task import Options

    settings = dynamic_settings(dynamic, dynamic_set)
    options = Options(target, decoding_settings(beam, alpha, "compare"), settings, stripes=stripes)
    others = options.given() + ["--out"] * bool(out)
    refuse_other_options(data, others, by, bool(minimal_pairs))
    loaded = [load(path, device) for path in runs]
    if not quiet and normalise == "none":
        read = beginning_of_pairs if minimal_pairs else beginning_of
        advise_on_prose(loaded, lambda: read(minimal_pairs or data))
    if minimal_pairs:
        with progress_bar("evaluating", quiet, "pairs") as bar:
            result: Comparison = compare_minimal_pairs(
                loaded, minimal_pairs, by=by or "sum", normalise=normalise, bar=bar
            )
    else:
        result = _compare_texts(loaded, data, options, normalise, out, quiet)
    if json:
        print_json(result.as_dict())
        return
    _print(result.table(), result.notes())


def _compare_texts(
    runs: list[Run],
    data: list[Path],
    options: Options,
    normalise: str,
    picture: Path | None,
    quiet: bool,
) -> Comparison:
    """Compare runs on a text and, if a file is named, draw BLEU by the length of the source."""
    from .. import plot
    from ..screen import progress_bar
    from ..tasks import task_of
    from ..tasks.verbs import compare
    from ..types import Ability

    if picture:
        runs[0].require(Ability.LENGTHS)
        plot.check(picture)
    label, unit = task_of(runs[0].config).evaluating
    with progress_bar(label, quiet, unit) as bar:
        result = compare(
            runs,
            data,
            options.targets,
            decoding=options.decoding,
            dynamic=options.dynamic,
            stripes=options.stripes,
            normalise=normalise,
            bar=bar,
        )
    if picture:
        result.draw(picture)
    found: Comparison = result
    return found


def _print(table: tuple[list[str], list[list[str]]], notes: list[str]) -> None:
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
    widths = [max(map(len, column)) for column in zip(["run", *headings], *rows, strict=True)]
    needed = min(widths[0], _NAME) + sum(widths[1:]) + 2 * len(widths)
    if not console.is_terminal or console.width < max(_WIDTH, needed):
        console.width = max(_WIDTH, needed)  # otherwise names or columns are cut off
    console.print(drawn)
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)
