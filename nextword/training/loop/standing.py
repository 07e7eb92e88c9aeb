"""Where a training stands: what a resumed one must know besides its tensors."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...types import Batch


@dataclass
class Standing:
    """Where a training stands."""

    step: int = 0  # batches taken
    epoch: int = 0
    index: int = 0  # of the next batch in this epoch's stream
    tokens: int = 0
    seconds: float = 0.0
    valid_step: int = -1  # of the last validation
    history: list[float] = field(default_factory=list)  # nats per token, validation by validation
    kept_step: int = -1  # of the weights in model.safetensors
    averaged_steps: int = 0
    averaged_from: int = 0  # validations before the averaging began
    metrics_bytes: int = 0

    @property
    def best(self) -> float:
        return min(self.history, default=float("inf"))

    @property
    def without_improvement(self) -> int:
        """Validations since the best one."""
        if not self.history:
            return 0
        return len(self.history) - 1 - self.history.index(self.best)

    def advance(self, batch: Batch) -> None:
        """A batch has been learnt from."""
        self.step += 1
        self.index += 1
        self.tokens += batch.tokens
