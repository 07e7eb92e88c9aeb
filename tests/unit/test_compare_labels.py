"""`compare` for classifiers and taggers: ranks, intervals, p-values, and the verb."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nextword
from nextword.config import Config
from nextword.errors import InputError
from nextword.evaluation.bootstrap import p_value
from nextword.evaluation.cache import Cache
from nextword.evaluation.classification import ClassifierEvaluation, Quality, measure
from nextword.evaluation.compare_labels import compare_labels
from nextword.evaluation.tagging import TaggerEvaluation, tag_quality
from nextword.run import Run
from tests.support import Cli


def run_of(name: str, model: str) -> Run:
    """A run of which only the name and the settings are looked at."""
    recipe: dict[str, Any] = {
        "classifier": {"stream": "labelled"},
        "tagger": {"stream": "tagged"},
    }
    config = Config.parse(
        {
            "model": {"name": model, "encoder": {"name": "bidirectional"}},
            "train": recipe[model],
            "objective": {"name": "classify"},
        }
    )
    return Run(name, config, None, None)  # type: ignore[arg-type]


def classifier_of(right: Any, answers: Any) -> ClassifierEvaluation:
    quality, confusion = measure(right, answers, 2)
    shares = np.stack([right == answers, np.ones(len(right))])
    return ClassifierEvaluation(
        quality, 1.0, ["a", "b"], confusion.tolist(), len(right), 0, 10, 1.0, shares
    )


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`compare_labels` for evaluations that are given."""

    def compare(model: str, evaluations: dict[str, Any]) -> Any:
        runs = [run_of(name, model) for name in evaluations]
        return compare_labels(runs, list(evaluations.values()))

    return compare


def test_ranked_by_accuracy(compared: Callable[..., Any]) -> None:
    """Best first; every figure inside its interval, whose width is that of a binomial's."""
    rng = np.random.default_rng(0)
    right = rng.integers(0, 2, 600)
    found = {
        name: classifier_of(right, np.where(rng.random(600) < share, right, 1 - right))
        for name, share in (("poor", 0.6), ("good", 0.9), ("fair", 0.75))
    }
    result = compared("classifier", found)
    assert [row.name for row in result.rows] == ["good", "fair", "poor"]
    assert result.metric == "accuracy" and result.significant
    for row in result.rows:
        accuracy = row.evaluation.quality.accuracy
        low, high = row.interval
        assert low < accuracy < high
        wanted = 2 * 1.96 * np.sqrt(accuracy * (1 - accuracy) / 600)
        assert high - low == pytest.approx(wanted, rel=0.1)


def test_the_pairing_counts(compared: Callable[..., Any]) -> None:
    """A few texts that only one run has right, and none that only the other has: a difference
    within both intervals is one nevertheless. As many on either side: none."""
    right = np.zeros(400, dtype=int)
    base = (np.arange(400) % 4 == 0).astype(int)  # a quarter wrong
    better = base.copy()
    better[np.flatnonzero(base)[:12]] = 0
    result = compared(
        "classifier", {"a": classifier_of(right, base), "b": classifier_of(right, better)}
    )
    first, second = result.rows
    assert first.name == "b" and first.interval[0] < second.interval[1]
    assert result.p_value < 0.001
    other = better.copy()
    other[np.flatnonzero(base == 0)[:12]] = 1
    result = compared(
        "classifier", {"a": classifier_of(right, base), "c": classifier_of(right, other)}
    )
    assert result.p_value > 0.5 and not result.significant


def test_one_run_and_twins(compared: Callable[..., Any]) -> None:
    right = np.array([0, 1, 1] * 10)
    one = classifier_of(right, np.array([0, 1, 0] * 10))
    assert compared("classifier", {"a": one}).p_value is None
    assert compared("classifier", {"a": one, "b": one}).p_value == 1.0


@pytest.mark.parametrize("texts", [1, 2, 4, 19, 20])
def test_few_texts_have_no_intervals_and_no_test(texts: int, compared: Callable[..., Any]) -> None:
    right = np.zeros(texts, dtype=int)
    answers = np.arange(texts) % 3 % 2
    found = {"a": classifier_of(right, answers), "b": classifier_of(right, 1 - answers)}
    result = compared("classifier", found)
    told = "no confidence intervals and no test: they need at least 20 texts (here: "
    assert any(note.startswith(told) for note in result.notes()) == (texts < 20)
    for row, cells in zip(result.rows, result.table()[1], strict=True):
        assert (row.interval is None) == (texts < 20) == ("-" in cells)
    assert (result.p_value is None) == (texts < 20)
    assert result.significant is False or texts == 20


def test_all_right_has_no_interval(compared: Callable[..., Any]) -> None:
    """Texts that are all right say nothing of how often the next one is wrong."""
    right = np.array([0, 1] * 30)
    result = compared("classifier", {"a": classifier_of(right, right)})
    assert result.rows[0].interval is None and "-" in result.table()[1][0]
    assert result.notes() == ["- in place of an interval: all texts have the same figure"]


