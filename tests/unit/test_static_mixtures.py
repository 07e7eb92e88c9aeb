"""A linear mixture of n-gram models, exported as one model: against the equation, word by word."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

import nextword
from nextword.errors import InputError
from nextword.ngram import kenlm
from nextword.ngram.arpa_reading import read_arpa
from tests.support import Cli

WEIGHTS = (0.3, 0.7)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two n-gram runs of the same words and of different orders, their mixtures, and a text."""
    folder = tmp_path_factory.mktemp("static")
    rng = random.Random(1)
    words = ["the", "cat", "sat", "on", "a", "mat", "dog", "ate", ".", "字"]
    for name, share in (("a", words), ("b", words[::-1]), ("held", words)):
        weights = [2.0**-at for at in range(len(share))]
        lines = [" ".join(rng.choices(share, weights, k=rng.randrange(1, 7))) for _ in range(120)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    how = {"text.tokenizer": "word", "model.order": 3, "model.open": True}
    nextword.train("ngram", folder / "a.txt", folder / "a", overrides=how, quiet=True)
    low = {"model.order": 2, "model.smoothing": "witten-bell"}
    nextword.train(
        "ngram",
        folder / "b.txt",
        folder / "b",
        start_from=folder / "a",
        overrides=low,
        quiet=True,
    )
    for name, kind in (("mixed", "linear"), ("log", "log-linear")):
        nextword.mix(
            [folder / "a", folder / "b"],
            folder / name,
            overrides={"model.weights": list(WEIGHTS), "model.kind": kind},
            quiet=True,
        )
    return folder


def test_every_ngram_and_every_sum(home: Path, tmp_path: Path) -> None:
    """Each n-gram of a member has the mixed probability; after each context all words sum to 1."""
    out = tmp_path / "mixed.arpa"
    assert nextword.export(nextword.load(home / "mixed"), "arpa", out) is None
    for name in ("a", "b"):
        nextword.export(nextword.load(home / name), "arpa", tmp_path / f"{name}.arpa")
    members = [kenlm.Model(tmp_path / f"{name}.arpa") for name in ("a", "b")]
    mixed = kenlm.Model(out)
    assert mixed.order == 3
    grams: set[tuple[str, ...]] = set()
    for name in ("a", "b"):
        for line in (tmp_path / f"{name}.arpa").read_text(encoding="utf-8").splitlines():
            if line.count("\t"):
                grams.add(tuple(line.split("\t")[1].split(" ")))
    listed = {
        tuple(line.split("\t")[1].split(" "))
        for line in out.read_text(encoding="utf-8").splitlines()
        if line.count("\t")
    }
    assert listed == grams
    for gram in grams - {("<s>",)}:
        probs = [10 ** after(model, gram) for model in members]
        wanted = sum(w * p for w, p in zip(WEIGHTS, probs, strict=True))
        assert 10 ** after(mixed, gram) == pytest.approx(wanted, rel=1e-5), gram
    table, _ = read_arpa(out)
    for state in range(len(table.contexts) - 1):
        assert (10.0 ** table.distribution(state)).sum() == pytest.approx(1, abs=1e-5)


def after(model: kenlm.Model, gram: tuple[str, ...]) -> float:
    """log10 p of the last word of an n-gram after the words before it."""
    state, following = kenlm.State(), kenlm.State()
    if gram[0] == "<s>":
        model.BeginSentenceWrite(state)
    for word in gram[gram[0] == "<s>" : -1]:
        model.BaseScore(state, word, following)
        state, following = following, state
    return model.BaseScore(state, gram[-1], following)


@pytest.mark.parametrize("form", ["arpa", "kenlm-trie"])
def test_the_perplexities_are_stated(form: str, home: Path, tmp_path: Path, cli: Cli) -> None:
    """Before: that of the mixture; after: that of the file as it is read."""
    out = tmp_path / "mixed.arpa"
    words = ["export", home / "mixed", "--format", form, "--out", out]
    status, printed, err = cli(*words, "--data", home / "held.txt")
    assert (status, printed) == (0, "")
    before = nextword.evaluate(nextword.load(home / "mixed"), home / "held.txt").perplexity
    after = nextword.evaluate(nextword.load(out), home / "held.txt").perplexity
    assert f"perplexity: {before:.2f} as a mixture, {after:.2f} as one n-gram model" in err
    assert before != after and after == pytest.approx(before, rel=0.1)
    run = nextword.load(home / "mixed")
    found = nextword.export(run, form, out, data=home / "held.txt", overwrite=True)
    assert found == pytest.approx((before, after), rel=1e-6)


def test_a_mixture_of_one_model_is_that_model(home: Path, tmp_path: Path) -> None:
    """With the weights 1 and 0 nothing changes, to the precision of the numbers."""
    nextword.mix(
        [home / "a", home / "b"],
        tmp_path / "one",
        overrides={"model.weights": [1.0, 0.0]},
        quiet=True,
    )
    nextword.export(nextword.load(tmp_path / "one"), "arpa", tmp_path / "one.arpa")
    nextword.export(nextword.load(home / "a"), "arpa", tmp_path / "a.arpa")
    one, alone = kenlm.Model(tmp_path / "one.arpa"), kenlm.Model(tmp_path / "a.arpa")
    lines = (home / "held.txt").read_text(encoding="utf-8").splitlines()
    assert np.allclose(one.score_many(lines), alone.score_many(lines), atol=1e-4)


def test_what_is_no_list_of_ngrams(home: Path, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "x.arpa"
    with pytest.raises(InputError, match="log-linear"):
        nextword.export(nextword.load(home / "log"), "arpa", out)
    status, _, err = cli(
        *("export", home / "a", "--format", "arpa", "--out", out, "--data", home / "held.txt")
    )
    assert status == 2 and "is no mixture" in err
    nextword.train(
        "lstm",
        home / "a.txt",
        tmp_path / "lstm",
        start_from=home / "a",
        overrides={"model.hidden": 4, "train.epochs": 1},
        quiet=True,
    )
    both = tmp_path / "both"
    weights = {"model.weights": [0.5, 0.5]}
    nextword.mix([home / "a", tmp_path / "lstm"], both, overrides=weights, quiet=True)
    with pytest.raises(InputError, match="member 1 of the mixture is no n-gram model"):
        nextword.export(nextword.load(both), "arpa", out)
    assert not out.exists()
