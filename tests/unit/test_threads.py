"""Random numbers of one's own, and several threads on one run."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import nextword
from nextword.nn.randomness import generator, initialising, own_generator
from tests.contract.test_earlier_runs import EXPECTED, FOLDER

RUNS = [name for name in EXPECTED if "resumed" in EXPECTED[name]]

SMALL: dict[str, Any] = {
    "text.tokenizer": "word",
    "train.epochs": 2,
    "train.batch_size": 4,
}
LSTM = SMALL | {"model.hidden": 12, "model.embedding": 8, "train.bptt": 10}
#: Trainings that draw random numbers of every kind while they learn.
DRAWING: dict[str, tuple[str, dict[str, Any]]] = {
    "dropout": ("lstm", LSTM | {"model.dropout_hidden": 0.3, "model.dropout_weight": 0.3}),
    "sampled softmax": (
        "gru",
        LSTM | {"model.softmax": "sampled", "model.cutoffs": [3], "model.samples": 2},
    ),
    "scheduled sampling": ("lstm", LSTM | {"objective.name": "scheduled-sampling"}),
    "attention": (
        "transformer-lm",
        SMALL
        | {"model.hidden": 16, "model.layers": 1, "model.heads": 2, "model.inner": 16}
        | {"train.bptt": 10, "model.dropout": 0.3},
    ),
}


@contextmanager
def undisturbed() -> Iterator[None]:
    """The generators of the process are as before when the context ends."""
    torch.manual_seed(3)
    before = states()
    yield
    assert all(map(np.array_equal, states(), before))


def states() -> tuple[Any, ...]:
    """Of torch's, Python's and numpy's generator."""
    numbers: Any = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().numpy(), random.getstate()[1], numbers[1].copy()


def weights(run: nextword.Run) -> dict[str, torch.Tensor]:
    assert run.folder is not None
    return load_file(run.folder / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", DRAWING)
def test_training_draws_from_a_generator_of_its_own(kind: str, story: Path, tmp_path: Path) -> None:
    """The caller's numbers stay as they are, and do not matter."""
    recipe, settings = DRAWING[kind]
    with undisturbed():
        first = nextword.train(recipe, story, tmp_path / "a", overrides=settings, quiet=True)
    torch.manual_seed(4)
    second = nextword.train(recipe, story, tmp_path / "b", overrides=settings, quiet=True)
    other = settings | {"train.seed": 2}
    third = nextword.train(recipe, story, tmp_path / "c", overrides=other, quiet=True)
    assert same(weights(first), weights(second))
    assert not same(weights(first), weights(third))


@pytest.mark.parametrize("name", RUNS)
def test_no_model_disturbs_the_caller(name: str, tmp_path: Path) -> None:
    """Loading and resuming a model of every family."""
    run = Path(shutil.copytree(FOLDER / name, tmp_path / name))
    with undisturbed():
        nextword.load(run)
        nextword.resume(run, overrides={"train.epochs": 3}, quiet=True)


def test_other_verbs_disturb_nobody(lstm_run: Path, story: Path) -> None:
    run = nextword.load(lstm_run)
    with undisturbed():
        nextword.evaluate(run, story, dynamic=nextword.Dynamic())
        nextword.evaluate(run, story, mc_dropout=2)
        nextword.generate(run, "the", tokens=5)
        nextword.find_lr("lstm", story, overrides=LSTM, steps=5)


@pytest.mark.parametrize("kind", DRAWING)
def test_two_trainings_in_two_threads(kind: str, story: Path, tmp_path: Path) -> None:
    """Each gets the weights that it gets alone."""
    recipe, settings = DRAWING[kind]

    def train(name: str, seed: int) -> dict[str, torch.Tensor]:
        torch.set_num_threads(1)
        overrides = settings | {"train.seed": seed}
        return weights(
            nextword.train(recipe, story, tmp_path / name, overrides=overrides, quiet=True)
        )

    alone = [train(f"alone{seed}", seed) for seed in (1, 2)]
    with undisturbed(), ThreadPoolExecutor(2) as pool:
        together = list(pool.map(train, ("together1", "together2"), (1, 2)))
    assert all(map(same, alone, together))


def test_several_threads_evaluate_one_run(lstm_run: Path, story: Path) -> None:
    """Adapting weights, dropout and plain reading at once: the figures of one after the other."""
    run = nextword.load(lstm_run)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}  # type: ignore[attr-defined]
    ways: list[Callable[[], float]] = [
        lambda: nextword.evaluate(run, story).nll,
        lambda: nextword.evaluate(run, story, dynamic=nextword.Dynamic(lr=0.01)).nll,
        lambda: nextword.evaluate(run, story, mc_dropout=3).nll,
        lambda: nextword.evaluate(run, story, dynamic=nextword.Dynamic(method="sgd")).nll,
    ] * 3
    alone = [way() for way in ways[:4]] * 3
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda way: way(), ways))
    assert together == pytest.approx(alone, rel=1e-6)
    assert len({round(nll, 4) for nll in alone}) == 4
    assert same(run.model.state_dict(), before)  # type: ignore[attr-defined]
    assert not run.model.training  # type: ignore[attr-defined]


MAKERS: list[Callable[[], nn.Module]] = [
    lambda: nn.Linear(3, 4),
    lambda: nn.Embedding(5, 3),
    lambda: nn.LSTM(3, 4),
    lambda: nn.MultiheadAttention(4, 2),
    lambda: nn.ParameterList([torch.empty(3, 4).uniform_(-1, 1), torch.randn(3)]),
    lambda: nn.ParameterList([nn.init.orthogonal_(torch.empty(3, 4))]),
    lambda: nn.ParameterList([nn.init.trunc_normal_(torch.empty(3, 4))]),
    lambda: nn.ParameterList([nn.init.xavier_normal_(torch.empty(3, 4))]),
]


@pytest.mark.parametrize("make", MAKERS)
def test_layers_begin_as_after_manual_seed(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(5)
    expected, after = make().state_dict(), torch.get_rng_state()
    with undisturbed(), own_generator(5):
        with initialising():
            made = make().state_dict()
        assert torch.equal(generator().get_state(), after)
    assert same(made, expected)
