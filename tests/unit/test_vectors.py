"""Pretrained word vectors: text and binary, packed or not, for any tokenizer."""

from __future__ import annotations

import gzip
import math
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

import nextword
from nextword.config import TextConfig
from nextword.errors import InputError, Interrupted
from nextword.text.tokenizer import Tokenizer, train_tokenizer
from nextword.text.vectors import read_vectors
from tests.support import interrupt_at

GLOVE = "the 0.5 -1 2e-3\ncat 1 2 3\n中 4 5 6\nThe 7 7 7\nzebra 9 9 9\n"
WORD2VEC = "5 3\n" + GLOVE
EXPECTED = {"the": [0.5, -1, 2e-3], "cat": [1, 2, 3], "中": [4, 5, 6]}


def words(text: str = "the cat 中 sat\n", lower: bool = False) -> Tokenizer:
    """A word tokenizer that knows these words."""
    return train_tokenizer([text], TextConfig(tokenizer="word", split="whitespace", lower=lower))


def found(path: Path, tokenizer: Tokenizer) -> dict[str, list[float]]:
    """The vectors by the token they belong to."""
    ids, vectors, _, _ = read_vectors(path, tokenizer)
    assert ids.dtype == np.int64 and vectors.dtype == np.float32
    assert ids.shape == (len(vectors),) and len(set(ids.tolist())) == len(ids)
    return {
        tokenizer.token(int(index)): vector.tolist()
        for index, vector in zip(ids, vectors, strict=True)
    }


def file_of(folder: Path, text: str | bytes, name: str = "vectors.txt") -> Path:
    """A file of vectors, packed if its name says so."""
    raw = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return folder / name


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize("name", ["vectors.txt", "vectors.vec", "vectors.txt.gz"])
@pytest.mark.parametrize("text", [GLOVE, WORD2VEC, WORD2VEC.replace("\n", "\r\n")])
def test_formats(text: str, name: str, tmp_path: Path) -> None:
    """With the `count width` line of word2vec or without, packed or not: the known words."""
    got = found(file_of(tmp_path, text, name), words())
    assert got.keys() == EXPECTED.keys()
    for word, vector in EXPECTED.items():
        assert got[word] == pytest.approx(vector)


def test_spaces_at_the_end_of_lines(tmp_path: Path) -> None:
    """word2vec itself writes one; it is no number."""
    got = found(file_of(tmp_path, WORD2VEC.replace("\n", " \n")), words())
    assert got["cat"] == [1, 2, 3]


def test_header_is_not_a_word(tmp_path: Path) -> None:
    """The first line is skipped even where its number is a known word."""
    tokenizer = words("5 the\n")
    assert found(file_of(tmp_path, WORD2VEC), tokenizer).keys() == {"the"}


def test_another_case_serves_when_the_exact_one_is_missing(tmp_path: Path) -> None:
    """`The` stands in for `the`; where both are there, in either order, the exact one counts."""
    tokenizer = words("the cat\n")
    assert found(file_of(tmp_path, "The 1 1\nTHE 2 2\n"), tokenizer) == {"the": [1, 1]}
    for text in ("The 1 1\nthe 2 2\n", "the 2 2\nThe 1 1\n"):
        assert found(file_of(tmp_path, text), tokenizer) == {"the": [2, 2]}


def test_case_counts_where_the_vocabulary_has_both(tmp_path: Path) -> None:
    """`The` and `the` each get their own."""
    tokenizer = words("The the\n")
    got = found(file_of(tmp_path, "The 1 1\nthe 2 2\n"), tokenizer)
    assert got == {"The": [1, 1], "the": [2, 2]}


def test_lower_case_vocabulary(tmp_path: Path) -> None:
    """A tokenizer that lower-cases finds vectors of capitalised words."""
    tokenizer = words("The Cat\n", lower=True)
    assert found(file_of(tmp_path, "Cat 1 2\n"), tokenizer) == {"cat": [1, 2]}


