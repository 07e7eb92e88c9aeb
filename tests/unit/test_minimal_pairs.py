"""Minimal pairs: files that are read, accuracies, ties, intervals and tests."""

from __future__ import annotations

import gzip
import json
import math
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nextword
from nextword.evaluation.compare_minimal_pairs import ranked
from nextword.evaluation.minimal_pairs import Accuracy, MinimalPairEvaluation, Outcome
from nextword.evaluation.proportions import mcnemar, wilson
from nextword.text.minimal_pairs import MinimalPair, read_minimal_pairs
from tests.support import Cli

FOLDER = Path(__file__).parent.parent / "fixtures" / "earlier_runs"
EXAMPLES = Path(__file__).parents[2] / "examples"
SCORING = ("lstm", "irnn-windows", "transformer-lm", "ngram", "mixture", "bert")


def read(tmp_path: Path, text: str) -> list[MinimalPair]:
    (tmp_path / "p").write_text(text, encoding="utf-8")
    return list(read_minimal_pairs(tmp_path / "p"))


# ------------------------------------------------------------------------------------ reading


def test_lines_with_tabs(tmp_path: Path) -> None:
    assert read(tmp_path, "a b\ta c\n\nd\te\tverbs\n") == [
        MinimalPair("a b", "a c", ""),
        MinimalPair("d", "e", "verbs"),
    ]
    assert read(tmp_path, "Good\tBad\nx\ty") == [MinimalPair("x", "y", "")]
    assert read(tmp_path, "bad\tgood\tabout\ny\tx\tz") == [MinimalPair("x", "y", "z")]
    assert read(tmp_path, "x\ty\ngood\tbad\n")[1] == MinimalPair("good", "bad", "")


def test_json_lines_as_blimp_has_them(tmp_path: Path) -> None:
    fields = {
        "sentence_good": "Who 猫 sees?",
        "sentence_bad": "Who 猫 see?",
        "field": "syntax",
        "linguistics_term": "agreement",
        "UID": "distractor",
        "simple_LM_method": True,
    }
    lines = [fields, {k: v for k, v in fields.items() if k != "linguistics_term"}]
    lines.append({k: fields[k] for k in ("sentence_good", "sentence_bad")})
    pairs = read(tmp_path, "\n".join(map(json.dumps, lines)))
    assert [pair.phenomenon for pair in pairs] == ["agreement", "distractor", ""]
    assert pairs[0].good == "Who 猫 sees?" and pairs[0].bad == "Who 猫 see?"


