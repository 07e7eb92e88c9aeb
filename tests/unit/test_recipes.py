"""`nextword recipes`: every setting of every recipe, with its value and its meaning."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nextword.cli.main import main
from nextword.config import RECIPES, SECTIONS, Section, configure, read_recipe, recipe_path
from nextword.config.describe import describe_recipe
from nextword.errors import InputError
from nextword.registry import REGISTRY, load

NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))
PARTS = ("model", "encoder", "objective", "optimizer", "schedule")
SCHEMAS: list[type[Section]] = [*SECTIONS.values()]
SCHEMAS += [load(kind, name) for kind in PARTS for name in REGISTRY[kind]]


def leaves(tables: dict[str, Any], where: str = "") -> dict[str, Any]:
    """Nested tables as one: {"model": {"hidden": 3}} → {"model.hidden": 3}."""
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        path = f"{where}{key}"
        flat |= leaves(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__name__)
def test_every_field_says_what_it_means(schema: type[Section]) -> None:
    """Also those that no recipe uses; `name` is explained by the table it stands in."""
    silent = [
        key
        for key, field in schema.model_fields.items()
        if key != "name" and len((field.description or "").split()) < 2
    ]
    assert silent == []


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_listed(name: str) -> None:
    """With the value that the parsed recipe has, its default, and whether the recipe gives it."""
    listed = {s.key: s for settings in describe_recipe(name).values() for s in settings}
    expected = leaves({k: v for k, v in configure(name).dump().items() if k != "recipe"})
    assert {key: setting.value for key, setting in listed.items()} == expected
    given = leaves({k: v for k, v in read_recipe(name).items() if k != "about"})
    assert {key for key, setting in listed.items() if setting.given} == set(given)
    for key, setting in listed.items():
        assert setting.meaning and setting.allowed, key
        if not setting.given and "encoder" not in key and not key.startswith("model.labels"):
            assert setting.value == setting.default, key


@pytest.mark.parametrize(
    ("recipe", "key", "allowed", "default"),
    [
        ("lstm", "train.epochs", "integer >= 1", 10),
        ("lstm", "train.minutes", "number > 0 or none", None),
        ("lstm", "text.vocab_size", "integer >= 3 or auto or none", "auto"),
        ("lstm", "train.precision", "fp32 | bf16 | auto", "fp32"),
        ("lstm", "model.tied", "true | false", False),
        ("lstm", "model.cell", " | ".join(REGISTRY["cell"]), "lstm"),
        ("lstm", "optimizer.name", " | ".join(REGISTRY["optimizer"]), "adamw"),
        ("lstm", "optimizer.betas", "a list of 2 numbers", [0.9, 0.99]),
        ("lstm", "model.dropout_output", "number >= 0, < 1", 0.0),
        ("awd-lstm-ptb", "optimizer.momentum", "number >= 0, < 1", 0.0),
        ("seq2seq", "model.attention", f"{' | '.join(REGISTRY['attention'])} or none", "dot"),
        ("seq2seq", "source.joint", "true | false", False),
        ("ngram", "model.smoothing", " | ".join(REGISTRY["smoothing"]), "modified-kneser-ney"),
        ("ulmfit", "model.encoder.hidden", "integer >= 1", 256),
        (
            "ulmfit",
            "model.encoder.name",
            "bidirectional | recurrent | transformer-lm | bert",
            "bidirectional",
        ),
    ],
)
def test_what_may_be_given(recipe: str, key: str, allowed: str, default: Any) -> None:
    """Bounds, names and defaults are those of the schema and the registry."""
    [found] = [s for settings in describe_recipe(recipe).values() for s in settings if s.key == key]
    assert (found.allowed, found.default) == (allowed, default)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["recipes", *arguments])
    assert end.value.code == 0
    return capsys.readouterr().out


def test_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Grouped by table; an asterisk where the recipe speaks; values as `--set` takes them."""
    out = run(capsys, "lstm")
    lines = out.splitlines()
    assert [line for line in lines if line.startswith("[")] == [
        f"[{table}]" for table in ("text", "model", "objective", "train", "optimizer", "schedule")
    ]
    heads = {line[2:].split("  ")[0]: line[0] for line in lines if line[2:6] in ("trai", "mode")}
    assert heads["model.hidden = 512"] == "*" and heads["train.seed = 1"] == " "
    assert heads["model.tied = true"] == "*" and heads["train.minutes = none"] == " "
    meanings = [line for line in lines if line.startswith(" " * 6)]
    assert meanings and max(map(len, meanings)) <= 100
    assert configure("lstm", [setting.replace(" = ", "=") for setting in heads]) == configure(
        "lstm"
    )


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One object: of all recipes, or of one."""
    listed = json.loads(run(capsys, "--json"))["recipes"]
    assert [one["name"] for one in listed] == NAMES and all(one["about"] for one in listed)
    one = json.loads(run(capsys, "bert", "--json"))
    assert one["name"] == "bert" and one["about"]
    keys = {"key", "value", "default", "allowed", "meaning", "given"}
    assert all(setting.keys() == keys for setting in one["settings"])


def test_unknown_name() -> None:
    with pytest.raises(InputError, match="did you mean 'lstm'"):
        describe_recipe("lstmm")


def test_departures_from_the_papers_are_named() -> None:
    """Every recipe with an LSTM says how its forget gates begin, in its comments."""
    lstms = 0
    for name in NAMES:
        model = configure(name).model.model_dump()
        cell = model.get("encoder", model).get("cell", "")
        if cell and "c" in load("cell", cell).state_names:
            lstms += 1
            comments = [line for line in recipe_path(name).read_text().splitlines() if "#" in line]
            assert "forget gates" in " ".join(comments), name
    assert lstms > 8
