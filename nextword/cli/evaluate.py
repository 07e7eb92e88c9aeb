"""`nextword evaluate`"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from .. import bounds
from .options import (
    Alpha,
    Beam,
    ByOption,
    Data,
    Device,
    DynamicFlag,
    DynamicSet,
    Json,
    MinimalPairs,
    Normalise,
    Quiet,
    RunPath,
    Stripes,
    Target,
    advise_on_prose,
    beginning_of,
    beginning_of_pairs,
    decoding_settings,
    dynamic_settings,
    print_json,
    refuse_other_options,
)

if TYPE_CHECKING:
    from ..run import Run
    from ..tasks.results import Drawn, Report, SeedsEvaluation
    from ..tasks.task import Options


def _cache_settings(wanted: bool, items: list[str], tune: list[Path]) -> Any:
    """Parse the options --cache and --cache-set.

    Returns:
        The settings as a `Cache`, or None without --cache.

    Raises:
        InputError: --cache-set or --tune is given without --cache, both are given, or a setting is
            not valid.
    """
    from ..config import parse_override, parse_section
    from ..errors import InputError
    from ..evaluation.cache import Cache

    if not wanted and (items or tune):
        raise InputError(f"{'--cache-set' if items else '--tune'} needs --cache")
    if items and tune:
        raise InputError("--tune finds the settings itself; leave --cache-set out")
    values = dict(parse_override(item, "--cache-set") for item in items)
    return parse_section(Cache, values, "--cache-set") if wanted else None


def _evaluate(
    run: Run,
    data: list[Path],
    options: Options,
    tune: list[Path],
    picture: Path | None,
    quiet: bool,
) -> Report:
    """Evaluate one run and, if a file is named, draw its confusion matrix.

    Args:
        tune: texts to find the settings of the cache on; empty = the settings are given.
        picture: the file for the confusion matrix, if any.
    """
    from .. import plot
    from ..evaluation.perplexity import tune_cache
    from ..screen import progress_bar
    from ..tasks import task_of
    from ..types import Ability

    task = task_of(run.config)
    task.check_options(run.name, options)
    if picture:
        run.require(Ability.CONFUSION)
        plot.check(picture)
    if tune:
        with progress_bar("tuning the cache", quiet) as bar:
            cache = tune_cache(run, tune, dynamic=options.dynamic, bar=bar)
            options = replace(options, cache=cache)
    if not quiet:
        advise_on_prose([run], lambda: beginning_of(data))
    with progress_bar(task.evaluating[0], quiet, task.evaluating[1]) as bar:
        result = task.evaluate(run, data, replace(options, bar=bar))
    if picture:
        cast("Drawn", result).draw(picture)
    return result


def _evaluate_pairs(
    run: Run,
    files: list[Path],
    by: str | None,
    normalise: str,
    picture: Path | None,
    quiet: bool,
) -> Report:
    """Evaluate a run on minimal pairs and, if a file is named, draw the accuracies."""
    from .. import plot
    from ..screen import progress_bar
    from ..tasks.minimal_pairs import evaluate_minimal_pairs

    if picture:
        plot.check(picture)
    with progress_bar("evaluating", quiet, "pairs") as bar:
        found = evaluate_minimal_pairs(run, files, by=by or "sum", normalise=normalise, bar=bar)
    if not quiet and normalise == "none":
        advise_on_prose([run], lambda: beginning_of_pairs(files))
    if picture:
        found.draw(picture)
    return found


def _print_seeds(found: SeedsEvaluation, *, json: bool) -> None:
    """Print the mean and standard deviation of each figure over the runs of several seeds."""
    if json:
        print_json(found.as_dict())
        return
    seeds = len(found.runs)
    of = "mean ± standard deviation" if seeds > 1 else "no deviation, which needs two or more"
    print(f"{seeds} seed{'s' * (seeds > 1)}, {of}:")
    for name, value in found.lines():
        print(f"{name:<26}{value}")


Cache = Annotated[
    bool,
    typer.Option("--cache", help="Mix in a neural cache of what followed similar contexts."),
]
CacheSet = Annotated[
    list[str],
    typer.Option(
        "--cache-set",
        metavar="KEY=VALUE",
        help="A setting of --cache: window, theta or weight; repeatable.",
    ),
]
Tune = Annotated[
    list[Path],
    typer.Option(
        "--tune",
        metavar="FILE",
        help="Choose the settings of --cache on this text; repeatable.",
    ),
]
McDropout = Annotated[
    int,
    typer.Option(
        min=0, max=bounds.SAMPLES, metavar="N", help="Average over N passes with dropout on."
    ),
]
PlotFile = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Draw the confusion matrix of a classifier or tagger, or the accuracies on minimal "
        "pairs, into this file.",
    ),
]


def command(
    run: RunPath,
    data: Data = [],  # noqa: B006
    minimal_pairs: MinimalPairs = [],  # noqa: B006
    by: ByOption = None,
    normalise: Normalise = "none",
    dynamic: DynamicFlag = False,
    dynamic_set: DynamicSet = [],  # noqa: B006
    cache: Cache = False,
    cache_set: CacheSet = [],  # noqa: B006
    tune: Tune = [],  # noqa: B006
    mc_dropout: McDropout = 0,
    target: Target = [],  # noqa: B006
    beam: Beam = None,
    alpha: Alpha = None,
    plot_file: PlotFile = None,
    stripes: Stripes = 1,
    json: Json = False,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Measure how good a run is on a text.

    A language model is measured by perplexity, bits per byte and accuracy; a translator by BLEU and
    chrF too; a classifier or tagger by accuracy and F1. With minimal pairs, it is how often the
    good sentence of a pair is more probable than the bad one. A directory made by `train --seeds`
    gives the mean and standard deviation over its runs.
    """
    from ..evaluation.reading import Reading
    from ..run import load
    from ..tasks.task import Options

    options = Options(
        target,
        decoding_settings(beam, alpha, "evaluate"),
        dynamic_settings(dynamic, dynamic_set),
        _cache_settings(cache, cache_set, tune),
        mc_dropout,
        stripes,
    )
    Reading(options.dynamic, options.cache, mc_dropout, stripes).check()
    refuse_other_options(data, options.given(), by, bool(minimal_pairs))

    def measure(path: Path, picture: Path | None) -> Report:
        loaded = load(path, device)
        if minimal_pairs:
            return _evaluate_pairs(loaded, minimal_pairs, by, normalise, picture, quiet)
        return _evaluate(loaded.normalised(normalise), data, options, tune, picture, quiet)

    _report(run, plot_file, measure, json=json)


def _report(
    run: Path, plot_file: Path | None, measure: Callable[[Path, Path | None], Report], *, json: bool
) -> None:
    """Measure a run, or those of several seeds, and print the figures."""
    from ..errors import InputError
    from ..run import seeds_of
    from ..tasks.results import SeedsEvaluation

    runs = seeds_of(run)
    if not runs:
        result = measure(run, plot_file)
        if json:
            print_json(result.as_dict())
        else:
            lines = result.lines()
            width = max(9, *(len(name) for name, _ in lines)) + 2
            for name, value in lines:
                print(f"{name:<{width}}{value}")
        return
    if plot_file:
        raise InputError(
            f"'{run}' holds several runs and --plot draws one; name it, such as {runs[0]}"
        )
    results = [measure(path, None) for path in runs]
    _print_seeds(SeedsEvaluation(runs, results), json=json)
