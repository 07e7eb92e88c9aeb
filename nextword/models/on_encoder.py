"""What is put on an encoder to answer a question about a text: a few layers and a softmax."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, ValidationError, model_validator
from torch import Tensor, nn

from .. import registry
from ..config import Part, Section
from ..errors import InputError
from ..nn.dropout import mask_like
from ..text.tokenizer import EOS
from ..text.wordpiece import CLS


class OnEncoder(Part):
    """Settings of a model whose answers are labels."""

    layered: ClassVar[bool] = True

    encoder: dict[str, Any] = Field(
        {"name": "bidirectional"}, description="the model that reads the text: name and settings"
    )
    labels: list[str] = Field([], description="the labels; learnt from the training texts")
    inner: int | None = Field(
        None, ge=1, description="width of a layer before the softmax; none = no such layer"
    )
    dropout: float = Field(
        0.2, ge=0, lt=1, description="dropout before each layer that is put on the encoder"
    )
    frozen: bool = Field(False, description="the encoder's weights are not trained")

    @model_validator(mode="after")
    def _known_encoder(self) -> Self:
        try:
            part = self.reader()
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(["model.encoder", *(str(place) for place in first["loc"])])
            raise ValueError(f"{key}: {first['msg']}") from None
        self.encoder.update(part.model_dump(mode="json"))
        return self

    def nested(self) -> dict[str, Section]:
        """The encoder's own settings, under its key."""
        return {"encoder": self.reader()}

    def reader(self) -> Any:
        """The encoder's own settings."""
        name = self.encoder.get("name", "bidirectional")
        own = registry.names("encoder")
        models = registry.names("model")
        schema: Any = Part
        if name in (*own, *models):
            schema = registry.load("encoder" if name in own else "model", name)
        if not schema.encodes:
            raise InputError(registry.unknown("encoder", name, [*own, *models]))
        return schema.model_validate(self.encoder)


class Labeller(nn.Module):
    """An encoder, and layers from `width` numbers to the logits of the labels."""

    context = None

    def __init__(
        self, config: OnEncoder, vocab_size: int, vectors: int = 1, normed: bool = False
    ) -> None:
        """`vectors`: of the encoder's, side by side, are what the layers see; `normed`: over the
        examples of a batch."""
        super().__init__()
        self.vocab_size = vocab_size
        self.frozen, self.dropout = config.frozen, config.dropout
        part = config.reader()
        self.begin = CLS if part.name == "bert" else EOS
        if part.name == "bert":
            part = part.model_copy(update={"predicts": False})
        self.encoder: Any = part.build(vocab_size)
        if hasattr(self.encoder, "head"):
            self.encoder.head = nn.Identity()  # what predicts words is not needed
        inner = [config.inner] if config.inner else []
        sizes = [part.output_width * vectors, *inner, len(config.labels)]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes[:-1] if normed)
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.02)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    @property
    def embedding(self) -> nn.Embedding:
        """The encoder's word vectors."""
        table: nn.Embedding = self.encoder.embedding
        return table

    def read(self, ids: Tensor, real: Tensor, segments: Tensor | None) -> tuple[Tensor, Tensor]:
        """ids (B, T), real (B, T) False = padding at the end, segments (B, T) → vectors (B, 1+T, H)
        of the mark before the text and of its tokens, and `real` with the mark."""
        ids = torch.cat([torch.full_like(ids[:, :1], self.begin), ids], dim=1)
        real = torch.cat([torch.ones_like(real[:, :1]), real], dim=1)
        if segments is not None:
            segments = torch.cat([torch.zeros_like(segments[:, :1]), segments], dim=1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            hidden = self.encoder.encode(ids, real, segments)
        return hidden, real

    def answer(self, x: Tensor) -> Tensor:
        """x (..., P) → logits (..., C)."""
        for index, layer in enumerate(self.layers):
            if index:
                x = x.relu()
            if self.norms:
                x = _normed(x, self.norms[index])
            if self.training and self.dropout:
                x = x * mask_like(x, self.dropout)
            x = layer(x)
        return x

    def groups(self) -> list[list[nn.Parameter]]:
        """Parameters from the bottom up: word vectors, each layer of the encoder, what is new."""
        stack = getattr(self.encoder, "stack", self.encoder)
        blocks: list[Any] = []
        if hasattr(stack, "layers"):
            blocks = list(stack.layers)
        elif hasattr(stack, "to_right"):
            blocks = [
                nn.ModuleList(pair) for pair in zip(stack.to_right, stack.to_left, strict=True)
            ]
        inside = [list(block.parameters()) for block in blocks]
        top = [p for layer in (*self.norms, *self.layers) for p in layer.parameters()]
        taken = {id(p) for part in (*inside, top) for p in part}
        bottom = [p for p in self.parameters() if id(p) not in taken]
        return [part for part in (bottom, *inside, top) if part]


def _normed(x: Tensor, norm: Any) -> Tensor:
    """Batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167) of x (B, P). A batch of one
    example has no spread of its own and takes that of the batches before it."""
    if len(x) > 1:
        out: Tensor = norm(x)
        return out
    return nn.functional.batch_norm(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
    )
