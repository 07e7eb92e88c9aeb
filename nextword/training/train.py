"""The public functions `train` and `resume`."""

from __future__ import annotations

import time
from pathlib import Path

from ..arguments import checked
from ..config import Overrides
from ..device import pick_device
from ..errors import InputError
from ..files import AnyPath, Paths
from ..ngram.arpa_header import names_arpa
from ..run import Run, load, read_config
from ..run_folder import check_target
from ..text.source import streams_kept
from .request import Request, check


@checked
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
    """Train a model on text files and write it into the run directory `out`.

    The vocabulary is learnt from the training text alone.

    Args:
        recipe: the name of a recipe (`nextword recipes` lists them), or a .toml file.
        train: one or several files: running text, pairs, labelled or tagged texts, by recipe.
        out: the run directory; for n-gram models also an .arpa file.
        valid: one or several files of validation text, by which the best weights are chosen. If
            empty, 5 % of the training text are held out: the end of each file, or of labelled texts
            a random part of every label. N-gram models hold nothing out.
        targets: sentence pairs only: files of translations of `train`, line by line; if empty, each
            line of `train` is source, tab, target.
        valid_targets: sentence pairs only: files of translations of `valid`.
        overrides: settings that replace those of the recipe, as `["model.hidden=650"]` or a dict.
        start_from: a run whose vocabulary to keep and, if its model is of the same kind, whose
            model settings and weights to start from; or a folder with a BERT in the Hugging Face
            format; or a text file of word vectors.
        overwrite: replace an existing run in `out`.
        device, quiet: "cpu", "cuda" or "cuda:N"; show no progress and no messages.

    Returns:
        The trained run.

    Raises:
        InputError: an argument cannot be used; `out` stays as it was.
        TrainingError: the loss or the gradient is not finite; the last good weights are in `out`.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; all is saved, `resume` continues.

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


@streams_kept()
def make(request: Request, out: AnyPath) -> None:
    """Train a model like `train`, without opening the run afterwards."""
    began = time.perf_counter()
    out = Path(out)
    device = pick_device(request.device)
    job = check(request)
    method = job.config.model.trained_by
    if method == "mixing":
        raise InputError(
            "a mixture is made of runs: nextword train mixture RUN RUN --valid FILE --out RUN"
        )
    if method == "counting":
        from .by_counting import train_by_counting

        if not names_arpa(out):
            check_target(out, request.overwrite)
        train_by_counting(job, out)
        return
    from .by_gradient import train_by_gradient

    check_target(out, request.overwrite)
    train_by_gradient(job, out, device, began)


@checked
def resume(
    out: AnyPath,
    *,
    recipe: str | None = None,
    overrides: Overrides = None,
    device: str = "cpu",
    quiet: bool = False,
) -> Run:
    """Continue an interrupted training. It reaches the same weights as if it had not stopped.

    Args:
        out: the run directory.
        recipe: the recipe of the run, only to check it.
        overrides: new values of train.epochs, train.minutes, train.patience or
            train.save_every_minutes; no other setting can change.
        device: "cpu", "cuda" or "cuda:N".
        quiet: show no progress and no messages.

    Returns:
        The trained run.

    Raises:
        InputError: there is no such run, it has no training state, or another setting is changed.
        TrainingError: the loss or the gradient is not finite; the last good weights are in `out`.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; everything is saved.

    Example:
        nextword.resume("runs/book", overrides={"train.epochs": 20})
    """
    out = Path(out)
    if read_config(out).model.trained_by != "gradient":
        raise InputError(
            f"'{out}' has nothing to resume: such models are made in one go; use --overwrite"
        )
    from .by_gradient import resume_by_gradient

    resume_by_gradient(out, recipe=recipe, overrides=overrides, device=device, quiet=quiet)
    return load(out, device)
