"""Every verb that writes, on everything that can stand where it would write."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from nextword import plot, scratch
from nextword.cli.app import app
from nextword.run_folder import RUN
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
    "filter": (["filter", RUNS / "ngram", TEXT, "--quiet", "--out"], "out", True),
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
    """Whatever its name says, a file of another kind is never replaced."""
    words, name, can_overwrite = WRITERS[verb]
    (tmp_path / name).write_text("mine")
    before = snapshot(tmp_path)
    for more in ([], ["--overwrite"])[: 1 + can_overwrite]:
        status, out, err = cli(*words, tmp_path / name, *more)
        assert (status, out) == (2, ""), err
        assert len(err.splitlines()) == 1, err
        assert snapshot(tmp_path) == before


FOREIGN = {  # what other programs write under the names of ours
    "config.json": '{"model_type": "llama", "name": "my app"}',
    "settings.json": '{"editor.fontSize": 12}',
    "vocab.txt": "[PAD]",
    "tokenizer.json": "{}",
    "model.safetensors": "weights",
    "numbers-train.txt": "1 2 3",
}


@pytest.mark.parametrize("content", ["as they are", "empty", "damaged"])
@pytest.mark.parametrize("verb", [verb for verb in WRITERS if "." not in WRITERS[verb][1]])
def test_a_folder_of_another_program_stays(
    verb: str, content: str, cli: Cli, tmp_path: Path
) -> None:
    """Its files have the names of ours; what is in them tells."""
    words, name, can_overwrite = WRITERS[verb]
    (tmp_path / name).mkdir()
    for file, text in FOREIGN.items():
        written = {"as they are": text, "empty": "", "damaged": "{"}[content]
        (tmp_path / name / file).write_text(written)
    before = snapshot(tmp_path)
    for more in ([], ["--overwrite"])[: 1 + can_overwrite]:
        status, out, err = cli(*words, tmp_path / name, *more)
        assert (status, out) == (2, ""), err
        assert len(err.splitlines()) == 1, err
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize("verb", [verb for verb in WRITERS if "." not in WRITERS[verb][1]])
def test_a_command_that_fails_leaves_no_folders(
    verb: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it would have written lies in folders that were not there before."""
    words, name, _ = WRITERS[verb]
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"one two three\n" * 200 + b"\xff\n")
    monkeypatch.setattr("nextword.hub.save", _full)  # what reads no text fails as it writes
    monkeypatch.setattr("nextword.demo.write_text", _full)
    for start in (Path(), Path("there")):
        (tmp_path / "there").mkdir(exist_ok=True)
        before = snapshot(tmp_path)
        out = tmp_path / start / "new" / "deep" / name
        status, _, err = cli(*(bad if word == TEXT else word for word in words), out)
        assert status == (1 if verb in ("export hf", "demo") else 2), err
        assert snapshot(tmp_path) == before


def _full(*given: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_figure_replaces_a_figure_of_ours_alone(tmp_path: Path) -> None:
    """In each format; one that another program drew stays."""
    for ending in plot.FORMATS:
        path = tmp_path / f"curve{ending}"
        for value in (1, 2):
            plot.check(path)
            with plot.figure(path) as (ax,):
                ax.plot([value])
        assert "drawn by nextword" in path.read_bytes().decode("latin-1")


#: A user's files in a run: beside its own, and wherever it has directories.
STRANGERS = (
    *("notes.txt", "data/corpus.txt", "data/train/corpus.txt", "plots/notes.txt", "new/notes.txt"),
    *("members/notes.txt", "members/0/notes.txt", "tensorboard/notes.txt", "plots/training.png/x"),
)


@pytest.mark.parametrize(
    ("verb", "stranger"),
    [
        *(("train", name) for name in STRANGERS),
        *(("train seeds", f"seed1/{name}") for name in STRANGERS),
        ("train seeds", "seed1 copy/config.json"),
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
        settings = {"config": json.loads((RUNS / "lstm" / "config.json").read_text())}
        (out / "settings.json").write_text(json.dumps(settings))
    elif verb == "export hf":
        assert cli(*words, out)[0] == 0
    else:
        shutil.copytree(RUNS / "lstm", out)
    (out / stranger).parent.mkdir(parents=True, exist_ok=True)
    (out / stranger).write_text("mine")
    before = snapshot(tmp_path)
    status, _, err = cli(*words, out, "--overwrite")
    assert status == 2 and f"'{stranger}', which is not part of" in err
    assert snapshot(tmp_path) == before


def test_links_in_a_run_are_not_ours(cli: Cli, tmp_path: Path) -> None:
    """Neither to folders nor, under names that a run does not have, to files."""
    out = tmp_path / "out"
    (tmp_path / "mine").mkdir()
    for name in ("plots", "data", "link"):
        shutil.copytree(RUNS / "lstm", out)
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).symlink_to("../mine")
        status, _, err = cli(*WRITERS["train"][0], out, "--overwrite")
        assert status == 2 and f"'{name}', which is not part of a run" in err
        shutil.rmtree(out)


def test_a_run_is_replaced_whatever_it_is_made_of(cli: Cli, tmp_path: Path) -> None:
    """Every kind of run that there is holds only what a run holds."""
    out = tmp_path / "out"
    for run in sorted(path.parent for path in RUNS.glob("*/config.json")):
        shutil.copytree(run, out)
        assert list(RUN.strangers(out)) == [] and RUN.holds(out), run
        shutil.rmtree(out)


def test_what_is_replaced_keeps_its_permissions(cli: Cli, tmp_path: Path) -> None:
    model, run = tmp_path / "m.arpa", tmp_path / "run"
    words = ["train", "ngram", "--train", TEXT, "--quiet", "--out"]
    for out, mode in ((model, 0o600), (run, 0o700)):
        assert cli(*words, out)[0] == 0
        out.chmod(mode)
        assert cli(*words, out, "--overwrite")[0] == 0
        assert stat.S_IMODE(out.stat().st_mode) == mode


@pytest.mark.parametrize("name", ["m.arpa", "run"])
def test_what_another_process_made_meanwhile_stays(
    name: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --overwrite; the check at the beginning cannot know of it."""
    out = tmp_path / name

    def file_meanwhile(fresh: Path, out: Path, *, overwrite: bool) -> None:
        if out.name == name:
            out.write_text("mine")
        scratch.replace_file(fresh, out, overwrite=overwrite)

    def folder_meanwhile(fresh: Path, out: Path, *, overwrite: bool) -> None:
        (out / "sub").mkdir(parents=True)
        scratch.replace_folder(fresh, out, overwrite=overwrite)

    monkeypatch.setattr("nextword.files.replace_file", file_meanwhile)
    monkeypatch.setattr("nextword.run_folder.replace_folder", folder_meanwhile)
    status, _, err = cli("train", "ngram", "--train", TEXT, "--quiet", "--out", out)
    assert status == 2 and "made by another process meanwhile" in err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert out.read_text() == "mine" if name == "m.arpa" else list(out.iterdir()) == [out / "sub"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_listed_may_be_written_into(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w").chmod(0o311)
    assert (
        cli("train", "ngram", "--train", TEXT, "--quiet", "--out", tmp_path / "w" / "m.arpa")[0]
        == 0
    )
