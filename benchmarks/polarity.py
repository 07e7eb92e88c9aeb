"""Measures what pre-training is worth: kinds of classifiers label sentences of movie reviews as
positive or negative.

    python -m benchmarks.polarity --data DIR --out RUNS [--lm RUN] [--bert RUN] [--hub DIR]
        [--seeds 3] [--only NAME …] [--set NAME:KEY=VALUE …]

DIR holds train.tsv, valid.tsv and test.tsv: label, tab, text. The classifiers are: a bag of words
(scikit-learn's counts of words and word pairs, with logistic regression); a bidirectional LSTM;
ULMFiT with the language model `--lm`, and the same network from scratch; BERT from scratch, and
fine-tuned from the run `--bert`; and BERT fine-tuned from weights in the hub's format, `--hub`. The
best epoch is chosen by the validation texts. The table has the mean and standard deviation of the
test accuracy over the seeds, and the seconds of a training on this machine. Finished runs are not
trained again. The table is also written to RUNS/polarity.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from nextword.evaluation.classification import evaluate_classifier
from nextword.evaluation.seed_statistics import SeedStatistics, seed_statistics
from nextword.experiments.seeds import train_seeds
from nextword.run import load, read_config, seeds_of, settings_of
from nextword.training.loop.journal import read_metrics

NAMES = ("bag of words", "bi-LSTM", "LM scratch", "ULMFiT", "BERT scratch", "BERT", "hub")


def texts_of(path: Path) -> tuple[list[str], list[str]]:
    """The labels and the texts of a file."""
    rows = [line.rstrip("\n").split("\t") for line in path.open(encoding="utf-8")]
    return [row[0] for row in rows], [row[1] for row in rows]


def bag_of_words(data: Path) -> dict[str, Any]:
    """Logistic regression on counts of words and word pairs; its regularisation is chosen on the
    validation texts."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    began = time.perf_counter()
    words = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", binary=True)
    labels, texts = texts_of(data / "train.tsv")
    x = words.fit_transform(texts)
    best: Any = None
    for c in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0):
        model = LogisticRegression(C=c, max_iter=1000).fit(x, labels)
        right, valid = texts_of(data / "valid.tsv")
        score = model.score(words.transform(valid), right)
        if best is None or score > best[0]:
            best = score, model
    seconds = time.perf_counter() - began
    right, test = texts_of(data / "test.tsv")
    accuracy = float(best[1].score(words.transform(test), right))
    return {
        "accuracy": (accuracy, 0.0),
        "valid": (float(best[0]), 0.0),
        "seconds": seconds,
        "parameters": int(x.shape[1]) + 1,
    }


def rows(options: argparse.Namespace) -> dict[str, tuple[str, Path | None, dict[str, Any]]]:
    """Name of a row → (recipe, the run to begin with, settings)."""
    found: dict[str, Any] = {"bi-LSTM": ("classifier", None, {})}
    if options.lm:
        encoder = read_config(options.lm)
        own = {
            "model.encoder.name": "recurrent",
            **{
                f"model.encoder.{key}": value
                for key, value in encoder.model.model_dump().items()
                if key != "name" and not key.startswith("dropout")  # the recipe's, for both
            },
        }
        scratch = own | {
            "text.lower": encoder.text.lower,
            "text.min_count": 2,
            "optimizer.layer_decay": 1.0,
            "train.epochs": 8,
        }
        found["LM scratch"] = ("ulmfit", None, scratch)
        found["ULMFiT"] = ("ulmfit", options.lm, {})
    if options.bert:
        before = settings_of(options.bert)
        small = {  # the rates of the recipe are for large models; small ones need higher rates
            "model.pooling": "mean",
            "optimizer.lr": 5e-4,
            "optimizer.layer_decay": 1.0,
            "train.epochs": 5,
        }
        own = {
            f"model.encoder.{key}": value
            for key, value in before.model.model_dump().items()
            if key not in ("name", "dropout")  # the recipe's, for both
        }
        found["BERT scratch"] = ("bert-classifier", None, small | own | {"train.epochs": 8})
        found["BERT"] = ("bert-classifier", options.bert, small)
    if options.hub:
        # Mean pooling, as in the pre-training of the sentence encoders on the hub.
        own = {"model.pooling": "mean", "optimizer.lr": 5e-5, "train.epochs": 3}
        found["hub"] = ("bert-classifier", options.hub, own)
    return found


def trained(
    name: str, row: tuple[str, Path | None, dict[str, Any]], options: argparse.Namespace
) -> dict[str, Any]:
    """Train a row with every seed; returns its figures."""
    recipe, start, settings = row
    for item in options.settings:
        whose, _, rest = item.partition(":")
        key, _, value = rest.partition("=")
        if whose == name:
            settings = settings | {key: json.loads(value)}
    out = options.out / name.replace(" ", "-")
    data = options.data
    train_seeds(
        recipe,
        [data / "train.tsv"],
        out,
        seeds=options.seeds,
        valid=[data / "valid.tsv"],
        overrides=settings,
        start_from=start,
    )
    runs = [load(folder) for folder in seeds_of(out)]
    figures = seed_statistics(
        [evaluate_classifier(run, data / "test.tsv").as_dict() for run in runs]
    )
    valid = seed_statistics(
        [evaluate_classifier(run, data / "valid.tsv").as_dict() for run in runs]
    )
    seconds = [
        [r["seconds"] for r in read_metrics(folder) if "seconds" in r][-1]
        for folder in seeds_of(out)
    ]
    return {
        "accuracy": figures["accuracy"],
        "f1": figures["f1"],
        "valid": valid["accuracy"],
        "seconds": sum(seconds) / len(seconds),
        "parameters": runs[0].parameters,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lm", type=Path)
    parser.add_argument("--bert", type=Path)
    parser.add_argument("--hub", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--set", dest="settings", action="append", default=[])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    written = options.out / "polarity.json"
    table: dict[str, Any] = json.loads(written.read_text()) if written.is_file() else {}
    if "bag of words" in options.only:
        table["bag of words"] = bag_of_words(options.data)
    for name, row in rows(options).items():
        if name in options.only:
            table[name] = trained(name, row, options)
            written.write_text(json.dumps(table, indent=1))
    written.write_text(json.dumps(table, indent=1))
    print(f"{'':<14}{'test accuracy':>18}{'valid':>18}{'seconds':>9}{'parameters':>12}")
    for name in NAMES:
        if name in table:
            row = table[name]
            test, valid = (
                f"{SeedStatistics(*(100 * value for value in row[key]))} %"
                for key in ("accuracy", "valid")
            )
            print(f"{name:<14}{test:>18}{valid:>18}{row['seconds']:>9,.0f}{row['parameters']:>12,}")


if __name__ == "__main__":
    main()
