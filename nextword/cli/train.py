"""`nextword train`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import bounds
from .options import Device, Overwrite, Quiet, Set

if TYPE_CHECKING:
    from ..training.request import Request


Recipe = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE", help="Name of a recipe (see `nextword recipes`), or a .toml file."
    ),
]
Runs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[RUN...]", help="The runs to mix (recipe mixture only).", show_default=False
    ),
]
TrainOption = Annotated[
    list[Path],
    typer.Option(
        "--train",
        metavar="FILE",
        help="The training text, pairs, labelled texts or tagged words, as the recipe needs: a "
        "file, compressed or not, or - for standard input; repeatable.",
    ),
]
ValidOption = Annotated[
    list[Path],
    typer.Option(
        "--valid",
        metavar="FILE",
        help="The validation text, by which the best weights are chosen; repeatable (default: "
        "5 % of the training text, except for n-gram models).",
    ),
]
TargetOption = Annotated[
    list[Path],
    typer.Option(
        "--target",
        metavar="FILE",
        help="The translations of --train, line by line, if pairs are in two files; repeatable "
        "(default: each line of --train is source, tab, target).",
    ),
]
ValidTarget = Annotated[
    list[Path],
    typer.Option(
        "--valid-target",
        metavar="FILE",
        help="The translations of --valid, line by line, if pairs are in two files.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN", help="Directory for the run, or an .arpa file for an n-gram model."
    ),
]
StartFrom = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="RUN",
        help="Keep the vocabulary of another run or Hugging Face folder and, for a model of the "
        "same kind, start from its weights; or start from the word vectors in a text file.",
    ),
]
Seeds = Annotated[
    int,
    typer.Option(
        min=0,
        max=bounds.TRAININGS,
        metavar="N",
        help="Train with seeds 1 to N into RUN/seed1 to RUN/seedN; the same command continues "
        "them.",
        show_default=False,
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the interrupted training of RUN.")]


def command(
    recipe: Recipe = None,
    runs: Runs = None,
    train: TrainOption = [],  # noqa: B006
    valid: ValidOption = [],  # noqa: B006
    target: TargetOption = [],  # noqa: B006
    valid_target: ValidTarget = [],  # noqa: B006
    out: Out = None,
    settings: Set = [],  # noqa: B006
    start_from: StartFrom = None,
    seeds: Seeds = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Train a model on text files.

    Writes the model, its tokenizer and its settings into a run directory. `train mixture RUN RUN`
    mixes models that are already trained, with weights chosen on --valid.
    """
    from ..errors import InputError

    if out is None:
        raise InputError("name a directory for the run: --out RUN")
    if resume:
        if overwrite or start_from or train or valid or target or valid_target or seeds:
            raise InputError(
                "--resume continues with the run's own texts and settings; leave out --train, "
                "--valid, --target, --valid-target, --from, --seeds and --overwrite"
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
    """Train one model, or one for each of several seeds, or mix runs."""
    from ..errors import InputError

    if _is_mixture(request.recipe):
        if request.train or request.start_from or seeds or request.targets or request.valid_targets:
            raise InputError(
                "a mixture is made of trained runs that predict text; leave out --train, --from, "
                "--seeds, --target and --valid-target"
            )
        from ..training.by_mixing import mix_runs

        mix_runs(request, runs, out)
        return
    if runs:
        raise InputError(f"'{runs[0]}': only a mixture is made of runs; give text with --train")
    if not request.train:
        raise InputError("name a training text: --train FILE")
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
        again = " without --overwrite" if request.overwrite else ""
        raise Interrupted(f"stopped and saved; run the same command{again} to continue") from None
    spread = ", mean ± standard deviation" if seeds > 1 else ""
    print(f"{seeds} seed{'s' * (seeds > 1)}, validation figures of the kept weights{spread}:")
    for name, value in figures.items():
        print(f"{name:<14}{value}")


def _is_mixture(recipe: str) -> bool:
    from ..config import read_recipe

    return bool(read_recipe(recipe).get("model", {}).get("name") == "mixture")
