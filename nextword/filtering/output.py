"""The folder that is written, so that a killed process loses nothing and writes nothing twice.

Everything is appended to files in `unfinished/`, in the folder. Now and then these are brought to
the disk, and then `progress.json` says how long they are and how far the input has been read. A
resumed process cuts the files back to that length and reads on from there. At the end the files
take their places, `summary.json` last.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import InputError
from ..files import write_text
from ..outputs import Folder, check_folder, target
from ..parsing import read_json
from ..scratch import is_work_folder, sync

SUMMARY, HISTOGRAM, UNFINISHED, PROGRESS = (
    "summary.json",
    "histogram.png",
    "unfinished",
    "progress.json",
)
_ARROW = ".arrow"  # blocks of a Parquet file, until it is complete
Join = Callable[[Path, Path], object]  # makes the file at the second path from the first


def check_out(out: Path, overwrite: bool, resume: bool) -> Path:
    """Return the folder to write to, which is `out` or what it links to.

    Raises:
        InputError: it holds something else than the output of an earlier filter, or that output is
            neither to be replaced nor to be completed.
    """
    if overwrite and resume:
        raise InputError("--resume goes on, --overwrite starts again; use one of them")
    work = out / UNFINISHED
    if (work / PROGRESS).is_file() and not (overwrite or resume):
        raise InputError(
            f"'{out}' is not finished; add --resume to go on, or --overwrite to start again"
        )
    if _hardly_begun(out):
        return target(out)
    finished = (out / SUMMARY).is_file()
    mark = SUMMARY if finished else f"{UNFINISHED}/{PROGRESS}"
    own = [re.escape(name) for name in (SUMMARY, HISTOGRAM, *written(out), *_being_written(out))]
    files = "|".join([*own, f"{UNFINISHED}/.*"])
    kind = Folder("filtered documents", mark, _is_ours, files)
    return check_folder(out, kind, overwrite or resume)


def _being_written(folder: Path) -> list[str]:
    """The files that an unfinished filter writes or replaces; some may be in their places."""
    try:
        progress = read_json(folder / UNFINISHED / PROGRESS)
        return [str(name) for name in (*progress["sizes"], *progress["old"])]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def _is_ours(mark: Path) -> bool:
    """A damaged `progress.json` is ours too: `Job.resume` says what is wrong with it."""
    return mark.name == PROGRESS or "begun" in read_json(mark)


def _hardly_begun(out: Path) -> bool:
    """Whether a folder holds what a process leaves that is killed before it has done anything."""
    if not out.is_dir() or not set(os.listdir(out)) <= {".lock", UNFINISHED}:
        return False
    work = out / UNFINISHED
    return not work.exists() or all(is_work_folder(one) for one in work.iterdir())


def summary_of(folder: Path) -> dict[str, Any] | None:
    """The summary of a finished filter; None if there is none, or it is damaged."""
    try:
        values = read_json(folder / SUMMARY)
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def written(folder: Path) -> list[str]:
    """The files that a finished filter has written, relative to the folder."""
    files = (summary_of(folder) or {}).get("files")
    return [str(name) for name in files] if isinstance(files, list) else []


class Output:
    """The files that are written; see above.

    Args:
        folder: where they will be.
        sizes: how long each file in `unfinished/` is, when work is resumed.
        publishing: all is done but for putting the files in their places.

    Raises:
        InputError: a file is shorter than it should be.
    """

    def __init__(self, folder: Path, sizes: dict[str, int], publishing: bool = False) -> None:
        self.folder, self.work = folder, folder / UNFINISHED
        self.work.mkdir(parents=True, exist_ok=True)
        self.sizes = sizes
        self.saved = time.monotonic()  # when `save` was last called
        self._open: dict[str, BinaryIO] = {}
        self._joined: list[str] = []  # blocks that are in their Parquet file
        if not publishing:
            self._cut_back()

    def _cut_back(self) -> None:
        """Remove what was written after the last `save`."""
        for path in self.work.rglob("*"):
            name = str(path.relative_to(self.work))
            if path.is_file() and name not in (*self.sizes, PROGRESS):
                path.unlink()
        for name, size in self.sizes.items():
            path = self.work / name
            if not path.is_file() or path.stat().st_size < size:
                raise InputError(f"'{path}' is cut off; start again: --overwrite")
            os.truncate(path, size)

    def append(self, name: str, data: bytes, parquet: bool) -> None:
        """Append to a file, which is created if it is not there.

        Raises:
            OSError: the disk is full.
        """
        name += _ARROW * parquet
        path = self.work / name
        try:
            if name not in self._open:
                path.parent.mkdir(exist_ok=True)
                self._open[name] = path.open("ab")
            self._open[name].write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
        self.sizes[name] = self.sizes.get(name, 0) + len(data)

    def save(self, progress: dict[str, Any]) -> None:
        """Bring all files to the disk, then write down how far the work is."""
        for name in self._open:
            self._sync(name)
        text = json.dumps(progress | {"sizes": self.sizes}, ensure_ascii=False)
        write_text(self.work / PROGRESS, text)
        for name in self._joined:
            (self.work / name).unlink(missing_ok=True)
        self._joined = []
        self.saved = time.monotonic()

    def _sync(self, name: str) -> None:
        try:
            self._open[name].flush()
            os.fsync(self._open[name].fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.work / name)) from None
        sync((self.work / name).parent)

    def close(self) -> None:
        """Close the files; what is in them is on the disk then."""
        while self._open:
            name, file = next(iter(self._open.items()))
            try:
                self._sync(name)
            finally:
                del self._open[name]
                file.close()

    def complete(self, name: str, join: Join) -> None:
        """Make a Parquet file from the blocks that were appended."""
        blocks = name + _ARROW
        self._open.pop(blocks).close()
        join(self.work / blocks, self.work / name)
        sync(self.work / name)
        self.sizes[name] = (self.work / name).stat().st_size
        del self.sizes[blocks]
        self._joined.append(blocks)

    def publish(self, names: Iterable[str], old: Iterable[str], summary: str) -> None:
        """Put all files in their places, in place of those of an earlier filter (`old`); then write
        the summary."""
        names = list(names)
        for name in names:
            fresh, place = self.work / name, self.folder / name
            if fresh.exists():  # else it was put there before the process was killed
                place.parent.mkdir(exist_ok=True)
                os.replace(fresh, place)
                sync(place.parent)
        for name in sorted(set(old) - set(names)):
            path = self.folder / name
            path.unlink(missing_ok=True)
            if (
                path.parent != self.folder
                and path.parent.is_dir()
                and not any(path.parent.iterdir())
            ):
                path.parent.rmdir()
        write_text(self.folder / SUMMARY, summary)
        shutil.rmtree(self.work)
