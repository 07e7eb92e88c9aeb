"""What a path names, and that no reader waits for a pipe or follows an endless device."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from nextword.config import read_recipe
from nextword.errors import InputError
from nextword.ngram.arpa_reading import read_arpa
from nextword.paths import Kind, kind_of, readable
from nextword.text.char import CharTokenizer
from nextword.text.pairs import open_pairs
from nextword.text.reader import lines, open_texts
from nextword.text.vectors import read_vectors

WORDS = CharTokenizer(["<unk>", "<eos>"], lower=False)


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """A folder with one of each thing that a path can name, and links."""
    (tmp_path / "file").write_text("text\n")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    server = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(tmp_path)  # the name of a socket may not be long
    server.bind("socket")
    os.chdir(here)
    server.close()
    for link, target in (
        ("link", "file"),
        ("endless", "/dev/zero"),
        ("circle", "circle"),
        ("nowhere", "gone"),
    ):
        (tmp_path / link).symlink_to(target)
    for path in list(tmp_path.iterdir()):  # the name of a recipe ends so
        (tmp_path / f"{path.name}.toml").symlink_to(path.name)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("file", Kind.FILE),
        ("link", Kind.FILE),
        ("directory", Kind.DIRECTORY),
        ("pipe", Kind.PIPE),
        ("socket", Kind.SOCKET),
        ("endless", Kind.DEVICE),
        ("circle", Kind.NOTHING),
        ("nowhere", Kind.NOTHING),
        ("file/inside", Kind.NOTHING),
        ("a\0b", Kind.NOTHING),
        ("\udcff", Kind.NOTHING),
        ("long" * 100, Kind.NOTHING),
    ],
)
def test_every_kind_is_known(zoo: Path, name: str, kind: Kind) -> None:
    assert kind_of(zoo / name) is kind
    assert kind_of(str(zoo / name)) is kind


READERS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: open_texts([path]),
    "lines": lines,
    "pairs": lambda path: open_pairs([path]),
    "targets": lambda path: open_pairs([path.parent / "file"], [path]),
    "vectors": lambda path: read_vectors(path, WORDS),
    "ARPA": read_arpa,
    "recipe": lambda path: read_recipe(f"{path}.toml"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["directory", "pipe", "socket", "endless", "circle"])
def test_no_reader_opens_what_is_no_file(zoo: Path, reader: str, name: str) -> None:
    if name == "pipe" and reader in ("text", "lines", "pairs", "targets"):
        pytest.skip("texts may come from pipes")
    with pytest.raises(InputError, match=r"no file|is a directory|not a regular file|recipe"):
        READERS[reader](zoo / name)


def test_the_refusal_says_what_is_there(zoo: Path) -> None:
    assert readable(zoo / "link") == zoo / "link"
    with pytest.raises(InputError, match="is not a regular file but a pipe"):
        readable(zoo / "pipe")
    with pytest.raises(InputError, match="is a directory; name an ARPA file"):
        readable(zoo / "directory", "an ARPA file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_locked_directory_is_said_to_be_so(zoo: Path) -> None:
    (zoo / "directory").chmod(0)
    with pytest.raises(InputError, match="no permission"):
        kind_of(zoo / "directory" / "file")
