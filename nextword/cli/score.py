"""`nextword score`"""

from __future__ import annotations

import sys
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
    from .options import print_json, text_lines

    lines = text_lines(file)  # a wrong path is found out before the model is loaded
    loaded = load(run, device)
    if loaded.config.model.reads == "sentences":
        print(
            "nextword: pseudo-log-likelihoods, each token from all others: they compare only with "
            "each other",
            file=sys.stderr,
        )
    for result in score_lines(loaded, lines):
        if json:
            print_json(result.as_dict())
        else:
            print(f"{result.log_prob:.4f}\t{result.text}")
