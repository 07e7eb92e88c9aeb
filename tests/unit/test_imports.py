"""What the start of a command imports: packages that it does not need would make it slow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from nextword.cli.program import VERBS, program
from nextword.training.train import train

ROOT = Path(__file__).parents[2]
REPORT = """
import sys

before = set(sys.modules)
{code}
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""
HEAVY = {"torch", "transformers", "matplotlib", "pandas", "polars", "narwhals", "numba"}


def packages(code: str) -> set[str]:
    """The packages that a new interpreter has imported after `code`."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(code=code)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An n-gram model."""
    folder = tmp_path_factory.mktemp("start")
    (folder / "text.txt").write_text("the cat sat\na dog ran\n" * 9)
    train("ngram", folder / "text.txt", folder / "run", overrides=["model.order=2"], quiet=True)
    return folder / "run"


def test_the_class_of_kenlm() -> None:
    """A decoder that imports the drop-in waits for numpy and the loader of machine code alone."""
    found = packages("import nextword.ngram.kenlm")
    assert "numpy" in found  # the report works
    assert not found & (HEAVY | {"pydantic", "typer", "rich", "tokenizers", "safetensors"})


@pytest.mark.parametrize(
    "words",
    [
        "train ngram --train text.txt --out run --set model.order=2 --overwrite",
        "train ngram text.txt --out new",
        "score {run} text.txt",
    ],
)
def test_verbs_of_ngrams(words: str, tmp_path: Path, run: Path) -> None:
    """Neither a verb that works nor one that refuses imports what only others need."""
    (tmp_path / "text.txt").write_text("the cat sat\na dog ran\nthe dog sat\n")
    code = (
        f"import os; os.chdir({str(tmp_path)!r})\n"
        "from nextword.cli.main import main\n"
        f"try: main({words.format(run=run).split()!r})\n"
        "except SystemExit: pass"
    )
    packages(code)  # loops that have not been compiled yet import numba
    found = packages(code)
    assert "pydantic" in found
    assert not found & (HEAVY | {"rich", "tokenizers", "safetensors", "asyncio", "yaml"})


def test_a_verb_alone_is_made() -> None:
    """The program has the one verb that a command line names, and all of them for its help."""
    assert set(get_command(program(["score"])).commands) == {"score"}  # type: ignore[attr-defined]
    assert len(get_command(program()).commands) == len(VERBS)  # type: ignore[attr-defined]
