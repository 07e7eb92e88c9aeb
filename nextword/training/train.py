"""`train`: from a recipe and text files to a run."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config import Config, configure, override_items, read_recipe
from ..errors import InputError
from ..run import Run, check_target, is_arpa, load, pick_device, settings_of
from ..run import load_config as load_run_config
from ..text.pairs import open_pairs
from ..text.reader import open_texts

Paths = Sequence[str | os.PathLike[str]]


def train(
    recipe: str,
    train: Paths | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    valid: Paths | str | os.PathLike[str] = (),
    targets: Paths | str | os.PathLike[str] = (),
    valid_targets: Paths | str | os.PathLike[str] = (),
    overrides: list[str] | dict[str, Any] | None = None,
    start_from: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    quiet: bool = False,
) -> Run:
    """Train a model on text files and keep it as the run directory `out`.

    Without validation text the last 5 % of each training file are held out for it (not for n-gram
    models, which have no use for it). The vocabulary comes from the training text alone.

    Args:
        targets: of sentence pairs: the other language's file of each training file, line by line;
            without, each line of a training file is source, tab, target.
        valid_targets: the same for the validation files.
        overrides: settings on top of the recipe, `["model.hidden=650"]` or a dict.
        start_from: a run whose vocabulary to keep and, if it is the same kind of model, whose
            model settings and weights to start from; a folder in the hub's format likewise; or a
            text file of word vectors.

    Raises:
        InputError: something given cannot be used; `out` is as it was.
        TrainingError: the loss is not finite; the last good weights are kept.
        Interrupted: Ctrl-C; everything is saved, `resume` goes on.
    """
    make(
        recipe,
        train,
        out,
        valid=valid,
        targets=targets,
        valid_targets=valid_targets,
        overrides=overrides,
        start_from=start_from,
        overwrite=overwrite,
        device=device,
        quiet=quiet,
    )
    return load(out, device)


def make(
    recipe: str,
    train: Paths | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    valid: Paths | str | os.PathLike[str] = (),
    targets: Paths | str | os.PathLike[str] = (),
    valid_targets: Paths | str | os.PathLike[str] = (),
    overrides: list[str] | dict[str, Any] | None = None,
    start_from: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    quiet: bool = False,
) -> None:
    """`train` without opening what was made."""
    began = time.perf_counter()
    out = Path(out)
    config, parent = _configure(recipe, overrides, start_from)
    where = pick_device(device)
    train_text, valid_text = _open_both(config, train, valid, targets, valid_targets)
    method = config.model.trained_by
    if not (method == "count" and is_arpa(out)):
        check_target(out, overwrite)
    if method == "mix":
        raise InputError("a mixture is made of runs: nextword train mixture RUN RUN --valid FILE")
    if method == "count":
        from .count import count

        count(config, parent, train_text, valid_text, out, overwrite=overwrite, quiet=quiet)
        return
    from .descend import descend

    descend(
        config,
        parent,
        train_text,
        valid_text,
        out,
        overwrite=overwrite,
        where=where,
        quiet=quiet,
        began=began,
        asked="train.bptt" in override_items(overrides),
    )


def resume(
    out: str | os.PathLike[str],
    *,
    recipe: str | None = None,
    overrides: list[str] | dict[str, Any] | None = None,
    device: str = "cpu",
    quiet: bool = False,
) -> Run:
    """Go on with an interrupted training, to the same weights as if it had never stopped.

    Only the budget may change (train.epochs, train.minutes, train.patience).

    Raises:
        InputError: there is no such run, nothing to go on from, or another setting is to change.
    """
    out = Path(out)
    if load_run_config(out).model.trained_by != "descend":
        raise InputError(f"'{out}' is made in one go: there is nothing to resume; use --overwrite")
    from .descend import resume as go_on

    go_on(out, recipe=recipe, overrides=overrides, device=device, quiet=quiet)
    return load(out, device)


def check_inputs(
    recipe: str,
    train: Paths | str | os.PathLike[str],
    valid: Paths | str | os.PathLike[str] = (),
    targets: Paths | str | os.PathLike[str] = (),
    valid_targets: Paths | str | os.PathLike[str] = (),
    *,
    overrides: list[str] | dict[str, Any] | None = None,
    start_from: str | os.PathLike[str] | None = None,
) -> Config:
    """The settings that `train` would use; everything it would refuse at once is refused.

    Raises:
        InputError: something given cannot be used.
    """
    config, _ = _configure(recipe, overrides, start_from)
    _open_both(config, train, valid, targets, valid_targets)
    return config


def _open_both(
    config: Config, train: Any, valid: Any, targets: Any, valid_targets: Any
) -> tuple[Any, Any]:
    """Training and validation texts."""
    train_text = _open(config, _list(train), _list(targets))
    if _list(valid_targets) and not _list(valid):
        raise InputError("the targets of validation pairs need their sources: --valid FILE")
    valid_text = _open(config, _list(valid), _list(valid_targets)) if _list(valid) else []
    return train_text, valid_text


def _open(config: Config, paths: list[Any], targets: list[Any]) -> Any:
    """Text files, or files of sentence pairs, as the model reads them."""
    if config.model.reads == "pairs":
        return open_pairs(paths, targets)
    if targets:
        raise InputError(
            f"the model '{config.model.name}' reads running text, not pairs; leave "
            f"'{targets[0]}' out"
        )
    return open_texts(paths)


def _configure(
    recipe: str, overrides: Any, start_from: str | os.PathLike[str] | None
) -> tuple[Config, Path | None]:
    if start_from is None:
        return configure(recipe, overrides), None
    parent = Path(start_from)
    if parent.is_file() and not is_arpa(parent):
        return _with_vectors(recipe, overrides, parent), None
    before = settings_of(parent)
    wanted = configure(recipe).model
    if wanted.reads in ("labelled", "tagged") and before.model.reads in ("text", "sentences"):
        return _onto_encoder(recipe, overrides, before), parent
    if wanted.reads != before.model.reads:
        raise InputError(
            f"--from {parent}: that run reads {before.model.reads}, which is not what the recipe "
            f"'{recipe}' reads"
        )
    fresh = configure(recipe, overrides).train.vocabulary == "new"
    if fresh and before.model.reads != "text":
        raise InputError("train.vocabulary=new is for models of running text")
    base = {} if fresh else {"text": before.text.model_dump(mode="json")}
    if before.source is not None:
        base["source"] = before.source.model_dump(mode="json")
    same = read_recipe(recipe).get("model", {}).get("name", "recurrent") == before.model.name
    if same and before.model.trained_by == "descend":
        base["model"] = before.model.model_dump(mode="json")
    config = configure(recipe, overrides, base=base)
    if not fresh and (config.text != before.text or config.source != before.source):
        raise InputError(
            f"--from {parent} keeps that run's vocabulary; leave text.* and source.* settings out, "
            "or add --set train.vocabulary=new"
        )
    return config, None if fresh and before.model.trained_by != "descend" else parent


def _with_vectors(recipe: str, overrides: Any, path: Path) -> Config:
    """A recipe's settings, its word vectors beginning with those of a file."""
    given = override_items(overrides)
    model = configure(recipe, given).model
    if model.reads == "pairs":
        raise InputError(
            f"--from {path}: whose vectors are they? Add --set source.vectors={path} or "
            f"--set text.vectors={path} instead"
        )
    if model.trained_by != "descend":
        raise InputError(f"--from {path}: a '{model.name}' model has no word vectors")
    return configure(recipe, given | {"text.vectors": str(path)})


def _onto_encoder(recipe: str, overrides: Any, before: Config) -> Config:
    """A classifier's or tagger's settings, its encoder being the model of another run; what the
    recipe says of an encoder of that kind (its dropout) goes before what that run had."""
    if not hasattr(before.model, "output_width"):
        raise InputError(f"a '{before.model.name}' model cannot be the encoder of another")
    model = read_recipe(recipe)["model"]
    own, encoder = model.get("encoder", {}), before.model.model_dump(mode="json")
    model["encoder"] = encoder | (own if own.get("name") == before.model.name else {})
    return configure(
        recipe, overrides, base={"text": before.text.model_dump(mode="json"), "model": model}
    )


def _list(paths: Paths | str | os.PathLike[str]) -> list[str | os.PathLike[str]]:
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
