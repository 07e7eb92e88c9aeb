"""N-gram models of different vocabularies become one: the union of their words, weights by EM."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import nextword
from nextword.errors import InputError
from nextword.models.ngram import NgramLM
from nextword.ngram import kenlm
from nextword.ngram.merging import Member, union
from nextword.ngram.table import Table
from nextword.text.tokenizer import UNK
from nextword.training.mixture_weights import expectation_maximisation
from tests.support import Cli, command

ONE = "the cat sat on the mat\nthe dog ate\na cat sat\n" * 4
TWO = "the bird sat on a tree\nbirds sing on the tree\n" * 4
HELD = "the cat sat on a tree\nthe dog sat\nthe bird ate a worm\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """ARPA files of orders 3 and 2 of two texts, which share a few words."""
    for name, text, order in (("one", ONE, 3), ("two", TWO, 2)):
        (tmp_path / f"{name}.txt").write_text(text)
        nextword.train(
            "ngram",
            tmp_path / f"{name}.txt",
            tmp_path / name,
            overrides={"model.order": order, "model.smoothing": "witten-bell"},
            quiet=True,
        )
        command("export", tmp_path / name, "--format", "arpa", "--out", tmp_path / f"{name}.arpa")
    (tmp_path / "held.txt").write_text(HELD)
    return tmp_path


def table_of(run: nextword.Run) -> Table:
    assert isinstance(run.model, NgramLM)
    return run.model.table


def mixed(folder: Path, out: str, cli: Cli, *more: str) -> nextword.Run:
    members = (folder / "one.arpa", folder / "two.arpa")
    options = ("--valid", folder / "held.txt", "--out", folder / out)
    status, _, err = cli("train", "mixture", *members, *options, *more)
    assert status == 0, err
    return nextword.load(folder / out)


@pytest.mark.parametrize("out", ["mixed", "mixed.arpa", "mixed.arpa.gz"])
def test_one_model(out: str, cli: Cli, folder: Path) -> None:
    """The union of the words, all n-grams of both, and after every context of up to two words of
    the union probabilities that sum to one."""
    run = mixed(folder, out, cli)
    words = {run.tokenizer.token(i) for i in range(run.tokenizer.vocab_size)}
    assert words == {"<unk>", "<eos>"} | set(ONE.split()) | set(TWO.split())
    table = table_of(run)
    assert table.order == 3
    for context in itertools.product(range(len(words)), repeat=2):
        for some in (context, context[:1], ()):
            state = table.advance(np.array(some, np.uint32), 0)
            assert (10.0 ** table.distribution(state)).sum() == pytest.approx(1, abs=1e-5)
    assert nextword.score(run, ["the bird ate"])[0].oov == 0


def test_probabilities_are_mixed(cli: Cli, folder: Path) -> None:
    """Of an n-gram that a member has, p is the weighted sum; a word that a member lacks has none
    there, and is `<unk>` to it as context."""
    run = mixed(folder, "mixed.arpa", cli, "--set", "model.weights=[0.7, 0.3]")
    merged, one, two = (
        kenlm.Model(folder / name) for name in ("mixed.arpa", "one.arpa", "two.arpa")
    )

    def probability(model: kenlm.Model, words: str) -> float:
        state, answer = kenlm.State(), 0.0
        for word in words.split():
            answer = model.BaseScore(state, word, state)
        return 10**answer

    for words in ("the", "</s>", "<s> the", "sat on", "sat on the", "<unk>"):
        wanted = 0.7 * probability(one, words) + 0.3 * probability(two, words)
        assert probability(merged, words) == pytest.approx(wanted, rel=1e-4), words
    for words in ("the dog", "the cat", "cat sat on"):  # the second one knows neither animal
        wanted = 0.7 * probability(one, words)
        if words == "cat sat on":
            wanted += 0.3 * probability(two, "<unk> sat on")
        assert probability(merged, words) == pytest.approx(wanted, rel=1e-4), words
    assert probability(merged, "bird sat") == pytest.approx(
        0.7 * probability(one, "<unk> sat") + 0.3 * probability(two, "bird sat"), rel=1e-4
    )
    assert run.name == "mixed.arpa"


def test_weights_by_em(cli: Cli, folder: Path) -> None:
    """The weights are those that make the held-out text most probable."""
    mixed(folder, "mixed", cli)
    record = json.loads((folder / "mixed" / "metrics.jsonl").read_text())
    runs = [nextword.load(folder / f"{name}.arpa") for name in ("one", "two")]
    lexicon, maps = union([kenlm.Model(folder / f"{n}.arpa").lexicon for n in ("one", "two")])
    text = lexicon.ids(HELD)
    members = [Member(table_of(run), ids) for run, ids in zip(runs, maps, strict=True)]
    scores = np.stack([member.log_probs(text) for member in members], 1)
    assert np.isneginf(scores).any() and (text == UNK).sum() == 1
    assert record["weights"] == pytest.approx(expectation_maximisation(scores), abs=1e-6)
    best = np.exp(-np.logaddexp.reduce(scores + np.log(record["weights"]), 1).mean())
    assert record["valid_perplexity"] == pytest.approx(
        best, rel=0.2
    )  # backing off differs a little
    figures = nextword.evaluate(nextword.load(folder / "mixed"), folder / "held.txt")
    assert record["valid_perplexity"] == pytest.approx(figures.perplexity, rel=1e-4)
    assert figures.oov == 1


def test_a_model_with_itself_is_itself(cli: Cli, folder: Path) -> None:
    """Merging a model with itself changes no probability."""
    out = folder / "same.arpa"
    one = folder / "one.arpa"
    assert cli("train", "mixture", one, one, "--valid", folder / "held.txt", "--out", out)[0] == 0
    same, model = kenlm.Model(out), kenlm.Model(one)
    for line in (*HELD.splitlines(), "", "on on on", "mat the zebra cat"):
        assert same.score(line) == pytest.approx(model.score(line), abs=1e-4)


def test_what_cannot_be_merged(cli: Cli, folder: Path) -> None:
    """Other tokens, log-linear mixtures, and files that exist: one line each, nothing written."""
    nextword.train(
        "ngram",
        folder / "one.txt",
        folder / "char",
        overrides={"text.tokenizer": "char"},
        quiet=True,
    )
    held = ("--valid", folder / "held.txt")
    for members, more, message in (
        (("one.arpa", "char"), (), "(tokenizer=word, split=ascii, lower=False; tok"),
        (("one.arpa", "two.arpa"), ("--set", "model.kind=log-linear"), "model.kind=linear"),
    ):
        paths = [folder / name for name in members]
        status, _, err = cli("train", "mixture", *paths, *held, "--out", folder / "new.arpa", *more)
        assert status == 2 and message in err, err
        assert not (folder / "new.arpa").exists()
    members = [folder / "one.arpa", folder / "two.arpa"]
    status, _, err = cli("train", "mixture", *members, *held, "--out", folder / "two.arpa")
    assert status == 2 and "--overwrite" in err


def test_the_vocabulary_of_an_arpa_file(folder: Path) -> None:
    """--from gives a new model the words of an ARPA file, so that both can be mixed as they are."""
    run = nextword.train(
        "ngram", folder / "two.txt", folder / "new", start_from=folder / "one.arpa", quiet=True
    )
    assert run.tokenizer.same_ids(nextword.load(folder / "one.arpa").tokenizer)
    with pytest.raises(InputError, match="keeps that run's vocabulary"):
        nextword.train(
            "ngram",
            folder / "two.txt",
            folder / "other",
            start_from=folder / "one.arpa",
            overrides={"text.split": "words"},
            quiet=True,
        )
