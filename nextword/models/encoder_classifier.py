"""The common part of classifiers and taggers: an encoder computes vectors of the tokens, and one or
two layers turn vectors into logits of labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, ValidationError, model_validator
from torch import Tensor, nn

from .. import bounds, registry
from ..config import Part, Section, Use
from ..config.messages import explain
from ..errors import InputError
from ..nn.dropout import mask_like
from ..nn.recurrent import RecurrentLayer
from .base import Encoder, EncoderConfig, TrainableModel, TrainedPart, remaining_parameters


class EncoderClassifierConfig(TrainedPart):
    """The common settings of classifiers and taggers."""

    layered: ClassVar[bool] = True

    encoder: dict[str, Any] = Field(
        {"name": "bidirectional"}, description="the model that reads the text: name and settings"
    )
    labels: list[str] = Field([], description="the labels; learnt from the training texts")
    inner: int | None = Field(
        None,
        ge=1,
        le=bounds.WIDTH,
        description="width of a layer before the softmax; none = no such layer",
    )
    dropout: float = Field(
        0.2, ge=0, lt=1, description="dropout before each layer that is put on the encoder"
    )
    frozen: bool = Field(False, description="the encoder's weights are not trained")

    @model_validator(mode="after")
    def _known_encoder(self) -> Self:
        self.encoder.update(self.encoder_config().model_dump(mode="json"))
        return self

    def nested(self) -> dict[str, Section]:
        """The settings of the encoder, under the key `encoder`."""
        return {"encoder": self.encoder_config()}

    def unused(self, key: str, use: Use) -> str | None:
        if key in ("labels", "pairs") and not (key == "labels" and use.starts_from):
            return "stored runs, which take it from their training texts,"
        _, dot, inner = key.partition(".")
        if not dot:
            return super().unused(key, use)
        encoder = self.encoder_config()
        if inner in encoder.of_the_head:
            return "models that predict words"
        return encoder.unused(inner, use._replace(same_model=use.starts_from))

    @property
    def trains_layers(self) -> bool:
        return not self.frozen

    @property
    def by_backend(self) -> bool:
        return self.encoder_config().by_backend

    def encoder_config(self) -> EncoderConfig:
        """The settings of the encoder, checked.

        Raises:
            InputError: there is no encoder of that name.
            ValueError: a setting of the encoder is wrong.
        """
        name = self.encoder.get("name", "bidirectional")
        own, models = registry.names("encoder"), registry.names("model")
        if name in (*own, *models):
            schema: type[Part] = registry.load("encoder" if name in own else "model", name)
            try:
                part = schema.model_validate(self.encoder) if schema.encodes else None
            except ValidationError as error:
                known = [f"model.encoder.{key}" for key in schema.model_fields]
                raise ValueError(explain(error, known, "model.encoder")) from None
            if isinstance(part, EncoderConfig):
                return part
        raise InputError(registry.unknown("encoder", name, [*own, *models]))


class EncoderClassifier(TrainableModel):
    """An encoder, and layers from its vectors to the logits of C labels.

    Batch normalisation (optional) and dropout come before each layer, a ReLU between two layers.
    """

    def __init__(
        self,
        config: EncoderClassifierConfig,
        vocab_size: int,
        vectors: int = 1,
        batch_norm: bool = False,
    ) -> None:
        """`vectors`: how many vectors of the encoder are concatenated as the input of the
        layers."""
        super().__init__()
        self.vocab_size = vocab_size
        self.frozen, self.dropout = config.frozen, config.dropout
        self.encoder: Encoder = config.encoder_config().build_encoder(vocab_size)
        self.context = self.encoder.context
        inner = [config.inner] if config.inner else []
        sizes = [self.encoder.width * vectors, *inner, len(config.labels)]
        layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes[:-1] if batch_norm)
        for layer in layers:
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    @property
    def embedding(self) -> nn.Embedding:
        """The encoder's word vectors."""
        return self.encoder.embedding

    @property
    def text_encoder(self) -> Encoder:
        return self.encoder

    @property
    def recurrent_layers(self) -> dict[str, Sequence[RecurrentLayer]]:
        return self.encoder.recurrent_layers

    def encode(self, ids: Tensor, real: Tensor, segments: Tensor | None) -> tuple[Tensor, Tensor]:
        """Put the encoder's `begin_id` before each text and encode it.

        ids (B, T), real (B, T) False = padding at the end, segments (B, T) → vectors (B, 1 + T, H),
        and `real` (B, 1 + T).
        """
        ids = torch.cat([torch.full_like(ids[:, :1], self.encoder.begin_id), ids], dim=1)
        real = torch.cat([torch.ones_like(real[:, :1]), real], dim=1)
        if segments is not None:
            segments = torch.cat([torch.zeros_like(segments[:, :1]), segments], dim=1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            hidden = self.encoder.encode(ids, real, segments)
        return hidden, real

    def classify(self, x: Tensor) -> Tensor:
        """x (..., P) → logits (..., C)."""
        for index, layer in enumerate(self.layers):
            if index:
                x = x.relu()
            if self.norms:
                x = _normalised(x, self.norms[index])
            if self.training and self.dropout:
                x = x * mask_like(x, self.dropout)
            x = layer(x)
        return x

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        return self.encoder.layer_parameters()

    def groups(self) -> list[list[nn.Parameter]]:
        """The parameters in groups from the bottom up: the encoder's word vectors, each layer of
        the encoder, the new layers."""
        inside = self.layer_parameters()
        new = [p for layer in (*self.norms, *self.layers) for p in layer.parameters()]
        return [remaining_parameters(self, [*inside, new]), *inside, new]


def _normalised(x: Tensor, norm: nn.Module) -> Tensor:
    """Batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167) of x (B, P). A batch of one
    example has no variance: the running statistics are used instead."""
    assert isinstance(norm, nn.BatchNorm1d)
    if len(x) > 1:
        out: Tensor = norm(x)
        return out
    return nn.functional.batch_norm(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
    )
