"""`nextword inspect`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Device, RunPath


def command(
    run: RunPath,
    what: Annotated[str, typer.Argument(metavar="gradients|attention", help="What to look at.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Picture: .png, .svg or .pdf.")],
    also: Annotated[
        list[Path], typer.Option("--with", metavar="RUN", help="Another run to draw; repeatable.")
    ] = [],  # noqa: B006
    data: Annotated[
        list[Path],
        typer.Option(metavar="FILE", help="Text to read (default: the run's own training text)."),
    ] = [],  # noqa: B006
    source: Annotated[
        str | None, typer.Option(metavar="TEXT", help="attention: the sentence to translate.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="attention: a translation (default: the run's own)."),
    ] = None,
    heads: Annotated[
        bool, typer.Option("--heads", help="attention: each head, not their mean.")
    ] = False,
    length: Annotated[int, typer.Option(min=2, help="Tokens to look back.")] = 100,
    samples: Annotated[int, typer.Option(min=1, help="Stretches of text to average over.")] = 64,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    device: Device = "cpu",
) -> None:
    """Pictures of a model at work. gradients: how far back a loss reaches, as the norm of its
    gradient at every earlier hidden state; attention: what a translator looks at."""
    from .. import plot, registry
    from ..diagnostics.gradients import draw, measure_run
    from ..errors import InputError
    from ..run import load
    from .options import print_json

    if what not in (views := ["gradients", "attention"]):
        raise InputError(registry.unknown("view", what, views))
    plot.check(out)
    if what == "attention":
        if source is None:
            raise InputError("name a sentence to translate: --source TEXT")
        _attention(load(run, device), source, target, out, heads=heads, json=json)
        return
    if source is not None or target is not None:
        raise InputError("--source and --target are for: inspect RUN attention")
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


def _attention(
    run: Any, source: str, target: str | None, out: Path, *, heads: bool, json: bool
) -> None:
    import sys

    from .. import plot
    from ..diagnostics.attention import draw, needs_chinese, summary
    from ..generation.translate import attention
    from .options import print_json

    seen = attention(run, source, target)
    if needs_chinese(seen) and not plot.has_chinese():
        print(
            "nextword: no font with Chinese characters is installed (Noto Sans CJK is one): they "
            "will be boxes in the picture",
            file=sys.stderr,
        )
    draw(seen, out, heads)
    if json:
        weights = {name: value.tolist() for name, value in seen.weights.items()}
        print_json(
            {"source": seen.source, "target": seen.target, "weights": weights, "plot": str(out)}
        )
    else:
        print(summary(seen))
        print(f"drawn in {out}")