def test_compressed(tmp_path: Path) -> None:
    (tmp_path / "p.gz").write_bytes(gzip.compress("好\t坏\n".encode()))
    assert list(read_minimal_pairs(tmp_path / "p.gz")) == [MinimalPair("好", "坏", "")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\tb\nno tab\n", "line 2 of '.*' has no tab; each line is"),
        ("a\tb\tc\td\n", "line 1 of '.*' has 3 tabs"),
        ("a\ta \n", "line 1 of '.*' has the same sentence twice: a"),
        ("a\tb\n\n\tb\n", "line 3 of '.*': the good sentence is empty"),
        ("a\t \n", "line 1 of '.*': the bad sentence is empty"),
        ("good\tbad\n", "holds no pairs"),
        ("\n \n", "holds no pairs"),
        ('{"sentence_good": "a", "bad": "b"}', "has no field 'sentence_bad'; its fields: sen.*bad"),
        ('{"sentence_good": "a", "sentence_bad": 1}', "the field 'sentence_bad' is not text"),
        ('{"sentence_good": "a", "sentence_bad": "b"}\n{"a', "line 2 of '.*' is not JSON"),
        ('{"sentence_good": "a", "sentence_bad": "b"}\n[1]', "line 2 of '.*' is not a JSON object"),
        ('{"sentence_good": "a", "sentence_bad": "b\\nc"}', "the bad sentence has a line end"),
        ("", "is empty"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(nextword.InputError, match=said):
        read(tmp_path, text)


# ------------------------------------------------------------------------------------ statistics


def test_wilson_is_where_the_normal_test_rejects() -> None:
    """Its bounds are the shares p with |right/n - p| = 1.96 √(p (1 - p) / n)."""
    for right, of in ((0, 20), (7, 20), (500, 900), (20, 20)):
        bounds = wilson(right, of)
        assert bounds is not None
        for p in bounds:
            distance = abs(right / of - p)
            assert distance == pytest.approx(1.959964 * math.sqrt(p * (1 - p) / of), abs=1e-9)
    assert wilson(19, 19) is None


def test_mcnemar_counts_all_outcomes() -> None:
    for n in range(1, 10):
        heads = [sum(coins) for coins in product((0, 1), repeat=n)]
        for first in range(n + 1):
            far = sum(abs(h - n / 2) >= abs(first - n / 2) for h in heads)
            assert mcnemar(first, n - first) == pytest.approx(far / 2**n)
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5000, 5400) == pytest.approx(0.00009, abs=2e-5)


def outcomes(scores: list[tuple[float, float]], phenomenon: str = "p") -> list[Outcome]:
    return [Outcome("f", phenomenon, good, bad, False) for good, bad in scores]


def found(scores: list[tuple[float, float]]) -> MinimalPairEvaluation:
    return MinimalPairEvaluation(outcomes(scores), "sum", False, "")


def test_ties_are_not_right() -> None:
    scores = [(-3.0, -4.0), (-4.0, -3.0), (-3.0, -3.0), (-30.00001, -30.0), (-30.001, -30.0)]
    infinite = [(-math.inf, -math.inf), (-3.0, -math.inf)]
    assert Accuracy.of(outcomes(scores + infinite)) == (2, 3, 0, 7)
    assert Accuracy.of(outcomes([(-30.0, -30.001), (-30.0, -30.00001)])) == (1, 1, 0, 2)


def test_comparison_ranks_and_tests_against_the_best() -> None:
    right, wrong = (-1.0, -2.0), (-2.0, -1.0)
    a, b = found([right] * 10 + [wrong] * 10), found([right] * 18 + [wrong] * 2)
    compared = ranked(["a", "b"], [a, b])
    assert [row.name for row in compared.rows] == ["b", "a"]
    assert (compared.rows[1].only_best, compared.rows[1].only_this) == (8, 0)
    assert compared.p_value == pytest.approx(2 / 2**8) and compared.significant
    assert "b is better than a" in compared.notes()[-1]
    few = ranked(["a", "b"], [found([right]), found([wrong])])
    assert few.p_value is None and "no test below 20 pairs" in few.notes()[-1]


# ------------------------------------------------------------------------------------ runs


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    lines = ["the cat sat on the mat .\tthe cat on sat the mat .\torder"]
    lines += ["one two three\ttwo two three\tcounting", "the dog xyzzy\tthe dog plugh\tunknown"]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "pairs.tsv"


@pytest.mark.parametrize("name", SCORING)
@pytest.mark.parametrize("by", ["sum", "mean"])
def test_accuracy_follows_from_the_scores_of_sentences(name: str, by: str, pairs: Path) -> None:
    run = nextword.load(FOLDER / name)
    result = nextword.evaluate_minimal_pairs(run, pairs, by=by)
    expected = []
    for pair in read_minimal_pairs(pairs):
        good, bad = nextword.score(run, [pair.good, pair.bad])
        over = (good.tokens, bad.tokens) if by == "mean" else (1, 1)
        expected.append((good.log_prob / over[0], bad.log_prob / over[1]))
    assert np.allclose([(one.good, one.bad) for one in result.outcomes], expected, atol=1e-5)
    values = result.as_dict()
    assert values["accuracy"] == sum(good > bad + 1e-4 for good, bad in expected) / 3
    assert values["pairs"] == 3 and values["by"] == by and values["interval"] is None
    assert values["pseudo"] is (name == "bert")
    assert set(values["phenomena"]) == {"order", "counting", "unknown"}
    assert values["files"].keys() == {str(pairs)}


@pytest.mark.parametrize("name", ["lstm", "transformer-lm", "ngram", "bert"])
def test_batches_change_nothing(name: str) -> None:
    run, file = nextword.load(FOLDER / name), EXAMPLES / "minimal-pairs.jsonl"
    one, many = (
        nextword.evaluate_minimal_pairs(run, file, batch_size=size).as_dict() for size in (3, 64)
    )
    assert one == many


def test_unknown_words_tie() -> None:
    """Two sentences that differ in an unknown word have the same ids, so the same score."""
    run = nextword.load(FOLDER / "ngram")
    scores = nextword.score(run, ["the xyzzy", "the plugh"])
    assert scores[0].log_prob == scores[1].log_prob and scores[0].oov == 1


def test_a_run_that_scores_nothing(pairs: Path) -> None:
    run = nextword.load(FOLDER / "classifier")
    with pytest.raises(nextword.InputError, match="it cannot score sentences"):
        nextword.evaluate_minimal_pairs(run, pairs)


def test_a_sentence_that_a_run_cannot_score(tmp_path: Path) -> None:
    """The message counts sentences and says so: the second pair has the third and the fourth."""
    (tmp_path / "long.tsv").write_text("a\tb\n" + "a " * 99 + "\tb\n")
    with pytest.raises(nextword.InputError, match="two for each pair, line 3 has 99 tokens"):
        nextword.evaluate_minimal_pairs(nextword.load(FOLDER / "bert"), tmp_path / "long.tsv")


def test_wrong_arguments(pairs: Path) -> None:
    run = nextword.load(FOLDER / "ngram")
    with pytest.raises(nextword.InputError, match="by is 'median'; give sum or mean"):
        nextword.evaluate_minimal_pairs(run, pairs, by="median")
    with pytest.raises(nextword.InputError, match="name a file of minimal pairs"):
        nextword.evaluate_minimal_pairs(run, [])
    with pytest.raises(nextword.InputError, match="at least one run"):
        nextword.compare_minimal_pairs([], pairs)


def test_command_lines(cli: Cli, pairs: Path, tmp_path: Path) -> None:
    status, out, err = cli(
        "evaluate", FOLDER / "lstm", "--minimal-pairs", pairs,
        "--minimal-pairs", EXAMPLES / "minimal-pairs.jsonl", "--plot", tmp_path / "a.svg",
    )  # fmt: skip
    assert status == 0, err
    assert "word order" in out and "of 203 pairs" in out and "sum of the log-prob" in out
    assert (tmp_path / "a.svg").stat().st_size > 1000
    runs = [FOLDER / "lstm", FOLDER / "ngram"]
    status, out, _ = cli("compare", *runs, "--minimal-pairs", pairs, "--json", "--by", "mean")
    values: dict[str, Any] = json.loads(out)
    assert [one["by"] for one in values["runs"]] == ["mean", "mean"]
    assert values["runs"][0]["accuracy"] >= values["runs"][1]["accuracy"]


def test_the_example_is_what_its_script_writes() -> None:
    script = EXAMPLES / "minimal_pairs.py"
    written = subprocess.run([sys.executable, script], capture_output=True, check=True).stdout
    assert written == (EXAMPLES / "minimal-pairs.jsonl").read_bytes()
