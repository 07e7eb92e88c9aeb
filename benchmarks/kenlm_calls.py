"""Compares single calls of `nextword.ngram.kenlm` with those of the `kenlm` package.

    python -m benchmarks.kenlm_calls --train FILE --test FILE [--form arpa] [--repeats 9]

`BaseScore`, `BaseFullScore` and `in` get the words of the test text one after another, `score`
its lines of 5 to 8 words, `score_many` all lines on one thread beside KenLM's `score` of each, and
pyctcdecode decodes lines from noisy probabilities of letters. Both sides load one ARPA file, or one
binary file of KenLM, and take turns. A figure is the median of the processor's time for a call;
"first" is the first turn, in which nothing has been asked before. Scores and transcripts are
compared.

Needs `kenlm` (extra `bench`) and pyctcdecode (`pip install --no-deps pyctcdecode pygtrie`: it asks
for an older numpy, and does not need it).
"""

from __future__ import annotations

import argparse
import gc
import importlib
import logging
import statistics
import string
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import nextword
from nextword.ngram import kenlm as drop_in

from .ngram_commands import ORDER, ours, timed

FORMS = ("arpa", "kenlm-probing", "kenlm-trie")
LABELS = ["", " ", *string.ascii_letters, "'"]  # "" is CTC's blank


@contextmanager
def decoder_with(module: ModuleType) -> Iterator[Any]:
    """pyctcdecode, imported anew, with `module` in the place of kenlm."""
    before = {name: sys.modules[name] for name in list(sys.modules) if _concerns(name)}
    for name in before:
        del sys.modules[name]
    sys.modules["kenlm"] = module
    try:
        logging.disable(logging.WARNING)
        yield importlib.import_module("pyctcdecode")
    finally:
        logging.disable(logging.NOTSET)
        for name in [name for name in sys.modules if _concerns(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def _concerns(name: str) -> bool:
    return name == "kenlm" or name.split(".")[0] == "pyctcdecode"


def noisy_letters(text: str, noise: float, seed: int) -> Any:
    """Logarithms (T, labels) of probabilities of letters from which `text` can be guessed: two
    frames a letter, the second one blank."""
    draw = np.random.default_rng(seed)
    frames = np.zeros((2 * len(text), len(LABELS)))
    for at, letter in enumerate(text):
        frames[2 * at, LABELS.index(letter)] = 4.0
        frames[2 * at + 1, 0] = 4.0
    frames += noise * draw.standard_normal(frames.shape)
    return frames - np.log(np.exp(frames).sum(axis=1, keepdims=True))


def words_after_each_other(
    ask: Callable[[Any, str, Any], Any], begin: Callable[[Any], None], kind: Any, words: list[str]
) -> list[Any]:
    """The answers for each word after the words before it."""
    state, after, found = kind(), kind(), []
    begin(state)
    for word in words:
        found.append(ask(state, word, after))
        state, after = after, state
    return found


def calls(module: Any, model: Any, lines: list[str]) -> dict[str, tuple[int, Callable[[], Any]]]:
    """For each kind of call: how many there are, and a function that makes them."""
    short = [line for line in lines if 5 <= len(line.split()) <= 8]
    words = [word for line in lines for word in line.split()][:20_000]
    begin, kind = model.BeginSentenceWrite, module.State
    many = hasattr(model, "score_many")
    return {
        "BaseScore": (
            len(words),
            lambda: words_after_each_other(model.BaseScore, begin, kind, words),
        ),
        "BaseFullScore": (
            len(words),
            lambda: [
                full.log_prob
                for full in words_after_each_other(model.BaseFullScore, begin, kind, words)
            ],
        ),
        "word in model": (len(words), lambda: [word in model for word in words]),
        "score, 5-8 words": (len(short), lambda: [model.score(line) for line in short]),
        "score_many, 1 thread": (
            len(lines),
            lambda: model.score_many(lines, 1) if many else [model.score(line) for line in lines],
        ),
    }


def decoding(module: ModuleType, arpa: Path, lines: list[str]) -> tuple[int, Callable[[], Any]]:
    """How many lines pyctcdecode decodes, and a function that does so."""
    known = set(LABELS)
    texts = [line for line in lines if 10 <= len(line) <= 40 and known.issuperset(line)][:4]
    heard = [noisy_letters(text, 0.7, seed) for seed, text in enumerate(texts)]
    with decoder_with(module) as package:
        decoder = package.build_ctcdecoder(LABELS, str(arpa))
    return len(texts), lambda: [decoder.decode(frames) for frames in heard]


def compare(path: Path, lines: list[str], repeats: int) -> None:
    """Time both sides in turn, compare what they say, and print a table."""
    import kenlm

    sides = {"kenlm": kenlm, "nextword": drop_in}
    made = {}
    for side, module in sides.items():
        made[side] = calls(module, module.Model(str(path)), lines)
        made[side]["pyctcdecode, a line"] = decoding(module, path, _plain(lines))
    notes = []
    print("| call | kenlm, µs | nextword, µs | first, µs | ratio |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (count, _) in made["kenlm"].items():
        times: dict[str, list[float]] = {side: [] for side in sides}
        found: dict[str, Any] = {}
        for _ in range(repeats + 1):
            for side in sides:
                gc.collect()
                began = time.process_time()
                found[side] = made[side][name][1]()
                times[side].append(1e6 * (time.process_time() - began) / max(1, count))
        middle = {side: statistics.median(values[1:]) for side, values in times.items()}
        print(
            f"| `{name}` | {middle['kenlm']:.2f} | {middle['nextword']:.2f} | "
            f"{times['nextword'][0]:.2f} | {middle['nextword'] / middle['kenlm']:.2f} |",
            flush=True,
        )
        if name.startswith("pyctc"):
            same = found["kenlm"] == found["nextword"]
            notes.append(f"{name}: {count} transcripts, {'the same' if same else 'DIFFERENT'}")
        else:
            wrong = np.abs(np.subtract(found["kenlm"], found["nextword"], dtype=float)).max()
            notes.append(f"{name}: {count:,} calls, largest difference {wrong:.1e}")
    print("\n" + "\n".join(notes))


def _plain(lines: list[str]) -> list[str]:
    """Parts of lines that consist of letters."""
    return [part.strip() for line in lines for part in line.replace(" , ", " . ").split(" . ")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--order", type=int, default=ORDER)
    parser.add_argument("--form", choices=FORMS, default=FORMS[0])
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    lines = options.test.read_text(encoding="utf-8").splitlines()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.arpa"
        timed(ours(options.train, model, options.order))
        if options.form != FORMS[0]:
            arpa, model = model, Path(folder) / "model.binary"
            nextword.export(nextword.load(arpa), options.form, model)
        compare(model, [line.strip() for line in lines], options.repeats)


if __name__ == "__main__":
    main()
