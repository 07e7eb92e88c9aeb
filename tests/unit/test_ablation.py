"""`ablate`: what each row leaves out, what the table says, and that it goes on where it stopped."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import nextword
from nextword import plot
from nextword.cli.main import main
from nextword.config import configure, parse_override
from nextword.errors import Interrupted
from nextword.experiments import ablation
from nextword.experiments.ablation import Row, ablate, draw, plan
from nextword.files import locked, read_tensors
from nextword.training.loop import checkpoint, loop
from nextword.training.loop.journal import read_metrics
from nextword.training.loop.training import Training

# Test perplexity in the paper (arXiv:1708.02182, table 4): Penn Treebank, WikiText-2.
PAPER = {
    "full recipe": (57.3, 65.8),
    "no fine-tuning": (58.8, 66.0),
    "no NT-ASGD": (63.7, 69.7),
    "no variable-length BPTT": (58.9, 66.2),
    "no embedding dropout": (62.7, 68.1),
    "no weight decay": (61.0, 68.7),
    "no AR/TAR": (60.3, 70.1),
    "full-size embedding": (65.6, 70.7),
    "no weight drop": (68.9, 74.9),
}
TITLES = list(PAPER)
WITHOUT: dict[str, dict[str, Any]] = {  # the settings that make a row
    "full recipe": {},
    "no NT-ASGD": {"train.average": "none"},
    "no variable-length BPTT": {"train.stream": "stripes"},
    "no embedding dropout": {"model.dropout_embedding": 0.0},
    "no weight decay": {"optimizer.weight_decay": 0.0},
    "no AR/TAR": {"objective.ar": 0.0, "objective.tar": 0.0},
    "full-size embedding": {"model.embedding": 12},
    "no weight drop": {"model.dropout_weight": 0.0},
}
FOLDERS = {
    title: title.lower().replace("/", "-").replace(" ", "-").removesuffix("-bptt")
    for title in WITHOUT
} | {"full recipe": "full"}

SMALL = ["train.batch_size=4", "train.bptt=10", "optimizer.lr=1", "train.non_monotone=1"]
PLAIN = SMALL[:-1]  # for recipes that do not average
TINY = ["model.hidden=12", "model.embedding=8", "model.layers=2", "train.epochs=2", *SMALL]
TINY += ["text.lower=true"]

# Four ingredients, and nothing that takes long.
FEW = """
[text]
tokenizer = "word"

[model]
hidden = 12
embedding = 12
tied = true
dropout_weight = 0.3

[train]
epochs = 3
stream = "variable"
average = "non-monotone"

[optimizer]
name = "sgd"

[schedule]
name = "constant"
"""
FEW_TITLES = [
    "full recipe",
    "no fine-tuning",
    "no NT-ASGD",
    "no variable-length BPTT",
    "no weight drop",
]
FEW_RUNS = [
    "full/trained",
    "full/tuned",
    "no-nt-asgd/trained",
    "no-variable-length/trained",
    "no-variable-length/tuned",
    "no-weight-drop/trained",
    "no-weight-drop/tuned",
]
NONE = FEW.replace("dropout_weight = 0.3", "").replace('"variable"', '"stripes"')
NONE = NONE.replace('"non-monotone"', '"none"')


@dataclass
class Texts:
    folder: Path

    def __getattr__(self, name: str) -> Path:
        return self.folder / f"{name}.txt"


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """Ctrl-C is heard, though whoever runs the tests in the background may have it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Texts:
    """Texts and recipes."""
    folder = tmp_path_factory.mktemp("texts")
    line, other = "the cat sat on the mat .\n", "the dog ate the cat .\n"
    (folder / "train.txt").write_text((line + other) * 12, encoding="utf-8")
    (folder / "valid.txt").write_text((other + line) * 3, encoding="utf-8")
    (folder / "test.txt").write_text("the cat ate the dog .\n" * 6, encoding="utf-8")
    (folder / "empty.txt").write_text("", encoding="utf-8")
    (folder / "few.toml").write_text(FEW, encoding="utf-8")
    (folder / "none.toml").write_text(NONE, encoding="utf-8")
    return Texts(folder)


