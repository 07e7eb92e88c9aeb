"""Compares n-gram models with KenLM: estimation, queries, growth with the text.

    python -m benchmarks.ngram estimate --lmplz PATH --train FILE [--test FILE] [--memory 200MB]
    python -m benchmarks.ngram query --train FILE --test FILE     (needs the `kenlm` package)
    python -m benchmarks.ngram table --train FILE --valid FILE --test FILE --plot FILE.png
    python -m benchmarks.ngram growth --train FILE [--lmplz PATH] [--memory 200MB]

`estimate` runs whole commands, start-up included, in turn: `nextword train ngram` to a model that
can be queried, the same to an ARPA file, and `lmplz` to an ARPA file. "loaded" is a call in a
process that has imported `nextword` already. The sorted lines of both ARPA files are compared.
`query` measures scoring and next-word distributions, `table` every smoothing method at every order,
`growth` time and memory for texts of different sizes. Times are medians of --repeats without the
first round; peak memory is reported by the system. `--json FILE` saves all figures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .ngram_commands import NEXTWORD, ORDER, ours, report, timed
from .ngram_queries import query


def sorted_lines(path: Path) -> str:
    """A digest of the sorted lines of a file."""
    return hashlib.sha256(
        subprocess.run(
            ["sort", "-S", "30%", str(path)],
            stdout=subprocess.PIPE,
            check=True,
            env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
        ).stdout
    ).hexdigest()


def estimate(options: argparse.Namespace) -> dict[str, Any]:
    """Compare estimation from a text with lmplz."""
    memory = (f"train.memory={options.memory}",) if options.memory else ()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        theirs = [options.lmplz, "-o", str(options.order), "-T", str(folder)]
        theirs += ["-S", options.memory.replace("B", "") if options.memory else "1G"]
        sides: dict[str, Callable[[], Any]] = {
            "nextword, ready": lambda: timed(
                ours(options.train, folder / "run", options.order, memory)
            ),
            "nextword, ARPA": lambda: timed(
                ours(options.train, folder / "ours.arpa", options.order, memory)
            ),
        }
        if not options.memory:
            sides["the same, loaded"] = lambda: loaded(options, folder / "loaded")
        if options.lmplz:
            sides["lmplz, ARPA"] = lambda: timed(theirs, options.train, folder / "lmplz.arpa")
        runs: dict[str, list[Any]] = {side: [] for side in sides}
        for _ in range(options.repeats + 1):
            for side, go in sides.items():
                runs[side].append(go())
        if options.lmplz:
            same = sorted_lines(folder / "ours.arpa") == sorted_lines(folder / "lmplz.arpa")
            print(f"sorted lines of the two ARPA files are {'the same' if same else 'DIFFERENT'}")
        if options.test:
            command = [*NEXTWORD, "evaluate", str(folder / "run"), "--data", str(options.test)]
            said = json.loads(subprocess.check_output([*command, "--json"]))
            print(f"test perplexity {said['perplexity']:.4f}, {said['oov']} unknown")
    return report(
        {
            side: {
                "seconds": [seconds for seconds, _ in values[1:]],
                "peak": max(peak for _, peak in values),
            }
            for side, values in runs.items()
        },
        "lmplz, ARPA",
    )


def loaded(options: argparse.Namespace, out: Path) -> Any:
    """Time an estimation in a process that has imported `nextword` already: the second of two
    calls. It is a separate process, because the reported peak of a child includes its parent's
    memory."""
    program = (
        "import sys, time\n"
        "from nextword.training.request import Request\n"
        "from nextword.training.train import make\n"
        "for _ in range(2):\n"
        "    began = time.perf_counter()\n"
        "    make(Request.of('ngram', sys.argv[1], overrides=[sys.argv[3]], overwrite=True,\n"
        "                    quiet=True), sys.argv[2])\n"
        "print(time.perf_counter() - began)\n"
    )
    command = [sys.executable, "-c", program, str(options.train), str(out)]
    said = subprocess.check_output([*command, f"model.order={options.order}"])
    return float(said), 0


#: Methods that are measured in one way only. katz always backs off, the others do not back off.
ONE_WAY = ("maximum-likelihood", "add-k", "katz")


def table(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every smoothing method at the orders 1 to 7 (perplexity, time, size, memory) and plot
    the perplexities."""
    from nextword import registry
    from nextword.plot import figure

    rows = []
    print("| smoothing | | order | valid | test | s | MB | peak MB |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        run = Path(name) / "run"
        for smoothing in registry.names("smoothing"):
            for interpolate in (True, False):
                if interpolate == (smoothing == "katz") and smoothing in ONE_WAY:
                    continue
                for order in range(1, 8):
                    settings: tuple[str, ...] = (f"model.smoothing={smoothing}",)
                    if smoothing != "katz":
                        settings += (f"model.interpolate={str(interpolate).lower()}",)
                    seconds, peak = timed(ours(options.train, run, order, settings))
                    row = {
                        "smoothing": smoothing,
                        "interpolate": interpolate,
                        "order": order,
                        "seconds": seconds,
                        "peak": peak,
                        "bytes": (run / "model.safetensors").stat().st_size,
                        "valid": perplexity(run, options.valid),
                        "test": perplexity(run, options.test),
                    }
                    rows.append(row)
                    kind = "interpolated" if interpolate else "back-off"
                    print(
                        f"| {smoothing} | {kind} | {order} | {row['valid']:.2f} | "
                        f"{row['test']:.2f} | {seconds:.1f} | {row['bytes'] / 1e6:.0f} | "
                        f"{peak / 1e6:.0f} |",
                        flush=True,
                    )
    if options.plot:
        with figure(options.plot, size=(7.5, 4.6)) as (ax,):
            for smoothing in registry.names("smoothing"):
                for interpolate, style in ((True, "o-"), (False, "s--")):
                    points = [
                        (row["order"], row["test"])
                        for row in rows
                        if row["smoothing"] == smoothing
                        and row["interpolate"] == interpolate
                        and row["test"] < 1e5
                    ]
                    if len(points) > 1 and max(test for _, test in points) < 1e4:
                        colour = f"C{registry.names('smoothing').index(smoothing)}"
                        label = smoothing + ("" if interpolate else ", back-off")
                        xs, ys = zip(*points, strict=True)
                        ax.plot(xs, ys, style, ms=4, lw=1.2, color=colour, label=label)
            ax.set(xlabel="order", ylabel="test perplexity", yscale="log")
            ax.legend(frameon=False, fontsize="x-small", ncols=2)
    return rows


def perplexity(run: Path, data: Path) -> float:
    """The perplexity of a run; infinite if it gives a word the probability 0."""
    from nextword.ngram.file import read

    stored = read(run / "model.safetensors")
    ids = stored.lexicon.ids(data.read_text(encoding="utf-8"))
    log_probs, _, _ = stored.table.score(ids)
    if (log_probs <= -98.5).any():
        return float("inf")
    return float(10 ** -log_probs.mean(dtype="float64"))


def growth(options: argparse.Namespace) -> dict[str, Any]:
    """Measure time and memory for one, three and ten copies of a text. In the copies about a tenth
    of the words is replaced by other words of the text, so that n-grams do not simply repeat."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        for copies in (1, 3, 10):
            grown = folder / "grown.txt"
            # In another process: the reported peak of a child includes its parent's memory.
            maker = multiprocessing.Process(target=grow, args=(options.train, grown, copies))
            maker.start()
            maker.join()
            for memory in dict.fromkeys((options.memory, None if copies == 1 else options.memory)):
                settings = (f"train.memory={memory}",) if memory else ()
                seconds, peak = timed(ours(grown, folder / "run", options.order, settings))
                size = (folder / "run" / "model.safetensors").stat().st_size
                print(
                    f"nextword, {copies:>2} x, memory {memory or 'free':<7}{seconds:8.1f} s  peak "
                    f"{peak / 1e6:8,.0f} MB  model {size / 1e6:,.0f} MB",
                    flush=True,
                )
                found[f"{copies} {memory}"] = (seconds, peak, size)
            if options.lmplz:
                memory = (options.memory or "1G").replace("B", "")
                command = [options.lmplz, "-o", str(options.order), "-S", memory, "-T", str(folder)]
                seconds, peak = timed(command, grown, folder / "lmplz.arpa")
                print(
                    f"lmplz,    {copies:>2} x, memory {memory:<7}{seconds:8.1f} s  peak "
                    f"{peak / 1e6:8,.0f} MB",
                    flush=True,
                )
                found[f"{copies} lmplz"] = (seconds, peak)
    return found


def grow(text: Path, out: Path, copies: int) -> None:
    """Write copies of a text; in all but the first about every tenth word is replaced by another
    word of the text."""
    lines = text.read_text(encoding="utf-8").split("\n")[:-1]
    words = [word for line in lines for word in line.split()]
    rng = random.Random(1)
    with out.open("w", encoding="utf-8") as file:
        for copy in range(copies):
            for line in lines:
                parts = line.split()
                for at in range(len(parts) if copy else 0):
                    if rng.random() < 0.1:
                        parts[at] = rng.choice(words)
                file.write(" ".join(parts) + "\n")


QUESTIONS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "estimate": estimate,
    "query": query,
    "table": table,
    "growth": growth,
}


def main() -> None:
    """Read the command line and run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("question", choices=QUESTIONS)
    parser.add_argument("--lmplz", help="path of KenLM's lmplz")
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--valid", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--order", type=int, default=ORDER)
    parser.add_argument("--memory", help="bound for both sides, for example 200MB")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--folder", help="where temporary files go")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = QUESTIONS[options.question](options)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
