"""What every model that learns by gradient descent answers for itself, and what an encoder is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from ..config import Part


class TrainableModel(nn.Module, ABC):
    """A model that learns by gradient descent."""

    vocab_size: int
    context: int | None = None  # the longest usable past in tokens; None = no limit of its own

    @property
    def fixed_shapes(self) -> bool:
        """Whether the work of a batch depends on nothing but its shape: only then can a CUDA graph
        record it."""
        return False

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the tensors that each layer's state holds, where the state is recurrent: for
        each layer a tuple of them, differentiable. Empty elsewhere."""
        return ()

    @property
    def text_encoder(self) -> Encoder | None:
        """The part of the model that gives a vector for each token of a text, if it has one."""
        return None

    @abstractmethod
    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer, from the bottom up. What belongs to no layer (word vectors,
        a head) is in none of the lists."""

    def groups(self) -> list[list[nn.Parameter]]:
        """Every parameter once, grouped from the bottom up: each layer, then what turns words into
        vectors and back (one matrix, if tied)."""
        layers = self.layer_parameters()
        return [*layers, remaining_parameters(self, layers)]


class EncoderConfig(Part, ABC):
    """Settings of a model that can be the encoder of a classifier or tagger."""

    encodes: ClassVar[bool] = True

    @property
    @abstractmethod
    def output_width(self) -> int:
        """H, of the vectors that the encoder gives."""

    @abstractmethod
    def build_encoder(self, vocab_size: int) -> Encoder:
        """The model without what predicts words, with fresh weights."""


class Encoder(TrainableModel):
    """A model that gives a vector for each token of a text that is all there."""

    embedding: nn.Embedding
    begin_id: int  # the mark that a text begins with
    end_id: int | None = None  # the mark that it ends with, if the model knows one

    @property
    @abstractmethod
    def width(self) -> int:
        """H, of the vectors."""

    @property
    def text_encoder(self) -> Encoder | None:
        """Itself."""
        return self

    @abstractmethod
    def encode(self, ids: Tensor, real: Tensor, segments: Tensor | None = None) -> Tensor:
        """ids (B, T), real (B, T) False = padding at the end, segments (B, T) → (B, T, H)."""

    def pool(self, hidden: Tensor) -> Tensor:
        """hidden (B, T, H), which `encode` gave → a vector (B, H) for the whole text: here that of
        the mark it begins with."""
        return hidden[:, 0]


def remaining_parameters(model: nn.Module, groups: list[list[nn.Parameter]]) -> list[nn.Parameter]:
    """The parameters of a model that no group holds, in the model's order."""
    taken = {id(parameter) for group in groups for parameter in group}
    return [parameter for parameter in model.parameters() if id(parameter) not in taken]