def test_taggers_of_spans_by_f1(compared: Callable[..., Any]) -> None:
    """The one with the better spans comes first though it has fewer tags right."""
    names = ["B-X", "I-X", "O"]
    sentence = np.array([0, 1, 1, 2, 2, 2, 2, 2, 0, 2])
    whole = np.array([2, 2, 2, 2, 2, 2, 2, 2, 0, 2])  # one of two spans, seven tags
    parts = np.array([0, 1, 2, 2, 2, 2, 2, 2, 0, 0])  # one of three, eight tags
    found = {}
    for name, answers in (("parts", parts), ("whole", whole)):
        right = np.tile(sentence, 50)
        ends = list(range(10, 501, 10))
        quality, confusion, shares = tag_quality(right, np.tile(answers, 50), ends, names)
        found[name] = TaggerEvaluation(
            quality, 1.0, names, confusion.tolist(), 500, 10, 1.0, shares
        )
    assert found["parts"].quality.accuracy > found["whole"].quality.accuracy
    result = compared("tagger", found)
    assert result.metric == "f1" and [row.name for row in result.rows] == ["whole", "parts"]
    for row in result.rows:
        assert row.interval is None  # all sentences are alike
    assert {"f1_interval", "run", "accuracy"} <= result.as_dict()["runs"][0].keys()


def test_taggers_without_spans_by_accuracy(compared: Callable[..., Any]) -> None:
    right, answers = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
    quality, confusion, shares = tag_quality(right, answers, [1, 4], ["N", "V"])
    one = TaggerEvaluation(quality, 1.0, ["N", "V"], confusion.tolist(), 4, 10, 1.0, shares)
    better = replace(one, quality=Quality(1.0, 1.0, 1.0), shares=np.array([[1.0, 3.0]] * 2))
    result = compared("tagger", {"a": one, "b": better})
    assert result.metric == "accuracy" and result.rows[0].name == "b"
    assert [row.interval for row in result.rows] == [None, None]


def test_p_value_of_a_resampled_difference() -> None:
    """Twice the smaller side, no less than one sample's worth, no more than one."""
    values = np.array([-1.0] * 100 + [1.0] * 9900)
    assert p_value(values, 50) == pytest.approx(0.02)
    assert p_value(-values, 50) == pytest.approx(0.02)
    assert p_value(np.linspace(1, 2, 10_000), 50) == pytest.approx(2e-4)
    assert p_value(np.zeros(10_000), 50) == 1.0
    assert p_value(np.ones(10_000), 50) is None and p_value(values, 19) is None


# ----------------------------------------------------------------------------------------- for real


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two classifiers, one of them hardly trained, a tagger, an n-gram model, and their texts."""
    folder = tmp_path_factory.mktemp("runs")
    texts = folder / "texts.tsv"
    texts.write_text("up\tit rose so\ndown\tit fell so\n" * 60, encoding="utf-8")
    tagged = folder / "tagged.tsv"
    tagged.write_text("it\tO\nrose\tV\n\nso\tO\nit\tO\n\n" * 40, encoding="utf-8")
    small = {"model.encoder.hidden": 8, "text.min_count": 1, "train.batch_size": 8}
    for name, recipe, data, more in (
        ("trained", "classifier", texts, {"train.epochs": 6, "optimizer.lr": 3e-2}),
        ("raw", "classifier", texts, {"train.epochs": 1, "optimizer.lr": 1e-9}),
        ("tagger", "tagger", tagged, {"train.epochs": 1}),
    ):
        nextword.train(recipe, data, folder / name, overrides=small | more, quiet=True)
    nextword.train("ngram", texts, folder / "ngram", quiet=True)
    return {path.stem: path for path in folder.iterdir()}


def test_the_verb(runs: dict[str, Path], cli: Cli) -> None:
    call = ("compare", runs["raw"], runs["trained"], "--data", runs["texts"])
    status, out, _ = cli(*call, "--json")
    found = json.loads(out)
    assert status == 0 and found["metric"] == "accuracy"
    assert [row["run"] for row in found["runs"]] == ["trained", "raw"]
    alone = nextword.evaluate(nextword.load(runs["trained"]), runs["texts"])
    assert found["runs"][0]["accuracy"] == alone.quality.accuracy == 1.0
    assert "shares" not in found["runs"][0]
    status, out, _ = cli(*call)
    assert status == 0 and "Matthews" in out
    assert "trained is better than raw: paired bootstrap over 120 texts, p < 0.001" in out
    status, out, _ = cli("compare", runs["tagger"], "--data", runs["tagged"])
    assert status == 0 and "accuracy" in out and "bootstrap" not in out


def test_runs_that_do_different_things(runs: dict[str, Path]) -> None:
    loaded = {name: nextword.load(runs[name]) for name in ("trained", "tagger", "ngram")}
    for one, other, said in (
        (
            "trained",
            "tagger",
            "'trained' classifies texts, 'tagger' tags words: there is no figure",
        ),
        ("ngram", "trained", "'ngram' predicts text, 'trained' classifies texts: there"),
    ):
        with pytest.raises(InputError, match=said):
            nextword.compare([loaded[one], loaded[other]], runs["texts"])
    with pytest.raises(
        InputError,
        match="'trained' classifies texts: --target is for",
    ):
        nextword.evaluate(loaded["trained"], runs["texts"], runs["texts"])
    with pytest.raises(InputError, match="'tagger' tags words: --cache is for"):
        nextword.evaluate(loaded["tagger"], runs["tagged"], cache=Cache())
    assert nextword.evaluate(loaded["tagger"], runs["tagged"]).words == 160
    assert nextword.evaluate(loaded["ngram"], runs["texts"]).perplexity < 100