def test_char(tmp_path: Path) -> None:
    """Single characters are words of Chinese vector files."""
    tokenizer = train_tokenizer(["天地玄黄\n"], TextConfig(tokenizer="char"))
    got = found(file_of(tmp_path, "天 1 2\n天地 3 4\n黄 5 6\n"), tokenizer)
    assert got == {"天": [1, 2], "黄": [5, 6]}


def test_bpe(tmp_path: Path) -> None:
    """A vector belongs to the token that is the whole word with its space before it."""
    tokenizer = train_tokenizer(
        ["the cat the dog\n" * 30], TextConfig(tokenizer="bpe", vocab_size=300)
    )
    got = found(file_of(tmp_path, "dog 1 2\nzebra 3 4\nThe 5 6\n"), tokenizer)
    assert got == {" dog": [1, 2], " the": [5, 6]}


def test_byte_knows_no_words(tmp_path: Path) -> None:
    """Bytes have no vectors: the file shares nothing with them."""
    tokenizer = train_tokenizer([], TextConfig(tokenizer="byte"))
    with pytest.raises(InputError, match="no word of the vocabulary"):
        read_vectors(file_of(tmp_path, GLOVE), tokenizer)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("the 1 2 3\ncat 1 2\n中 4 5 6\n", 2),
        ("the 1 2 3\ncat one 2 3\n中 4 5 6\n", 2),
        ("the 1 2 3\ncat nan 2 3\n中 4 5 6\n", 2),
        ("9 3\nthe 1 2 3\n\n中 1 2 3\n", 2),
        ("the 1 2 3\nsat 1 2 3\ncat 1\n", 3),
        ("the\ncat 1 2\nsat 1 2\n", 1),
        (b"the 1 2 3\n\xff\xfe 1 2 3\nsat 1 2 3\n", 2),
    ],
)
@pytest.mark.parametrize("name", ["vectors.txt", "vectors.gz"])
def test_bad_lines(text: str | bytes, entry: int, name: str, tmp_path: Path) -> None:
    """A line that is no word and its numbers is skipped and counted."""
    read = read_vectors(file_of(tmp_path, text, name), words())
    assert (read.skipped, read.first_skipped, len(read.ids)) == (1, entry, 2)


def test_more_bad_lines_than_good(tmp_path: Path) -> None:
    path = file_of(tmp_path, "the 1 2\n" + "it is a text\n" * 2)
    with pytest.raises(InputError, match=r"is no file of word vectors: entry \d"):
        read_vectors(path, words())


KEYS = "the 1 2 3\n. . . 4 5 6\nnew york 7 8 9\nat 3 1 1 1\n2000 5 5 5\n3 1/2 6 6 6\n"


@pytest.mark.parametrize("header", ["", "6 3\n"])
def test_words_with_blanks(header: str, tmp_path: Path) -> None:
    """The last fields are the numbers, even where the word is one too."""

    class Known:
        """A tokenizer that knows everything."""

        def __init__(self) -> None:
            self.words: list[str] = []

        def known(self, word: str) -> int:
            self.words.append(word)
            return len(self.words) - 1

    known = Known()
    read = read_vectors(file_of(tmp_path, header + KEYS), known)  # type: ignore[arg-type]
    assert known.words == ["the", ". . .", "new york", "at 3", "2000", "3 1/2"]
    assert read.vectors[:, 0].tolist() == [1, 4, 7, 1, 5, 6] and read.skipped == 0
    assert read.vectors.shape == (6, 3)


def binary(vectors: dict[str, list[float]], *, ends: bytes = b"\n") -> bytes:
    """A file as word2vec writes it with `-binary 1`."""
    width = len(next(iter(vectors.values())))
    rows = [
        word.encode("utf-8", "surrogateescape") + b" " + struct.pack(f"<{width}f", *row) + ends
        for word, row in vectors.items()
    ]
    return f"{len(vectors)} {width}\n".encode() + b"".join(rows)


