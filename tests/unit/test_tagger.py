"""Tagged words, taggers of them, and how good those are."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import nextword
from nextword.config import TextConfig, TrainConfig
from nextword.data.tagged import Tagged
from nextword.errors import InputError
from nextword.evaluation.tagging import evaluate_tagger, in_spans, spans, tag, tag_quality
from nextword.models.tagger import Tagger, TaggerConfig
from nextword.objectives.classify import Classify
from nextword.run import Run
from nextword.text.corpus import Corpus, Counts
from nextword.text.tagged import NONE, encode_words, prepare_tagged, read_tagged, spaced
from nextword.text.tokenizer import EOS, train_tokenizer
from tests.support import LEARNT, Cli

V = 20
ENCODERS: dict[str, dict[str, Any]] = {
    "bidirectional": {"hidden": 8, "dropout_input": 0.0},
    "recurrent": {"hidden": 8},
    "bert": {"hidden": 8, "layers": 1, "heads": 2, "context": 30, "dropout_attention": 0.0},
}
TINY: dict[str, Any] = {
    "model.encoder.hidden": 16,
    "train.epochs": 8,
    "train.batch_size": 8,
    "optimizer.lr": 1e-2,
    "text.min_count": 1,
}


def draw(count: int, seed: int) -> str:
    """Names of one or two words among others: a name begins with Mr."""
    rng = random.Random(seed)
    lines = []
    for _ in range(count):
        for _ in range(rng.randint(2, 5)):
            if rng.random() < 0.4:
                lines += ["Mr\tB-PER", f"{rng.choice(['Bean', 'Fox', 'Toad'])}\tI-PER"]
            else:
                lines.append(f"{rng.choice(['saw', 'Bean', 'the', 'Fox', 'ran'])}\tO")
        lines.append("")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tagged")
    for name, count, seed in (("train", 300, 1), ("valid", 60, 2), ("test", 80, 3)):
        (folder / f"{name}.tsv").write_text(draw(count, seed), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return nextword.train(
        "tagger",
        folder / "train.tsv",
        folder / "run",
        valid=folder / "valid.tsv",
        overrides=TINY,
        quiet=True,
    )


# -------------------------------------------------------------------------------------------- text


def test_reading_conll(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("\nEU NNP B-ORG\nrejects VBZ O\n\n\nPeter\tB-PER\n", encoding="utf-8")
    found = list(read_tagged(path))
    assert [(s.line, s.words, s.tags) for s in found] == [
        (2, ("EU", "rejects"), ("B-ORG", "O")),
        (6, ("Peter",), ("B-PER",)),
    ]
    again = tmp_path / "b.tsv"
    again.write_text("".join(s.written for s in found), encoding="utf-8")
    assert [(s.words, s.tags) for s in read_tagged(again)] == [(s.words, s.tags) for s in found]


@pytest.mark.parametrize("text", ["a\tX\nalone\n", "a\tX\nb\t\n", "a X\n\tX\n"])
def test_a_word_without_a_tag(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2 .* no tag"):
        list(read_tagged(tmp_path / "a.tsv"))


def test_chinese_characters_stand_together() -> None:
    assert "".join(spaced(["我", "爱", "nextword", "很", "好"])) == "我爱 nextword 很好"


@pytest.mark.parametrize("name", LEARNT)
@pytest.mark.parametrize("words", [["The", "cats", "sat"], ["我", "爱", "猫"]])
def test_words_begin_where_they_begin(name: str, words: list[str]) -> None:
    """Every tokenizer: the ids are those of the running text, and the first piece is the word's."""
    text = "".join(spaced(words))
    tokenizer = train_tokenizer([f"{text}\n" * 30], TextConfig(tokenizer=name, vocab_size=300))
    ids, firsts = encode_words(tokenizer, words)
    assert ids[-1] == EOS and len(firsts) == len(words)
    assert tokenizer.decode(ids[:-1]) == tokenizer.decode(tokenizer.encode(text))
    edges = [*firsts[1:], len(ids) - 1]
    for word, first, edge in zip(words, firsts, edges, strict=True):
        piece = tokenizer.decode(ids[first:edge]).strip()
        assert piece.lower() == word.lower()


