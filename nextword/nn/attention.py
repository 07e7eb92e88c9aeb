"""Attention: a mean of values, weighted by the scores of their keys against a query.

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
_SHORT = 400  # keys; from about here on the fused attention is as fast as `written_out`


def written_out(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """softmax(q kᵀ / √d) v, step by step (Vaswani et al. 2017, arXiv:1706.03762, equation 1).

    Args:
        q: (B, h, T, d) queries.
        k: (B, h, S, d) keys.
        v: (B, h, S, d) values.
        mask: broadcastable to (B, h, T, S).
        causal: query t attends to the first t + 1 keys only.
        dropout: probability with which a weight is dropped.

    Returns:
        The means of the values (B, h, T, d) and the weights (B, h, T, S) before dropout.

    Example:
        >>> q = torch.zeros(1, 1, 2, 4)
        >>> mean, weights = written_out(q, q, q, causal=True)
        >>> weights[0, 0].tolist()
        [[1.0, 0.0], [0.5, 0.5]]
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
    """The first result of `written_out`, computed by torch's fused attention where that is faster.

    The fused attention is slower on a CPU with dropout, and on a CPU for gradients of short texts
    in bfloat16. It does not give the weights: while they are recorded (under `name`), `written_out`
    runs.
    """
    learns = q.requires_grad and torch.is_grad_enabled()
    short = q.dtype == torch.bfloat16 and learns and k.shape[-2] <= _SHORT
    if recording() or (q.device.type == "cpu" and (dropout or short)):
        mixed, weights = written_out(q, k, v, mask, causal, dropout)
        record(name, weights)
        return mixed
    return F.scaled_dot_product_attention(q, k, v, mask, dropout, causal)


class MultiHeadAttention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2.2).

        head_i = attention(x Q_i, m K_i, m V_i)      output = [head_1 … head_h] O

    The matrices of all heads are blocks of one matrix, so one product serves all heads.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, name: str = "") -> None:
        """`dropout` is applied to the attention weights; `name` is the name under which they are
        recorded."""
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
        """memory (B, S, H) → its keys and values, (B, S, H) each; they are computed once for any
        number of queries."""
        keys, values = self.kv(memory).chunk(2, dim=-1)
        return keys, values

    def forward(
        self, x: Tensor, memory: KeysValues, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """x (B, T, H), keys and values of the memory (B, S, H), mask (B, 1, T, S) → (B, T, H)."""
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


# ------------------------------------ attention of a recurrent decoder to the outputs of an encoder


class Score(nn.Module, ABC):
    """Scores each position of the source against an output of the decoder.

    Example:
        >>> score = DotScore(2)
        >>> memory = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])  # (B=1, S=2, H=2)
        >>> score(torch.tensor([[[3.0, 1.0]]]), score.keys(memory)).tolist()  # query (1, T=1, 2)
        [[[3.0, 2.0]]]
    """

    def __init__(self, width: int, positions: int = 200) -> None:
        """`width`: H. `positions`: the places of a source that a score by location knows."""
        super().__init__()

    def places(self, mask: Tensor) -> Tensor:
        """mask (B, S) True = a token of the source → True = a place that can be attended to."""
        return mask

    def keys(self, memory: Tensor) -> Tensor:
        """memory (B, S, H) → keys (B, S, H), with which queries are compared. They are computed
        once for a source."""
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


class CosineScore(Score):
    """score(h, m) = β cos(h, m), β > 0 learnt (Graves, Wayne, Danihelka 2014, arXiv:1410.5401,
    equations 5 and 6; there the controller emits the key strength β anew at every step, here it is
    one number for the whole model).

    Initially β = √H, so scores of random vectors have a standard deviation of 1 at every width.
    """

    def __init__(self, width: int, positions: int = 200) -> None:
        super().__init__(width)
        self.log_strength = nn.Parameter(torch.tensor(0.5 * math.log(width)))  # ln β

    def keys(self, memory: Tensor) -> Tensor:
        return _unit(memory)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return self.log_strength.exp() * (_unit(query) @ keys.transpose(1, 2))


def _unit(x: Tensor) -> Tensor:
    """Vectors of length 1. A vector of zeros (padding) stays zero."""
    return F.normalize(x, dim=-1, eps=1e-6)


# Adam changes every weight by about the learning rate, and a score is a sum over H or H² weights.
# With the weights of the papers and a learning rate of 2e-3, one step at width 384 changes a score
# by several times the differences between scores, and the model never learns where to attend. So
# the parameters here are √H times the weights of the papers: a step changes the scores √H times
# less.


class GeneralScore(Score):
    """score(h, m) = hᵀ (W / √H) m (Luong, Pham, Manning 2015, section 3.1). It is initialised to
    the dot product."""

    def __init__(self, width: int, positions: int = 200) -> None:
        super().__init__(width)
        self.W = nn.Parameter(torch.eye(width) * math.sqrt(width))

    def keys(self, memory: Tensor) -> Tensor:
        return memory @ self.W.T / math.sqrt(len(self.W))

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.transpose(1, 2)


class AdditiveScore(Score):
    """score(h, m) = (v / √H)ᵀ tanh((W h + U m) / √H + b) (Bahdanau, Cho, Bengio 2015,
    arXiv:1409.0473, appendix A.1.2; "concat" of Luong, Pham, Manning 2015).

    The initial score falls with the distance of h and m: for small vectors it is -|P (h - m)|² plus
    a constant, P (H / 2, H) having orthonormal rows.
    """

    def __init__(self, width: int, positions: int = 200) -> None:
        super().__init__(width)
        # For small y, tanh(b + y) + tanh(b - y) = 2 tanh(b) + tanh''(b) y²; b is the point where
        # tanh'' = -2κ is most negative. Rows of W come in pairs r and -r, so terms odd in y cancel:
        # they would favour some positions for every query. U = -W makes y a projection of h - m.
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


class LocationScore(Score):
    """score_j(h) = (w_j / √H) · h for the j-th place, whatever stands there (Luong, Pham, Manning
    2015, equation 8, "location-based").

    As in the paper the number of places is fixed: a shorter source uses the first w_j, and words of
    a longer one beyond the last w_j are not attended to. The keys are the w_j.
    """

    def __init__(self, width: int, positions: int = 200) -> None:
        super().__init__(width)
        self.W = nn.Parameter(torch.randn(positions, width))

    def places(self, mask: Tensor) -> Tensor:
        return mask & (torch.arange(mask.shape[1], device=mask.device) < len(self.W))

    def keys(self, memory: Tensor) -> Tensor:
        known = self.W[: memory.shape[1]]  # (≤ S, H)
        keys = F.pad(known, (0, 0, 0, memory.shape[1] - len(known)))
        return keys.expand(len(memory), -1, -1)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ keys.transpose(1, 2) / math.sqrt(self.W.shape[1])


def attend_by_score(
    score: Score, query: Tensor, keys: Tensor, memory: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """The mean of a source's vectors, weighted by the softmax of their scores.

    Args:
        query: (B, T, H) outputs of the decoder.
        keys: (B, S, H) from `Score.keys`.
        memory: (B, S, H) outputs of the encoder.
        mask: (B, S) from `Score.places`.

    Returns:
        The means (B, T, H) and the weights (B, T, S), which are also recorded as "source".
    """
    scores = score(query, keys).masked_fill(~mask[:, None], -torch.inf)
    weights = scores.softmax(dim=-1)
    record("source", weights[:, None])
    return weights @ memory, weights
