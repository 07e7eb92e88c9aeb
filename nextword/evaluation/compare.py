"""`compare`: any runs that do the same thing, on the same data, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import InputError
from ..generation.translate import Decoding
from ..run import Run
from .compare_labels import compare_labels
from .compare_texts import compare_texts
from .compare_translations import compare_translations
from .dynamic import Dynamic
from .evaluate import check_options, does
from .stream import Bar


def compare(
    runs: Sequence[Run],
    data: Any,
    targets: Any = (),
    *,
    decoding: Decoding | None = None,
    dynamic: Dynamic | None = None,
    stripes: int = 1,
    bar: Bar | None = None,
) -> Any:
    """Evaluate every run on the same files, with confidence intervals and a test of the difference:

    - models of text, ranked by bits per byte: `TextComparison`;
    - translators, by BLEU: `TranslationComparison`;
    - classifiers, by accuracy, and taggers, by the F1 of spans (or accuracy): `LabelComparison`.

    All of them have `rows`, best first, and `as_dict()`.

    Args:
        targets: of translators: the translations, where `data` has the sources alone.
        decoding: of translators: how they search.
        dynamic: let the weights follow the text.
        bar: starts a progress bar: total → function told of every few done.

    Raises:
        InputError: no run, runs that do different things, or a text that cannot be read.
    """
    if not runs:
        raise InputError("name at least one run to compare")
    first = runs[0]
    for run in runs:
        if does(run) != does(first):
            raise InputError(
                f"'{first.name}' {does(first)}, '{run.name}' {does(run)}: there is no figure to "
                "compare them by"
            )
        check_options(run, targets, dynamic=dynamic, stripes=stripes)
    reads = first.config.model.reads
    if reads == "pairs":
        return compare_translations(runs, data, targets, how=decoding, bar=bar)
    if reads in ("labelled", "tagged"):
        return compare_labels(runs, data)
    return compare_texts(runs, data, dynamic=dynamic, stripes=stripes, bar=bar)
