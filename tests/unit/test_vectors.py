"""Pretrained word vectors: two text formats, packed or not, for any tokenizer."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

import nextword
from nextword.config import TextConfig
from nextword.errors import InputError
from nextword.text.tokenizer import Tokenizer, train_tokenizer
from nextword.text.vectors import read_vectors

GLOVE = "the 0.5 -1 2e-3\ncat 1 2 3\n中 4 5 6\nThe 7 7 7\nzebra 9 9 9\n"
WORD2VEC = "5 3\n" + GLOVE
EXPECTED = {"the": [0.5, -1, 2e-3], "cat": [1, 2, 3], "中": [4, 5, 6]}


def words(text: str = "the cat 中 sat\n", lower: bool = False) -> Tokenizer:
    """A word tokenizer that knows these words."""
    return train_tokenizer([text], TextConfig(tokenizer="word", split="whitespace", lower=lower))


def found(path: Path, tokenizer: Tokenizer) -> dict[str, list[float]]:
    """The vectors by the token they belong to."""
    ids, vectors = read_vectors(path, tokenizer)
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
    ("text", "line"),
    [
        ("the 1 2 3\ncat 1 2\n", 2),
        ("the 1 2 3\nzebra 1 2 3 4\n", 2),
        ("9 3\nthe 1 2 3\ncat 1 2 3\n\n中 1 2 3\n", 4),
        ("the 1 2 3\ncat 1\n", 2),
        ("the\ncat 1 2\n", 1),
    ],
)
@pytest.mark.parametrize("name", ["vectors.txt", "vectors.gz"])
def test_uneven_lines(text: str, line: int, name: str, tmp_path: Path) -> None:
    """A line of another width is named by its number, known word or not."""
    with pytest.raises(InputError, match=rf"vectors\.\w+' line {line}:"):
        read_vectors(file_of(tmp_path, text, name), words())


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


def test_not_a_text_file(tmp_path: Path) -> None:
    """Binary files, other encodings, words for numbers and damaged archives are bad input."""
    packed = gzip.compress(GLOVE.encode() * 500)
    flipped = bytearray(packed)
    flipped[15] ^= 0xFF
    flipped[len(packed) // 2] ^= 0xFF
    for name, raw in {
        "binary.bin": b"the \xff\xfe\x00\n",
        "words.txt": b"the one two\n",
        "plain.gz": GLOVE.encode(),
        "cut.gz": packed[:-9],
        "flipped.gz": bytes(flipped),
    }.items():
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(InputError, match=f"{name}' is not a text file of word vectors"):
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
