"""What several test files need and no test is."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nextword import registry
from nextword.cli.main import main
from nextword.models.recurrent import RecurrentConfig
from nextword.ngram.storage import Storage, resident
from nextword.nn.recurrent import RecurrentLayer
from nextword.state import detach, leaves
from nextword.text.char import CharTokenizer
from nextword.text.tokenizer import EOS
from nextword.training.loop import loop
from nextword.training.loop.step import Backward
from nextword.training.loop.training import Training
from nextword.types import Batch, State, Term

#: The tokenizers whose tokens are learnt from a text; others come from files, or are ids already.
LEARNT = [
    name
    for name in registry.names("tokenizer")
    if "lower" in registry.load("tokenizer", name).reads
]
STORY = "the cat sat on the mat .\nthe dog ate the cat .\n" * 12

# --------------------------------------------------------------------------------- the command line


class Cli(Protocol):
    """The `cli` fixture: (exit status, standard output, standard error) of a command line."""

    def __call__(self, *arguments: object) -> tuple[int, str, str]: ...


def command(*arguments: object) -> None:
    """Run a command line in this process; it must succeed."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert not end.value.code


def snapshot(folder: Path) -> dict[str, bytes]:
    """All that is in a folder but locks; a folder in it has no bytes, and a name of its own."""
    return {
        str(path.relative_to(folder)) + "/" * path.is_dir(): path.read_bytes()
        if path.is_file()
        else b""
        for path in sorted(folder.rglob("*"))
        if path.name != ".lock"
    }


def interrupt_at(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Send Ctrl-C inside the given call of what learns from a batch."""
    original, calls = loop.backward, 0

    def backward(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*given)

    monkeypatch.setattr(loop, "backward", backward)


# ------------------------------------------------------------------------------- modules of numbers


def scatter(module: Any, std: float = 0.5) -> Any:
    """Double precision, every parameter drawn at random, layer norms around one."""
    for name, parameter in module.named_parameters():
        nn.init.normal_(parameter, std=std)
        if "norm" in name and name.endswith("weight"):
            parameter.data += 1
    return module.double()


def scattered(
    cell: str,
    inputs: int,
    hidden: int,
    dtype: torch.dtype = torch.float64,
    *,
    drop: float = 0.0,
    seed: int = 1,
    std: float = 0.5,
) -> RecurrentLayer:
    """A layer with every parameter drawn at random (no cell near a special point); the same
    numbers in every precision."""
    torch.manual_seed(seed)
    layer = RecurrentLayer(cell, inputs, hidden, drop).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(std * torch.randn(parameter.shape))
    return layer


def sequence(
    layer: RecurrentLayer, steps: int = 4, rows: int = 3, seed: int = 2
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """An input (T, B, I) and a first state that ask for gradients."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(layer.U.dtype).requires_grad_()

    x = drawn(steps, rows, layer.W.shape[1])
    return x, tuple(drawn(*part.shape) for part in layer.start(rows))


def weighted(parts: tuple[Tensor, ...], through: str = "all") -> Tensor:
    """A number that depends on the outputs (the first part), on the last state, or on one of its
    tensors alone."""
    chosen = {
        "all": range(len(parts)),
        "outputs": range(1),
        "state": range(1, len(parts)),
        "h": range(1, 2),
        "end": range(len(parts) - 1, len(parts)),
    }[through]
    generator = torch.Generator().manual_seed(3)
    weights = [torch.randn(part.shape, generator=generator).to(part.dtype) for part in parts]
    return sum(((parts[i].tanh() * weights[i]).sum() for i in chosen), start=torch.zeros(()))


def tiny(vocab_size: int = 9, cell: str = "lstm", **settings: Any) -> Any:
    """A small recurrent model with weights large enough for every token to matter."""
    torch.manual_seed(0)
    model = RecurrentConfig(cell=cell, hidden=8, **settings).build(vocab_size)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model.eval()


def text_ids(count: int, seed: int = 0, vocab_size: int = 9) -> np.ndarray:
    """Ids of any token anywhere, as they lie on disk."""
    return np.random.default_rng(seed).integers(0, vocab_size, count).astype(np.uint16)


def same_state(a: Any, b: Any) -> None:
    assert len(list(leaves(a))) == len(list(leaves(b)))
    for one, other in zip(leaves(a), leaves(b), strict=True):
        torch.testing.assert_close(one, other)


# ----------------------------------------------------------------------------------------- n-grams


def text_of(tokens: int, vocab_size: int, seed: int = 0) -> np.ndarray:
    """Ids in lines of about ten words, each depending on the one before; the last never comes."""
    rng = np.random.default_rng(seed)
    ids = [EOS]
    for _ in range(tokens - 2):
        if rng.random() < 0.1:
            ids.append(EOS)
        elif rng.random() < 0.5:
            ids.append(2 + (3 * ids[-1] + 1) % (vocab_size - 3))
        else:
            ids.append(2 + int(rng.random() ** 2 * (vocab_size - 3)))
    return np.array([*ids, EOS], np.uint32)


def bounded(folder: Path, work: int) -> Storage:
    """Storage that has `work` bytes to work with."""
    folder.mkdir(exist_ok=True)
    storage = Storage(folder, resident() + (1 << 30))
    storage.budget = work
    return storage


#: A tokenizer for tests that read no text.
NO_WORDS = CharTokenizer(["<unk>", "<eos>"], lower=False)


@dataclass
class Learning(Training):
    """A training whose steps are taken one by one."""

    recorded: Backward | None = None  # learns from a batch; none = as the loop would

    def learn(self, batch: Batch, state: State) -> tuple[dict[str, Term], float, State]:
        """Terms, loss, and the state after the batch, cut off from the graph."""
        self.recorded = self.recorded or loop.learner(self)
        state = detach(state) if batch.continues else None
        terms, loss, state = self.recorded(batch.to(self.device), state)
        return terms, float(loss), detach(state)
