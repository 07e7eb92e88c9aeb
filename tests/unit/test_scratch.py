"""Work folders: whatever happens in between, the old or the new is there, and nothing else."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nextword
from nextword import files, scratch
from nextword.errors import InputError
from nextword.run_folder import replacing

CONFIG = "config.json"


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def settings(text: str) -> str:
    """The settings of a run, in which a text tells it from others."""
    return json.dumps({"recipe": text, "model": {"name": "none"}})


def text_of(run: Path) -> str:
    found = json.loads((run / CONFIG).read_text())["recipe"]
    assert isinstance(found, str)
    return found


def run_at(folder: Path, text: str = "old") -> Path:
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text(settings(text))
    return folder


def replace(out: Path, text: str = "new") -> None:
    with replacing(out, overwrite=True) as fresh:
        (fresh / CONFIG).write_text(settings(text))


def killed(program: str, *arguments: object) -> None:
    """Run a program that kills itself with SIGKILL."""
    before = "import os, signal, sys\nfrom pathlib import Path\nout = Path(sys.argv[1])\n"
    before += "def die(*_):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    done = subprocess.run(
        [sys.executable, "-c", before + program, *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


# ---------------------------------------------------------------- what a killed process left


def test_what_looks_like_a_leftover_but_is_not_stays(tmp_path: Path) -> None:
    """Numbers, our prefix, even a mark of something else: none of it is removed."""
    run_at(tmp_path / "run")
    for name in (".run.2023", ".run.7.old", ".nextword-photos", ".nextword-other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.tex").write_text("mine")
    (tmp_path / ".nextword-other" / scratch.MARK).write_text("another run")
    (tmp_path / ".nextword-fifo").mkdir()
    os.mkfifo(tmp_path / ".nextword-fifo" / scratch.MARK)
    before = names(tmp_path)
    replace(tmp_path / "run")
    assert names(tmp_path) == before
    assert text_of(tmp_path / "run") == "new"


WRITERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a file": (
        "from nextword.files import write\nwrite(out, die)",
        lambda out: files.write_text(out, "new"),
    ),
    "a run": (
        "from nextword.run_folder import replacing\nwith replacing(out, True):\n    die()",
        replace,
    ),
}


@pytest.mark.parametrize("what", WRITERS)
def test_what_a_killed_process_left_is_removed(what: str, tmp_path: Path) -> None:
    """By the next that writes the same thing; until then the old one is complete."""
    program, write = WRITERS[what]
    out = tmp_path / "out"
    killed(program, out)
    (left,) = names(tmp_path)
    assert scratch.is_work_folder(tmp_path / left)
    files.write_text(tmp_path / "other", "another file")
    assert names(tmp_path) == [left, "other"]
    write(out)
    assert names(tmp_path) == ["other", "out"]


def test_temporary_folders_of_killed_processes_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluations and all else that writes into the system's temporary directory."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    killed(
        "from nextword.scratch import temporary_folder\nwith temporary_folder():\n    die()", "x"
    )
    assert len(names(tmp_path)) == 1
    with scratch.temporary_folder() as folder:
        assert names(tmp_path) == [folder.name]
    assert names(tmp_path) == []


def test_a_work_folder_in_use_stays(tmp_path: Path) -> None:
    """Two at once do not remove each other's."""
    with scratch.work_folder(tmp_path / "out") as one, scratch.work_folder(tmp_path / "out") as two:
        assert names(tmp_path) == sorted([one.name, two.name])
    assert names(tmp_path) == []


# ---------------------------------------------------------------- one run in the place of another


