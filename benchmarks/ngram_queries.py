"""Compares queries of an n-gram model with the `kenlm` package: scores, and distributions over the
next word. `benchmarks.ngram query` runs it."""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .ngram_commands import ours, report, timed


def query(options: argparse.Namespace) -> dict[str, Any]:
    """Compare scoring of text and of ids, and next-word distributions, with the `kenlm` package."""
    import numpy as np

    try:
        import kenlm
    except ImportError:
        raise SystemExit("the kenlm package is not installed: pip install kenlm") from None
    from nextword.ngram import kenlm as drop_in

    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        arpa = folder / "model.arpa"
        timed(ours(options.train, arpa, options.order))
        timed(ours(options.train, folder / "run", options.order))
        theirs = kenlm.Model(str(arpa))
        model = drop_in.Model(folder / "run")
        lines = 4 * options.test.read_text(encoding="utf-8").split("\n")[:-1]
        ids = model.lexicon.ids("\n".join(lines) + "\n")
        tokens = len(ids)
        results: dict[str, Any] = {}
        sides: dict[str, Callable[[], Any]] = {
            "kenlm.Model.score, text": lambda: [theirs.score(line) for line in lines],
            "score_many, text, 1": lambda: model.score_many(lines, 1),
            "score_many, text, 2": lambda: model.score_many(lines, 2),
            "ids, 1 thread": lambda: model.table.score_lines(ids, 1)[0],
            "ids, 2 threads": lambda: model.table.score_lines(ids, 2)[0],
        }
        times: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(options.repeats + 1):
            for side, go in sides.items():
                gc.collect()
                began = time.perf_counter()
                results[side] = np.array(go())
                times[side].append(time.perf_counter() - began)
        reference = results["kenlm.Model.score, text"]
        worst = max(float(np.abs(value - reference).max()) for value in results.values())
        print(f"{tokens:,} tokens, {len(lines):,} lines; largest difference {worst:.1e} (log10)")
        found = report(
            {side: {"seconds": values[1:]} for side, values in times.items()},
            "kenlm.Model.score, text",
        )
        for side, values in times.items():
            print(f"{side:<26}{tokens / statistics.median(values[1:]) / 1e6:8.2f} M tokens/s")
        found["distribution"] = distributions(model, theirs, lines, options.repeats)
    return found


def distributions(model: Any, theirs: Any, lines: list[str], repeats: int) -> dict[str, Any]:
    """Time the distribution over the next word: ours in one call, KenLM's word by word for 10,000
    words."""
    import kenlm
    import numpy as np

    size = min(10_000, len(model.lexicon))
    words = model.lexicon.words(0, size)
    words[1] = "</s>"
    states = []
    for line in [line for line in lines if len(line.split()) > 4][:50]:
        ours_, next_, their_, after = empty_state(), empty_state(), kenlm.State(), kenlm.State()
        model.BeginSentenceWrite(ours_)
        theirs.BeginSentenceWrite(their_)
        for word in line.split()[:4]:
            model.BaseScore(ours_, word, next_)
            theirs.BaseScore(their_, word, after)
            ours_, next_, their_, after = next_, ours_, after, their_
        states.append((ours_, their_))
    fast, slow, worst = [], [], 0.0
    out = np.empty(model.table.vocab_size, np.float32)
    for _ in range(repeats + 1):
        for mine, _ in states:
            began = time.perf_counter()
            model.table.distribution(mine.node, out)
            fast.append(time.perf_counter() - began)
    unused = kenlm.State()
    for mine, their in states[:10]:
        began = time.perf_counter()
        other = [theirs.BaseScore(their, word, unused) for word in words]
        slow.append(time.perf_counter() - began)
        model.table.distribution(mine.node, out)
        worst = max(worst, float(np.abs(out[:size] - other).max()))
    a, b = statistics.median(fast), statistics.median(slow)
    print(
        f"next-word distribution: all {model.table.vocab_size:,} words {a * 1e6:.1f} µs, kenlm "
        f"{size:,} words {b * 1e6:,.0f} µs: {b / a:,.0f} times; largest difference {worst:.1e}"
    )
    return {"ours": a, "theirs": b}


def empty_state() -> Any:
    """A new state of KenLM."""
    from nextword.ngram.kenlm import State

    return State()
