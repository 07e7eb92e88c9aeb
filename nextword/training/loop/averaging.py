"""Averaging of weights: the mean is evaluated and kept instead of the current weights.

ASGD (Polyak and Juditsky 1992) averages the weights after each step of plain SGD. NT-ASGD starts
averaging at the first validation that is worse than the best of those more than n validations ago
(Merity et al. 2017, arXiv:1708.02182, section 3; algorithm 1 as in the authors' code). Checkpoint
averaging averages the weights at the last few validations (Vaswani et al. 2017, arXiv:1706.03762,
section 6.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Self

import torch
from torch import Tensor, nn

from ...config import TrainConfig


def worsening(history: Sequence[float], n: int) -> bool:
    """Return whether the last validation is worse than the best of those more than `n` before it.

    With validations 0 to t it is: t > n and history[t] > min(history[0 .. t - n - 1]).
    """
    earlier = history[:-1]
    return len(earlier) > n and history[-1] > min(earlier[: len(earlier) - n])


class Average:
    """The mean of the parameters over the steps since `begin`.

    w̄ ← w̄ + (w - w̄) / k     after the k-th step

    With `last` it is the mean of the last `last` checkpoints instead.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        last: int = 0,
        non_monotone: int | None = None,
    ) -> None:
        """Prepare an average that has not begun.

        Args:
            last: number of checkpoints to average; 0 = average all steps.
            non_monotone: n of NT-ASGD; None = averaging does not begin by itself.
        """
        self.parameters: list[Tensor] = list(parameters)
        self.last = last
        self.non_monotone = non_monotone
        self.checkpoints: dict[int, list[Tensor]] = {}  # step → weights
        self.steps = 0
        self.means: list[Tensor] = []

    @classmethod
    def wanted(cls, parameters: Iterable[nn.Parameter], config: TrainConfig) -> Self:
        """Make the average that the settings describe; it begins at once if average=always."""
        average = cls(
            parameters,
            config.checkpoints if config.average == "checkpoints" else 0,
            config.non_monotone if config.average == "non-monotone" else None,
        )
        if config.average == "always":
            average.begin()
        return average

    @property
    def begun(self) -> bool:
        """Whether there is a mean."""
        return bool(self.means)

    def begin(self) -> None:
        """Start averaging; until the next step the mean equals the current weights."""
        self.means = [p.detach().clone() for p in self.parameters]
        self.steps = 0

    def begin_if_worsening(self, history: Sequence[float]) -> bool:
        """Start averaging if validation stopped improving (NT-ASGD); return whether it started."""
        if self.begun or self.non_monotone is None or not worsening(history, self.non_monotone):
            return False
        self.begin()
        return True

    def checkpoint(self, step: int) -> None:
        """Add the current weights as a checkpoint, if checkpoints are averaged."""
        if self.last:
            self.checkpoints[step] = [p.detach().clone() for p in self.parameters]
            self.remember(dict(sorted(self.checkpoints.items())[-self.last :]))

    def remember(self, checkpoints: dict[int, list[Tensor]]) -> None:
        """Set the checkpoints (step → weights) and compute their mean."""
        self.checkpoints = checkpoints
        together = zip(*checkpoints.values(), strict=True)
        self.means = [torch.stack(values).mean(dim=0) for values in together]

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights after a step to the mean, if averaging has begun."""
        if self.begun and not self.last:
            self.steps += 1
            torch._foreach_lerp_(self.means, self.parameters, 1 / self.steps)

    @contextmanager
    def applied(
        self, whole: Callable[[], AbstractContextManager[Any]] = nullcontext
    ) -> Iterator[None]:
        """Replace the parameters by the mean while the context is open.

        Args:
            whole: makes a context that an interrupt cannot end, for copying the weights.
        """
        if not self.begun:
            yield
            return
        held = [p.detach().clone() for p in self.parameters]
        try:
            with whole():
                self._put(self.means)
            yield
        finally:
            with whole():
                self._put(held)

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)
