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


def _classifier(run: Any, data: Any, picture: Path | None, *, json: bool) -> None:
    from .. import plot
    from ..evaluation.classification import evaluate_classifier

    if picture:
        plot.check(picture)
    result = evaluate_classifier(run, data)
    if picture:
        result.draw(picture)
    if json:
        print_json(result.as_dict())
        return
    quality = result.quality
    for name, value in (
        ("examples", f"{result.examples:,}"),
        ("accuracy", f"{quality.accuracy:.2%}"),
        ("F1", f"{quality.f1:.2%} mean over the labels"),
        ("Matthews", f"{quality.matthews:.3f}"),
        ("loss", f"{result.nll / result.examples:.4f} nats per text"),
        *([("cut", f"{result.cut:,} texts too long to be read whole")] if result.cut else []),
        ("speed", f"{result.examples / result.seconds:,.0f} texts/s"),
    ):
        print(f"{name:<11}{value}")


def _translation(
    run: Any, data: Any, targets: Any, how: dict[str, Any], *, json: bool, quiet: bool
) -> None:
    from ..config import parse_section
    from ..evaluation.translation import evaluate_translation
    from ..generation.translate import Decoding

    decoding = parse_section(Decoding, how, "evaluate")
    with token_bar("translating", quiet, unit="sentences") as bar:
        result = evaluate_translation(run, data, targets, how=decoding, bar=bar)
    if json:
        print_json(result.as_dict())
        return
    quality, e = result.quality, result.targets
    for name, value in (
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
    ):
        print(f"{name:<11}{value}")


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
        typer.Option("--plot", metavar="FILE", help="Classifiers: draw the confusion matrix."),
    ] = None,
    stripes: Stripes = 1,
    json: Json = False,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """How well a run predicts a text: perplexity, bits per byte, accuracy; how well it translates:
    BLEU and chrF too."""
    from ..errors import InputError
    from ..evaluation.perplexity import Reading, evaluate, tune_cache
    from ..run import load

    adapting = dynamic_settings(dynamic, dynamic_set)
    caching = _cache_settings(cache, cache_set, tune)
    Reading(adapting, caching, mc_dropout, stripes).check()
    loaded = load(run, device)
    if loaded.source is not None:
        for option, given in (
            ("--stripes", stripes > 1),
            ("--dynamic", dynamic),
            ("--cache", cache),
            ("--mc-dropout", mc_dropout),
        ):
            if given:
                raise InputError(f"'{run}' translates: {option} is for models of running text")
        _translation(loaded, data, target, {"beam": beam, "alpha": alpha}, json=json, quiet=quiet)
        return
    if loaded.config.model.reads == "labelled":
        _classifier(loaded, data, plot_file, json=json)
        return
    if plot_file:
        raise InputError(f"'{run}' is no classifier: --plot draws a confusion matrix")
    if target:
        raise InputError(f"'{run}' reads running text, not pairs; leave --target out")
    if tune:
        with token_bar("tuning the cache", quiet) as bar:
            caching = tune_cache(loaded, tune, dynamic=adapting, bar=bar)
    with token_bar("evaluating", quiet) as bar:
        result = evaluate(
            loaded,
            data,
            dynamic=adapting,
            cache=caching,
            mc_dropout=mc_dropout,
            stripes=stripes,
            bar=bar,
        )
    if json:
        print_json(result.as_dict())
        return
    without_unknown = (
        [("", f"{result.perplexity_excluding_oov:.2f} per token, unknown words left out")]
        if result.oov
        else []
    )
    for name, value in (
        ("tokens", f"{result.tokens:,}"),
        ("perplexity", f"{result.perplexity:.2f} per token"),
        *without_unknown,
        ("", f"{result.word_perplexity:.2f} per word"),
        ("bits", f"{result.bits_per_byte:.4f} per byte"),
        ("", f"{result.bits_per_char:.4f} per character"),
        *([] if math.isnan(result.accuracy) else [("accuracy", f"{result.accuracy:.2%}")]),
        ("unknown", f"{result.oov:,} tokens ({result.oov / result.tokens:.2%})"),
        ("speed", f"{result.tokens / result.seconds:,.0f} tokens/s"),
        *([("pseudo", _PSEUDO)] if result.pseudo else []),
        ("signature", result.signature),
    ):
        print(f"{name:<11}{value}")
