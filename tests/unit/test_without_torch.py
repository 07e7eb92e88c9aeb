"""n-gram models need no torch: the verbs run where it cannot be imported, with the same output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HIDDEN = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "sacrebleu"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])

sys.meta_path.insert(0, Hidden())
"""
CLASS = """
import sys
from nextword.ngram import kenlm
print(round(kenlm.Model(sys.argv[1]).score("the cat sat"), 4), "torch" in sys.modules)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, `hidden/sitecustomize.py`, and a run that was trained without torch."""
    folder = tmp_path_factory.mktemp("light")
    (folder / "hidden").mkdir()
    (folder / "hidden" / "sitecustomize.py").write_text(HIDDEN)
    (folder / "text.txt").write_text("the cat sat on a mat .\n\na dog ran .\nthe dog sat .\n" * 30)
    done = python(folder, True, "-m", "nextword", "train", "ngram", "--train", "text.txt", "--out",
                  "run", "--set", "model.order=3", "--quiet")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def python(folder: Path, hidden: bool, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with or without torch."""
    paths = [str(folder / "hidden"), str(ROOT)] if hidden else [str(ROOT)]
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )


def figures(text: str) -> list[str]:
    """The lines of an output but those that tell a time, which differ."""
    return [line for line in text.splitlines() if "tokens/s" not in line and "speed" not in line]


@pytest.mark.parametrize(
    "words",
    [
        "score run text.txt --json",
        "evaluate run --data text.txt",
        "export run --format arpa --out x.arpa --overwrite",
        "recipes",
        "--help",
    ],
)
def test_the_same_without_torch(words: str, place: Path) -> None:
    """Exit status, output and figures."""
    said = []
    for hidden in (False, True):
        done = python(place, hidden, "-m", "nextword", *words.split())
        assert done.returncode == 0, done.stderr
        said.append(figures(done.stdout))
    assert said[0] == said[1]


def test_comparison_and_the_class(place: Path) -> None:
    """`compare` of n-grams, and KenLM's class, which imports no torch where there is one either."""
    done = python(place, True, "-m", "nextword", "compare", "run", "run", "--data", "text.txt")
    assert done.returncode == 0, done.stderr
    said = [python(place, hidden, "-c", CLASS, "run").stdout for hidden in (False, True)]
    assert said[0] == said[1] != "" and said[0].endswith("False\n")


@pytest.mark.parametrize(
    "words",
    [
        "generate run --prompt the",
        "train lstm --train text.txt --out new",
        "demo --out new",
    ],
)
def test_what_needs_torch_says_so(words: str, place: Path) -> None:
    """One line with the extra, status 2, and nothing is written."""
    done = python(place, True, "-m", "nextword", *words.split())
    assert done.returncode == 2
    assert done.stderr == "nextword: this needs PyTorch: pip install 'nextword[neural]'\n"
    assert not (place / "new").exists()


def test_scores_beside_the_tensors() -> None:
    """What an n-gram model says of ids without torch is what it says of tensors, to the bit."""
    import numpy as np
    import torch

    from nextword.evaluation.token_scores import score_tokens
    from nextword.models.ngram import NgramConfig

    ids = np.random.default_rng(0).choice([1, 1, 2, 3, 4, 5, 0], 3000)
    model = NgramConfig(order=3).build(7)
    model.fit(np.append(ids[:2000], 1))
    log_prob, hit = model.score_ids(ids)
    wanted = score_tokens(model, ids, torch.device("cpu"))
    assert wanted.hit is not None
    assert np.array_equal(log_prob, wanted.log_prob) and np.array_equal(hit, wanted.hit)
