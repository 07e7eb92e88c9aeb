"""Ablation: train a recipe as it is, and once without each ingredient of AWD-LSTM.

The ingredients are those of Merity, Keskar and Socher (2017, arXiv:1708.02182), table 4.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import plot
from ..arguments import checked
from ..config import Config, Overrides, Use, configure, override_items, refuse_unused
from ..errors import InputError
from ..evaluation.perplexity import evaluate_text
from ..files import AnyPath, Paths, locked, path_list, write_text
from ..numerals import fixed, json_text
from ..parsing import read_json
from ..run import STATE, load
from ..scratch import made_folder
from ..screen import Bar, Say
from ..text.reader import open_texts
from ..text.source import streams_kept
from ..training.loop.journal import read_metrics
from ..training.request import Request
from .series import describe, finish, take_directory, texts_of

TABLE, PICTURE, ROWS = "ablation.json", "ablation.png", "rows"
_TUNED = {"train.average": "always", "train.non_monotone_stop": True}

Bars = Callable[[], AbstractContextManager[Bar | None]]


@dataclass(frozen=True)
class Ingredient:
    """An ingredient to leave out: by which settings, and what the paper measured without it."""

    title: str
    slug: str
    without: Callable[
        [Config], dict[str, Any]
    ]  # settings that remove it; {} = the recipe does not have it
    ptb: float  # the paper's test perplexity without it on Penn Treebank
    wt2: float  # the same on WikiText-2


def _off(table: str, key: str, off: Any) -> Callable[[Config], dict[str, Any]]:
    def without(config: Config) -> dict[str, Any]:
        value = getattr(getattr(config, table), key, off)
        return {} if value == off else {f"{table}.{key}": off}

    return without


def _no_penalties(config: Config) -> dict[str, Any]:
    used = config.objective.model_dump(include={"ar", "tar"})
    return {f"objective.{key}": 0.0 for key, value in used.items() if value}


def _no_weight_drop(config: Config) -> dict[str, Any]:
    used = config.model.model_dump(include={"dropout_weight", "dropout_weight_input"})
    return {f"model.{key}": 0.0 for key, value in used.items() if value}


def _full_embedding(config: Config) -> dict[str, Any]:
    hidden, width = config.model.hidden, config.model.embedding
    return {} if width in (None, hidden) else {"model.embedding": hidden}


def _same_lengths(config: Config) -> dict[str, Any]:
    return {"train.stream": "stripes"} if config.train.stream == "variable" else {}


FULL = Ingredient("full recipe", "full", lambda config: {}, 57.3, 65.8)
FINE_TUNING = Ingredient("no fine-tuning", "no-fine-tuning", lambda config: {}, 58.8, 66.0)
NT_ASGD = Ingredient("no NT-ASGD", "no-nt-asgd", _off("train", "average", "none"), 63.7, 69.7)
INGREDIENTS = (
    NT_ASGD,
    Ingredient("no variable-length BPTT", "no-variable-length", _same_lengths, 58.9, 66.2),
    Ingredient(
        "no embedding dropout",
        "no-embedding-dropout",
        _off("model", "dropout_embedding", 0.0),
        62.7,
        68.1,
    ),
    Ingredient(
        "no weight decay", "no-weight-decay", _off("optimizer", "weight_decay", 0.0), 61.0, 68.7
    ),
    Ingredient("no AR/TAR", "no-ar-tar", _no_penalties, 60.3, 70.1),
    Ingredient("full-size embedding", "full-size-embedding", _full_embedding, 65.6, 70.7),
    Ingredient("no weight drop", "no-weight-drop", _no_weight_drop, 68.9, 74.9),
)


@dataclass(frozen=True)
class Row:
    """A finished row of the table; perplexities are per token."""

    title: str
    valid: float  # perplexity of the validation text
    test: float | None  # perplexity of the test text, if there is one
    paper: tuple[float, float]  # test perplexity: Penn Treebank, WikiText-2
    parameters: int
    seconds: float  # of training

    def as_dict(self) -> dict[str, Any]:
        """Return the row by name, for ablation.json."""
        return {
            "row": self.title,
            "valid_perplexity": self.valid,
            "test_perplexity": self.test,
            "paper_test_ptb": self.paper[0],
            "paper_test_wt2": self.paper[1],
            "parameters": self.parameters,
            "seconds": round(self.seconds, 1),
        }

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Row:
        """Make a row from what `as_dict` returned."""
        return cls(
            row["row"],
            math.inf if row["valid_perplexity"] is None else row["valid_perplexity"],
            row["test_perplexity"],
            (row["paper_test_ptb"], row["paper_test_wt2"]),
            row["parameters"],
            row["seconds"],
        )


def plan(config: Config, fine_tune: bool) -> tuple[list[Ingredient], list[Ingredient]]:
    """Return the rows of a recipe's table, and the ingredients that it does not have."""
    rows, missing = [FULL], list[Ingredient]()
    (rows if fine_tune else missing).append(FINE_TUNING)
    for ingredient in INGREDIENTS:
        (rows if ingredient.without(config) else missing).append(ingredient)
    return rows, missing


