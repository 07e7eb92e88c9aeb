"""Atomic writing of files and directories, and locks.

Everything is written under a temporary name and then renamed, so a crash leaves either the old
contents or the new ones, never a part of them.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .parsing import parse_json

if TYPE_CHECKING:
    from torch import Tensor

AnyPath = str | os.PathLike[str]
Paths = AnyPath | Sequence[AnyPath]


def path_list(paths: Paths) -> list[Path]:
    """One path or several, as a list."""
    return [Path(paths)] if isinstance(paths, (str, os.PathLike)) else [Path(p) for p in paths]


def write(path: Path, save: Callable[[Path], object]) -> None:
    """Write a file atomically.

    Args:
        save: writes the contents to the path that it is given, a temporary name beside `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
    try:
        with safe_open(path, framework="pt") as file:
            meta = parse_json((file.metadata() or {}).get("json", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(f"'{path}' is damaged ({error}); train the run again") from None


@contextmanager
def scratch(out: Path) -> Iterator[Path]:
    """Give a temporary directory beside `out`; it is removed when the context ends."""
    clear_stale(out)
    fresh = out.with_name(f".{out.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)  # left by a killed process with our process id
    fresh.mkdir()
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def swap(fresh: Path, out: Path) -> None:
    """Replace the directory `out`, if there is one, by the directory `fresh`."""
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    if out.exists():
        os.replace(out, old)
    os.replace(fresh, out)
    shutil.rmtree(old, ignore_errors=True)


def clear_stale(out: Path) -> None:
    """Remove temporary files and directories of `out` whose processes no longer run."""
    for left in out.parent.glob(f".{glob.escape(out.name)}.*"):
        number = left.name.removeprefix(f".{out.name}.")
        if number.isascii() and number.isdecimal() and not _alive(int(number)):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    if os.name != "posix":  # there os.kill would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def check_file(out: Path, overwrite: bool) -> None:
    """Raise InputError unless a file may be written to `out`."""
    if not out.parent.is_dir():
        raise InputError(f"no folder '{out.parent}' for '{out.name}'; make it first")
    if out.is_dir():
        raise InputError(f"'{out}' is a directory; name a file")
    if out.exists() and not overwrite:
        raise InputError(f"'{out}' exists; add --overwrite to replace it")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock `folder` against other trainings while the context is open.

    The operating system releases the lock when the process ends, even if it is killed.

    Raises:
        InputError: another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such locks
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"another process is training in '{folder}'; wait or stop it"
            ) from None
        yield
