"""Runs with damaged files, or with files of others: one line says so, or no harm is done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nextword
from nextword.errors import InputError
from nextword.files import read_tensors, write_tensors
from nextword.run import seeds_of
from nextword.tasks import task_of

RUNS = Path(__file__).parent.parent / "fixtures" / "earlier_runs"


def copied(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(RUNS / name, folder / name))


def test_other_folders_beside_seeds(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{}")
    for name in (
        "seed1",
        "seed10",
        "seed2",
        "seedX",
        "seed2 copy",
        "seed",
        "seed-1",
        "seed٣",
        "seed03",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    assert [run.name for run in seeds_of(tmp_path)] == ["seed1", "seed2", "seed10"]


def test_other_folders_beside_members(tmp_path: Path) -> None:
    run = copied("mixture", tmp_path)
    for name in ("1 copy", "2.old", "x", "1copy", ".1"):
        (run / "members" / name).mkdir()
    assert len(nextword.load(run).model.members) == 2


def damage_state(run: Path, change: Any) -> None:
    tensors, meta = read_tensors(run / "state.safetensors")
    change(tensors, meta)
    write_tensors(run / "state.safetensors", tensors, meta)


def first(tensors: dict[str, torch.Tensor], prefix: str, dims: int = 1) -> str:
    return next(k for k, t in tensors.items() if k.startswith(prefix) and t.dim() >= dims)


STATES = {
    "no generator": lambda t, m: t.pop("rng.cpu"),
    "a short generator": lambda t, m: t.update({"rng.cpu": t["rng.cpu"][:7].clone()}),
    "no weight": lambda t, m: t.pop(first(t, "model.")),
    "no progress": lambda t, m: m.pop("standing"),
    "progress unknown": lambda t, m: m["standing"].update(other=1),
    "progress no number": lambda t, m: m["standing"].update(step="x"),
    "progress negative": lambda t, m: m["standing"].update(index=-7),
    "history": lambda t, m: m["standing"].update(history=[None]),
    "optimizer": lambda t, m: t.update({first(t, "optimizer."): torch.ones(3)}),
    "optimizer of no parameter": lambda t, m: t.update({"optimizer.999.exp_avg": torch.ones(3)}),
    "optimizer named otherwise": lambda t, m: t.update({"optimizer.x.exp_avg": torch.ones(3)}),
    "meta is a list": lambda t, m: m.update(optimizer=[1]),
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_a_damaged_state_is_refused(name: str, tmp_path: Path) -> None:
    run = copied("lstm", tmp_path)
    damage_state(run, STATES[name])
    with pytest.raises(InputError, match=r"state\.safetensors' (is damaged|does not fit)"):
        nextword.resume(run, overrides={"train.epochs": 9}, quiet=True)


@pytest.mark.parametrize("name", ["lstm", "bert", "classifier", "tagger", "seq2seq"])
def test_ids_beyond_the_vocabulary_are_refused(name: str, tmp_path: Path) -> None:
    run = copied(name, tmp_path)
    for ids in (run / "data").rglob("ids.bin"):
        before = ids.read_bytes()
        changed = np.frombuffer(before, np.uint16).copy()
        changed[len(changed) // 2] = 60_000
        ids.write_bytes(changed.tobytes())
        with pytest.raises(InputError, match=r"has the id 60,000|two sides differ"):
            nextword.resume(run, overrides={"train.epochs": 9}, quiet=True)
        ids.write_bytes(before)


@pytest.mark.parametrize("name", ["classifier", "tagger"])
def test_labels_that_do_not_fit_are_refused(name: str, tmp_path: Path) -> None:
    run = copied(name, tmp_path)
    path = run / "data" / "train" / "labels.npy"
    labels = np.load(path)
    for wrong in (labels[:-1], labels + 1000):
        np.save(path, wrong)
        with pytest.raises(InputError, match="labels do not fit"):
            nextword.resume(run, overrides={"train.epochs": 9}, quiet=True)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(f"({len(labels)},)".encode(), b"(9999999999999,)"))
    with pytest.raises(InputError, match="damaged"):
        nextword.resume(run, overrides={"train.epochs": 9}, quiet=True)


def test_metrics_that_are_no_text_do_not_end_a_training(tmp_path: Path) -> None:
    run = copied("lstm", tmp_path)
    size = (run / "metrics.jsonl").stat().st_size
    (run / "metrics.jsonl").write_bytes(b"\xff\x00" * (size // 2) + b"\n" * (size % 2))
    nextword.resume(run, overrides={"train.epochs": 3}, quiet=True)


def test_a_config_says_what_is_damaged(tmp_path: Path) -> None:
    run = copied("lstm", tmp_path)
    tables = json.loads((run / "config.json").read_text())
    for wrong in ([], None, {"recipe": 3}, tables | {"recipe": [1]}, tables | {"model": "x"}):
        (run / "config.json").write_text(json.dumps(wrong))
        with pytest.raises(InputError):
            task_of(nextword.load(run).config)
