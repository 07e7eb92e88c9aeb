"""Refuses settings that a user gives and that would do nothing.

Which keys do something, given the others, is said by the settings classes (`Section.unused`).
Recipes and the settings of stored runs are read as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from .section import Section, Use

_OF_GRADIENTS = ("objective", "optimizer", "schedule")  # tables that models without them ignore


def refuse_unused(given: Mapping[str, Any], use: Use) -> None:
    """Raise InputError for the first setting that would do nothing.

    A value that asks for nothing (0, false, none) and is the default is accepted.

    Args:
        given: dotted keys that the user gave, with their values.
        use: all settings, and what they are used for.

    Example:
        refuse_unused({"train.stride": 8}, Use(configure("lstm", {"train.stride": 8})))
    """
    use = use._replace(given=frozenset(given))
    for key, value in given.items():
        needed = needs(key, use)
        if needed and not _asks_for_nothing(key, value, use):
            raise InputError(f"{key} is for {needed} and would do nothing here; leave it out")


def needs(key: str, use: Use) -> str | None:
    """What a dotted key would need to do anything; None if it does something."""
    table, _, rest = key.partition(".")
    trained_by = use.config.model.trained_by
    if table in _OF_GRADIENTS and trained_by != "gradient":
        return "models that are trained by gradient descent"
    section: Section = getattr(use.config, table)
    return section.unused(rest, use)


def _asks_for_nothing(key: str, value: Any, use: Use) -> bool:
    table, *inner, name = key.split(".")
    section: Section = getattr(use.config, table)
    for part in inner:
        section = section.nested()[part]
    return not value and value == type(section).model_fields[name].default
