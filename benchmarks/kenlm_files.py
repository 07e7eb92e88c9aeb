"""Reads binary files of KenLM of every kind, and writes both forms, beside the package `kenlm`:

python -m benchmarks.kenlm_files --build-binary PATH --train FILE --test FILE

Prints a table: the size of a file, the seconds (of the processor) until it can be asked, and the
largest difference to KenLM in the log10 probability of a word and of a sentence.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KINDS = {
    "probing": ["probing"],
    "trie": ["trie"],
    "trie -q 8 -b 8": ["-q", "8", "-b", "8", "trie"],
    "trie -a 22": ["-a", "22", "trie"],
    "trie -q 8 -b 8 -a 22": ["-q", "8", "-b", "8", "-a", "22", "trie"],
}
EXPORTS = {"export, probing": "kenlm-probing", "export, trie": "kenlm-trie"}


def main() -> None:
    """Parse the command line, make the files and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--build-binary", required=True, help="KenLM's program")
    parser.add_argument("--train", type=Path, required=True, help="the text of the model")
    parser.add_argument("--test", type=Path, nargs="+", required=True, help="sentences to score")
    parser.add_argument("--sentences", type=int, default=10_000)
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    lines = [line for path in options.test for line in path.read_text("utf-8").splitlines()]
    lines = [line for line in lines if line.strip()][: options.sentences]
    print(f"{len(lines):,} sentences, {sum(len(line.split()) for line in lines):,} words")
    print("| file | MB | seconds to open (kenlm) | difference of a word | of a sentence |")
    print("| --- | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as name:
        for kind, path in files(options, Path(name)):
            print(row(kind, path, lines, options.repeats), flush=True)


def files(options: argparse.Namespace, folder: Path) -> list[tuple[str, Path]]:
    """Train a model, and write its files of all kinds."""
    import nextword

    settings = {"model.order": options.order}
    nextword.train("ngram", options.train, folder / "run", overrides=settings, quiet=True)
    run = nextword.load(folder / "run")
    nextword.export(run, "arpa", folder / "model.arpa")
    made = [("ARPA", folder / "model.arpa")]
    for number, (kind, words) in enumerate(KINDS.items()):
        path = folder / f"{number}.bin"
        command = [options.build_binary, *words, folder / "model.arpa", path]
        subprocess.run(command, check=True, capture_output=True)
        made.append((kind, path))
    for kind, form in EXPORTS.items():
        path = folder / f"{form}.bin"
        nextword.export(run, form, path)
        made.append((kind, path))
    return made


def row(kind: str, path: Path, lines: list[str], repeats: int) -> str:
    """Measure a file: a row of the table."""
    import kenlm
    import numpy as np

    from nextword.ngram import kenlm as drop_in

    mine, theirs = [], []
    for _ in range(repeats + 1):
        mine.append(seconds(lambda: drop_in.Model(path)))
        theirs.append(seconds(lambda: kenlm.Model(str(path))))
    ours, other = drop_in.Model(path), kenlm.Model(str(path))
    sentence = np.abs(ours.score_many(lines) - [other.score(line) for line in lines]).max()
    word = 0.0
    for line in lines:
        found = np.array([full[0] for full in ours.full_scores(line)])
        word = max(word, float(np.abs(found - [full[0] for full in other.full_scores(line)]).max()))
    size = path.stat().st_size / 1e6
    a, b = sorted(mine[1:])[repeats // 2], sorted(theirs[1:])[repeats // 2]
    return f"| {kind} | {size:.1f} | {a:.3f} ({b:.3f}) | {word:.1e} | {sentence:.1e} |"


def seconds(what: Callable[[], Any]) -> float:
    """The processor's seconds that a call takes."""
    began = time.process_time()
    what()
    return time.process_time() - began


if __name__ == "__main__":
    main()
