"""What all tests share: one thread each, so that several processes of them do not get in each
other's way, and the fixtures that many files need."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

# Libraries read these when they are imported.
os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")})
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
import torch
from hypothesis import settings

from nextword import plot
from nextword.cli.main import main
from tests.support import STORY, Cli, command

# No deadline: a busy machine is slow, not wrong.
settings.register_profile("nextword", max_examples=60, deadline=None)
settings.load_profile("nextword")

# A shell that starts tests in the background has them ignore Ctrl-C, which some send themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tensors in tests are tiny: handing them to a second thread costs more than it saves.
torch.set_num_threads(1)


# Most of what a tiny training takes is the drawing of its curve.
DRAWN = plot.figure


@contextmanager
def not_drawn(path: Any, columns: int = 1, **size: Any) -> Iterator[list[Any]]:
    """An empty file for the curve of a training; any other picture as it is."""
    if Path(path).name != "training.png":
        with DRAWN(path, columns, **size) as axes:
            yield axes
    else:
        yield [MagicMock() for _ in range(columns)]
        Path(path).touch()


plot.figure = not_drawn


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The curve of a training is drawn too."""
    monkeypatch.setattr(plot, "figure", DRAWN)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Files that are named run in this process: workers take longer to start than they save."""
    named = [argument.split("::")[0] for argument in config.args]
    return 0 if named and all(name.endswith(".py") for name in named) else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The toy tasks first: few tests that take long, which one worker would end up doing alone."""
    items.sort(key=lambda item: "learn" not in item.path.parts)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Random numbers begin at the same place, whatever was run before in this process."""
    torch.manual_seed(0)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run a command line in this process: (exit status, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return int(end.value.code or 0), out, err

    return call


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A small text of one's own."""
    path = tmp_path / "text.txt"
    path.write_text(STORY, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small text that nobody changes."""
    path = tmp_path_factory.mktemp("story") / "text.txt"
    path.write_text(STORY, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def lstm_run(story: Path) -> Path:
    """A recurrent run that learnt the story's words; nobody writes into it."""
    folder = story.parent / "run"
    small = "text.tokenizer=word model.hidden=12 model.embedding=8 train.epochs=1 "
    small += "train.batch_size=4 train.bptt=10"
    sets = [part for setting in small.split() for part in ("--set", setting)]
    command("train", "lstm", "--train", story, "--out", folder, "--quiet", *sets)
    return folder
