"""`nextword generate`"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import bounds
from .options import Device

if TYPE_CHECKING:
    from ..run import Run


class Weights(StrEnum):
    """The precisions that weights can be rounded to."""

    fp32 = "fp32"
    bf16 = "bf16"


Prompt = Annotated[str, typer.Option(help="The text to continue.")]
Tokens = Annotated[int, typer.Option(min=0, max=bounds.COUNT, help="Maximum number of new tokens.")]
Temperature = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=bounds.TEMPERATURE,
        help="Divide the logits by this number (default: 1). Below 1 favours probable tokens, "
        "above 1 flattens the distribution, 0 always takes the most probable token.",
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(min=1, max=bounds.COUNT, help="Sample from the k most probable tokens only."),
]
TopP = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Sample from the most probable tokens whose probabilities add up to this number "
        "(nucleus sampling).",
    ),
]
MinP = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Sample only from tokens at least this fraction as probable as the most probable one.",
    ),
]
RepetitionPenalty = Annotated[
    float | None,
    typer.Option(
        min=1,
        max=bounds.NUMBER,
        help="Multiply the log-probability of tokens that the text has by this number, 1 or more.",
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option(min=0, max=bounds.SEED, help="Random seed; without it every call differs."),
]
Stop = Annotated[
    list[str],
    typer.Option(help="Stop before this text appears; \\n is a line end; repeatable."),
]
AllowUnk = Annotated[bool, typer.Option("--allow-unk", help="Let the token <unk> be generated.")]
Samples = Annotated[
    int | None,
    typer.Option(
        help="Number of texts (default: 1); a blank line is printed between two.",
        min=1,
        max=bounds.SAMPLES,
    ),
]
Beam = Annotated[
    int | None,
    typer.Option(
        help="Use beam search with this width instead of sampling.", min=1, max=bounds.BEAM
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        metavar="mask-predict|gibbs",
        help="How a BERT run writes: by filling all gaps again and again (default), or by drawing "
        "them one by one.",
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=bounds.SAMPLES,
        help="BERT runs: predictions of the text (mask-predict), or draws for each token (gibbs); "
        "default: 10.",
    ),
]
Precision = Annotated[
    Weights | None,
    typer.Option(
        help="Precision that weights are rounded to (default: fp32); bf16 makes large models "
        "faster."
    ),
]

ModelPath = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="A run directory or an .arpa file of a language model."),
]


def command(
    run: ModelPath,
    prompt: Prompt = "",
    tokens: Tokens = 100,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: RepetitionPenalty = None,
    seed: SeedOption = None,
    stop: Stop = [],  # noqa: B006
    allow_unk: AllowUnk = False,
    samples: Samples = None,
    beam: Beam = None,
    precision: Precision = None,
    method: Method = None,
    steps: Steps = None,
    device: Device = "cpu",
) -> None:
    """Continue a text.

    Prints the prompt, then the new text token by token as it is sampled.
    """
    from ..arguments import given
    from ..config import parse_section
    from ..generation.sample import check_search, search_text
    from ..generation.sampling import Sampling
    from ..run import load
    from ..types import Ability

    drawing = given(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
    )
    sampling = parse_section(Sampling, {"allow_unk": allow_unk, **drawing}, "generate")
    others = given(seed=seed, precision=precision, samples=samples)
    check_search(beam, [f"--{name.replace('_', '-')}" for name in drawing | others])
    loaded = load(run, device)
    ends = [text.replace("\\n", "\n") for text in stop]
    how: dict[str, Any] = {"tokens": tokens, "sampling": sampling, "seed": seed, "stop": ends}
    filling = given(method=method, steps=steps)
    if loaded.can(Ability.GENERATE_MASKED):
        unused = given(beam=beam, samples=samples, precision=precision)
        _refuse(unused, f"'{loaded.name}' fills gaps")
        more = given(seed=seed, allow_unk=allow_unk or None)
        _refuse({} if method == "gibbs" else drawing | more, "mask-predict draws nothing")
        print(prompt + _filled(loaded, prompt, filling, how))
        return
    loaded.require(Ability.GENERATE)
    _refuse(filling, f"'{loaded.name}' writes from left to right")
    if missing := loaded.tokenizer.unknown(prompt):
        print(f"nextword: not in the vocabulary: {', '.join(missing)}", file=sys.stderr)
    if beam:
        search: dict[str, Any] = {"tokens": tokens, "beam": beam, "stop": ends}
        print(prompt + search_text(loaded, prompt, allow_unk=allow_unk, **search))
        return
    how["precision"] = (precision or Weights.fp32).value
    _write(loaded, prompt, samples or 1, how)


def _write(run: Run, prompt: str, samples: int, how: dict[str, Any]) -> None:
    """Print the prompt and the text token by token, or several texts that are drawn together."""
    from ..generation.sample import sample_texts, stream_text

    if samples > 1:
        texts = sample_texts(run, [prompt] * samples, **how)
        print("\n\n".join(prompt + text for text in texts))
        return
    print(prompt, end="", flush=True)
    for piece in stream_text(run, prompt, **how):
        print(piece, end="", flush=True)
    print()


def _refuse(options: dict[str, Any], why: str) -> None:
    """Raise InputError if one of the options is given."""
    from ..errors import InputError

    if options:
        names = [f"--{name.replace('_', '-')}" for name in options]
        raise InputError(f"{why}: leave out {', '.join(names)}")


def _filled(run: Run, prompt: str, decoding: dict[str, Any], how: dict[str, Any]) -> str:
    """The text that a masked language model writes."""
    from ..config import parse_section
    from ..generation.masked import MaskedDecoding, generate_masked

    parsed = parse_section(MaskedDecoding, decoding, "generate")
    return generate_masked(run, prompt, decoding=parsed, **how)
