"""Training n-gram models: from text files to a run that every verb takes."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import nextword
from nextword.config import TextConfig
from nextword.errors import InputError
from nextword.generation.sample import stream_text
from nextword.generation.sampling import Sampling
from nextword.models.ngram import NgramLM
from nextword.ngram import storage
from nextword.ngram.storage import Appender
from nextword.ngram.table import LN10
from nextword.registry import names
from nextword.text.reader import blocks, open_texts
from nextword.text.tokenizer import EOS, UNK
from nextword.text.word import WordTokenizer
from nextword.training import by_counting, counted_text
from tests.support import LEARNT, Cli, snapshot

FILES = {"config.json", "metrics.jsonl", "model.safetensors", "tokenizer.json"}
CHINESE = "我喜歡吃蘋果。\n你喜歡吃蘋果嗎？\n他喜歡喝茶。\n" * 8


def zipf(words: int, types: int, seed: int = 1) -> str:
    """Lines of 1 to 20 words, frequent ones and rare ones, tokenised."""
    rng = np.random.default_rng(seed)
    drawn = (types * rng.random(words) ** 3).astype(int).tolist()
    ends = set(np.cumsum(rng.integers(1, 21, words)).tolist())
    parts = [f"w{word}{chr(10) if at in ends else ' '}" for at, word in enumerate(drawn, start=1)]
    return "".join(parts).rstrip() + "\n"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(zipf(4000, 300), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def other(text: Path) -> Path:
    """Another text: some words are not in the first, and it has no final newline."""
    path = text.parent / "other.txt"
    path.write_text(zipf(600, 350, seed=2) + "w1 w2 never w3", encoding="utf-8")
    return path


def fit(text: Path, out: Path, recipe: str = "ngram", **settings: Any) -> nextword.Run:
    valid = settings.pop("valid", ())
    start_from = settings.pop("start_from", None)
    overrides = {"model.order": 3} if recipe == "ngram" else {}
    overrides |= {key.replace("__", "."): value for key, value in settings.items()}
    return nextword.train(
        recipe, text, out, valid=valid, overrides=overrides, start_from=start_from, quiet=True
    )


def model(run: nextword.Run) -> NgramLM:
    assert isinstance(run.model, NgramLM)
    return run.model


def record(out: Path) -> dict[str, Any]:
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1
    found: dict[str, Any] = json.loads(lines[0])
    return found


def table_bytes(out: Path) -> bytes:
    return (out / "model.safetensors").read_bytes()


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


# ---------------------------------------------------------------- a run like any other


def test_evaluate_is_the_sum_of_the_table(text: Path, other: Path, tmp_path: Path) -> None:
    """Nothing is lost between the table's own scores and evaluate's nll; nor in the accuracy."""
    run = fit(text, tmp_path / "run")
    ids = np.array(run.tokenizer.encode(other.read_text(encoding="utf-8")))
    table = model(run).table
    scores, _, _ = table.score(ids)
    result = nextword.evaluate(run, other)
    assert result.tokens == len(ids)
    assert result.nll == pytest.approx(-float(scores.sum(dtype=np.float64)) * LN10, rel=1e-6)
    assert result.oov > 1
    states = np.empty(len(ids) + 1, np.int64)
    table.states(ids, table.start, states)
    best = np.array([int(np.argmax(table.distribution(int(s)))) for s in states[:-1]])
    assert result.accuracy == pytest.approx(float(np.mean(best == ids)))


def test_score_is_evaluate_of_the_line(text: Path, tmp_path: Path) -> None:
    """A sentence scores as a file with that line alone does."""
    run = fit(text, tmp_path / "run")
    lines = ["w0 w1 w2", "", "w3 never w0 w0 w1 w17", *text.read_text().split("\n")[:20]]
    for line, scored in zip(lines, nextword.score(run, lines), strict=True):
        result = nextword.evaluate(run, write(tmp_path / "line.txt", line + "\n"))
        assert -scored.log_prob == pytest.approx(result.nll, rel=1e-5), line
        assert (scored.tokens, scored.oov) == (result.tokens, result.oov)


def test_score_does_not_see_its_neighbours(text: Path, tmp_path: Path) -> None:
    """Beside a longer line a sentence scores as it does alone, impossible words or not."""
    run = fit(text, tmp_path / "run", model__smoothing="witten-bell")
    lines = ["w0", *text.read_text().split("\n")[:5]]
    together = [scored.log_prob for scored in nextword.score(run, lines)]
    alone = [nextword.score(run, [line])[0].log_prob for line in lines]
    assert together == pytest.approx(alone, rel=1e-6)


def test_score_without_smoothing_is_a_number(tmp_path: Path) -> None:
    """What is padded after a line may be impossible; the line is not."""
    text = write(tmp_path / "text.txt", "the cat\nthe cat sat on the mat\n")
    run = fit(text, tmp_path / "run", model__smoothing="maximum-likelihood")
    scored = nextword.score(run, ["the cat", "the cat sat on the mat"])
    assert all(math.isfinite(one.log_prob) for one in scored)


def test_compare_with_another_tokenizer(text: Path, other: Path, tmp_path: Path) -> None:
    """compare takes n-gram runs, of words and of characters, and a longer order wins."""
    pattern = write(tmp_path / "pattern.txt", "a b c d e f g h .\n" * 300)
    runs = [
        fit(pattern, tmp_path / "one", model__order=1),
        fit(pattern, tmp_path / "three"),
        fit(pattern, tmp_path / "chars", text__tokenizer="char", model__order=2),
    ]
    found = nextword.compare(runs, pattern)
    assert found.rows[0].name == "three"
    assert found.rows[-1].name == "one"
    assert found.significant


def test_generate(text: Path, tmp_path: Path) -> None:
    """One seed, one text; the greedy text follows the only continuation there is."""
    run = fit(text, tmp_path / "run")
    texts = [nextword.generate(run, "w0 w1", tokens=60, seed=seed) for seed in (4, 4, 5)]
    assert texts[0] == texts[1] != texts[2]
    pattern = write(tmp_path / "pattern.txt", "a b c d .\n" * 20)
    run = fit(pattern, tmp_path / "other")
    greedy = nextword.generate(run, "a b", tokens=7, temperature=0)
    assert greedy.split() == ["c", "d", ".", "a", "b", "c"]


def test_generate_never_says_unknown(tmp_path: Path) -> None:
    """Even where <unk> is the likeliest word by far it is only drawn if allowed."""
    rare = " ".join(f"x{at}" for at in range(300))
    text = write(tmp_path / "text.txt", f"{rare}\n{'a b a ' * 20}\n")
    run = fit(text, tmp_path / "run", text__min_count=2)
    for setting in (Sampling(), Sampling(temperature=0), Sampling(temperature=2, top_p=0.9)):
        assert "<unk>" not in "".join(stream_text(run, tokens=200, sampling=setting, seed=1))
    allowed = Sampling(allow_unk=True)
    assert "<unk>" in "".join(stream_text(run, tokens=200, sampling=allowed, seed=1))


def test_run_files(text: Path, tmp_path: Path) -> None:
    """A run has these files and no temporary ones, and `load` gives what `train` gave."""
    run = fit(text, tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    again = nextword.load(tmp_path / "run")
    np.testing.assert_array_equal(model(again).table.nodes, model(run).table.nodes)
    assert again.config == run.config
    assert again.parameters == run.parameters > 1000


def test_straight_to_an_arpa_file(cli: Cli, text: Path, other: Path, tmp_path: Path) -> None:
    """--out FILE.arpa gives what training a run and exporting it gives, and nothing beside it."""
    command = ["train", "ngram", "--train", text, "--set", "model.order=3", "--quiet"]
    for more in ([], ["--set", "train.memory=4GB"]):
        out = tmp_path / "direct.arpa"
        assert cli(*command, "--out", out, "--overwrite", *more) == (0, "", "")
        assert [path.name for path in tmp_path.iterdir() if path.name != "export"] == [out.name]
        (tmp_path / "export").mkdir(exist_ok=True)
        run = tmp_path / "export" / "run"
        exported = tmp_path / "export" / "run.arpa"
        assert cli(*command, "--out", run, "--overwrite", *more)[0] == 0
        assert (
            cli("export", run, "--format", "arpa", "--out", exported, "--overwrite", "--quiet")[0]
            == 0
        )
        assert out.read_bytes() == exported.read_bytes()
        found = [nextword.evaluate(nextword.load(path), other).nll for path in (out, run)]
        assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_arpa_file_is_not_overwritten(
    cli: Cli, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ARPA file at --out stays unless --overwrite is given, and then too if all does not go
    well; no folder, or a directory of that name with something in it, is refused."""
    out = write(tmp_path / "a.arpa", "\\data\\\nmine")
    (tmp_path / "b.arpa").mkdir()
    write(tmp_path / "b.arpa" / "precious.txt", "mine")
    command = ["train", "ngram", "--train", text, "--quiet", "--out"]
    for path, message in (("a.arpa", "exists"), ("b.arpa", "not a run"), ("no/c.arpa", "folder")):
        status, _, err = cli(*command, tmp_path / path)
        assert (status, err.count("\n")) == (2, 1)
        assert message in err
    monkeypatch.setattr(by_counting, "estimate", interrupted)
    assert cli(*command, out, "--overwrite")[0] == 130
    assert out.read_text() == "\\data\\\nmine"
    assert {path.name for path in tmp_path.iterdir()} == {"a.arpa", "b.arpa"}


