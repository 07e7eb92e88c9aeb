"""Texts from compressed files, standard input and FIFOs, and texts in other encodings."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

import nextword
from nextword.errors import InputError
from nextword.text import compression
from nextword.text.input_lines import InputLines
from nextword.text.reader import blocks, hold_out, lines, open_texts
from nextword.text.source import open_source, streams_kept
from tests.support import STORY, Cli

TEXT = "".join(f"line {n}: 天地 and « é »\n" for n in range(3000))
ZSTD = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": ZSTD.compress,
}


@contextmanager
def fed(path: Path, data: bytes) -> Iterator[Path]:
    """A FIFO that is written to once."""
    os.mkfifo(path)

    def write() -> None:
        with suppress(BrokenPipeError):
            path.write_bytes(data)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    yield path
    writer.join(10)


def standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def text_of(path: Path | str) -> str:
    return "".join(text for text, _ in blocks(open_texts([path])))


# ---------------------------------------------------------------- the same text from everywhere


@pytest.mark.parametrize("packer", PACKERS)
def test_the_same_text_from_everywhere(
    packer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compression is known by the content, whatever the name, in files and in streams."""
    data = PACKERS[packer](TEXT.encode())
    (tmp_path / "named.txt").write_bytes(data)
    assert text_of(tmp_path / "named.txt") == TEXT
    with fed(tmp_path / "fifo", data) as path:
        assert text_of(path) == TEXT
    standard_input(monkeypatch, data)
    assert text_of("-") == TEXT
    found = list(InputLines(io.BytesIO(data), lambda: None))
    assert found == list(lines(tmp_path / "named.txt")) == TEXT.split("\n")[:-1]


@pytest.mark.parametrize("packer", ["gzip", "bzip2", "xz", "zstd"])
def test_several_members_and_damage(packer: str, tmp_path: Path) -> None:
    """Files that were joined are one text; one that is cut off or changed is refused."""
    pack = PACKERS[packer]
    path = tmp_path / "t"
    path.write_bytes(pack(b"one\n") + pack(b"two\n"))
    assert text_of(path) == "one\ntwo\n"
    whole = pack(TEXT.encode())
    for data in (whole[:-9], whole[: len(whole) // 2], whole[:20] + b"\xaa" * 40 + whole[60:]):
        path.write_bytes(data)
        with pytest.raises(InputError, match="is damaged"):
            open_texts([path])
        with pytest.raises(InputError, match="is damaged"):
            list(InputLines(io.BytesIO(data), lambda: None))


def test_what_only_begins_like_a_compression_is_text(tmp_path: Path) -> None:
    for text in ("B", "BZ", "(", "BZ is a code\n", "(µ\n"):
        (tmp_path / "t").write_text(text, encoding="utf-8")
        assert text_of(tmp_path / "t") == text
        found = list(InputLines(io.BytesIO(text.encode()), lambda: None))
        assert found == text.splitlines()


def test_a_part_is_held_out_of_a_copy(tmp_path: Path) -> None:
    """A compressed text is cut where the plain one is, and may be read by several at once."""
    (tmp_path / "plain").write_text(TEXT, encoding="utf-8")
    (tmp_path / "packed").write_bytes(gzip.compress(TEXT.encode()))
    plain, packed = (hold_out(open_texts([tmp_path / n]), 0.1) for n in ("plain", "packed"))
    assert [(s.start, s.stop) for part in plain for s in part] == [
        (s.start, s.stop) for part in packed for s in part
    ]
    for one, other in zip(plain, packed, strict=True):
        assert list(blocks(one, 100)) == list(blocks(other, 100))
    both = zip(blocks(packed[0], 100), blocks(packed[0], 100), strict=True)
    assert all(a == b for a, b in both)


def test_a_copy_can_be_sought_in(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(gzip.compress(b"0123456789"))
    with open_source(tmp_path / "t").open() as file:
        assert file.seek(-3, io.SEEK_END) == 7 and file.read() == b"789"
        assert file.seek(2) == 2 and file.read(2) == b"23"
        assert file.seek(1, io.SEEK_CUR) == 5 and file.tell() == 5 and file.read(1) == b"5"


# ---------------------------------------------------------------- kept for a command


def test_a_stream_is_kept_for_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standard_input(monkeypatch, b"one\n")
    with fed(tmp_path / "fifo", b"two\n") as path, streams_kept():
        for _ in range(3):
            assert text_of("-") == "one\n" and text_of(path) == "two\n"
        with streams_kept():
            assert text_of("-") == "one\n"
        assert text_of("-") == "one\n"
    with pytest.raises(InputError, match="'-' is empty"):
        text_of("-")


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "t"
    with streams_kept():
        for text in (b"one\n", b"another\n"):
            path.write_bytes(gzip.compress(text))
            assert text_of(path) == text.decode()


def test_a_copy_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "t").write_bytes(gzip.compress(TEXT.encode()))
    spans = open_texts([tmp_path / "t"])
    assert not list((tmp_path / "tmp").iterdir())
    assert len("".join(text for text, _ in blocks(spans))) == len(TEXT)


def test_no_room_for_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda prefix: Full())
    (tmp_path / "t").write_bytes(gzip.compress(b"text\n"))
    with pytest.raises(InputError, match=r"No space left on device.*TMPDIR"):
        open_texts([tmp_path / "t"])


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "zstd_package", lambda: None)
    (tmp_path / "t").write_bytes(ZSTD.compress(b"text\n"))
    with pytest.raises(InputError, match=r"zstd, which needs a package: pip install 'nextword\["):
        open_texts([tmp_path / "t"])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="standard input is closed"):
        open_texts(["-"])
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(closed=True))
    with pytest.raises(InputError, match="standard input is closed"):
        open_texts(["-"])


