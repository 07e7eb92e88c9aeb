"""`nextword score`"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .options import Device, RunPath


def command(
    run: RunPath,
    file: Annotated[
        str,
        typer.Argument(
            metavar="[FILE|-]", help="A file with one sentence per line, or - for standard input."
        ),
    ] = "-",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    device: Device = "cpu",
) -> None:
    """Print the log-probability of each sentence.

    Each line of output has the natural logarithm of the sentence's probability, a tab, and the
    sentence; `sort -g` ranks them. --json adds the number of tokens, the number of unknown words
    and the perplexity. A translator reads source, tab, target and scores the target. A BERT gives
    pseudo-log-likelihoods.
    """
    from ..numerals import fixed
    from ..run import load
    from ..tasks import task_of
    from .options import print_json, text_lines

    lines = text_lines(file)  # first, so that a wrong path fails before the model is loaded
    loaded = load(run, device)
    told = False
    for result in task_of(loaded.config).score_lines(loaded, lines):
        if result.pseudo and not told:
            told = True
            print(
                "nextword: pseudo-log-likelihoods, each token predicted from all others; compare "
                "them only with each other",
                file=sys.stderr,
            )
        if json:
            print_json(result.as_dict())
        else:
            print(f"{fixed(result.log_prob, 4)}\t{result.text}")
