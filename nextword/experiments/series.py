"""Several trainings in one directory; asked for again, they go on where they stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import write_text
from ..run import SERIES, STATE
from ..training.request import Request
from ..training.train import make, resume


def finish(request: Request, out: Path) -> None:
    """Train what is requested, or go on where its training stopped; a finished one stays."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if (out / STATE).is_file():
        resume(out, device=request.device, quiet=request.quiet)
    else:
        make(request, out)


def texts_of(request: Request) -> dict[str, Any]:
    """What tells the texts of a request from others: where they are and how long."""
    texts = {
        "train": request.train,
        "valid": request.valid,
        "targets": request.targets,
        "valid_targets": request.valid_targets,
    }
    return {name: describe(paths) for name, paths in texts.items() if paths}


def describe(paths: Sequence[Path]) -> list[Any]:
    """Path and size of each file."""
    return [[str(Path(path).resolve()), Path(path).stat().st_size] for path in paths]


def take_directory(out: Path, settings: dict[str, Any], what: str) -> bool:
    """Make the directory of a series, or see that it holds this very one; whether it is new.

    Args:
        settings: what the series is made with.
        what: the directory holds, as in "trainings".

    Raises:
        InputError: it holds something else.
    """
    if (out / SERIES).is_file():
        before = json.loads((out / SERIES).read_text(encoding="utf-8"))
        if before != json.loads(json.dumps(settings)):
            raise InputError(
                f"'{out}' holds {what} with other settings or texts; name another directory"
            )
        return False
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"'{out}' holds something else; name another directory")
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / SERIES, json.dumps(settings, indent=1))
    return True
