"""Every verb that writes, on everything that can stand where it would write."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from nextword import plot
from nextword.cli.app import app
from tests.support import Cli, snapshot

RUNS = Path(__file__).parent.parent / "fixtures" / "earlier_runs"
TEXT = RUNS / "train.txt"

#: Verb → the command line, the name of what is written, and whether --overwrite is an option.
WRITERS: dict[str, tuple[list[object], str, bool]] = {
    "demo": (["demo", "--out"], "out", False),
    "train": (["train", "lstm", "--train", TEXT, "--out"], "out", True),
    "train ngram": (["train", "ngram", "--train", TEXT, "--out"], "out", True),
    "train arpa": (["train", "ngram", "--train", TEXT, "--out"], "out.arpa", True),
    "train mixture": (
        ["train", "mixture", RUNS / "lstm", RUNS / "gru", "--valid", TEXT, "--out"],
        "out",
        True,
    ),
    "train seeds": (["train", "lstm", "--train", TEXT, "--seeds", 2, "--out"], "out", True),
    "ablate": (["ablate", "awd-lstm-ptb", "--train", TEXT, "--valid", TEXT, "--out"], "out", False),
    "find-lr": (["find-lr", "lstm", "--train", TEXT, "--out"], "out.png", False),
    "evaluate": (
        ["evaluate", RUNS / "classifier", "--data", RUNS / "labelled-valid.tsv", "--plot"],
        "out.svg",
        False,
    ),
    "compare": (
        ["compare", RUNS / "seq2seq", "--data", RUNS / "pairs-valid.tsv", "--out"],
        "out.pdf",
        False,
    ),
    "inspect gradients": (
        ["inspect", RUNS / "lstm", "gradients", "--data", TEXT, "--length", 4, "--out"],
        "out.png",
        False,
    ),
    "inspect attention": (
        ["inspect", RUNS / "seq2seq", "attention", "--source", "one two", "--out"],
        "out.png",
        False,
    ),
    "export arpa": (["export", RUNS / "ngram", "--format", "arpa", "--out"], "out.arpa.gz", True),
    "export kenlm": (
        ["export", RUNS / "ngram", "--format", "kenlm-trie", "--out"],
        "out.bin",
        True,
    ),
    "export hf": (["export", RUNS / "bert", "--format", "hf", "--out"], "out", True),
    "embed": (["embed", RUNS / "lstm", TEXT, "--out"], "out.npy", True),
}


def _device(path: Path) -> None:
    if os.getuid() == 0:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # the null device
    else:
        path.symlink_to("/dev/null")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is at most 100 bytes long
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


def _photos(path: Path) -> None:
    path.mkdir()
    (path / "cat.jpg").write_bytes(b"meow")


def _circle(path: Path) -> None:
    path.symlink_to(path.name)


def _link_to_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


THINGS: dict[str, Callable[[Path], None]] = {
    "a device": _device,
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "a folder of photos": _photos,
    "a link in a circle": _circle,
    "a link to a pipe": _link_to_pipe,
}


def _look(folder: Path) -> Iterator[tuple[str, int, int]]:
    for path in sorted(folder.rglob("*")):
        yield str(path), path.lstat().st_mode, path.lstat().st_ino


def test_every_verb_that_writes_is_tried() -> None:
    """A verb with an option for a place to write needs a line here."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    writes = {
        name
        for name, command in commands.items()
        if any({"--out", "--plot"} & set(parameter.opts) for parameter in command.params)
    }
    assert writes == {words.split()[0] for words in WRITERS}


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("verb", WRITERS)
def test_nothing_that_is_not_ours_is_replaced(
    verb: str, thing: str, cli: Cli, tmp_path: Path
) -> None:
    """One line and exit status 2, with --overwrite too; everything stays what it was."""
    words, name, can_overwrite = WRITERS[verb]
    THINGS[thing](tmp_path / name)
    before = list(_look(tmp_path))
    for more in ([], ["--overwrite"])[: 1 + can_overwrite]:
        status, out, err = cli(*words, tmp_path / name, *more)
        assert (status, out) == (2, ""), err
        assert len(err.splitlines()) == 1 and f"'{tmp_path / name}'" in err, err
        assert list(_look(tmp_path)) == before


@pytest.mark.parametrize("verb", WRITERS)
def test_a_file_of_the_user_stays(verb: str, cli: Cli, tmp_path: Path) -> None:
    """A regular file is replaced with --overwrite alone, and by verbs that write files alone."""
    words, name, _ = WRITERS[verb]
    (tmp_path / name).write_text("mine")
    before = snapshot(tmp_path)
    status, out, err = cli(*words, tmp_path / name)
    assert (status, out) == (2, ""), err
    assert len(err.splitlines()) == 1, err
    assert snapshot(tmp_path) == before


def test_a_figure_replaces_a_figure_of_ours_alone(tmp_path: Path) -> None:
    """In each format; one that another program drew stays."""
    for ending in plot.FORMATS:
        path = tmp_path / f"curve{ending}"
        for value in (1, 2):
            plot.check(path)
            with plot.figure(path) as (ax,):
                ax.plot([value])
        assert "drawn by nextword" in path.read_bytes().decode("latin-1")


@pytest.mark.parametrize(
    ("verb", "stranger"),
    [
        ("train", "notes.txt"),
        ("train seeds", "seed1/notes.txt"),
        ("export hf", "pytorch_model.bin"),
    ],
)
def test_a_folder_of_ours_with_something_of_the_user_stays(
    verb: str, stranger: str, cli: Cli, tmp_path: Path
) -> None:
    """--overwrite replaces what the verb wrote, not what lies beside it."""
    words, name, _ = WRITERS[verb]
    out = tmp_path / name
    if verb == "train seeds":
        shutil.copytree(RUNS / "lstm", out / "seed1")
        (out / "settings.json").write_text("{}")
    elif verb == "export hf":
        assert cli(*words, out)[0] == 0
    else:
        shutil.copytree(RUNS / "lstm", out)
    (out / stranger).write_text("mine")
    before = snapshot(tmp_path)
    status, _, err = cli(*words, out, "--overwrite")
    assert status == 2 and f"'{stranger}', which is not part of" in err
    assert snapshot(tmp_path) == before
