"""A label for a text, or for two: an encoder, its vectors pooled, a softmax over the labels.

first:  tanh(C h_1 + c), BERT's (Devlin et al. 2019, section 3.2)
mean:   Σ_t h_t / T
concat: [h_T; mean_t h_t; max_t h_t], ULMFiT's (Howard and Ruder 2018, arXiv:1801.06146,
        section 3.3)
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, ValidationError, model_validator
from torch import Tensor, nn

from .. import registry
from ..config import Part
from ..errors import InputError
from ..nn.dropout import mask_like
from ..text.tokenizer import EOS
from ..text.wordpiece import CLS


class ClassifierConfig(Part):
    name: Literal["classifier"] = "classifier"
    reads: ClassVar[str] = "labelled"
    layered: ClassVar[bool] = True

    encoder: dict[str, Any] = Field(
        {"name": "bidirectional"}, description="a model that reads: its name and settings"
    )
    labels: list[str] = Field([], description="learnt from the training texts")
    pairs: bool = Field(False, description="an example is two texts: as the training texts are")
    pooling: Literal["first", "mean", "concat"] = "concat"
    inner: int | None = Field(None, ge=1, description="width of a layer before the softmax")
    dropout: float = Field(0.2, ge=0, lt=1, description="before each of the last layers")
    frozen: bool = Field(False, description="the encoder stays as it is")

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

    def reader(self) -> Any:
        """The encoder's own settings."""
        name = self.encoder.get("name", "bidirectional")
        own = registry.names("encoder")
        models = registry.names("model")
        schema: Any = None
        if name in (*own, *models):
            schema = registry.load("encoder" if name in own else "model", name)
        if not hasattr(schema, "output_width"):
            raise InputError(registry.unknown("encoder", name, [*own, *models]))
        return schema.model_validate(self.encoder)

    def build(self, vocab_size: int) -> Classifier:
        return Classifier(self, vocab_size)


class Classifier(nn.Module):
    """Texts → logits of their labels."""

    context = None

    def __init__(self, config: ClassifierConfig, vocab_size: int) -> None:
        super().__init__()
        c = self.config = config
        self.vocab_size = vocab_size
        part = c.reader()
        self.begin = CLS if part.name == "bert" else EOS
        if part.name == "bert":
            part = part.model_copy(update={"predicts": False})
        self.encoder: Any = part.build(vocab_size)
        if hasattr(self.encoder, "head"):
            self.encoder.head = nn.Identity()  # what predicts words is not needed
        width = part.output_width * (3 if c.pooling == "concat" else 1)
        sizes = [width, *([c.inner] if c.inner else []), len(c.labels)]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.02)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    @property
    def embedding(self) -> nn.Embedding:
        """The encoder's word vectors."""
        table: nn.Embedding = self.encoder.embedding
        return table

    def forward(self, ids: Tensor, real: Tensor, segments: Tensor | None = None) -> Tensor:
        """ids (B, T), real (B, T) False = padding at the end, segments (B, T) → logits (B, C)."""
        ids = torch.cat([torch.full_like(ids[:, :1], self.begin), ids], dim=1)
        real = torch.cat([torch.ones_like(real[:, :1]), real], dim=1)
        if segments is not None:
            segments = torch.cat([torch.zeros_like(segments[:, :1]), segments], dim=1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.frozen):
            hidden = self.encoder.encode(ids, real, segments)
        x = self._pool(hidden, real)
        for index, layer in enumerate(self.layers):
            if index:
                x = x.relu()
            if self.training and self.config.dropout:
                x = x * mask_like(x, self.config.dropout)
            x = layer(x)
        return x

    def _pool(self, hidden: Tensor, real: Tensor) -> Tensor:
        """hidden (B, T, H) → (B, P)."""
        if self.config.pooling == "first":
            first: Tensor = (
                self.encoder.pool(hidden) if hasattr(self.encoder, "pool") else hidden[:, 0]
            )
            return first
        counts = real.sum(dim=1, keepdim=True)
        mean = (hidden * real[..., None]).sum(dim=1) / counts
        if self.config.pooling == "mean":
            return mean
        last = hidden[torch.arange(len(hidden), device=hidden.device), counts[:, 0] - 1]
        largest = hidden.masked_fill(~real[..., None], -torch.inf).amax(dim=1)
        return torch.cat([last, mean, largest], dim=1)

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
        top = [p for layer in self.layers for p in layer.parameters()]
        taken = {id(p) for part in (*inside, top) for p in part}
        bottom = [p for p in self.parameters() if id(p) not in taken]
        return [part for part in (bottom, *inside, top) if part]