def command(texts: Texts, recipe: str, out: Path, *more: Any, settings: list[str]) -> list[str]:
    files = ["--train", texts.train, "--valid", texts.valid, "--out", out]
    sets = [part for setting in settings for part in ("--set", setting)]
    return [str(part) for part in ("ablate", recipe, *files, *sets, *more)]


def call(arguments: list[str]) -> tuple[int, str, str]:
    """Run a command line in this process: status, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main(arguments)
    return int(end.value.code or 0), out.getvalue(), err.getvalue()


@dataclass
class Done:
    """An ablation that went through, and what was seen of it."""

    folder: Path
    arguments: list[str]
    status: int = 0
    out: str = ""
    err: str = ""
    first: dict[str, dict[str, Tensor]] = field(default_factory=dict)  # run → weights at step 0
    steps: int = 0

    @property
    def table(self) -> list[dict[str, Any]]:
        table: list[dict[str, Any]] = json.loads((self.folder / "ablation.json").read_text())
        return table

    def run(self, title: str, which: str = "trained") -> Path:
        return self.folder / "rows" / FOLDERS[title] / which


def performed(folder: Path, arguments: list[str]) -> Done:
    """Run a command line and watch its trainings."""
    done = Done(folder, arguments)
    save, backward = checkpoint.save, loop.backward

    def watched_save(out: Path, model: Any, *rest: Any) -> None:
        name = str(out.relative_to(folder / "rows"))
        done.first.setdefault(name, {k: v.clone() for k, v in model.state_dict().items()})
        save(out, model, *rest)

    def watched_backward(*given: Any) -> Any:
        done.steps += 1
        return backward(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", watched_save)
        patch.setattr(loop, "backward", watched_backward)
        done.status, done.out, done.err = call(arguments)
    return done


@pytest.fixture(scope="module")
def awd(texts: Texts, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """All rows of AWD-LSTM, each training followed by fine-tuning."""
    folder = tmp_path_factory.mktemp("awd") / "new" / "out"
    more = ("--test", texts.test, "--fine-tune", 1, "--json")
    return performed(folder, command(texts, "awd-lstm-wt2", folder, *more, settings=TINY))


def few_rows(texts: Texts, folder: Path) -> list[str]:
    recipe = str(texts.folder / "few.toml")
    return command(texts, recipe, folder, "--fine-tune", 2, "--quiet", settings=SMALL)


@pytest.fixture(scope="module")
def few(texts: Texts, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The rows of a recipe with few ingredients, never interrupted."""
    folder = tmp_path_factory.mktemp("few") / "out"
    return performed(folder, few_rows(texts, folder))


def flat(run: Path) -> dict[str, Any]:
    """A run's settings as table.key → value."""
    tables = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert isinstance(tables.pop("recipe"), str)
    return {f"{table}.{key}": v for table, values in tables.items() for key, v in values.items()}


def difference(run: Path, other: Path) -> dict[str, Any]:
    """Settings of `run` that `other` has not."""
    one, two = flat(run), flat(other)
    assert one.keys() == two.keys()
    return {key: value for key, value in one.items() if value != two[key]}


def weights(run: Path) -> dict[str, Tensor]:
    return read_tensors(run / "model.safetensors")[0]


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def timeless(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in table]


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file but locks: when it was written, and what it holds."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


# ------------------------------------------------------------------------------------ which rows