def prepared(tmp_path: Path, text: str, tags: tuple[str, ...] = ()) -> Any:
    path = tmp_path / "tagged.tsv"
    path.write_text(text, encoding="utf-8")
    words = ["".join(s.texts) + "\n" for s in read_tagged(path)]
    tokenizer = train_tokenizer(words, TextConfig(tokenizer="char"))
    return tokenizer, *prepare_tagged([path], tokenizer, tmp_path / "ids", tags)


def test_only_first_pieces_are_tagged(tmp_path: Path) -> None:
    tokenizer, corpus, tags = prepared(tmp_path, "ab\tY\nc\tX\n\nd\tX\n")
    assert tags == ["X", "Y"]
    assert tokenizer.decode(corpus.ids) == "ab c\nd\n"
    assert corpus.labels.tolist() == [1, NONE, NONE, 0, NONE, 0, NONE]


@pytest.mark.parametrize(
    ("text", "tags", "said"),
    [
        ("a\tX\nb\tX\n", (), "everything in .* is labelled 'X'"),
        ("a\tX\n\nb\tX\nc\tZ\n", ("X", "Y"), "line 4 .* 'Z'; there are: X, Y"),
        ("\n\n", ("X", "Y"), "no tagged words"),
    ],
)
def test_tags_that_are_refused(tmp_path: Path, text: str, tags: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        prepared(tmp_path, text, tags)


# ------------------------------------------------------------------------------------------ stream


@given(
    st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=8), min_size=1, max_size=12),
    st.integers(1, 4),
    st.integers(2, 9),
    st.integers(0, 9),
)
def test_every_word_once(sentences: list[list[int]], rows: int, bptt: int, seed: int) -> None:
    """Words of so many tokens: each tag stands in one batch, at its word's first token."""
    ids, tags, number = [], [], 0
    for words in sentences:
        for length in words:
            ids += [100 + number, *[2] * (length - 1)]
            tags += [number, *[NONE] * (length - 1)]
            number += 1
        ids.append(EOS)
        tags.append(NONE)
    seen = []
    for batch in Tagged(np.array(ids), np.array(tags), rows, bptt, seed=seed):
        assert batch.labels is not None and batch.real is not None
        assert batch.ids.shape[0] <= rows and batch.ids.shape[1] <= bptt
        there = batch.labels != NONE
        assert bool(batch.real[there].all())
        assert torch.equal(batch.ids[there], batch.labels[there] + 100)
        seen += batch.labels[there].tolist()
    assert sorted(seen) == list(range(number))


def test_sentences_of_similar_lengths_are_read_together() -> None:
    """Wherever they stand: those half as long again are in other batches."""
    lengths = [10, 16] * 32
    ids = np.concatenate([[*range(10, 9 + length), EOS] for length in lengths])
    tags = np.where(ids == EOS, NONE, 0)
    plain, first = (Tagged(ids, tags, 8, 20, **seed) for seed in ({}, {"seed": 0}))
    assert all(np.array_equal(a, b) for a, b in zip(plain.rows, first.rows, strict=True))
    for seed in range(3):
        for batch in Tagged(ids, tags, 8, 20, seed=seed):
            assert batch.real is not None and bool(batch.real.all())
            assert not batch.continues


def test_the_stream_needs_a_tag_for_every_token() -> None:
    ids = np.array([5, 6, EOS, 7, EOS])
    settings = TrainConfig(stream="tagged", bptt=8)
    for labels in (None, np.array([0, 1])):  # a label for each text is another task
        corpus = Corpus(ids, Counts(tokens=5), "test", labels=labels)
        with pytest.raises(InputError, match="needs a tagger"):
            Tagged.of(corpus, settings, 0)
    tagged = Corpus(ids, Counts(tokens=5), "test", labels=np.array([0, 1, NONE, 2, NONE]))
    assert sum(len(batch.ids) for batch in Tagged.of(tagged, settings, 0)) == 2


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(2, 9))
def test_a_piece_is_as_long_as_it_can_be(begins: list[bool], most: int) -> None:
    """Up to the last word that begins within `most` tokens; inside a word that is longer than
    that, at `most`; a sentence of just so many tokens is one piece."""
    ids = np.array([*range(10, 10 + len(begins)), EOS])
    tags = np.array([0 if begin else NONE for begin in begins] + [NONE])
    expected, start = [], 0
    while len(ids) - start > most:
        words = [place for place in range(start + 1, start + most + 1) if tags[place] != NONE]
        stop = max(words, default=start + most)
        expected.append(ids[start:stop].tolist())
        start = stop
    expected.append(ids[start:].tolist())
    found = [batch.ids[0].tolist() for batch in Tagged(ids, tags, 1, most, shuffle=False)]
    assert found == expected


