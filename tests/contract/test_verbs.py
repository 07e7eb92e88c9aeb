"""Every verb on every kind of run: it succeeds, or one line says what the run is for.

The runs are those of tests/fixtures/earlier_runs, which hold every registered model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nextword import registry
from nextword.run import read_config
from nextword.tasks import task_of
from nextword.types import Ability
from tests.support import Cli

FOLDER = Path(__file__).parent.parent / "fixtures" / "earlier_runs"
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
RUNS = [name for name in EXPECTED if name != "scores"]

Arguments = Callable[[Path, Path, Path], list[object]]  # run, its data, a folder → command line


def verb(*words: object, out: str = "") -> Arguments:
    """A command line: RUN, DATA and OUT stand for the run, its data and a file in a folder."""

    def arguments(run: Path, data: Path, folder: Path) -> list[object]:
        places = {"RUN": run, "DATA": data, "OUT": folder / out}
        return [places.get(str(word), word) for word in words]

    return arguments


#: Pairs for every run that scores sentences: a translator reads source, tab, target.
PAIRS = FOLDER / "minimal-pairs.jsonl"

#: Name → the command line, and what the run must be able to do.
VERBS: dict[str, tuple[Arguments, Ability | None]] = {
    "evaluate": (verb("evaluate", "RUN", "--data", "DATA", "--json"), Ability.EVALUATE),
    "evaluate --dynamic": (verb("evaluate", "RUN", "--data", "DATA", "--dynamic"), None),
    "evaluate --cache": (verb("evaluate", "RUN", "--data", "DATA", "--cache"), None),
    "evaluate --stripes": (verb("evaluate", "RUN", "--data", "DATA", "--stripes", 2), None),
    "evaluate --mc-dropout": (verb("evaluate", "RUN", "--data", "DATA", "--mc-dropout", 2), None),
    "evaluate --tune": (
        verb("evaluate", "RUN", "--data", "DATA", "--cache", "--tune", "DATA"),
        None,
    ),
    "evaluate --target": (verb("evaluate", "RUN", "--data", "DATA", "--target", "DATA"), None),
    "evaluate --plot": (
        verb("evaluate", "RUN", "--data", "DATA", "--plot", "OUT", out="matrix.png"),
        Ability.CONFUSION,
    ),
    "evaluate --minimal-pairs": (
        verb("evaluate", "RUN", "--minimal-pairs", PAIRS, "--json"),
        Ability.SCORE,
    ),
    "compare --minimal-pairs": (
        verb("compare", "RUN", "RUN", "--minimal-pairs", PAIRS),
        Ability.SCORE,
    ),
    "score": (verb("score", "RUN", "DATA"), Ability.SCORE),
    "score --json": (verb("score", "RUN", "DATA", "--json"), Ability.SCORE),
    "filter": (
        verb("filter", "RUN", "DATA", "--out", "OUT", "--quiet", out="filtered"),
        Ability.PREDICT,
    ),
    "filter --buckets": (
        verb(
            *("filter", "RUN", "DATA", "--out", "OUT", "--buckets", "30,60", "--split"),
            *("--workers", 1, "--quiet"),
            out="filtered",
        ),
        Ability.PREDICT,
    ),
    "generate": (verb("generate", "RUN", "--tokens", 3, "--seed", 1), Ability.GENERATE),
    "generate --beam": (verb("generate", "RUN", "--tokens", 3, "--beam", 2), Ability.GENERATE),
    "translate": (verb("translate", "RUN", "DATA"), Ability.TRANSLATE),
    "fill": (verb("fill", "RUN", "the [MASK] of"), Ability.FILL),
    "classify": (verb("classify", "RUN", "DATA"), None),
    "classify --json": (verb("classify", "RUN", "DATA", "--json"), None),
    "embed": (verb("embed", "RUN", "DATA"), Ability.EMBED),
    "compare": (verb("compare", "RUN", "RUN", "--data", "DATA"), Ability.EVALUATE),
    "compare --json": (verb("compare", "RUN", "--data", "DATA", "--json"), Ability.EVALUATE),
    "compare --out": (
        verb("compare", "RUN", "--data", "DATA", "--out", "OUT", out="lengths.png"),
        Ability.LENGTHS,
    ),
    "inspect gradients": (
        verb(
            "inspect",
            "RUN",
            "gradients",
            "--data",
            "DATA",
            "--length",
            4,
            "--out",
            "OUT",
            out="g.png",
        ),
        Ability.GRADIENTS,
    ),
    "inspect attention": (
        verb("inspect", "RUN", "attention", "--source", "one two", "--out", "OUT", out="a.png"),
        Ability.ATTENTION,
    ),
    "export arpa": (verb("export", "RUN", "--format", "arpa", "--out", "OUT", out="m.arpa"), None),
    "export kenlm": (
        verb("export", "RUN", "--format", "kenlm-probing", "--out", "OUT", out="m.bin"),
        None,
    ),
    "export hf": (verb("export", "RUN", "--format", "hf", "--out", "OUT", out="hub"), None),
    "train --resume": (verb("train", "--out", "RUN", "--resume", "--quiet"), None),
    "train mixture": (
        verb("train", "mixture", "RUN", "RUN", "--valid", "DATA", "--out", "OUT", out="mixed"),
        Ability.MIX,
    ),
}

#: Abilities that serve where another one is asked for.
INSTEAD = {Ability.GENERATE: Ability.GENERATE_MASKED}


#: An option that only some runs have a use for → a value, and the task that has one.
OPTIONS: dict[str, tuple[list[object], tuple[str, ...]]] = {
    "--beam": ([2], ("pairs",)),
    "--alpha": ([0.0], ("pairs",)),
    "--target": (["DATA"], ("pairs",)),
    "--stripes": ([2], ("text",)),
    "--dynamic": ([], ("text",)),
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("verb", ["evaluate", "compare"])
def test_an_option_that_would_do_nothing_is_refused(verb: str, option: str, cli: Cli) -> None:
    """Whatever the run reads, and although the value is the default."""
    values, tasks = OPTIONS[option]
    for name in RUNS:
        run, data = FOLDER / name, FOLDER / EXPECTED[name]["data"]
        if read_config(run).model.task in tasks:
            continue
        words = [data if value == "DATA" else value for value in values]
        status, _, err = cli(verb, run, "--data", data, option, *words)
        assert status == 2 and f"{option} is for models that read" in err, (name, err)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("generate lstm --beam 2 --seed 1", "leave out --seed"),
        ("generate lstm --beam 2 --precision fp32", "leave out --precision"),
        ("generate lstm --beam 2 --samples 1", "leave out --samples"),
        ("generate lstm --beam 2 --temperature 1", "leave out --temperature"),
        ("generate lstm --beam 2 --top-k 3 --min-p 0", "leave out --top-k and --min-p"),
        ("generate lstm --temperature 0 --top-k 3", "top_k does nothing with temperature = 0"),
        ("generate lstm --temperature 0 --top-p 0.5", "top_p does nothing with temperature = 0"),
        ("translate transformer DATA --sample --beam 2", "leave out --beam, --alpha"),
        ("translate transformer DATA --sample --alpha 0.6", "leave out --beam, --alpha"),
        ("translate transformer DATA --sample --n-best 1", "leave out --beam, --alpha"),
        ("translate transformer DATA --temperature 1", "need --sample"),
        ("translate transformer DATA --attention", "--attention needs --json"),
        ("inspect lstm gradients --out a.png --heads", "--heads is for: inspect RUN attention"),
        ("inspect transformer attention --source x --out a.png --length 9", "--length is for"),
        ("inspect transformer attention --source x --out a.png --samples 64", "--samples is for"),
        ("inspect transformer attention --source x --out a.png --data DATA", "--data is for"),
        ("inspect transformer attention --source x --out a.png --with lstm", "--with is for"),
        ("embed lstm DATA --overwrite", "--overwrite needs --out"),
        ("evaluate lstm", "name a text with --data FILE"),
        ("compare lstm --minimal-pairs DATA --data DATA", "without --data; leave it out"),
        ("evaluate lstm --minimal-pairs DATA --data DATA --stripes 2", "--data and --stripes;"),
        ("evaluate lstm --data DATA --by sum", "--by is for minimal pairs"),
        ("evaluate lstm --data DATA --normalise moses", "no normalisation 'moses'"),
        ("score lstm DATA --normalise moses", "no normalisation 'moses'"),
        ("train mixture lstm lstm --out m --valid DATA --target DATA", "--target"),
    ],
)
def test_options_that_exclude_each_other(
    call: str, said: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of two is silently left unused."""
    monkeypatch.chdir(tmp_path)
    places = {name: FOLDER / name for name in RUNS} | {"DATA": FOLDER / "train.txt"}
    words = call.split()
    begin = 2 if words[0] == "train" else 1  # the recipe is called like a run
    status, _, err = cli(*words[:begin], *(places.get(word, word) for word in words[begin:]))
    assert status == 2 and said in err, err
    assert list(tmp_path.iterdir()) == []


