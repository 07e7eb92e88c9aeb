"""Texts as vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nextword
from nextword.errors import InputError
from nextword.run import Run
from nextword.text.tokenizer import EOS
from nextword.text.wordpiece import CLS
from tests.support import Cli

LINES = ["one two three", "two", "", "three one seven seven two", "one two three"]
SIZES: dict[str, dict[str, Any]] = {
    "lstm": {"model.hidden": 8, "model.embedding": 8, "model.layers": 1, "train.bptt": 8},
    "transformer-lm": {"model.hidden": 8, "model.layers": 1, "model.heads": 2, "train.bptt": 8},
    "bert": {"model.hidden": 8, "model.layers": 1, "model.heads": 2, "train.bptt": 16},
}


@pytest.fixture(scope="module", params=SIZES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("embed")
    (folder / "text.txt").write_text("one two three\nfour five six seven\n" * 60, encoding="utf-8")
    name = request.param
    sizes = {"train.epochs": 1, "train.batch_size": 4} | SIZES[name]
    if name != "bert":
        sizes["text.tokenizer"] = "word"
    return nextword.train(name, folder / "text.txt", folder / name, overrides=sizes, quiet=True)


def test_the_mean_of_what_is_said_at_each_token(run: Run) -> None:
    """By hand, one text at a time: neither the others nor padding say anything."""
    found = nextword.embed(run, LINES)
    assert found.shape == (5, 8) and found.dtype == np.float32
    model: Any = run.model
    for text, vector in zip(LINES, found, strict=True):
        ids = run.tokenizer.encode(text)
        whole = [CLS, *ids, EOS] if run.config.model.name == "bert" else [EOS, *ids]
        with torch.no_grad():
            hidden = model.encode(torch.tensor([whole]), torch.ones(1, len(whole)).bool())[0]
        mean = hidden.mean(dim=0)
        np.testing.assert_allclose(vector, mean / mean.norm(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found[0], found[4], atol=1e-6)


def test_long_texts_are_cut(run: Run) -> None:
    context = run.model.context
    if context is None:
        pytest.skip("reads texts of any length")
    long = "one two three " * context
    longer = nextword.embed(run, [long, long + "seven"])
    np.testing.assert_allclose(longer[0], longer[1], atol=1e-6)


def test_no_texts(run: Run) -> None:
    assert nextword.embed(run, []).shape == (0, 8)


def test_commands(run: Run, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "t.txt").write_text("one two\nthree\n", encoding="utf-8")
    wanted = nextword.embed(run, ["one two", "three"])
    status, out, _ = cli("embed", run.folder, tmp_path / "t.txt")
    assert status == 0
    np.testing.assert_allclose(np.loadtxt(out.splitlines()), wanted, atol=1e-5)
    status, out, _ = cli("embed", run.folder, tmp_path / "t.txt", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in rows] == ["one two", "three"]
    np.testing.assert_allclose([row["vector"] for row in rows], wanted, atol=1e-5)
    status, _, err = cli("embed", run.folder, tmp_path / "t.txt", "--out", tmp_path / "v.npy")
    assert status == 0 and "2 vectors of 8 numbers" in err
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), wanted, atol=1e-6)
    status, _, err = cli("embed", run.folder, tmp_path / "t.txt", "--out", tmp_path / "v.npy")
    assert status == 2 and "--overwrite" in err
    assert cli("embed", run.folder, tmp_path / "t.txt", "--out", tmp_path / "v.txt")[0] == 2
    assert cli("embed", run.folder, tmp_path / "t.txt", "--overwrite")[0] == 2


def test_a_model_without_vectors(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("one two\n" * 20, encoding="utf-8")
    run = nextword.train("ngram", tmp_path / "text.txt", tmp_path / "n", quiet=True)
    with pytest.raises(InputError, match="no vectors of texts"):
        nextword.embed(run, ["one"])
