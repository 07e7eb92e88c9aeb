"""The inputs of the training loop."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ... import registry
from ...config import Config
from ...data.stream import Stream
from ...models.base import TrainableModel
from ...models.building import with_window
from ...run import Run
from ...tasks import task_of
from ...tasks.results import Validation
from ...tasks.text import wanted_rows
from ...text.corpus import Corpus
from ...text.tokenizer import Tokenizer
from .standing import Standing


@dataclass
class Training:
    """A model to train, its texts and its settings."""

    folder: Path
    config: Config
    model: TrainableModel
    train: Corpus
    valid: Corpus | None
    device: torch.device
    began: float  # time.perf_counter() when the training was requested
    tokenizer: Tokenizer  # in sentence pairs, that of the target side
    starts_trained: bool = False  # has weights of another run: validate before the first step
    _stream: tuple[int, Stream] | None = field(default=None, repr=False)

    def stream(self, epoch: int) -> Stream:
        """Return the batches of an epoch, which depend only on the seed and the epoch."""
        if self._stream is None or self._stream[0] != epoch:
            settings = self.config.train
            kind: type[Stream] = registry.load("stream", settings.stream)
            seed = int(np.random.SeedSequence([settings.seed, epoch]).generate_state(1)[0])
            self._stream = epoch, kind.of(self.train, settings, seed)
        return self._stream[1]

    @property
    def beginning(self) -> Standing:
        """Where the training stands before its first step."""
        return Standing(starts_trained=self.starts_trained)

    @property
    def valid_tokens(self) -> int:
        """The number of tokens in the validation text."""
        return 0 if self.valid is None else len(self.valid)

    @property
    def by_graphs(self) -> bool:
        """Whether steps run as CUDA graphs.

        A graph repeats operations of fixed shapes, so it does not work for models in which shapes
        depend on the words of a batch, such as those with an adaptive softmax.
        """
        wanted = self.config.train.graphs and self.device.type == "cuda"
        return wanted and self.model.fixed_shapes

    def autocast(self) -> AbstractContextManager[object]:
        """Compute products in bfloat16 while the context is open, if train.precision=bf16."""
        if self.config.train.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def validate(self) -> Validation | None:
        """Validate the current weights; None without validation text."""
        if self.valid is None:
            return None
        self.model.eval()
        try:
            model = with_window(self.model, self.config)
            run = Run(self.folder.name, self.config, self.tokenizer, model, str(self.device))
            rows = wanted_rows(self.train, self.config)
            return task_of(self.config).validate(run, self.valid, rows)
        finally:
            self.model.train()