def test_a_row_for_every_line(cli: Cli, tmp_path: Path) -> None:
    """`translate --n-best`: empty lines too, and each row has the number of its sentence."""
    (tmp_path / "lines.txt").write_text("seven\n\n   \neight", encoding="utf-8")
    status, out, _ = cli("translate", FOLDER / "transformer", tmp_path / "lines.txt", "--n-best", 2)
    rows = [line.split("\t") for line in out.split("\n")[:-1]]
    assert status == 0 and all(len(row) == 4 for row in rows)
    assert [row[:2] for row in rows] == [
        ["1", "1"], ["1", "2"], ["2", "1"], ["3", "1"], ["4", "1"], ["4", "2"],
    ]  # fmt: skip
    assert rows[2][2:] == rows[3][2:] == ["-", ""]


def test_every_model_and_every_task_is_tried() -> None:
    """A model that is registered later needs a run here."""
    configs = [read_config(FOLDER / name).model for name in RUNS]
    assert {config.name for config in configs} == set(registry.names("model"))
    assert {config.task for config in configs} == set(registry.names("task"))


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("run", RUNS)
def test_succeeds_or_says_what_the_run_is_for(
    run: str, name: str, cli: Cli, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(FOLDER / run, tmp_path / run))
    arguments, ability = VERBS[name]
    task = task_of(read_config(copy))
    if ability in INSTEAD and ability not in task.abilities:
        ability = INSTEAD[ability] if INSTEAD[ability] in task.abilities else ability
    status, _, err = cli(*arguments(copy, FOLDER / EXPECTED[run]["data"], tmp_path))
    assert "Traceback" not in err
    if status == 0:
        assert ability is None or ability in task.abilities
        return
    last = err.splitlines()[-1]
    assert status == 2, err
    assert last.startswith("nextword: ")
    if ability is not None and ability not in task.abilities:
        usage = next(iter(task.abilities.values())).split(" {run}")[0]
        assert task.does in last and usage in last


