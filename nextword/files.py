"""Atomic writing of files, tensors in files, and locks.

Everything is written in a work folder and then renamed, so a crash leaves either the old contents
or the new ones, never a part of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError, shown
from .parsing import parse_json
from .scratch import replace_file, work_folder

if TYPE_CHECKING:
    from torch import Tensor

AnyPath = str | os.PathLike[str]
Paths = AnyPath | Sequence[AnyPath]


def path_list(paths: Paths) -> list[Path]:
    """One path or several, as a list."""
    return [Path(paths)] if isinstance(paths, (str, os.PathLike)) else [Path(p) for p in paths]


def write(path: Path, save: Callable[[Path], object], *, overwrite: bool = True) -> None:
    """Write a file atomically, or the file that `path` links to.

    Args:
        save: writes the contents to the path that it is given, in a work folder beside `path`.
        overwrite: a file may be replaced; it keeps its permissions.

    Raises:
        InputError: not `overwrite`, and there is a file by now.
    """
    real = path.resolve() if path.is_symlink() else path
    with work_folder(real) as folder:
        fresh = folder / path.name  # its extension may say how to write it
        save(fresh)
        replace_file(fresh, real, overwrite=overwrite)


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, atomically."""
    write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_tensors(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write tensors, and `meta` as JSON in the header, into one safetensors file, atomically."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}

    def save(temporary: Path) -> None:
        try:
            save_file(plain, temporary, metadata={"json": json.dumps(meta)})
        except SafetensorError as error:  # an I/O error underneath; the disk is the usual cause
            raise OSError(28 if "No space" in str(error) else 5, str(error), str(path)) from None

    write(path, save)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors (on the CPU) and the `meta` that `write_tensors` wrote.

    Raises:
        InputError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"no file '{path}'; the run is incomplete, finish or repeat its training")
    path.open("rb").close()  # without the permission to read it, the file is not damaged
    try:
        with safe_open(path, framework="pt") as file:
            meta = parse_json((file.metadata() or {}).get("json", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(
            f"'{path}' is damaged ({shown(error, 300)}); train the run again"
        ) from None


@contextmanager
def locked(folder: Path, doing: str = "training in") -> Iterator[None]:
    """Lock `folder` against other processes while the context is open; `doing` says what they do.

    The operating system releases the lock when the process ends, even if it is killed.

    Raises:
        InputError: another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such locks
        yield
        return
    try:
        number = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise InputError(f"'{folder / '.lock'}' cannot be opened ({error.strerror})") from None
    with open(number, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"another process is {doing} '{folder}'; wait or stop it") from None
        yield
