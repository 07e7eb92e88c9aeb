"""What verbs may write to. Nothing is replaced but what the same verb has written."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .paths import Kind, kind_of
from .scratch import is_work_folder

_ALWAYS = {".lock", ".DS_Store"}


@dataclass(frozen=True)
class Folder:
    """A kind of directory that verbs write.

    Attributes:
        noun: what messages call it, such as "a run".
        mark: the file that shows that a directory is one.
        names: everything that may be in it; with something else in it, it is never replaced.
        numbered: the beginning of the names of directories in it that end in a number.
        part: what these directories are.
    """

    noun: str
    mark: str
    names: frozenset[str]
    numbered: str = ""
    part: Folder | None = None

    def strangers(self, folder: Path) -> list[str]:
        """Return the names in a directory that would not be there if we had written it."""
        found = []
        for name in sorted(set(os.listdir(folder)) - self.names - _ALWAYS):
            if self.part and re.fullmatch(rf"{self.numbered}\d+", name):
                found += [f"{name}/{one}" for one in self.part.strangers(folder / name)]
            elif not is_work_folder(folder / name):
                found.append(name)
        return found


def target(out: Path) -> Path:
    """Follow symbolic links from `out` to the place that is written.

    Raises:
        InputError: there is something that is neither a file nor a directory, a folder on the way
            is a file or may not be written, or links lead in a circle.
    """
    try:
        real = out.resolve() if out.is_symlink() else out
    except (OSError, RuntimeError):  # RuntimeError until Python 3.12
        real = out
    kind = kind_of(real)
    if kind is Kind.NOTHING and real.is_symlink():
        raise InputError(f"'{out}' is a link that leads in a circle; name another place")
    if kind not in (Kind.FILE, Kind.DIRECTORY, Kind.NOTHING):
        raise InputError(f"'{out}' is a {kind}; name another place")
    _check_parent(out, real)
    return real


def _check_parent(out: Path, real: Path) -> None:
    """Raise an error unless something can be written beside `real`."""
    parent = real.parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise InputError(f"'{parent}' is a file, so '{out}' cannot be in it; name another place")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"no permission to write in '{parent}'; name another place")


def check_file(out: Path, overwrite: bool) -> Path:
    """Return the path to write a file to, which is `out` or what it links to.

    Raises:
        InputError: `out` may not be written; `overwrite`: it may replace a file.
    """
    real = target(out)
    if real.is_dir():
        raise InputError(f"'{out}' is a directory; name a file")
    if not real.parent.is_dir():
        raise InputError(f"no folder '{real.parent}' for '{out.name}'; make it first")
    if real.exists() and not overwrite:
        raise InputError(f"'{out}' exists; add --overwrite to replace it")
    return real


def check_folder(out: Path, kind: Folder, overwrite: bool, or_else: str = "") -> Path:
    """Return the path to write a directory to, which is `out` or what it links to.

    Args:
        overwrite: it may replace a directory of the same kind.
        or_else: what the user could do instead of adding --overwrite.

    Raises:
        InputError: `out` may not be written.
    """
    if out.name in ("", ".."):
        raise InputError(f"'{out}' cannot be replaced; name a directory for {kind.noun}")
    real = target(out)
    if not real.exists():
        return real
    if not real.is_dir():
        raise InputError(f"'{out}' is a file; name a directory for {kind.noun}")
    if os.path.ismount(real):
        raise InputError(f"'{out}' is a mount point; name a directory in it")
    if not any(real.iterdir()):
        return real
    if not (real / kind.mark).is_file():
        raise InputError(f"'{out}' holds something that is not {kind.noun}; name another directory")
    if strangers := kind.strangers(real):
        raise InputError(
            f"'{out}' holds '{strangers[0]}', which is not part of {kind.noun}; move it away or "
            "name another directory"
        )
    if not overwrite:
        raise InputError(f"'{out}' exists; add {or_else}--overwrite to replace it")
    return real
