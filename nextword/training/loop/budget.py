"""How much of a training is used up, and how much time is left."""

from __future__ import annotations

import time

from ...config import TrainConfig
from .standing import Standing


class Budget:
    """How much of the training is used up: of its steps, or of its minutes.

    Args:
        began: time.perf_counter() when the wall time began to count.
        batches: in the present pass; they may vary.
        valid_tokens: in the validation text.
    """

    def __init__(
        self, config: TrainConfig, at: Standing, began: float, batches: int, valid_tokens: int
    ) -> None:
        self.minutes = config.minutes
        self.epochs, self.batches = config.epochs, batches
        self.began = began - at.seconds
        self.first_step, self.first_second = at.step, self.elapsed  # preparing text is no step
        self.first_token = at.tokens
        self.valid_tokens = valid_tokens
        self.reserve: float | None = None  # seconds the last validation took: one more must fit

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self.began

    def used(self, at: Standing) -> float:
        """From 0 to 1."""
        if self.minutes is None:
            return self._taken(at) / (self.epochs * self.batches)
        reserve = self._guess(at) if self.reserve is None else self.reserve
        return min(1.0, self.elapsed / max(1e-9, 60 * self.minutes - reserve))

    def left(self, at: Standing) -> float:
        """Seconds, estimated."""
        if self.minutes is not None:
            return max(0.0, 60 * self.minutes - self.elapsed)
        done = max(1, at.step - self.first_step)
        to_come = self.epochs * self.batches - self._taken(at)
        return (self.elapsed - self.first_second) / done * to_come

    def _taken(self, at: Standing) -> int:
        """Steps so far, if every pass had as many batches as this one."""
        return at.epoch * self.batches + at.index

    def _guess(self, at: Standing) -> float:
        """Seconds of the first validation: a forward pass is about a third of a step. The first
        steps are slow, so at most half of what the preparation left."""
        assert self.minutes is not None
        spent, read = self.elapsed - self.first_second, at.tokens - self.first_token
        seconds = self.valid_tokens * spent / read / 3 if read else 0.0
        return min(seconds, max(0.0, 60 * self.minutes - self.first_second) / 2)
