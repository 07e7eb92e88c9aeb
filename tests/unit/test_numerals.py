"""How numbers are written: one rule for tables, messages and JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nextword
from nextword.evaluation.figures import Evaluation
from nextword.evaluation.seed_statistics import seed_statistics
from nextword.experiments.ablation import Row
from nextword.numerals import between, fixed, json_text, percent
from nextword.tasks.results import Validation
from tests.support import Cli

FIXTURES = Path(__file__).parent.parent / "fixtures" / "earlier_runs"


@given(
    st.floats(-1e308, 1e308) | st.sampled_from([math.inf, -math.inf, math.nan]), st.integers(0, 6)
)
def test_every_number_is_short(value: float, places: int) -> None:
    """At most 14 characters, and the number comes back from them."""
    text = fixed(value, places)
    assert len(text) <= 14
    if math.isnan(value):
        assert text == "-"
    elif math.isinf(value):
        assert float(text) == value
    else:
        assert float(text) == pytest.approx(value, rel=5e-3, abs=0.5 * 10**-places + 1e-12)
    assert between((value, value), places) == f"{text}-{text}"


def test_by_hand() -> None:
    assert fixed(999_999.0, 1) == "999999.0" and fixed(1e6) == "1.00e+06"
    assert fixed(-math.inf) == "-inf" and fixed(None) == fixed(math.nan) == "-"
    assert fixed(2.0, sign="+") == "+2.00" and fixed(2e7, sign="+") == "+2.00e+07"
    assert percent(0.12345, 2) == "12.35%" and percent(math.nan) == "-"


@given(
    st.recursive(
        st.floats() | st.integers() | st.text() | st.none() | st.booleans(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_json(value: Any) -> None:
    """Any other program can read it: no NaN, no Infinity; all else comes back."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    def same(a: Any, b: Any) -> bool:
        if isinstance(a, float) and not math.isfinite(a):
            return b is None
        if isinstance(a, list):
            return len(a) == len(b) and all(map(same, a, b))
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
        return bool(a == b)

    assert same(value, json.loads(json_text(value), parse_constant=refuse))


ODD = [math.inf, math.nan, math.exp(699), 1e6]


@pytest.mark.parametrize("value", ODD)
def test_every_report_with_odd_figures(value: float) -> None:
    """No report and no table has a cell that is hundreds of digits long, or says nan."""
    plain = Evaluation(9, 9.0, 2.0, 2.0, 2.0, 1.0, 1.0, 0.5, 1, 9, 40, 40, 10, 1.0, "signature")
    names = ("nll", "perplexity", "perplexity_excluding_oov", "word_perplexity", "bits_per_byte")
    figures = replace(plain, **dict.fromkeys((*names, "bits_per_char"), value), accuracy=math.nan)
    lines = [text for _, text in figures.lines()]
    lines.append(str(Validation(value, dict.fromkeys(("perplexity", "loss", "bleu"), value))))
    lines += [str(one) for one in seed_statistics([{"a": value}, {"a": 1.0}]).values()]
    for line in lines:
        assert "nan" not in line and not any(len(word) > 60 for word in line.split())


def test_a_row_of_an_ablation_comes_back() -> None:
    row = Row("full", math.inf, math.inf, (1.0, 2.0), 3, 4.0)
    again = Row.from_dict(json.loads(json_text(row.as_dict())))
    assert again.valid == math.inf and again.test is None


def test_a_run_that_finds_the_text_impossible(cli: Cli, tmp_path: Path) -> None:
    """Every verb that prints its figures writes them by the rule."""
    text = tmp_path / "text.txt"
    lines = "one three four\nfive six seven\n" * 200 + "one two three\n"  # two: in the last piece
    text.write_text(lines, encoding="utf-8")
    for name, order in (("a", 1), ("b", 2)):
        nextword.train("ngram", text, tmp_path / name, overrides={"model.order": order}, quiet=True)
        run = nextword.load(tmp_path / name)
        assert np.isfinite(nextword.evaluate(run, text).perplexity)
    path = tmp_path / "b" / "model.safetensors"
    assert path.is_file()
    arpa = tmp_path / "zero.arpa"
    status, _, err = cli("export", tmp_path / "a", "--format", "arpa", "--out", arpa)
    assert status == 0, err
    words = arpa.read_text(encoding="utf-8").split("\n")
    changed = ["-30000\ttwo" if line.endswith("\ttwo") else line for line in words]
    assert changed != words
    arpa.write_text("\n".join(changed), encoding="utf-8")
    for call in (
        ("evaluate", arpa, "--data", text),
        ("compare", arpa, tmp_path / "b", "--data", text),
        ("score", arpa, text),
    ):
        status, out, err = cli(*call)
        assert status == 0, err
        assert "nan" not in out and max(map(len, out.split())) < 100
        status, out, err = cli(*call, "--json")
        assert status == 0 and "Infinity" not in out and "NaN" not in out
    found = json.loads(cli("compare", arpa, tmp_path / "b", "--data", text, "--json")[1])
    low, high = found["runs"][1]["bits_per_byte_interval"]
    assert 0 < low < 10 and high is None and found["p_value"] is not None
    assert json.loads(cli("evaluate", arpa, "--data", text, "--json")[1])["perplexity"] is None
    assert "inf" in cli("evaluate", arpa, "--data", text)[1]