# ---------------------------------------------------------------- encodings

ENCODINGS = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_other_encodings_are_named(encoding: str, tmp_path: Path) -> None:
    """With and without a byte-order mark, in files, compressed files and streams; and the command
    in the message works."""
    path = tmp_path / "a text.txt"
    data = "one two three\nfour, é five\n".encode(encoding)
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"is {encoding[:6].upper()}.*, not UTF-8") as error:
        text_of(path)
    assert os.system(str(error.value).split(": ", 1)[1]) == 0
    assert text_of(f"{path}.utf8").lstrip("\ufeff") == "one two three\nfour, é five\n"
    with pytest.raises(InputError, match="pass it through iconv"):
        list(InputLines(io.BytesIO(data), lambda: None))
    path.write_bytes(gzip.compress(data))
    with pytest.raises(InputError, match="pass it through iconv"):
        text_of(path)


def test_binary_data_are_no_encoding(tmp_path: Path) -> None:
    path = tmp_path / "t"
    for data in (bytes(range(1, 200)) + b"\0", b"".join(bytes([n, 0]) for n in range(100))):
        path.write_bytes(data)
        with pytest.raises(InputError, match="binary"):
            text_of(path)


def test_a_byte_order_mark_of_a_stream_is_dropped() -> None:
    assert list(InputLines(io.BytesIO(b"\xef\xbb\xbfa\nb\n"), lambda: None)) == ["a", "b"]


# ---------------------------------------------------------------- in the verbs


def test_every_verb_that_reads_text_reads_streams(
    cli: Cli, lstm_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same figures from a file, compressed, from standard input and from a FIFO."""
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.write_text(STORY, encoding="utf-8")
    packed.write_bytes(lzma.compress(STORY.encode()))
    standard = ("score", lstm_run), ("embed", lstm_run)
    named = (
        ("evaluate", lstm_run, "--json", "--quiet", "--data"),
        ("compare", lstm_run, lstm_run, "--json", "--data"),  # reads the text twice
    )
    for number, words in enumerate((*standard, *named)):
        outputs = []
        for name in (plain, packed, "-", "fifo"):
            standard_input(monkeypatch, packed.read_bytes())
            if name == "fifo":
                with fed(tmp_path / f"fifo{number}", STORY.encode()) as path:
                    status, out, err = cli(*words, path)
            else:
                status, out, err = cli(*words, name)
            assert status == 0, err
            outputs.append([part for part in out.split(", ") if "seconds" not in part])
        assert all(output == outputs[0] for output in outputs), words


RECIPES = {
    "ngram": {"model.order": 2},
    "lstm": {"model.hidden": 8, "model.layers": 1, "text.tokenizer": "word"},
    "classifier": {},
    "seq2seq": {"model.hidden": 8, "model.layers": 1, "model.embedding": 8},
    "tagger": {},
}
WRITTEN = {
    "classifier": "a\tgood film\nb\tbad film\n" * 30,
    "seq2seq": "one two\tun deux\nthree\ttrois\n" * 30,
    "tagger": "one\tA\ntwo\tB\n\n" * 30,
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_training_reads_streams(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind of text is trained on from standard input as from a file."""
    data = WRITTEN.get(recipe, STORY).encode()
    plain = tmp_path / "plain.txt"
    plain.write_bytes(data)
    overrides = RECIPES[recipe] | ({} if recipe == "ngram" else {"train.epochs": 1})
    weights = []
    for name, valid in ((plain, plain), ("-", plain), ("-", "-")):
        standard_input(monkeypatch, gzip.compress(data))
        out = tmp_path / f"run{len(weights)}"
        nextword.train(recipe, name, out, valid=valid, overrides=overrides, quiet=True)
        weights.append((out / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] == weights[2]
