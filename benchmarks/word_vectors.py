"""Measures what word vectors are worth to a classifier with little text.

    python -m benchmarks.word_vectors --text reviews.txt --data DIR --out RUNS [--examples 1000]
        [--seeds 3]

The vectors are made here from a text without labels: positive pointwise mutual information of the
6,000 most frequent words within three words of each other, contexts smoothed by the power 0.75, and
the 100 largest singular vectors (Levy and Goldberg 2014, "Neural word embedding as implicit matrix
factorization"). DIR holds train.tsv, of which only some examples are used, valid.tsv and test.tsv:
label, tab, text. The classifier is the recipe `classifier` with a small encoder, from new vectors,
from those of the file, and with those of the file frozen.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import nextword
from nextword.evaluation.seed_statistics import seed_statistics
from nextword.text.reader import lines

SIZES = {
    "text.tokenizer": "word",
    "model.encoder.embedding": 100,
    "model.encoder.hidden": 48,
    "train.epochs": 6,
}


def write_vectors(text: Path, out: Path, words: int = 6000, width: int = 100) -> None:
    """Write vectors of the most frequent words of a tokenised text, as word2vec does."""
    rows = [line.split() for line in lines(text)]
    ranked = Counter(word for row in rows for word in row).most_common(words)
    names = [word for word, count in ranked if count >= 5]
    index = {word: place for place, word in enumerate(names)}
    ids = np.array([index.get(word, -1) for row in rows for word in [*row, "\n", "\n", "\n"]])
    counts = np.zeros((len(names), len(names)), np.float32)
    for distance in (1, 2, 3):
        left, right = ids[:-distance], ids[distance:]
        both = (left >= 0) & (right >= 0)
        np.add.at(counts, (left[both], right[both]), 1)
    counts += counts.T
    totals = counts.sum(1)
    contexts = totals**0.75 / (totals**0.75).sum()
    with np.errstate(divide="ignore"):
        information = np.maximum(np.log(counts / (totals[:, None] * contexts[None, :])), 0)
    basis = np.random.default_rng(1).normal(size=(len(names), width + 30)).astype(np.float32)
    for _ in range(6):  # subspace iteration (Halko, Martinsson and Tropp 2011)
        basis, _ = np.linalg.qr(information @ (information.T @ basis))
    u, s, _ = np.linalg.svd(basis.T @ information, full_matrices=False)
    vectors = (basis @ u)[:, :width] * np.sqrt(s[:width])
    with out.open("w", encoding="utf-8") as file:
        print(len(names), width, file=file)
        for word, vector in zip(names, vectors, strict=True):
            print(word, *(f"{x:.5f}" for x in vector), file=file)


def some_examples(train: Path, out: Path, count: int) -> None:
    """Write `count` examples, drawn at random."""
    rows = [line for line in lines(train) if line]
    chosen = np.random.default_rng(1).permutation(len(rows))[:count]
    out.write_text("".join(f"{rows[place]}\n" for place in chosen), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    vectors, train = options.out / "vectors.txt", options.out / "train.tsv"
    write_vectors(options.text, vectors)
    some_examples(options.data / "train.tsv", train, options.examples)
    given = {"text.vectors": str(vectors)}
    rows: dict[str, dict[str, Any]] = {
        "new vectors": {},
        "from the file": given,
        "frozen": given | {"model.freeze_vectors": True},
    }
    for name, settings in rows.items():
        found = []
        for seed in range(1, options.seeds + 1):
            run = nextword.train(
                "classifier",
                train,
                options.out / f"{name.replace(' ', '-')}-{seed}",
                valid=options.data / "valid.tsv",
                overrides=SIZES | settings | {"train.seed": seed},
                overwrite=True,
                quiet=True,
            )
            evaluation = nextword.evaluate(run, options.data / "test.tsv").as_dict()
            found.append({"accuracy": 100 * evaluation["accuracy"]})
        print(f"{name:<15}{seed_statistics(found)['accuracy']} %", flush=True)


if __name__ == "__main__":
    main()
