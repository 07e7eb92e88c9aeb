"""Runs that an earlier version made load, evaluate, score and resume to the same figures.

The runs are in tests/fixtures/earlier_runs: small models of every family, trained for two passes on
the texts beside them (train.txt, pairs.tsv, labelled.tsv, tagged.tsv), with what that version said
of them in expected.json. `resumed` are the figures after a third pass.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import nextword
from nextword.tasks import task_of

FOLDER = Path(__file__).parent.parent / "fixtures" / "earlier_runs"
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
RUNS = [name for name in EXPECTED if name != "scores"]
#: Processors multiply in different orders; a mistake in the code is much larger.
NEAR = {"rel": 2e-4, "abs": 1e-6}


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of an earlier run, which may be written to."""
    return Path(shutil.copytree(FOLDER / request.param, tmp_path / request.param))


def compare(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            assert found[name] == pytest.approx(value, **NEAR), name
        elif name == "signature":  # it says more today
            assert set(value.split("|")) <= set(found[name].split("|"))
        else:
            assert found[name] == value, name


@pytest.mark.parametrize("run", RUNS, indirect=True)
def test_evaluates_to_the_same_figures(run: Path) -> None:
    expected = EXPECTED[run.name]
    compare(
        nextword.evaluate(nextword.load(run), FOLDER / expected["data"]).as_dict(),
        expected["figures"],
    )


@pytest.mark.parametrize(
    "run", [name for name in RUNS if "resumed" in EXPECTED[name]], indirect=True
)
def test_resumes_to_the_same_figures(run: Path) -> None:
    expected = EXPECTED[run.name]
    resumed = nextword.resume(run, overrides={"train.epochs": 3}, quiet=True)
    compare(nextword.evaluate(resumed, FOLDER / expected["data"]).as_dict(), expected["resumed"])


@pytest.mark.parametrize("run", list(EXPECTED["scores"]), indirect=True)
def test_scores_the_same(run: Path) -> None:
    loaded = nextword.load(run)
    expected = EXPECTED["scores"][run.name]
    lines = [line["text"] for line in expected]
    found = list(task_of(loaded.config).score_lines(loaded, lines))
    for one, line in zip(found, expected, strict=True):
        compare(one.as_dict(), line)


def test_some_passes_changed_the_weights() -> None:
    """The figures after a third pass are a test of resuming only where they are new."""
    changed = [
        name
        for name in RUNS
        if "resumed" in EXPECTED[name] and EXPECTED[name]["resumed"] != EXPECTED[name]["figures"]
    ]
    assert len(changed) >= len(RUNS) // 2
