"""`nextword filter` beside a plain loop over KenLM's Python module: documents per second, the same
scores, and the peak memory on files of several sizes.

    python -m benchmarks.filter --text examples/shakespeare.txt

Prints the tables for docs/results/. Both sides are whole commands, from the start of Python on.
They load the model (the loop a binary file of it), and read and write JSON lines. The loop calls
`kenlm.Model.score` (`nextword[bench]`) for every line of a document, in one process, or in as many
as `nextword filter` has. The sides take turns.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Protocol

import nextword
from nextword.errors import InputError

_CCNET = 5  # a fifth of the documents is enough where each takes longer


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
        model = folder / "model.binary"
        nextword.train("ngram", given.text, folder / "run", quiet=True)
        nextword.export(nextword.load(folder / "run"), "kenlm-probing", model)
        speed(given, folder, model, "none")
        speed(given, folder, model, "ccnet")
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


def speed(given: argparse.Namespace, folder: Path, model: Path, normalise: str) -> None:
    """Print the documents per second of all sides, and the largest difference of a score."""
    documents, ours, theirs = (folder / name for name in ("documents.jsonl", "ours", "theirs"))
    count = given.documents if normalise == "none" else given.documents // _CCNET
    make(given.text, documents, given.characters, documents=count)
    workers = str(given.workers)
    own: list[str | Path] = [
        "nextword",
        "filter",
        folder / "run",
        documents,
        "--out",
        ours,
        "--workers",
        workers,
    ]
    sides: dict[str, Sequence[str | Path]] = {
        f"nextword filter, {workers} processes": [
            *own, "--normalise", normalise, "--overwrite", "--quiet"
        ]
    }  # fmt: skip
    if importlib.util.find_spec("kenlm"):
        for n in ("1", workers):
            loop: list[str | Path] = [
                "benchmarks.filter_loop",
                model,
                documents,
                theirs,
                n,
                normalise,
            ]
            sides[f"kenlm loop, {n} process{'es' * (n != '1')}"] = loop
    else:
        print("kenlm is not installed: pip install 'nextword[bench]'", file=sys.stderr)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    _run(next(iter(sides.values())))  # compiles what is needed
    for _ in range(given.rounds):
        for name, side in sides.items():
            seconds[name].append(_run(side))
    fastest = median(next(iter(seconds.values())))
    size = documents.stat().st_size / 1e6
    print(f"\n{count:,} documents, {size:,.0f} MB of JSON lines, normalisation: {normalise}\n")
    print("| | documents/s | MB/s | nextword is |\n| --- | ---: | ---: | ---: |")
    for name, times in seconds.items():
        took = median(times)
        ratio = "" if took == fastest else f"{took / fastest:.1f} times as fast"
        print(f"| {name} | {count / took:,.0f} | {size / took:.1f} | {ratio} |", flush=True)
    if len(sides) > 1:
        pairs = zip(scores(ours / documents.name), scores(theirs), strict=True)
        print(f"\nlargest relative difference of a perplexity: {max(map(apart, pairs)):.1e}")


def _run(arguments: Sequence[str | Path]) -> float:
    """The seconds that a command takes."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


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
