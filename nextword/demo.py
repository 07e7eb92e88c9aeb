"""The demo: a series of models of Human Numbers, each adding one idea to the one before.

Every model is a recipe with overrides, trained, evaluated and kept like any other run. The accuracy
beside it is the one that fast.ai's book reached at that point (chapter 12 and its questionnaire).
All figures are measured on the last 20 % of the numbers, where every token is predicted once. The
weights of the last step are used, so that nothing is selected on the evaluation text.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from . import plot
from .arguments import checked
from .config import configure
from .diagnostics.gradients import GradientFlow, draw_on, measure
from .evaluation.dynamic import Dynamic
from .evaluation.figures import Evaluation
from .evaluation.perplexity import evaluate_text
from .files import AnyPath, write_text
from .generation.sample import generate
from .models.recurrent import RecurrentConfig
from .nn.randomness import initialising, own_generator
from .numerals import fixed, json_text
from .outputs import Folder, check_folder
from .run import Run, load
from .run_folder import FILES
from .scratch import made_folder, temporary_folder
from .text.corpus import prepare
from .text.human_numbers import human_numbers
from .text.reader import open_texts
from .training.train import train

_TRAIN, _VALID = "numbers-train.txt", "numbers-valid.txt"
_TABLE, _PICTURE, _GRADIENTS = "ladder.json", "ladder.png", "gradients.png"
_PROMPT = "two thousand nine hundred ninety eight ."

_TEXT: dict[str, Any] = {"text.tokenizer": "word", "text.vocab_size": None}
_COMMON = _TEXT | {"train.keep": "last", "train.patience": None}
_RECURRENT = _COMMON | {
    "model.embedding": 64,
    "model.hidden": 64,
    "model.layers": 1,
    "model.tied": False,
    "model.embedding_std": 1.0,
    "model.dropout_input": 0.0,
    "model.dropout_hidden": 0.0,
    "model.dropout_output": 0.0,
    "train.batch_size": 32,
    "train.bptt": 16,
    "train.epochs": 15,
    "schedule.name": "one-cycle",
}
_LSTM = _RECURRENT | {"model.hidden": 100, "optimizer.lr": 1e-2}
_REGULARISED = _LSTM | {
    "optimizer.lr": 5e-3,
    "model.layers": 2,
    "model.tied": True,
    "model.dropout_hidden": 0.2,
    "model.dropout_output": 0.2,
    "objective.ar": 2.0,
    "objective.tar": 1.0,
}
# The context covers what the next number depends on; with a longer one the model overfits.
_TRANSFORMER = _COMMON | {
    "model.hidden": 64,
    "model.layers": 3,
    "model.context": 16,
    "model.dropout": 0.3,
    "train.batch_size": 32,
    "train.bptt": 16,
    "train.epochs": 15,
    "train.precision": "fp32",  # the same figures on every processor
    "optimizer.lr": 3e-3,
    "schedule.name": "one-cycle",
}


@dataclass(frozen=True)
class Rung:
    """A model of the series."""

    title: str
    slug: str
    recipe: str
    article: float | None  # accuracy in fast.ai's book, from 0 to 1
    settings: dict[str, Any] = field(default_factory=dict)
    dynamic: Dynamic | None = None  # evaluate the model before, dynamically


RUNGS = (
    Rung("most common token", "common", "unigram", 0.15, _TEXT),
    Rung("n-gram of order 3", "ngram", "ngram", None, _TEXT | {"model.order": 3}),
    Rung(
        "n-gram, best order and smoothing",
        "ngram-best",
        "ngram",
        None,
        _TEXT
        | {
            "model.order": 6,
            "model.smoothing": "absolute-discounting",
            "model.interpolate": False,
        },
    ),
    Rung(
        "one-layer RNN on three words",
        "rnn-three-words",
        "rnn",
        0.49,
        _RECURRENT
        | {
            "train.stream": "windows",
            "train.shuffle": False,
            "train.bptt": 3,
            "train.batch_size": 16,
            "train.epochs": 3,
            "optimizer.name": "sgd",
            "optimizer.lr": 0.5,
            "schedule.name": "constant",
        },
    ),
    Rung(
        "RNN with state",
        "rnn",
        "rnn",
        0.60,
        _RECURRENT | {"model.hidden": 200, "optimizer.lr": 3e-3, "train.clip": 0.1},
    ),
    Rung(
        "LSTM written out",
        "lstm-written-out",
        "lstm",
        0.769,
        _LSTM | {"model.cell": "lstm-written-out"},
    ),
    Rung("LSTM in one product", "lstm", "lstm", 0.80, _LSTM),
    Rung("two layers", "lstm-two-layers", "lstm", 0.812, _LSTM | {"model.layers": 2}),
    Rung("+ dropout, AR, TAR, tying", "lstm-regularised", "lstm", 0.85, _REGULARISED),
    Rung("+ dynamic evaluation", "lstm-regularised", "lstm", None, dynamic=Dynamic()),
    Rung("Transformer on 16 words", "transformer", "transformer-lm", None, _TRANSFORMER),
)


_NAMES = "|".join(map(re.escape, (_TRAIN, _VALID, _TABLE, _PICTURE, _GRADIENTS)))
_SLUGS = "|".join(re.escape(rung.slug) for rung in RUNGS)
_DEMO = Folder(
    "what `demo` wrote",
    mark=_TRAIN,
    is_ours=lambda path: path.read_text(encoding="utf-8") == human_numbers()[0],
    files=rf"{_NAMES}|({_SLUGS})/{FILES}",
)


@checked
def run_demo(
    out: AnyPath = "demo-out", *, seed: int = 1, quiet: bool = False
) -> list[dict[str, Any]]:
    """Train and evaluate every model of the series and print the table.

    Writes ladder.json, ladder.png, gradients.png and a run directory for each model.

    Args:
        out: directory for all of that; it must be new, empty or written by an earlier call.
        seed: the random seed of every training.
        quiet: print nothing.

    Returns:
        One dict per model with the keys rung (its name), accuracy and article (fractions from 0 to
        1, article may be None), perplexity (per token), parameters, seconds (training and
        evaluation).

    Raises:
        InputError: `out` is a file, or a directory with other contents.

    Example:
        nextword.run_demo("demo-out", quiet=True)[-1]["accuracy"]
    """
    out = Path(out)
    check_folder(out, _DEMO, overwrite=True)
    with made_folder(out):
        for name, text in zip((_TRAIN, _VALID), human_numbers(), strict=True):
            write_text(out / name, text)
    show = Console(highlight=False, quiet=quiet, soft_wrap=True)
    show.print("Predict the next word of: one . two . three . ... nine thousand nine hundred ...\n")
    show.print(
        f"{'model':<34}{'parameters':>11}{'seconds':>9}{'accuracy':>10}{'article':>9}{'ppl':>8}"
    )
    rows = []
    with _one_thread():
        for rung in RUNGS:
            rows.append(_train_one(rung, out, seed, show))
            show.print(_line(rows[-1]))
        write_text(out / _TABLE, json_text(rows, indent=1))
        draw_accuracies(rows, out / _PICTURE)
        draw_gradients(out, seed)
        best = load(out / RUNGS[-1].slug)
        text = generate(best, _PROMPT, tokens=48, temperature=0)
    show.print(f"\n{_PROMPT}[bold]{text}[/bold] ...\n")
    show.print(f"{sum(row['seconds'] for row in rows):.0f} seconds. Pictures: ", end="")
    show.print(f"{out / _PICTURE}, {out / _GRADIENTS}", markup=False)
    show.print(
        f"Next, your own text: {_command()} train lstm --train YOUR.txt --out runs/mine",
        markup=False,
    )
    return rows


def _train_one(rung: Rung, out: Path, seed: int, show: Console) -> dict[str, Any]:
    began = time.perf_counter()
    with show.status(f"{rung.title} ..."):
        if rung.dynamic is None:
            run = train(
                rung.recipe,
                out / _TRAIN,
                out / rung.slug,
                valid=out / _VALID,
                overrides=rung.settings | _seed(rung, seed),
                overwrite=True,
                quiet=True,
            )
        else:
            run = load(out / rung.slug)
        result = evaluate_text(run, out / _VALID, dynamic=rung.dynamic)
    return _row(rung, run, result, time.perf_counter() - began)


def _seed(rung: Rung, seed: int) -> dict[str, Any]:
    """The seed, for a recipe that draws random numbers."""
    drawn = configure(rung.recipe).model.trained_by == "gradient"
    return {"train.seed": seed} if drawn else {}


def _row(rung: Rung, run: Run, result: Evaluation, seconds: float) -> dict[str, Any]:
    return {
        "rung": rung.title,
        "accuracy": result.accuracy,
        "article": rung.article,
        "perplexity": result.perplexity,
        "parameters": run.parameters,
        "seconds": round(seconds, 2),
    }


def _line(row: dict[str, Any]) -> str:
    article = "" if row["article"] is None else f"{row['article']:.1%}"
    return (
        f"{row['rung']:<34}{row['parameters']:>11,}{row['seconds']:>9.1f}{row['accuracy']:>10.1%}"
        f"{article:>9}{fixed(row['perplexity']):>8}"
    )


def draw_accuracies(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the accuracy of each model as a bar, with a mark at the accuracy of fast.ai's book."""
    with plot.figure(path, size=(8, 5)) as (ax,):
        places = range(len(rows))
        ax.barh(places, [100 * row["accuracy"] for row in rows], height=0.62)
        marked = False
        for place, row in zip(places, rows, strict=True):
            ax.text(
                100 * row["accuracy"] + 1,
                place,
                f"{row['accuracy']:.1%}",
                va="center",
                fontsize="small",
            )
            if row["article"] is not None:
                ax.plot(
                    [100 * row["article"]] * 2,
                    [place - 0.38, place + 0.38],
                    color=plot.COLOURS[1],
                    lw=2.5,
                    label=None if marked else "the well-known articles",
                )
                marked = True
        ax.set_yticks(places, [row["rung"] for row in rows])
        ax.invert_yaxis()
        ax.grid(visible=False, axis="y")
        ax.set(xlabel="next-word accuracy on Human Numbers (%)", xlim=(0, 108))
        ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0))


