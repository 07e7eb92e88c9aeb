"""Several trainings in one directory; asked for again, they go on where they stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import write_text
from ..run import SERIES, STATE
from .train import make, resume


@dataclass(frozen=True)
class Series:
    """What its trainings have in common."""

    recipe: str
    train: Sequence[Path]
    valid: Sequence[Path] = ()
    targets: Sequence[Path] = ()
    valid_targets: Sequence[Path] = ()
    device: str = "cpu"
    quiet: bool = False

    def texts(self) -> dict[str, Any]:
        """What tells its texts apart."""
        names = ("train", "valid", "targets", "valid_targets")
        return {name: describe(getattr(self, name)) for name in names if getattr(self, name)}

    def finish(self, out: Path, changes: dict[str, Any], start_from: Path | None = None) -> None:
        """Train, or go on where a training stopped; nothing happens to a finished one."""
        out.parent.mkdir(parents=True, exist_ok=True)
        if (out / STATE).is_file():
            resume(out, device=self.device, quiet=self.quiet)
            return
        make(
            self.recipe,
            list(self.train),
            out,
            valid=list(self.valid),
            targets=list(self.targets),
            valid_targets=list(self.valid_targets),
            overrides=changes,
            start_from=start_from,
            overwrite=True,
            device=self.device,
            quiet=self.quiet,
        )


def describe(paths: Sequence[Path]) -> list[Any]:
    """What tells texts apart: where they are and how long."""
    return [[str(Path(path).resolve()), Path(path).stat().st_size] for path in paths]


def claim(out: Path, settings: dict[str, Any], what: str) -> bool:
    """Make the directory, or see that it holds this very series; whether it is new.

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
