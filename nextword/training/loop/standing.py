"""The progress of a training: what a resumed training must know besides its tensors."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from ...types import Batch


@dataclass
class Standing:
    """The progress of a training."""

    step: int = 0  # batches trained on
    epoch: int = 0  # from 0
    index: int = 0  # of the next batch in this epoch
    tokens: int = 0  # tokens trained on
    seconds: float = 0.0  # wall time at the last save
    valid_step: int = -1  # step of the last validation; -1 = none
    history: list[float] = field(default_factory=list)  # `Validation.cost` of each validation
    kept_step: int = -1  # step of the weights in model.safetensors; -1 = none
    averaged_steps: int = 0  # steps in the mean of the weights
    averaged_from: int = 0  # number of validations before averaging began
    metrics_bytes: int = 0  # length of metrics.jsonl at the last save
    scales: float = 0.0  # sum of the batches' `lr_scale` since the last update of the weights
    starts_trained: bool = False  # the first weights come from another run

    def check(self) -> None:
        """Raise ValueError if a number cannot be the progress of a training."""
        numbers = asdict(self)
        history = numbers.pop("history")
        if not isinstance(history, list) or not all(isinstance(x, (int, float)) for x in history):
            raise ValueError(f"history is {history!r}")
        for name, value in numbers.items():
            usual = (int, float) if name in ("seconds", "scales") else int
            if not isinstance(value, usual) or not -1 <= value < 1 << 62:
                raise ValueError(f"{name} is {value!r}")

    @property
    def best(self) -> float:
        """The lowest `Validation.cost` so far."""
        return min(self.history, default=float("inf"))

    @property
    def without_improvement(self) -> int:
        """The number of validations since the best one."""
        if not self.history:
            return 0
        return len(self.history) - 1 - self.history.index(self.best)

    def scale_of_update(self, batch: Batch, accumulate: int) -> float | None:
        """Count a batch's `lr_scale`; return the mean of the last `accumulate` ones if the weights
        are updated after this batch, else None."""
        self.scales += batch.lr_scale
        if (self.step + 1) % accumulate:
            return None
        mean, self.scales = self.scales / accumulate, 0.0
        return mean

    def advance(self, batch: Batch) -> None:
        """Count a batch that was trained on."""
        self.step += 1
        self.index += 1
        self.tokens += batch.tokens
