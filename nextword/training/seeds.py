"""`train --seeds N`: the same training from several seeds, to know what chance does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config import override_items
from ..errors import InputError
from ..evaluation.spread import Spread, spread
from ..files import locked, read_tensors
from ..run import SERIES, STATE, WEIGHTS, seeds_of
from .journal import read_metrics
from .series import Series, claim, describe
from .train import check_inputs


def train_seeds(
    recipe: str,
    train: Sequence[Path],
    out: str | os.PathLike[str],
    *,
    seeds: int,
    valid: Sequence[Path] = (),
    targets: Sequence[Path] = (),
    valid_targets: Sequence[Path] = (),
    overrides: list[str] | dict[str, Any] | None = None,
    start_from: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    quiet: bool = False,
) -> dict[str, Spread]:
    """Train runs out/seed1, out/seed2 and so on, `train.seed` being the number; see `train`.

    Called again with the same arguments it goes on: finished runs stay, an interrupted one is
    resumed, and more seeds may be asked for.

    Returns:
        The validation figures of the kept weights, mean and deviation.

    Raises:
        InputError: something given cannot be used, or `out` holds something else.
        Interrupted: Ctrl-C; everything is saved.
    """
    changes = override_items(overrides)
    if seeds < 1:
        raise InputError(f"seeds = {seeds}: give 1 or more")
    if "train.seed" in changes:
        raise InputError("--seeds sets train.seed itself; leave it out")
    series = Series(recipe, train, valid, targets, valid_targets, device, quiet)
    config = check_inputs(
        recipe, train, valid, targets, valid_targets, overrides=changes, start_from=start_from
    )
    if config.model.trained_by != "descend":
        raise InputError(f"'{recipe}' leaves nothing to chance: train it without --seeds")
    out = Path(out)
    settings = {"config": config.dump(), **series.texts()}
    if start_from is not None:
        begin = Path(start_from)
        settings["from"] = describe([begin if begin.is_file() else begin / WEIGHTS])
    before = None
    if overwrite and (out / SERIES).is_file():
        with locked(out):
            before = out.with_name(f".{out.name}.{os.getpid()}.old")
            os.replace(out, before)
    parent = None if start_from is None else Path(start_from)
    fresh = claim(out, settings, "trainings")
    with locked(out):
        try:
            for seed in range(1, seeds + 1):
                series.finish(out / f"seed{seed}", changes | {"train.seed": seed}, parent)
        except InputError:
            if fresh and not any(out.glob(f"*/{STATE}")):  # nothing trained: all is as it was
                shutil.rmtree(out)
                if before:
                    os.replace(before, out)
            raise
    if before:
        shutil.rmtree(before)
    return spread([_kept(run) for run in seeds_of(out)])


def _kept(run: Path) -> dict[str, Any]:
    """The validation figures of the weights that were kept: the best."""
    _, meta = read_tensors(run / WEIGHTS)
    found = [r for r in read_metrics(run) if "valid_nll" in r and r["step"] == meta["step"]]
    wanted = found[-1] if found else {}
    return {key.removeprefix("valid_"): wanted[key] for key in wanted if key.startswith("valid_")}
