"""KenLM's binary files: what is read and written is what KenLM itself says.

The files in tests/fixtures/kenlm are from `build_binary`, and answers.json from KenLM's Python
module; the README there has the commands. With the package `kenlm` installed, it reads our files.
"""

from __future__ import annotations

import copy
import io
import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nextword
from nextword.errors import InputError
from nextword.ngram import kenlm
from nextword.ngram.arpa_reading import read_arpa
from nextword.ngram.bits import pack, unpack
from nextword.ngram.hashed import places_of
from nextword.ngram.kenlm_header import read_header
from nextword.ngram.kenlm_reading import read_kenlm
from nextword.ngram.kenlm_words import hashes_of
from nextword.ngram.kenlm_writing import write_kenlm
from nextword.run import settings_of, tokenizer_of
from nextword.text.lexicon import Lexicon
from tests.support import Cli

FILES = Path(__file__).parents[1] / "fixtures" / "kenlm"
ARPA = FILES / "small.arpa"
ANSWERS: dict[str, Any] = json.loads((FILES / "answers.json").read_text(encoding="utf-8"))
SENTENCES: list[str] = ANSWERS["sentences"]
NAMES = [name for name in ANSWERS if name.endswith(".bin")]
EXACT = ("probing.bin", "trie.bin", "trie-array.bin")  # those without quantisation


def random_ids(size: int, seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, size, 200)


