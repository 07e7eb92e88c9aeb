"""The files that `filter` reads, and whether they are those that it read before."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError, shown
from ..text.documents import Documents, open_documents
from ..text.source import STANDARD_INPUT
from .output import HISTOGRAM, SUMMARY, UNFINISHED
from .settings import DROPPED, Settings


def open_inputs(paths: Sequence[Path], settings: Settings, out: Path) -> list[Documents]:
    """Open files, the files that patterns like `data/*.jsonl.gz` match, and standard input (`-`).

    Raises:
        InputError: one cannot be read, two would be written to the same place, or one is in the
            folder that is written.
    """
    if [str(path) for path in paths].count(STANDARD_INPUT) > 1:
        raise InputError("standard input can be read once; name - once")
    inputs = [open_documents(one, settings.format) for path in paths for one in _matches(path)]
    if not inputs:
        raise InputError("name at least one file of documents, or - for standard input")
    name, times = Counter(documents.name for documents in inputs).most_common(1)[0]
    if times > 1:
        raise InputError(
            f"{times} inputs are called '{name}' and would be written to the same file; filter "
            "them one by one, each to another folder"
        )
    own = {SUMMARY, HISTOGRAM, UNFINISHED, DROPPED, *settings.bucket_names()}
    for documents in inputs:
        if documents.name in own:
            raise InputError(f"'{documents.path}' has the name of something else that is written")
        if not documents.stream and out.resolve() in documents.path.resolve().parents:
            raise InputError(f"'{documents.path}' is in '{out}', which is written; name another")
    return inputs


def _matches(path: Path) -> list[Path]:
    """The path itself, or the files that it matches if there is no such file."""
    text = str(path)
    if text == STANDARD_INPUT or not glob.has_magic(text) or path.exists():
        return [path]
    found = sorted(Path(name) for name in glob.glob(text, recursive=True))
    if not found:
        raise InputError(f"no file matches '{shown(text)}'")
    return [name for name in found if not name.is_dir()]


def identity(documents: Documents) -> dict[str, Any]:
    """What tells whether a file is the same as before, as values for JSON."""
    if documents.stream:
        return {"path": str(documents.path), "size": 0, "changed": 0}
    found = documents.path.stat()
    path = str(documents.path.resolve())
    return {"path": path, "size": found.st_size, "changed": found.st_mtime_ns}


def compare(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise InputError unless work that was begun can go on: with the same model, settings and
    files.

    Args:
        before, now: "model", "settings" and "inputs", as values for JSON.
    """
    if before["model"] != now["model"]:
        raise _differs("another model")
    for name, value in now["settings"].items():
        if (was := before["settings"].get(name)) != value:
            raise _differs(f"{name} = {shown(was)}, not {shown(value)}")
    old, new = before["inputs"], now["inputs"]
    if [one["path"] for one in old] != [one["path"] for one in new]:
        raise _differs(f"other inputs ({len(old)} files, the first '{shown(old[0]['path'])}')")
    for was, one in zip(old, new, strict=True):
        if was != one:
            raise InputError(f"'{one['path']}' has changed since; start again: --overwrite")


def _differs(how: str) -> InputError:
    return InputError(
        f"this was begun with {how}; give the same as then, or start again: --overwrite"
    )