@pytest.mark.parametrize("fine_tune", [True, False])
@pytest.mark.parametrize("recipe", ["awd-lstm-ptb", "awd-lstm-wt2"])
def test_rows_of_the_published_recipes(recipe: str, fine_tune: bool) -> None:
    """All nine, in the paper's order; without fine-tuning there is none to leave out."""
    rows, missing = plan(configure(recipe), fine_tune)
    left_out = [] if fine_tune else ["no fine-tuning"]
    assert [row.title for row in rows] == [title for title in TITLES if title not in left_out]
    assert [row.title for row in missing] == left_out
    assert {row.title: (row.ptb, row.wt2) for row in (*rows, *missing)} == PAPER


@pytest.mark.parametrize(
    ("recipe", "settings", "expected"),
    [
        (
            "awd-lstm-onecycle",
            [],
            ["embedding dropout", "weight decay", "AR/TAR", "full-size", "weight drop"],
        ),
        ("awd-gru", ["objective.ar=0", "objective.tar=0", "model.dropout_weight=0"], [
            "embedding dropout", "weight decay", "full-size",
        ]),
        ("awd-lstm-char", [], ["variable", "weight decay", "full-size", "weight drop"]),
        ("lstm", [], ["weight decay", "full-size"]),
        ("rnn", ["optimizer.weight_decay=0"], []),
        ("rnn", ["model.embedding=none", "train.average=always"], ["NT-ASGD", "weight decay"]),
        ("gru-tutorial", [], ["full-size"]),
        ("gru-tutorial", ["objective.ar=1"], ["AR/TAR", "full-size"]),
        ("gru-tutorial", ["objective.tar=1"], ["AR/TAR", "full-size"]),
        ("irnn", ["model.dropout_embedding=0.1"], ["embedding dropout", "weight decay"]),
        ("awd-lstm-wt2", ["train.stream=windows", "model.embedding=1150"], [
            "NT-ASGD", "embedding dropout", "weight decay", "AR/TAR", "weight drop",
        ]),
    ],
)  # fmt: skip
def test_rows_of_other_recipes(recipe: str, settings: list[str], expected: list[str]) -> None:
    """A row for each ingredient that the recipe has, whoever set it; the others are missing."""
    rows, missing = plan(configure(recipe, settings), False)
    titles = [row.title for row in rows]
    assert titles[0] == "full recipe"
    found = [title for title in TITLES if any(word in title for word in expected)]
    assert titles[1:] == found
    assert [row.title for row in missing] == [t for t in TITLES[1:] if t not in found]


def test_what_a_recipe_lacks_is_said(texts: Texts, tmp_path: Path) -> None:
    """On standard error, ingredient by ingredient. What is left is the recipe, with and without
    fine-tuning, whose length is in epochs even where the training's is in minutes."""
    folder = tmp_path / "out"
    settings = [*PLAIN, "train.minutes=1000", "train.patience=1", "train.eval_every=2"]
    settings += ["optimizer.lr=1e-30"]  # nothing gets better: a training stops at once
    recipe = str(texts.folder / "none.toml")
    arguments = command(texts, recipe, folder, "--fine-tune", 2, settings=settings)
    done = performed(folder, arguments)
    assert done.status == 0, done.err
    lines = done.err.splitlines()
    for title in TITLES:
        said = f"{title}: skipped, the recipe does not have it"
        assert lines.count(said) == (title not in ("full recipe", "no fine-tuning"))
    assert [row["row"] for row in done.table] == ["full recipe", "no fine-tuning"]
    trained, tuned = done.run("full recipe"), done.run("full recipe", "tuned")
    assert (flat(trained)["train.minutes"], flat(tuned)["train.minutes"]) == (1000, None)
    assert (flat(trained)["train.epochs"], flat(tuned)["train.epochs"]) == (3, 2)


# ------------------------------------------------------------------------------------- the rows


def test_every_row_is_there(awd: Done) -> None:
    """With its trainings; the directory is made with its parents."""
    assert awd.status == 0
    assert [row["row"] for row in awd.table] == TITLES
    rows = {path.name for path in (awd.folder / "rows").iterdir()}
    assert rows == set(FOLDERS.values())
    for title in WITHOUT:
        runs = sorted(path.name for path in (awd.folder / "rows" / FOLDERS[title]).iterdir())
        assert runs == (["trained"] if title == "no NT-ASGD" else ["trained", "tuned"])


