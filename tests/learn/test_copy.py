"""The copy task: read a few symbols, wait, and say them again (after Hochreiter and Schmidhuber
1997; in this form Arjovsky et al. 2016, arXiv:1511.06464, section 5.1).

The waiting time is drawn anew for every batch of the training, so that no cell can count on it,
and is at its longest in the test. Guessing is right one time in eight.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nextword.nn.recurrent import RecurrentStack

ALPHABET, DELAY, BATCH, WIDTH = 8, 30, 32, 32
BLANK, CUE = ALPHABET, ALPHABET + 1


def problem(
    symbols: int, delay: int, batch: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """x (K + delay + K, B, A + 2), one-hot: symbols, blanks, cues; y (K, B): the symbols."""
    y = torch.randint(0, ALPHABET, (symbols, batch), generator=generator)
    x = torch.full((2 * symbols + delay, batch), BLANK)
    x[:symbols] = y
    x[symbols + delay :] = CUE
    return F.one_hot(x, ALPHABET + 2).float(), y


def learn(cell: str, symbols: int, updates: int, lr: float) -> float:
    """Train on waits up to DELAY; the accuracy at DELAY."""
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(1)
    stack, readout = RecurrentStack(cell, [ALPHABET + 2, WIDTH]), nn.Linear(WIDTH, ALPHABET)
    parameters = [*stack.parameters(), *readout.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=lr)

    def answers(x: Tensor) -> Tensor:
        out, _ = stack(x, stack.start(x.shape[1]))
        return readout(out[-symbols:])  # (K, B, A)

    for update in range(updates):
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - update / updates)
        delay = int(torch.randint(1, DELAY + 1, (1,), generator=generator))
        x, y = problem(symbols, delay, BATCH, generator)
        optimizer.zero_grad()
        F.cross_entropy(answers(x).flatten(0, 1), y.flatten()).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    with torch.no_grad():
        x, y = problem(symbols, DELAY, 500, torch.Generator().manual_seed(99))
        return float((answers(x).argmax(-1) == y).float().mean())


@pytest.mark.parametrize(("cell", "updates", "lr"), [("lstm", 1000, 0.02), ("gru", 400, 0.02)])
def test_gated_cells_copy(cell: str, updates: int, lr: float) -> None:
    """Two symbols, in order, nearly always right."""
    assert learn(cell, 2, updates, lr) > 0.9


def test_plain_rnn_does_not() -> None:
    """As many updates as the LSTM has: far from it."""
    assert learn("elman", 2, 1000, 0.003) < 0.5


def test_identity_rnn_keeps_a_symbol() -> None:
    """Without a gate, but with U = I at the start: one symbol it can hold, the plain RNN cannot."""
    assert learn("irnn", 1, 400, 0.003) > 0.9
    assert learn("elman", 1, 400, 0.003) < 0.5
