"""How a tokenizer cuts text, as settings."""

from __future__ import annotations

from typing import Any

from ..config import TextConfig
from .tokenizer import Tokenizer


def cutting(tokenizer: Tokenizer) -> dict[str, Any]:
    """The settings in a table `[text]` that say how a tokenizer cuts."""
    own = tokenizer.settings()
    cuts = {key: value for key, value in own.items() if key in TextConfig.model_fields}
    return {"tokenizer": tokenizer.name, "vocab_size": None} | cuts
