"""What the start of a command imports: packages that it does not need would make it slow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def test_the_class_of_kenlm() -> None:
    """A decoder that imports the drop-in waits for numpy and the loader of machine code alone."""
    found = packages("import nextword.ngram.kenlm")
    assert "numpy" in found  # the report works
    assert not found & (HEAVY | {"pydantic", "typer", "rich", "tokenizers", "safetensors"})
