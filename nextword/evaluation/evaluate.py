"""`evaluate`: how good a run is at what it does."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from ..generation.translate import Decoding
from ..run import Run
from .cache import Cache
from .classification import evaluate_classifier
from .dynamic import Dynamic
from .perplexity import evaluate_text
from .stream import Bar
from .tagging import evaluate_tagger
from .translation import evaluate_translation

_DOES = {"pairs": "translates", "labelled": "classifies", "tagged": "tags words"}


def evaluate(
    run: Run,
    data: Any,
    targets: Any = (),
    *,
    decoding: Decoding | None = None,
    dynamic: Dynamic | None = None,
    cache: Cache | None = None,
    mc_dropout: int = 0,
    stripes: int = 1,
    warmup: int = 256,
    bar: Bar | None = None,
) -> Any:
    """Read files of what the run reads and tell how well it does:

    - a model of text predicts it: `Evaluation`, perplexity and its relatives;
    - a translator translates pairs: `TranslationEvaluation`, BLEU and chrF too;
    - a classifier or tagger answers: `ClassifierEvaluation`, `TaggerEvaluation`, accuracy and F1.

    All of them have `as_dict()`.

    Args:
        data: one file or several.
        targets: of a translator: the translations, where `data` has the sources alone.
        decoding: of a translator: how it searches.
        dynamic, cache, mc_dropout, stripes, warmup: of a model of text, see `evaluate_text`.
        bar: starts a progress bar: total → function told of every few done.

    Raises:
        InputError: a file cannot be read, an option that is not for this run, or ways of reading
            that exclude each other.
    """
    check_options(
        run, targets, dynamic=dynamic, cache=cache, mc_dropout=mc_dropout, stripes=stripes
    )
    reads = run.config.model.reads
    if reads == "pairs":
        return evaluate_translation(run, data, targets, how=decoding, bar=bar)
    if reads == "labelled":
        return evaluate_classifier(run, data)
    if reads == "tagged":
        return evaluate_tagger(run, data)
    return evaluate_text(
        run,
        data,
        dynamic=dynamic,
        cache=cache,
        mc_dropout=mc_dropout,
        stripes=stripes,
        warmup=warmup,
        bar=bar,
    )


def does(run: Run) -> str:
    """What a run does, as a word after its name."""
    return _DOES.get(run.config.model.reads, "predicts text")


def check_options(
    run: Run,
    targets: Any = (),
    *,
    dynamic: Dynamic | None = None,
    cache: Cache | None = None,
    mc_dropout: int = 0,
    stripes: int = 1,
) -> None:
    """Raise InputError for an option that is not for this run."""
    if targets and run.config.model.reads != "pairs":
        raise InputError(f"'{run.name}' does not translate; leave --target out")
    if run.config.model.reads not in _DOES:
        return
    for option, used in (
        ("--stripes", stripes > 1),
        ("--dynamic", dynamic),
        ("--cache", cache),
        ("--mc-dropout", mc_dropout),
    ):
        if used:
            raise InputError(f"'{run.name}' {does(run)}: {option} is for models of running text")
