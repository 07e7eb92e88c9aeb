"""Plain tables of settings → `Config`: checked against their schemas, and against each other.

The four tables that name a part (`name = "adamw"`) are checked against that part's own settings,
found through the registry; a key nobody knows is an error that names the nearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

from pydantic import ValidationError

from .. import registry
from ..errors import InputError, shown
from .messages import explain
from .section import Section
from .settings import SourceConfig, TextConfig, TrainConfig

SectionT = TypeVar("SectionT", bound=Section)

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
        tables = known_tables(tables)
        parsed: dict[str, Any] = {}
        for table in cls.keys:
            values = dict(tables.get(table, {}))
            schema = _schema(table, values)
            if table in PARTS:
                values.setdefault("name", PARTS[table])
            try:
                parsed[table] = schema.model_validate(values)
            except ValidationError as error:
                raise InputError(explain(error, all_keys(tables), table)) from None
            except UnicodeEncodeError:
                raise InputError(f"[{table}]: a value is not Unicode text") from None
        for side in ("text", "source"):
            _check_tokenizer(side, parsed[side])
        registry.check("stream", parsed["train"].stream)
        if not registry.load("task", parsed["model"].task).has_source:
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


def parse_section(schema: type[SectionT], values: dict[str, Any], where: str) -> SectionT:
    """Checked settings of a single section.

    Raises:
        InputError: an unknown key (the nearest is given) or a bad value.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, schema.model_fields)}") from None
    except UnicodeEncodeError:
        raise InputError(f"{where}: a value is not Unicode text") from None


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
    for side in ("text", "source"):
        kind = parsed[side].tokenizer_kind if parsed[side] else "word"
        if not _tokenizer(kind).spells and model.task != "text":
            raise InputError(
                f"{side}.tokenizer={kind} is for models of running text; '{model.name}' reads "
                f"{registry.load('task', model.task).reads}"
            )
    if parsed["text"].normalise != "none" and not _tokenizer(parsed["text"].tokenizer_kind).spells:
        kind = parsed["text"].tokenizer_kind
        raise InputError(
            f"text.tokenizer={kind} has no text to normalise; leave text.normalise out"
        )
    if parsed["text"].sentences and not _tokenizer(parsed["text"].tokenizer_kind).ends_sentences:
        kinds = [name for name in registry.names("tokenizer") if _tokenizer(name).ends_sentences]
        raise InputError(f"text.sentences is for text.tokenizer={' or '.join(kinds)}")


def _check_tokenizer(side: str, text: TextConfig) -> None:
    """There is a tokenizer of that name, and only one that is read from a file names a file."""
    registry.check("tokenizer", text.tokenizer_kind)
    if ":" in text.tokenizer and not _tokenizer(text.tokenizer_kind).from_file:
        raise InputError(
            f"{side}.tokenizer = '{shown(text.tokenizer)}': '{text.tokenizer_kind}' is not read "
            f"from a file; give {side}.tokenizer={text.tokenizer_kind}"
        )


def _tokenizer(name: str) -> Any:
    return registry.load("tokenizer", name)


def _is_set(part: Section, key: str) -> bool:
    """Whether a setting, if there is one, is not what it is by itself."""
    return hasattr(part, key) and getattr(part, key) != type(part).model_fields[key].default


def known_tables(tables: dict[str, Any]) -> dict[str, Any]:
    tables = {key: value for key, value in tables.items() if key not in ("recipe", "about")}
    for table, values in tables.items():
        if table not in Config.keys:
            raise InputError(registry.unknown("setting", table, all_keys(tables)))
        if not isinstance(values, dict):
            raise InputError(f"'{table}' is a table of settings, for example {table}.name")
    return tables


def _schema(table: str, values: dict[str, Any]) -> type[Section]:
    if table in SECTIONS:
        return SECTIONS[table]
    schema: type[Section] = registry.load(table, values.get("name", PARTS[table]))
    return schema


def all_keys(tables: dict[str, Any]) -> list[str]:
    keys = []
    for table in Config.keys:
        given = tables.get(table)
        try:
            schema = _schema(table, given if isinstance(given, dict) else {})
        except InputError:
            continue
        keys += [f"{table}.{key}" for key in schema.model_fields]
    return keys
