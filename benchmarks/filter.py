"""`nextword filter` beside a plain loop over KenLM's Python module: documents per second, the same
scores, and the peak memory on files of several sizes.

    python -m benchmarks.filter --text examples/shakespeare.txt

Prints the tables for docs/results/. KenLM (`nextword[bench]`) reads the ARPA file of the same
model. Both sides read and write JSON lines; the loop calls `kenlm.Model.score` for every line of a
document, in one process, or in as many as `nextword filter` has. The sides take turns.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Protocol

import nextword
from nextword.errors import InputError

_BLOCK = 1000  # lines that a process of the loop gets at a time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", type=Path, default=Path("examples/shakespeare.txt"))
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--characters", type=int, default=2000, help="of a document, on average")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--megabytes", type=int, nargs="*", default=[10, 100, 1000])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model.arpa"
        nextword.train("ngram", given.text, folder / "run", quiet=True)
        nextword.export(nextword.load(folder / "run"), "arpa", model)
        speed(given, folder, model)
        memory(given, folder)


def make(text: Path, out: Path, characters: int, documents: int = 0, size: int = 0) -> None:
    """Write documents that are lines of a text from a random place on: so many, or so many
    bytes."""
    lines = [line for line in text.read_text(encoding="utf-8").split("\n") if line.strip()]
    draw = random.Random(1)
    number = written = 0
    with out.open("w", encoding="utf-8") as file:
        while number < documents or written < size:
            at, own = draw.randrange(len(lines)), list[str]()
            wanted = draw.randrange(characters // 2, characters * 3 // 2)
            while sum(map(len, own)) < wanted:
                own.append(lines[(at + len(own)) % len(lines)])
            record = {"id": number, "text": "\n".join(own)}
            written += file.write(json.dumps(record, ensure_ascii=False) + "\n")
            number += 1


def speed(given: argparse.Namespace, folder: Path, model: Path) -> None:
    """Print the documents per second of all sides, and the largest difference of a score."""
    documents = folder / "documents.jsonl"
    make(given.text, documents, given.characters, documents=given.documents)
    run = nextword.load(model)

    def ours() -> None:
        nextword.filter(
            run, documents, folder / "ours", workers=given.workers, overwrite=True, quiet=True
        )

    sides: dict[str, Callable[[], None]] = {f"nextword filter, {given.workers} processes": ours}
    try:
        import kenlm
    except ImportError:
        print("kenlm is not installed: pip install 'nextword[bench]'", file=sys.stderr)
    else:
        scorer = kenlm.Model(str(model))
        sides["kenlm loop, 1 process"] = lambda: loop(scorer, documents, folder / "theirs", 1)
        many = f"kenlm loop, {given.workers} processes"
        sides[many] = lambda: loop(scorer, documents, folder / "theirs", given.workers)
    ours()  # imports and compiles what is needed
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(given.rounds):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - began)
    fastest = median(next(iter(seconds.values())))
    size = documents.stat().st_size / 1e6
    print(f"\n{given.documents:,} documents, {size:,.0f} MB of JSON lines\n")
    print("| | documents/s | MB/s | nextword is |\n| --- | ---: | ---: | ---: |")
    for name, times in seconds.items():
        took = median(times)
        ratio = "" if took == fastest else f"{took / fastest:.1f} times as fast"
        print(f"| {name} | {given.documents / took:,.0f} | {size / took:.1f} | {ratio} |")
    if len(sides) > 1:
        pairs = zip(
            scores(folder / "ours" / documents.name), scores(folder / "theirs"), strict=True
        )
        print(f"\nlargest relative difference of a perplexity: {max(map(apart, pairs)):.1e}")


def apart(pair: tuple[float, float]) -> float:
    return abs(math.log(pair[0] / pair[1]))


def scores(path: Path) -> Iterator[float]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["perplexity"]


class Scorer(Protocol):
    """What the loop needs of `kenlm.Model`."""

    def score(self, sentence: str, /) -> float:
        """The logarithm to base 10 of a sentence's probability."""
        ...


class Lines:
    """The loop: what stands in every script that filters with KenLM."""

    def __init__(self, model: Scorer) -> None:
        self.score = model.score

    def __call__(self, rows: list[str]) -> list[str]:
        done = []
        for row in rows:
            record = json.loads(row)
            total, words = 0.0, 0
            for line in record["text"].split("\n"):
                total += self.score(line)
                words += len(line.split()) + 1
            record["perplexity"] = 10.0 ** (-total / words)
            done.append(json.dumps(record, ensure_ascii=False) + "\n")
        return done


_lines: Lines | None = None  # forked processes have it


def _work(rows: list[str]) -> list[str]:
    assert _lines is not None
    return _lines(rows)


def loop(model: Scorer, documents: Path, out: Path, workers: int) -> None:
    global _lines
    _lines = Lines(model)
    with documents.open(encoding="utf-8") as source, out.open("w", encoding="utf-8") as target:
        if workers == 1:
            for row in source:
                target.writelines(_lines([row]))
            return
        blocks = iter(lambda: [row for _, row in zip(range(_BLOCK), source, strict=False)], [])
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            for done in pool.imap(_work, blocks):
                target.writelines(done)


def memory(given: argparse.Namespace, folder: Path) -> None:
    """Print the peak memory of `nextword filter`, of all its processes, by the size of the file."""
    print("\n| input | first process | largest other |\n| --- | ---: | ---: |")
    for megabytes in given.megabytes:
        path = folder / "large.jsonl"
        make(given.text, path, given.characters, size=megabytes * 1_000_000)
        child = os.fork()
        if not child:
            try:
                own, others = _peak(folder, path, given.workers)
                print(f"| {megabytes:,} MB | {own:,.0f} MB | {others:,.0f} MB |", flush=True)
            except InputError as error:
                print(error, file=sys.stderr)
            os._exit(0)
        os.waitpid(child, 0)
        path.unlink()


def _peak(folder: Path, path: Path, workers: int) -> tuple[float, float]:
    run = nextword.load(folder / "run")
    nextword.filter(run, path, folder / "out", workers=workers, overwrite=True, quiet=True)
    usages = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    own, others = (resource.getrusage(who).ru_maxrss / 1024 for who in usages)
    return own, others


if __name__ == "__main__":
    main()