# ---------------------------------------------------------------- what is counted


def test_all_of_the_text_is_counted(text: Path, other: Path, tmp_path: Path) -> None:
    """Nothing is held out: the probabilities are those of all files' words, to the last."""
    run = nextword.train(
        "ngram",
        [text, other],
        tmp_path / "run",
        overrides={"model.order": 1, "model.smoothing": "maximum-likelihood"},
        quiet=True,
    )
    whole = text.read_text() + other.read_text()
    counts = Counter(whole.split())
    tokens = sum(counts.values()) + whole.count("\n")
    assert record(tmp_path / "run")["tokens"] == tokens
    total = tokens + 1  # the last line has no newline; it ends all the same
    for word in ("w0", "w3", "never"):
        index = run.tokenizer.known(word)
        assert index is not None
        found = 10 ** float(model(run).table.distribution(0)[index])
        assert found == pytest.approx(counts[word] / total, rel=1e-5)


@pytest.mark.parametrize("tokenizer", LEARNT)
def test_valid_perplexity_is_evaluates(
    tokenizer: str, text: Path, other: Path, tmp_path: Path
) -> None:
    """metrics.jsonl has what evaluate says of the same text, unknown words included."""
    run = fit(text, tmp_path / "run", valid=other, text__tokenizer=tokenizer)
    found = record(tmp_path / "run")["valid_perplexity"]
    assert found == pytest.approx(nextword.evaluate(run, other).perplexity, rel=1e-5)
    fit(text, tmp_path / "without", text__tokenizer=tokenizer)
    assert table_bytes(tmp_path / "run") == table_bytes(tmp_path / "without")
    assert "valid_perplexity" not in record(tmp_path / "without")


