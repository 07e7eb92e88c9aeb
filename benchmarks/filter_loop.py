"""What stands in every script that filters with KenLM: the other side of `benchmarks.filter`.

python -m benchmarks.filter_loop MODEL DOCUMENTS OUT WORKERS [ccnet]
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Callable

import kenlm

_BLOCK = 1000  # lines that a process gets at a time


class Lines:
    """Scores every line of a document with `kenlm.Model.score`."""

    def __init__(self, path: str, normalise: Callable[[str], str]) -> None:
        self.score = kenlm.Model(path).score
        self.normalise = normalise

    def __call__(self, rows: list[str]) -> list[str]:
        done = []
        for row in rows:
            record = json.loads(row)
            total, words = 0.0, 0
            for line in self.normalise(record["text"]).split("\n"):
                total += self.score(line)
                words += len(line.split()) + 1
            record["perplexity"] = 10.0 ** (-total / words)
            done.append(json.dumps(record, ensure_ascii=False) + "\n")
        return done


_lines: Lines | None = None  # forked processes have it


def _work(rows: list[str]) -> list[str]:
    assert _lines is not None
    return _lines(rows)


def main(model: str, documents: str, out: str, workers: str, normalise: str = "none") -> None:
    global _lines
    change: Callable[[str], str] = str
    if normalise == "ccnet":
        from nextword.text.normalise import ccnet as change
    _lines = Lines(model, change)
    with open(documents, encoding="utf-8") as source, open(out, "w", encoding="utf-8") as target:
        if int(workers) == 1:
            for row in source:
                target.writelines(_lines([row]))
            return
        blocks = iter(lambda: [row for _, row in zip(range(_BLOCK), source, strict=False)], [])
        with multiprocessing.get_context("fork").Pool(int(workers)) as pool:
            for done in pool.imap(_work, blocks):
                target.writelines(done)


if __name__ == "__main__":
    main(*sys.argv[1:])
