"""`nextword score`"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .options import Device, RunPath


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
    from ..run import load
    from ..tasks import task_of
    from .options import print_json, text_lines

    lines = text_lines(file)  # a wrong path is found out before the model is loaded
    loaded = load(run, device)
    told = False
    for result in task_of(loaded.config).score_lines(loaded, lines):
        if result.pseudo and not told:
            told = True
            print(
                "nextword: pseudo-log-likelihoods, each token from all others: they compare only "
                "with each other",
                file=sys.stderr,
            )
        if json:
            print_json(result.as_dict())
        else:
            print(f"{result.log_prob:.4f}\t{result.text}")
