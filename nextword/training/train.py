"""`train`: from a recipe and text files to a run."""

from __future__ import annotations

import time
from pathlib import Path

from ..config import Overrides
from ..errors import InputError
from ..files import AnyPath, Paths
from ..run import Run, check_target, is_arpa, load, pick_device, read_config
from .request import Request, check


def train(
    recipe: str,
    train: Paths,
    out: AnyPath,
    *,
    valid: Paths = (),
    targets: Paths = (),
    valid_targets: Paths = (),
    overrides: Overrides = None,
    start_from: AnyPath | None = None,
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

    Example:
        run = nextword.train("lstm", "book.txt", "runs/book", overrides={"train.minutes": 10})
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
    make(request, out)
    return load(out, device)


def make(request: Request, out: AnyPath) -> None:
    """Train what is requested into `out`, without opening the run that was made; see `train`."""
    began = time.perf_counter()
    out = Path(out)
    device = pick_device(request.device)
    job = check(request)
    method = job.config.model.trained_by
    if method == "mixing":
        raise InputError("a mixture is made of runs: nextword train mixture RUN RUN --valid FILE")
    if method == "counting":
        from .by_counting import train_by_counting

        if not is_arpa(out):
            check_target(out, request.overwrite)
        train_by_counting(job, out, began)
        return
    from .by_gradient import train_by_gradient

    check_target(out, request.overwrite)
    train_by_gradient(job, out, device, began)


def resume(
    out: AnyPath,
    *,
    recipe: str | None = None,
    overrides: Overrides = None,
    device: str = "cpu",
    quiet: bool = False,
) -> Run:
    """Go on with an interrupted training, to the same weights as if it had never stopped.

    Only the budget may change (train.epochs, train.minutes, train.patience).

    Raises:
        InputError: there is no such run, nothing to go on from, or another setting is to change.
    """
    out = Path(out)
    if read_config(out).model.trained_by != "gradient":
        raise InputError(f"'{out}' is made in one go: there is nothing to resume; use --overwrite")
    from .by_gradient import resume_by_gradient

    resume_by_gradient(out, recipe=recipe, overrides=overrides, device=device, quiet=quiet)
    return load(out, device)