def test_valid_perplexity_of_impossible_text(text: Path, tmp_path: Path) -> None:
    """Without smoothing a text with an unseen pair has infinite perplexity in both places."""
    first, last = text.read_text().split()[0], text.read_text().split()[-1]
    valid = write(tmp_path / "valid.txt", text.read_text() + f"{last} {last} {first} {first}\n")
    run = fit(
        text, tmp_path / "run", valid=valid, model__smoothing="maximum-likelihood", model__order=2
    )
    assert math.isinf(nextword.evaluate(run, valid).perplexity)
    found = record(tmp_path / "run")["valid_perplexity"]
    assert found is None or math.isinf(found)


@pytest.mark.parametrize("smoothing", names("smoothing"))
def test_every_smoothing_trains(smoothing: str, text: Path, tmp_path: Path) -> None:
    """After any context the probabilities add up to one."""
    run = fit(text, tmp_path / "run", model__smoothing=smoothing)
    table = model(run).table
    for prompt in ([], [EOS], [2, 3], [7, 2, 2]):
        state = table.advance(np.array(prompt, np.uint32), table.start)
        log10 = table.distribution(state).astype(np.float64)
        assert np.sum(10.0**log10) == pytest.approx(1, abs=1e-4)


@settings(max_examples=40)
@given(
    content=st.text(
        st.one_of(
            st.sampled_from("aabbAB \n\t.,'é\u0301中文Σİ\x1c\x85\xa0\u2028\u3000\u200b\x01\x7f\r"),
            st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
        ),
        min_size=1,
        max_size=80,
    ),
    lower=st.booleans(),
    strip_accents=st.booleans(),
    min_count=st.integers(1, 3),
    vocab_size=st.one_of(st.none(), st.integers(3, 12)),
)
@example(content="b a B A <unk> <eos> a", lower=True, strip_accents=True, min_count=1, vocab_size=4)
@example(
    content="\ufeffa a\r\nb <s> </s>",
    lower=False,
    strip_accents=False,
    min_count=2,
    vocab_size=None,
)
@example(
    content="longprefix1 longprefix2 longprefix3 longprefix",
    lower=False,
    strip_accents=False,
    min_count=1,
    vocab_size=4,
)
def test_fast_words_are_the_word_tokenizer(
    content: str, lower: bool, strip_accents: bool, min_count: int, vocab_size: int | None
) -> None:
    """The vocabulary built in compiled code gives the vocabulary, the file and the ids that
    `WordTokenizer` gives, whatever the characters."""
    with tempfile.TemporaryDirectory() as name:
        path = write(Path(name) / "text.txt", content)
        text = "".join(text for text, _ in blocks(open_texts([path])))
        config = TextConfig(
            tokenizer="word",
            split="whitespace",
            lower=lower,
            strip_accents=strip_accents,
            min_count=min_count,
            vocab_size=vocab_size,
        )
        slow = WordTokenizer.train([text], config)
        ids = slow.encode(text)
        assume(any(index != EOS for index in ids))
        run = fit(
            path,
            Path(name) / "run",
            model__order=1,
            **{
                f"text__{key}": value
                for key, value in config.model_dump(exclude={"vectors_scale"}).items()
            },
        )
        written = (Path(name) / "run" / "tokenizer.json").read_text(encoding="utf-8")
        assert json.loads(written) == json.loads(slow.to_json())
        assert run.tokenizer.fingerprint == slow.fingerprint
        assert record(Path(name) / "run")["tokens"] == len(ids)
        lexicon = model(run).lexicon
        assert lexicon is not None
        assert lexicon.ids(slow.fold(text)).tolist() == ids


def test_fast_words_of_a_long_text(tmp_path: Path) -> None:
    """The same over several blocks, more types than the first arrays hold, and ties."""
    content = "\n".join(zipf(150_000, 90_000, seed) for seed in (3, 4))
    path = write(tmp_path / "text.txt", content)
    run = fit(path, tmp_path / "run", model__order=1)
    slow = WordTokenizer.train([content], run.config.text)
    assert slow.vocab_size > 50_000
    assert json.loads((tmp_path / "run" / "tokenizer.json").read_text()) == json.loads(
        slow.to_json()
    )


TOKENIZERS: dict[str, dict[str, Any]] = {
    "char": {"text__tokenizer": "char"},
    "byte": {"text__tokenizer": "byte"},
    "bpe": {"text__tokenizer": "bpe", "text__vocab_size": 300},
    "words": {"text__split": "words"},
    "auto": {"text__split": "auto"},
    "whitespace": {},
}


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("content", [CHINESE, "A cat, a dog. The cat's mat!\n" * 20])
def test_every_tokenizer_trains(kind: str, content: str, tmp_path: Path) -> None:
    """Trained and evaluated on the same few lines repeated, any tokenizer predicts them well."""
    path = write(tmp_path / "text.txt", content)
    run = fit(path, tmp_path / "run", **TOKENIZERS[kind])
    ids = run.tokenizer.encode(content)
    assert record(tmp_path / "run")["tokens"] == len(ids)
    result = nextword.evaluate(run, path)
    assert result.tokens == len(ids)
    assert 1 <= result.perplexity < 3
    assert result.accuracy > 0.4
    assert nextword.generate(run, tokens=5, seed=1) == nextword.generate(run, tokens=5, seed=1)
    assert all(math.isfinite(s.log_prob) for s in nextword.score(run, content.split("\n")[:3]))


