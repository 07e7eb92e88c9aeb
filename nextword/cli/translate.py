"""`nextword translate`"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import bounds
from .options import Device, RunPath

if TYPE_CHECKING:
    from ..generation.decoding import Decoding

File = Annotated[
    str,
    typer.Argument(
        metavar="[FILE|-]", help="A file with one sentence per line, or - for standard input."
    ),
]
Beam = Annotated[
    int | None,
    typer.Option(min=1, max=bounds.BEAM, help="Beam width (default: 4); 1 is greedy search."),
]
Alpha = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=bounds.ALPHA,
        help="Length penalty (default: 0.6); a larger one gives longer translations.",
    ),
]
NBest = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=bounds.BEAM,
        help="Number of translations to print for each sentence (default: 1).",
    ),
]
Sample = Annotated[bool, typer.Option("--sample", help="Sample instead of beam search.")]
Temperature = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=bounds.TEMPERATURE,
        help="With --sample: divide the logits by this number (default: 1). Below 1 favours "
        "probable tokens, above 1 flattens the distribution.",
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(min=1, max=bounds.COUNT, help="With --sample: only the k most probable tokens."),
]
TopP = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="With --sample: only the most probable tokens whose probabilities add up to this "
        "number.",
    ),
]
SeedOption = Annotated[
    int | None, typer.Option(min=0, max=bounds.SEED, help="With --sample: the random seed.")
]
Attention = Annotated[
    bool,
    typer.Option("--attention", help="With --json: add the attention weights."),
]

Prefix = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Begin every translation with this text."),
]
NoRepeat = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=bounds.COUNT,
        metavar="N",
        help="Let no N tokens in a row occur twice in a translation.",
    ),
]
ReplaceUnk = Annotated[
    bool,
    typer.Option(
        "--replace-unk",
        help="Copy the source word that was attended to most wherever <unk> would be written.",
    ),
]

JsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON object per sentence.")]


def command(
    run: RunPath,
    file: File = "-",
    beam: Beam = None,
    alpha: Alpha = None,
    n_best: NBest = None,
    prefix: Prefix = None,
    no_repeat: NoRepeat = None,
    replace_unk: ReplaceUnk = False,
    sample: Sample = False,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: SeedOption = None,
    attention: Attention = False,
    json: JsonLines = False,
    device: Device = "cpu",
) -> None:
    """Translate sentences, one per line.

    Prints one translation per line; an empty line stays empty. With --n-best each line of output
    has the number of the sentence, the rank, the log-probability and the translation, divided by
    tabs.
    """
    from ..arguments import given
    from ..errors import InputError
    from ..generation.translate import check_translates, translate_lines
    from ..run import load
    from .options import print_json, text_lines

    if attention and not json:
        raise InputError("--attention needs --json; `inspect RUN attention` draws it")
    drawing = given(temperature=temperature, top_k=top_k, top_p=top_p)
    searching = given(
        beam=beam,
        alpha=alpha,
        n_best=n_best,
        prefix=prefix,
        no_repeat=no_repeat,
        replace_unk=replace_unk or None,
    )
    how = _decoding(searching, drawing, sample=sample, seed=seed, attention=attention)
    lines = text_lines(file)
    loaded = load(run, device)
    source = check_translates(loaded)
    for number, done in enumerate(translate_lines(loaded, lines, how), start=1):
        if missing := source.unknown(done.source):
            words = ", ".join(dict.fromkeys(missing))
            print(f"nextword: line {number}, not in the vocabulary: {words}", file=sys.stderr)
        if json:
            print_json(done.as_dict())
        elif n_best in (None, 1):
            print(done.text)
        else:
            for line in done.ranked(number):
                print(line)


def _decoding(
    searching: dict[str, Any],
    drawing: dict[str, Any],
    *,
    sample: bool,
    seed: int | None,
    attention: bool,
) -> Decoding:
    """How to translate, from the options of searching and of drawing that are given."""
    from ..config import parse_section
    from ..errors import InputError
    from ..generation.decoding import Decoding
    from ..generation.sampling import Sampling

    if not sample and (drawing or seed is not None):
        raise InputError("--temperature, --top-k, --top-p and --seed need --sample")
    if sample and searching:
        raise InputError(
            "--sample does not search; leave out --beam, --alpha, --n-best, --prefix, --no-repeat "
            "and --replace-unk"
        )
    drawn = parse_section(Sampling, drawing, "translate") if sample else None
    values = searching | {"sample": drawn, "seed": seed, "attention": attention}
    return parse_section(Decoding, values, "translate")
