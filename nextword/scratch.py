"""Work folders: where everything is written before it is put into its place.

A work folder lies beside what is written, is called `.nextword-XXXXXXXX`, and has a mark in it: a
file that names what is written, locked for as long as its process lives. So a folder that a killed
process has left is told from one in use, and both from a folder of the user; process ids could not
tell, since other containers and hosts have the same ones.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

MARK = "nextword-is-writing"
_PREFIX = ".nextword-"
_OLD = "old"
_RUN = "config.json"  # every run, and every model in the Hugging Face format, has this file
_EXCHANGE = 2  # linux/fs.h: RENAME_EXCHANGE
_CANNOT_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


@contextmanager
def work_folder(out: Path) -> Iterator[Path]:
    """Give a work folder for a file or directory `out`, beside it; it is removed afterwards.

    What a killed process has left of the same `out` is removed, or put back (`repair`).
    """
    repair(out)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=out.parent))
    try:
        with _marked(folder, out.name):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a folder in the system's temporary directory; it is removed afterwards.

    Those that killed processes have left there are removed first.
    """
    with work_folder(Path(tempfile.gettempdir()) / "temporary") as folder:
        yield folder


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and those it lies in, for what is written in this context. At the end those
    that were made and are empty are removed."""
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with suppress(OSError):  # the first that has something in it
            for place in new:
                place.rmdir()


def repair(out: Path) -> None:
    """Clean up after processes that were killed while they wrote `out`.

    The old directory comes back if they had moved it away and had not put anything in its place.
    """
    with suppress(OSError):  # an unreadable folder is reported where it is used
        for folder in out.parent.glob(f"{_PREFIX}*"):
            with _left(folder, out.name) as left:
                if left:
                    _put_back(folder, out)
                    shutil.rmtree(folder, ignore_errors=True)


def usual_mode(folder: Path) -> int:
    """Return the permissions of a new file by the user's umask, which the mark has."""
    return (folder / MARK).stat().st_mode


def is_work_folder(path: Path) -> bool:
    """Return whether a path is a work folder, in use or left by a killed process."""
    return path.name.startswith(_PREFIX) and (path / MARK).is_file()


def replace_folder(fresh: Path, out: Path, *, overwrite: bool) -> None:
    """Put the directory `fresh`, which lies in a work folder, in the place of `out`.

    Afterwards everything is on the disk, and what was at `out` lies in the work folder. Where the
    system cannot exchange two directories in one step, `out` is missing for a moment; it comes back
    after an error or, if the process is killed, with the next `repair`.

    Args:
        overwrite: what is at `out` may be replaced; else only an empty directory.

    Raises:
        InputError: there is something at `out` that may not be replaced.
    """
    for place, _, names in os.walk(fresh, topdown=False):
        for name in names:
            sync(Path(place, name))
        sync(Path(place))
    if out.exists():
        shutil.copymode(out, fresh)
    if not overwrite or not out.exists():
        try:
            os.rename(fresh, out)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise _made_meanwhile(out) from None
            raise
    elif not _exchange(fresh, out):
        with set_aside(out, fresh.parent):
            os.rename(fresh, out)
    sync_names(out.parent)


def replace_file(fresh: Path, out: Path, *, overwrite: bool) -> None:
    """Put the file `fresh`, which lies in a work folder, in the place of `out`, on the disk.

    Args:
        overwrite: a file at `out` may be replaced; the new one has its permissions.

    Raises:
        InputError: there is a file at `out` that may not be replaced.
    """
    fresh.chmod(usual_mode(fresh.parent))  # safetensors lets nobody else read what it writes
    if out.exists():
        shutil.copymode(out, fresh)
    sync(fresh)
    try:
        if overwrite:
            os.replace(fresh, out)
        else:
            _link(fresh, out)
    except FileExistsError:
        raise _made_meanwhile(out) from None
    sync_names(out.parent)


def _link(fresh: Path, out: Path) -> None:
    """Move a file to a path where there is none; raise FileExistsError if there is one."""
    try:
        os.link(fresh, out)
    except FileExistsError:
        raise
    except OSError:  # some file systems have no links
        if out.exists():
            raise FileExistsError(str(out)) from None
        os.replace(fresh, out)


def _made_meanwhile(out: Path) -> InputError:
    return InputError(f"'{out}' has been made by another process meanwhile; it is left as it is")


@contextmanager
def set_aside(out: Path, folder: Path) -> Iterator[None]:
    """Move the directory `out` into a work folder.

    It comes back at the end if no run has taken its place by then, after an error or otherwise.
    """
    try:
        os.rename(out, folder / _OLD)
        yield
    finally:
        _put_back(folder, out)


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a directory, is on the disk."""
    if os.name != "posix":  # elsewhere a directory cannot be opened
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync a directory
            raise
    finally:
        os.close(handle)


def sync_names(folder: Path) -> None:
    """Wait until the names in a directory are on the disk, if this user may read it."""
    with suppress(PermissionError):
        sync(folder)


def _put_back(folder: Path, out: Path) -> None:
    """Move what was set aside in a work folder back to `out`, unless `out` has a run now."""
    old = folder / _OLD
    if not old.is_dir() or (out / _RUN).exists() or any(out.glob(f"*/{_RUN}")):
        return
    if out.is_dir() and not _exchange(old, out):
        shutil.rmtree(out)
    if not out.exists():
        os.rename(old, out)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two directories in one step; return False where the system cannot."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:  # a C library from before 2018
        return False
    here = -100  # fcntl.h: AT_FDCWD
    if rename(here, os.fsencode(one), here, os.fsencode(other), _EXCHANGE) == 0:
        return True
    if (number := ctypes.get_errno()) in _CANNOT_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


@contextmanager
def _marked(folder: Path, name: str) -> Iterator[None]:
    """Mark a work folder, and lock the mark while the context is open."""
    mark = folder / MARK
    with mark.with_suffix(".unlocked").open("wb") as file:
        file.write(os.fsencode(name))
        file.flush()
        _lock(file.fileno())
        os.rename(file.name, mark)  # nobody sees a mark before it is locked
        yield


@contextmanager
def _left(folder: Path, name: str) -> Iterator[bool]:
    """Say whether a killed process has left this work folder of a file or directory `name`.

    The mark is locked while the context is open, so that two processes do not clean up together.
    """
    handle = None
    try:
        if folder.lstat().st_uid == os.getuid():  # in /tmp there are other people's
            handle = os.open(folder / MARK, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (OSError, AttributeError):  # not ours; or Windows, which has no such locks
        pass
    try:
        yield handle is not None and os.read(handle, 1000) == os.fsencode(name) and _lock(handle)
    finally:
        if handle is not None:
            os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file; return False if another process has locked it or the system cannot."""
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
