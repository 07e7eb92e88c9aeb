"""What all tests share."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
import torch
from hypothesis import settings

from nextword.cli.main import main

# No deadline: a busy machine is slow, not wrong.
settings.register_profile("nextword", max_examples=60, deadline=None)
settings.load_profile("nextword")

# A shell that starts tests in the background has them ignore Ctrl-C, which some send themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tensors in tests are tiny: handing them to a second thread costs more than it saves.
torch.set_num_threads(1)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in this process: (exit status, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return int(end.value.code or 0), out, err

    return call
