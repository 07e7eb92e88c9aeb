"""`nextword compare`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    decoding_settings,
    dynamic_settings,
    print_json,
)

_WIDTH = 110
_NAME = 20  # characters of a run's name that always fit into a line


def command(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run directories or .arpa files to compare."),
    ],
    data: Data,
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
    best run against the second, or each translator against the first one named.
    """
    from .. import plot
    from ..run import load
    from ..screen import progress_bar
    from ..tasks import task_of
    from ..tasks.verbs import compare
    from ..types import Ability

    settings = dynamic_settings(dynamic, dynamic_set)
    decoding = decoding_settings(beam, alpha, "compare")
    loaded = [load(path, device) for path in runs]
    if out:
        loaded[0].require(Ability.LENGTHS)
        plot.check(out)
    label, unit = task_of(loaded[0].config).evaluating
    with progress_bar(label, quiet, unit) as bar:
        result = compare(
            loaded, data, target, decoding=decoding, dynamic=settings, stripes=stripes, bar=bar
        )
    if out:
        result.draw(out)
    if json:
        print_json(result.as_dict())
        return
    _print(result.table(), result.notes())


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
