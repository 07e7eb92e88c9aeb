"""The settings that a training takes from the run it starts from (`--from`)."""

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
    """Combine a recipe with the vocabulary settings of an earlier run of the same task.

    If both have the same kind of model, the earlier run's model settings are taken too. Overrides
    apply on top.

    Args:
        task: the name of the recipe's task.
        origin: the earlier run, for messages.
        before: the settings of the earlier run.
        new_vocabulary: whether the task allows `train.vocabulary=new`.

    Raises:
        InputError: the run is of another task, or an override changes its vocabulary.
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
    """Return the settings of a classifier or tagger whose encoder is the model of an earlier run.

    If the recipe has settings for an encoder of that kind, such as its dropout, they replace those
    of the earlier run.

    Args:
        before: the settings of the earlier run.

    Raises:
        InputError: the model of the earlier run cannot be an encoder.
    """
    if not before.model.encodes:
        raise InputError(f"a '{before.model.name}' model cannot be the encoder of another")
    model = read_recipe(recipe)["model"]
    own, encoder = model.get("encoder", {}), before.model.model_dump(mode="json")
    model["encoder"] = encoder | (own if own.get("name") == before.model.name else {})
    return configure(
        recipe, overrides, base={"text": before.text.model_dump(mode="json"), "model": model}
    )
