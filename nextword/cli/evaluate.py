"""`nextword evaluate`"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import (
    Alpha,
    Beam,
    Data,
    Device,
    DynamicFlag,
    DynamicSet,
    Json,
    Quiet,
    RunPath,
    Stripes,
    Target,
    dynamic_settings,
    print_json,
    token_bar,
)

NAME = "evaluate"
_PSEUDO = "each token from all others of its line: compares only with other such figures"


def _cache_settings(wanted: bool, items: list[str], tune: list[Path]) -> Any:
    """The `Cache` that the options describe, or None."""
    from ..config import parse_override, parse_section
    from ..errors import InputError
    from ..evaluation.cache import Cache

    if not wanted and (items or tune):
        raise InputError(f"{'--cache-set' if items else '--tune'} needs --cache")
    if items and tune:
        raise InputError("--tune finds the settings itself; leave --cache-set out")
    values = dict(parse_override(item, "--cache-set") for item in items)
    return parse_section(Cache, values, "--cache-set") if wanted else None


Lines = list[tuple[str, str]]  # what people read: a name, its figure


def _of_classifier(result: Any) -> Lines:
    quality = result.quality
    return [
        ("examples", f"{result.examples:,}"),
        ("accuracy", f"{quality.accuracy:.2%}"),
        ("F1", f"{quality.f1:.2%} mean over the labels"),
        ("Matthews", f"{quality.matthews:.3f}"),
        ("loss", f"{result.nll / result.examples:.4f} nats per text"),
        *([("cut", f"{result.cut:,} texts too long to be read whole")] if result.cut else []),
        ("speed", f"{result.examples / result.seconds:,.0f} texts/s"),
    ]


def _of_tagger(result: Any) -> Lines:
    from ..evaluation.tagging import in_spans

    quality = result.quality
    of = "of whole spans" if in_spans(result.tags) else "mean over the tags"
    return [
        ("words", f"{result.words:,}"),
        ("accuracy", f"{quality.accuracy:.2%}"),
        ("F1", f"{quality.f1:.2%} {of}"),
        ("Matthews", f"{quality.matthews:.3f}"),
        ("loss", f"{result.nll / result.words:.4f} nats per word"),
        ("speed", f"{result.words / result.seconds:,.0f} words/s"),
    ]


def _of_translator(result: Any) -> Lines:
    quality, e = result.quality, result.targets
    return [
        ("sentences", f"{len(result.sources):,}"),
        ("BLEU", f"{quality.bleu:.2f}   {quality.bleu_signature}"),
        ("chrF", f"{quality.chrf:.2f}   {quality.chrf_signature}"),
        ("perplexity", f"{e.perplexity:.2f} per token"),
        ("", f"{e.word_perplexity:.2f} per word"),
        ("bits", f"{e.bits_per_byte:.4f} per byte"),
        ("accuracy", f"{e.accuracy:.2%} of tokens, given those before them"),
        ("unknown", f"{e.oov:,} tokens ({e.oov / e.tokens:.2%})"),
        ("speed", f"{len(result.sources) / result.seconds:,.1f} sentences/s"),
        ("signature", e.signature),
    ]


def _of_text(result: Any) -> Lines:
    excluding = f"{result.perplexity_excluding_oov:.2f} per token, unknown words left out"
    return [
        ("tokens", f"{result.tokens:,}"),
        ("perplexity", f"{result.perplexity:.2f} per token"),
        *([("", excluding)] if result.oov else []),
        ("", f"{result.word_perplexity:.2f} per word"),
        ("bits", f"{result.bits_per_byte:.4f} per byte"),
        ("", f"{result.bits_per_char:.4f} per character"),
        *([] if math.isnan(result.accuracy) else [("accuracy", f"{result.accuracy:.2%}")]),
        ("unknown", f"{result.oov:,} tokens ({result.oov / result.tokens:.2%})"),
        ("speed", f"{result.tokens / result.seconds:,.0f} tokens/s"),
        *([("pseudo", _PSEUDO)] if result.pseudo else []),
        ("signature", result.signature),
    ]


_LINES = {"pairs": _of_translator, "labelled": _of_classifier, "tagged": _of_tagger}


def _evaluate(
    run: Any, data: Any, how: dict[str, Any], tune: list[Path], picture: Path | None, quiet: bool
) -> tuple[dict[str, Any], Lines]:
    """The figures of one run, for programs and for people."""
    from .. import plot
    from ..errors import InputError
    from ..evaluation.evaluate import evaluate
    from ..evaluation.perplexity import tune_cache

    reads = run.config.model.reads
    if picture:
        if reads not in ("labelled", "tagged"):
            raise InputError(f"'{run.name}' is no classifier: --plot draws a confusion matrix")
        plot.check(picture)
    if tune and reads == "text":
        with token_bar("tuning the cache", quiet) as bar:
            how = how | {"cache": tune_cache(run, tune, dynamic=how["dynamic"], bar=bar)}
    label, unit = ("translating", "sentences") if reads == "pairs" else ("evaluating", "tokens")
    with token_bar(label, quiet, unit) as bar:
        result = evaluate(run, data, **how, bar=bar)
    if picture:
        result.draw(picture)
    return result.as_dict(), _LINES.get(reads, _of_text)(result)


def _print_seeds(runs: list[Path], results: list[dict[str, Any]], *, json: bool) -> None:
    """Mean and deviation over the runs of several seeds."""
    from ..evaluation.spread import spread

    figures = spread(results)
    if json:
        print_json(
            {
                "runs": [
                    {"run": str(run)} | result for run, result in zip(runs, results, strict=True)
                ],
                "mean": {name: value.mean for name, value in figures.items()},
                "deviation": {name: value.deviation for name, value in figures.items()},
            }
        )
        return
    print(f"{len(runs)} seeds, mean ± deviation:")
    for name, value in figures.items():
        print(f"{name:<26}{value}")


def command(
    run: RunPath,
    data: Data,
    dynamic: DynamicFlag = False,
    dynamic_set: DynamicSet = [],  # noqa: B006
    cache: Annotated[
        bool, typer.Option("--cache", help="Mix in what followed similar situations before.")
    ] = False,
    cache_set: Annotated[
        list[str],
        typer.Option(
            "--cache-set",
            metavar="KEY=VALUE",
            help="window, theta or weight of --cache; repeatable.",
        ),
    ] = [],  # noqa: B006
    tune: Annotated[
        list[Path],
        typer.Option(
            "--tune", metavar="FILE", help="Text to find --cache's settings on; may be repeated."
        ),
    ] = [],  # noqa: B006
    mc_dropout: Annotated[
        int, typer.Option(min=0, metavar="N", help="The mean over N passes with dropout.")
    ] = 0,
    target: Target = [],  # noqa: B006
    beam: Beam = 4,
    alpha: Alpha = 0.6,
    plot_file: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Classifiers, taggers: the confusion matrix."),
    ] = None,
    stripes: Stripes = 1,
    json: Json = False,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """How well a run predicts a text: perplexity, bits per byte, accuracy; how well it translates:
    BLEU and chrF too."""
    from ..config import parse_section
    from ..errors import InputError
    from ..evaluation.perplexity import Reading
    from ..generation.translate import Decoding
    from ..run import load, seeds_of

    reading: dict[str, Any] = {
        "dynamic": dynamic_settings(dynamic, dynamic_set),
        "cache": _cache_settings(cache, cache_set, tune),
        "mc_dropout": mc_dropout,
        "stripes": stripes,
    }
    Reading(**reading).check()
    decoding = parse_section(Decoding, {"beam": beam, "alpha": alpha}, "evaluate")
    how = reading | {"targets": target, "decoding": decoding}
    runs = seeds_of(run)
    if not runs:
        result, lines = _evaluate(load(run, device), data, how, tune, plot_file, quiet)
        if json:
            print_json(result)
        else:
            for name, value in lines:
                print(f"{name:<11}{value}")
        return
    if plot_file:
        raise InputError(f"'{run}' holds several runs: --plot draws one, such as {runs[0]}")
    results = [_evaluate(load(path, device), data, how, tune, None, quiet)[0] for path in runs]
    _print_seeds(runs, results, json=json)
