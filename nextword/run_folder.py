"""Where a run is written, and what it may replace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from .errors import InputError
from .files import locked
from .ngram.arpa_header import ENDINGS, names_arpa
from .outputs import Folder, check_folder
from .parsing import read_json
from .run import (
    CONFIG,
    DATA,
    MEMBERS,
    METRICS,
    PLOTS,
    SOURCE_TOKENIZER,
    STATE,
    TENSORBOARD,
    TOKENIZER,
    WEIGHTS,
)
from .scratch import made_folder, replace_folder, work_folder

_LIKE_FILES = (".lm", ".gz", ".bz2", ".xz", ".zst", ".zip", ".txt", ".bin", ".json")
_NAMES = (CONFIG, TOKENIZER, SOURCE_TOKENIZER, WEIGHTS, STATE, METRICS, f"{PLOTS}/training.png")
_CORPUS = rf"{DATA}/(train|valid)/(source/)?(ids\.bin|meta\.json|labels\.npy)"
_EVENTS = rf"{TENSORBOARD}/events\.out\.tfevents\..*"
#: A regular expression of the paths of all files in a run.
FILES = rf"({MEMBERS}/\d+/)*({'|'.join(map(re.escape, _NAMES))}|{_CORPUS}|{_EVENTS})"


def _is_ours(config: Path) -> bool:
    settings = read_json(config)
    return isinstance(settings, dict) and has_settings(settings)


def has_settings(settings: dict[str, object]) -> bool:
    """Return whether settings are those of a run, and not of another program."""
    model = settings.get("model")
    return "recipe" in settings and isinstance(model, dict) and "name" in model


RUN = Folder("a run", CONFIG, _is_ours, FILES)


@contextmanager
def replacing(out: Path, overwrite: bool) -> Iterator[Path]:
    """Give a directory to fill, which replaces `out` at the end; after an exception `out` stays.

    Raises:
        InputError: `out` exists and may not be overwritten, or a process is training in it.
    """
    real = check_target(out, overwrite)
    with made_folder(real.parent), work_folder(real) as folder:
        fresh = folder / "new"
        fresh.mkdir()
        yield fresh
        check_target(out, overwrite)  # another process may have written it meanwhile
        with locked(real) if (real / CONFIG).is_file() else nullcontext():
            replace_folder(fresh, real, overwrite=overwrite)


def check_target(out: Path, overwrite: bool) -> Path:
    """Return the path to write a run to, which is `out` or what it links to.

    Raises:
        InputError: no run may be written to `out`; `overwrite`: it may replace a run.
    """
    if names_arpa(out):
        raise InputError(f"'{out}': only n-gram models can be an ARPA file; name a directory")
    if out.suffix.lower() in _LIKE_FILES and not out.exists():
        raise InputError(
            f"'{out}' looks like a file, and a run is a directory: name it without "
            f"'{out.suffix}' (an ARPA file ends in {', '.join(ENDINGS)})"
        )
    resumes = "--resume to continue it or " if (out / STATE).is_file() else ""
    real = check_folder(out, RUN, overwrite, resumes)
    if (real / CONFIG).is_file():
        with locked(real):
            pass
    return real