@pytest.mark.parametrize("title", WITHOUT)
def test_a_row_differs_in_what_it_leaves_out(title: str, awd: Done) -> None:
    """And in nothing else, before and after fine-tuning, which is the training that the paper
    describes."""
    full, run = awd.run("full recipe"), awd.run(title)
    assert difference(run, full) == WITHOUT[title]
    if title == "no NT-ASGD":
        return
    tuned = awd.run(title, "tuned")
    changed = {"train.average": "always", "train.non_monotone_stop": True, "train.epochs": 1}
    assert difference(tuned, run) == changed
    assert difference(tuned, awd.run("full recipe", "tuned")) == WITHOUT[title]


def test_the_full_row_is_the_recipe(awd: Done, few: Done, texts: Texts) -> None:
    """With what was set by hand."""
    settings = configure("awd-lstm-wt2", TINY).dump()
    assert json.loads((awd.run("full recipe") / "config.json").read_text()) == settings
    assert settings["recipe"] == "awd-lstm-wt2"
    expected = configure(str(texts.folder / "few.toml"), SMALL).dump()
    assert json.loads((few.run("full recipe") / "config.json").read_text()) == expected


@pytest.mark.parametrize("title", [title for title in WITHOUT if title != "no NT-ASGD"])
def test_fine_tuning_starts_from_the_trained_weights(title: str, awd: Done) -> None:
    """Of its own row, and moves them; the vocabulary is kept."""
    run, tuned = awd.run(title), awd.run(title, "tuned")
    start = awd.first[f"{FOLDERS[title]}/tuned"]
    assert same(start, weights(run))
    assert not same(start, awd.first[f"{FOLDERS[title]}/trained"])
    assert not same(start, weights(tuned))
    tokenizers = [(one / "tokenizer.json").read_bytes() for one in (run, tuned)]
    assert tokenizers[0] == tokenizers[1]


def test_trainings_are_those_of_the_train_verb(awd: Done, texts: Texts, tmp_path: Path) -> None:
    """A row by hand: the same weights, to the last bit."""
    overrides = dict(parse_override(text) for text in [*TINY, "model.dropout_weight=0"])
    files: dict[str, Any] = {"valid": texts.valid, "quiet": True}
    nextword.train("awd-lstm-wt2", texts.train, tmp_path / "a", overrides=overrides, **files)
    assert same(weights(tmp_path / "a"), weights(awd.run("no weight drop")))
    del overrides["text.lower"]
    overrides |= {"train.average": "always", "train.non_monotone_stop": True, "train.epochs": 1}
    nextword.train(
        "awd-lstm-wt2",
        texts.train,
        tmp_path / "b",
        overrides=overrides,
        start_from=tmp_path / "a",
        **files,
    )
    assert same(weights(tmp_path / "b"), weights(awd.run("no weight drop", "tuned")))


def test_no_row_trains_twice(awd: Done) -> None:
    """The row without fine-tuning is the full one before it: every step counts once."""
    runs = [path.parent for path in (awd.folder / "rows").glob("*/*/model.safetensors")]
    assert len(runs) == 15
    assert awd.steps == sum(max(r["step"] for r in read_metrics(run)) for run in runs)
    for run in runs:
        epochs = flat(run)["train.epochs"]
        validations = epochs + (run.name == "tuned")  # how good the start is comes first
        assert len([r for r in read_metrics(run) if "valid_nll" in r]) == validations


# ------------------------------------------------------------------------------------- the table


