"""What a path names. Whoever reads a file that a user has named asks here before opening it: a
pipe that nobody writes to keeps a reader waiting for ever, and a device like /dev/zero has no end.
"""

from __future__ import annotations

import errno
import os
import stat
from enum import StrEnum
from pathlib import Path

from .errors import InputError


class Kind(StrEnum):
    """What can be at a path."""

    FILE = "file"
    DIRECTORY = "directory"
    PIPE = "pipe"
    DEVICE = "device"
    SOCKET = "socket"
    NOTHING = "nothing"


_TESTS = {
    Kind.FILE: stat.S_ISREG,
    Kind.DIRECTORY: stat.S_ISDIR,
    Kind.PIPE: stat.S_ISFIFO,
    Kind.SOCKET: stat.S_ISSOCK,
}
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EBADF)


def kind_of(path: str | os.PathLike[str] | int) -> Kind:
    """Return what is at a path, without opening it, or what the file with a descriptor is.

    A symbolic link counts as what it leads to, and as NOTHING if it leads nowhere or in a circle.

    Raises:
        InputError: a directory on the way to the path may not be searched.

    Example:
        >>> kind_of("/dev/zero")
        <Kind.DEVICE: 'device'>
    """
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        raise InputError(f"'{path}' cannot be read (no permission)") from None
    except ValueError:  # no path of this system, such as one with a zero byte in it
        return Kind.NOTHING
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        return Kind.NOTHING
    return next((kind for kind, test in _TESTS.items() if test(mode)), Kind.DEVICE)


def readable(path: str | os.PathLike[str], what: str = "a text file") -> Path:
    """Check that a path names a file that can be read to its end, and return it.

    Args:
        what: what is expected there; a refusal says it.

    Raises:
        InputError: nothing is there, something else than a file is there, or this user may not
            read it.

    Example:
        readable("recipe.toml", "a recipe").read_text(encoding="utf-8")
    """
    kind = kind_of(path)
    if kind is Kind.NOTHING:
        raise InputError(f"no file '{path}'")
    if kind is Kind.DIRECTORY:
        raise InputError(f"'{path}' is a directory; name {what}")
    if kind is not Kind.FILE:
        instead = (
            f"name {what}" if kind is Kind.DEVICE else "save what comes from it to a file first"
        )
        raise InputError(f"'{path}' is not a regular file but a {kind}; {instead}")
    if not os.access(path, os.R_OK):
        raise InputError(f"'{path}' cannot be read (no permission)")
    return Path(path)
