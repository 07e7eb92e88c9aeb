"""What every setting of a recipe is: its value, its default, what may be given, what it means.

All of it is read from the schemas of the settings, so that it is said in one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from .. import bounds, registry
from ..arguments import checked
from .parse import PARTS, Config
from .recipe import configure, read_recipe
from .section import Part, Section

_WORDS = {"integer": "integer", "number": "number", "string": "string", "null": "none"}
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


#: Bounds far beyond what is useful are not worth a reader's time.
_FAR = (
    bounds.COUNT,
    bounds.SEED,
    bounds.NUMBER,
    bounds.MINUTES,
    bounds.WIDTH,
    bounds.LAYERS,
    bounds.CONTEXT,
)


class Setting(NamedTuple):
    """A key of a recipe, as `--set` names it."""

    key: str  # "model.encoder.hidden"
    value: Any  # as JSON has it
    default: Any
    allowed: str  # "integer >= 1", "fp32 | bf16 | auto"
    meaning: str
    given: bool  # by the recipe's file


@checked
def describe_recipe(recipe: str) -> dict[str, list[Setting]]:
    """Every setting of a recipe by the table it stands in, in the order of the schemas.

    Args:
        recipe: a built-in name, or a path that ends in .toml.

    Raises:
        InputError: there is no such recipe, or it is not valid.

    Example:
        >>> [hidden] = [s for s in describe_recipe("lstm")["model"] if s.key == "model.hidden"]
        >>> hidden.value, hidden.default, hidden.allowed, hidden.meaning, hidden.given
        (512, 256, 'integer >= 1', 'width of the layers', True)
    """
    config, given = configure(recipe), read_recipe(recipe)
    tables = {}
    for table in Config.keys:
        section = getattr(config, table)
        if section is not None:
            kind = table if table in PARTS else None
            part = (kind, PARTS[table]) if kind else None
            tables[table] = list(_settings(table, section, given.get(table, {}), part))
    return tables


def _settings(
    where: str, section: Section, given: dict[str, Any], part: tuple[str, Any] | None
) -> Iterator[Setting]:
    """`part`: of a table that names a part, the part's kind and the name it has by itself."""
    values = section.model_dump(mode="json")
    properties = type(section).model_json_schema()["properties"]
    nested = section.nested() if isinstance(section, Part) else {}
    for key, field in type(section).model_fields.items():
        path = f"{where}.{key}"
        if key in nested:
            named = (key, field.get_default()["name"])
            yield from _settings(path, nested[key], given.get(key, {}), named)
        elif key == "name" and part:
            kind, default = part
            allowed = " | ".join(_parts(kind))
            yield Setting(
                path, values[key], default, allowed, f"which {kind} is used", key in given
            )
        else:
            default = properties[key].get("default")
            meaning = field.description or ""
            yield Setting(
                path, values[key], default, _allowed(properties[key]), meaning, key in given
            )


def _parts(kind: str) -> list[str]:
    if kind != "encoder":
        return registry.names(kind)
    models = registry.names("model")
    return registry.names(kind) + [m for m in models if registry.load("model", m).encodes]


def _allowed(schema: dict[str, Any]) -> str:
    """What may be given, in words, from a field's JSON schema."""
    names = registry.names(schema["kind"]) if "kind" in schema else []
    if "anyOf" in schema:
        kinds = [_allowed(one) for one in schema["anyOf"]]
        return " or ".join(" | ".join(names) if names and k == "string" else k for k in kinds)
    if names or "enum" in schema:
        return " | ".join(names or schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema["type"] == "boolean":
        return "true | false"
    if schema["type"] == "array":
        if "prefixItems" in schema:
            return f"a list of {len(schema['prefixItems'])} numbers"
        return f"a list of {_WORDS[schema['items']['type']]}s"
    given = [(sign, schema[key]) for key, sign in _BOUNDS.items() if key in schema]
    listed = [f"{sign} {value:g}" for sign, value in given if value not in _FAR]
    return " ".join([_WORDS[schema["type"]], ", ".join(listed)]).strip()
