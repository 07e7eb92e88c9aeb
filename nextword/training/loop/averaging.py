"""Averaged weights: the mean of all steps from some step on is what is evaluated and kept.

ASGD (Polyak and Juditsky 1992) takes the mean of plain SGD's iterates. NT-ASGD begins it by itself,
at the first validation that is worse than the best of those more than n validations ago (Merity et
al. 2017, arXiv:1708.02182, section 3; algorithm 1 as the authors' code has it). Checkpoint
averaging takes the mean of the weights at the last few validations (Vaswani et al. 2017,
arXiv:1706.03762, section 6.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Self

import torch
from torch import Tensor, nn

from ...config import TrainConfig


def worsening(history: Sequence[float], n: int) -> bool:
    """Whether the last validation loss is worse than the best of those more than `n` before it
    (t > n and v > min of the losses up to t - n - 1, v being loss t)."""
    earlier = history[:-1]
    return len(earlier) > n and history[-1] > min(earlier[: len(earlier) - n])


class Average:
    """The mean of the parameters over the steps since `begin`.

    w̄ ← w̄ + (w - w̄) / k     after the k-th step

    With `last` it is the mean of the last so many checkpoints instead.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        last: int = 0,
        non_monotone: int | None = None,
    ) -> None:
        """`last`: checkpoints to take the mean of, 0 = of steps; `non_monotone`: the validations
        looked back over to tell when to begin, None = it does not begin by itself."""
        self.parameters: list[Tensor] = list(parameters)
        self.last = last
        self.non_monotone = non_monotone
        self.checkpoints: dict[int, list[Tensor]] = {}  # step → weights
        self.steps = 0
        self.means: list[Tensor] = []

    @classmethod
    def wanted(cls, parameters: Iterable[nn.Parameter], config: TrainConfig) -> Self:
        """The mean that the settings want, begun if it is one of all steps."""
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
        return bool(self.means)

    def begin(self) -> None:
        """Until the first step the mean is where the weights stand now."""
        self.means = [p.detach().clone() for p in self.parameters]
        self.steps = 0

    def begin_if_worsening(self, history: Sequence[float]) -> bool:
        """Begin once validation stops getting better (NT-ASGD); whether it begins now."""
        if self.begun or self.non_monotone is None or not worsening(history, self.non_monotone):
            return False
        self.begin()
        return True

    def checkpoint(self, step: int) -> None:
        """Take the present weights as a checkpoint, if the mean is one of checkpoints."""
        if self.last:
            self.checkpoints[step] = [p.detach().clone() for p in self.parameters]
            self.remember(dict(sorted(self.checkpoints.items())[-self.last :]))

    def remember(self, checkpoints: dict[int, list[Tensor]]) -> None:
        """These are the checkpoints; the mean is theirs."""
        self.checkpoints = checkpoints
        together = zip(*checkpoints.values(), strict=True)
        self.means = [torch.stack(values).mean(dim=0) for values in together]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights after a step into the mean; nothing happens before `begin`."""
        if self.begun and not self.last:
            self.steps += 1
            torch._foreach_lerp_(self.means, self.parameters, 1 / self.steps)

    @contextmanager
    def applied(
        self, whole: Callable[[], AbstractContextManager[Any]] = nullcontext
    ) -> Iterator[None]:
        """Within it the parameters hold the mean; afterwards what they held before. `whole`: a
        context that no interrupt ends."""
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
