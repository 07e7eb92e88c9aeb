"""The adding problem (Hochreiter and Schmidhuber 1997, section 5.4; Le et al. 2015, section 4.1):
a sequence of random numbers, two of them marked, the answer their sum at the very end.

Saying 1, the mean, has an error of 1/6. A plain RNN learns nothing better over thirty steps; gated
cells solve the task.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nextword.nn.recurrent import RecurrentStack

STEPS, BATCH, WIDTH = 30, 32, 32
MEAN = 1 / 6  # the variance of the sum of two uniform numbers


def problem(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """x (T, B, 2): number and mark, one mark in each half; y (B,): the marked numbers' sum."""
    numbers = torch.rand(STEPS, batch, generator=generator)
    marks = torch.zeros(STEPS, batch)
    for low, high in ((0, STEPS // 2), (STEPS // 2, STEPS)):
        where = torch.randint(low, high, (batch,), generator=generator)
        marks[where, torch.arange(batch)] = 1
    return torch.stack([numbers, marks], dim=-1), (numbers * marks).sum(0)


def learn(cell: str, updates: int, lr: float) -> float:
    """Train on fresh sequences; the mean squared error on a thousand others."""
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(1)
    stack, readout = RecurrentStack(cell, [2, WIDTH]), nn.Linear(WIDTH, 1)
    parameters = [*stack.parameters(), *readout.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=lr)

    def error(batch: int, generator: torch.Generator) -> Tensor:
        x, y = problem(batch, generator)
        out, _ = stack(x, stack.start(batch))
        return (readout(out[-1])[:, 0] - y).pow(2).mean()

    for update in range(updates):
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - update / updates)
        optimizer.zero_grad()
        error(BATCH, generator).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    with torch.no_grad():
        return float(error(1000, torch.Generator().manual_seed(99)))


@pytest.mark.parametrize(("cell", "updates", "lr"), [("lstm", 1000, 0.02), ("gru", 300, 0.02)])
def test_gated_cells_add(cell: str, updates: int, lr: float) -> None:
    """A twentieth of the error of a guess, or less."""
    assert learn(cell, updates, lr) < MEAN / 20


def test_plain_rnn_does_not() -> None:
    """Twice as many updates as the GRU has, and still no better than a guess."""
    assert learn("elman", 600, 0.01) > 0.9 * MEAN
