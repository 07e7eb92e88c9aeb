"""Training with several seeds (`train --seeds N`), to measure the variance between seeds."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import bounds
from ..arguments import checked
from ..config import Overrides
from ..errors import InputError
from ..evaluation.seed_statistics import SeedStatistics, seed_statistics
from ..files import AnyPath, Paths, locked, read_tensors
from ..outputs import Folder, check_folder
from ..parsing import read_json
from ..run import SERIES, STATE, WEIGHTS, seeds_of
from ..run_folder import FILES, has_settings
from ..scratch import made_folder, set_aside, work_folder
from ..text.source import streams_kept
from ..training.loop.journal import read_metrics
from ..training.request import Request, check
from .series import describe, finish, take_directory, texts_of


def _is_ours(settings: Path) -> bool:
    series = read_json(settings)
    config = series.get("config") if isinstance(series, dict) else None
    return isinstance(config, dict) and has_settings(config)


_FOLDER = Folder(
    "a directory of several seeds", SERIES, _is_ours, rf"{re.escape(SERIES)}|seed\d+/{FILES}"
)


@checked
def train_seeds(
    recipe: str,
    train: Paths,
    out: AnyPath,
    *,
    seeds: int,
    valid: Paths = (),
    targets: Paths = (),
    valid_targets: Paths = (),
    overrides: Overrides = None,
    start_from: AnyPath | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    quiet: bool = False,
) -> dict[str, SeedStatistics]:
    """Train the same model with seeds 1 to `seeds` into out/seed1, out/seed2 and so on.

    Called again with the same arguments it continues: finished runs stay, an interrupted one is
    resumed, and `seeds` may be larger.

    Args:
        seeds: number of trainings; `train.seed` is 1, 2, …
        others: see `nextword.train`.

    Returns:
        The mean and standard deviation over the seeds of each validation figure of the best
        weights, by name (nll in nats per token, perplexity, accuracy, …).

    Raises:
        InputError: an argument cannot be used, or `out` has other contents.
        TrainingError: the loss or the gradient is not finite.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; everything is saved.

    Example:
        nextword.train_seeds("lstm", "book.txt", "runs/book", seeds=3)["perplexity"].mean
    """
    request = Request.of(
        recipe,
        train,
        valid=valid,
        targets=targets,
        valid_targets=valid_targets,
        overrides=overrides,
        start_from=start_from,
        overwrite=overwrite,
        device=device,
        quiet=quiet,
    )
    return make_seeds(request, Path(out), seeds)


@streams_kept()
def make_seeds(request: Request, out: Path, seeds: int) -> dict[str, SeedStatistics]:
    """Train several seeds of a request; see `train_seeds`."""
    bounds.check("seeds", seeds, 1, bounds.TRAININGS)
    if "train.seed" in request.changes:
        raise InputError("--seeds sets train.seed itself; leave it out")
    config = check(request).config
    if config.model.trained_by != "gradient":
        raise InputError(f"'{request.recipe}' does not depend on a seed: train it without --seeds")
    settings = {"config": config.dump(), **texts_of(request)}
    if (origin := request.start_from) is not None:
        settings["from"] = describe([origin if origin.is_file() else origin / WEIGHTS])
    replaces = request.overwrite and (out / SERIES).is_file()
    with made_folder(out.parent), _replacing(out) if replaces else nullcontext():
        fresh = take_directory(out, settings, "trainings")
        each = replace(request, overwrite=True)
        with locked(out):
            try:
                for seed in range(1, seeds + 1):
                    finish(each.changed({"train.seed": seed}), out / f"seed{seed}")
            except InputError:
                if fresh and not any(out.glob(f"*/{STATE}")):  # nothing was trained
                    shutil.rmtree(out)
                raise
    return seed_statistics([_kept(run) for run in seeds_of(out)])


@contextmanager
def _replacing(out: Path) -> Iterator[None]:
    """Replace a series in this context; if no run is made in it, the old series comes back."""
    real = check_folder(out, _FOLDER, overwrite=True)
    with work_folder(real) as folder, ExitStack() as moved:
        with locked(real):
            moved.enter_context(set_aside(real, folder))
        yield


def _kept(run: Path) -> dict[str, Any]:
    """Return the validation figures of the weights in a run, by name."""
    _, meta = read_tensors(run / WEIGHTS)
    found = [r for r in read_metrics(run) if "valid_nll" in r and r["step"] == meta.get("step")]
    wanted = found[-1] if found else {}
    return {key.removeprefix("valid_"): wanted[key] for key in wanted if key.startswith("valid_")}
