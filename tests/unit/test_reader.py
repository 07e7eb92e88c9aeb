"""Text files → blocks of text: nothing is lost, whatever the bytes, lines and block sizes."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nextword.config import TextConfig
from nextword.errors import InputError
from nextword.text.reader import BLOCK, Span, blocks, hold_out, open_texts
from nextword.text.tokenizer import train_tokenizer

# Of one to four bytes, with everything that matters for cutting.
TEXT = st.text(sorted("ab é中😀 \t\r\n"), min_size=1, max_size=80)
SIZES = st.integers(1, 40)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file that every example overwrites."""
    return tmp_path_factory.mktemp("reader") / "text.txt"


def span_of(path: Path, content: str | bytes) -> list[Span]:
    """Write a file and open it."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_texts([path])


def read(spans: list[Span], size: int = BLOCK) -> str:
    """All blocks as one text."""
    return "".join(text for text, _ in blocks(spans, size))


# ---------------------------------------------------------------- nothing is lost


@given(text=TEXT, size=SIZES)
@example(text="😀😀", size=1)
@example(text="中中中\r\n", size=1)
@example(text="aaaaaaa\r\nb", size=2)
def test_blocks_make_up_the_text(path: Path, text: str, size: int) -> None:
    """Concatenated, the blocks are the text with Unix line ends, and their sizes the file's."""
    spans = span_of(path, text)
    parts = list(blocks(spans, size))
    assert "".join(part for part, _ in parts) == text.replace("\r\n", "\n")
    assert sum(count for _, count in parts) == len(text.encode())
    assert all(count > 0 for _, count in parts)