def test_table_in_json(awd: Done, texts: Texts) -> None:
    """ablation.json: what `evaluate` says of each row's last run, beside the paper's figures."""
    for row in awd.table:
        title = row["row"]
        tuned = awd.run(title, "tuned") if title in WITHOUT else Path("nowhere")
        runs = [awd.run("full recipe" if title == "no fine-tuning" else title)]
        runs += [tuned] if tuned.is_dir() else []
        last = nextword.load(runs[-1])
        seconds = [[r["seconds"] for r in read_metrics(run) if "seconds" in r][-1] for run in runs]
        assert row == {
            "row": title,
            "valid_perplexity": nextword.evaluate(last, texts.valid).perplexity,
            "test_perplexity": nextword.evaluate(last, texts.test).perplexity,
            "paper_test_ptb": PAPER[title][0],
            "paper_test_wt2": PAPER[title][1],
            "parameters": sum(value.numel() for value in weights(runs[-1]).values()),
            "seconds": pytest.approx(sum(seconds), abs=0.06),
        }
    assert len({row["valid_perplexity"] for row in awd.table}) >= 8
    parameters = {row["row"]: row["parameters"] for row in awd.table}
    assert parameters.pop("full-size embedding") > parameters["full recipe"]
    assert len(set(parameters.values())) == 1


def test_json_output(awd: Done) -> None:
    """Standard output holds the same table and nothing else."""
    assert awd.out.count("\n") == 1
    assert json.loads(awd.out) == {"rows": awd.table}


def test_progress_is_told(awd: Done) -> None:
    """Row by row, on standard error, with the time that is left."""
    lines = [line for line in awd.err.splitlines() if line.startswith("row ")]
    assert lines[0] == "row 1 of 9: full recipe"
    for number, (line, title) in enumerate(zip(lines, TITLES, strict=True), start=1):
        assert line.startswith(f"row {number} of 9: {title}")
        assert line.endswith(" minutes left)") == (number > 1)


