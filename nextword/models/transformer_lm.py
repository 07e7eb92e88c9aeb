"""The Transformer language model predicts the next token by layers of causal self-attention, in
which no token attends to a later one: ids (B, T) → logits (B, T, V). It is the decoder-only
Transformer of Liu et al. 2018, arXiv:1801.10198; with norm=pre, positions=learned,
activation=gelu-tanh and scale_embedding=false it is GPT-2 (Radford et al. 2019).

    x_t = E[w_t] + P[t]      h = layers(x)      p(w_{t+1}) = softmax(E' h_t + b)
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ..state import concatenate, select, tree_map
from ..text.tokenizer import EOS
from ..types import State
from .base import Encoder, EncoderConfig
from .softmax import HEAD, Headed
from .transformer_settings import CausalStack, Embedded, TransformerSettings


class TransformerLMConfig(TransformerSettings, EncoderConfig):
    """The settings of a Transformer language model."""

    name: Literal["transformer-lm"] = "transformer-lm"
    encodes: ClassVar[bool] = True
    of_the_head: ClassVar[frozenset[str]] = HEAD | {"tied"}

    def build(self, vocab_size: int) -> TransformerLM:
        """Make the model, with new weights."""
        return TransformerLM(self, vocab_size)

    def build_encoder(self, vocab_size: int) -> TransformerLM:
        return self.build(vocab_size).without_head()


class TransformerLM(Headed, Encoder):
    """A Transformer language model with a KV cache.

    The context has C tokens. When it is full, its second half is read again from position 0, and
    the next tokens follow it. So every token attends to at least C / 2 and at most C - 1 tokens
    before it (fewer at the beginning of a text). The result does not depend on the pieces in which
    a text is read.

    State: the ids in the context (B, P), and the state of the layers (see `CausalStack`).
    """

    begin_id = EOS

    def __init__(self, config: TransformerLMConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.context = config.context
        self.embedding = config.embed(vocab_size)
        self.embedded = Embedded(config)
        self.stack = CausalStack(config, source=False, name="layer")
        self.head = config.head(config.hidden, vocab_size)

    @property
    def width(self) -> int:
        return self.config.output_width

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        return [list(layer.parameters()) for layer in self.stack.layers]

    def start(self, batch_size: int) -> State:
        """The state before a text."""
        weight = self.embedding.weight
        ids = torch.zeros(batch_size, 0, dtype=torch.int64, device=weight.device)
        return ids, self.stack.start(batch_size, weight)

    def hidden(self, ids: Tensor, state: State) -> tuple[Tensor, Tensor | None, State]:
        """ids (B, T) → the input of the head (B, T, H), None, the new state."""
        parts = [self.embedding.weight.new_zeros(len(ids), 0, self.config.hidden)]
        while ids.shape[1]:
            room = self.config.context - int(state[1][0].max())
            if room == 0:
                state = self._slide(state)
                continue
            now, ids = ids[:, :room], ids[:, room:]
            h, state = self._read(now, state)
            parts.append(h)
        return (torch.cat(parts, dim=1) if len(parts) > 2 else parts[-1]), None, state

    def encode(self, ids: Tensor, real: Tensor, segments: Tensor | None = None) -> Tensor:
        """ids (B, T) → vectors (B, T, H), each of which depends on its token and those before it.
        Padding is at the end, so it changes no vector of a real token."""
        return self.hidden(ids, self.start(len(ids)))[0]

    def _read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """`hidden` for tokens that fit into the context."""
        visible, cached = state
        x = self.embedded(ids, self.embedding, cached[0])
        h, cached = self.stack(x, cached)
        return h, (torch.cat([visible, ids], dim=1), cached)

    def _slide(self, state: State) -> State:
        """Where the context of a row is full, replace it by its second half, read from position
        0."""
        visible, (count, _) = state
        full = count == self.config.context
        kept = visible[full, -(self.config.context // 2) :]
        _, slid = self._read(kept, self.start(len(kept)))
        if bool(full.all()):
            return slid
        (others,), (rows,) = (~full).nonzero(as_tuple=True), full.nonzero(as_tuple=True)
        back = torch.cat([rows, others]).argsort()
        longest = int(count[others].max())
        waiting = tree_map(lambda leaf: _last(leaf, longest), select(state, others))
        return select(concatenate([slid, waiting]), back)


def _last(leaf: Tensor, places: int) -> Tensor:
    """The last `places` positions of a leaf (B, P, ...); before them there is only padding."""
    return leaf if leaf.dim() == 1 else leaf[:, leaf.shape[1] - places :]