@checked
@streams_kept()
def ablate(
    recipe: str,
    train: Paths,
    valid: Paths,
    out: AnyPath,
    *,
    test: Paths = (),
    overrides: Overrides = None,
    fine_tune: int = 0,
    device: str = "cpu",
    quiet: bool = False,
    say: Say = lambda line: None,
    bars: Bars = lambda: nullcontext(None),
) -> list[Row]:
    """Train a recipe and one model without each of its ingredients; return the rows, full first.

    Writes ablation.json and ablation.png into `out` after every row. Called again with the same
    arguments it continues: finished rows stay, and an interrupted training is resumed.

    Args:
        fine_tune: most epochs of fine-tuning with ASGD after each training; 0 = none. The row
            without NT-ASGD is never fine-tuned.
        say, bars: show a line of text; make a context that starts progress bars.
        others: see `nextword.train`; `test` is a text to evaluate on too.

    Raises:
        InputError: a file cannot be read, the recipe is not recurrent, or `out` has other contents.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; everything is saved.

    Example:
        nextword.ablate("awd-lstm-wt2", "book.txt", "held-out.txt", "ablation")[0].valid
    """
    train, valid, test = path_list(train), path_list(valid), path_list(test)
    config = configure(recipe, overrides)
    if "dropout_weight" not in type(config.model).model_fields:
        raise InputError(f"'{recipe}' is no recurrent recipe; use one such as awd-lstm-wt2")
    refuse_unused(override_items(overrides), Use(config, device))
    for text in (train, valid, test):
        if text:
            open_texts(text)
    out = Path(out)
    request = Request.of(
        recipe,
        train,
        valid=valid,
        overrides=overrides,
        overwrite=True,
        device=device,
        quiet=quiet,
    )
    trial = _Trial(request, fine_tune)
    texts = texts_of(request) | {"test": describe(test)}
    settings = {"config": config.dump(), **texts, "fine_tune": fine_tune}
    with made_folder(out.parent):
        fresh = take_directory(out, settings, "an ablation")
        try:
            return _rows(out, config, trial, test, fine_tune > 0, say, bars)
        except InputError:
            if fresh and not any((out / ROWS).glob(f"*/*/{STATE}")):
                shutil.rmtree(out)  # nothing was trained, so nothing is left behind
            raise


