"""Small tasks of whole sequences: say one again, say it backwards, and mark each symbol by what
comes after it.

Guessing a symbol is right one time in six, a whole sequence next to never.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextword import registry
from nextword.generation.beam import beam_search
from nextword.models.seq2seq import Seq2SeqConfig
from nextword.models.transformer import TransformerConfig
from nextword.nn.bidirectional import Bidirectional, OneWay
from nextword.objectives.causal import Causal
from nextword.text.tokenizer import EOS
from nextword.training.loop.step import sum_of
from nextword.types import Batch

SYMBOLS, SPECIAL = 6, 2
V = SYMBOLS + SPECIAL
BATCH, LONGEST = 32, 4


def problem(rows: int, shortest: int, longest: int, seed: int, backwards: bool) -> Batch:
    """Sources of random symbols and lengths up to their <eos>; the same, or reversed, to write."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(shortest, longest + 1, (rows,), generator=generator)
    width = int(lengths.max()) + 1
    source = torch.randint(SPECIAL, V, (rows, width), generator=generator)
    place = torch.arange(width)
    source[place >= lengths[:, None]] = EOS
    targets = source.clone()
    if backwards:
        order = torch.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)
        targets = source.gather(1, order)
    ids = torch.cat([torch.full((rows, 1), EOS), targets[:, :-1]], 1)
    mask = place <= lengths[:, None]
    return Batch(ids, targets, False, mask, source=source, source_mask=mask)


def learn(model: Any, backwards: bool, updates: int, longest: int = LONGEST) -> Any:
    lr = 1e-2
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, betas=(0.9, 0.98))
    warm = updates // 10
    model.train()
    for update in range(updates):
        share = min((update + 1) / warm, (updates - update) / (updates - warm))
        for group in optimizer.param_groups:
            group["lr"] = lr * share
        batch = problem(BATCH, 1, longest, 1000 + update, backwards)
        terms, _ = Causal()(model, batch, batch.start(model))
        optimizer.zero_grad()
        sum_of(terms).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


@torch.no_grad()
def exact(model: Any, backwards: bool, shortest: int = 1, longest: int = LONGEST) -> float:
    """The share of new sequences that it writes without a fault, word by word to the end mark."""
    rows = 200
    batch = problem(rows, shortest, longest, 7, backwards)
    assert batch.source_mask is not None
    limits = [longest + 3] * rows
    found = beam_search(
        model, torch.full((rows,), EOS), batch.start(model), limits, beam=1, end=EOS
    )
    right = 0
    for row, ((best, *_), length) in enumerate(zip(found, batch.source_mask.sum(1), strict=True)):
        right += best.ended and best.ids == batch.targets[row, : int(length) - 1].tolist()
    return right / rows


def recurrent(attention: str) -> Any:
    torch.manual_seed(1)
    config = Seq2SeqConfig(cell="gru", hidden=64, embedding=16, attention=attention)
    return config.build(V, V)


OTHERS = [name for name in registry.names("attention") if name != "dot"]


@pytest.mark.parametrize(
    ("attention", "backwards"),
    [
        ("dot", False),
        ("dot", True),
        *(pytest.param(name, True, marks=pytest.mark.slow) for name in OTHERS),
    ],
)
def test_recurrent_models_with_attention(attention: str, backwards: bool) -> None:
    """Every score finds the place to look at: all sequences without a fault."""
    assert exact(learn(recurrent(attention), backwards, 500), backwards) == 1.0


@pytest.mark.parametrize("attention", ["dot", "none"])
def test_without_attention_long_sequences_are_harder(attention: str) -> None:
    """With as many updates, one vector does not hold eight symbols; looking back needs not."""
    model = learn(recurrent(attention), False, 400, longest=8)
    right = exact(model, False, shortest=7, longest=8)
    assert right > 0.9 if attention == "dot" else right < 0.6


@pytest.mark.parametrize("backwards", [False, True], ids=["copy", "reverse"])
def test_transformer(backwards: bool) -> None:
    """All sequences without a fault, by places alone."""
    torch.manual_seed(1)
    config = TransformerConfig(
        hidden=32, heads=2, layers=1, inner=64, context=16, dropout=0.0, positions="learned"
    )
    model = learn(config.build(V, V), backwards, 600)
    assert exact(model, backwards) == 1.0


# -------------------------------------------------------------------------------------- tagging


def tags(rows: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Symbols (T, B), lengths (B,), and for each symbol whether its like comes again (T, B)."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(4, 13, (rows,), generator=generator)
    x = torch.randint(SYMBOLS, (12, rows), generator=generator)
    inside = torch.arange(12)[:, None] < lengths
    again = (x[:, None] == x[None]) & inside[None]  # (T, T', B)
    later = torch.ones(12, 12, dtype=torch.bool).triu(1)[..., None]
    return x, lengths, (again & later).any(1)


def tagging(kind: Any) -> float:
    """The share of new symbols that are marked right."""
    torch.manual_seed(1)
    reader, readout = kind("gru", [SYMBOLS, 48]), nn.Linear(48, 1)
    parameters = [*reader.parameters(), *readout.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)

    def marks(x: Tensor, lengths: Tensor) -> Tensor:
        out, _ = reader(F.one_hot(x, SYMBOLS).float(), lengths)
        return readout(out)[..., 0]

    for update in range(400):
        x, lengths, y = tags(BATCH, 1000 + update)
        inside = torch.arange(12)[:, None] < lengths
        loss = F.binary_cross_entropy_with_logits(marks(x, lengths)[inside], y[inside].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        x, lengths, y = tags(300, 7)
        inside = torch.arange(12)[:, None] < lengths
        return float(((marks(x, lengths) > 0) == y)[inside].float().mean())


def test_reading_both_ways_sees_what_comes() -> None:
    """Whether a symbol comes again: known from the right, guessed from the left."""
    assert tagging(Bidirectional) > 0.95
    assert tagging(OneWay) < 0.8