def test_chinese_characters_are_words(tmp_path: Path) -> None:
    path = write(tmp_path / "text.txt", CHINESE)
    run = fit(path, tmp_path / "run", text__split="words")
    assert run.tokenizer.known("蘋") is not None
    assert record(tmp_path / "run")["tokens"] == len(CHINESE)
    assert nextword.generate(run, "我喜", tokens=3, temperature=0) == "歡吃蘋"


def test_unigram_recipe(text: Path, tmp_path: Path) -> None:
    """(c + 1) / (N + V), whatever stands before."""
    run = fit(text, tmp_path / "run", "unigram", text__tokenizer="char")
    ids = np.array(run.tokenizer.encode(text.read_text()))
    counts = np.bincount(ids, minlength=run.tokenizer.vocab_size)
    wanted = (counts + 1) / (len(ids) + len(counts))
    np.testing.assert_allclose(10.0 ** model(run).table.distribution(0), wanted, rtol=1e-4)


# ---------------------------------------------------------------- a run's vocabulary


def test_from_a_recurrent_run(text: Path, other: Path, tmp_path: Path) -> None:
    """--from keeps the vocabulary: what the run does not know stays <unk>."""
    overrides = {"text.tokenizer": "word", "text.min_count": 5, "train.epochs": 1} | {
        "model.hidden": 8,
        "model.embedding": 8,
    }
    parent = nextword.train("lstm", text, tmp_path / "lstm", overrides=overrides, quiet=True)
    run = fit(other, tmp_path / "run", start_from=tmp_path / "lstm")
    assert run.tokenizer.fingerprint == parent.tokenizer.fingerprint
    assert run.config.text == parent.config.text
    ids = parent.tokenizer.encode(other.read_text())
    assert UNK in ids
    assert record(tmp_path / "run")["tokens"] == len(ids)
    lexicon = model(run).lexicon
    assert lexicon is not None
    assert lexicon.words() == [
        parent.tokenizer.token(index) for index in range(parent.tokenizer.vocab_size)
    ]
    assert nextword.evaluate(run, text).tokens == nextword.evaluate(parent, text).tokens
    with pytest.raises(InputError, match="leave text"):
        fit(other, tmp_path / "lower", start_from=tmp_path / "lstm", text__lower=True)
    assert not (tmp_path / "lower").exists()


@pytest.mark.parametrize("tokenizer", ["byte", "bpe", "char"])
def test_from_a_run_of_pieces(tokenizer: str, text: Path, other: Path, tmp_path: Path) -> None:
    """The same vocabulary whatever it consists of; the order is this recipe's own setting."""
    parent = fit(text, tmp_path / "parent", text__tokenizer=tokenizer)
    run = fit(other, tmp_path / "run", start_from=tmp_path / "parent", model__order=2)
    assert run.tokenizer.fingerprint == parent.tokenizer.fingerprint
    assert model(run).table.order == 2


# ---------------------------------------------------------------- memory bounds


BOUNDED: dict[str, dict[str, Any]] = {
    "default": {"model__order": 5},
    "unigram": {"model__order": 1},
    "bigram": {"model__order": 2, "model__interpolate": False},
    "pruned": {"model__order": 4, "model__prune": "0 0 1"},
    "witten-bell": {"model__smoothing": "witten-bell"},
    "jelinek-mercer": {"model__smoothing": "jelinek-mercer", "text__min_count": 2},
    "absolute": {"model__smoothing": "absolute-discounting", "text__vocab_size": 6000},
    "bpe": {"text__tokenizer": "bpe", "text__vocab_size": 600},
}


