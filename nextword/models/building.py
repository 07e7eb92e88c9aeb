"""Builds the model that the settings of a run describe, and loads its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import Config
from ..errors import InputError
from ..text.tokenizer import Tokenizer

if TYPE_CHECKING:  # n-gram models need no torch, and importing it takes seconds
    from torch import Tensor, nn


def build_model(
    config: Config,
    tokenizer: Tokenizer,
    source: Tokenizer | None = None,
    weights: dict[str, Tensor] | None = None,
    path: Path = Path(),
) -> Any:
    """Build the model that the settings describe, with newly initialised weights.

    Args:
        weights: what was read from `path` and will be loaded into it, if anything.

    Raises:
        InputError: the weights have other shapes, or there is not enough memory.
    """
    sizes: tuple[Any, ...] = (tokenizer.vocab_size,)
    if source is not None:
        assert config.source is not None
        sizes = (tokenizer.vocab_size, source.vocab_size, config.source.joint)
    if config.model.trained_by != "gradient":
        return config.model.build(*sizes)
    from ..nn.randomness import initialising
    from .sizes import check_memory, check_shapes, without_memory

    skeleton = without_memory(lambda: config.model.build(*sizes))
    if weights is not None:
        check_shapes(skeleton, weights, path)
    check_memory(skeleton)
    with initialising():
        return config.model.build(*sizes)


def load_weights(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Load weights that were read from `path`.

    Raises:
        InputError: they do not fit the model, or are infinite or not numbers.
    """
    from .sizes import check_finite

    check_finite(weights, path)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        detail = str(error).split("\n")[-1].strip()
        raise InputError(f"'{path}' does not fit the settings beside it ({detail})") from None
