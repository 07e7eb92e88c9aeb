"""The demo: every model at or above the articles', the same table for the same seed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from nextword.demo import RUNGS, run_demo


def table(folder: Path) -> list[dict[str, Any]]:
    rows = json.loads((folder / "ladder.json").read_text())
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished demo: that of an installed wheel, if the environment names one."""
    if given := os.environ.get("NEXTWORD_DEMO"):
        return Path(given)
    folder = tmp_path_factory.mktemp("demo") / "out"
    run_demo(folder, quiet=True)
    return folder


def test_every_rung_reaches_the_articles(ladder: Path) -> None:
    rows = table(ladder)
    assert [row["rung"] for row in rows] == [rung.title for rung in RUNGS]
    for row in rows:
        assert row.keys() == {"rung", "accuracy", "article", "perplexity", "parameters"}
        assert row["accuracy"] >= (row["article"] or 0), row
    assert rows[-3]["accuracy"] >= 0.88
    assert rows[-2]["accuracy"] >= 0.995
    assert rows[-1]["accuracy"] >= 0.98


def test_pictures_are_drawn(ladder: Path) -> None:
    for name in ("ladder.png", "gradients.png"):
        assert (ladder / name).stat().st_size > 10_000


@pytest.mark.slow
def test_the_same_seed_gives_the_same_table(ladder: Path, tmp_path: Path) -> None:
    run_demo(tmp_path / "out", quiet=True)
    assert table(tmp_path / "out") == table(ladder)
