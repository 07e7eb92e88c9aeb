"""The base classes of models that are trained by gradient descent, and of text encoders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from ..config import Part
from ..nn.recurrent import RecurrentLayer


class TrainableModel(nn.Module, ABC):
    """A model that is trained by gradient descent."""

    vocab_size: int  # V
    context: int | None = None  # the longest usable past in tokens; None = no limit of its own

    @property
    def fixed_shapes(self) -> bool:
        """Whether the computation on a batch depends only on the batch's shape, so that a CUDA
        graph can record it."""
        return False

    @property
    def recurrent_layers(self) -> dict[str, Sequence[RecurrentLayer]]:
        """The recurrent layers, from the bottom up, by the part of the model that reads with them,
        such as "decoder"; the part that predicts comes first. Empty for models without any."""
        return {}

    @property
    def text_encoder(self) -> Encoder | None:
        """The part of the model that computes a vector for each token of a text; None if the model
        has no such part."""
        return None

    @abstractmethod
    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer, from the bottom up. Parameters that belong to no layer
        (word vectors, the head) are left out."""

    def groups(self) -> list[list[nn.Parameter]]:
        """All parameters, each once, in groups: those of each layer from the bottom up, then the
        rest (word vectors and the head). Discriminative learning rates and gradual unfreezing use
        them."""
        layers = self.layer_parameters()
        return [*layers, remaining_parameters(self, layers)]


class TrainedPart(Part):
    """Settings of a model that is trained by gradient descent and has word vectors."""

    freeze_vectors: bool = Field(
        False,
        description="the embedding that text.vectors (or source.vectors) fills does not learn, nor "
        "do output weights that are tied to it",
    )


class EncoderConfig(TrainedPart, ABC):
    """Settings of a model that can be the encoder of a classifier or tagger."""

    encodes: ClassVar[bool] = True
    #: settings of the layers that predict tokens, which an encoder does not have
    of_the_head: ClassVar[frozenset[str]] = frozenset()

    @property
    @abstractmethod
    def output_width(self) -> int:
        """H, the width of the encoder's vectors."""

    @abstractmethod
    def build_encoder(self, vocab_size: int) -> Encoder:
        """Make the encoder, with new weights and without a head."""


def dropout_unused(key: str, layers: int, dropouts: Sequence[float], between: float) -> str | None:
    """`Section.unused` for the dropout settings of recurrent layers.

    Args:
        dropouts: those around the stack of layers.
        between: that between its layers.
    """
    if key == "dropout_hidden" and layers == 1:
        return "models of more than one layer"
    if key == "locked" and not any((*dropouts, between if layers > 1 else 0.0)):
        return "models with dropout"
    return None


class Encoder(TrainableModel):
    """A model that computes a vector for each token of a complete text.

    Example:
        >>> import torch
        >>> from nextword.models.bidirectional import BidirectionalConfig
        >>> encoder = BidirectionalConfig(hidden=6).build_encoder(vocab_size=10)
        >>> ids = torch.tensor([[1, 4, 7], [1, 5, 1]])
        >>> real = torch.tensor([[True, True, True], [True, True, False]])
        >>> vectors = encoder.encode(ids, real)
        >>> vectors.shape, encoder.pool(vectors).shape
        (torch.Size([2, 3, 6]), torch.Size([2, 6]))
    """

    embedding: nn.Embedding
    begin_id: int  # the token that every text begins with
    end_id: int | None = None  # the token that every text ends with; None = no such token

    @property
    @abstractmethod
    def width(self) -> int:
        """H, the width of the vectors."""

    @property
    def text_encoder(self) -> Encoder | None:
        """The model itself."""
        return self

    @abstractmethod
    def encode(self, ids: Tensor, real: Tensor, segments: Tensor | None = None) -> Tensor:
        """Compute a vector for each token.

        Args:
            ids: (B, T) int64; each row begins with `begin_id`.
            real: (B, T) bool, False = padding, which stands at the end of a row.
            segments: (B, T) int64: 0 in the first text of a pair, 1 in the second. An encoder
                without segments ignores it.

        Returns:
            (B, T, H); the vectors of padding have no meaning.

        Example:
            vectors = encoder.encode(ids, ids != pad_id)
        """

    def pool(self, hidden: Tensor) -> Tensor:
        """The vectors (B, T, H) from `encode` → one vector (B, H) for each text. By default it is
        that of the first token, `begin_id`."""
        return hidden[:, 0]


def remaining_parameters(model: nn.Module, groups: list[list[nn.Parameter]]) -> list[nn.Parameter]:
    """The parameters of a model that are in none of the groups, in the order of the model."""
    taken = {id(parameter) for group in groups for parameter in group}
    return [parameter for parameter in model.parameters() if id(parameter) not in taken]
