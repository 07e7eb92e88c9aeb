"""Parses JSON and TOML that may be damaged, or made to do harm: from files and the command line.

Every error is a `ValueError`. How deep values are nested is bounded, because whatever walks through
them calls itself once for each level; so is the size of a file, because it is read as a whole.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

DEEPEST = 50  # levels of lists and tables inside each other
LARGEST = 1 << 30  # bytes of a file


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON, not Unicode, or nested more than `DEEPEST` levels deep.

    Example:
        >>> parse_json('{"order": 3}')
        {'order': 3}
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    _check_depth(value)
    escapes = (b"\\ud", b"\\uD") if isinstance(text, bytes) else ("\\ud", "\\uD")
    if any(escape in text for escape in escapes):  # type: ignore[operator]
        json.dumps(value, ensure_ascii=False).encode()  # half of a character is no Unicode
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        ValueError: it is not TOML, or nested more than `DEEPEST` levels deep.
    """
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise _too_deep() from None
    _check_depth(tables)
    return tables


def read_text(path: str | os.PathLike[str], largest: int = LARGEST) -> str:
    """Return the contents of a UTF-8 file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a regular file, too large, or not UTF-8.
    """
    path = Path(path)
    size = path.stat().st_size
    if not path.is_file():  # reading a pipe or a device may never end
        raise ValueError("it is not a regular file")
    if size > largest:
        raise ValueError(f"it has {size:,} bytes; {largest:,} are the most")
    return path.read_text(encoding="utf-8")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the value in a JSON file; raise as `read_text` and `parse_json` do."""
    return parse_json(read_text(path))


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [part for one in level for part in _parts(one) if isinstance(part, (dict, list))]
        if not level:
            return
    raise _too_deep()


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep() -> ValueError:
    return ValueError(f"lists or tables are nested more than {DEEPEST} levels deep")