def _rows(
    out: Path,
    config: Config,
    trial: _Trial,
    test: list[Path],
    fine_tune: bool,
    say: Say,
    bars: Bars,
) -> list[Row]:
    """Train and evaluate the rows that are missing; return all rows."""
    rows, missing = plan(config, fine_tune)
    for ingredient in missing:
        say(f"{ingredient.title}: skipped, the recipe does not have it")
    with locked(out):
        done = {row.title: row for row in _read(out)}
        for number, ingredient in enumerate(rows, start=1):
            if ingredient.title in done:
                continue
            say(f"row {number} of {len(rows)}: {ingredient.title}{_left(done, len(rows))}")
            runs = trial.run(out / ROWS, ingredient, config)
            loaded = load(runs[-1], trial.request.device)
            with bars() as bar:
                done[ingredient.title] = Row(
                    ingredient.title,
                    evaluate_text(loaded, list(trial.request.valid), bar=bar).perplexity,
                    evaluate_text(loaded, test, bar=bar).perplexity if test else None,
                    (ingredient.ptb, ingredient.wt2),
                    loaded.parameters,
                    sum(_seconds(run) for run in runs),
                )
            table = [done[row.title] for row in rows if row.title in done]
            write_text(out / TABLE, json_text([row.as_dict() for row in table], indent=1))
            draw(table, out / PICTURE)
    return [done[row.title] for row in rows]


@dataclass(frozen=True)
class _Trial:
    """How a row is trained."""

    request: Request
    fine_tune: int  # most epochs; 0 = none

    def run(self, folder: Path, ingredient: Ingredient, config: Config) -> list[Path]:
        """Train and fine-tune a row as far as that is missing; return its runs."""
        slug = FULL.slug if ingredient is FINE_TUNING else ingredient.slug
        request = self.request.changed(ingredient.without(config))
        trained = folder / slug / "trained"
        finish(request, trained)
        if not self.fine_tune or ingredient in (FINE_TUNING, NT_ASGD):
            return [trained]
        tuned = folder / slug / "tuned"
        budget = {"train.epochs": self.fine_tune, "train.minutes": None}
        finish(request.changed(_TUNED | budget, trained), tuned)
        return [trained, tuned]


def _read(out: Path) -> list[Row]:
    if not (out / TABLE).is_file():
        return []
    try:
        return [Row.from_dict(row) for row in read_json(out / TABLE)]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{out / TABLE}' is damaged ({error}); remove it and repeat the command"
        ) from None


def _seconds(run: Path) -> float:
    """Return how long a training took, in seconds."""
    records = reversed(read_metrics(run))
    return next((record["seconds"] for record in records if "seconds" in record), 0.0)


def _left(done: dict[str, Row], rows: int) -> str:
    if not done:
        return ""
    mean = sum(row.seconds for row in done.values()) / len(done)
    return f" (about {mean * (rows - len(done)) / 60:.0f} minutes left)"


def draw(rows: list[Row], path: Path) -> None:
    """Draw how much worse each row is than the full recipe, in percent, and in the paper."""
    full = rows[0]

    def change(value: float | None, base: float | None) -> float:
        return math.nan if value is None or base is None else 100 * (value / base - 1)

    others = rows[1:]
    series = {
        "here, validation text": [change(row.valid, full.valid) for row in others],
        "here, test text": [change(row.test, full.test) for row in others],
        "paper, Penn Treebank": [change(row.paper[0], full.paper[0]) for row in others],
        "paper, WikiText-2": [change(row.paper[1], full.paper[1]) for row in others],
    }
    if full.test is None:
        del series["here, test text"]
    with plot.figure(path, size=(8, 1.6 + 0.65 * max(1, len(others)))) as (ax,):
        height = 0.8 / len(series)
        for index, (name, values) in enumerate(series.items()):
            places = [
                place + (index - (len(series) - 1) / 2) * height for place in range(len(values))
            ]
            ax.barh(places, values, height=height, label=name, color=plot.COLOURS[index])
        ax.set_yticks(range(len(others)), [row.title for row in others])
        ax.invert_yaxis()
        ax.axvline(0, color="black", lw=0.8)
        ax.grid(visible=False, axis="y")
        ax.set(xlabel=f"perplexity against the full recipe ({fixed(full.valid, 1)} valid), %")
        ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
