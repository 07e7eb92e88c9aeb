"""A new vocabulary for trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import nextword
from nextword.errors import InputError
from nextword.run import load
from nextword.tasks.transfer import carry_vocabulary
from nextword.text.word import WordTokenizer

OLD = WordTokenizer(["<unk>", "<eos>", "the", "cat", "sat"], "whitespace", False)
NEW = WordTokenizer(["<unk>", "<eos>", "dog", "cat", "the", "ran"], "whitespace", False)
TINY: dict[str, Any] = {
    "text.tokenizer": "word",
    "model.hidden": 12,
    "model.embedding": 12,
    "train.epochs": 1,
    "train.batch_size": 4,
    "train.bptt": 8,
}


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    (tmp_path / "first.txt").write_text("the cat sat on the mat .\n" * 30, encoding="utf-8")
    (tmp_path / "second.txt").write_text("a dog ran to the cat .\n" * 30, encoding="utf-8")
    nextword.train("lstm", tmp_path / "first.txt", tmp_path / "parent", overrides=TINY, quiet=True)
    return tmp_path / "parent"


def test_rows_follow_their_tokens() -> None:
    weights = {
        "embedding.weight": torch.arange(10.0).view(5, 2),
        "head.b": torch.arange(5.0),
        "stack.layers.0.U": torch.randn(5, 5),
    }
    carried, shared = carry_vocabulary(weights, OLD, NEW)
    assert shared == 4
    places = [0, 1, None, 3, 2, None]  # of the new tokens in the old vocabulary
    for name in ("embedding.weight", "head.b"):
        wanted = [weights[name].mean(0) if p is None else weights[name][p] for p in places]
        assert torch.equal(carried[name], torch.stack(wanted))
    assert carried["stack.layers.0.U"] is weights["stack.layers.0.U"]


def test_the_same_vocabulary_changes_nothing() -> None:
    weights = {"embedding.weight": torch.randn(5, 3), "head.E": torch.randn(5, 3)}
    carried, shared = carry_vocabulary(weights, OLD, OLD)
    assert shared == 5 and all(torch.equal(carried[name], weights[name]) for name in weights)


def test_an_adaptive_softmax_is_refused() -> None:
    with pytest.raises(InputError, match="adaptive"):
        carry_vocabulary({"head.tail_b.0": torch.zeros(3)}, OLD, NEW)


@pytest.mark.parametrize("tied", [True, False])
def test_training_goes_on_with_new_words(parent: Path, tmp_path: Path, tied: bool) -> None:
    """The run's vocabulary is the new text's; nothing of the first is lost but its words."""
    out = tmp_path / "child"
    if not tied:
        nextword.train(
            "lstm",
            tmp_path / "first.txt",
            parent,
            overrides=TINY | {"model.tied": False},
            overwrite=True,
            quiet=True,
        )
    run = nextword.train(
        "lstm",
        tmp_path / "second.txt",
        out,
        overrides=TINY | {"train.vocabulary": "new", "optimizer.lr": 1e-9},
        start_from=parent,
        quiet=True,
    )
    before = load(parent)
    assert run.tokenizer.known("dog") is not None and before.tokenizer.known("dog") is None
    ours, theirs = run.model.state_dict(), before.model.state_dict()
    for word in ("cat", "the", "."):
        mine, old = run.tokenizer.known(word), before.tokenizer.known(word)
        torch.testing.assert_close(
            ours["embedding.weight"][mine], theirs["embedding.weight"][old], atol=1e-5, rtol=0
        )
        torch.testing.assert_close(ours["head.b"][mine], theirs["head.b"][old], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        ours["stack.layers.0.U"], theirs["stack.layers.0.U"], atol=1e-5, rtol=0
    )


def test_without_it_other_text_settings_are_refused(parent: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.vocabulary=new"):
        nextword.train(
            "lstm",
            tmp_path / "second.txt",
            tmp_path / "child",
            overrides=TINY | {"text.lower": True},
            start_from=parent,
            quiet=True,
        )