@pytest.mark.parametrize(("wanted", "rows"), [(None, 6), (7, 7)])
def test_rows_are_those_set_or_go_by_the_sentences(wanted: int | None, rows: int) -> None:
    ids = np.array([5, 6, 7, 8, EOS] * 600)
    corpus = Corpus(ids, Counts(tokens=3000), "test", labels=np.where(ids == EOS, NONE, 0))
    settings = TrainConfig(stream="tagged", bptt=8, batch_size=wanted)
    assert max(len(batch.ids) for batch in Tagged.of(corpus, settings, 0)) == rows


# ------------------------------------------------------------------------------------------- model


def model(name: str, **settings: Any) -> Tagger:
    values = {"encoder": {"name": name} | ENCODERS[name], "labels": ["a", "b", "c"], "dropout": 0.0}
    torch.manual_seed(0)
    built = TaggerConfig(**(values | settings)).build(V)
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.3)
    return built.double().eval()


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_says_nothing(name: str) -> None:
    built = model(name)
    ids = torch.randint(2, V, (3, 7))
    lengths = [7, 3, 5]
    real = torch.arange(7) < torch.tensor(lengths)[:, None]
    whole = built(ids, real)
    assert whole.shape == (3, 7, 3)
    for row, length in enumerate(lengths):
        alone = built(ids[row : row + 1, :length], real[row : row + 1, :length])
        torch.testing.assert_close(alone[0], whole[row, :length])


def test_a_recurrent_encoder_does_not_look_ahead_and_a_bidirectional_one_does() -> None:
    ids = torch.randint(2, V, (1, 6))
    other = ids.clone()
    other[0, 4] = (ids[0, 4] - 2 + 1) % (V - 2) + 2
    real = torch.ones_like(ids, dtype=torch.bool)
    for name, ahead in (("recurrent", False), ("bidirectional", True), ("bert", True)):
        built = model(name)
        changed = (built(ids, real) - built(other, real)).abs().amax(dim=2)[0] > 1e-12
        assert bool(changed[:4].any()) is ahead and bool(changed[4])


def test_the_objective_counts_words() -> None:
    built = model("bidirectional")
    ids = np.array([5, 6, EOS, 7, 8, 9, EOS], dtype=np.uint16)
    tags = np.array([0, NONE, NONE, 2, 1, NONE, NONE])
    batch = Tagged(ids, tags, 2, 8, shuffle=False)[0]
    assert batch.labels is not None
    logits = built(batch.ids, batch.real).float()
    keep = batch.labels != NONE
    wanted = F.cross_entropy(logits[keep], batch.labels[keep], reduction="sum")
    terms, _ = Classify()(built, batch, None)
    torch.testing.assert_close(terms["nll"].total, wanted)
    assert terms["nll"].count == 3


def test_words_without_tags_teach_nothing() -> None:
    """A batch of none that are tagged has a loss of nought, not of nothing by nothing."""
    ids = np.array([5, 6, EOS])
    batch = Tagged(ids, np.full(3, NONE), 2, 8)[0]
    terms, _ = Classify()(model("bidirectional"), batch, None)
    assert all(float(term.total.detach()) / term.count == 0 for term in terms.values())


# --------------------------------------------------------------------------------------- measuring


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ("O B-X I-X O", {(1, 3, "X")}),
        ("B-X B-X I-Y", {(0, 1, "X"), (1, 2, "X"), (2, 3, "Y")}),
        ("I-X I-X", {(0, 2, "X")}),
        ("O O", set()),
        ("B-X O I-X", {(0, 1, "X"), (2, 3, "X")}),
    ],
)
def test_spans(tags: str, wanted: set[tuple[int, int, str]]) -> None:
    assert spans(tags.split()) == wanted


