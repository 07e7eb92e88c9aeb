"""`nextword recipes`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Json

if TYPE_CHECKING:
    from ..config.describe import Setting


def command(
    recipe: Annotated[
        str, typer.Argument(metavar="[NAME]", help="A built-in recipe, or a .toml file.")
    ] = "",
    json: Json = False,
) -> None:
    """List the recipes, or the settings of one.

    Without NAME it lists the built-in recipes. With NAME it lists every setting of that recipe with
    its value, the values it may have, its default and its meaning.
    """
    from ..config import list_recipes
    from .options import print_json

    if recipe:
        _show(recipe, json)
        return
    about = list_recipes()
    if json:
        print_json({"recipes": [{"name": name, "about": line} for name, line in about.items()]})
        return
    for name, line in about.items():
        print(f"{name:<19}{line}")


def _show(recipe: str, json: bool) -> None:
    from ..config import read_recipe
    from ..config.describe import describe_recipe
    from .options import print_json

    tables = describe_recipe(recipe)
    about = read_recipe(recipe).get("about", "")
    if json:
        listed = [setting._asdict() for settings in tables.values() for setting in settings]
        print_json({"name": recipe, "about": about, "settings": listed})
        return
    print(f"{recipe}: {about}" if about else recipe)
    print("An asterisk marks what the recipe sets. Change a setting with --set KEY=VALUE.")
    for table, settings in tables.items():
        print(f"\n[{table}]")
        for setting in settings:
            print(_entry(setting))


def _entry(setting: Setting) -> str:
    """Format a setting: key, value, allowed values and default, then its meaning on new lines."""
    from textwrap import fill

    star = "*" if setting.given else " "
    value, default = _toml(setting.value), _toml(setting.default)
    meaning = fill(setting.meaning, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    first = f"{star} {setting.key} = {value}"
    return f"{first:<44}  ({setting.allowed}; default {default})\n{meaning}"


def _toml(value: Any) -> str:
    """Format a value in the way that `--set` reads it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
