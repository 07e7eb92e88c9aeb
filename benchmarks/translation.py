"""Compares translation models: recurrent ones without attention and with four kinds of attention,
and a Transformer.

    python -m benchmarks.translation --data DIR --out RUNS [--minutes 45] [--only NAME …]
        [--set model.hidden=512 …] [--plot FILE.png]

DIR holds train.tsv, valid.tsv and test.tsv: source, tab, target. Every model trains for the same
time, and its best weights are chosen by the validation pairs; then it translates the test pairs
with a beam of 4. Finished runs are not trained again; interrupted ones continue. The table is
printed and written to RUNS/translation.json; the plot shows BLEU over the length of the source.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

from nextword.evaluation.compare_translations import by_length, compare_translations, draw_lengths
from nextword.evaluation.translation import TranslationEvaluation, quality
from nextword.numerals import between
from nextword.run import STATE, load
from nextword.training.loop.journal import read_metrics
from nextword.training.request import Request
from nextword.training.train import make, resume

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn-none": ("seq2seq", {"model.attention": "none"}),
    "rnn-dot": ("seq2seq", {"model.attention": "dot"}),
    "rnn-scaled-dot": ("seq2seq", {"model.attention": "scaled-dot"}),
    "rnn-general": ("seq2seq", {"model.attention": "general"}),
    "rnn-additive": ("seq2seq", {"model.attention": "additive"}),
    "transformer": ("transformer", {}),
}
DONE = "finished"
LONG = 10  # words; sources with at least as many are called long


def trained(name: str, data: Path, out: Path, minutes: float, settings: list[str]) -> Path:
    """The run of one model; it is trained or continued if it is not finished."""
    recipe, changes = MODELS[name]
    run = out / name
    if (run / DONE).is_file():
        return run
    if (run / STATE).is_file():
        resume(run)
    else:
        items = [f"{key}={value}" for key, value in changes.items()]
        request = Request.of(
            recipe,
            data / "train.tsv",
            valid=data / "valid.tsv",
            overrides=[f"train.minutes={minutes}", *items, *settings],
            overwrite=True,
        )
        make(request, run)
    (run / DONE).touch()
    return run


def of_long(evaluation: TranslationEvaluation) -> tuple[int, float]:
    """The number of long sources, and the BLEU of their translations."""
    rows = [i for i, text in enumerate(evaluation.sources) if len(text.split()) >= LONG]
    if not rows:
        return 0, float("nan")
    sides = evaluation.translations, evaluation.references
    return len(rows), quality(*([side[i] for i in rows] for side in sides)).bleu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--only", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    folders = [
        trained(name, options.data, options.out, options.minutes, options.settings)
        for name in options.only
    ]
    result = compare_translations([load(folder) for folder in folders], options.data / "test.tsv")
    rows = []
    print(
        f"{'model':<16}{'parameters':>12}{'BLEU':>8}{'95 %':>14}{'long':>8}{'chrF':>8}"
        f"{'minutes':>9}{'epochs':>8}{'tokens/s':>10}"
    )
    for row in result.rows:
        records = read_metrics(options.out / row.name)
        timed = [r for r in records if "seconds" in r]
        once = max(r["tokens"] for r in records if r["epoch"] == 0)  # at the end of the first epoch
        found = row.evaluation.quality
        figures = row.evaluation.as_dict() | {
            "name": row.name,
            "training_seconds": timed[-1]["seconds"],
            "tokens_per_second": median(r["tokens_per_second"] for r in timed),
            "epochs": records[-1]["tokens"] / once,
            "bleu_interval": row.bleu_interval,
            "by_length": by_length(row.evaluation),
            "long": of_long(row.evaluation),
        }
        rows.append(figures)
        print(
            f"{row.name:<16}{row.evaluation.targets.parameters:>12,}{found.bleu:>8.2f}"
            f"{between(row.bleu_interval):>14}{figures['long'][1]:>8.2f}"
            f"{found.chrf:>8.2f}{figures['training_seconds'] / 60:>9.1f}"
            f"{figures['epochs']:>8.1f}{figures['tokens_per_second']:>10,.0f}"
        )
    print(f"long: {rows[0]['long'][0]} sources of {LONG} words and more")
    print(result.rows[0].evaluation.quality.bleu_signature)
    (options.out / "translation.json").write_text(json.dumps(rows, indent=1))
    if options.plot:
        draw_lengths(result, options.plot)


if __name__ == "__main__":
    main()
