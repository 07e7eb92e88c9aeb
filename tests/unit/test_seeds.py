"""Several seeds of one training, and what chance does to the figures."""

from __future__ import annotations

import json
import math
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch

import nextword
from nextword.errors import InputError
from nextword.evaluation.seed_statistics import SeedStatistics, seed_statistics
from nextword.experiments.seeds import train_seeds
from nextword.run import seeds_of
from nextword.training.loop.journal import read_metrics
from tests.support import Cli

TINY = {
    "text.tokenizer": "word",
    "model.hidden": 8,
    "model.layers": 1,
    "train.epochs": 2,
    "train.batch_size": 4,
    "train.bptt": 8,
}
SETS = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("one two three four\nfive six seven\n" * 60, encoding="utf-8")
    return path


def test_statistics_by_hand() -> None:
    found = seed_statistics(
        [{"a": 1, "b": 2.0, "name": "x"}, {"a": 2, "b": 2.0}, {"a": 6, "b": 2.0}]
    )
    assert found.keys() == {"a", "b"}
    assert found["a"] == (3.0, pytest.approx(math.sqrt((4 + 1 + 9) / 2)))
    assert str(SeedStatistics(0.81234, 0.0123)) == "0.812 ± 0.012"
    assert str(SeedStatistics(94.291, 12.3)) == "94 ± 12"
    assert str(SeedStatistics(2.0, 0.0)) == "2" and str(SeedStatistics(2.5, math.nan)) == "2.5"
    assert str(SeedStatistics(1e300, 2e299)) == "1.00e+300 ± 2.00e+299"
    (infinite,) = seed_statistics([{"a": math.inf}, {"a": 1.0}]).values()
    assert infinite.mean == math.inf and str(infinite) == "inf"


def test_one_seed_has_no_deviation(text: Path, tmp_path: Path, cli: Cli) -> None:
    small = ["train", "lstm", "--train", text, "--out", tmp_path / "s", *SETS, "--quiet"]
    status, out, _ = cli(*small, "--seeds", 1)
    assert status == 0 and out.startswith("1 seed, ") and "±" not in out
    status, out, _ = cli("evaluate", tmp_path / "s", "--data", text)
    assert status == 0 and out.startswith("1 seed, no deviation") and "±" not in out


def test_each_seed_is_the_run_it_would_be_alone(text: Path, tmp_path: Path) -> None:
    figures = train_seeds("lstm", [text], tmp_path / "s", seeds=2, overrides=TINY, quiet=True)
    runs = seeds_of(tmp_path / "s")
    assert [run.name for run in runs] == ["seed1", "seed2"]
    alone = nextword.train(
        "lstm", text, tmp_path / "alone", overrides=TINY | {"train.seed": 2}, quiet=True
    )
    ours = nextword.load(runs[1])
    for name, tensor in alone.model.state_dict().items():
        assert torch.equal(tensor, ours.model.state_dict()[name])
    best = [min(r["valid_nll"] for r in read_metrics(run) if "valid_nll" in r) for run in runs]
    assert best[0] != best[1]
    assert figures["nll"].mean == pytest.approx(statistics.mean(best))
    assert figures["nll"].deviation == pytest.approx(statistics.stdev(best))


def test_the_same_command_goes_on(text: Path, tmp_path: Path, cli: Cli) -> None:
    """Finished runs stay as they are, an unfinished one is resumed, more are made."""
    command = ["train", "lstm", "--train", text, "--out", tmp_path / "s", *SETS, "--quiet"]
    assert cli(*command, "--seeds", 2)[0] == 0
    first, second = seeds_of(tmp_path / "s")
    weights = (first / "model.safetensors").read_bytes()
    shutil.rmtree(second)
    status, out, _ = cli(*command, "--seeds", 3)
    assert status == 0 and out.startswith("3 seeds") and "perplexity" in out and "±" in out
    assert (first / "model.safetensors").read_bytes() == weights
    assert [run.name for run in seeds_of(tmp_path / "s")] == ["seed1", "seed2", "seed3"]
    status, _, err = cli(*command, "--seeds", 3, "--set", "model.hidden=9")
    assert status == 2 and "other settings" in err
    assert cli(*command, "--seeds", 1, "--set", "model.hidden=9", "--overwrite")[0] == 0
    assert [run.name for run in seeds_of(tmp_path / "s")] == ["seed1"]


def test_overwriting_with_what_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    """Found out only when the labels are read."""
    good, bad = tmp_path / "good.tsv", tmp_path / "bad.tsv"
    good.write_text("a\tone two\nb\tthree four\n" * 30, encoding="utf-8")
    bad.write_text("a\tone\nno tab\n", encoding="utf-8")
    sizes = {"train.epochs": 1, "model.encoder.hidden": 8}
    train_seeds("classifier", [good], tmp_path / "s", seeds=1, overrides=sizes, quiet=True)
    weights = (tmp_path / "s" / "seed1" / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="no tab"):
        train_seeds("classifier", [bad], tmp_path / "s", seeds=1, overwrite=True, quiet=True)
    assert (tmp_path / "s" / "seed1" / "model.safetensors").read_bytes() == weights
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tsv", "good.tsv", "s"]


def test_evaluate_means(text: Path, tmp_path: Path, cli: Cli) -> None:
    train_seeds("lstm", [text], tmp_path / "s", seeds=2, overrides=TINY, quiet=True)
    status, out, _ = cli("evaluate", tmp_path / "s", "--data", text, "--json")
    assert status == 0
    result = json.loads(out)
    alone = [nextword.evaluate(nextword.load(run), text) for run in seeds_of(tmp_path / "s")]
    wanted = [one.perplexity for one in alone]
    assert [run["perplexity"] for run in result["runs"]] == pytest.approx(wanted)
    assert result["mean"]["perplexity"] == pytest.approx(statistics.mean(wanted))
    assert result["deviation"]["perplexity"] == pytest.approx(statistics.stdev(wanted))
    status, out, _ = cli("evaluate", tmp_path / "s", "--data", text)
    assert status == 0 and "2 seeds" in out and "perplexity" in out


@pytest.mark.parametrize(
    ("recipe", "arguments", "said"),
    [
        ("ngram", {}, "does not depend on a seed"),
        ("lstm", {"overrides": {"train.seed": 3}}, "sets train.seed itself"),
        ("lstm", {"seeds": 0}, "give 1 or more"),
        ("lstm", {"overrides": {"model.hiden": 3}}, "model.hidden"),
        ("lstm", {"valid": [Path("nowhere.txt")]}, "nowhere.txt"),
    ],
)
def test_what_is_refused(
    text: Path, tmp_path: Path, recipe: str, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        train_seeds(recipe, [text], tmp_path / "s", **({"seeds": 2, "quiet": True} | arguments))
    assert not (tmp_path / "s").exists()


def test_another_directory_is_left_alone(text: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "mine.txt").write_text("precious", encoding="utf-8")
    status, _, err = cli(
        "train", "lstm", "--train", text, "--out", tmp_path / "s", "--seeds", 2, "--overwrite"
    )
    assert status == 2 and "holds something else" in err
    assert (tmp_path / "s" / "mine.txt").read_text(encoding="utf-8") == "precious"


def test_other_verbs_name_a_run(text: Path, tmp_path: Path, cli: Cli) -> None:
    train_seeds("lstm", [text], tmp_path / "s", seeds=1, overrides=TINY, quiet=True)
    status, _, err = cli("generate", tmp_path / "s", "--prompt", "one")
    assert status == 2 and "seed1" in err and len(err.splitlines()) == 1
