"""Builds the model that the settings of a run describe, loads its weights, and gives it the form in
which it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..config import Config
from ..errors import InputError
from ..text.tokenizer import Tokenizer
from ..types import LanguageModel

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


def with_window(model: nn.Module, config: Config) -> LanguageModel:
    """Return the model in the form in which it is evaluated and used.

    A model with unlimited context that was trained on independent windows is wrapped, so that it
    predicts from windows of the same length; one that was trained on single sentences begins every
    sentence anew.
    """
    language_model = cast(LanguageModel, model)
    if config.train.stream == "sentences":
        from .sentencewise import Sentencewise

        return Sentencewise(language_model)
    if config.train.stream == "windows" and language_model.context is None:
        from .windowed import Windowed

        return Windowed(language_model, config.train.bptt).to(next(model.parameters()).device)
    return language_model