def test_span_f1_by_hand() -> None:
    """Two of three spans found, one of them of the right size; a span does not cross sentences."""
    names = ["B-X", "I-X", "O"]
    right = np.array([0, 1, 2, 0, 0, 1])
    answers = np.array([0, 1, 2, 0, 1, 1])
    quality, _, shares = tag_quality(right, answers, [3, 6], names)
    assert quality.accuracy == pytest.approx(5 / 6)
    assert quality.f1 == pytest.approx(2 * 1 / (3 + 2))
    assert shares.tolist() == [[2.0, 0.0], [2.0, 3.0]]
    one = tag_quality(np.array([0, 1]), np.array([0, 1]), [1, 2], names)[0]
    assert one.f1 == 1.0
    _, _, shares = tag_quality(right, answers, [3, 6], ["A", "B", "C"])
    assert shares.tolist() == [[3.0, 2.0], [3.0, 3.0]]
    assert not in_spans(["NN", "VB"]) and in_spans(names)


# ---------------------------------------------------------------------------------------- training


def test_it_learns_what_the_word_before_says(run: Run, folder: Path) -> None:
    result = evaluate_tagger(run, folder / "test.tsv")
    assert result.quality.accuracy > 0.97 and result.quality.f1 > 0.95
    assert sum(map(sum, result.confusion)) == result.words
    assert run.config.model.labels == ["B-PER", "I-PER", "O"]


def test_answers(run: Run) -> None:
    found = tag(run, ["the Mr Fox ran", "", "Fox"])
    assert found[0].words == ["the", "Mr", "Fox", "ran"]
    assert found[0].tags == ["O", "B-PER", "I-PER", "O"]
    assert found[1].words == [] and found[1].tags == []
    assert found[2].tags == ["O"] and len(found[2].probabilities) == 1
    assert tag(run, ["the Mr Fox ran"])[0].probabilities == pytest.approx(
        found[0].probabilities, abs=1e-6
    )


def test_commands(run: Run, folder: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "t.txt").write_text("Mr Toad ran\n\nthe Fox\n", encoding="utf-8")
    status, out, _ = cli("classify", folder / "run", tmp_path / "t.txt")
    assert status == 0 and out == "Mr\tB-PER\nToad\tI-PER\nran\tO\n\n\nthe\tO\nFox\tO\n\n"
    status, out, _ = cli("classify", folder / "run", tmp_path / "t.txt", "--json")
    assert [json.loads(line)["tags"] for line in out.splitlines()][2] == ["O", "O"]
    status, out, _ = cli("evaluate", folder / "run", "--data", folder / "test.tsv")
    assert status == 0 and "of whole spans" in out
    status, out, _ = cli("evaluate", folder / "run", "--data", folder / "test.tsv", "--json")
    assert json.loads(out)["accuracy"] > 0.97
    picture = tmp_path / "confusion.png"
    assert cli("evaluate", folder / "run", "--data", folder / "test.tsv", "--plot", picture)[0] == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    for verb in (["generate", "--prompt", "x"], ["evaluate", "--data", "README.md", "--cache"]):
        status, _, err = cli(verb[0], folder / "run", *verb[1:])
        assert status == 2 and "tags words" in err


def test_on_bert(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "text.txt").write_text("Mr Fox saw the Toad .\nthe Bean ran .\n" * 40)
    sizes = {"model.hidden": 64, "model.layers": 2, "model.heads": 2, "train.epochs": 1}
    nextword.train(
        "bert",
        tmp_path / "text.txt",
        tmp_path / "b",
        overrides=sizes | {"train.bptt": 24, "text.vocab_size": 80},
        quiet=True,
    )
    run = nextword.train(
        "bert-tagger",
        folder / "train.tsv",
        tmp_path / "run",
        start_from=tmp_path / "b",
        overrides={"train.epochs": 24, "optimizer.lr": 2e-3, "optimizer.layer_decay": 1.0},
        quiet=True,
    )
    assert evaluate_tagger(run, folder / "test.tsv").quality.accuracy > 0.9
    assert run.config.model.encoder["name"] == "bert"


def test_one_sentence_cannot_be_held_out(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("a\tX\nb\tY\n" * 30, encoding="utf-8")
    with pytest.raises(InputError, match=r"t.tsv' has too few examples"):
        nextword.train("tagger", tmp_path / "t.tsv", tmp_path / "run", quiet=True)


def test_held_out_and_balanced(tmp_path: Path, folder: Path, capfd: Any) -> None:
    run = nextword.train(
        "tagger",
        folder / "train.tsv",
        tmp_path / "run",
        overrides=TINY | {"train.epochs": 1, "objective.weights": "balanced"},
    )
    assert "held out" in capfd.readouterr().err
    weights = dict(zip(run.config.model.labels, run.config.objective.weights, strict=True))
    assert weights["O"] < weights["B-PER"]