@pytest.fixture(params=["exchange", "two renames"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With and without a system that can exchange two directories."""
    if request.param == "two renames":
        monkeypatch.setattr(scratch, "_exchange", lambda one, other: False)
    return request.param


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2 is Linux's")
def test_the_system_exchanges(tmp_path: Path) -> None:
    one, other = run_at(tmp_path / "one", "1"), run_at(tmp_path / "other", "2")
    assert scratch._exchange(one, other)
    assert (text_of(one), text_of(other)) == ("2", "1")
    with pytest.raises(FileNotFoundError):
        scratch._exchange(one, tmp_path / "missing")


def test_replacing_both_ways(how: str, tmp_path: Path) -> None:
    replace(run_at(tmp_path / "run"))
    assert names(tmp_path) == ["run"]
    assert text_of(tmp_path / "run") == "new"


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), KeyboardInterrupt()])
@pytest.mark.parametrize("fails_at", [1, 2])
def test_an_error_between_two_renames(
    fails_at: int, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever rename fails: the old run is there again, and nothing beside it."""
    monkeypatch.setattr(scratch, "_exchange", lambda one, other: False)
    out, rename, calls = run_at(tmp_path / "run"), os.rename, 0

    def failing(source: Any, target: Any) -> None:
        nonlocal calls
        calls += out in (Path(source), Path(target))
        if calls == fails_at and out in (Path(source), Path(target)):
            calls += 1
            raise error
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(type(error)):
        replace(out)
    assert names(tmp_path) == ["run"] and text_of(out) == "old"


_TWO_RENAMES = """
from nextword import scratch
from nextword.run_folder import replacing
scratch._exchange = lambda one, other: False
rename = os.rename
def dying(source, target):
    rename(source, target)
    if Path(source if sys.argv[2] == "first" else target) == out:
        die()
os.rename = dying
with replacing(out, True) as fresh:
    (fresh / "config.json").write_text(sys.argv[3])
"""


@pytest.mark.parametrize("after", ["first", "second"])
def test_a_kill_between_two_renames(after: str, tmp_path: Path) -> None:
    """The old run comes back with the first command that looks for it; a new one stays."""
    out = run_at(tmp_path / "run")
    killed(_TWO_RENAMES, out, after, settings("new"))
    assert out.exists() == (after == "second")
    with pytest.raises(InputError, match="none"):  # it was found
        nextword.load(out)
    assert text_of(out) == ("old" if after == "first" else "new")
    replace(out, "newest")
    assert names(tmp_path) == ["run"] and text_of(out) == "newest"


_SERIES = """
from nextword import scratch
with scratch.work_folder(out) as folder, scratch.set_aside(out, folder):
    out.mkdir()
    (out / "settings.json").write_text("new")
    if sys.argv[2] == "late":
        (out / "seed1").mkdir()
        (out / "seed1" / "config.json").write_text(sys.argv[3])
    die()
"""


@pytest.mark.parametrize("when", ["early", "late"])
def test_a_kill_while_a_series_is_replaced(when: str, how: str, tmp_path: Path) -> None:
    """The old series comes back until the new one has a run, and then is gone."""
    out = tmp_path / "series"
    run_at(out / "seed1")
    (out / "settings.json").write_text("old")
    killed(_SERIES, out, when, settings("new"))
    scratch.repair(out)
    expected = "old" if when == "early" else "new"
    assert names(tmp_path) == ["series"]
    assert (out / "settings.json").read_text() == expected
    assert text_of(out / "seed1") == expected


# ---------------------------------------------------------------- links and permissions


def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    """A run, a file, and what is not there yet; the link stays a link."""
    (tmp_path / "disk").mkdir()
    run_at(tmp_path / "disk" / "run")
    (tmp_path / "link").symlink_to("disk/run")
    (tmp_path / "dangling").symlink_to("disk/later")
    (tmp_path / "file").symlink_to("disk/table.npy")
    replace(tmp_path / "link")
    replace(tmp_path / "dangling")
    files.write_text(tmp_path / "file", "text")
    assert names(tmp_path) == ["dangling", "disk", "file", "link"]
    assert names(tmp_path / "disk") == ["later", "run", "table.npy"]
    assert all((tmp_path / name).is_symlink() for name in ("dangling", "file", "link"))
    assert text_of(tmp_path / "disk" / "run") == "new"


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_files_have_the_permissions_of_the_umask(mask: int, tmp_path: Path) -> None:
    """Weights, which safetensors writes for the owner alone, like all others."""
    import torch

    before = os.umask(mask)
    try:
        with replacing(tmp_path / "run", overwrite=False) as fresh:
            files.write_tensors(fresh / "model.safetensors", {"w": torch.ones(2)}, {})
            files.write_text(fresh / CONFIG, "{}")
    finally:
        os.umask(before)
    for path in (tmp_path / "run").iterdir():
        assert path.stat().st_mode & 0o777 == 0o666 & ~mask, path
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o777 & ~mask
