"""`nextword translate`"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .options import Device, Json, RunPath


def command(
    run: RunPath,
    file: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="A sentence a line; - = standard input.")
    ] = "-",
    beam: Annotated[int, typer.Option(min=1, help="Hypotheses kept at each step; 1 = greedy.")] = 4,
    alpha: Annotated[
        float, typer.Option(min=0, help="Length penalty: larger for longer translations.")
    ] = 0.6,
    n_best: Annotated[
        int, typer.Option(min=1, help="Translations of each sentence, with their scores.")
    ] = 1,
    sample: Annotated[bool, typer.Option("--sample", help="Draw instead of searching.")] = False,
    temperature: Annotated[
        float, typer.Option(min=0, help="Of --sample: below 1 bolder, above 1 wilder.")
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Of --sample: the k likeliest tokens.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Of --sample: the likeliest of this probability.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of --sample.")] = None,
    attention: Annotated[
        bool,
        typer.Option("--attention", help="With --json: what each target token looked at."),
    ] = False,
    json: Json = False,
    device: Device = "cpu",
) -> None:
    """Translate sentences, a line each; an empty line stays empty."""
    from ..config import parse_section
    from ..errors import InputError
    from ..generation.sample import Sampling
    from ..generation.translate import Decoding, check_translates, translate_lines
    from ..run import load
    from .options import print_json, text_lines

    if attention and not json:
        raise InputError("--attention needs --json; `inspect RUN attention` draws it")
    if not sample and (temperature != 1 or top_k or top_p or seed is not None):
        raise InputError("--temperature, --top-k, --top-p and --seed need --sample")
    values = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    drawing = parse_section(Sampling, values, "translate") if sample else None
    how = parse_section(
        Decoding,
        {
            "beam": beam,
            "alpha": alpha,
            "n_best": n_best,
            "sample": drawing,
            "seed": seed,
            "attention": attention,
        },
        "translate",
    )
    lines = text_lines(file)
    loaded = load(run, device)
    source = check_translates(loaded)
    for number, done in enumerate(translate_lines(loaded, lines, how), start=1):
        if missing := source.unknown(done.source):
            words = ", ".join(dict.fromkeys(missing))
            print(f"nextword: line {number}, not in the vocabulary: {words}", file=sys.stderr)
        if json:
            print_json(done.as_dict())
        elif n_best == 1:
            print(done.text)
        else:
            for rank, one in enumerate(done.best, start=1):
                print(f"{rank}\t{one.log_prob:.3f}\t{one.text}")
