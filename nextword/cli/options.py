"""Options and helpers that several verbs share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import bounds

if TYPE_CHECKING:
    from ..evaluation.dynamic import Dynamic
    from ..generation.decoding import Decoding
    from ..run import Run

_WATCHED = 100  # lines by which a text is recognised as prose
RunPath = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="A run directory, an .arpa file or a Hugging Face BERT folder."
    ),
]
Data = Annotated[
    list[Path],
    typer.Option(
        "--data", metavar="FILE", help="The text to read, or - for standard input; repeatable."
    ),
]
Device = Annotated[str, typer.Option(help="The device to compute on: cpu or cuda.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress and no notes.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Set = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; repeatable."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing output.")]
DynamicFlag = Annotated[
    bool, typer.Option("--dynamic", help="Update the weights on each segment after predicting it.")
]
DynamicSet = Annotated[
    list[str],
    typer.Option(
        "--dynamic-set",
        metavar="KEY=VALUE",
        help="A setting of --dynamic: method, lr, segment, decay, clip or momentum; repeatable.",
    ),
]
Stripes = Annotated[
    int,
    typer.Option(
        min=1,
        max=bounds.SAMPLES,
        help="Number of parts of the text to read in parallel. More than 1 is faster but changes "
        "the figures slightly; the signature says so.",
    ),
]

Target = Annotated[
    list[Path],
    typer.Option(
        "--target",
        metavar="FILE",
        help="The translations of --data, line by line, if pairs are in two files.",
    ),
]
Beam = Annotated[
    int | None,
    typer.Option(
        min=1, max=bounds.BEAM, help="Beam width of a translator (default: 4); 1 is greedy search."
    ),
]
Alpha = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=bounds.ALPHA,
        help="Length penalty of a translator's beam search (default: 0.6); 0 is none.",
    ),
]

Normalise = Annotated[
    str,
    typer.Option(
        metavar="HOW",
        help="What is done to the text first: tokenised (spaces round the punctuation of English "
        "prose), nfkc or ccnet (default: none).",
    ),
]
MinimalPairs = Annotated[
    list[Path],
    typer.Option(
        "--minimal-pairs",
        metavar="FILE",
        help="Good sentence, tab, bad sentence on each line, or JSON lines as BLiMP has them; "
        "repeatable.",
    ),
]
ByOption = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="sum|mean",
        help="Minimal pairs: compare sums of the tokens' log-probabilities (default) or means.",
    ),
]


def refuse_other_options(data: list[Path], options: list[str], by: str | None, pairs: bool) -> None:
    """Check the options of a verb that reads a text or minimal pairs.

    Args:
        options: names of the other options given, which are for texts.
        pairs: whether there are minimal pairs.

    Raises:
        InputError: there is neither, or an option is not for the one that there is.
    """
    from ..errors import InputError

    if not pairs and by is not None:
        raise InputError("--by is for minimal pairs; add --minimal-pairs FILE")
    if not pairs and not data:
        raise InputError("name a text with --data FILE, or minimal pairs with --minimal-pairs FILE")
    if pairs and (given := ["--data"] * bool(data) + options):
        out = f"leave {'it' if len(given) == 1 else 'them'} out"
        raise InputError(f"--minimal-pairs is measured without {' and '.join(given)}; {out}")


def advise_on_prose(runs: Sequence[Run], sample: Callable[[], str]) -> None:
    """Tell the user on standard error if a text looks like prose, and runs were trained on
    tokenised text.

    Args:
        sample: returns the beginning of the text; called if such a run is among them.
    """
    import sys

    from ..text.word import guess_split

    named = [f"'{run.name}'" for run in runs if run.tokenizer.reads_tokenised]
    if not named or guess_split(sample()) != "words":
        return
    advice = "--normalise tokenised puts spaces round its punctuation"
    if len(named) < len(runs):
        advice = "the others were not, so no --normalise suits all of them"
    names = list(dict.fromkeys(named))
    these = f"{', '.join(names)} {'was' if len(names) == 1 else 'were'}"
    print(
        f"nextword: {these} trained on tokenised text, and this looks like prose; {advice}",
        file=sys.stderr,
    )


def beginning_of(data: list[Path]) -> str:
    """The first characters of texts, by which prose is recognised."""
    from ..text.reader import blocks, open_texts
    from ..text.word import SAMPLE

    sample, _ = next(blocks(open_texts(data)), ("", 0))
    return sample[:SAMPLE]


def beginning_of_pairs(files: list[Path]) -> str:
    """The good sentences of the first minimal pairs."""
    from itertools import islice

    from ..text.minimal_pairs import read_minimal_pairs

    pairs = (pair.good for path in files for pair in read_minimal_pairs(path))
    return "\n".join(islice(pairs, _WATCHED))


class Watched:
    """Lines as they come; after the first ones see `advise_on_prose`."""

    def __init__(self, run: Run, lines: Iterator[str]) -> None:
        self._run, self._lines = run, lines
        self._seen: list[str] | None = []

    def __iter__(self) -> Watched:
        return self

    def __next__(self) -> str:
        line = next(self._lines, None)
        if self._seen is not None:
            if line is not None:
                self._seen.append(line)
            if line is None or len(self._seen) == _WATCHED:
                seen = "\n".join(self._seen)
                advise_on_prose([self._run], lambda: seen)
                self._seen = None
        if line is None:
            raise StopIteration
        return line

    def waits(self) -> bool:
        """Return whether the next line has not arrived yet."""
        from ..text.input_lines import Arriving

        return isinstance(self._lines, Arriving) and self._lines.waits()


def decoding_settings(beam: int | None, alpha: float | None, verb: str) -> Decoding | None:
    """Parse the options --beam and --alpha of `verb`; None if neither is given."""
    from ..arguments import given

    values = given(beam=beam, alpha=alpha)
    if not values:
        return None
    from ..config import parse_section
    from ..generation.decoding import Decoding

    return parse_section(Decoding, values, verb)


def dynamic_settings(wanted: bool, items: list[str]) -> Dynamic | None:
    """Parse the options --dynamic and --dynamic-set.

    Returns:
        The settings as a `Dynamic`, or None without --dynamic.

    Raises:
        InputError: --dynamic-set is given without --dynamic, or a setting is not valid.
    """
    from ..config import parse_override, parse_section
    from ..errors import InputError
    from ..evaluation.dynamic import Dynamic

    if not wanted and items:
        raise InputError("--dynamic-set needs --dynamic")
    values = dict(parse_override(item, "--dynamic-set") for item in items)
    return parse_section(Dynamic, values, "--dynamic-set") if wanted else None


def print_json(value: object) -> None:
    """Print a value as one line of JSON. Infinities and NaN become null: JSON has neither."""
    from ..numerals import json_text

    print(json_text(value))


def text_lines(file: str) -> Iterator[str]:
    """Read the lines of a file, or of standard input if `file` is "-". Those of a stream come as
    they are written.

    Raises:
        InputError: the file cannot be read. It is raised at once, not with the first line.
    """
    import sys

    from ..text.input_lines import InputLines
    from ..text.reader import lines
    from ..text.source import is_stream, open_stream

    path = Path(file)
    if not is_stream(path):
        return lines(path)
    return InputLines(open_stream(path), sys.stdout.flush, path)
