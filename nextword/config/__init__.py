"""What a run is made of: strict, frozen settings that print as TOML and override by dots.

A recipe is a TOML file with the tables `[text] [source] [model] [objective] [train] [optimizer]
[schedule]`. `settings` has the tables that belong to no part, `parse` checks plain tables, `recipe`
reads recipes and overrides, `describe` tells what every key means, `unused` refuses settings that
would do nothing.
"""

from .parse import PARTS, SECTIONS, Config, parse_section
from .recipe import (
    RECIPES,
    Overrides,
    configure,
    list_recipes,
    override_items,
    parse_override,
    read_recipe,
    recipe_path,
)
from .section import Part, Section, Share, Use
from .settings import SourceConfig, TextConfig, TrainConfig, parse_size
from .unused import refuse_unused

__all__ = [
    "PARTS",
    "RECIPES",
    "SECTIONS",
    "Config",
    "Overrides",
    "Part",
    "Section",
    "Share",
    "SourceConfig",
    "TextConfig",
    "TrainConfig",
    "Use",
    "configure",
    "list_recipes",
    "override_items",
    "parse_override",
    "parse_section",
    "parse_size",
    "read_recipe",
    "recipe_path",
    "refuse_unused",
]
