"""`nextword recipes`"""

from __future__ import annotations

NAME = "recipes"


def command() -> None:
    """The built-in recipes, a line each."""
    from ..config import RECIPES, read_recipe

    for path in sorted(RECIPES.glob("*.toml")):
        print(f"{path.stem:<19}{read_recipe(path.stem).get('about', '')}")