def test_table_on_the_screen(awd: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command without --json: nothing is trained, and the table says how far each row is
    from the full one."""

    def refuse(*given: Any) -> Any:
        raise AssertionError("trained again")

    monkeypatch.setattr(loop, "backward", refuse)
    before = snapshot(awd.folder)
    status, out, err = call([part for part in awd.arguments if part != "--json"])
    assert status == 0 and "row " not in err
    assert snapshot(awd.folder) == before
    head, *lines, last = out.splitlines()
    assert head.split() == ["valid", "test", "paper:", "PTB", "WT2", "minutes"]
    assert last == f"written: {awd.folder / 'ablation.json'}, {awd.folder / 'ablation.png'}"
    table = awd.table
    full = table[0]
    for line, row in zip(lines, table, strict=True):
        assert line[:26].strip() == row["row"]
        numbers = [
            f"{row['valid_perplexity']:.2f}",
            f"{row['valid_perplexity'] - full['valid_perplexity']:+.2f}",
            f"{row['test_perplexity']:.2f}",
            *(f"{value:.1f}" for value in PAPER[row["row"]]),
            f"{row['seconds'] / 60:.1f}",
        ]
        if row is full:
            del numbers[1]
        assert line[26:].split() == numbers


def test_without_a_test_text(few: Done) -> None:
    """There is no figure of it, nor a column's worth; quiet says nothing."""
    assert few.status == 0 and few.err == ""
    assert [row["row"] for row in few.table] == FEW_TITLES
    assert all(row["test_perplexity"] is None for row in few.table)
    _, *lines, _ = few.out.splitlines()
    assert [len(line[26:].split()) for line in lines] == [4, 5, 5, 5, 5]


def test_from_python(few: Done, texts: Texts) -> None:
    """The rows of a finished ablation, in order."""
    rows = ablate(
        str(texts.folder / "few.toml"),
        [texts.train],
        [texts.valid],
        few.folder,
        overrides=dict(parse_override(text) for text in SMALL),
        fine_tune=2,
    )
    assert [row.as_dict() for row in rows] == few.table
    for row in rows:
        assert Row.from_dict(row.as_dict()) == replace(row, seconds=round(row.seconds, 1))


# ----------------------------------------------------------------------------------- the picture


def test_a_picture_is_drawn(awd: Done, few: Done) -> None:
    """A whole PNG file."""
    for done in (awd, few):
        picture = (done.folder / "ablation.png").read_bytes()
        assert picture.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND" in picture[-12:]
        assert len(picture) > 10_000
    assert not [path for path in awd.folder.iterdir() if path.name.startswith(".abl")]


class Axes:
    """Remembers what is drawn on it; everything else goes into thin air."""

    def __init__(self) -> None:
        self.bars: dict[str, list[float]] = {}
        self.places: dict[str, list[float]] = {}
        self.titles: list[str] = []

    def barh(self, places: list[float], values: list[float], *, label: str, **look: Any) -> None:
        self.bars[label], self.places[label] = list(values), list(places)

    def set_yticks(self, places: Any, titles: list[str]) -> None:
        assert list(places) == list(range(len(titles)))
        self.titles = titles

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *given, **named: None


@pytest.mark.parametrize("test", [True, False])
def test_bars_are_changes_in_percent(
    test: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the perplexity against the full recipe's, ours and the paper's, a group for each row."""
    axes = Axes()

    @contextmanager
    def figure(path: Path, **look: Any) -> Iterator[list[Axes]]:
        yield [axes]

    monkeypatch.setattr(plot, "figure", figure)
    rows = [
        Row("full recipe", 50.0, 40.0 if test else None, (57.3, 65.8), 9, 1.0),
        Row("no NT-ASGD", 60.0, 44.0 if test else None, (63.7, 69.7), 9, 1.0),
        Row("no weight drop", 45.0, 50.0 if test else None, (68.9, 74.9), 9, 1.0),
    ]
    draw(rows, tmp_path / "x.png")
    assert axes.titles == ["no NT-ASGD", "no weight drop"]
    expected = {
        "here, validation text": [20, -10],
        "here, test text": [10, 25],
        "paper, Penn Treebank": [100 * (63.7 / 57.3 - 1), 100 * (68.9 / 57.3 - 1)],
        "paper, WikiText-2": [100 * (69.7 / 65.8 - 1), 100 * (74.9 / 65.8 - 1)],
    }
    if not test:
        del expected["here, test text"]
    assert axes.bars == {name: pytest.approx(values) for name, values in expected.items()}
    drawn = sorted(place for places in axes.places.values() for place in places)
    gaps = [b - a for a, b in pairwise(drawn)]
    assert min(gaps) > 0.15 and len(drawn) == 2 * len(expected)


def test_a_first_row_can_be_drawn(tmp_path: Path) -> None:
    """And a row that lacks a figure."""
    full = Row("full recipe", 50.0, 40.0, (57.3, 65.8), 9, 1.0)
    draw([full], tmp_path / "one.png")
    draw([full, Row("no weight drop", 60.0, None, (68.9, 74.9), 9, 1.0)], tmp_path / "two.png")
    assert all((tmp_path / f"{name}.png").stat().st_size > 5000 for name in ("one", "two"))


# -------------------------------------------------------------------------------------- going on


def finished(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Weights and states of the trainings of the rows that are in the table."""
    table = folder / "ablation.json"
    titles = [row["row"] for row in json.loads(table.read_text())] if table.exists() else []
    rows = {FOLDERS.get(title, "full") for title in titles}
    return {
        path: seen
        for path, seen in snapshot(folder).items()
        if path.endswith(".safetensors") and Path(path).parent.parent.name in rows
    }


def goes_on(done: Done, few: Done, before: dict[str, tuple[int, bytes]]) -> None:
    """The ablation ended as the one that was never interrupted did, and left finished rows be."""
    assert (done.status, done.err) == (0, "")
    assert timeless(done.table) == timeless(few.table)
    for run in FEW_RUNS:
        assert same(weights(done.folder / "rows" / run), weights(few.folder / "rows" / run)), run
    after = snapshot(done.folder)
    assert {path: after[path] for path in before} == before
    assert (done.folder / "ablation.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("run", "call_"),
    [
        ("full/trained", 5),
        ("full/tuned", 2),
        ("no-weight-drop/tuned", 4),
    ],
)
def test_ctrl_c_and_the_same_command_again(
    run: str, call_: int, few: Done, texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it was stopped: status 130, one line, and then the table of an ablation that was
    never stopped; no step is taken twice."""
    folder = tmp_path / "out"
    backward, calls, steps = loop.backward, 0, 0

    def interrupted(training: Training, *given: Any) -> Any:
        nonlocal calls, steps
        steps += 1
        calls += str(training.folder).endswith(run)
        if calls == call_ and str(training.folder).endswith(run):
            os.kill(os.getpid(), signal.SIGINT)
        return backward(training, *given)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "backward", interrupted)
        status, out, err = call(few_rows(texts, folder))
    assert (status, out) == (130, "")
    assert err == "nextword: stopped and saved; run the same command to continue\n"
    before = finished(folder)
    assert bool(before) == (not run.startswith("full"))
    torch.manual_seed(999)  # whatever happened since must not matter
    done = performed(folder, few_rows(texts, folder))
    goes_on(done, few, before)
    assert steps + done.steps == few.steps


def test_ctrl_c_in_an_evaluation(
    few: Done, texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training before it is not repeated."""
    folder = tmp_path / "out"
    original = ablation.evaluate_text
    calls, steps = 0, 0
    backward = loop.backward

    def evaluate(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
        return original(*given, **named)

    def counted(*given: Any) -> Any:
        nonlocal steps
        steps += 1
        return backward(*given)

    with monkeypatch.context() as patch:
        patch.setattr(ablation, "evaluate_text", evaluate)
        patch.setattr(loop, "backward", counted)
        assert call(few_rows(texts, folder))[0] == 130
    before = finished(folder)
    assert len(before) == 4  # two trainings of the two rows that share them
    done = performed(folder, few_rows(texts, folder))
    goes_on(done, few, before)
    assert steps + done.steps == few.steps


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
)
def test_a_process_that_is_stopped_goes_on(
    number: signal.Signals, few: Done, texts: Texts, tmp_path: Path
) -> None:
    """By Ctrl-C, politely or by kill -9, in the middle."""
    folder = tmp_path / "out"
    arguments = few_rows(texts, folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "nextword", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    middle = folder / "rows" / "no-nt-asgd" / "trained" / "state.safetensors"
    deadline = time.monotonic() + 60
    while not middle.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(number)
    _, err = process.communicate()
    if number == signal.SIGINT:
        assert process.returncode == 130, err
        assert err == "nextword: stopped and saved; run the same command to continue\n"
    elif number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode not in (0, 1, 2)
    rows = json.loads((folder / "ablation.json").read_text())
    assert 2 <= len(rows) < 5
    assert timeless(rows) == timeless(few.table)[: len(rows)]
    before = finished(folder)
    goes_on(performed(folder, arguments), few, before)


def test_interruptions_in_python(
    few: Done, texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Interrupted`, as a training raises it."""

    def refuse(*given: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "backward", refuse)
    with pytest.raises(Interrupted):
        ablate(
            str(texts.folder / "few.toml"),
            [texts.train],
            [texts.valid],
            tmp_path / "out",
            overrides=SMALL,
            quiet=True,
        )


# ---------------------------------------------------------------------------------- what is refused


def refused(arguments: list[str], words: str) -> None:
    """Status 2 and one line."""
    status, out, err = call(arguments)
    assert (status, out) == (2, "")
    assert err.startswith("nextword: ") and err.count("\n") == 1
    assert words in err


def test_another_ablation_in_the_same_place_is_refused(few: Done, texts: Texts) -> None:
    """Other settings, texts, recipe or fine-tuning; nothing changes there."""
    recipe = str(texts.folder / "few.toml")
    before = snapshot(few.folder)
    swapped = [
        {"--train": texts.valid, "--valid": texts.train}.get(before, part)
        for before, part in zip([None, *few.arguments], few.arguments, strict=False)
    ]
    longer = [part if part != "2" else "3" for part in few.arguments]
    for arguments in (
        command(texts, recipe, few.folder, "--fine-tune", 2, settings=[*SMALL, "model.hidden=13"]),
        command(texts, recipe, few.folder, "--fine-tune", 2, settings=SMALL[:-1]),
        command(texts, recipe, few.folder, settings=SMALL),
        command(texts, "lstm", few.folder, "--fine-tune", 2, settings=PLAIN),
        [*few.arguments, "--test", str(texts.test)],
        [*few.arguments, "--train", str(texts.test)],
        [str(part) for part in swapped],
        longer,
    ):
        assert arguments != few.arguments
        refused(arguments, "holds an ablation with other settings or texts")
    assert snapshot(few.folder) == before


def test_a_place_that_holds_something_else_is_refused(texts: Texts, tmp_path: Path) -> None:
    """A file, or a directory that is not empty; an empty one would do."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("mine")
    before = snapshot(tmp_path)
    for name in ("file", "full"):
        arguments = command(texts, "awd-lstm-wt2", tmp_path / name, settings=TINY)
        refused(arguments, "holds something else; name another directory")
    assert snapshot(tmp_path) == before


def test_an_ablation_at_work_is_not_disturbed(few: Done) -> None:
    """Only one process at a time."""
    with locked(few.folder):
        refused(few.arguments, "another process")


@pytest.mark.parametrize("option", ["--train", "--valid", "--test"])
@pytest.mark.parametrize(("name", "words"), [("nowhere", "no file"), ("empty", "is empty")])
def test_texts_that_cannot_be_read_are_refused(
    option: str, name: str, words: str, texts: Texts, tmp_path: Path
) -> None:
    """Before anything is made."""
    arguments = command(texts, "awd-lstm-wt2", tmp_path / "out", settings=TINY)
    refused([*arguments, option, str(texts.folder / f"{name}.txt")], words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("recipe", "settings", "words"),
    [
        ("ngram", [], "'ngram' is no recurrent recipe"),
        ("unigram", [], "'unigram' is no recurrent recipe"),
        ("mixture", [], "'mixture' is no recurrent recipe"),
        ("awd-lstm", [], "did you mean 'awd-lstm-"),
        ("awd-lstm-wt2", ["model.hiden=3"], "did you mean 'model.hidden'"),
        ("awd-lstm-wt2", ["train.epochs=0"], "train.epochs"),
    ],
)
def test_recipes_that_cannot_be_ablated_are_refused(
    recipe: str, settings: list[str], words: str, texts: Texts, tmp_path: Path
) -> None:
    """Before anything is made."""
    refused(command(texts, recipe, tmp_path / "out", settings=settings), words)
    assert not (tmp_path / "out").exists()


def test_an_empty_directory_will_do(
    texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was claimed and not yet begun goes on."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "rows").mkdir()
    (tmp_path / "out" / "rows").rmdir()

    def refuse(*given: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "backward", refuse)
    for _ in range(2):
        assert call(command(texts, "awd-lstm-wt2", tmp_path / "out", settings=TINY))[0] == 130


def test_what_is_refused_leaves_nothing(tmp_path: Path) -> None:
    """A first training that is refused does not claim the directory."""
    text, out = tmp_path / "text.txt", tmp_path / "out"
    text.write_text("one two three\n" * 12, encoding="utf-8")
    paths = ["--train", str(text), "--valid", str(text), "--out", str(out)]
    refused(["ablate", "awd-lstm-wt2", "--quiet", *paths], "train.bptt")
    assert not out.exists()
