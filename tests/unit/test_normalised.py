"""Runs that normalise the text they read: as a setting of a training, or when they are used."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nextword
from nextword.config import TextConfig
from nextword.text.corpus import pieces
from nextword.text.huggingface import HuggingFaceTokenizer
from nextword.text.normalise import NORMALISATIONS, normalise
from nextword.text.normalised import NormalisedTokenizer
from nextword.text.sentencepiece_model import SentencePieceTokenizer
from nextword.text.tokenizer import EOS, Tokenizer, restore_tokenizer, train_tokenizer
from nextword.text.word import WordTokenizer
from tests.foreign import HF, SENTENCEPIECE, file_of, hf_json, sentencepiece_model
from tests.support import Cli

TEXT = "It's a cat, isn't it?\nThe dog's well-known: Ｃａｆé 12 中文，好。\n" * 5
KINDS = ["word", "char", "byte", "bpe", "wordpiece"]
HOWS = [how for how in NORMALISATIONS if how != "none"]


def trained(kind: str, how: str) -> Tokenizer:
    return train_tokenizer([TEXT], TextConfig(tokenizer=kind, normalise=how, vocab_size=320))


@cache
def cached(kind: str, how: str) -> Tokenizer:
    """A tokenizer of any kind that normalises, those of other libraries included."""
    if kind in KINDS:
        config = TextConfig(tokenizer=kind, normalise=how, vocab_size=330)
        return train_tokenizer([TEXT, "a b   b    b\n" * 20], config)
    if kind in HF:
        return NormalisedTokenizer(HuggingFaceTokenizer(hf_json(kind)), how)
    return NormalisedTokenizer(SentencePieceTokenizer(sentencepiece_model(kind)), how)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_the_normalised_text(kind: str, how: str) -> None:
    tokenizer = trained(kind, how)
    plain = train_tokenizer([normalise(TEXT, how)], TextConfig(tokenizer=kind, vocab_size=320))
    assert tokenizer.encode(TEXT) == plain.encode(normalise(TEXT, how))
    assert tokenizer.name == kind and f"normalise:{how}" in tokenizer.choices
    assert tokenizer.unknown("xyz ①") == plain.unknown(normalise("xyz ①", how))
    assert tokenizer.fingerprint != plain.fingerprint and not tokenizer.same_ids(plain)
    again = restore_tokenizer(json.loads(tokenizer.to_json()))
    assert again.encode(TEXT) == tokenizer.encode(TEXT) and again.same_ids(tokenizer)


@pytest.mark.parametrize("how", HOWS)
def test_spans_are_of_the_text_as_it_was_given(how: str) -> None:
    tokenizer = trained("word", how)
    text = "The dog's  well-known, Ｃａｆé\n"
    ids, spans = tokenizer.encode_with_spans(text)
    assert ids == tokenizer.encode(text)
    pieces = [text[start:end] for start, end in spans]
    assert pieces[0] == "The" and pieces[-1] in ("", "\n") and "".join(pieces[:2]) != "The"
    joined = "".join(pieces)
    assert "Ｃａｆé" in joined and "known" in joined
    if how == "tokenised":
        assert pieces == ["The", "dog", "'s", "well", "-", "known", ",", "Ｃａｆé", ""]


@given(st.text("aZé5 \n.,-'—ﬁ中。\u0301", max_size=30))
@pytest.mark.parametrize("how", HOWS)
def test_spans_are_inside_and_in_order(how: str, text: str) -> None:
    inner = WordTokenizer(["<unk>", "<eos>", "a"], "words", lower=False)
    ids, spans = NormalisedTokenizer(inner, how).encode_with_spans(text)
    assert ids == inner.encode(normalise(text, how))
    assert all(0 <= start <= end <= len(text) for start, end in spans)
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)


@given(
    st.lists(st.sampled_from([*"aZ5 \n.,'—．。", "  ", "\x07", "\u0301", "n't", "ﬁ", "\u00a0"])),
    st.integers(1, 4),
)
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("kind", [*KINDS, "byte-level", "sp-spaces"])
def test_parts_are_those_of_the_whole(kind: str, how: str, drawn: list[str], size: int) -> None:
    """A text that is cut between words, as `compare` does it, has the ids of the whole."""
    tokenizer = cached(kind, how)
    text = "".join(drawn)
    parts = list(pieces(text, size))
    rows = tokenizer.encode_parts(parts)
    assert [index for row in rows for index in row] == tokenizer.encode(text)
    assert [row.count(EOS) for row in rows] == [part.count("\n") for part in parts]


def test_a_mark_that_becomes_a_space() -> None:
    """`．` becomes `. `, and the cut after it would stand between two spaces."""
    parts = ["a．", "  b"]
    rows = cached("bpe", "ccnet").encode_parts(parts)
    tokens = [[cached("bpe", "ccnet").token(index) for index in row] for row in rows]
    assert tokens == [["a", "."], ["  ", " b"]]
    assert cached("bpe", "ccnet").encode_parts([]) == []


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", [*HF, *SENTENCEPIECE])
def test_tokenizers_of_other_libraries(
    name: str, how: str, tmp_path: Path, cli: Cli, raw: Path
) -> None:
    """A normalised text has the ids that the library gives to the normalised text, in training and
    in use; spans are of the text as it was given."""
    setting, _ = file_of(name, tmp_path)
    before = tmp_path / "before.txt"
    before.write_text(normalise(TEXT * 4, how), encoding="utf-8")
    run = train(raw, tmp_path / "run", normalise=how, tokenizer=setting)
    same = train(before, tmp_path / "same", tokenizer=setting)
    line = "The dog's well-known, isn't it: Ｃａｆé 12。"
    expected = nextword.score(same, [normalise(line, how)])[0]
    in_training, in_use = (
        nextword.score(run, [line])[0],
        nextword.score(same, [line], normalise=how)[0],
    )
    for found in (in_training, in_use):
        assert found.log_prob == pytest.approx(expected.log_prob)
        assert found.tokens == expected.tokens and found.text == line
    nll = nextword.evaluate(same, before).nll
    assert nextword.evaluate(run, raw).nll == pytest.approx(nll)
    assert nextword.evaluate(same, raw, normalise=how).nll == pytest.approx(nll)
    compared = nextword.compare([run], raw).rows[0].evaluation
    assert compared.nll == pytest.approx(nll) and compared.bytes == raw.stat().st_size
    rows = nextword.surprisal(run, [line], by="word")
    assert [row.text for row in rows] == [*line.split(), "<eos>"]
    assert sum(row.surprisal_bits for row in rows) == pytest.approx(
        -expected.log_prob / math.log(2)
    )
    (tmp_path / "line").write_text(f"{line}\n", encoding="utf-8")
    status, out, _ = cli(
        "score", tmp_path / "same", tmp_path / "line", "--normalise", how, "--json"
    )
    assert status == 0 and json.loads(out)["tokens"] == expected.tokens


def test_ids_are_no_text(tmp_path: Path, cli: Cli) -> None:
    text = tmp_path / "ids.txt"
    text.write_text("3 1 4 1 5\n9 2 6\n" * 9)
    with pytest.raises(nextword.InputError, match="has no text to normalise; leave"):
        train(text, tmp_path / "run", tokenizer="ids", normalise="nfkc")
    train(text, tmp_path / "run", tokenizer="ids")
    for verb in (["score", "RUN", text], ["evaluate", "RUN", "--data", text]):
        words = [tmp_path / "run" if word == "RUN" else word for word in verb]
        status, _, err = cli(*words, "--normalise", "ccnet")
        assert status == 2 and err.count("\n") == 1
        assert "'run' reads ids, so there is no text to normalise; leave --normalise out" in err
    with pytest.raises(nextword.InputError, match="no text to normalise"):
        nextword.compare([nextword.load(tmp_path / "run")], text, normalise="nfkc")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw.txt").write_text(TEXT * 4, encoding="utf-8")
    return tmp_path / "raw.txt"


def train(raw: Path, out: Path, **settings: str) -> nextword.Run:
    overrides = {f"text.{key}": value for key, value in settings.items()}
    return nextword.train("ngram", train=raw, out=out, overrides=overrides, quiet=True)


@pytest.mark.parametrize("how", HOWS)
def test_training_normalises_what_it_reads(how: str, raw: Path, tmp_path: Path) -> None:
    """The run has the scores of one that was trained on the normalised text; so has its ARPA."""
    run = train(raw, tmp_path / "run", normalise=how)
    before = tmp_path / "before.txt"
    before.write_text(normalise(raw.read_text(encoding="utf-8"), how), encoding="utf-8")
    same = train(before, tmp_path / "same")
    lines = ["It's a dog, isn't it?", "Ｃａｆé 99"]
    mine = nextword.score(run, lines)
    theirs = nextword.score(same, [normalise(line, how) for line in lines])
    assert [one.log_prob for one in mine] == pytest.approx([one.log_prob for one in theirs])
    nextword.export(run, "arpa", tmp_path / "m.arpa")
    arpa = nextword.score(nextword.load(tmp_path / "m.arpa"), lines)
    assert [one.log_prob for one in arpa] == pytest.approx([one.log_prob for one in mine], 1e-4)
    assert f"normalise:{how}" in nextword.evaluate(run, raw).signature
    assert nextword.evaluate(run, raw).as_dict()["bytes"] == raw.stat().st_size


def test_using_normalises_what_is_read(raw: Path, tmp_path: Path) -> None:
    tokenised = tmp_path / "tokenised.txt"
    tokenised.write_text(normalise(TEXT * 4, "tokenised"), encoding="utf-8")
    run = train(tokenised, tmp_path / "run")
    line = "The dog's well-known, isn't it?"
    plain, met = (
        nextword.score(run, [line])[0],
        nextword.score(run, [line], normalise="tokenised")[0],
    )
    assert plain.oov > 0 and met.oov == 0 and met.text == line
    assert met.log_prob == nextword.score(run, [normalise(line, "tokenised")])[0].log_prob
    figures = [nextword.evaluate(run, raw, normalise=how) for how in ("none", "tokenised")]
    assert figures[1].perplexity < figures[0].perplexity
    assert "normalise:tokenised" in figures[1].signature
    assert "normalise" not in figures[0].signature
    assert figures[1].nll == pytest.approx(nextword.evaluate(run, tokenised).nll)
    compared = nextword.compare([run], raw, normalise="tokenised")
    assert compared.rows[0].evaluation.nll == pytest.approx(figures[1].nll)


def test_a_run_that_normalises_takes_no_other_way(raw: Path, tmp_path: Path) -> None:
    run = train(raw, tmp_path / "run", normalise="ccnet")
    with pytest.raises(nextword.InputError, match=r"trained with text\.normalise=ccnet"):
        nextword.score(run, ["a"], normalise="nfkc")


@pytest.mark.parametrize("out", ["merged", "merged.arpa"])
@pytest.mark.parametrize("how", HOWS)
def test_runs_that_normalise_alike_are_merged(
    how: str, out: str, raw: Path, tmp_path: Path
) -> None:
    """The result normalises as they do, and is that of models of the normalised texts."""
    texts = {"one": raw.read_text(encoding="utf-8"), "two": "The bird's in Ｃａｆé 34，too.\n" * 20}
    for name, text in texts.items():
        for folder, written in (("raw", text), ("normal", normalise(text, how))):
            (tmp_path / f"{folder}-{name}.txt").write_text(written, encoding="utf-8")
        for folder, own in (("raw", how), ("normal", "none")):
            name_of = f"{folder}-{name}"
            text_file = tmp_path / f"{name_of}.txt"
            train(text_file, tmp_path / name_of, normalise=own, split="whitespace")
    weights = {"model.weights": [0.5, 0.5]}
    found = {}
    for folder in ("raw", "normal"):
        members = [tmp_path / f"{folder}-{name}" for name in texts]
        made = nextword.mix(members, tmp_path / f"{folder}-{out}", overrides=weights)
        found[folder] = nextword.load(tmp_path / f"{folder}-{out}")
        assert made.tokenizer.normalisation == (how if folder == "raw" else "none")
    line = "The bird's well-known: Ｃａｆé 12，isn't it?"
    mine = nextword.score(found["raw"], [line])[0]
    theirs = nextword.score(found["normal"], [normalise(line, how)])[0]
    assert mine.log_prob == pytest.approx(theirs.log_prob) and mine.oov == theirs.oov


def test_runs_that_normalise_differently_are_not_merged(raw: Path, tmp_path: Path) -> None:
    train(raw, tmp_path / "run", normalise="ccnet", split="words")
    train(raw, tmp_path / "other", split="words")
    with pytest.raises(nextword.InputError, match=r"'run' has text\.normalise=ccnet, 'other' none"):
        nextword.mix([tmp_path / "run", tmp_path / "other"], tmp_path / "m.arpa", valid=raw)


@pytest.mark.parametrize("form", ["arpa", "kenlm-probing", "kenlm-trie"])
def test_an_export_says_that_text_is_normalised(
    form: str, raw: Path, tmp_path: Path, cli: Cli
) -> None:
    """Once, and only if it is; an ARPA file says so in its comment too."""
    train(raw, tmp_path / "run", normalise="ccnet")
    train(raw, tmp_path / "plain")
    for name, times in (("run", 1), ("plain", 0)):
        out = tmp_path / f"{name}.arpa"
        _, _, err = cli("export", tmp_path / name, "--format", form, "--out", out)
        assert err.count("the model is of normalised text (text.normalise=ccnet)") == times
        if form == "arpa":
            assert ('"normalise": "ccnet"' in out.read_text(encoding="utf-8")) == bool(times)


def test_the_form_of_the_penn_treebank(tmp_path: Path) -> None:
    text = tmp_path / "penn.txt"
    text.write_text("he did n't go to the well-known n.y. bank 's\n" * 20, encoding="utf-8")
    run = train(text, tmp_path / "run")
    found = nextword.score(run, ["he didn't go to the well-known bank's"], normalise="tokenised")[0]
    assert found.oov == 0


def test_prose_for_a_run_of_tokenised_text_is_told(cli: Cli, raw: Path, tmp_path: Path) -> None:
    tokenised = tmp_path / "tokenised.txt"
    tokenised.write_text(normalise(TEXT * 4, "tokenised"), encoding="utf-8")
    train(tokenised, tmp_path / "run")
    train(raw, tmp_path / "prose", split="words")
    advice = "--normalise tokenised puts spaces round its punctuation"
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("It's a cat.\tIt's cat a.\n" * 20)
    for verb in (
        ["score", "RUN", raw],
        ["evaluate", "RUN", "--data", raw],
        ["evaluate", "RUN", "--minimal-pairs", pairs],
        ["compare", "RUN", "RUN", "--data", raw],
        ["compare", "RUN", "RUN", "--minimal-pairs", pairs],
    ):
        words = [tmp_path / "run" if word == "RUN" else word for word in verb]
        assert cli(*words)[2].count(advice) == 1, verb
        assert advice not in cli(*words, "--normalise", "tokenised")[2]
        words = [tmp_path / "prose" if word == "RUN" else word for word in verb]
        assert advice not in cli(*words)[2]
    assert advice not in cli("score", tmp_path / "run", tokenised)[2]
    both = cli("compare", tmp_path / "run", tmp_path / "prose", "--data", raw)[2]
    assert "'run' was trained on tokenised text" in both and "suits all of them" in both


@pytest.mark.parametrize(
    ("text", "is_tokenised"),
    [
        ("the king 's ball , was still . \n the sea @-@ side .\n", True),
        ("the king's ball, was still. the seaside.\n", False),
        ("▁the ▁king 's ▁ball , ▁was ▁still .\n", False),
        ("the ki@@ ng 's ba@@ ll , was st@@ ill .\n", False),
        ("ki ##ng 's ba ##ll , was still .\n", False),
        ("t h e _ k i n g , _ s t i l l .\n", False),
        ("明月 , 故乡 。 低头 思 故乡 ，\n", True),
        ("举头望明月。 低头思故乡。 。\n", False),
    ],
)
@pytest.mark.parametrize("form", ["arpa", "kenlm-probing", "kenlm-trie"])
def test_a_vocabulary_says_whether_its_text_was_tokenised(
    text: str, is_tokenised: bool, form: str, tmp_path: Path
) -> None:
    """Whatever the order of its words, which is that of hashes in a binary file of KenLM."""
    (tmp_path / "text.txt").write_text(text * 9, encoding="utf-8")
    run = train(tmp_path / "text.txt", tmp_path / "run", split="ascii")
    nextword.export(run, form, tmp_path / "m.arpa")
    for one in (run, nextword.load(tmp_path / "m.arpa")):
        assert one.tokenizer.reads_tokenised == is_tokenised
