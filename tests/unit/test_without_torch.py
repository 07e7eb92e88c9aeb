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
    (folder / "regions.txt").write_text("the cat | sat on | a mat\nthe dog | ran\n")
    done = python(folder, True, "-m", "nextword", "train", "ngram", "--train", "text.txt", "--out",
                  "small", "--from", "run", "--set", "model.order=1", "--quiet")  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = python(folder, True, "-m", "nextword", "train", "mixture", "run", "small", "--valid",
                  "text.txt", "--out", "mixed", "--quiet")  # fmt: skip
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
        "score run text.txt --by token",
        "score run text.txt --by word --context text.txt",
        "score run text.txt --by word --context previous --json",
        "score run regions.txt --regions",
        "score mixed text.txt",
        "score mixed text.txt --by word",
        "evaluate run --data text.txt",
        "evaluate run --data text.txt --stripes 4",
        "evaluate mixed --data text.txt --stripes 2",
        "train mixture run small --valid text.txt --out again --overwrite",
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


@pytest.mark.parametrize(("stripes", "warmup"), [(1, 0), (1, 9), (3, 0), (4, 1), (4, 50), (7, 999)])
def test_scores_beside_the_tensors(stripes: int, warmup: int) -> None:
    """What an n-gram model says of ids without torch is what it says of tensors, to the bit; a
    mixture computes with numpy what torch computes, to the precision of float32."""
    import numpy as np

    from nextword.evaluation.token_scores import score_by_tensors, score_tokens
    from nextword.models.mixture import MixtureConfig
    from nextword.models.ngram import NgramConfig

    ids = np.random.default_rng(0).choice([1, 1, 2, 3, 4, 5, 0], 3001)
    models = [NgramConfig(order=order).build(7) for order in (3, 2)]
    for model in models:
        model.fit(np.append(ids[:2000], 1))
    linear = MixtureConfig(weights=(0.3, 0.7))
    log_linear = MixtureConfig(kind="log-linear", weights=(0.8, 0.6))
    for model in (models[0], linear.of(models, 7), log_linear.of(models, 7)):
        found = score_tokens(model, ids, "cpu", stripes=stripes, warmup=warmup)
        wanted = score_by_tensors(model, ids, "cpu", stripes=stripes, warmup=warmup, chunk=512)
        assert found.hit is not None and wanted.hit is not None
        exact = model is models[0]
        np.testing.assert_allclose(
            found.log_prob, wanted.log_prob, rtol=0, atol=0 if exact else 3e-6
        )
        assert (found.hit != wanted.hit).mean() <= (0 if exact else 0.001)
