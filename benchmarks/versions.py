"""Compares the speed of two versions of nextword: this one, and another tree of its source.

    python -m benchmarks.versions OTHER [--turns 5] [--text FILE] [--only NAME]

OTHER is a folder with another version, such as `git worktree add OTHER v1.0` makes. The versions
take turns, each command in a process of its own, so that both meet the same machine. A figure is
the median over the turns, with the smallest and the largest turn relative to it. Commands that
report their own time (the training loop, the counting of n-grams) are timed by that, the others by
the clock, start of Python included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent.parent
TEXT = HERE / "examples" / "shakespeare.txt"
TINY = [
    "text.tokenizer=char",
    "model.hidden=32",
    "model.embedding=32",
    "model.layers=1",
    "train.bptt=16",
    "train.batch_size=4",
    "train.minutes=0.25",
]
SHORT = ["text.tokenizer=word", "train.minutes=0.4"]

Run = Callable[..., float]  # the arguments of a command line → seconds by the clock
Measure = Callable[[Run, Path, Path], float]  # a command, a folder, a text → the figure


def sets(settings: list[str]) -> list[str]:
    """Return settings as options of `train`."""
    return [word for setting in settings for word in ("--set", setting)]


def training(recipe: str, settings: list[str]) -> Measure:
    """Return a measurement of a training: the time that the loop takes for a token."""

    def measure(run: Run, folder: Path, text: Path) -> float:
        run("train", recipe, "--train", text, "--out", folder / "run", "--quiet", *sets(settings))
        lines = (folder / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        told = [json.loads(line).get("tokens_per_second") for line in lines]
        return 1 / float(statistics.median(speed for speed in told if speed))

    return measure


def counting(run: Run, folder: Path, text: Path) -> float:
    """Estimate an n-gram model of order 5, and return the time that it reports."""
    run("train", "ngram", "--train", text, "--out", folder / "run", "--quiet")
    return float(json.loads((folder / "run" / "metrics.jsonl").read_text())["seconds"])


def reading(run: Run, folder: Path, text: Path) -> float:
    """Learn the pieces of a BPE tokenizer, and encode and count them."""
    pieces = ("--set", "text.tokenizer=bpe")
    return run("train", "unigram", "--train", text, "--out", folder / "run", "--quiet", *pieces)


def after_training(verb: str, *more: str) -> Measure:
    """Return a measurement of a verb on an n-gram model."""

    def measure(run: Run, folder: Path, text: Path) -> float:
        run("train", "ngram", "--train", text, "--out", folder / "run", "--quiet")
        return run(verb, folder / "run", *(text if word == "TEXT" else word for word in more))

    return measure


MEASURES: dict[str, Measure] = {
    "reading: BPE learnt, encoded, counted (s)": reading,
    "counting: n-grams of order 5 (s)": counting,
    "scoring: score of an n-gram model (s)": after_training("score", "TEXT"),
    "scoring: evaluate of an n-gram model (s)": after_training("evaluate", "--data", "TEXT"),
    "training: tiny LSTM (s/token)": training("lstm", TINY),
    "training: recipe lstm (s/token)": training("lstm", SHORT),
    "start: nextword --help (s)": lambda run, folder, text: run("--help"),
}


def measured(tree: Path, measure: Measure, text: Path) -> float:
    """Take one measurement with the version in `tree`."""

    def run(*arguments: object) -> float:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "nextword", *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(tree)},
            cwd=folder,
            capture_output=True,
            check=True,
        )
        return time.perf_counter() - began

    with tempfile.TemporaryDirectory() as folder:
        return measure(run, Path(folder), text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("other", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--text", type=Path, default=TEXT)
    parser.add_argument("--only", default="", help="measurements whose name contains this")
    options = parser.parse_args()
    trees = {"other": options.other.resolve(), "this": HERE}
    print(f"{'':<44}{'other':>12}{'this':>12}{'this/other':>12}   smallest and largest turn")
    for name, measure in MEASURES.items():
        if options.only not in name:
            continue
        found: dict[str, list[float]] = {tree: [] for tree in trees}
        for turn in range(options.turns + 1):  # the first fills the caches of compiled code
            for tree in (trees, reversed(trees))[turn % 2]:
                value = measured(trees[tree], measure, options.text.resolve())
                if turn:
                    found[tree].append(value)
        middle = {tree: statistics.median(values) for tree, values in found.items()}
        spread = ", ".join(
            f"{min(values) / middle[tree]:.2f}-{max(values) / middle[tree]:.2f}"
            for tree, values in found.items()
        )
        print(
            f"{name:<44}{middle['other']:>12.3g}{middle['this']:>12.3g}"
            f"{middle['this'] / middle['other']:>12.3f}   {spread}",
            flush=True,
        )


if __name__ == "__main__":
    main()
