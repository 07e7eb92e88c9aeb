"""Where a run is written, and what it may replace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from .errors import InputError
from .files import locked
from .ngram.arpa_header import names_arpa
from .outputs import Folder, check_folder
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
from .scratch import replace_folder, work_folder

RUN = Folder(
    "a run",
    mark=CONFIG,
    names=frozenset({CONFIG, TOKENIZER, SOURCE_TOKENIZER, WEIGHTS, STATE, METRICS, DATA, PLOTS})
    | {TENSORBOARD, MEMBERS},
)


@contextmanager
def replacing(out: Path, overwrite: bool) -> Iterator[Path]:
    """Give a directory to fill, which replaces `out` at the end; after an exception `out` stays.

    Raises:
        InputError: `out` exists and may not be overwritten, or a process is training in it.
    """
    real = check_target(out, overwrite)
    real.parent.mkdir(parents=True, exist_ok=True)
    with work_folder(real) as folder:
        fresh = folder / "new"
        fresh.mkdir()
        yield fresh
        check_target(out, overwrite)  # another process may have written it meanwhile
        with locked(real) if (real / CONFIG).is_file() else nullcontext():
            replace_folder(fresh, real)


def check_target(out: Path, overwrite: bool) -> Path:
    """Return the path to write a run to, which is `out` or what it links to.

    Raises:
        InputError: no run may be written to `out`; `overwrite`: it may replace a run.
    """
    if names_arpa(out):
        raise InputError(f"'{out}': only n-gram models can be an ARPA file; name a directory")
    resumes = "--resume to continue it or " if (out / STATE).is_file() else ""
    real = check_folder(out, RUN, overwrite, resumes)
    if (real / CONFIG).is_file():
        with locked(real):
            pass
    return real