@given(lines=st.lists(st.text(sorted("ab é中😀 \t"), max_size=9)), size=SIZES)
def test_blocks_end_with_lines(path: Path, lines: list[str], size: int) -> None:
    """Where lines are shorter than four block sizes, every block but the last ends with one."""
    text = "\n".join(lines) + "x"
    longest = max(len(line.encode()) for line in text.split("\n"))
    parts = [part for part, _ in blocks(span_of(path, text), max(size, longest // 4 + 1))]
    assert all(part.endswith("\n") for part in parts[:-1])


# Gaps and words short enough that no block has to be cut inside one.
GAPS = [" ", "   ", "    ", "\t", "\t  "]
SIZES_OF_WORDS = st.integers(3, 6)


def sentences(gaps: list[str]) -> st.SearchStrategy[str]:
    """Short words with gaps after them."""
    pair = st.tuples(st.sampled_from(["it", "was", "中文"]), st.sampled_from(gaps))
    return st.lists(pair.map("".join), min_size=5, max_size=30).map("".join)


@given(text=sentences(GAPS), size=SIZES_OF_WORDS)
def test_long_lines_are_cut_at_words(path: Path, text: str, size: int) -> None:
    """Without line ends, blocks begin with all the white space before a word."""
    parts = [part for part, _ in blocks(span_of(path, text), size)]
    for left, right in pairwise(parts):
        assert right[0].isspace()
        assert not left[-1].isspace()


@given(text=sentences([*GAPS, "\r\n", "\n  "]), size=SIZES_OF_WORDS)
def test_blocks_encode_as_the_whole(path: Path, text: str, size: int) -> None:
    """The promise a corpus rests on: encoding block by block gives the ids of the text."""
    spans = span_of(path, text)
    for tokenizer in (BPE, WORD):
        ids = [i for part, _ in blocks(spans, size) for i in tokenizer.encode(part)]
        assert ids == tokenizer.encode(text.replace("\r\n", "\n"))


INDENTED = "it was   so\n    it    was 中文。\n" * 20
BPE = train_tokenizer([INDENTED], TextConfig(tokenizer="bpe", vocab_size=290))
WORD = train_tokenizer([INDENTED], TextConfig(tokenizer="word", split="words"))


@pytest.mark.parametrize("size", [1, 2, 3, 7, BLOCK])
@pytest.mark.parametrize("letter", ["a", "é", "中", "😀"])
def test_no_white_space_at_all(letter: str, size: int, tmp_path: Path) -> None:
    """A file without a space or newline is cut between characters, in bounded pieces."""
    text = letter * 100
    parts = [part for part, _ in blocks(span_of(tmp_path / "t", text), size)]
    assert "".join(parts) == text
    assert all(len(part.encode()) <= 5 * max(size, 4) for part in parts)


def test_memory_is_bounded(tmp_path: Path) -> None:
    """No block of a long file is longer than a few reads, with one endless line and with many."""
    for content in (b"word " * BLOCK, b"line\n" * BLOCK, b"w" * (5 * BLOCK)):
        counts = [count for _, count in blocks(span_of(tmp_path / "t", content))]
        assert sum(counts) == len(content)
        assert len(counts) > 1
        assert max(counts) <= 4 * BLOCK


# ---------------------------------------------------------------- line ends and marks


def test_windows_line_ends(tmp_path: Path) -> None:
    r"""\r\n becomes \n, also where a block ends between the two; a lone \r stays."""
    text = "ab\r\n\r\ncd\re\r\n"
    for size in range(1, 16):
        assert read(span_of(tmp_path / "t", text), size) == "ab\n\ncd\re\n"


def test_byte_order_mark(tmp_path: Path) -> None:
    """A mark at the beginning of a file is dropped, of every file; elsewhere it is text."""
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes("\ufeffab\n".encode())
    second.write_bytes("\ufeffcd\ufeff\n\ufeffe".encode())
    for size in range(1, 16):
        parts = list(blocks(open_texts([first, second]), size))
        assert "".join(text for text, _ in parts) == "ab\ncd\ufeff\n\ufeffe"
        assert sum(count for _, count in parts) == first.stat().st_size + second.stat().st_size


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("size", [1, 5, 64, BLOCK])
@pytest.mark.parametrize("bad", [b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\x80", b"\xf0\x9f\x98"])
@pytest.mark.parametrize("before", ["", "ab\n", "ab 中文\n" * 30, "é" * 99, "\ufeffa\n", "a\r\nb "])
def test_invalid_utf8_is_named_with_its_offset(
    before: str, bad: bytes, size: int, tmp_path: Path
) -> None:
    """The message says which byte at which offset of the file is not UTF-8."""
    spans = span_of(tmp_path / "t.txt", before.encode() + bad + b" and so on\n")
    where = len(before.encode())
    with pytest.raises(InputError, match=rf"byte 0x{bad[0]:02x} at offset {where}\)") as caught:
        read(spans, size)
    assert "t.txt" in str(caught.value)
    assert "UTF-8" in str(caught.value)


@pytest.mark.parametrize("line", [b"a line\n", b"one endless line "])
def test_invalid_utf8_beyond_the_first_block(line: bytes, tmp_path: Path) -> None:
    """The offset counts from the beginning of the file, not of the block."""
    before = line * (5 * BLOCK // len(line))
    with pytest.raises(InputError, match=f"0xe9 at offset {len(before)}"):
        read(span_of(tmp_path / "t", before + b"\xe9t\xe9\n"))


def test_cut_off_character_at_the_end(tmp_path: Path) -> None:
    """A file that ends inside a character is not UTF-8."""
    for size in (1, 3, BLOCK):
        with pytest.raises(InputError, match="0xe4 at offset 2"):
            read(span_of(tmp_path / "t", b"a\n" + "中".encode()[:2]), size)


@pytest.mark.parametrize("before", ["", "ab\n", "中 " * 50, "\ufeff"])
def test_binary_file(before: str, tmp_path: Path) -> None:
    """A zero byte means binary; its offset is named."""
    spans = span_of(tmp_path / "t", before.encode() + b"\0rest")
    for size in (1, 16, BLOCK):
        with pytest.raises(InputError, match=f"binary.*offset {len(before.encode())}\\)"):
            read(spans, size)


def test_offset_in_the_second_part_of_a_file(tmp_path: Path) -> None:
    """Offsets are the file's also where only its end is read."""
    content = b"ab\ncd\n\xff\n"
    (whole,) = span_of(tmp_path / "t", content)
    with pytest.raises(InputError, match="offset 6"):
        read([Span(whole.source, 3, len(content))])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Each in words of its own: missing, a directory, empty, a device, none at all."""
    with pytest.raises(InputError, match=r"no file '.*gone\.txt'"):
        open_texts([tmp_path / "gone.txt"])
    with pytest.raises(InputError, match="is a directory"):
        open_texts([tmp_path])
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match="is empty"):
        open_texts([tmp_path / "empty"])
    with pytest.raises(InputError, match="no text file given"):
        open_texts([])
    with pytest.raises(InputError, match="not a regular file"):
        open_texts(["/dev/zero"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission(tmp_path: Path) -> None:
    """A file that may not be read is bad input."""
    span_of(tmp_path / "t", "a")
    (tmp_path / "t").chmod(0)
    with pytest.raises(InputError, match="no permission"):
        open_texts([tmp_path / "t"])


def test_a_good_file_after_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    """Several files are read in their order; one bad one is enough to refuse."""
    (tmp_path / "a").write_text("a\n")
    (tmp_path / "b").write_text("b\n")
    assert read(open_texts([tmp_path / "b", tmp_path / "a"])) == "b\na\n"
    with pytest.raises(InputError, match="no file"):
        open_texts([tmp_path / "a", tmp_path / "c"])


# ---------------------------------------------------------------- holding out


def twin_cut(content: bytes, target: int) -> int:
    """Where `hold_out` should cut a whole small file, found by trying every position."""
    lines = [i for i in range(1, target + 1) if content[i - 1 : i] == b"\n"]
    words = [i for i in range(1, target) if content[i : i + 1] in (b" ", b"\t")]
    return max(lines or words or [len(content)])


@given(text=TEXT, fraction=st.floats(0, 0.9))
@example(text="a\nb c", fraction=0.5)
@example(text="a b", fraction=0.05)
@example(text=" aaaa", fraction=0.3)
def test_hold_out_cuts_the_end_off(path: Path, text: str, fraction: float) -> None:
    """Both parts make up the file; the cut is at a line's end, else before white space."""
    spans = span_of(path, text)
    content = text.encode()
    kept, held = hold_out(spans, fraction)
    cut = twin_cut(content, len(content) - int(len(content) * fraction))
    source = spans[0].source
    assert kept == [Span(source, 0, cut)]
    assert held == ([Span(source, cut, len(content))] if cut < len(content) else [])
    assert read(kept) + read(held) == read(spans)


def test_hold_out_takes_the_end_of_every_file(tmp_path: Path) -> None:
    """Each file gives its own last part; a file of one word gives nothing."""
    first = span_of(tmp_path / "a", "line\n" * 100)
    second = span_of(tmp_path / "b", "中文字\n" * 40)
    third = span_of(tmp_path / "c", "word")
    kept, held = hold_out(first + second + third, 0.05)
    assert [span.size for span in kept] == [475, 380, 4]
    assert [(span.path.name, span.size) for span in held] == [("a", 25), ("b", 20)]
    assert read(held) == "line\n" * 5 + "中文字\n" * 2