def draw_gradients(out: Path, seed: int) -> None:
    """Draw the norm of the gradient by distance from the loss into out/gradients.png.

    The left panel shows untrained recurrent cells, the right panel three trained ones.
    """
    trained = [load(out / slug) for slug in ("rnn", "lstm", "lstm-regularised")]
    with temporary_folder() as folder:
        ids = prepare(open_texts([out / _VALID]), trained[0].tokenizer, folder).ids[:10_000].copy()
    device = torch.device("cpu")
    fresh: list[GradientFlow] = []
    for cell, name in (
        ("elman", "plain RNN"),
        ("irnn", "identity RNN"),
        ("lstm", "LSTM"),
        ("gru", "GRU"),
    ):
        config = RecurrentConfig(cell=cell, hidden=64, embedding_std=1.0)
        with own_generator(seed), initialising():
            model = config.build(trained[0].tokenizer.vocab_size)
        fresh.append(measure(model, ids, name, device))
    learnt = [
        measure(run.model, ids, name, device)
        for run, name in zip(trained, ("RNN with state", "LSTM", "regularised LSTM"), strict=True)
    ]
    with plot.figure(out / _GRADIENTS, columns=2, size=(5.6, 4.2)) as (left, right):
        draw_on(left, fresh, "Before training")
        draw_on(right, learnt, "After training")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread while the context is open.

    Models this small are no faster on more threads, and the table does not depend on their number.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _command() -> str:
    """Return the command by which the user can call this program from the current directory."""
    called = Path(sys.argv[0])
    local = os.path.relpath(called) if called.name == "nextword" else "nextword"
    return local if local.startswith(".venv") else "nextword"
