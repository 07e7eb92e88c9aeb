"""Recipes and settings: strict, frozen, overridden by dots; mistakes name what was meant."""

from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nextword import registry
from nextword.config import (
    PARTS,
    RECIPES,
    SECTIONS,
    Config,
    SourceConfig,
    TextConfig,
    configure,
    parse_override,
    parse_section,
    read_recipe,
    recipe_path,
)
from nextword.errors import InputError

NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))


def complaint(action: Any, *arguments: Any, **options: Any) -> str:
    """The message of the InputError that the call must end with: one line."""
    with pytest.raises(InputError) as caught:
        action(*arguments, **options)
    message = str(caught.value)
    assert message and "\n" not in message
    return message


@pytest.fixture
def recipe(tmp_path: Path) -> Any:
    """Writes a recipe of one's own and returns its name."""

    def write(text: str) -> str:
        (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
        return str(tmp_path / "mine.toml")

    return write


# ---------------------------------------------------------------- recipes


@pytest.mark.parametrize("name", NAMES)
def test_recipe_round_trip(name: str) -> None:
    """Every built-in recipe parses, and what is dumped as JSON parses to the same settings."""
    config = configure(name)
    assert config.recipe == name
    tables = json.loads(json.dumps(config.dump()))
    assert Config.parse(tables, tables["recipe"]) == config
    assert configure(name) == config


@pytest.mark.parametrize("name", NAMES)
def test_recipe_says_what_it_is(name: str) -> None:
    """Each one has a line for `nextword recipes`, and sets nothing but known keys."""
    assert read_recipe(name)["about"].strip()
    config = configure(name)
    for table, values in read_recipe(name).items():
        if table != "about":
            dumped = config.dump()[table]
            set_here = {k: None if v == "none" else v for k, v in values.items()}
            for key, inside in values.items():
                if isinstance(inside, dict):  # a table in the table
                    set_here[key] = {**dumped[key], **inside}
            assert {key: dumped[key] for key in values} == json.loads(json.dumps(set_here))


def test_there_are_recipes() -> None:
    """The names that scripts rely on."""
    assert {"rnn", "irnn", "lstm", "peephole", "gru", "gru-tutorial", *PUBLISHED} <= set(NAMES)


# arXiv:1708.02182, section 5, and the tables of the papers that came after it.
AWD_LSTM: dict[str, Any] = {
    "text.tokenizer": "word",
    "text.split": "whitespace",
    "text.vocab_size": None,
    "text.lower": False,
    "text.min_count": 1,
    "model.name": "recurrent",
    "model.cell": "lstm",
    "model.layers": 3,
    "model.hidden": 1150,
    "model.embedding": 400,
    "model.tied": True,
    "model.locked": True,
    "model.softmax": "full",
    "model.softmaxes": 1,
    "model.mogrify": 0,
    "model.dropout_input": 0.4,
    "model.dropout_hidden": 0.3,
    "model.dropout_output": 0.4,
    "model.dropout_embedding": 0.1,
    "model.dropout_weight": 0.5,
    "model.embedding_std": pytest.approx(0.1 / 3**0.5, rel=1e-3),  # of uniform(-0.1, 0.1)
    "objective.ar": 2,
    "objective.tar": 1,
    "optimizer.name": "sgd",
    "optimizer.lr": 30,
    "optimizer.momentum": 0,
    "optimizer.weight_decay": 1.2e-6,
    "schedule.name": "constant",
    "schedule.warmup": 0,
    "train.epochs": 750,
    "train.minutes": None,
    "train.batch_size": 40,
    "train.bptt": 70,
    "train.stream": "variable",
    "train.clip": 0.25,
    "train.clip_value": None,
    "train.accumulate": 1,
    "train.patience": None,
    "train.eval_every": None,
    "train.average": "non-monotone",
    "train.non_monotone": 5,
    "train.non_monotone_stop": False,
    "train.keep": "best",
    "train.precision": "fp32",
}
ONE_CYCLE: dict[str, Any] = {
    key: value
    for key, value in AWD_LSTM.items()
    if key not in ("optimizer.momentum", "train.non_monotone")
} | {
    "model.hidden": 1152,
    "model.dropout_input": 0.6,
    "model.dropout_hidden": 0.2,
    "objective.ar": 3,
    "objective.tar": 1.5,
    "optimizer.name": "adamw",
    "optimizer.lr": 5e-3,
    "optimizer.betas": (0.8, 0.99),
    "optimizer.weight_decay": 0.1,
    "schedule.name": "one-cycle",
    "schedule.warmup": 0.3,
    "schedule.momentum": (0.8, 0.7),
    "train.epochs": 90,
    "train.batch_size": 100,
    "train.stream": "stripes",
    "train.clip": 0.12,
    "train.average": "none",
    "train.precision": "auto",
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "awd-lstm-ptb": AWD_LSTM,
    "awd-lstm-wt2": AWD_LSTM | {"model.dropout_input": 0.65, "train.batch_size": 80},
    "awd-lstm-onecycle": ONE_CYCLE,
    "awd-gru": ONE_CYCLE | {"model.cell": "gru"},
    "awd-lstm-char": {  # arXiv:1803.08240, table 2
        "text.tokenizer": "char",
        "text.vocab_size": None,
        "model.name": "recurrent",
        "model.cell": "lstm",
        "model.layers": 3,
        "model.hidden": 1000,
        "model.embedding": 200,
        "model.tied": True,
        "model.locked": True,
        "model.dropout_input": 0.1,
        "model.dropout_hidden": 0.25,
        "model.dropout_output": 0.1,
        "model.dropout_embedding": 0,
        "model.dropout_weight": 0.5,
        "model.embedding_std": AWD_LSTM["model.embedding_std"],
        "objective.ar": 0,
        "objective.tar": 0,
        "optimizer.name": "adam",
        "optimizer.lr": 2e-3,
        "optimizer.betas": (0.9, 0.999),
        "optimizer.weight_decay": 1.2e-6,
        "schedule.name": "milestones",
        "schedule.at": [300 / 500, 400 / 500],
        "schedule.factor": 0.1,
        "train.epochs": 500,
        "train.batch_size": 128,
        "train.bptt": 150,
        "train.stream": "variable",
        "train.clip": 0.25,
        "train.average": "none",
        "train.patience": None,
        "train.precision": "auto",
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_recipe_has_the_published_settings(name: str) -> None:
    """Key by key what the paper trained with, those that a recipe leaves to the defaults too."""
    config = configure(name)
    found = {
        key: getattr(getattr(config, key.split(".")[0]), key.split(".")[1])
        for key in PUBLISHED[name]
    }
    assert found == PUBLISHED[name]
    settings = {f"{t}.{k}" for t, v in read_recipe(name).items() if t != "about" for k in v}
    assert settings <= PUBLISHED[name].keys()


@pytest.mark.parametrize("name", PUBLISHED)
def test_recipe_says_where_it_comes_from(name: str) -> None:
    """Its comments name the source, what was published and how long it takes, on any machine."""
    lines = recipe_path(name).read_text(encoding="utf-8").splitlines()
    comments = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    parts = re.findall(r"(Source|Published|Time): (.+?)(?= Source:| Published:| Time:|$)", comments)
    assert [part for part, _ in parts] == ["Source", "Published", "Time"]
    said = dict(parts)
    assert all(len(words) > 10 for words in said.values())
    assert re.search(r"\b(hours?|minutes?|days?|weeks?)\b", said["Time"])
    assert "on two cores" in said["Time"] and re.search(r"\bGPU\b", said["Time"])
    assert "tokens/s" not in comments  # no command gives it but the training itself
    if name == "awd-gru":
        assert "nothing" in said["Published"]
    else:
        assert re.search(r"arXiv:\d{4}\.\d{5}", said["Source"])
        assert re.search(r"\d+\.\d", said["Published"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_commands_in_a_recipe_are_right(name: str) -> None:
    """What its comments propose to set is a setting, and the recipes they name exist."""
    text = recipe_path(name).read_text(encoding="utf-8")
    configure(name, re.findall(r"--set (\S+)", text))
    assert set(re.findall(r"nextword train ([a-z0-9-]+)", text)) <= set(NAMES)
    assert set(re.findall(r"\bawd-[a-z0-9-]+", text)) <= set(NAMES)


def test_recipe_of_ones_own(recipe: Any) -> None:
    """A path that ends in .toml is read; its stem is its name; missing tables are defaults."""
    config = configure(recipe('about = "x"\n[model]\nhidden = 7\n'))
    assert (config.recipe, config.model.hidden, config.text) == ("mine", 7, TextConfig())
    assert all(getattr(config, table).name == name for table, name in PARTS.items())


@pytest.mark.parametrize("text", ["[model\n", "model = \n", "[model]\nhidden = 1\nhidden = 2\n"])
def test_recipe_that_is_not_toml(text: str, recipe: Any) -> None:
    """Bad TOML names the file and where."""
    message = complaint(configure, recipe(text))
    assert "mine.toml' is not valid TOML" in message


def test_recipe_that_is_not_utf8(tmp_path: Path) -> None:
    """Other encodings are bad input."""
    (tmp_path / "mine.toml").write_bytes(b'about = "\xe9"\n')
    assert "not valid TOML" in complaint(configure, str(tmp_path / "mine.toml"))


def test_unknown_recipe() -> None:
    """The nearest one is named, else all; a missing file is called a file."""
    assert "did you mean 'lstm'?" in complaint(recipe_path, "lstmm")
    assert "did you mean 'peephole'?" in complaint(configure, "peep-hole")
    everything = complaint(recipe_path, "zzzzzz")
    assert all(name in everything for name in NAMES)
    assert "no recipe file 'gone.toml'" in complaint(recipe_path, "gone.toml")
    assert "unknown recipe" in complaint(recipe_path, "../recipes/lstm")
    assert "unknown recipe ''" in complaint(recipe_path, "")


# ---------------------------------------------------------------- overrides


OVERRIDES: list[tuple[str, Any]] = [
    ("model.hidden=650", 650),
    ("model.tied=false", False),
    ("model.tied=False", False),
    ("optimizer.lr=1e-3", 1e-3),
    ("optimizer.lr=1", 1.0),
    ("optimizer.betas=[0.9, 0.95]", (0.9, 0.95)),
    ("text.tokenizer=word", "word"),
    ('text.tokenizer="char"', "char"),
    ("text.vocab_size=none", None),
    ("train.average=none", "none"),
    ("train.clip=None", None),
    ("train.minutes=2.5", 2.5),
    ("train.epochs = 3 ", 3),
    ("text.vectors=向量/中文.txt", "向量/中文.txt"),
    ("text.vectors=a=b c.txt", "a=b c.txt"),
    ("schedule.momentum=[0.95, 0.85]", (0.95, 0.85)),
    ("train.stream=windows", "windows"),
]


@pytest.mark.parametrize(("text", "value"), OVERRIDES, ids=[text for text, _ in OVERRIDES])
def test_override(text: str, value: Any) -> None:
    """The setting has the value and its type; nothing else changes."""
    before, after = configure("lstm"), configure("lstm", [text])
    table, key = text.split("=")[0].strip().split(".")
    got = getattr(getattr(after, table), key)
    assert got == value and type(got) is type(value)
    section = getattr(before, table).model_copy(update={key: value})
    assert after == replace(before, **{table: section})


@pytest.mark.parametrize(
    ("recipe", "setting", "said"),
    [
        ("lstm", "train.metric=accuracy", "train.metric is for labelled texts"),
        ("lstm", "train.longest=50", "train.longest is for sentence pairs"),
        ("bert", "train.batch_tokens=512", "train.batch_tokens is for sentence pairs"),
        ("transformer", "train.metric=f1", "train.metric is for labelled texts"),
        ("transformer-lm", "optimizer.layer_decay=0.5", "not for 'transformer-lm'"),
        ("bert", "optimizer.unfreeze=1", "not for 'bert'"),
        ("lstm", "text.sentences=true", "text.sentences is for text.tokenizer=wordpiece"),
    ],
)
def test_a_setting_that_would_do_nothing(recipe: str, setting: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        configure(recipe, [setting])


def test_overrides_as_a_dict() -> None:
    """From Python, values are given as they are."""
    given = {"model.hidden": 32, "text.vocab_size": None, "train.epochs": 2}
    written = ["model.hidden=32", "text.vocab_size=none", "train.epochs=2"]
    assert configure("lstm", given) == configure("lstm", written)


def test_the_last_override_wins() -> None:
    """As on any command line."""
    assert configure("lstm", ["model.hidden=1", "model.hidden=2"]).model.hidden == 2


def test_another_part_starts_from_its_own_defaults(recipe: Any) -> None:
    """Naming another part drops the recipe's settings of the old one, not the overrides."""
    fresh = registry.load("optimizer", "sgd")()
    assert configure("lstm", ["optimizer.name=sgd"]).optimizer == fresh
    orders = [
        ["optimizer.name=sgd", "optimizer.lr=0.5", "optimizer.momentum=0.9"],
        ["optimizer.lr=0.5", "optimizer.name=sgd", "optimizer.momentum=0.9"],
        ["optimizer.lr=0.5", "optimizer.momentum=0.9", "optimizer.name=sgd"],
    ]
    for order in orders:
        optimizer = configure("lstm", order).optimizer
        assert (optimizer.name, optimizer.lr, optimizer.momentum) == ("sgd", 0.5, 0.9)


def test_the_same_part_keeps_the_recipes_settings(recipe: Any) -> None:
    """Naming the part the recipe uses, if only by default, changes nothing."""
    assert configure("lstm", ["model.name=recurrent"]) == configure("lstm")
    mine = recipe("[optimizer]\nlr = 0.5\n")
    default = PARTS["optimizer"]
    assert configure(mine, [f"optimizer.name={default}"]).optimizer.lr == 0.5


def test_base_stands_in_for_the_recipe() -> None:
    """Tables of an older run replace the recipe's; overrides still come last, and the tables
    of the recipe are read anew each time."""
    base = {"model": {"name": "recurrent", "hidden": 9}}
    config = configure("lstm", ["model.layers=2"], base=base)
    assert (config.model.hidden, config.model.layers, config.model.tied) == (9, 2, False)
    assert configure("lstm").model.hidden != 9


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("a.b=1", ("a.b", 1)),
        (" a.b = x y ", ("a.b", "x y")),
        ("a.b=", ("a.b", "")),
        ("a.b==", ("a.b", "=")),
        ("a.b=none", ("a.b", None)),
        ("a.b=NULL", ("a.b", None)),
        ('a.b="none"', ("a.b", "none")),
        ("a.b=true", ("a.b", True)),
        ("a.b=True", ("a.b", True)),
        ("a.b=-1.5e-3", ("a.b", -0.0015)),
        ("a.b=[1, 2]", ("a.b", [1, 2])),
        ('a.b=["中", "b"]', ("a.b", ["中", "b"])),
        ("a.b=[1, 2", ("a.b", "[1, 2")),
        ("a.b=中文", ("a.b", "中文")),
        ('a.b="中文 x"', ("a.b", "中文 x")),
        ("a.b=C:\\x", ("a.b", "C:\\x")),
        ("a.b='C:\\x'", ("a.b", "C:\\x")),
        ("a.b=lstm-2", ("a.b", "lstm-2")),
    ],
)
def test_parse_override(text: str, pair: tuple[str, Any]) -> None:
    """TOML where it is TOML, a string where it is not, None for none."""
    got = parse_override(text)
    assert got == pair and type(got[1]) is type(pair[1])


@given(st.one_of(st.integers(-(2**62), 2**62), st.booleans(), st.floats(allow_nan=False)))
def test_numbers_survive_the_command_line(value: float) -> None:
    """Whatever number Python prints is read back as it was, with its type."""
    got = parse_override(f"a.b={value}")[1]
    assert got == value and type(got) is type(value)


@given(st.text(min_size=1))
def test_quoted_strings_survive_the_command_line(text: str) -> None:
    """Any string in quotes is that string."""
    quoted = json.dumps(text, ensure_ascii=True)
    if "\\ud" not in quoted:  # JSON writes rare characters as two halves, which TOML refuses
        assert parse_override(f"a.b={quoted}") == ("a.b", text)


@pytest.mark.parametrize("text", ["model.hidden", "", "=3", " = 3"])
def test_override_without_key_or_value(text: str) -> None:
    """`--set` needs a key and an equals sign."""
    assert "--set key=value" in complaint(configure, "lstm", [text])


# ---------------------------------------------------------------- what is refused


NEAREST = {
    "model.hiden=3": "model.hidden",
    "model.layer=3": "model.layers",
    "trian.epochs=3": "train.epochs",
    "train.epoch=3": "train.epochs",
    "text.tokeniser=char": "text.tokenizer",
    "text.vocabsize=3": "text.vocab_size",
    "optimiser.lr=3": "optimizer.lr",
    "schedule.warm_up=0.1": "schedule.warmup",
    "model.cell=lstn": "lstm",
    "model.name=recurent": "recurrent",
    "text.tokenizer=words": "word",
    "train.stream=stripe": "stripes",
    "optimizer.name=rmsprob": "rmsprop",
    "schedule.name=one-cicle": "one-cycle",
    "objective.name=casual": "causal",
    "train.stream=variabel": "variable",
    "train.avrage=always": "train.average",
    "train.non_monoton=3": "train.non_monotone",
    "schedule.name=milestone": "milestones",
}


@pytest.mark.parametrize("text", NEAREST)
def test_unknown_names_name_the_nearest(text: str) -> None:
    """A key or part that does not exist is an error that says what was probably meant."""
    message = complaint(configure, "lstm", [text])
    assert message.startswith("unknown ")
    assert f"did you mean '{NEAREST[text]}'?" in message


@pytest.mark.parametrize(
    "text", ["model=3", "hidden=3", "recipe=x", "about=x", "model.=3", ".x=3", "model.a.b=3"]
)
def test_overrides_are_table_dot_key(text: str) -> None:
    """Anything but `table.key` is an unknown setting."""
    assert f"unknown setting '{text.split('=')[0]}'" in complaint(configure, "lstm", [text])


def test_unknown_table_in_a_recipe(recipe: Any) -> None:
    """A table that is not one of ours is named, with or without overrides."""
    mine = recipe("[optimiser]\nlr = 1.0\n")
    for overrides in ([], ["optimizer.lr=1"]):
        message = complaint(configure, mine, overrides)
        assert "unknown setting 'optimiser'; did you mean 'optimizer." in message


@pytest.mark.parametrize("overrides", [[], ["model.hidden=3"], ["model.name=ngram"]])
def test_table_that_is_none(overrides: list[str], recipe: Any) -> None:
    """`model = "lstm"` is not a table."""
    assert "'model' is a table" in complaint(configure, recipe('model = "lstm"\n'), overrides)


BAD = [
    "train.epochs=0",
    "train.epochs=1.5",
    "train.epochs=many",
    "train.bptt=none",
    "train.minutes=0",
    "train.precision=fp8",
    "train.average=sometimes",
    "train.non_monotone=0",
    "train.non_monotone_stop=perhaps",
    "train.clip=-1",
    "train.memory=lots",
    "train.memory=-1MB",
    "text.vocab_size=2",
    "text.split=lines",
    "text.vectors=7",
    "text.lower=maybe",
    "model.dropout_output=1",
    "model.hidden=[1, 2]",
    "optimizer.lr=nan",
    "optimizer.lr=-1",
    "optimizer.betas=[0.9]",
    "schedule.momentum=0.9",
    "schedule.warmup=1",
]


@pytest.mark.parametrize("text", BAD)
def test_bad_values_are_one_line_that_names_the_key(text: str) -> None:
    """What was given is repeated, with what would be right."""
    key, _, value = text.partition("=")
    message = complaint(configure, "lstm", [text])
    assert message.startswith(key)
    assert value.strip("[]").split(",")[0].lower() in message.lower()


@pytest.mark.parametrize("value", ["[0.5, 1]", "[0]", "[]", "0.5", "[late]", "[1.5, 0.5]"])
def test_milestones_out_of_range_are_one_line(value: str) -> None:
    """The message names the key; shares of a training lie within it."""
    message = complaint(configure, "awd-lstm-char", [f"schedule.at={value}"])
    assert message.startswith("schedule.at")


@pytest.mark.parametrize("value", ["[1]", "3", "none", "{a = 1}", "''"])
def test_part_names_that_are_no_names(value: str) -> None:
    """A name that is a list, a number, nothing or a table is unknown, not a traceback."""
    for key in ("model.name", "optimizer.name"):
        assert "unknown" in complaint(configure, "lstm", [f"{key}={value}"])


@pytest.mark.parametrize("table", [*SECTIONS, *PARTS])
def test_nothing_changes_after_parsing(table: str) -> None:
    """Settings are frozen, all the way down."""
    config = configure("lstm")
    with pytest.raises(FrozenInstanceError):
        setattr(config, table, None)
    section = getattr(config, table) or SourceConfig()
    for key in type(section).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, key, getattr(section, key))


def test_parse_leaves_its_tables_alone() -> None:
    """The tables given are not changed."""
    tables = {"about": "x", "model": {"hidden": 3}}
    Config.parse(tables)
    assert tables == {"about": "x", "model": {"hidden": 3}}


def test_parse_section() -> None:
    """A single section by itself: the same strictness, its own keys."""
    assert parse_section(TextConfig, {"lower": True}, "here").lower
    assert "did you mean 'lower'?" in complaint(parse_section, TextConfig, {"lowr": True}, "here")
    message = complaint(parse_section, TextConfig, {"min_count": 0}, "here")
    assert message.startswith("here: min_count must be 1 or more, not 0")
