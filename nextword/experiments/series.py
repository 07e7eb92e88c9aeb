"""A series of trainings in one directory, which continues where it stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import write_text
from ..outputs import target
from ..parsing import read_json
from ..run import SERIES, STATE
from ..text.reader import open_texts
from ..text.source import is_stream
from ..training.request import Request
from ..training.train import make, resume


def finish(request: Request, out: Path) -> None:
    """Train a model, or continue its training; a finished training stays as it is."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if (out / STATE).is_file():
        resume(out, device=request.device, quiet=request.quiet)
    else:
        make(request, out)


def texts_of(request: Request) -> dict[str, Any]:
    """Describe the texts of a request by path and size, to recognise them later."""
    texts = {
        "train": request.train,
        "valid": request.valid,
        "targets": request.targets,
        "valid_targets": request.valid_targets,
    }
    return {name: describe(paths) for name, paths in texts.items() if paths}


def describe(paths: Sequence[Path]) -> list[Any]:
    """Return the path and size in bytes of each file; a stream is known by its size alone."""
    return [
        ["-", open_texts([path])[0].size]
        if is_stream(path)
        else [str(path.resolve()), path.stat().st_size]
        for path in paths
    ]


def take_directory(out: Path, settings: dict[str, Any], what: str) -> bool:
    """Make the directory of a series, or check that it belongs to this series.

    Args:
        settings: the settings and texts that identify the series.
        what: what the directory contains, for messages, such as "trainings".

    Returns:
        Whether the directory is new.

    Raises:
        InputError: the directory has other contents.
    """
    target(out)
    if (out / SERIES).is_file():
        try:
            before = read_json(out / SERIES)
        except ValueError as error:
            raise InputError(
                f"'{out / SERIES}' is damaged ({error}); name another directory"
            ) from None
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
