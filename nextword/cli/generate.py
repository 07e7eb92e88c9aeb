"""`nextword generate`"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from .options import Device, RunPath


class Weights(StrEnum):
    """Precisions of weights."""

    fp32 = "fp32"
    bf16 = "bf16"


def command(
    run: RunPath,
    prompt: Annotated[str, typer.Option(help="Text to go on from.")] = "",
    tokens: Annotated[int, typer.Option(help="How many tokens at most.")] = 100,
    temperature: Annotated[
        float, typer.Option(help="Below 1 bolder, above 1 wilder, 0 always the likeliest.")
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Only the k likeliest tokens.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Only the likeliest tokens of together this probability.")
    ] = None,
    min_p: Annotated[
        float | None, typer.Option(help="Only tokens this share as likely as the likeliest.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed, the same text.")] = None,
    stop: Annotated[
        list[str],
        typer.Option(help="End before this text; repeatable; \\n is the end of a line."),
    ] = [],  # noqa: B006
    allow_unk: Annotated[bool, typer.Option("--allow-unk", help="Let <unk> be drawn.")] = False,
    samples: Annotated[
        int, typer.Option(help="How many texts, drawn side by side; a blank line between.", min=1)
    ] = 1,
    beam: Annotated[
        int | None,
        typer.Option(help="Search for the likeliest text instead of drawing one.", min=1),
    ] = None,
    precision: Annotated[
        Weights, typer.Option(help="Of the weights of large models while they are read.")
    ] = Weights.fp32,
    device: Device = "cpu",
) -> None:
    """Continue a text. The prompt is printed first, then the new text as it is drawn."""
    from ..config import parse_section
    from ..errors import InputError
    from ..generation.sample import Sampling, sample_texts, search_text, stream_text
    from ..run import load
    from ..types import Ability

    values = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "allow_unk": allow_unk,
    }
    sampling = parse_section(Sampling, values, "generate")
    loaded = load(run, device)
    loaded.require(Ability.GENERATE)
    missing = loaded.tokenizer.unknown(prompt)
    if missing:
        print(f"nextword: not in the vocabulary: {', '.join(missing)}", file=sys.stderr)
    if beam and (samples > 1 or temperature != 1 or top_k or top_p or min_p):
        raise InputError("--beam searches, it does not draw: leave the options of drawing out")
    ends = [text.replace("\\n", "\n") for text in stop]
    if beam:
        print(
            prompt
            + search_text(loaded, prompt, tokens=tokens, beam=beam, stop=ends, allow_unk=allow_unk)
        )
        return
    if samples > 1:
        texts = sample_texts(
            loaded,
            [prompt] * samples,
            tokens=tokens,
            sampling=sampling,
            seed=seed,
            stop=ends,
            precision=precision.value,
        )
        print("\n\n".join(prompt + text for text in texts))
        return
    pieces = stream_text(
        loaded,
        prompt,
        tokens=tokens,
        sampling=sampling,
        seed=seed,
        stop=ends,
        precision=precision.value,
    )
    print(prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