TASK_FILES = {
    "text": "train.txt",
    "sentences": "train.txt",
    "pairs": "pairs.tsv",
    "labelled": "labelled.tsv",
    "tagged": "tagged.tsv",
}
SMALL = {  # a recipe of each task, small
    "lstm": ["model.hidden=8", "model.embedding=8"],
    "bert": ["model.hidden=8", "model.heads=2", "model.layers=1", "train.bptt=32"],
    "transformer": ["model.hidden=8", "model.heads=2", "model.layers=1"],
    "classifier": ["model.encoder.hidden=8"],
    "tagger": ["model.encoder.hidden=8"],
}


@pytest.mark.parametrize("recipe", SMALL)
def test_the_range_test_is_for_every_task(recipe: str, cli: Cli, tmp_path: Path) -> None:
    from nextword.config import configure

    task = configure(recipe).model.task
    settings = [part for setting in SMALL[recipe] for part in ("--set", setting)]
    text, picture = FOLDER / TASK_FILES[task], tmp_path / "lr.png"
    status, out, err = cli(
        "find-lr", recipe, "--train", text, "--steps", 10, "--low", 1e-4, "--high", 1e-1,
        "--out", picture, "--quiet", *settings,
    )  # fmt: skip
    assert status == 0, err
    assert out.startswith("suggested: ") and picture.stat().st_size > 1000


@pytest.mark.parametrize("recipe", SMALL)
@pytest.mark.parametrize("task", TASK_FILES)
def test_a_recipe_with_the_text_of_another_task(
    recipe: str, task: str, cli: Cli, tmp_path: Path
) -> None:
    """Training succeeds, or one line says what is wrong, and nothing is left behind."""
    out = tmp_path / "run"
    settings = [part for one in [*SMALL[recipe], "train.epochs=1"] for part in ("--set", one)]
    status, _, err = cli(
        "train", recipe, "--train", FOLDER / TASK_FILES[task], "--out", out, "--quiet", *settings
    )
    assert status in (0, 2)
    assert "Traceback" not in err and len(err.splitlines()) <= 1
    assert out.is_dir() == (status == 0)
    assert {path.name for path in tmp_path.iterdir()} <= {"run"}
