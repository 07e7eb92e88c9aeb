"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, or an .arpa file.")]
Data = Annotated[
    list[Path], typer.Option("--data", metavar="FILE", help="Text to read; may be repeated.")
]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Set = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; repeatable.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
DynamicFlag = Annotated[
    bool, typer.Option("--dynamic", help="Learn from each token after predicting it.")
]
DynamicSet = Annotated[
    list[str],
    typer.Option(
        "--dynamic-set",
        metavar="KEY=VALUE",
        help="method, lr, segment, decay, clip or momentum of --dynamic; repeatable.",
    ),
]
Stripes = Annotated[
    int,
    typer.Option(min=1, help="Read in so many places at once: faster, slightly off, and signed."),
]

Target = Annotated[
    list[Path],
    typer.Option(
        "--target",
        metavar="FILE",
        help="Sentence pairs in two files: the translations of --data, line by line.",
    ),
]
Beam = Annotated[int, typer.Option(min=1, help="Translating: hypotheses kept at each step.")]
Alpha = Annotated[float, typer.Option(min=0, help="Translating: length penalty.")]


def dynamic_settings(wanted: bool, items: list[str]) -> Any:
    """The `Dynamic` that the options describe, or None."""
    from ..config import parse_override, parse_section
    from ..errors import InputError
    from ..evaluation.dynamic import Dynamic

    if not wanted and items:
        raise InputError("--dynamic-set needs --dynamic")
    values = dict(parse_override(item, "--dynamic-set") for item in items)
    return parse_section(Dynamic, values, "--dynamic-set") if wanted else None


def print_json(value: Any) -> None:
    """One JSON object on standard output; infinities as null, which JSON can say."""
    import json
    import math

    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: plain(part) for key, part in item.items()}
        if isinstance(item, (list, tuple)):
            return [plain(part) for part in item]
        return None if isinstance(item, float) and not math.isfinite(item) else item

    print(json.dumps(plain(value), ensure_ascii=False))


def text_lines(file: str) -> Iterator[str]:
    """The lines of a file, or of standard input (-); a wrong path is found out at once."""
    import sys

    from ..text.input_lines import InputLines
    from ..text.reader import lines

    return lines(file) if file != "-" else InputLines(sys.stdin.buffer, sys.stdout.flush)