@pytest.mark.parametrize("ends", [b"\n", b""], ids=["word2vec", "gensim"])
@pytest.mark.parametrize("name", ["vectors.bin", "vectors.bin.gz"])
@pytest.mark.parametrize("width", [2, 300])
def test_binary(width: int, name: str, ends: bytes, tmp_path: Path) -> None:
    rng = np.random.default_rng(width)
    rows = {word: rng.normal(size=width).tolist() for word in ("the", "cat", "中", "zebra")}
    rows |= {f"word{n}": rng.normal(size=width).tolist() for n in range(2000)}
    got = found(file_of(tmp_path, binary(rows, ends=ends), name), words())
    assert got.keys() == EXPECTED.keys()
    for word, vector in got.items():
        np.testing.assert_allclose(vector, rows[word], rtol=1e-6)


def test_binary_of_awkward_numbers(tmp_path: Path) -> None:
    """Zeros, ASCII bytes and spaces among the numbers, words that are no UTF-8, a NaN."""
    blanks = struct.unpack("<2f", b"    a\nbc")
    rows = {"the": [0.0, 0.0], "cat": list(blanks), "\udcff": [1, 1], "sat": [math.nan, 1]}
    read = read_vectors(file_of(tmp_path, binary(rows)), words())
    assert read.vectors.tolist() == [[0, 0], list(map(pytest.approx, blanks))]
    assert (read.skipped, read.first_skipped) == (2, 3)


@pytest.mark.parametrize("cut", [2, 5, 9, 13])
def test_binary_that_is_cut_off(cut: int, tmp_path: Path) -> None:
    """The first line names more words than there are."""
    whole = binary({"the": [0.1, 0.2], "cat": [0.3, 0.4]})
    with pytest.raises(InputError, match=r"ends after \d of the 2 words"):
        read_vectors(file_of(tmp_path, whole[:-cut]), words())
    claims = whole.replace(b"2 2\n", b"99999999999 2\n")
    with pytest.raises(InputError, match=r"ends after 2 of the 99,999,999,999 words"):
        read_vectors(file_of(tmp_path, claims), words())


@pytest.mark.parametrize("text", ["", "5 3\n", "zebra 1 2\nyak 2 3\n"])
def test_nothing_shared(text: str, tmp_path: Path) -> None:
    """Not one word in common is a mistake worth stopping for."""
    with pytest.raises(InputError, match="no word of the vocabulary has a vector"):
        read_vectors(file_of(tmp_path, text), words())


def test_no_file(tmp_path: Path) -> None:
    """Missing files and directories are named."""
    for path in (tmp_path / "gone.txt", tmp_path):
        with pytest.raises(InputError, match=r"no file|is a directory"):
            read_vectors(path, words())