@pytest.mark.parametrize("name", NAMES)
def test_every_word_as_kenlm(name: str) -> None:
    """The probability of each word and the length of the n-gram found; marks in a text too."""
    model = kenlm.Model(FILES / name)
    assert model.order == 4
    for sentence, words in zip(SENTENCES, ANSWERS[name], strict=True):
        found = list(model.full_scores(sentence))
        assert [row[0] for row in found] == pytest.approx([row[0] for row in words], abs=1e-6)
        assert [row[1] for row in found] == [row[1] for row in words]
    wanted = [sum(log_prob for log_prob, _ in words) for words in ANSWERS[name]]
    assert model.score_many(SENTENCES).tolist() == pytest.approx(wanted, abs=2e-6)
    assert [model.score(text) for text in SENTENCES] == pytest.approx(wanted, abs=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_one_word_at_a_time(name: str) -> None:
    """States of the class: begun, copied, compared, and gone on from twice."""
    model, state, after = kenlm.Model(FILES / name), kenlm.State(), kenlm.State()
    for sentence, words in zip(SENTENCES[:6], ANSWERS[name], strict=False):
        model.BeginSentenceWrite(state)
        for word, (log_prob, length) in zip(sentence.split(), words, strict=False):
            before = copy.copy(state)
            found = model.BaseFullScore(state, word, after)
            assert found.log_prob == pytest.approx(log_prob, abs=1e-6)
            assert found.ngram_length == length
            model.BaseScore(before, word, before)
            assert before == after and hash(before) == hash(after)
            state = copy.copy(after)
    model.NullContextWrite(state)
    assert model.BaseScore(state, "the", after) == model.score("the", bos=False, eos=False)


@pytest.mark.parametrize("name", NAMES)
def test_wherever_a_run_is_read(name: str, tmp_path: Path, cli: Cli) -> None:
    """Every verb takes the file, whatever it is called."""
    path = tmp_path / "odd.arpa"  # known by its content
    shutil.copy(FILES / name, path)
    text = tmp_path / "text.txt"
    text.write_text("\n".join(line for line in SENTENCES if "<" not in line) + "\n")
    run = nextword.load(path)
    assert run.config.model.order == settings_of(path).model.order == 4
    assert tokenizer_of(path).same_ids(run.tokenizer)
    lines = text.read_text().splitlines()
    wanted = [ANSWERS[name][SENTENCES.index(line)] for line in lines]
    sums = [math.log(10) * sum(log_prob for log_prob, _ in words) for words in wanted]
    assert [found.log_prob for found in nextword.score(run, lines)] == pytest.approx(sums, abs=2e-5)
    status, out, _ = cli("evaluate", path, "--data", text, "--json")
    figures = json.loads(out)
    tokens = sum(map(len, wanted))
    assert status == 0 and figures["tokens"] == tokens
    assert figures["perplexity"] == pytest.approx(math.exp(-sum(sums) / tokens), rel=1e-4)
    assert 0 < figures["accuracy"] < 1
    assert cli("generate", path, "--prompt", "the", "--tokens", 5, "--seed", 1)[0] == 0
    assert cli("compare", path, ARPA, "--data", text)[0] == 0
    assert run.parameters == sum(run.model.table.sizes) + sum(run.model.table.sizes[:-1])  # type: ignore[attr-defined]


def test_hash_tables_answer_as_a_list_does() -> None:
    """Distributions, states and the most probable words of both forms of the same model."""
    hashed, lexicon = read_kenlm(FILES / "probing.bin")
    listed, words = read_kenlm(FILES / "trie.bin")
    assert sorted(lexicon.words()) == sorted(words.words())
    to_listed = np.array([words.id_of(word.encode()) for word in lexicon.words()])
    for seed in range(5):
        ids = random_ids(len(lexicon), seed)
        states, others = np.empty(201, np.int64), np.empty(201, np.int64)
        hashed.states(ids, hashed.start, states)
        listed.states(to_listed[ids], listed.start, others)
        assert hashed.advance(ids[:50], hashed.start) == states[50]
        for state, other in zip(states[::7].tolist(), others[::7].tolist(), strict=True):
            mine, theirs = hashed.distribution(state), listed.distribution(other)[to_listed]
            assert np.allclose(mine, theirs, atol=2e-6)
            each = [hashed.score(np.array([word]), state)[0][0] for word in range(len(lexicon))]
            assert np.allclose(mine, each, atol=2e-6)
            assert hashed.backed_off(state) == pytest.approx(listed.backed_off(other), abs=1e-6)
        best = np.array([hashed.distribution(state).argmax() for state in states.tolist()])
        assert np.array_equal(hashed.best(states), best)
        lines = np.concatenate([ids, [1]])
        for mine, theirs in zip(
            hashed.score_lines(lines), listed.score_lines(to_listed[lines]), strict=True
        ):
            assert np.allclose(mine, theirs, atol=1e-4)
    assert hashed.beginning == listed.beginning


def test_a_trie_is_the_model_that_it_was_made_of() -> None:
    """A trie has the n-grams of the ARPA file, with the same numbers to the last bit, and the ends
    of n-grams that the file lacks."""
    table, lexicon = read_arpa(ARPA)
    found, words = read_kenlm(FILES / "trie.bin")
    listed = found.listed()
    ids = np.array([words.id_of(word.encode()) for word in lexicon.words()])
    assert table.sizes == [68, 212, 216, 15] and listed.sizes == [68, 234, 223, 15]
    rng = random.Random(1)
    names = lexicon.words()
    for _ in range(300):
        text = [rng.randrange(2, len(names)) for _ in range(12)]
        a = table.score(np.array(text))[0]
        b = listed.score(ids[text])[0]
        assert np.allclose(a, b, atol=1e-6)
    assert np.isclose((10.0 ** listed.distribution(listed.start)).sum(), 1, atol=2e-2)


def test_hash_tables_cannot_be_listed(tmp_path: Path, cli: Cli) -> None:
    """What needs all n-grams says so, and writes nothing."""
    path = FILES / "probing.bin"
    valid = tmp_path / "valid.txt"
    valid.write_text("the cat\n" * 30)
    for words in (
        ["export", path, "--format", "arpa", "--out", tmp_path / "a.arpa"],
        ["export", path, "--format", "kenlm-trie", "--out", tmp_path / "a.bin"],
        ["train", "mixture", path, ARPA, "--valid", valid, "--out", tmp_path / "a.arpa", "--quiet"],
    ):
        status, out, err = cli(*words)
        assert (status, out) == (2, "") and err.count("\n") == 1
        assert "holds hashes of its n-grams" in err and "trie" in err
    assert [item.name for item in tmp_path.iterdir()] == ["valid.txt"]


def test_a_member_of_a_mixture(tmp_path: Path, cli: Cli) -> None:
    """Hash tables can be mixed with a model of the same words: nothing is listed for that."""
    valid = tmp_path / "valid.txt"
    valid.write_text("\n".join(SENTENCES[11:]) + "\n")
    run = ["train", "ngram", "--from", FILES / "probing.bin", "--train", valid]
    assert cli(*run, "--out", tmp_path / "own", "--quiet")[0] == 0
    both = ["train", "mixture", FILES / "probing.bin", tmp_path / "own", "--valid", valid]
    assert cli(*both, "--out", tmp_path / "mixed", "--quiet")[0] == 0
    assert cli("evaluate", tmp_path / "mixed", "--data", valid)[0] == 0


# ------------------------------------------------------------------------------------ written


def written(table: Any, lexicon: Lexicon, trie: bool) -> bytes:
    out = io.BytesIO()
    write_kenlm(table, lexicon, out, trie=trie)
    return out.getvalue()


@pytest.mark.parametrize("form", ["kenlm-probing", "kenlm-trie"])
def test_export_and_read_back(form: str, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "model.bin"
    assert cli("export", ARPA, "--format", form, "--out", out) == (0, "", "")
    model, original = kenlm.Model(out), kenlm.Model(ARPA)
    for sentence in SENTENCES:
        a = [row[0] for row in model.full_scores(sentence)]
        assert a == pytest.approx([row[0] for row in original.full_scores(sentence)], abs=1e-6)
    again = cli("export", ARPA, "--format", form, "--out", out)
    assert again[0] == 2 and "exists; add --overwrite" in again[2]
    assert cli("export", ARPA, "--format", form, "--out", out, "--overwrite")[0] == 0
    other = tmp_path / "other.txt"
    other.write_text("mine")
    refused = cli("export", ARPA, "--format", form, "--out", other, "--overwrite")
    assert refused[0] == 2 and "is not a binary file of KenLM" in refused[2]
    assert other.read_text() == "mine"


def test_the_bytes_of_build_binary() -> None:
    """A trie of ours is that of KenLM, but for the last bits of probabilities that it adds."""
    table, lexicon = read_arpa(ARPA)
    ours, theirs = written(table, lexicon, True), (FILES / "trie.bin").read_bytes()
    assert len(ours) == len(theirs)
    assert sum(a != b for a, b in zip(ours, theirs, strict=True)) <= 2
    found, words = read_kenlm(FILES / "trie-array.bin")
    assert written(found.listed(), words, True) == theirs


@pytest.mark.parametrize("form", ["kenlm-probing", "kenlm-trie"])
@pytest.mark.parametrize("kind", ["word", "char", "pruned"])
def test_kenlm_reads_our_files(form: str, kind: str, tmp_path: Path) -> None:
    """The package `kenlm` gives sentences the same scores as with the ARPA file."""
    original = pytest.importorskip("kenlm")
    text = tmp_path / "text.txt"
    rng = random.Random(7)
    words = ["the", "cat", "sat", "on", "a", "mat", "字", "在", ".", "dog", "ate"]
    lines = [" ".join(rng.choices(words, k=rng.randrange(1, 9))) for _ in range(500)]
    text.write_text("\n".join(lines[:200]) + "\n", encoding="utf-8")
    how = {"text.tokenizer": "char"} if kind == "char" else {"text.tokenizer": "word"}
    if kind == "pruned":
        how["model.prune"] = "0 0 1"
    how["model.order"] = "4"
    nextword.train("ngram", text, tmp_path / "run", overrides=how, quiet=True)
    run = nextword.load(tmp_path / "run")
    nextword.export(run, "arpa", tmp_path / "model.arpa")
    nextword.export(run, form, tmp_path / "model.bin")
    theirs = original.Model(str(tmp_path / "model.bin"))
    wanted = original.Model(str(tmp_path / "model.arpa"))
    ours = kenlm.Model(tmp_path / "model.bin")
    for line in [*lines[200:], "t h e <space> c a t", "\\<s> zebra"]:
        assert theirs.score(line) == pytest.approx(wanted.score(line), abs=1e-6)
        assert list(theirs.full_scores(line)) == list(wanted.full_scores(line))
        assert ours.score(line) == pytest.approx(theirs.score(line), abs=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_kenlm_itself_on_more_sentences(name: str) -> None:
    """The package `kenlm` and we, on the same files and some hundred sentences."""
    theirs = pytest.importorskip("kenlm").Model(str(FILES / name))
    ours = kenlm.Model(FILES / name)
    words, rng = [*ours.lexicon.words()[2:], "unseen"], random.Random(3)
    for _ in range(300):
        line = " ".join(rng.choices(words, k=rng.randrange(0, 12)))
        for bos in (True, False):
            a, b = list(ours.full_scores(line, bos=bos)), list(theirs.full_scores(line, bos=bos))
            assert [row[1:] for row in a] == [row[1:] for row in b]
            assert np.allclose([row[0] for row in a], [row[0] for row in b], atol=1e-6)


def test_what_a_binary_file_cannot_say(tmp_path: Path, cli: Cli) -> None:
    """Notes for the reader of the file: other cutting, odd tokens, a high order."""
    text = tmp_path / "text.txt"
    text.write_text("the cat sat\n" * 9)
    sets = ["--set", "text.tokenizer=char", "--set", "model.order=7"]
    assert cli("train", "ngram", "--train", text, "--out", tmp_path / "run", *sets)[0] == 0
    status, _, err = cli(
        "export", tmp_path / "run", "--format", "kenlm-trie", "--out", tmp_path / "a.bin"
    )
    assert status == 0
    for said in (
        "does not say how text becomes its tokens (char",
        "1 tokens are written",
        "order 7",
    ):
        assert said in err


def test_models_that_kenlm_cannot_read(tmp_path: Path) -> None:
    table, lexicon = read_arpa(ARPA)
    names = lexicon.words()
    with pytest.raises(InputError, match="zero byte"):
        written(table, Lexicon.of([*names[:-1], "a\0b"]), True)
    text = tmp_path / "text.txt"
    text.write_text("the cat sat\n" * 9)
    nextword.train("ngram", text, tmp_path / "run", overrides={"model.order": 1}, quiet=True)
    with pytest.raises(InputError, match="order 1"):
        nextword.export(nextword.load(tmp_path / "run"), "kenlm-trie", tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()


# ------------------------------------------------------------------------------------ bad files


def put(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


HEADER = 88  # the byte after the numbers of the machine
CHANGES: dict[str, tuple[int, bytes, str]] = {
    "another version": (48, b" 4\n", "version '4', version 5 is read"),
    "unfinished": (34, b"incomplete\n", "did not finish"),
    "another byte order": (60, b"\x3f\x80\0\0", "another byte order"),
    "rest costs": (HEADER + 8, b"\1", "rest costs"),
    "an unknown kind": (HEADER + 8, b"\x09", "of kind 9"),
    "another structure": (HEADER + 16, b"\7", "version 7 of KenLM's search structure"),
    "no words": (HEADER + 12, b"\0", "does not list its words"),
    "order 1": (HEADER, b"\1", "has order 1"),
    "order 99": (HEADER, b"\x63", "has order 99"),
    "too little room": (HEADER + 4, b"\0\0\0\0", "buckets per n-gram"),
    "endless room": (HEADER + 4, b"\0\0\x80\x7f", "buckets per n-gram"),
    "many unigrams": (HEADER + 20, b"\xff\xff\xff\x0f", "is cut off"),
    "more than fit": (HEADER + 28, b"\xff" * 8, "4 billion"),
}  # fmt: skip


@pytest.mark.parametrize("name", ["probing.bin", "trie-quantised-array.bin"])
@pytest.mark.parametrize("change", CHANGES)
def test_headers(name: str, change: str, tmp_path: Path) -> None:
    at, new, message = CHANGES[change]
    path = tmp_path / "model.bin"
    path.write_bytes(put((FILES / name).read_bytes(), at, new))
    with pytest.raises(InputError, match=message) as error:
        nextword.load(path)
    assert "\n" not in str(error.value)
    with pytest.raises(OSError, match=message):
        kenlm.Model(path)


@pytest.mark.parametrize("name", NAMES)
def test_cut_off(name: str, tmp_path: Path) -> None:
    """Wherever the file ends: one clear line, or, without its beginning, no file of KenLM."""
    data = (FILES / name).read_bytes()
    path = tmp_path / "model.bin"
    for size in [34, 60, 90, 110, 140, 600, *range(700, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match=r"cut off|damaged"):
            nextword.load(path)


def test_words_and_marks(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    data = (FILES / "trie.bin").read_bytes()
    for old, new, message in (
        (b"\0</s>\0", b"\0<ss>\0", "has no </s>"),
        (b"\0to\0", b"\0t\xff\0", "not UTF-8"),
        (b"\0to\0", b"\0<s>", "list of words"),
        (b"<unk>\0", b"<unk>x", "list of words"),
    ):
        assert old in data
        path.write_bytes(data.replace(old, new))
        with pytest.raises(InputError, match=message):
            nextword.load(path)


def test_full_hash_tables_and_odd_numbers(tmp_path: Path) -> None:
    """A search in a hash table without a free bucket would never end in KenLM."""
    path = tmp_path / "model.bin"
    data = (FILES / "probing.bin").read_bytes()
    places, _ = places_of(read_header(FILES / "probing.bin", np.frombuffer(data, np.uint8)))
    start, entries, width = (int(number) for number in places[1])
    full = b"\x01\0\0\0" * (entries * width)
    path.write_bytes(put(data, 4 * start, full))
    with pytest.raises(InputError, match="full hash table"):
        nextword.load(path)
    unigrams = 144 + 8 + 12 * 103
    path.write_bytes(put(data, unigrams, b"\0\0\xc0\x7f"))  # NaN
    with pytest.raises(InputError, match="no logarithms"):
        nextword.load(path)


# ------------------------------------------------------------------------------------ parts


@pytest.mark.parametrize(("first", "width", "more"), [(0, 1, 0), (3, 57, 7), (7, 31, 2), (5, 8, 1)])
def test_bits(first: int, width: int, more: int) -> None:
    """Packed fields against one large Python integer."""
    rng = random.Random(width)
    values = [rng.getrandbits(width) for _ in range(50)]
    stride = width + more
    data = np.zeros((first + 50 * stride) // 8 + 9, np.uint8)
    pack(data, first, stride, np.array(values, np.uint64))
    whole = sum(value << (first + index * stride) for index, value in enumerate(values))
    assert int.from_bytes(data.tobytes(), "little") == whole
    out = np.empty(50, np.uint64)
    unpack(data, first, stride, width, out)
    assert out.tolist() == values


def test_hashes_of_words() -> None:
    """The hashes in a trie are those of its words."""
    data = (FILES / "trie.bin").read_bytes()
    words = data[data.index(b"<unk>\0") :].decode().split("\0")[1:-1]
    stored = np.frombuffer(data, "<u8", len(words), 144 + 8)
    assert np.array_equal(hashes_of(Lexicon.of(words)), stored)


def test_the_benchmark_runs() -> None:
    """A row of the table of `benchmarks/kenlm_files.py`."""
    pytest.importorskip("kenlm")
    from benchmarks.kenlm_files import row

    cells = row("trie", FILES / "trie.bin", SENTENCES, 1).split("|")
    assert cells[1].strip() == "trie" and float(cells[4]) < 1e-6 and float(cells[5]) < 1e-5
