"""Attention: means of values, weighted by how well their keys fit a query.

Sizes: B batch, h heads, T queries, S keys, H width, d = H / h. A mask is True where a query may
attend to a key.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention_weights import record, recording
from .dropout import dropout as drop

KeysValues = tuple[Tensor, Tensor]  # (B, S, H) each
_SHORT = 400  # places: measured, two to five times as fast up to 100, as fast at 500


def written_out(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """softmax(q kᵀ / √d) v (Vaswani et al. 2017, arXiv:1706.03762, equation 1).

    q (B, h, T, d), k and v (B, h, S, d), mask broadcastable to (B, h, T, S) → the mean of the
    values (B, h, T, d) and its weights (B, h, T, S). `causal`: query t sees the first t + 1 places.
    """
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if causal:
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(ahead, -torch.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(dim=-1)
    return drop(weights, dropout, dropout > 0, locked=False) @ v, weights


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
    name: str = "",
) -> Tensor:
    """`written_out`, by torch's fused attention unless the weights are to be recorded (as
    `name`), or that is slower: on a CPU where weights are dropped, and for the gradient of short
    texts in bfloat16."""
    learns = q.requires_grad and torch.is_grad_enabled()
    short = q.dtype == torch.bfloat16 and learns and k.shape[-2] <= _SHORT
    if recording() or (q.device.type == "cpu" and (dropout or short)):
        mixed, weights = written_out(q, k, v, mask, causal, dropout)
        record(name, weights)
        return mixed
    return F.scaled_dot_product_attention(q, k, v, mask, dropout, causal)


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each in a narrow projection (Vaswani et al. 2017, section
    3.2.2).

        head_i = attention(x Q_i, m K_i, m V_i)      output = [head_1 … head_h] O

    The heads' matrices are blocks of one, so that all of them are one product.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, name: str = "") -> None:
        """`dropout` of the attention's weights; `name` under which they are recorded."""
        super().__init__()
        self.heads, self.dropout, self.name = heads, dropout, name
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        for linear, blocks in ((self.q, 1), (self.kv, 2), (self.out, 1)):
            for block in linear.weight.chunk(blocks):
                nn.init.xavier_uniform_(block)
            nn.init.zeros_(linear.bias)

    def keys_values(self, memory: Tensor) -> KeysValues:
        """memory (B, S, H) → keys and values (B, S, H), which serve any number of queries."""
        keys, values = self.kv(memory).chunk(2, dim=-1)
        return keys, values

    def forward(
        self, x: Tensor, memory: KeysValues, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """x (B, T, H), the memory's keys and values, mask (B, 1, T, S) → (B, T, H)."""
        p = self.dropout if self.training else 0.0
        keys, values = memory
        mixed = attend(
            self._split(self.q(x)),
            self._split(keys),
            self._split(values),
            mask,
            causal,
            p,
            self.name,
        )
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, H) → (B, h, T, d)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


# ------------------------------------------------- one query against an encoder's outputs (RNNs)


class Score(nn.Module, ABC):
    """How well a decoder's output fits each place of the source."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def keys(self, memory: Tensor) -> Tensor:
        """memory (B, S, H) → what queries are compared with (B, S, H), made once for a source."""
        return memory

    @abstractmethod
    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """query (B, T, H), keys (B, S, H) → scores (B, T, S)."""


class DotScore(Score):
    """score(h, m) = h · m (Luong, Pham, Manning 2015, arXiv:1508.04025, section 3.1)."""

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.transpose(1, 2)


class ScaledDotScore(Score):
    """score(h, m) = h · m / √H (Vaswani et al. 2017, section 3.2.1)."""

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.transpose(1, 2) / math.sqrt(query.shape[-1])


# Adam moves every number of a matrix by about the learning rate, and a score is a sum of H or H²
# of them: as the papers have them, one step at 2e-3 moves a score of width 384 by several times
# what scores differ at first, and where to look is never found. So the numbers kept are √H times
# those of the paper, and a step moves what they stand for √H times less.


class GeneralScore(Score):
    """score(h, m) = hᵀ (W / √H) m, bilinear (Luong, Pham, Manning 2015, section 3.1); at first the
    dot product."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.W = nn.Parameter(torch.eye(width) * math.sqrt(width))

    def keys(self, memory: Tensor) -> Tensor:
        return memory @ self.W.T / math.sqrt(len(self.W))

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.transpose(1, 2)


class AdditiveScore(Score):
    """score(h, m) = (v / √H)ᵀ tanh((W h + U m) / √H + b) (Bahdanau, Cho, Bengio 2015,
    arXiv:1409.0473, appendix A.1.2; "concat" of Luong, Pham, Manning 2015).

    At first it falls with the distance of h and m in half of the directions: for small vectors it
    is -|P (h - m)|² up to a constant, P orthonormal (H / 2, H).
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        # tanh(b + y) + tanh(b - y) is 2 tanh(b) + tanh''(b) y², and b is where tanh'' = -2κ is
        # strongest. Rows come in pairs of r and -r, so that nothing odd in y is left, which would
        # be a favour for some places whatever is asked; U = -W makes y the difference.
        b, κ, v = math.atanh(3**-0.5), (4 / 27) ** 0.5, 2.0
        half = nn.init.orthogonal_(torch.empty(-(-width // 2), width))
        half *= math.sqrt(width * math.sqrt(width) / (2 * κ * v))
        self.W = nn.Parameter(torch.cat([half, -half])[:width])
        self.U = nn.Parameter(-self.W.detach())
        self.b = nn.Parameter(torch.full((width,), b))
        self.v = nn.Parameter(torch.full((width,), v))

    def keys(self, memory: Tensor) -> Tensor:
        return memory @ self.U.T / math.sqrt(len(self.v)) + self.b

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        root = math.sqrt(len(self.v))
        asked = query @ self.W.T / root
        together = asked[:, :, None] + keys[:, None]  # (B, T, S, H)
        return together.tanh() @ self.v / root


def attend_by_score(
    score: Score, query: Tensor, keys: Tensor, memory: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """The mean of a source by its scores.

    query (B, T, H), the source's keys and outputs (B, S, H), mask (B, S) → context (B, T, H) and
    weights (B, T, S), recorded as "source".
    """
    scores = score(query, keys).masked_fill(~mask[:, None], -torch.inf)
    weights = scores.softmax(dim=-1)
    record("source", weights[:, None])
    return weights @ memory, weights