def test_not_a_file_of_vectors(tmp_path: Path) -> None:
    """Binary files, words for numbers and damaged archives are bad input."""
    packed = gzip.compress(GLOVE.encode() * 500)
    flipped = bytearray(packed)
    flipped[15] ^= 0xFF
    flipped[len(packed) // 2] ^= 0xFF
    for name, raw, why in (
        ("binary.bin", b"the \xff\xfe\x00\n", "is no file of word vectors"),
        ("random.bin", random.Random(1).randbytes(5000), "is no file of word vectors"),
        ("words.txt", b"the one two\n", "is no file of word vectors"),
        ("cut.gz", packed[:-9], "is damaged"),
        ("flipped.gz", bytes(flipped), "is damaged"),
    ):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(InputError, match=f"{name}' {why}"):
            read_vectors(tmp_path / name, words())


SMALL = {"model.hidden": 8, "model.embedding": 2, "text.tokenizer": "word", "train.epochs": 1}


def test_a_training_starts_from_a_file_as_from_a_run(tmp_path: Path) -> None:
    """`--from FILE` is `text.vectors`."""
    text = file_of(tmp_path, "the cat sat on the mat\n" * 30, "text.txt")
    vectors = file_of(tmp_path, "the 1.5 -2\ncat 0.25 3\nelsewhere 1 1\n")
    settings = SMALL | {"model.layers": 1, "model.tied": False}
    started = nextword.train(
        "lstm", text, tmp_path / "from", overrides=settings, start_from=vectors, quiet=True
    )
    told = nextword.train(
        "lstm", text, tmp_path / "set", overrides=settings | {"text.vectors": str(vectors)}
    )
    assert started.config == told.config
    bare = nextword.train("lstm", text, tmp_path / "bare", overrides=settings, quiet=True)
    for (name, one), two, other in zip(
        started.model.state_dict().items(),  # type: ignore[attr-defined]
        told.model.state_dict().values(),  # type: ignore[attr-defined]
        bare.model.state_dict().values(),  # type: ignore[attr-defined]
        strict=True,
    ):
        assert torch.equal(one, two), name
        assert not torch.equal(one, other) or not one.any(), name


@pytest.mark.parametrize(
    ("recipe", "what"), [("seq2seq", "source.vectors="), ("ngram", "no word vectors")]
)
def test_what_cannot_start_from_vectors(tmp_path: Path, recipe: str, what: str) -> None:
    text = file_of(tmp_path, "a\tb\n" * 30, "text.txt")
    vectors = file_of(tmp_path, "the 1.5 -2\n")
    with pytest.raises(InputError, match=what):
        nextword.train(recipe, text, tmp_path / "run", start_from=vectors)
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- in a model


def trained(folder: Path, **more: object) -> tuple[nextword.Run, torch.Tensor]:
    """A run that began with two vectors, and its embedding."""
    text = file_of(folder, "the cat sat on the mat\n" * 30, "text.txt")
    vectors = file_of(folder, "the 15 -20\ncat 2.5 30\nbad\nelsewhere 1 1\n")
    settings = SMALL | {"model.layers": 1, "text.vectors": str(vectors)}
    settings |= {name.replace("__", "."): value for name, value in more.items()}
    run = nextword.train("lstm", text, folder / "run", overrides=settings, overwrite=True)
    return run, run.model.embedding.weight.detach()  # type: ignore[union-attr, operator]


FROZEN = {"model__freeze_vectors": True, "text__vectors_scale": "own", "model__tied": False}


def test_frozen_vectors_stay_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the file's scale, through weight decay and a resumed training; the rest learns."""
    run, weight = trained(tmp_path, optimizer__weight_decay=0.1, **FROZEN)
    ids = [run.tokenizer.known(word) for word in ("the", "cat")]
    assert weight[ids].tolist() == [[15, -20], [2.5, 30]]
    said = capsys.readouterr().err
    assert "1 entries" in said and "entry 3" in said and "multiplied" not in said
    resumed = nextword.resume(tmp_path / "run", overrides={"train.epochs": 2}, quiet=True)
    again = resumed.model.embedding.weight  # type: ignore[union-attr]
    assert torch.equal(again, weight)  # type: ignore[arg-type]
    before, after = run.model.state_dict(), resumed.model.state_dict()  # type: ignore[attr-defined]
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed and not any("embedding" in name for name in changed)


def test_frozen_vectors_are_resumed_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, call=2)
        with pytest.raises(Interrupted):
            trained(tmp_path, train__epochs=2, **FROZEN)
    resumed = nextword.resume(tmp_path / "run", quiet=True)
    (tmp_path / "whole").mkdir()
    whole, _ = trained(tmp_path / "whole", train__epochs=2, **FROZEN)
    for one, other in zip(
        resumed.model.state_dict().values(),  # type: ignore[attr-defined]
        whole.model.state_dict().values(),  # type: ignore[attr-defined]
        strict=True,
    ):
        assert torch.equal(one, other)


def test_the_scale_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, weight = trained(tmp_path, model__freeze_vectors=True, model__tied=False)
    assert "multiplied by" in capsys.readouterr().err
    assert weight.std() < 1


def test_settings_that_would_do_nothing(tmp_path: Path) -> None:
    text = file_of(tmp_path, "the cat sat on the mat\n" * 30, "text.txt")
    for settings, why in (
        ({"model.freeze_vectors": True}, "is for word vectors from a file"),
        ({"text.vectors_scale": "own"}, r"text\.vectors_scale is for word vectors"),
    ):
        with pytest.raises(InputError, match=why):
            nextword.train("lstm", text, tmp_path / "run", overrides=SMALL | settings)
        assert not (tmp_path / "run").exists()
