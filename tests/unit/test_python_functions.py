"""The public functions that a verb calls give what the verb prints and writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import nextword
from nextword.errors import InputError
from tests.support import Cli

FOLDER = Path(__file__).parent.parent / "fixtures" / "earlier_runs"
TEXT = FOLDER / "train.txt"


def test_export(cli: Cli, tmp_path: Path) -> None:
    """The same bytes; another model and a wrong target are refused."""
    run = nextword.load(FOLDER / "ngram")
    nextword.export(run, "arpa", tmp_path / "python.arpa")
    call = ("export", FOLDER / "ngram", "--format", "arpa", "--out", tmp_path / "verb.arpa")
    assert cli(*call)[0] == 0
    assert (tmp_path / "python.arpa").read_bytes() == (tmp_path / "verb.arpa").read_bytes()
    nextword.export(nextword.load(FOLDER / "bert"), "hf", tmp_path / "hub")
    assert nextword.fill(nextword.load(tmp_path / "hub"), "the [MASK]").best
    with pytest.raises(InputError, match="--overwrite"):
        nextword.export(run, "arpa", tmp_path / "python.arpa")
    with pytest.raises(InputError, match="in no other format"):
        nextword.export(nextword.load(FOLDER / "lstm"), "arpa", tmp_path / "lstm.arpa")
    with pytest.raises(InputError, match="format"):
        nextword.export(run, "onnx", tmp_path / "model.onnx")


def test_inspect(cli: Cli, tmp_path: Path) -> None:
    runs = [nextword.load(FOLDER / name) for name in ("lstm", "gru")]
    found = nextword.inspect_gradients(runs, TEXT, length=5, samples=3)
    found.draw(tmp_path / "gradients.png")
    status, out, _ = cli(
        "inspect", FOLDER / "lstm", "gradients", "--with", FOLDER / "gru", "--data", TEXT,
        "--length", 5, "--samples", 3, "--out", tmp_path / "verb.png", "--json",
    )  # fmt: skip
    assert status == 0 and json.loads(out)["gradients"] == found.as_dict()["gradients"]
    translator = nextword.load(FOLDER / "transformer")
    seen = nextword.inspect_attention(translator, "one two")
    seen.draw(tmp_path / "attention.png", heads=True)
    status, out, _ = cli(
        "inspect", FOLDER / "transformer", "attention", "--source", "one two",
        "--out", tmp_path / "verb.png", "--json",
    )  # fmt: skip
    assert status == 0 and json.loads(out)["weights"] == seen.as_dict()["weights"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "gradients.png",
        "verb.png",
        "attention.png",
    }


def test_mix(cli: Cli, tmp_path: Path) -> None:
    members = [FOLDER / "mixture" / "members" / number for number in ("0", "1")]
    mixed = nextword.mix(members, tmp_path / "python", valid=TEXT, quiet=True)
    call = ("train", "mixture", *members, "--valid", TEXT, "--out", tmp_path / "verb", "--quiet")
    assert cli(*call)[0] == 0
    assert mixed.config == nextword.load(tmp_path / "verb").config
    assert nextword.evaluate(mixed, TEXT).perplexity > 1


def test_find_lr(cli: Cli, tmp_path: Path) -> None:
    small = {"model.hidden": 8, "model.embedding": 8}
    found = nextword.find_lr("lstm", TEXT, overrides=small, steps=10, low=1e-4, high=0.1)
    status, out, _ = cli(
        "find-lr", "lstm", "--train", TEXT, "--steps", 10, "--low", 1e-4, "--high", 0.1,
        "--set", "model.hidden=8", "--set", "model.embedding=8", "--out", tmp_path / "lr.png",
        "--json", "--quiet",
    )  # fmt: skip
    assert status == 0 and json.loads(out)["loss"] == pytest.approx(found.loss)


def test_generate_by_beam(cli: Cli) -> None:
    run = nextword.load(FOLDER / "lstm")
    text = nextword.generate(run, "the", tokens=4, beam=3)
    out = cli("generate", FOLDER / "lstm", "--prompt", "the", "--tokens", 4, "--beam", 3)[1]
    assert out == f"the{text}\n"
    assert nextword.generate_many(run, ["the", "the"], tokens=4, beam=3) == [text] * 2
    for more in ({"seed": 1}, {"temperature": 1.0}, {"top_k": 2}, {"precision": "fp32"}):
        with pytest.raises(InputError, match=f"leave out {next(iter(more))}"):
            nextword.generate(run, "the", beam=3, **more)  # type: ignore[arg-type]


def test_evaluate_seeds(cli: Cli, tmp_path: Path) -> None:
    small = {"model.hidden": 8, "model.embedding": 8, "train.epochs": 1, "train.batch_size": 2}
    out = tmp_path / "seeds"
    nextword.train_seeds("lstm", TEXT, out, seeds=2, overrides=small, quiet=True)
    found = nextword.evaluate_seeds(out, TEXT, cache=nextword.Cache(window=5))
    call = ("evaluate", out, "--data", TEXT, "--cache", "--cache-set", "window=5", "--json")
    said = json.loads(cli(*call)[1])
    assert said["mean"]["nll"] == found.statistics["nll"].mean
    assert [one["nll"] for one in said["runs"]] == [one["nll"] for one in found.as_dict()["runs"]]
    with pytest.raises(InputError, match="holds no runs of several seeds"):
        nextword.evaluate_seeds(FOLDER / "lstm", TEXT)


def test_recipes(cli: Cli) -> None:
    listed = {
        one["name"]: one["about"] for one in json.loads(cli("recipes", "--json")[1])["recipes"]
    }
    assert listed == nextword.list_recipes()
    keys = [one["key"] for one in json.loads(cli("recipes", "lstm", "--json")[1])["settings"]]
    tables = nextword.describe_recipe("lstm").values()
    assert keys == [setting.key for settings in tables for setting in settings]


def test_embed_is_what_out_writes(cli: Cli, tmp_path: Path) -> None:
    lines = TEXT.read_text(encoding="utf-8").splitlines()[:5]
    (tmp_path / "lines.txt").write_text("\n".join(lines), encoding="utf-8")
    call = ("embed", FOLDER / "lstm", tmp_path / "lines.txt", "--out", tmp_path / "v.npy")
    assert cli(*call)[0] == 0
    vectors = nextword.embed(nextword.load(FOLDER / "lstm"), lines)
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), vectors)
