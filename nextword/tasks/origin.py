"""The settings and weights that a training takes from an earlier run (`--from`)."""

from __future__ import annotations

from pathlib import Path

from ..config import Config, Overrides, configure, read_recipe
from ..errors import InputError


def keep_vocabulary(
    task: str,
    recipe: str,
    overrides: Overrides,
    origin: Path,
    before: Config,
    *,
    new_vocabulary: bool,
) -> Config:
    """A recipe's settings with the vocabulary of an earlier run of the same task, and with its
    model's settings if it is the same kind of model.

    Args:
        task: the name of the recipe's task.
        before: the earlier run's settings.
        new_vocabulary: the task allows `train.vocabulary=new`.

    Raises:
        InputError: the run is of another task, or a setting of its vocabulary is to change.
    """
    if task != before.model.task:
        raise InputError(
            f"--from {origin}: that run is for the task '{before.model.task}', the recipe "
            f"'{recipe}' is for '{task}'"
        )
    fresh = configure(recipe, overrides).train.vocabulary == "new"
    if fresh and not new_vocabulary:
        raise InputError("train.vocabulary=new is for models of running text")
    base = {} if fresh else {"text": before.text.model_dump(mode="json")}
    if before.source is not None:
        base["source"] = before.source.model_dump(mode="json")
    name = read_recipe(recipe).get("model", {}).get("name", "recurrent")
    if name == before.model.name and before.model.trained_by == "gradient":
        base["model"] = before.model.model_dump(mode="json")
    config = configure(recipe, overrides, base=base)
    if not fresh and (config.text != before.text or config.source != before.source):
        raise InputError(
            f"--from {origin} keeps that run's vocabulary; leave text.* and source.* settings out, "
            "or add --set train.vocabulary=new"
        )
    return config


def onto_encoder(recipe: str, overrides: Overrides, before: Config) -> Config:
    """The settings of a classifier or tagger whose encoder is the model of an earlier run.

    What the recipe says of an encoder of that kind (its dropout) replaces what that run had.

    Raises:
        InputError: that model cannot be an encoder.
    """
    if not before.model.encodes:
        raise InputError(f"a '{before.model.name}' model cannot be the encoder of another")
    model = read_recipe(recipe)["model"]
    own, encoder = model.get("encoder", {}), before.model.model_dump(mode="json")
    model["encoder"] = encoder | (own if own.get("name") == before.model.name else {})
    return configure(
        recipe, overrides, base={"text": before.text.model_dump(mode="json"), "model": model}
    )
