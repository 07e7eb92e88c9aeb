"""What a run is made of: strict, frozen settings that print as TOML and override by dots.

A recipe is a TOML file with the tables `[text] [model] [objective] [train] [optimizer]
[schedule]`. The four tables that name a part (`name = "adamw"`) are checked against that part's
own settings, found through the registry; a key nobody knows is an error that names the nearest.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from . import registry
from .errors import InputError

RECIPES = Path(__file__).parent / "recipes"


class Section(BaseModel):
    """A table of settings: unknown keys are refused, nothing changes after parsing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


SectionT = TypeVar("SectionT", bound=Section)


class Part(Section):
    """A table whose `name` says which registered part it sets."""

    name: str

    #: of a model: how `train` makes it
    trained_by: ClassVar[Literal["gradient", "counting", "mixing"]] = "gradient"
    #: of a model: the registered task that it is for
    task: ClassVar[str] = "text"
    #: of a model: whether its layers can learn at rates of their own
    layered: ClassVar[bool] = False
    #: of a model: whether it can be the encoder of a classifier or tagger
    encodes: ClassVar[bool] = False


class TextConfig(Section):
    """How text becomes ids."""

    tokenizer: str = "bpe"
    vocab_size: Annotated[int, Field(ge=3)] | Literal["auto"] | None = Field(
        "auto", description="largest vocabulary; auto = by the size of the text; none = no limit"
    )
    min_count: int = Field(1, ge=1, description="rarer types become <unk> (word, char)")
    lower: bool = Field(False, description="lower-case everything first")
    split: Literal["auto", "whitespace", "words"] = Field(
        "auto",
        description="word tokenizer: cut at white space alone, or also around punctuation and "
        "between Chinese characters; auto looks at the text",
    )
    sentences: bool = Field(
        False, description="wordpiece: every sentence ends in <eos>, not only every line"
    )
    vectors: str | None = Field(None, description="word2vec or GloVe text file to start from")

    @field_validator("vocab_size", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "none" else value  # a recipe has no other word for it

    def limit(self) -> int | None:
        """The largest vocabulary; None = no limit."""
        return 8000 if self.vocab_size == "auto" else self.vocab_size


class TrainConfig(Section):
    """How long, how much at a time, and what is kept."""

    epochs: int = Field(10, ge=1)
    minutes: float | None = Field(
        None, gt=0, description="wall time instead of epochs; the schedule runs over it"
    )
    batch_size: int | None = Field(
        None, ge=1, description="rows; none = 4 to 32, so that a pass has about 100 steps or more"
    )
    batch_tokens: int | None = Field(
        None,
        ge=1,
        description="pairs: most tokens of a batch on either side, padding included; none = 256 to "
        "2048, so that a pass has about 100 steps or more",
    )
    longest: int = Field(
        200, ge=1, description="pairs: sentences of more tokens are left out, and counted"
    )
    bleu_lines: int = Field(
        0, ge=0, description="pairs: translate so many at each validation, for its BLEU"
    )
    vocabulary: Literal["keep", "new"] = Field(
        "keep",
        description="with --from: that run's vocabulary, or one learnt from the new text, with the "
        "vectors of tokens that both have",
    )
    bptt: int = Field(64, ge=1, description="tokens the gradient reaches back")
    stream: str = Field(
        "stripes",
        description="stripes carry the state on, variable are stripes cut at varying lengths "
        "around bptt, windows start fresh; pairs are sentence pairs, masked is for BERT, labelled "
        "for classifiers, tagged for taggers",
    )
    stride: int | None = Field(None, ge=1, description="windows: distance of starts; none = bptt")
    shuffle: bool = Field(True, description="windows: in random order, not the text's")
    seed: int = Field(1, ge=0)
    clip: float | None = Field(1.0, gt=0, description="largest global gradient norm")
    clip_value: float | None = Field(None, gt=0, description="largest single gradient")
    accumulate: int = Field(1, ge=1, description="batches per optimizer step")
    patience: int | None = Field(
        None, ge=1, description="stop after this many validations without a better one"
    )
    average: Literal["none", "non-monotone", "always", "checkpoints"] = Field(
        "none",
        description="keep the mean of the weights over the steps: from the first step, or once "
        "validation stops getting better (with sgd: ASGD, NT-ASGD); or of the last checkpoints",
    )
    checkpoints: int = Field(5, ge=1, description="validations whose weights are averaged")
    non_monotone: int = Field(
        5, ge=1, description="validations looked back over: a loss worse than all before them"
    )
    non_monotone_stop: bool = Field(False, description="such a loss ends the training")
    metric: Literal["loss", "accuracy", "f1", "matthews"] = Field(
        "loss",
        description="what validations choose by; all but the loss: classifiers, taggers",
    )
    keep: Literal["best", "last"] = Field(
        "best", description="weights: by validation, or the newest"
    )
    eval_every: int | None = Field(None, ge=1, description="steps; none = after every epoch")
    save_every_minutes: float = Field(5.0, gt=0, description="how often the state is written")
    precision: Literal["fp32", "bf16", "auto"] = Field(
        "fp32", description="of products; auto = bf16 where the processor or GPU has such products"
    )
    backend: Literal["auto", "fast", "torch", "step"] = Field(
        "auto", description="recurrent layers: our loops, torch's, or the readable step by step"
    )
    graphs: bool = Field(
        False, description="CUDA: a step recorded for each shape of batch and replayed as one"
    )
    tensorboard: bool = False
    memory: str | None = Field(
        None, description="n-grams: most memory the process may take, for example 500MB"
    )

    @field_validator("memory", mode="before")
    @classmethod
    def _a_size(cls, value: Any) -> Any:
        if value is not None:
            parse_size(value)
        return None if value is None else str(value)


def parse_size(text: str | int) -> int:
    """`200MB`, `1.5G`, 4096 → bytes.

    Raises:
        ValueError: it is not a size.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)i?b?\s*", str(text).lower())
    if not match:
        raise ValueError(f"'{text}' is not a size; write for example 200MB or 2GB")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " "))


class SourceConfig(TextConfig):
    """How the source side of sentence pairs becomes ids; `[text]` is the target's."""

    joint: bool = Field(
        False, description="one vocabulary, learnt from both sides as [text] says, for both"
    )


SECTIONS: dict[str, type[Section]] = {
    "text": TextConfig,
    "source": SourceConfig,
    "train": TrainConfig,
}
PARTS: dict[str, str] = {  # table → the part it names when it says nothing
    "model": "recurrent",
    "objective": "causal",
    "optimizer": "adamw",
    "schedule": "one-cycle",
}


@dataclass(frozen=True)
class Config:
    """Everything a run was made with."""

    text: TextConfig
    model: Any  # Part of kind "model", and so on: the registry knows the class
    objective: Any
    train: TrainConfig
    optimizer: Any
    schedule: Any
    recipe: str = "custom"
    source: SourceConfig | None = None  # of models that read sentence pairs

    keys: ClassVar[tuple[str, ...]] = (
        "text",
        "source",
        "model",
        "objective",
        "train",
        "optimizer",
        "schedule",
    )

    @classmethod
    def parse(cls, tables: dict[str, Any], recipe: str = "custom") -> Self:
        """Checked settings from plain tables.

        Raises:
            InputError: an unknown table, key or name (the nearest is given), or a bad value.
        """
        tables = _known_tables(tables)
        parsed: dict[str, Any] = {}
        for table in cls.keys:
            values = dict(tables.get(table, {}))
            schema = _schema(table, values)
            if table in PARTS:
                values.setdefault("name", PARTS[table])
            try:
                parsed[table] = schema.model_validate(values)
            except ValidationError as error:
                raise InputError(_explain(table, error, tables)) from None
        for side in ("text", "source"):
            registry.check("tokenizer", parsed[side].tokenizer)
        registry.check("stream", parsed["train"].stream)
        task = registry.load("task", parsed["model"].task)
        if not task.has_source:
            if tables.get("source"):
                raise InputError("[source] settings are for models of sentence pairs")
            parsed["source"] = None
        _check_fits(parsed)
        return cls(**parsed, recipe=recipe)

    def dump(self) -> dict[str, Any]:
        """Plain tables that `parse` reads back."""
        return {"recipe": self.recipe} | {
            key: part.model_dump(mode="json")
            for key in self.keys
            if (part := getattr(self, key)) is not None
        }


def recipe_path(name: str) -> Path:
    """The file of a recipe: a built-in name, or a path that ends in .toml.

    Raises:
        InputError: no such recipe; the message names the nearest.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"no recipe file '{name}'; `nextword recipes` lists the built-in ones")
        return path
    path = RECIPES / f"{name}.toml"
    if "/" in name or not path.is_file():
        known = sorted(p.stem for p in RECIPES.glob("*.toml"))
        raise InputError(registry.unknown("recipe", name, known))
    return path


def read_recipe(name: str) -> dict[str, Any]:
    """The plain tables of a recipe."""
    path = recipe_path(name)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"recipe '{path}' is not valid TOML: {error}") from None


def load_config(
    recipe: str,
    overrides: list[str] | dict[str, Any] | None = None,
    base: dict[str, Any] | None = None,
) -> Config:
    """A recipe with dotted overrides: `["model.hidden=650"]` or `{"model.hidden": 650}`.

    `base`: tables that stand in for the recipe's own.
    """
    tables = _known_tables(read_recipe(recipe)) | (base or {})
    items = override_items(overrides).items()
    for key, value in sorted(items, key=lambda item: not item[0].endswith(".name")):  # names first
        table, _, rest = key.partition(".")
        if not rest or table not in Config.keys:
            raise InputError(registry.unknown("setting", key, _all_keys(tables)))
        values = tables.setdefault(table, {})
        while "." in rest:  # a table in the table
            inner, _, rest = rest.partition(".")
            if not isinstance(values.get(inner), dict):
                raise InputError(registry.unknown("setting", key, _all_keys(tables)))
            values[inner] = values = dict(values.get(inner, {}))
        if rest == "name" and values.get("name", PARTS.get(table)) != value:
            values.clear()  # another part: the recipe's settings belonged to the old one
        values[rest] = value
    return Config.parse(tables, Path(recipe).stem)


def override_items(overrides: list[str] | dict[str, Any] | None) -> dict[str, Any]:
    """Overrides as a dict, however they were written."""
    if isinstance(overrides, dict):
        return overrides
    return dict(parse_override(text) for text in overrides or [])


def parse_override(text: str, option: str = "--set") -> tuple[str, Any]:
    """`model.hidden=650` → ("model.hidden", 650). Values are TOML; anything else is a string;
    `none` unsets."""
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"'{option} {text}' has no '='; write {option} key=value")
    raw = raw.strip()
    if raw.lower() in ("none", "null"):
        return key.strip(), None
    try:
        return key.strip(), tomllib.loads(f"x = {raw}")["x"]
    except tomllib.TOMLDecodeError:
        return key.strip(), {"True": True, "False": False}.get(raw, raw)


def parse_section(schema: type[SectionT], values: dict[str, Any], where: str) -> SectionT:
    """Checked settings of a single section.

    Raises:
        InputError: an unknown key (the nearest is given) or a bad value.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise InputError(registry.unknown("setting", key, schema.model_fields)) from None
        raise InputError(f"{where}: {_value_message(key, first)}") from None


def _check_fits(parsed: dict[str, Any]) -> None:
    """Model, stream and objective must be for the same task; no setting is ignored."""
    model = parsed["model"]
    given = {key for key in type(parsed["train"]).model_fields if _is_set(parsed["train"], key)}
    registry.load("task", model.task).check_settings(
        model.name, parsed["train"].stream, parsed["objective"].name, given
    )
    for key in ("layer_decay", "unfreeze"):
        if not model.layered and _is_set(parsed["optimizer"], key):
            raise InputError(
                f"optimizer.{key} is for classifiers and recurrent models, not for '{model.name}'"
            )
    if parsed["text"].sentences and parsed["text"].tokenizer != "wordpiece":
        raise InputError("text.sentences is for text.tokenizer=wordpiece")


def _is_set(part: Section, key: str) -> bool:
    """Whether a setting, if there is one, is not what it is by itself."""
    return hasattr(part, key) and getattr(part, key) != type(part).model_fields[key].default


def _known_tables(tables: dict[str, Any]) -> dict[str, Any]:
    tables = {key: value for key, value in tables.items() if key not in ("recipe", "about")}
    for table, values in tables.items():
        if table not in Config.keys:
            raise InputError(registry.unknown("setting", table, _all_keys(tables)))
        if not isinstance(values, dict):
            raise InputError(f"'{table}' is a table of settings, for example {table}.name")
    return tables


def _schema(table: str, values: dict[str, Any]) -> type[Section]:
    if table in SECTIONS:
        return SECTIONS[table]
    schema: type[Section] = registry.load(table, values.get("name", PARTS[table]))
    return schema


def _all_keys(tables: dict[str, Any]) -> list[str]:
    keys = []
    for table in Config.keys:
        given = tables.get(table)
        try:
            schema = _schema(table, given if isinstance(given, dict) else {})
        except InputError:
            continue
        keys += [f"{table}.{key}" for key in schema.model_fields]
    return keys


def _explain(table: str, error: ValidationError, tables: dict[str, Any]) -> str:
    first = error.errors()[0]
    key = ".".join([table, *(str(part) for part in first["loc"])])
    if first["type"] == "extra_forbidden":
        return registry.unknown("setting", key, _all_keys(tables))
    return _value_message(key if first["loc"] else table, first)


def _value_message(key: str, error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return f"{key}: {message}".removeprefix(": ")
    return f"{key} = {error['input']!r}: {message[0].lower()}{message[1:]}"