@pytest.fixture(scope="module")
def long_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "text.txt"
    path.write_text(zipf(40_000, 8000), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("memory", ["26MB", "1MB"])
def test_bounded_training_is_the_same(
    name: str, memory: str, long_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little memory there is, the model has the same bytes, and no file is left."""
    fit(long_text, tmp_path / "free", **BOUNDED[name])
    monkeypatch.setattr(storage, "resident", lambda: 0)
    monkeypatch.setattr(storage, "_LEAST", 0)
    seen = 0
    original = Appender.append

    def append(self: Appender, part: Any) -> None:
        nonlocal seen
        seen += self._file is not None
        original(self, part)

    monkeypatch.setattr(Appender, "append", append)
    fit(long_text, tmp_path / "bounded", train__memory=memory, **BOUNDED[name])
    assert seen >= (1 if name == "unigram" else 5)  # it did work on files
    assert table_bytes(tmp_path / "free") == table_bytes(tmp_path / "bounded")
    assert {path.name for path in (tmp_path / "bounded").iterdir()} == FILES
    first, second = record(tmp_path / "free"), record(tmp_path / "bounded")
    for key in ("tokens", "ngrams", "kept"):
        assert first[key] == second[key]
    for one, two in zip(first["parameters"], second["parameters"], strict=True):
        assert one == pytest.approx(two, rel=1e-9)


def test_bound_that_is_too_small(text: Path, tmp_path: Path) -> None:
    """The message names a bound, and that bound suffices."""
    command = [sys.executable, "-m", "nextword", "train", "ngram", "--train", str(text), "--quiet"]
    command += ["--out", str(tmp_path / "run"), "--set"]
    done = subprocess.run([*command, "train.memory=10MB"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "train.memory=10MB is too small" in done.stderr
    assert not list(tmp_path.iterdir())
    (named,) = re.findall(r"give at least (\d+MB)", done.stderr)
    done = subprocess.run([*command, f"train.memory={named}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_bound_that_is_too_small_for_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One word again and again cannot be split up; the bound that is named suffices."""
    monkeypatch.setattr(storage, "resident", lambda: 0)
    monkeypatch.setattr(storage, "_LEAST", 0)
    monkeypatch.setattr(storage, "threads", lambda: 2)
    path = write(tmp_path / "text.txt", "a " * 20_000)
    with pytest.raises(InputError, match="too small for this text") as error:
        fit(path, tmp_path / "run", train__memory="1MB")
    assert [found.name for found in tmp_path.iterdir()] == ["text.txt"]
    (named,) = re.findall(r"give about (\d+MB)", str(error.value))
    fit(path, tmp_path / "run", train__memory=named)
    fit(path, tmp_path / "free")
    assert table_bytes(tmp_path / "run") == table_bytes(tmp_path / "free")


def test_bound_of_nothing(cli: Cli, text: Path, tmp_path: Path) -> None:
    """0 bytes are too few, as 1 is."""
    status, _, err = cli(
        "train", "ngram", "--train", text, "--out", tmp_path / "run", "--set", "train.memory=0"
    )
    assert status == 2
    assert "too small" in err


def test_entropy_pruning_takes_no_bound(text: Path, tmp_path: Path) -> None:
    """A bound that cannot be kept is refused; without it pruning leaves n-grams out."""
    with pytest.raises(InputError, match=r"leave train\.memory out"):
        fit(text, tmp_path / "run", model__prune_entropy=1e-3, train__memory="2GB")
    assert not list(tmp_path.iterdir())
    fit(text, tmp_path / "run", model__prune_entropy=1e-3)
    found = record(tmp_path / "run")
    assert sum(found["kept"]) < sum(found["ngrams"])


_PEAK = """
import resource, subprocess, sys
status = subprocess.run([sys.executable, "-m", "nextword", *sys.argv[1:]]).returncode
print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss has other units")
def test_peak_memory(tmp_path: Path) -> None:
    """The process stays below its bound, which it needs more than without one; same model."""
    rng = np.random.default_rng(1)
    words = [f"w{word}" for word in np.minimum(rng.zipf(1.2, 2_000_000), 1_000_000).tolist()]
    lines = [" ".join(words[at : at + 15]) for at in range(0, len(words), 15)]
    text = write(tmp_path / "text.txt", "\n".join(lines) + "\n")
    peaks = {}
    for name, more in (("free", []), ("bounded", ["--set", "train.memory=300MB"])):
        command = ["train", "ngram", "--train", str(text), "--out", str(tmp_path / name), *more]
        command += ["--quiet", "--set", "model.order=4"]
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, *command], capture_output=True, text=True, check=True
        )
        status, kilobytes = map(int, done.stdout.split())
        assert status == 0, done.stderr
        peaks[name] = kilobytes / 1024
    assert peaks["bounded"] <= 300 < peaks["free"], peaks
    assert table_bytes(tmp_path / "bounded") == table_bytes(tmp_path / "free")


@pytest.mark.parametrize("bounded", [False, True])
def test_counting_needs_no_torch(bounded: bool, text: Path, tmp_path: Path) -> None:
    """torch takes seconds to import and hundreds of megabytes; counting does without."""
    code = (
        "import sys\nfrom nextword.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n"
        "    sys.exit(end.code or ('torch' in sys.modules) * 9)"
    )
    command = ["train", "ngram", "--train", str(text), "--valid", str(text), "--quiet"]
    command += ["--out", str(tmp_path / "run")]
    command += ["--set", "train.memory=1GB"] if bounded else []
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "model.safetensors").is_file()


# ---------------------------------------------------------------- strange texts


@pytest.mark.parametrize("memory", [None, "2GB"])
def test_one_word_again_and_again(memory: str | None, tmp_path: Path) -> None:
    """A text of a single type trains; that word is what comes next."""
    path = write(tmp_path / "text.txt", "word " * 1000)
    run = fit(path, tmp_path / "run", train__memory=memory)
    assert nextword.evaluate(run, path).perplexity < 1.05
    single = write(tmp_path / "single.txt", "word")
    fit(single, tmp_path / "single", train__memory=memory)
    assert record(tmp_path / "single")["tokens"] == 1


def test_a_line_of_a_million_words(tmp_path: Path) -> None:
    """A line that is longer than what is read at a time is one line all the same."""
    words = [f"word{at * at % 9973}" for at in range(1_000_000)]
    path = write(tmp_path / "text.txt", " ".join(words))
    assert path.stat().st_size > 4 << 20
    run = fit(path, tmp_path / "run")
    bigrams = set(pairwise(["\n", *words, "\n"]))
    found = record(tmp_path / "run")
    assert found["tokens"] == len(words)
    assert found["ngrams"][:2] == [len(set(words)) + 2, len(bigrams)]
    table = model(run).table
    index = run.tokenizer.encode(f"{words[500_000]} {words[500_001]}")
    assert table.find(index) is not None


def test_a_text_without_a_final_newline(text: Path, tmp_path: Path) -> None:
    """The last line ends with the text."""
    cut = write(tmp_path / "cut.txt", text.read_text().rstrip("\n"))
    tables = [model(fit(path, tmp_path / path.stem)).table for path in (text, cut)]
    np.testing.assert_array_equal(tables[0].nodes, tables[1].nodes)
    np.testing.assert_array_equal(tables[0].contexts, tables[1].contexts)


def test_windows_line_ends(text: Path, tmp_path: Path) -> None:
    """\\r\\n is \\n: the same run to the byte, with a byte-order mark in front of it too."""
    content = text.read_bytes().replace(b"\n", b"\r\n")
    fit(text, tmp_path / "unix")
    fit(write(tmp_path / "dos.txt", b"\xef\xbb\xbf" + content), tmp_path / "dos")
    for name in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / "unix" / name).read_bytes() == (tmp_path / "dos" / name).read_bytes()


def test_control_characters(tmp_path: Path) -> None:
    """Those that separate words in Python separate them here, unless text.split=ascii, which the
    recipe has, leaves it to the blanks of ASCII; the others are letters."""
    content = "a\x01b c\x1cd\x0be\x85f \x7f \u200b g\x1b[0m\n" * 3
    ascii_blanks = fit(write(tmp_path / "text.txt", content), tmp_path / "ascii")
    assert set(ascii_blanks.tokenizer.vocabulary[2:]) == {
        word.decode() for word in content.encode().split()
    }
    run = fit(tmp_path / "text.txt", tmp_path / "run", text__split="whitespace")
    words = set(content.split())
    assert {"a\x01b", "\x7f", "\u200b", "d", "e", "f"} <= words
    assert run.tokenizer.unknown(" ".join(words)) == []
    assert run.tokenizer.vocab_size == len(words) + 2
    assert nextword.generate(run, "a\x01b", tokens=3, temperature=0).split() == ["c", "d", "e"]


def test_boundaries_in_the_text_are_words(cli: Cli, tmp_path: Path) -> None:
    """<s> and </s> are kept as words, and that is said; <unk> and <eos> are what they are."""
    path = write(tmp_path / "text.txt", "<s> a b </s>\n<s> a <unk> </s>\n")
    status, _, err = cli("train", "ngram", "--train", path, "--out", tmp_path / "run")
    assert status == 0
    assert "<s> in the text is an ordinary word" in err
    assert "</s> in the text is an ordinary word" in err
    run = nextword.load(tmp_path / "run")
    vocabulary = {run.tokenizer.token(index) for index in range(run.tokenizer.vocab_size)}
    assert vocabulary == {"<unk>", "<eos>", "<s>", "</s>", "a", "b"}
    assert nextword.generate(run, tokens=2, temperature=0).split() == ["<s>", "a"]
    path = write(tmp_path / "one.txt", "a b </s>\n")
    err = cli("train", "ngram", "--train", path, "--out", tmp_path / "one")[2]
    assert "\n<s>" not in f"\n{err}"


# ---------------------------------------------------------------- what is said


def notes(cli: Cli, content: str, tmp_path: Path, *more: str) -> str:
    path = write(tmp_path / "text.txt", content)
    command = ["train", "ngram", "--train", path, "--out", tmp_path / "run", "--overwrite", *more]
    status, out, err = cli(*command)
    assert (status, out) == (0, "")
    return err


def test_fallback_discounts_are_named(cli: Cli, tmp_path: Path) -> None:
    """A text too small for its own discounts: a line for each order; a larger one has none."""
    err = notes(cli, "word " * 50, tmp_path, "--set", "model.order=4")
    found = re.findall(r"^order (\d): .*discounts 0\.5, 1, 1\.5$", err, re.M)
    assert found == ["1", "2", "3", "4"]
    kneser_ney = ("--set", "model.order=1", "--set", "model.smoothing=kneser-ney")
    assert "order 1: none was seen once: discounts 0.75" in notes(
        cli, "a a b b\na b", tmp_path, *kneser_ney
    )
    assert "order 1: none was seen twice" in notes(cli, "a b", tmp_path, *kneser_ney)
    err = notes(cli, zipf(20_000, 3000), tmp_path, "--set", "model.order=2")
    assert ": discounts" not in err
    parameters = record(tmp_path / "run")["parameters"]
    assert [parameter["D1"] for parameter in parameters] != [0.5, 0.5]


def test_notes_on_white_space(cli: Cli, tmp_path: Path) -> None:
    """Raw prose and Chinese text are told what to set; after setting it there is no note."""
    prose = "A cat, a dog. The cat's mat!\n" * 9
    assert "punctuation stays with them; --set text.split=words" in notes(cli, prose, tmp_path)
    chinese = notes(cli, CHINESE, tmp_path)
    assert "hardly any; --set text.split=words makes every Chinese character one" in chinese
    assert "punctuation" not in chinese
    for content in (prose, CHINESE):
        assert "white space" not in notes(cli, content, tmp_path, "--set", "text.split=words")
        assert "white space" not in notes(cli, content, tmp_path, "--set", "text.tokenizer=char")
    assert "white space" not in notes(cli, "the cat , the dog .\n" * 9, tmp_path)


def test_farewell_and_quiet(cli: Cli, text: Path, other: Path, tmp_path: Path) -> None:
    """The last line has the figures of the run and how to go on; --quiet says nothing."""
    command = ["train", "ngram", "--train", text, "--valid", other, "--set", "model.order=2"]
    status, out, err = cli(*command, "--out", tmp_path / "run")
    assert (status, out) == (0, "")
    last = err.strip().split("\n")[-1]
    found = record(tmp_path / "run")
    assert f"{found['tokens']:,} tokens" in last
    assert " + ".join(f"{kept:,}" for kept in found["kept"]) in last
    assert f"validation perplexity {found['valid_perplexity']:.2f}" in last
    assert f"nextword evaluate {tmp_path / 'run'} --data FILE" in last
    assert cli(*command, "--out", tmp_path / "quiet", "--quiet") == (0, "", "")


# ---------------------------------------------------------------- bad input


def make_bad_files(folder: Path) -> None:
    write(folder / "empty.txt", "")
    write(folder / "blank.txt", "   \n \t\n")
    write(folder / "spaces.txt", " \t ")
    write(folder / "eos.txt", "<eos> <eos>")
    write(folder / "latin.txt", b"caf\xc3\xa9 " * 10 + b"caf\xe9 ")
    write(folder / "binary.bin", bytes(range(1, 128)) + b"\0\1\2" * 100)
    (folder / "other").mkdir()
    write(folder / "other" / "precious.txt", "mine")


BAD = {
    "empty": ("--train empty.txt", "'empty.txt' is empty"),
    "blank": ("--train blank.txt", "no words in 'blank.txt'"),
    "ends of lines alone": ("--train eos.txt", "no words in 'eos.txt'"),
    "binary": ("--train binary.bin", "binary (a zero byte at offset 127)"),
    "not utf-8": ("--train latin.txt", "byte 0xe9 at offset 63"),
    "second file": ("--train TEXT --train latin.txt", "byte 0xe9 at offset 63"),
    "missing": ("--train nowhere.txt", "no file 'nowhere.txt'"),
    "blank valid": ("--train TEXT --valid spaces.txt", "no words in 'spaces.txt'"),
    "empty valid": ("--train TEXT --valid empty.txt", "'empty.txt' is empty"),
    "not utf-8 valid": ("--train TEXT --valid latin.txt", "offset 63"),
    "order 0": ("--train TEXT --set model.order=0", "model.order must be 1 or more, not 0"),
    "order 50": ("--train TEXT --set model.order=50", "model.order must be 16 or less, not 50"),
    "order a": (
        "--train TEXT --set model.order=three",
        "model.order must be a whole number, not 'three'",
    ),
    "smoothing": (
        "--train TEXT --set model.smoothing=kneser-nay",
        "unknown smoothing 'kneser-nay'; did you mean 'kneser-ney'?",
    ),
    "falls": ("--train TEXT --set|model.prune=0 2 1", "never falls"),
    "begins with 1": ("--train TEXT --set|model.prune=1 1", "begins with 0"),
    "one number": ("--train TEXT --set model.prune=1", "begins with 0"),
    "too many": ("--train TEXT --set|model.prune=0 0 1 1 --set model.order=3", "4 numbers"),
    "half a count": ("--train TEXT --set|model.prune=0 0.5", "a number per order"),
    "a list": ("--train TEXT --set|model.prune=[0, -1]", "model.prune: item 2 must be 0 or more"),
    "negative entropy": (
        "--train TEXT --set model.prune_entropy=-1",
        "model.prune_entropy must be 0 or more, not -1",
    ),
    "all entropy": ("--train TEXT --set model.prune_entropy=1", "less than 1"),
    "add nothing": ("--train TEXT --set model.add_k=0", "model.add_k must be more than 0, not 0"),
    "not a size": ("--train TEXT --set|train.memory=a lot", "'a lot' is not a size"),
    "negative size": ("--train TEXT --set train.memory=-5MB", "'-5MB' is not a size"),
    "small": ("--train TEXT --set train.memory=1MB", "give at least"),
    "entropy in little": (
        "--train TEXT --set train.memory=9GB --set model.prune_entropy=1e-6",
        "leave train.memory out",
    ),
    "another's setting": ("--train TEXT --set model.hidden=5", "unknown setting 'model.hidden'"),
    "from nothing": ("--train TEXT --from nowhere", "no run 'nowhere'"),
    "from arpa": ("--train TEXT --from a.arpa", "a.arpa"),
    "not a run": ("--train TEXT --out other", "holds something that is not a run"),
    "exists": ("--train TEXT --out RUN", "exists"),
}


@pytest.fixture(scope="module")
def run(text: Path) -> Path:
    fit(text, text.parent / "run")
    return text.parent / "run"


@pytest.mark.parametrize("name", BAD)
def test_bad_input(
    name: str, cli: Cli, run: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that says what is wrong, exit status 2, nothing written or changed."""
    make_bad_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    command, message = BAD[name]
    words = [
        part
        for word in re.split(r" (?=--)", command)
        for part in (word.split("|") if "|" in word else word.split())
    ]
    words = [str(text) if w == "TEXT" else str(run) if w == "RUN" else w for w in words]
    words += [] if "--out" in words else ["--out", "new"]
    before = snapshot(tmp_path), snapshot(run)
    status, out, err = cli("train", "ngram", "--quiet", *words)
    assert (status, out) == (2, ""), err
    assert err.startswith("nextword: ")
    assert err.count("\n") == 1
    assert message in err
    assert (snapshot(tmp_path), snapshot(run)) == before


def test_resume_is_refused(cli: Cli, run: Path) -> None:
    """There is nothing to go on from; the advice is what to do instead."""
    before = snapshot(run)
    with pytest.raises(InputError, match=r"made in one go.*--overwrite"):
        nextword.resume(run)
    status, _, err = cli("train", "--out", run, "--resume")
    assert status == 2
    assert "--overwrite" in err
    assert snapshot(run) == before


# ---------------------------------------------------------------- what goes wrong on the way


def interrupted(*args: Any, **kwargs: Any) -> Any:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
    raise AssertionError("Ctrl-C did not arrive")


@pytest.mark.parametrize("where", ["estimate", "encode_text", "_perplexity", "_summary"])
@pytest.mark.parametrize("memory", [[], ["--set", "train.memory=2GB"]])
def test_ctrl_c_leaves_what_was_there(
    where: str,
    memory: list[str],
    cli: Cli,
    text: Path,
    other: Path,
    tmp_path: Path,
    monkeypatch: Any,
) -> None:
    """Status 130, one line; the run at --out is as it was, and nothing lies beside it. Only after
    the new run has taken its place is it the new one."""
    command = ["train", "ngram", "--train", text, "--valid", other, "--out", tmp_path / "run"]
    command += ["--overwrite", "--quiet", *memory]
    assert cli(*command, "--set", "model.order=2")[0] == 0
    before = snapshot(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(by_counting, where, interrupted)
        status, out, err = cli(*command)
    assert (status, out) == (130, "")
    assert err == "nextword: stopped\n"
    if where == "_summary":
        assert json.loads((tmp_path / "run" / "config.json").read_text())["model"]["order"] == 5
        assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    else:
        assert snapshot(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def full(*args: Any, **kwargs: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("what", ["append", "reserve", "ids", "text"])
@pytest.mark.parametrize("exists", [False, True])
def test_no_space_left(
    what: str, exists: bool, cli: Cli, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up anywhere is one line and status 1, and everything is as it was."""
    command = ["train", "ngram", "--train", text, "--out", tmp_path / "run", "--overwrite"]
    command += ["--quiet", "--set", "train.memory=4GB"]
    if exists:
        assert cli(*command, "--set", "model.order=2")[0] == 0
    before = snapshot(tmp_path)
    if what == "append":
        monkeypatch.setattr(Appender, "append", full)
    elif what == "reserve":
        monkeypatch.setattr(os, "posix_fallocate", full)
    elif what == "ids":
        monkeypatch.setattr(counted_text._Sink, "add", full)
    else:
        monkeypatch.setattr(counted_text, "_write_words", full)
    status, out, err = cli(*command)
    assert (status, out) == (1, "")
    assert err.startswith("nextword: no space left on the disk")
    assert err.count("\n") == 1
    assert snapshot(tmp_path) == before


def test_two_trainings_at_once(text: Path, tmp_path: Path) -> None:
    """One wins, the other says so; the result is whole."""
    command = [sys.executable, "-m", "nextword", "train", "ngram", "--train", str(text), "--quiet"]
    command += ["--out", str(tmp_path / "run"), "--set", "model.order=2"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], errors
    assert sorted(error.count("\n") for error in errors) == [0, 1]
    assert math.isfinite(nextword.evaluate(nextword.load(tmp_path / "run"), text).nll)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_somebody_else_was_faster(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that appears while another is counted stays; the slower one gives up."""
    command = [sys.executable, "-m", "nextword", "train", "unigram", "--train", str(text)]
    command += ["--out", str(tmp_path / "run"), "--quiet", "--set", "text.tokenizer=char"]
    original = by_counting.estimate

    def slow(*args: Any, **kwargs: Any) -> Any:
        subprocess.run(command, check=True)
        return original(*args, **kwargs)

    monkeypatch.setattr(by_counting, "estimate", slow)
    with pytest.raises(InputError, match="exists"):
        fit(text, tmp_path / "run")
    assert nextword.load(tmp_path / "run").tokenizer.name == "char"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_batches_of_different_pasts(text: Path, tmp_path: Path) -> None:
    """Rows read side by side score as each does alone, whatever the targets: the model interface
    and the table agree."""
    run = fit(text, tmp_path / "run")
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, run.tokenizer.vocab_size, (3, 12), generator=generator)
    targets = torch.randint(0, run.tokenizer.vocab_size, (3, 12), generator=generator)
    start = run.model.start(3)
    together = run.model.score(ids, targets, start)
    logits = run.model.forward(ids, start).logits.log_softmax(-1)
    wanted = logits.gather(-1, targets[..., None])[..., 0]
    torch.testing.assert_close(together.log_prob, wanted, rtol=1e-4, atol=1e-4)
    for row in range(3):
        alone = run.model.score(ids[row : row + 1], targets[row : row + 1], run.model.start(1))
        torch.testing.assert_close(alone.log_prob[0], together.log_prob[row])
