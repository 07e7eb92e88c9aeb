"""Heads: layers that turn hidden vectors into a distribution over the next token."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .kernels.cross_entropy import chunks, log_prob, log_prob_and_hit
from .kernels.product import low_precision, product
from .randomness import generator_of


class Head(Protocol):
    """Turns hidden vectors into logits and log-probabilities of tokens.

    The input embedding (V, H) is an argument of every call, for heads that are tied to it.

    Example:
        >>> head, embedding = SoftmaxHead(4, vocab_size=9, tied=True), torch.zeros(9, 4)
        >>> hidden, targets = torch.ones(2, 3, 4), torch.zeros(2, 3, dtype=torch.int64)
        >>> head(hidden, embedding).shape
        torch.Size([2, 3, 9])
        >>> log_prob, hit = head.score(hidden, targets, embedding)
        >>> log_prob.exp()[0, 0].item()  # all logits are 0, so each token has 1/9
        0.1111...
    """

    def __call__(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """hidden (..., H), embedding (V, H) → logits (..., V); their log-softmax is log p."""
        ...

    def score(
        self, hidden: Tensor, targets: Tensor, embedding: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Score given tokens without making all logits at once.

        Args:
            hidden: (..., H).
            targets: (...) int64 ids.
            embedding: (V, H) the input embedding.

        Returns:
            The natural log-probabilities (...) of the targets, and whether each target was the most
            probable token (...) bool. The second is None under gradient where it would cost extra
            work.

        Example:
            log_prob, hit = head.score(hidden, targets, model.embedding.weight)
        """
        ...

    def mean_log_prob(
        self, hidden: Tensor, targets: Tensor, log_prob: Tensor, embedding: Tensor
    ) -> Tensor:
        """The mean of log p over the whole vocabulary (...), for label smoothing. `log_prob` is the
        result of `score` for the same targets.

        Raises:
            InputError: this kind of head cannot compute it cheaply.
        """
        ...


