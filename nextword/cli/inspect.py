"""`nextword inspect`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, RunPath

NAME = "inspect"


def command(
    run: RunPath,
    what: Annotated[str, typer.Argument(metavar="gradients", help="What to look at.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Picture: .png, .svg or .pdf.")],
    also: Annotated[
        list[Path], typer.Option("--with", metavar="RUN", help="Another run to draw; repeatable.")
    ] = [],  # noqa: B006
    data: Annotated[
        list[Path],
        typer.Option(metavar="FILE", help="Text to read (default: the run's own training text)."),
    ] = [],  # noqa: B006
    length: Annotated[int, typer.Option(min=2, help="Tokens to look back.")] = 100,
    samples: Annotated[int, typer.Option(min=1, help="Stretches of text to average over.")] = 64,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    device: Device = "cpu",
) -> None:
    """How far back a loss reaches: the norm of its gradient at every earlier hidden state."""
    from .. import plot, registry
    from ..diagnostics.gradients import draw, measure_run
    from ..errors import InputError
    from ..run import load
    from .options import print_json

    if what != "gradients":
        raise InputError(registry.unknown("view", what, ["gradients"]))
    plot.check(out)
    flows = [
        measure_run(load(path, device), path, data, length=length, samples=samples)
        for path in (run, *also)
    ]
    draw(flows, out)
    if json:
        print_json({"gradients": [flow.as_dict() for flow in flows], "plot": str(out)})
    else:
        for flow in flows:
            print(flow.summary())
        print(f"drawn in {out}")
