"""Odd command lines for every verb: a good one, of which some words are replaced by odd ones.

Options, arguments and their kinds are those that the command line itself declares, so a new verb or
option is tried as soon as it exists; a new verb needs a good command line in `GOOD`.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer.main

import nextword.demo
from nextword.cli.app import app
from nextword.cli.main import _run
from nextword.errors import InputError, Interrupted, TrainingError

from .forked import Case, described
from .odd import NUMBERS, TEXTS, VALUES, damaged
from .readers import RUNS, SMALL, original

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
NAMES = list(COMMANDS)
#: Small enough to train in a moment.
TINY = [
    *("model.hidden=4", "model.embedding=4", "train.epochs=1", "train.batch_size=2"),
    *("train.bptt=8", "text.tokenizer=word", "text.vocab_size=20"),
]
SETS = [word for one in TINY for word in ("--set", one)]
LINE = ["train", "lstm", "--train", "short.txt", "--out", "out/run", "--quiet", *SETS]
#: verb → good command lines; names without a folder are files of `pool`.
GOOD: dict[str, list[list[str]]] = {
    "demo": [["demo", "--out", "out/demo", "--quiet"]],
    "train": [
        LINE,
        ["train", "ngram", "--train", "short.txt", "--out", "out/m.arpa", "--quiet"],
        ["train", "mixture", "lstm", "lstm", "--valid", "short.txt", "--out", "out/mixed"],
        [*LINE, "--from", "a.vec", "--set", "model.embedding=3"],
        [*LINE, "--seeds", "2"],
        ["train", "--resume", "--out", "copy", "--quiet"],
        ["train", "classifier", "--train", "labelled.tsv", "--out", "out/c", "--quiet"],
    ],
    "ablate": [
        [
            *("ablate", "tiny.toml", "--train", "short.txt", "--valid", "short.txt"),
            *("--out", "out/ablation", "--quiet"),
        ]
    ],
    "evaluate": [
        ["evaluate", "lstm", "--data", "short.txt", "--json", "--quiet"],
        ["evaluate", "ngram", "--data", "short.txt", "--quiet"],
        ["evaluate", "seq2seq", "--data", "pairs.tsv", "--quiet"],
        ["evaluate", "m.arpa", "--data", "short.txt", "--dynamic"],
        ["evaluate", "lstm", "--data", "short.txt", "--cache", "--cache-set", "window=9"],
        ["evaluate", "ngram", "--minimal-pairs", "minimal.tsv", "--by", "mean"],
        ["evaluate", "bert", "--minimal-pairs", "minimal.tsv", "--normalise", "ccnet"],
    ],
    "score": [
        *(["score", name, "short.txt"] for name in ("lstm", "ngram", "bert", "m.arpa")),
        *(
            ["score", name, "short.txt", "--by", "word", "--format", "csv"]
            for name in ("lstm", "ngram", "bert", "m.arpa")
        ),
        ["score", "gru", "regions.txt", "--regions", "--context", "short.txt", "--uncorrected"],
    ],
    "filter": [
        ["filter", "ngram", "short.txt", "--out", "out/f", "--quiet"],
        ["filter", "m.arpa", "docs.jsonl", "--out", "out/f", "--max", "90", "--dropped"],
        ["filter", "m.arpa", "docs.jsonl", "short.txt", "--out", "out/f", "--buckets", "30,60"],
        ["filter", "lstm", "docs.jsonl", "--out", "out/f", "--by", "bits_per_byte", "--json"],
    ],
    "generate": [
        ["generate", "lstm", "--prompt", "the", "--tokens", "3", "--seed", "1"],
        ["generate", "m.arpa", "--tokens", "2", "--temperature", "0.5"],
        ["generate", "transformer-lm", "--tokens", "3", "--beam", "2"],
    ],
    "translate": [["translate", name, "short.txt"] for name in ("seq2seq", "transformer")],
    "fill": [["fill", "bert", "the [MASK] of"]],
    "classify": [["classify", name, "short.txt"] for name in ("classifier", "tagger", "ulmfit")],
    "embed": [["embed", name, "short.txt"] for name in ("bert", "lstm")],
    "compare": [
        ["compare", "lstm", "gru", "--data", "short.txt"],
        ["compare", "seq2seq", "--data", "pairs.tsv", "--json"],
        ["compare", "lstm", "ngram", "--minimal-pairs", "minimal.tsv"],
    ],
    "inspect": [
        [
            *("inspect", "lstm", "gradients", "--out", "out/g.svg", "--data", "short.txt"),
            *("--length", "4", "--samples", "2"),
        ],
        ["inspect", "seq2seq", "attention", "--source", "one two", "--out", "out/a.svg"],
        ["inspect", "gru", "surprisal", "--text", "one two", "--out", "out/s.svg"],
    ],
    "find-lr": [
        [
            *("find-lr", "lstm", "--train", "short.txt", "--steps", "10", "--out", "out/lr.svg"),
            *("--low", "1e-3", "--high", "0.1", *SETS),
        ]
    ],
    "export": [
        ["export", "ngram", "--format", "arpa", "--out", "out/m.arpa"],
        ["export", "ngram", "--format", "kenlm-probing", "--out", "out/m.bin"],
        ["export", "m.arpa", "--format", "kenlm-trie", "--out", "out/m.bin"],
        ["export", "bert", "--format", "hf", "--out", "out/hub"],
    ],
    "recipes": [["recipes"], ["recipes", "lstm", "--json"], ["recipes", "tiny.toml"]],
}
_WRITES = {"--out", "--plot"}
_NEW = ["out/new", "out/a.png", "out/a.svg", "out/m.arpa", "out/m.npy", "out/no/such/x", "out"]


#: Texts that a command line can hold: a byte that is no UTF-8 arrives as half of a character.
WORDS = [text.replace("\ud800", "\udce9").replace("\x00", "") for text in TEXTS]


class Pool:
    """The folder that commands read from: small files and runs, good and odd ones."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz-pool-"))
        self.names: list[str] = []

    def fill(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        for run in RUNS.iterdir():
            if run.is_dir():
                shutil.copytree(run, self.folder / run.name)
        shutil.copytree(RUNS / "lstm", self.folder / "copy")
        draw = random.Random(0)
        text = original("train.txt")[:900]
        files = {
            "short.txt": text,
            "regions.txt": b"the | horse raced | past\nthe barn | fell\n",
            "pairs.tsv": original("pairs.tsv")[:600],
            "labelled.tsv": original("labelled.tsv")[:600],
            "tagged.tsv": original("tagged.tsv")[:600],
            "minimal.tsv": b"the cat sat\tthe cat sits on\tverbs\nit is\tit are\n",
            "docs.jsonl": b'{"text": "the cat", "n": 1}\n' * 9,
            "m.arpa": SMALL,
            "a.vec": b"the 1 2 3\ncat 1 0 -1\n",
            "tiny.toml": TOML.encode(),
            "empty.txt": b"",
            "blank.txt": b" \n\n \n",
            "binary.txt": bytes(range(256)) * 3,
            "utf16.txt": "the cat\n".encode("utf-16"),
            "latin.txt": b"caf\xe9\n" * 30,
            "one-line.txt": b"the " * 300,
            "no-spaces.txt": b"abc" * 500,
            "chinese.txt": "我 在 读 书 。\n".encode() * 9,
            "same.txt": b"the the the\n" * 30,
            "text.txt.gz": gzip.compress(text),
            "cut.txt.gz": gzip.compress(text)[:90],
            "damaged.arpa": damaged(SMALL, draw),
            "$x_2${}.txt": text,
            "broken/config.json": b"{",
            "nested/config.json": b"[" * 9000,
        }
        for name, data in files.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_bytes(data)
        (self.folder / "empty").mkdir()
        (self.folder / "loop").symlink_to("loop")
        (self.folder / "zero").symlink_to("/dev/zero")
        self.names = sorted(path.name for path in self.folder.iterdir())
        self.seen = self.stamp()

    def stamp(self) -> dict[str, tuple[int, ...]]:
        """What would change if something wrote here; locks are no contents."""
        stats = {}
        for folder, folders, files in os.walk(self.folder):
            for name in (*folders, *files):
                one = os.lstat(os.path.join(folder, name))
                if name != ".lock":
                    is_folder = name in folders and not os.path.islink(os.path.join(folder, name))
                    changing = () if is_folder else (one.st_size, one.st_mtime_ns)
                    stats[os.path.join(folder, name)] = (one.st_ino, one.st_mode, *changing)
        return stats


TOML = """
[text]
tokenizer = "word"
vocab_size = 20
[model]
name = "recurrent"
hidden = 4
embedding = 4
dropout_hidden = 0.1
[train]
epochs = 1
batch_size = 2
bptt = 8
[optimizer]
name = "sgd"
"""


def odd_word(parameter: Any, draw: random.Random, pool: Pool) -> str:
    """A word for an option or argument, of its kind or of another."""
    kinds = [parameter.type_descriptor.annotation]
    if draw.random() < 0.1:
        kinds = [int, str, Path]
    kind = str(draw.choice(kinds))
    if "int" in kind or "float" in kind:
        return draw.choice([*NUMBERS, "2", "1"])
    names = [str(pool.folder / name) for name in pool.names]
    if "Path" in kind or parameter.name in ("file", "recipe"):
        return draw.choice([*names, *names, *_NEW, "-", *WORDS])
    if parameter.name in ("settings", "dynamic_set", "cache_set"):
        return f"{draw.choice(_KEYS)}={draw.choice([*NUMBERS, *WORDS, *map(str, VALUES[:20])])}"
    return draw.choice(WORDS)


_KEYS = [
    *("model.hidden", "model.layers", "train.epochs", "train.seed", "optimizer.lr", "text.split"),
    *("text.vocab_size", "model.name", "train.bptt", "schedule.name", "train.clip", "lr", "window"),
    *("theta", "segment", "method", "objective.ar", "text.tokenizer", "train.minutes", "", "x"),
]
_FEW = ("train.epochs", "--steps", "--tokens", "train.minutes")  # numbers that take time


def command_line(verb: str, draw: random.Random, pool: Pool) -> list[str]:
    """A good command line with one to three odd words."""
    words = [
        str(pool.folder / word) if word in pool.names else word for word in draw.choice(GOOD[verb])
    ]
    parameters = COMMANDS[verb].params
    for _ in range(draw.choice([1, 1, 2, 3])):
        parameter = draw.choice(parameters)
        options = [one for one in parameter.opts if one.startswith("-")]
        if not options:  # an argument, or any word
            place = draw.randrange(1, len(words)) if len(words) > 1 else 1
            words[place : place + 1] = [odd_word(parameter, draw, pool)]
            continue
        option = draw.choice(options)
        if getattr(parameter, "is_flag", False):
            words.append(option)
        elif option in words and draw.random() < 0.7:
            at = words.index(option) + 1
            words[at : at + 1] = [odd_word(parameter, draw, pool)]
        else:
            words += [option, odd_word(parameter, draw, pool)]
    for at, (option, value) in enumerate(pairwise(words)):  # what takes minutes by right
        if option == "--prefix":
            words[at + 1] = value[:500]
        elif option in ("--beam", "--fine-tune") and value == "1_000":
            words[at + 1] = "1_0"
    return [word for word in words if not _endless(word)]


def _endless(word: str) -> bool:
    """Whether a word asks for what takes hours by right: many epochs, steps or tokens."""
    return word.startswith(_FEW) and word[-1:] in "0123456789e" and len(word) > 15


def case_of(verb: str, seed: int = 0) -> Case:
    """The cases of a verb by number."""
    pool = Pool()
    pool.fill()
    _make_quick()
    process = os.getpid()

    def case(number: int, folder: Path) -> str | None:
        nonlocal process
        if process != (process := os.getpid()):  # a case before it may have been killed
            pool.fill()
        words = command_line(verb, random.Random(f"{seed} {verb} {number}"), pool)
        (folder / "out").mkdir()
        wrong = _wrong(words)
        if (now := pool.stamp()) != pool.seen:
            changed = [k for k in {*now, *pool.seen} if now.get(k) != pool.seen.get(k)]
            pool.fill()
            if not _may_change(words, changed):
                wrong = wrong or f"changed {changed[:3]}"
        stray = [p.name for p in folder.iterdir() if p.name not in ("out", "lr.png", "demo-out")]
        stray = [name for name in stray if not any(name in word for word in words)]
        wrong = wrong or (f"left {stray}" if stray else None)
        return f"{wrong}   {words}" if wrong else None

    return case


def _wrong(words: list[str]) -> str | None:
    import typer

    try:
        _run(words, None)
    except (InputError, TrainingError, Interrupted, typer.TyperException) as error:
        message = str(getattr(error, "message", error))  # whose line ends become blanks
        return f"a long message: {message[:300]!r}" if len(message) > 20_000 else None
    except OSError as error:  # it becomes a line with the file's name
        return None if error.filename else described(error)
    except SystemExit as error:
        return f"exits by itself: {error.code}"
    return None


def _may_change(words: list[str], changed: list[str]) -> bool:
    """Whether the changes are those that the words ask for: what --out or --plot names."""
    targets = [words[at + 1] for at, word in enumerate(words[:-1]) if word in _WRITES]
    asked = {"--overwrite", "--resume", "demo", "--plot", "--seeds"} & {*words}
    asked |= {target for target in targets if target.endswith("/empty")}  # a folder to write into
    return bool(asked) and all(any(path.startswith(t) for t in targets) for path in changed)


def _make_quick() -> None:
    """The demo trains one model, and draws what takes no training."""
    nextword.demo.RUNGS = nextword.demo.RUNGS[:1]  # type: ignore[assignment]
    nextword.demo.draw_gradients = lambda out, seed: None