class SoftmaxHead(nn.Module):
    """The full softmax: logits = hidden Eᵀ + b. With `tied`, E is the input embedding (Press and
    Wolf 2017, arXiv:1608.05859; Inan et al. 2017, arXiv:1611.01462)."""

    def __init__(self, width: int, vocab_size: int, tied: bool) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.zeros(vocab_size))
        self.E: nn.Parameter | None = None
        if not tied:
            self.E = nn.Parameter(torch.empty(vocab_size, width))
            nn.init.uniform_(self.E, -(width**-0.5), width**-0.5)

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """hidden (..., H), the input embedding (V, H) → logits (..., V)."""
        return _logits(hidden, embedding if self.E is None else self.E, self.b)

    def score(
        self, hidden: Tensor, targets: Tensor, embedding: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """See `Head`."""
        E = embedding if self.E is None else self.E
        h, y = hidden.flatten(0, -2), targets.contiguous().flatten()
        if torch.is_grad_enabled():
            log_probs, hit = log_prob_and_hit(h, E, self.b, y)
            return log_probs.view(targets.shape), hit.view(targets.shape)
        log_probs, best = _scored(h, E, self.b, y)
        return log_probs.view(targets.shape), (best == y).view(targets.shape)

    def mean_log_prob(
        self, hidden: Tensor, targets: Tensor, log_prob: Tensor, embedding: Tensor
    ) -> Tensor:
        """See `Head`. It is the mean of the logits z minus log Z, and log Z = z_y - log p_y."""
        E = embedding if self.E is None else self.E
        h = hidden.to(E.dtype)
        of_targets = (h * F.embedding(targets, E)).sum(dim=-1) + self.b[targets]
        return h @ E.mean(dim=0) + self.b.mean() - (of_targets - log_prob)


class SampledHead(SoftmaxHead):
    """A softmax whose normaliser Z is estimated from a sample while it learns, and exact otherwise.

        Z ≈ Σ_{w in A} exp z_w + (V - |A|) / K · Σ_{w in S} exp z_w

    A holds the first `frequent` words and all targets of the batch; S holds K other words, drawn
    uniformly, the same for the whole batch. The expected value of the estimate is Z (importance
    sampling: Bengio and Senécal 2008; a sample shared by the batch: Jean et al. 2015,
    arXiv:1412.2007, section 3). The cost of a training step does not grow with the vocabulary, and
    the head may be tied.
    """

    def __init__(
        self, width: int, vocab_size: int, tied: bool, frequent: int, samples: int
    ) -> None:
        """`frequent`: ids below it are always in A. `samples`: K."""
        super().__init__(width, vocab_size, tied)
        self.frequent, self.samples = frequent, samples

    def score(
        self, hidden: Tensor, targets: Tensor, embedding: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """See `Head`."""
        if not (self.training and torch.is_grad_enabled()):
            return super().score(hidden, targets, embedding)
        E = embedding if self.E is None else self.E
        y = targets.contiguous().flatten()
        counted = torch.zeros(len(self.b), dtype=torch.bool, device=y.device)
        counted[: self.frequent] = True
        counted[y] = True
        others = (~counted).nonzero()[:, 0]
        drawn = others[_order(len(others), y.device)[: self.samples]]
        counted[drawn] = True
        candidates = counted.nonzero()[:, 0]
        place = counted.cumsum(0) - 1  # id → its row among the candidates
        weight = torch.zeros(len(candidates), dtype=E.dtype, device=y.device)
        if len(drawn):
            weight[place[drawn]] = math.log(len(others) / len(drawn))
        log_probs = log_prob(
            hidden.flatten(0, -2), E[candidates], self.b[candidates] + weight, place[y]
        )
        return log_probs.view(targets.shape), None


class MixtureHead(SoftmaxHead):
    """A mixture of softmaxes (Yang et al. 2018, arXiv:1711.03953, section 2.3, equation 5). The
    matrix of its log-probabilities can have a higher rank than that of a single softmax.

        p(w) = Σ_k π_k softmax(E h_k + b)_w,   π = softmax(P hidden),   h_k = tanh(M_k hidden + m_k)
    """

    def __init__(self, width: int, vocab_size: int, tied: bool, softmaxes: int) -> None:
        super().__init__(width, vocab_size, tied)
        self.prior = nn.Linear(width, softmaxes, bias=False)
        self.latent = nn.Linear(width, softmaxes * width)

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """hidden (..., H) → log-probabilities (..., V), which are logits too."""
        shares, latent = self._parts(hidden)
        logits = super().forward(latent, embedding)
        return (shares[..., None] + logits.log_softmax(dim=-1)).logsumexp(dim=-2)

    def score(
        self, hidden: Tensor, targets: Tensor, embedding: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """See `Head`."""
        h, y = hidden.flatten(0, -2), targets.contiguous().flatten()
        if torch.is_grad_enabled():
            E = embedding if self.E is None else self.E
            shares, latent = self._parts(h)  # (N, K), (N, K, H)
            each = log_prob(latent.flatten(0, 1), E, self.b, y.repeat_interleave(shares.shape[1]))
            return (shares + each.view(shares.shape)).logsumexp(dim=-1).view(targets.shape), None
        log_probs, best = [], []
        for some in chunks(len(h), len(self.b) * self.prior.out_features):
            mixed = self(h[some], embedding)
            log_probs.append(mixed.gather(1, y[some, None])[:, 0])
            best.append(mixed.argmax(dim=-1))
        hit = torch.cat(best) == y
        return torch.cat(log_probs).view(targets.shape), hit.view(targets.shape)

    def mean_log_prob(
        self, hidden: Tensor, targets: Tensor, log_prob: Tensor, embedding: Tensor
    ) -> Tensor:
        """See `Head`."""
        raise InputError("label smoothing needs model.softmaxes=1")

    def _parts(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """hidden (..., H) → log π (..., K), h_k (..., K, H)."""
        latent = self.latent(hidden).tanh()
        shares = self.prior(hidden).to(self.b.dtype).log_softmax(dim=-1)
        return shares, latent.view(*hidden.shape[:-1], -1, hidden.shape[-1])


class AdaptiveHead(nn.Module):
    """The adaptive softmax (Grave et al. 2017, arXiv:1609.04309, section 4). A first softmax
    chooses a frequent word or a cluster of rarer words; a second one chooses the word in the
    cluster. The vectors of each cluster are narrower than those of the one before.

        p(w) = p_head(w)                          w < c_1
        p(w) = p_head(cluster i) p_i(w)           c_i ≤ w < c_{i+1},  p_i from (hidden P_iᵀ)

    Ids must be sorted from frequent to rare words, as those of the word tokenizer are.
    """

    def __init__(self, width: int, vocab_size: int, cutoffs: list[int], shrink: float = 4) -> None:
        """`cutoffs`: the first id of each cluster, rising. `shrink`: the vectors of cluster i have
        the width `width` / shrink^i."""
        super().__init__()
        self.edges = [*cutoffs, vocab_size]
        self.first = cutoffs[0]
        bound = width**-0.5
        rows = self.first + len(cutoffs)
        self.E = nn.Parameter(torch.empty(rows, width).uniform_(-bound, bound))
        self.b = nn.Parameter(torch.zeros(rows))
        narrow = [max(1, int(width / shrink**i)) for i in range(1, len(cutoffs) + 1)]
        sizes = [b - a for a, b in pairwise(self.edges)]
        self.P = nn.ParameterList(torch.empty(n, width).uniform_(-bound, bound) for n in narrow)
        self.tail_E = nn.ParameterList(
            torch.empty(size, n).uniform_(-(n**-0.5), n**-0.5)
            for size, n in zip(sizes, narrow, strict=True)
        )
        self.tail_b = nn.ParameterList(torch.zeros(size) for size in sizes)

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """hidden (..., H) → log-probabilities (..., V), which are logits too."""
        head = _logits(hidden, self.E, self.b).log_softmax(dim=-1)
        parts = [head[..., : self.first]]
        for i, (P, E, b) in enumerate(zip(self.P, self.tail_E, self.tail_b, strict=True)):
            tail = _logits(_logits(hidden, P, None), E, b).log_softmax(dim=-1)
            parts.append(head[..., self.first + i, None] + tail)
        return torch.cat(parts, dim=-1)

    def score(
        self, hidden: Tensor, targets: Tensor, embedding: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """See `Head`."""
        h, y = hidden.flatten(0, -2), targets.contiguous().flatten()
        cluster = torch.bucketize(y, y.new_tensor(self.edges), right=True)  # 0: a frequent word
        named = torch.where(cluster == 0, y, self.first + cluster - 1)
        learning = torch.is_grad_enabled()
        if learning:
            log_probs, best = log_prob(h, self.E, self.b, named), None
        else:
            log_probs, best = _scored(h, self.E, self.b, named)
        for i, (P, E, b) in enumerate(zip(self.P, self.tail_E, self.tail_b, strict=True)):
            rows = (cluster == i + 1).nonzero()[:, 0]
            if not len(rows):
                continue
            narrow, inside = _logits(h[rows], P, None), y[rows] - self.edges[i]
            if learning:
                tail = log_prob(narrow, E, b, inside)
            else:
                tail, _ = _scored(narrow, E, b, inside)
            log_probs = log_probs.index_add(0, rows, tail)
        if best is None:
            return log_probs.view(targets.shape), None
        return log_probs.view(targets.shape), (self._most_probable(h) == y).view(targets.shape)

    def mean_log_prob(
        self, hidden: Tensor, targets: Tensor, log_prob: Tensor, embedding: Tensor
    ) -> Tensor:
        """See `Head`."""
        raise InputError("label smoothing needs model.softmax=full or sampled, not adaptive")

    def _most_probable(self, h: Tensor) -> Tensor:
        """h (N, H) → the most probable ids (N,). A cluster is evaluated only for the rows in which
        it is more probable than the best word so far."""
        ids = []
        for some in chunks(len(h), len(self.b)):
            head = _logits(h[some], self.E, self.b).log_softmax(dim=-1)
            log_probs, best = head[:, : self.first].max(dim=-1)
            for i, (P, E, b) in enumerate(zip(self.P, self.tail_E, self.tail_b, strict=True)):
                of_cluster = head[:, self.first + i]
                rows = (of_cluster > log_probs).nonzero()[:, 0]
                if not len(rows):
                    continue
                tail = _logits(_logits(h[some][rows], P, None), E, b).log_softmax(dim=-1)
                top, word = tail.max(dim=-1)
                top = top + of_cluster[rows]
                better = top > log_probs[rows]
                log_probs[rows[better]] = top[better]
                best[rows[better]] = word[better] + self.edges[i]
            ids.append(best)
        return torch.cat(ids)


def _logits(h: Tensor, E: Tensor, b: Tensor | None) -> Tensor:
    """h (..., H), E (V, H), b (V,) → logits (..., V) with the type of E."""
    h = h.to(E.dtype)  # under autocast h may be bfloat16
    if torch.is_grad_enabled():
        return F.linear(h, E, b).to(E.dtype)
    return product(h.flatten(0, -2), E, b, low_precision(h)).view(*h.shape[:-1], len(E))


def _order(count: int, device: torch.device) -> Tensor:
    """The numbers 0 … count - 1 in random order."""
    return torch.randperm(count, device=device, generator=generator_of(device))


def _scored(h: Tensor, E: Tensor, b: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """h (N, H), targets (N,) → log-probabilities (N,) and the most probable ids (N,), computed a
    chunk of rows at a time."""
    log_probs, best = [], []
    for some in chunks(len(h), len(b)):
        logits = _logits(h[some], E, b)
        log_probs.append(-F.cross_entropy(logits, targets[some], reduction="none"))
        best.append(logits.argmax(dim=-1))
    return torch.cat(log_probs), torch.cat(best)
