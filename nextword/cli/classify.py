"""`nextword classify`"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from .options import Device, Json, RunPath

NAME = "classify"


def command(
    run: RunPath,
    file: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="A text a line; - = standard input.")
    ] = "-",
    json: Json = False,
    device: Device = "cpu",
) -> None:
    """The label of each line and its probability, a tab between them and before the line. A tagger
    gives a line for each word: word, tab, tag, and an empty one after each text."""
    from ..evaluation.classification import check_classifies, classify_lines, longest
    from ..run import load
    from .options import print_json, text_lines

    lines = text_lines(file)
    loaded = load(run, device)
    if loaded.config.model.reads == "tagged":
        _tags(loaded, lines, json=json)
        return
    check_classifies(loaded)
    cut = 0
    for done in classify_lines(loaded, lines):
        cut += done.cut
        if json:
            print_json(done.as_dict())
        else:
            print(f"{done.label}\t{done.probability:.4f}\t{done.text}")
    if cut:
        most = longest(loaded)
        print(f"{cut:,} texts were cut: the model reads {most} tokens", file=sys.stderr)


def _tags(run: Any, lines: Iterator[str], *, json: bool) -> None:
    from ..evaluation.tagging import tag_lines
    from .options import print_json

    for done in tag_lines(run, lines):
        if json:
            print_json(done.as_dict())
        else:
            for word, tag in zip(done.words, done.tags, strict=True):
                print(f"{word}\t{tag}")
            print()
