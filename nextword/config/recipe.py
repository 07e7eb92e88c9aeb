"""Recipes: the TOML files, and the settings of a training made from one with overrides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import registry
from ..errors import InputError
from ..parsing import parse_toml, read_text
from ..paths import Kind, kind_of, readable
from .parse import PARTS, Config, all_keys, known_tables

#: `["model.hidden=650"]` or `{"model.hidden": 650}`: settings on top of a recipe's.
Overrides = list[str] | dict[str, Any] | None

RECIPES = Path(__file__).parents[1] / "recipes"


def recipe_path(name: str) -> Path:
    """The file of a recipe: a built-in name, or a path that ends in .toml.

    Raises:
        InputError: no such recipe; the message names the nearest.
    """
    if name.endswith(".toml"):
        if kind_of(name) is Kind.NOTHING:
            raise InputError(f"no recipe file '{name}'; `nextword recipes` lists the built-in ones")
        return readable(name, "a recipe")
    path = RECIPES / f"{name}.toml"
    if "/" in name or not path.is_file():
        known = sorted(p.stem for p in RECIPES.glob("*.toml"))
        raise InputError(registry.unknown("recipe", name, known))
    return path


def read_recipe(name: str) -> dict[str, Any]:
    """The plain tables of a recipe."""
    path = recipe_path(name)
    try:
        return parse_toml(read_text(path))
    except ValueError as error:
        raise InputError(f"recipe '{path}' is not valid TOML: {error}") from None


def list_recipes() -> dict[str, str]:
    """Return the names of the built-in recipes, each with what it says about itself.

    Example:
        >>> list_recipes()["lstm"]
        '...'
    """
    names = sorted(path.stem for path in RECIPES.glob("*.toml"))
    return {name: read_recipe(name).get("about", "") for name in names}


def configure(
    recipe: str,
    overrides: Overrides = None,
    base: dict[str, Any] | None = None,
) -> Config:
    """A recipe with dotted overrides: `["model.hidden=650"]` or `{"model.hidden": 650}`.

    `base`: tables that stand in for the recipe's own.
    """
    tables = known_tables(read_recipe(recipe)) | (base or {})
    items = override_items(overrides).items()
    for key, value in sorted(items, key=lambda item: not item[0].endswith(".name")):  # names first
        table, _, rest = key.partition(".")
        if not rest or table not in Config.keys:
            raise InputError(registry.unknown("setting", key, all_keys(tables)))
        values = tables.setdefault(table, {})
        while "." in rest:  # a table in the table
            inner, _, rest = rest.partition(".")
            if not isinstance(values.get(inner), dict):
                raise InputError(registry.unknown("setting", key, all_keys(tables)))
            values[inner] = values = dict(values.get(inner, {}))
        if rest == "name" and values.get("name", PARTS.get(table)) != value:
            values.clear()  # another part: the recipe's settings belonged to the old one
        values[rest] = value
    return Config.parse(tables, Path(recipe).stem)


def override_items(overrides: Overrides) -> dict[str, Any]:
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
        return key.strip(), parse_toml(f"x = {raw}")["x"]
    except ValueError:
        return key.strip(), {"True": True, "False": False}.get(raw, raw)
