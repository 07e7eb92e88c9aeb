"""What verbs may write to. Nothing is replaced but what the same verb has written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
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
        is_ours: tells from the contents of that file that this program wrote it. It may raise
            ValueError or OSError for one that is damaged.
        files: a regular expression of the paths in it, with `/` between names. A directory with
            any other file in it is never replaced.
    """

    noun: str
    mark: str
    is_ours: Callable[[Path], bool]
    files: str

    def holds(self, folder: Path) -> bool:
        """Return whether a directory is of this kind."""
        try:
            return (folder / self.mark).is_file() and self.is_ours(folder / self.mark)
        except (OSError, ValueError):
            return False

    def strangers(self, folder: Path) -> Iterator[str]:
        """Yield the paths in a directory that would not be there if we had written it."""
        for place, folders, names in os.walk(folder):
            inside = Path(place).relative_to(folder)
            links = [name for name in folders if Path(place, name).is_symlink()]
            folders[:] = [name for name in folders if not is_work_folder(Path(place, name))]
            for name in sorted(links + names):
                path = (inside / name).as_posix()
                if name not in _ALWAYS and not re.fullmatch(self.files, path):
                    yield path


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


def check_file(out: Path, overwrite: bool, noun: str, is_ours: Callable[[Path], bool]) -> Path:
    """Return the path to write a file to, which is `out` or what it links to.

    Args:
        overwrite: it may replace a file of the same kind.
        noun: what messages call such a file, as in "an ARPA file".
        is_ours: tells from its contents that a file is one; an empty file may be replaced too.

    Raises:
        InputError: `out` may not be written.
    """
    real = target(out)
    if real.is_dir():
        raise InputError(f"'{out}' is a directory; name a file")
    if not real.parent.is_dir():
        raise InputError(f"no folder '{real.parent}' for '{out.name}'; make it first")
    if real.exists() and real.stat().st_size and not is_ours(real):
        raise InputError(f"'{out}' exists and is not {noun}; name another file")
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
    if not kind.holds(real):
        raise InputError(f"'{out}' holds something that is not {kind.noun}; name another directory")
    if stranger := next(kind.strangers(real), None):
        raise InputError(
            f"'{out}' holds '{stranger}', which is not part of {kind.noun}; move it away or "
            "name another directory"
        )
    if not overwrite:
        raise InputError(f"'{out}' exists; add {or_else}--overwrite to replace it")
    return real
