"""The neural cache (Grave, Joulin, Usunier 2017, arXiv:1612.04426, section 3, equations 2 to 4).

It raises the probability of words that followed similar hidden vectors earlier in the text.

    p_cache(w) ∝ Σ_{i in the last `window`} 1{w = w_{i+1}} exp(θ h_t · h_i)
    p(w) = (1 - λ) p_model(w) + λ p_cache(w)

h_t is the hidden vector that the model predicts from, and λ the setting `weight`. Nothing is
trained: the cache holds the hidden vectors of the text so far and the words that followed them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import Field

from .. import bounds
from ..config import Section
from ..data.stream import Ids
from .gradients import without_gradients

if TYPE_CHECKING:
    from torch import Tensor

THETAS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)  # tried by `tune`
WINDOWS = (500, 1000, 2000, 4000, 8000)  # tokens, tried by `tune`

_LOST = 1e-6  # below this share of the total a difference of sums is too inexact

Array = np.ndarray[Any, Any]


class Cache(Section):
    """Settings of a neural cache."""

    window: int = Field(
        2000, ge=1, le=bounds.COUNT, description="number of past tokens in the cache"
    )
    theta: float = Field(
        0.3,
        ge=0,
        le=bounds.NUMBER,
        allow_inf_nan=False,
        description="θ: how strongly it prefers the most similar hidden vectors",
    )
    weight: float = Field(0.1, ge=0, lt=1, description="λ: share of the cache in the mixture")

    @property
    def signature(self) -> str:
        """The settings as a part of the signature of an evaluation."""
        return ",".join(f"{key}={value:g}" for key, value in self.model_dump().items())


class Reach(NamedTuple):
    """The settings that determine p_cache: all but its share λ."""

    window: int
    theta: float


class Watcher:
    """Reads a text and computes p_cache of every token, for several settings at once."""

    def __init__(self, reaches: Sequence[Reach], tokens: int) -> None:
        self.reaches = list(reaches)
        self.p = np.zeros((len(self.reaches), tokens), dtype=np.float32)  # p_cache(token)
        self.at = 0
        self.longest = max(reach.window for reach in self.reaches)
        self.hidden: Tensor | None = None  # (C, H), C at most `longest`
        self.words: Tensor | None = None  # (C,) the word that followed each

    @without_gradients
    def __call__(self, hidden: Tensor, targets: Tensor) -> None:
        """Read the next tokens: hidden vectors (T, H) that predict `targets` (T,)."""
        import torch

        hidden, steps = hidden.detach().float(), len(targets)
        if self.hidden is None or self.words is None:
            self.hidden, self.words = hidden[:0], targets[:0]
        past = len(self.words)
        keys, words = torch.cat([self.hidden, hidden]), torch.cat([self.words, targets])
        similar = hidden @ keys.T  # (T, C + T)
        here = torch.arange(past, past + steps, device=hidden.device)[:, None]
        back = here - torch.arange(past + steps, device=hidden.device)  # tokens ago
        similar.masked_fill_((back <= 0) | (back > self.longest), -torch.inf)
        similar -= similar.amax(dim=1, keepdim=True).clamp_min(-1e30)
        # where each target occurred in the past
        rows, places = (words == targets[:, None]).nonzero(as_tuple=True)
        ago = back[rows, places]
        for theta in dict.fromkeys(reach.theta for reach in self.reaches):
            # The sum over a window is the difference of two cumulative sums.
            power = similar.mul(theta).nan_to_num_(nan=-torch.inf).exp_()
            total, of_target = _sums(power), power[rows, places].double()
            for row, reach in enumerate(self.reaches):
                if reach.theta != theta:
                    continue
                first = (here - reach.window).clamp_min(0)
                mass = total.gather(1, here) - total.gather(1, first)
                inside = ago <= reach.window
                hits = torch.zeros(steps, dtype=torch.float64, device=hidden.device)
                hits.index_add_(0, rows[inside], of_target[inside])
                share = (hits / mass[:, 0].clamp_min(1e-300)).clamp(0, 1)
                lost = (mass < _LOST * total[:, -1:])[:, 0]  # too inexact, see _LOST
                if lost.any():
                    seen = (back[lost] > 0) & (back[lost] <= reach.window)
                    same = words == targets[lost, None]
                    share[lost] = _share(similar[lost].double(), same, seen, theta)
                self.p[row, self.at : self.at + steps] = share.cpu().numpy()
        self.at += steps
        self.hidden, self.words = keys[-self.longest :], words[-self.longest :]


def _share(similar: Tensor, same: Tensor, seen: Tensor, theta: float) -> Tensor:
    """Compute p_cache (T,) without cumulative sums.

    Args:
        similar: h_t · h_i (T, N).
        same: whether the word after h_i is the target (T, N).
        seen: whether h_i is in the window (T, N).
    """
    import torch

    nearest = similar.masked_fill(~seen, -torch.inf)
    nearest = nearest - nearest.amax(dim=1, keepdim=True).clamp_min(-1e30)
    power = nearest.mul(theta).nan_to_num_(nan=-torch.inf).exp_()
    return (power * same).sum(dim=1) / power.sum(dim=1).clamp_min(1e-300)


def _sums(x: Tensor) -> Tensor:
    """Compute cumulative sums of x (T, N) in double precision, from 0 on: (T, N + 1)."""
    import torch

    sums = x.new_zeros(x.shape[0], x.shape[1] + 1, dtype=torch.float64)
    torch.cumsum(x, dim=1, dtype=torch.float64, out=sums[:, 1:])
    return sums


def with_cache(log_prob: Array, p_cache: Array, weight: float) -> Array:
    """Mix log-probabilities (N,) of a model with p_cache (N,); return log-probabilities (N,).

    The first token keeps its log-probability: the cache is empty there.
    """
    with np.errstate(divide="ignore"):  # -∞ for what is impossible by both
        from_cache = np.log(weight * p_cache.astype(np.float64))
    mixed = np.logaddexp(np.log1p(-weight) + log_prob.astype(np.float64), from_cache)
    mixed[:1] = log_prob[:1]
    return np.asarray(mixed, dtype=np.float32)


def reaches(tokens: int) -> list[Reach]:
    """Return the settings that `tune` tries on a text of `tokens` tokens."""
    windows = [window for window in WINDOWS if window < tokens] or [max(1, tokens - 1)]
    return [Reach(window, theta) for window, theta in product(windows, THETAS)]


def tune(log_prob: Array, watcher: Watcher) -> Cache:
    """Find the settings under which a text is most probable.

    Args:
        log_prob: log-probability of each token by the model (N,).
        watcher: has read the text, with the settings to try.
    """
    best: tuple[float, Cache] | None = None
    for reach, p_cache in zip(watcher.reaches, watcher.p, strict=True):
        weight = best_share(log_prob, p_cache)
        total = float(with_cache(log_prob, p_cache, weight).sum(dtype=np.float64))
        if best is None or total > best[0]:
            best = total, Cache(window=reach.window, theta=reach.theta, weight=weight)
    assert best is not None
    return best[1]


def best_share(log_prob: Array, p_cache: Array, steps: int = 60) -> float:
    """Find λ that maximises Σ log((1 - λ) p + λ p_cache), rounded to four decimals.

    The sum is concave in λ, so bisection on its derivative finds the maximum.
    """
    p, q = np.exp(log_prob[1:].astype(np.float64)), p_cache[1:].astype(np.float64)
    possible = (p > 0) | (q > 0)
    p, q = p[possible], q[possible]
    low, high = 0.0, 0.9999
    for _ in range(steps):
        middle = (low + high) / 2
        slope = ((q - p) / ((1 - middle) * p + middle * q)).sum() if len(p) else -1.0
        low, high = (middle, high) if slope > 0 else (low, middle)
    return round(low, 4)


def check_window(window: int, ids: Ids) -> None:
    """Raise InputError if the cache is larger than the text."""
    from ..errors import InputError

    if window >= len(ids):
        smaller = f"--cache-set window={len(ids) // 2} in place of --tune"
        raise InputError(
            f"a cache of {window:,} tokens is larger than the text of {len(ids):,}; "
            + (f"give a smaller one: {smaller}" if len(ids) > 1 else "leave --cache out")
        )
