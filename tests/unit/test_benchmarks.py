"""Scripts that are run by hand, at a size that shows they run."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nextword.run import STATE

ROOT = Path(__file__).parents[2]


def test_gpu_benchmark_says_when_there_is_none() -> None:
    """Without a CUDA device nothing is measured, in words."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "no CUDA device here" in done.stdout


def test_ngram_estimate_in_a_running_program(tmp_path: Path) -> None:
    """The side of `benchmarks.ngram estimate` that calls functions instead of commands."""
    from benchmarks.ngram import loaded

    text, out = tmp_path / "text.txt", tmp_path / "run"
    text.write_text("the cat sat on the mat .\n" * 20, encoding="utf-8")
    seconds, _ = loaded(argparse.Namespace(train=text, order=2), out)
    assert seconds > 0
    assert (out / "model.safetensors").is_file()


def test_translators_are_trained(tmp_path: Path) -> None:
    """A translator is trained once; when called again it is only opened."""
    from benchmarks.translation import DONE, trained

    for name in ("train", "valid"):
        (tmp_path / f"{name}.tsv").write_text("one two\teins zwei\ntwo\tzwei\n" * 20)
    settings = ["text.tokenizer=char", "source.tokenizer=char", "model.hidden=16"]
    settings += ["model.embedding=8", "train.bleu_lines=0"]
    run = trained("rnn-dot", tmp_path, tmp_path / "runs", 0.02, settings)
    assert (run / DONE).is_file()
    before = (run / STATE).stat().st_mtime_ns
    assert trained("rnn-dot", tmp_path, tmp_path / "runs", 0.02, settings) == run
    assert (run / STATE).stat().st_mtime_ns == before


@pytest.mark.slow
def test_one_cycle_in_pieces(tmp_path: Path) -> None:
    """The script stops with status 3 while there is more to do, goes on when called again, and the
    last call says how good the model is."""
    data, out = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    for name in ("train", "valid", "test"):
        text = "the cat sat on the mat .\na dog ran after the cat .\n" * 40
        (data / f"{name}.txt").write_text(text, encoding="utf-8")
    sizes = ["model.hidden=16", "model.embedding=8", "train.batch_size=4", "train.bptt=10"]

    def piece(minutes: str, *settings: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "benchmarks.onecycle", "--data", data, "--out", out]
        command += ["--device", "cpu", "--piece", minutes]
        for setting in settings:
            command += ["--set", setting]
        return subprocess.run(
            [str(part) for part in command], cwd=ROOT, capture_output=True, text=True
        )

    for minutes in ("0.15", "0.5", "2"):  # a busy machine may take long to begin
        shutil.rmtree(out, ignore_errors=True)
        first = piece(minutes, "train.epochs=100000", *sizes)
        assert first.returncode == 3, first.stderr
        if (out / STATE).is_file():
            break
    assert (out / STATE).is_file()
    assert not (out / "result.json").exists()
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    config["train"]["epochs"] = 1  # what was done is enough
    (out / "config.json").write_text(json.dumps(config), encoding="utf-8")
    last = piece("1")
    assert last.returncode == 0, last.stderr
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert result["device"] == "cpu"
    assert 1 < result["test_perplexity"] < 100
    assert result["valid_perplexity"] == result["test_perplexity"]
    assert result["seconds"] > 0


def test_word_vectors_are_written_as_they_are_read(tmp_path: Path) -> None:
    """Words that stand beside the same words get similar vectors."""
    import numpy as np

    from benchmarks.word_vectors import write_vectors
    from nextword.config import TextConfig
    from nextword.text.tokenizer import train_tokenizer
    from nextword.text.vectors import read_vectors

    text, out = tmp_path / "text.txt", tmp_path / "vectors.txt"
    text.write_text("the cat sat down\nthe dog sat down\na fish swims off\n" * 20, encoding="utf-8")
    write_vectors(text, out, width=4)
    tokenizer = train_tokenizer(["cat dog fish\n"], TextConfig(tokenizer="word"))
    read = read_vectors(out, tokenizer)
    vectors = dict(zip(map(tokenizer.token, read.ids.tolist()), read.vectors, strict=True))
    assert read.skipped == 0 and vectors.keys() == {"cat", "dog", "fish"}
    near, far = (np.linalg.norm(vectors["cat"] - vectors[other]) for other in ("dog", "fish"))
    assert near < 0.1 * far


def test_filter_beside_a_loop(tmp_path: Path) -> None:
    """Both tables, and a message if KenLM is not installed."""
    text = ROOT / "tests" / "fixtures" / "earlier_runs" / "train.txt"
    command = [sys.executable, "-m", "benchmarks.filter", "--text", str(text), "--rounds", "1"]
    command += ["--documents", "40", "--megabytes", "1", "--workers", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| nextword filter, 2 processes |" in done.stdout and "| 1 MB |" in done.stdout
