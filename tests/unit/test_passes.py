"""What a whole training does from pass to pass, seen from outside: its records and its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nextword
from nextword.experiments.lr_finder import range_test
from nextword.training.request import Request

LINES = "the cat sat on the mat .\nthe dog ate the cat .\na cat is no dog .\n" * 4
STILL = 1e-30  # a learning rate that changes no weight


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


# ------------------------------------------------------------------------------- the carried state


@pytest.mark.parametrize("stream", ["stripes", "variable"])
def test_a_pass_does_not_go_on_from_the_one_before(stream: str, tmp_path: Path) -> None:
    """With weights that stay, one row and the same batches, every pass has the loss of the first:
    that of a text read from the start. Within a pass the state does carry: shorter batches have
    the same loss as one long one."""
    (tmp_path / "text.txt").write_text(LINES, encoding="utf-8")
    losses: dict[int, list[float]] = {}
    for bptt in (7, len(LINES)):
        nextword.train(
            "lstm",
            tmp_path / "text.txt",
            tmp_path / f"run-{bptt}",
            valid=tmp_path / "text.txt",
            overrides={
                "text.tokenizer": "char",
                "model.hidden": 12,
                "model.embedding": 8,
                "model.embedding_std": 2.0,
                "train.stream": stream,
                "train.batch_size": 1,
                "train.bptt": bptt,
                "train.epochs": 4,
                "train.patience": None,
                "optimizer.name": "sgd",
                "optimizer.lr": STILL,
            }
            | {f"model.dropout_{place}": 0.0 for place in ("input", "hidden", "output")},
            quiet=True,
        )
        found = [record for record in records(tmp_path / f"run-{bptt}") if "nll" in record]
        assert [record["epoch"] for record in found] == [0, 1, 2, 3]
        losses[bptt] = [record["nll"] for record in found]
    assert losses[7] == pytest.approx(losses[7][:1] * 4, rel=1e-6)
    assert losses[len(LINES)] == pytest.approx(losses[7], rel=1e-6)


# ------------------------------------------------------------------------------ gradual unfreezing


@pytest.mark.parametrize(("unfreeze", "passes"), [(1, [1, 2, 5]), (2, [2, 3, 4])])
def test_a_layer_more_learns_every_so_many_passes(
    unfreeze: int, passes: list[int], tmp_path: Path
) -> None:
    """After some passes the weights that moved are those of the topmost layers, one more of them
    every `unfreeze` passes (Howard and Ruder 2018, section 3.3)."""
    rows = "up\tit rose so\ndown\tit fell so\n" * 12
    (tmp_path / "texts.tsv").write_text(rows, encoding="utf-8")

    def weights(name: str, epochs: int, **more: Any) -> list[list[torch.Tensor]]:
        """Those of each layer, the top one first."""
        run = nextword.train(
            "classifier",
            tmp_path / "texts.tsv",
            tmp_path / name,
            overrides={
                "model.encoder.hidden": 8,
                "model.encoder.layers": 2,
                "text.min_count": 1,
                "train.epochs": epochs,
                "train.batch_size": 8,
                "train.keep": "last",
                "train.patience": None,
                "optimizer.name": "sgd",
                "optimizer.lr": 0.5,
                **more,
            },
            quiet=True,
        )
        model: Any = run.model
        return [[w.detach() for w in layer] for layer in reversed(model.groups())]

    start = weights("start", 1, **{"optimizer.lr": STILL})
    assert len(start) == 4
    for epochs in passes:
        now = weights(f"run-{epochs}", epochs, **{"optimizer.unfreeze": unfreeze})
        moved = [
            any(not torch.equal(a, b) for a, b in zip(layer, before, strict=True))
            for layer, before in zip(now, start, strict=True)
        ]
        learning = min(4, 1 + (epochs - 1) // unfreeze)
        assert moved == [True] * learning + [False] * (4 - learning), epochs


# -------------------------------------------------------------------------- the learning-rate test


@pytest.mark.parametrize("cell", ["lstm", "elman"])
def test_the_suggested_rate_is_where_the_loss_falls_fastest(cell: str, tmp_path: Path) -> None:
    """Of all rates it is the one around which the loss drops most, and it does drop there."""
    (tmp_path / "text.txt").write_text(LINES, encoding="utf-8")
    overrides = {
        "text.tokenizer": "char",
        "model.cell": cell,
        "model.hidden": 12,
        "model.embedding": 8,
        "train.batch_size": 4,
        "train.bptt": 10,
        "optimizer.name": "sgd",
    }
    request = Request.of("lstm", tmp_path / "text.txt", overrides=overrides)
    found = range_test(request, steps=60, low=1e-4, high=1e3)
    loss, at = np.array(found.loss), found.lr.index(found.suggestion)
    drops = [loss[0] - loss[1], *(loss[:-2] - loss[2:]) / 2, loss[-2] - loss[-1]]
    assert drops[at] == pytest.approx(max(drops))
    assert drops[at] > 0
