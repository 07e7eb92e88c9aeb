"""`nextword train`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Device, Overwrite, Quiet, Set

if TYPE_CHECKING:
    from ..training.request import Request


def command(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="RECIPE", help="A name from `nextword recipes`, or a .toml file."),
    ] = None,
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN...]", help="The runs of a mixture.", show_default=False),
    ] = None,
    train: Annotated[
        list[Path], typer.Option("--train", metavar="FILE", help="Text to learn from; repeatable.")
    ] = [],  # noqa: B006
    valid: Annotated[
        list[Path],
        typer.Option(
            "--valid",
            metavar="FILE",
            help="Text to choose the best weights by (default: the last 5 % of the training text).",
        ),
    ] = [],  # noqa: B006
    target: Annotated[
        list[Path],
        typer.Option(
            "--target",
            metavar="FILE",
            help="Sentence pairs in two files: the translation of --train, line by line "
            "(default: each line of --train is source, tab, target).",
        ),
    ] = [],  # noqa: B006
    valid_target: Annotated[
        list[Path],
        typer.Option("--valid-target", metavar="FILE", help="The same for --valid."),
    ] = [],  # noqa: B006
    out: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Directory for the run (n-grams: or an .arpa file)."),
    ] = None,
    settings: Set = [],  # noqa: B006
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Start from another run's weights, a folder in the hub's format, or a file of "
            "word vectors.",
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Train RUN/seed1 to RUN/seedN; the same command again goes on.",
            show_default=False,
        ),
    ] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where RUN stopped.")] = False,
    overwrite: Overwrite = False,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Train a model on text files and keep it as a run directory."""
    from ..errors import InputError

    if out is None:
        raise InputError("name a directory for the run: --out RUN")
    if resume:
        if overwrite or start_from or train or valid or target or valid_target or seeds:
            raise InputError(
                "--resume goes on with what the run has: leave --train, --valid, --from, --seeds "
                "and --overwrite out"
            )
        from ..training.train import resume as go_on

        go_on(out, recipe=recipe, overrides=settings, device=device, quiet=quiet)
        return
    if recipe is None:
        raise InputError("name a recipe; `nextword recipes` lists them, `lstm` suits any text")
    from ..training.request import Request

    request = Request.of(
        recipe,
        train,
        valid=valid,
        targets=target,
        valid_targets=valid_target,
        overrides=settings,
        start_from=start_from,
        overwrite=overwrite,
        device=device,
        quiet=quiet,
    )
    _train(request, runs or [], out, seeds)


def _train(request: Request, runs: list[Path], out: Path, seeds: int) -> None:
    """One training, or several seeds of it, or a mixture of runs."""
    from ..errors import InputError

    if _is_mixture(request.recipe):
        if request.train or request.start_from or seeds:
            raise InputError(
                "a mixture learns from its runs: leave --train, --from and --seeds out"
            )
        from ..training.by_mixing import mix_runs

        mix_runs(request, runs, out)
        return
    if runs:
        raise InputError(f"'{runs[0]}': only a mixture is made of runs; text goes to --train")
    if not request.train:
        raise InputError("name a text to learn from: --train FILE")
    if seeds:
        _several(request, out, seeds)
    else:
        from ..training.train import make

        make(request, out)


def _several(request: Request, out: Path, seeds: int) -> None:
    from ..errors import Interrupted
    from ..experiments.seeds import make_seeds

    try:
        figures = make_seeds(request, out, seeds)
    except (Interrupted, KeyboardInterrupt):
        raise Interrupted("stopped and saved; the same command again goes on") from None
    print(f"{seeds} seeds, validation figures of the kept weights:")
    for name, value in figures.items():
        print(f"{name:<14}{value}")


def _is_mixture(recipe: str) -> bool:
    from ..config import read_recipe

    return bool(read_recipe(recipe).get("model", {}).get("name") == "mixture")
