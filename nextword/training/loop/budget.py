"""The budget of a training: how much is used, and the time left."""

from __future__ import annotations

import time

from ...config import TrainConfig
from .standing import Standing


class Budget:
    """The budget of a training: steps, or minutes if `train.minutes` is set.

    Args:
        at: the progress when the training starts or resumes.
        began: time.perf_counter() when the training was requested.
        batches: number of batches in the current epoch; it may vary from epoch to epoch.
        valid_tokens: number of tokens in the validation text.
    """

    def __init__(
        self, config: TrainConfig, at: Standing, began: float, batches: int, valid_tokens: int
    ) -> None:
        self.minutes, self.accumulate = config.minutes, config.accumulate
        self.epochs, self.batches = config.epochs, batches
        self.began = began - at.seconds
        self.first_step, self.first_second = at.step, self.elapsed  # the preparation is not a step
        self.first_token = at.tokens
        self.valid_tokens = valid_tokens
        self.reserve: float | None = None  # seconds kept for the last validation

    @property
    def elapsed(self) -> float:
        """Seconds of wall time so far, those before a resume included."""
        return time.perf_counter() - self.began

    def used(self, at: Standing) -> float:
        """Return the part of the budget that is used, from 0 to 1.

        Before the first update of the weights no minutes are used: a training has at least one
        update, even if the preparation took longer than `train.minutes`.
        """
        if self.minutes is None:
            return self._taken(at) / (self.epochs * self.batches)
        if at.step < self.accumulate:
            return 0.0
        reserve = self._guess(at) if self.reserve is None else self.reserve
        return min(1.0, self.elapsed / max(1e-9, 60 * self.minutes - reserve))

    def left(self, at: Standing) -> float:
        """Estimate the remaining seconds."""
        if self.minutes is not None:
            return max(0.0, 60 * self.minutes - self.elapsed)
        done = max(1, at.step - self.first_step)
        to_come = self.epochs * self.batches - self._taken(at)
        return (self.elapsed - self.first_second) / done * to_come

    def _taken(self, at: Standing) -> int:
        """Return the steps so far, as if every epoch had as many batches as this one."""
        return at.epoch * self.batches + at.index

    def _guess(self, at: Standing) -> float:
        """Estimate the seconds of the first validation.

        A forward pass takes about a third of a step. The first steps are slow, so the estimate is
        at most half of the time that the preparation left.
        """
        assert self.minutes is not None
        spent, read = self.elapsed - self.first_second, at.tokens - self.first_token
        seconds = self.valid_tokens * spent / read / 3 if read else 0.0
        return min(seconds, max(0.0, 60 * self.minutes - self.first_second) / 2)
