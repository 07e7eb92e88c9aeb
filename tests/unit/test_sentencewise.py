"""Sentences of equal length in a batch, each from a fresh state, and models that read so."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import nextword
from nextword.data.sentences import EqualLengths
from nextword.models.sentencewise import Sentencewise
from nextword.models.transformer_lm import TransformerLMConfig
from nextword.models.windowed import unwrapped
from nextword.text.tokenizer import EOS
from tests.support import STORY, scatter, tiny

V = 9


def sentences(count: int = 40, longest: int = 6) -> list[list[int]]:
    rng = np.random.default_rng(3)
    return [[*rng.integers(2, V, rng.integers(0, longest + 1)).tolist(), EOS] for _ in range(count)]


def text(lines: list[list[int]]) -> np.ndarray:
    return np.array([index for line in lines for index in line], dtype=np.uint16)


# ---------------------------------------------------------------------------------- the stream


@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_hold_whole_sentences_of_one_length(shuffle: bool) -> None:
    """Every sentence once, `<eos>` before it, none padded; a batch is as full as its length
    allows."""
    lines = sentences()
    stream = EqualLengths(text(lines), 4, 20, shuffle=shuffle, seed=1)
    found, sizes = Counter[tuple[int, ...]](), Counter[int]()
    for batch in stream:
        assert not batch.continues
        assert batch.mask is None
        assert batch.ids[:, 0].eq(EOS).all()
        assert torch.equal(batch.ids[:, 1:], batch.targets[:, :-1])
        assert batch.targets[:, -1].eq(EOS).all()
        assert len(batch.ids) <= 4
        found.update(tuple(row) for row in batch.targets.tolist())
        sizes[batch.ids.shape[1]] += 1
    assert found == Counter(map(tuple, lines))
    lengths = Counter(map(len, lines))
    assert sizes == {length: -(-count // 4) for length, count in lengths.items()}


def test_order() -> None:
    """Without shuffling the text's order within a length, short ones first; with it, the seed's."""
    ids = text(sentences())
    plain = EqualLengths(ids, 4, 20, shuffle=False)
    rows = np.concatenate(plain.rows)
    assert (np.diff(plain.lengths[rows]) >= 0).all()
    same = plain.lengths[rows][1:] == plain.lengths[rows][:-1]
    assert (np.diff(rows)[same] > 0).all()
    orders = [
        np.concatenate(EqualLengths(ids, 4, 20, seed=seed).rows).tolist() for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(rows.tolist())


def test_long_sentences_are_cut() -> None:
    """Into rows of bptt tokens and a rest, each after the token before it."""
    ids = np.array([2, 3, 4, 5, 6, EOS, 7, EOS, 8], dtype=np.uint16)
    stream = EqualLengths(ids, 9, 4, shuffle=False)
    assert [(b.ids.tolist(), b.targets.tolist()) for b in stream] == [
        ([[EOS]], [[8]]),
        ([[5, 6], [EOS, 7]], [[6, EOS], [7, EOS]]),
        ([[EOS, 2, 3, 4]], [[2, 3, 4, 5]]),
    ]


# --------------------------------------------------------------------------------- the wrapper

MODELS: dict[str, Any] = {
    "lstm": lambda: tiny(V).double(),
    "gru": lambda: tiny(V, "gru", layers=2).double(),
    "transformer-lm": lambda: scatter(
        TransformerLMConfig(hidden=8, heads=2, layers=2, context=5).build(V)
    ).eval(),
}


def alone(model: Any, line: list[int]) -> Tensor:
    """Log-probabilities of a sentence from a fresh state."""
    ids = torch.tensor([[EOS, *line[:-1]]])
    return model.score(ids, torch.tensor([line]), model.start(1)).log_prob[0]


@torch.no_grad()
@pytest.mark.parametrize("cut", [1, 7, 1000])
@pytest.mark.parametrize("name", MODELS)
def test_every_sentence_is_read_alone(name: str, cut: int) -> None:
    """Rows whose sentences end at different places, read in pieces: the scores, logits and states
    of each sentence from the start."""
    inner = MODELS[name]()
    model = Sentencewise(inner)
    texts = [sentences(8, longest) for longest in (6, 3)]
    width = min(sum(map(len, lines)) for lines in texts)
    expected = torch.stack(
        [torch.cat([alone(inner, line) for line in lines])[:width] for lines in texts]
    )
    targets = torch.stack([torch.tensor(text(lines)[:width].astype(int)) for lines in texts])
    ids = torch.cat([torch.full((2, 1), EOS), targets[:, :-1]], dim=1)
    scores, state, other = [], model.start(2), model.start(2)
    for first in range(0, width, cut):
        now = slice(first, first + cut)
        scored = model.score(ids[:, now], targets[:, now], state)
        output = model.forward(ids[:, now], state)
        logits = output.logits.log_softmax(-1).gather(2, targets[:, now, None])[..., 0]
        torch.testing.assert_close(logits, scored.log_prob)
        scores.append(scored.log_prob)
        state, other = scored.state, model.advance(ids[:, now], other)
    torch.testing.assert_close(torch.cat(scores, dim=1), expected)
    last = [model.forward(ids[:, -1:], one).logits for one in (state, other)]
    torch.testing.assert_close(*last)


def test_a_run_reads_as_it_was_trained(tmp_path: Path) -> None:
    """Perplexity of a text = of its lines, each scored alone; generation works."""
    file = tmp_path / "text.txt"
    file.write_text(STORY)
    small = {
        "text.tokenizer": "word",
        "model.hidden": 8,
        "model.embedding": 8,
        "train.stream": "sentences",
        "train.epochs": 1,
    }
    run = nextword.train("lstm", file, tmp_path / "run", overrides=small, quiet=True)
    assert isinstance(run.model, Sentencewise)
    assert unwrapped(run.model) is run.model.inner
    lines = STORY.splitlines()
    nll = -sum(score.log_prob for score in nextword.score(run, lines))
    assert nextword.evaluate(run, file).nll == pytest.approx(nll, rel=1e-5)
    assert nextword.generate(run, "the cat", tokens=3, seed=1)
