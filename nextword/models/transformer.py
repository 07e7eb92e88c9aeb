"""The Transformer for translation: an encoder reads a source (B, S), and a decoder predicts the
target (B, T) by causal self-attention and by cross-attention to the encoder's outputs (Vaswani et
al. 2017, arXiv:1706.03762, section 3)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from .. import bounds
from ..nn.transformer import TransformerLayer
from ..types import State
from .softmax import Headed
from .transformer_settings import CausalStack, Embedded, TransformerSettings


class TransformerConfig(TransformerSettings):
    """The settings of the Transformer for translation."""

    name: Literal["transformer"] = "transformer"
    task: ClassVar[str] = "pairs"

    layers: int = Field(
        3, ge=1, le=bounds.LAYERS, description="number of layers of the encoder, and of the decoder"
    )

    def build(self, vocab_size: int, source_vocab_size: int, joint: bool = False) -> Transformer:
        """Make the model, with new weights."""
        return Transformer(self, vocab_size, source_vocab_size, joint)


class Encoder(nn.Module):
    """Layers in which every token attends to all tokens of the source."""

    def __init__(self, config: TransformerSettings) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerLayer(config.shape, name=f"encoder.{i}.") for i in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.hidden) if config.norm == "pre" else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, S, H), mask (B, S) → (B, S, H)."""
        for layer in self.layers:
            x, _ = layer(x, mask[:, None, None])
        out: Tensor = self.norm(x)
        return out


class Transformer(Headed):
    """A language model of targets that also attends to a source.

    State: the mask of the source (B, S), its keys and values (B, S, H) for each decoder layer, and
    the state of the decoder (see `CausalStack`). A target has at most `context` tokens.
    """

    def __init__(
        self, config: TransformerConfig, vocab_size: int, source_vocab_size: int, joint: bool
    ) -> None:
        """`joint`: source and target share one vocabulary and one embedding (section 3.4)."""
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.context = config.context
        self.embedding = config.embed(vocab_size)
        self.own_source = None if joint else config.embed(source_vocab_size)
        self.embedded = Embedded(config)
        self.encoder = Encoder(config)
        self.stack = CausalStack(config, source=True, name="decoder")
        self.head = config.head(config.hidden, vocab_size)

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer: the encoder's, then the decoder's."""
        layers = (*self.encoder.layers, *self.stack.layers)
        return [list(layer.parameters()) for layer in layers]

    @property
    def source_embedding(self) -> nn.Embedding:
        """The word vectors of the source."""
        return self.embedding if self.own_source is None else self.own_source

    def start(self, source: Tensor, mask: Tensor) -> State:
        """source (B, S), mask (B, S) → the state before the first token of the target."""
        memory = self.encoder(self.embedded(source, self.source_embedding), mask)
        return mask, self.stack.sources(memory), self.stack.start(len(source), memory)

    def hidden(self, ids: Tensor, state: State) -> tuple[Tensor, Tensor | None, State]:
        """ids (B, T) → the input of the head (B, T, H), None, the new state."""
        mask, sources, cached = state
        x = self.embedded(ids, self.embedding, cached[0])
        h, cached = self.stack(x, cached, sources, mask)
        return h, None, (mask, sources, cached)
