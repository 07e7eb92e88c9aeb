"""The layers of Transformers (Vaswani et al. 2017, arXiv:1706.03762, section 3). Batch is the first
dimension: x (B, T, H)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import KeysValues, MultiHeadAttention
from .dropout import dropout

Activation = Literal["relu", "gelu", "gelu-tanh"]
PositionKind = Literal["sinusoidal", "learned"]


@dataclass(frozen=True)
class Shape:
    """The sizes and options that all layers of a Transformer share."""

    width: int
    heads: int
    inner: int  # width of the feed-forward part
    dropout: float = 0.0  # of the output of each part, before it is added to the input
    dropout_attention: float = 0.0  # of the attention weights
    pre_norm: bool = True  # normalise the input of each part; False: the sum after each part
    activation: Activation = "relu"
    epsilon: float = 1e-5  # of layer normalisation


class Positions(nn.Module):
    """A vector for each position of the context, sinusoidal (section 3.5) or learnt."""

    def __init__(self, kind: PositionKind, context: int, width: int) -> None:
        super().__init__()
        self.table: Tensor
        if kind == "learned":
            self.table = nn.Parameter(torch.empty(context, width))
            nn.init.normal_(self.table, std=0.02)
        else:
            self.register_buffer("table", sinusoids(context, width), persistent=False)

    def forward(self, positions: Tensor) -> Tensor:
        """positions (B, T) from 0 → (B, T, H)."""
        return F.embedding(positions, self.table)


def sinusoids(context: int, width: int) -> Tensor:
    """PE(t, 2i) = sin(t / 10000^(2i/H)), PE(t, 2i+1) = cos of the same: (context, width)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(context)[:, None] * rates
    table = torch.zeros(context, width)
    table[:, 0::2] = angles.sin()
    table[:, 1::2] = angles.cos()[:, : width // 2]
    return table


class FeedForward(nn.Module):
    """f(x) = act(x W₁ + b₁) W₂ + b₂ (section 3.3)."""

    def __init__(self, width: int, inner: int, activation: Activation) -> None:
        super().__init__()
        self.wide = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)
        self.activation = activation
        for linear in (self.wide, self.narrow):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.narrow(activate(self.wide(x), self.activation))
        return out


def activate(x: Tensor, kind: Activation) -> Tensor:
    """relu, gelu (Hendrycks and Gimpel 2016, arXiv:1606.08415), or its approximation by tanh."""
    if kind == "relu":
        return F.relu(x)
    return F.gelu(x, approximate="tanh" if kind == "gelu-tanh" else "none")


class TransformerLayer(nn.Module):
    """A Transformer layer: self-attention, cross-attention if there is a source, and a feed-forward
    part. The output of each part is added to its input."""

    def __init__(self, shape: Shape, *, source: bool = False, name: str = "") -> None:
        """`source`: the layer has cross-attention. `name`: prefix of the names under which
        attention weights are recorded."""
        super().__init__()
        self.shape = shape
        width, p = shape.width, shape.dropout_attention
        self.attention = MultiHeadAttention(width, shape.heads, p, f"{name}self")
        self.norm = nn.LayerNorm(width, eps=shape.epsilon)
        self.source_attention: MultiHeadAttention | None = None
        if source:
            self.source_attention = MultiHeadAttention(width, shape.heads, p, f"{name}source")
            self.source_norm = nn.LayerNorm(width, eps=shape.epsilon)
        self.feed_forward = FeedForward(width, shape.inner, shape.activation)
        self.feed_forward_norm = nn.LayerNorm(width, eps=shape.epsilon)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None,
        *,
        causal: bool = False,
        cached: KeysValues | None = None,
        source: KeysValues | None = None,
        source_mask: Tensor | None = None,
    ) -> tuple[Tensor, KeysValues]:
        """Run the layer.

        Args:
            x: (B, T, H).
            mask: (B, 1, T, P + T) for self-attention; None = all keys.
            causal: token t attends to the first t + 1 tokens only.
            cached: keys and values (B, P, H) of the tokens before x.
            source: keys and values (B, S, H) of the source.
            source_mask: (B, 1, 1, S).

        Returns:
            The output (B, T, H), and the keys and values (B, P + T, H), the cached ones first.
        """
        read = self._read(x, self.norm)
        keys, values = self.attention.keys_values(read)
        if cached is not None and cached[0].shape[1]:
            keys, values = (
                torch.cat([cached[0], keys], dim=1),
                torch.cat([cached[1], values], dim=1),
            )
        x = self._add(x, self.attention(read, (keys, values), mask, causal), self.norm)
        if self.source_attention is not None and source is not None:
            read = self._read(x, self.source_norm)
            x = self._add(x, self.source_attention(read, source, source_mask), self.source_norm)
        read = self._read(x, self.feed_forward_norm)
        return self._add(x, self.feed_forward(read), self.feed_forward_norm), (keys, values)

    def _read(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        out: Tensor = norm(x) if self.shape.pre_norm else x
        return out

    def _add(self, x: Tensor, said: Tensor, norm: nn.LayerNorm) -> Tensor:
        x = x + dropout(said, self.shape.dropout, self.training, locked=False)
        out: Tensor = x if self.shape.pre_norm else norm(x)
        return out


def causal_mask(count: Tensor, cached: int, steps: int) -> tuple[Tensor | None, bool]:
    """The mask with which `steps` new tokens attend to themselves, to the new tokens before them,
    and, of `cached` keys, to the last `count` (B,) of each row.

    Returns:
        A mask (B or 1, 1, steps, cached + steps), or None if none is needed; and the argument
        `causal` of the attention.
    """
    if cached == 0:
        return None, steps > 1
    ragged = bool((count < cached).any())
    if steps == 1 and not ragged:
        return None, False
    mask = torch.ones(steps, cached + steps, dtype=torch.bool, device=count.device).tril(cached)
    mask = mask[None, None]
    if ragged:
        position = torch.arange(cached + steps, device=count.device)
        mask = mask & (position >= cached - count[:, None])[:, None, None]
    return mask, False
