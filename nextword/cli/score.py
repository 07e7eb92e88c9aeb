"""`nextword score`"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from .options import Device, RunPath

NAME = "score"


def command(
    run: RunPath,
    file: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="Sentences, one a line; - = standard input.")
    ] = "-",
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    device: Device = "cpu",
) -> None:
    """How natural each sentence is: its log-probability (natural logarithm), a tab, the sentence.

    Sort with `sort -g` to rank; --json adds tokens, unknown words and perplexity.
    """
    from ..evaluation.sentences import score_lines
    from ..run import load
    from .options import print_json

    lines = _lines(file)  # a wrong path is found out before the model is loaded
    for result in score_lines(load(run, device), lines):
        if json:
            print_json(result.as_dict())
        else:
            print(f"{result.log_prob:.4f}\t{result.text}")


def _lines(file: str) -> Iterator[str]:
    from ..errors import InputError
    from ..text.reader import blocks, open_texts

    if file != "-":
        spans = open_texts([Path(file)])

        def read() -> Iterator[str]:
            rest = ""
            for text, _ in blocks(spans):
                *whole, rest = (rest + text).split("\n")
                yield from whole
            if rest:
                yield rest

        return read()

    def listen() -> Iterator[str]:
        for number, raw in enumerate(sys.stdin.buffer, 1):
            try:
                yield raw.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                raise InputError(f"line {number} of the input is not UTF-8 text") from None

    return listen()
