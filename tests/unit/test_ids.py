"""Texts that are ids already: numbers in text files, `.npy` and `.bin`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nextword
from nextword.config import TextConfig, Use, configure, refuse_unused
from nextword.errors import InputError
from nextword.text.corpus import prepare
from nextword.text.id_files import open_ids
from nextword.text.ids import IdsTokenizer
from nextword.text.reader import blocks, hold_out, open_texts
from nextword.text.tokenizer import EOS, BadLine, restore_tokenizer, train_tokenizer
from tests.support import Cli

NUMBERS = st.lists(st.integers(0, 65_000), min_size=1, max_size=60)
SMALL: dict[str, Any] = {
    "ngram": {"model.order": 3},
    "lstm": {"model.hidden": 16, "model.embedding": 16, "model.layers": 1, "train.epochs": 1},
    "transformer-lm": {"model.hidden": 16, "model.layers": 1, "model.heads": 2, "train.epochs": 1},
}
ROWS = [[3, 1, 4, 1, 5], [9, 2, 6], [5, 3, 5, 8], [35935, 7]] * 40  # 35935: 5f 8c, as gzip begins
LINES = "".join(f"{' '.join(map(str, row))}\n" for row in ROWS)
END = 40_000
FLAT = [index for row in ROWS for index in (*row, END)]


def written(folder: Path, form: str) -> Path:
    """The rows in a form of file; those that have no lines end rows with an id."""
    path = folder / f"ids{form}"
    if form == ".txt":
        path.write_text(LINES, encoding="utf-8")
    elif form == ".npy":
        np.save(path, np.array(FLAT, np.uint16))
    else:
        np.array(FLAT, "<u4" if "32" in form else "<u2").tofile(path)
    return path


# ------------------------------------------------------------------------------ the tokenizer


@given(st.lists(NUMBERS, min_size=1, max_size=6), st.sampled_from([" ", "  ", "\t", " \t "]))
def test_ids_are_two_more(rows: list[list[int]], blank: str) -> None:
    tokenizer = IdsTokenizer(65_003)
    text = "".join(f"{blank.join(map(str, row))}\n" for row in rows)
    ids = tokenizer.encode(text)
    assert ids == [i for row in rows for i in (*(index + 2 for index in row), EOS)]
    assert tokenizer.decode(ids).split() == text.split()
    assert tokenizer.encode(tokenizer.decode(ids)) == ids
    found, spans = tokenizer.encode_with_spans(text)
    assert found == ids
    words = ["" if index == EOS else str(index - 2) for index in ids]
    assert [text[start:stop] for start, stop in spans] == words
    again = restore_tokenizer(json.loads(tokenizer.to_json()))
    assert again.fingerprint == tokenizer.fingerprint and again.encode(text) == ids


def test_the_id_of_the_end() -> None:
    tokenizer = IdsTokenizer(12, end_id=7)
    assert tokenizer.encode("1 7 2\n7") == [3, EOS, 4, EOS, EOS]
    assert tokenizer.decode([3, EOS, 4]) == "1\n2"
    assert tokenizer.encode("") == tokenizer.encode(" \t") == []


def test_the_vocabulary() -> None:
    """From the text, from `text.vocab_size`, never smaller than the id of the end."""
    texts = ["1 2\n", "40 3\n"]
    assert train_tokenizer(texts, TextConfig(tokenizer="ids")).vocab_size == 43
    assert train_tokenizer(texts, TextConfig(tokenizer="ids", vocab_size=99)).vocab_size == 99
    assert train_tokenizer(texts, TextConfig(tokenizer="ids", end_id=50)).vocab_size == 53
    for settings in ({"vocab_size": 9, "end_id": 8}, {"end_id": 2**31 - 1}):
        with pytest.raises(InputError, match=r"text\.tokenizer=ids"):
            train_tokenizer(texts, TextConfig(tokenizer="ids", **settings))


BAD = {
    "1 2\n3 x 4\n": (1, "'x' is no id; ids are whole numbers"),
    "1 -2\n": (0, "'-2' is no id"),
    "1\n\n1.5\n": (2, "'1.5' is no id"),
    "10\n": (0, "the id 10 is not in the vocabulary, 0 to 9"),
    "1 99999999999999999999999\n": (0, "is not in the vocabulary"),
    "１\n": (0, "is no id"),
    "\0": (0, "is no id"),
}


@pytest.mark.parametrize(("text", "expected"), BAD.items(), ids=map(str, range(len(BAD))))
def test_what_is_no_id(text: str, expected: tuple[int, str]) -> None:
    with pytest.raises(BadLine, match=expected[1]) as caught:
        IdsTokenizer(12).encode(text)
    assert caught.value.line == expected[0]


@pytest.mark.parametrize(
    "key", ["min_count", "lower", "split", "vectors", "sentences", "normalise"]
)
def test_settings_that_would_do_nothing(key: str) -> None:
    value = {"min_count": 2, "split": "words", "vectors": "a.vec", "normalise": "nfkc"}.get(
        key, True
    )
    given: dict[str, Any] = {"text.tokenizer": "ids"}
    with pytest.raises(InputError, match=r"text\."):
        refuse_unused(
            {f"text.{key}": value}, Use(configure("lstm", given | {f"text.{key}": value}))
        )
    with pytest.raises(InputError, match=r"text\.end_id is for a tokenizer of ids"):
        refuse_unused({"text.end_id": 3}, Use(configure("lstm", {"text.end_id": 3})))


@pytest.mark.parametrize("recipe", ["seq2seq", "classifier", "tagger", "bert"])
def test_other_tasks_read_words(recipe: str) -> None:
    given = {"text.tokenizer": "ids"} | ({"text.sentences": False} if recipe == "bert" else {})
    with pytest.raises(InputError, match=r"text\.tokenizer=ids is for models of running text"):
        configure(recipe, given)
    if recipe == "seq2seq":
        with pytest.raises(InputError, match=r"source\.tokenizer=ids is for"):
            configure(recipe, {"source.tokenizer": "ids"})


# ------------------------------------------------------------------------------ files


@given(NUMBERS, st.sampled_from([1, 5, 7, 64, 1 << 20]))
def test_files_are_texts_of_numbers(tmp_path_factory: Any, ids: list[int], size: int) -> None:
    """Whatever part is read, and in whatever blocks."""
    folder = tmp_path_factory.mktemp("ids")
    np.array(ids, "<u2").tofile(folder / "a.bin")
    np.save(folder / "b.npy", np.array(ids, np.uint32) + 2**31)
    spans = open_ids(open_texts([folder / "a.bin", folder / "b.npy"]))
    texts = ["".join(text for text, _ in blocks([span], size)) for span in spans]
    assert texts[0].split() == [str(index) for index in ids]
    assert texts[1].split() == [str(index + 2**31) for index in ids]
    kept, held = hold_out(spans, 0.3)
    parts = [span for span in (*kept, *held) if span.path == folder / "a.bin"]
    assert "".join(text for text, _ in blocks(parts)).split() == texts[0].split()
    with spans[0].source.open() as file:
        file.seek(3)
        assert file.read() == texts[0].encode()[3:]


@pytest.mark.parametrize("form", [".npy", ".bin", ".uint32.bin"])
def test_every_form_has_the_same_ids(form: str, tmp_path: Path) -> None:
    """The bytes counted are those of the numbers as people write them, too."""
    tokenizer = IdsTokenizer(END + 3, END)
    text = prepare(open_texts([written(tmp_path, ".txt")]), tokenizer, tmp_path / "text")
    file = prepare(open_texts([written(tmp_path, form)]), tokenizer, tmp_path / "file")
    assert file.ids.tolist() == text.ids.tolist()
    assert text.counts == file.counts
    assert text.counts.bytes == len(LINES)


DAMAGED = {
    "a.npy": (b"", "is empty"),
    "b.npy": (b"text", "no .npy file"),
    "a.bin": (b"abc", "has 3 bytes"),
    "a.uint32.bin": (b"abcdef", "has 6 bytes"),
}
ARRAYS = {
    "float": np.zeros(9),
    "int64": np.zeros(9, np.int64),
    "two dimensions": np.zeros((3, 3), np.uint16),
    "nothing": np.zeros(0, np.uint16),
    "big-endian": np.zeros(9, ">u2"),
    "objects": np.array([None, 1]),
}


@pytest.mark.parametrize("recipe", ["ngram", "lstm"])
@pytest.mark.parametrize("name", [*DAMAGED, *ARRAYS, "cut off"])
def test_damaged_files(name: str, recipe: str, tmp_path: Path) -> None:
    path = tmp_path / (name if name in DAMAGED else "a.npy")
    if name in DAMAGED:
        path.write_bytes(DAMAGED[name][0])
    elif name in ARRAYS:
        np.save(path, ARRAYS[name])
    else:
        np.save(path, np.arange(900, dtype=np.uint16))
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=DAMAGED[name][1] if name in DAMAGED else str(path)) as e:
        nextword.train(recipe, path, tmp_path / "run", overrides={"text.tokenizer": "ids"})
    assert "\n" not in str(e.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("recipe", ["ngram", "lstm"])
def test_a_bad_line_is_named(recipe: str, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text(LINES)
    bad.write_text(LINES + "1 2\n3 four\n5\n" + LINES)
    settings = {"text.tokenizer": "ids"} | SMALL[recipe]
    line = LINES.count("\n") + 2
    for train, valid in (([good, bad], [good]), ([good], [bad])):
        with pytest.raises(InputError, match=f"line {line} of '{bad}': 'four' is no id"):
            nextword.train(
                recipe, train, tmp_path / "run", valid=valid, overrides=settings, quiet=True
            )
    run = nextword.train(recipe, good, tmp_path / "run", overrides=settings, quiet=True)
    np.array([3, 60_000], "<u2").tofile(tmp_path / "high.bin")
    for data, message in (
        (bad, f"line {line} of"),
        (tmp_path / "high.bin", "high.bin': the id 60"),
    ):
        with pytest.raises(InputError, match=message):
            nextword.evaluate(run, data)
    with pytest.raises(InputError, match="line 2: 'x' is no id"):
        nextword.score(run, ["1 2", "x"])


def test_ids_for_words_are_refused(tmp_path: Path) -> None:
    """A file of ids is no text."""
    with pytest.raises(InputError, match=r"looks binary|not UTF-8"):
        nextword.train("ngram", written(tmp_path, ".npy"), tmp_path / "run")


# ------------------------------------------------------------------------------ every verb


@pytest.mark.parametrize("form", [".txt", ".npy", ".bin"])
@pytest.mark.parametrize("recipe", SMALL)
def test_verbs(recipe: str, form: str, tmp_path: Path, cli: Cli) -> None:
    data = written(tmp_path, form)
    settings = SMALL[recipe] | {"text.tokenizer": "ids", "text.end_id": END}
    run = tmp_path / "run"
    nextword.train(recipe, data, run, valid=data, overrides=settings, quiet=True)
    found = json.loads(cli("evaluate", run, "--data", data, "--json")[1])
    assert found["tokens"] == len(FLAT)
    assert found["bytes"] == len(LINES)
    bits = found["nll"] / math.log(2)
    assert found["bits_per_byte"] == pytest.approx(bits / found["bytes"])
    (tmp_path / "lines").write_text("3 1 4\n9 2\n")
    out = cli("score", run, tmp_path / "lines", "--json")[1]
    assert [json.loads(line)["tokens"] for line in out.splitlines()] == [4, 3]
    rows = nextword.generate(nextword.load(run), "3 1", tokens=6, seed=1).split()
    assert all(word.isdigit() for word in rows)
    status, out, err = cli("compare", run, run, "--data", data)
    assert status == 0, err
    more = SMALL[recipe]
    nextword.train(recipe, data, tmp_path / "more", start_from=run, overrides=more, quiet=True)
    if recipe == "ngram":
        arpa = tmp_path / "a.arpa"
        assert cli("export", run, "--format", "arpa", "--out", arpa)[0] == 0
        nll = nextword.evaluate(nextword.load(arpa), data).nll
        assert nll == pytest.approx(found["nll"], rel=1e-6)
