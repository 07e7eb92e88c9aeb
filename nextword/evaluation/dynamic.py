"""Dynamic evaluation: the weights adapt to the text while it is evaluated (Mikolov et al. 2010;
Krause et al. 2018, arXiv:1709.07432).

The text is read in short segments. A segment is scored with the current weights. Then a gradient
step on it updates the weights, and they decay towards the trained weights w_0:

    sgd       w ← w - lr g + decay (w_0 - w)                         section 3, equation 4
    rms       w ← w - lr g/(√s + ε) + decay √s/mean(√s) (w_0 - w)    section 4.1, equations 5 and 6
    running   w ← w - lr g/(√s + ε) + decay (w_0 - w),   s ← 0.999 s + 0.001 g²  (bias-corrected)

g is the mean gradient of the segment, clipped to the norm `clip`. The decay applies after the step.
For `rms`, s is the mean of g² over segments of the training text; for `running` it is computed on
the evaluated text itself. A copy of the model learns: the model itself does not change, so other
threads may use it meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Literal, NamedTuple, Self, cast

import numpy as np
from pydantic import Field, model_validator

from .. import bounds
from ..config import Section
from ..data.stream import Ids, rows
from ..types import LanguageModel
from .gradients import without_gradients
from .token_scores import Progress, TokenScores, Watch

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_RATES = {"running": 3e-4, "rms": 5e-5, "sgd": 0.1}
_EPSILON = 2e-5  # ε of `rms`, from the authors' code
_LEARNT = 2000  # segments of the training text that s of `rms` is computed on


class Dynamic(Section):
    """Settings of dynamic evaluation.

    Example:
        nextword.evaluate(run, "other.txt", dynamic=nextword.Dynamic(lr=1e-4)).perplexity
    """

    method: Literal["running", "rms", "sgd"] = "running"
    lr: float | None = Field(
        None,
        gt=0,
        le=bounds.NUMBER,
        description="learning rate; none: 3e-4, for rms 5e-5, for sgd 0.1",
    )
    segment: int = Field(16, ge=1, le=bounds.COUNT, description="tokens between two updates")
    decay: float = Field(
        0.0, ge=0, lt=1, description="decay towards the trained weights after each update"
    )
    clip: float = Field(1.0, gt=0, allow_inf_nan=True, description="largest norm of the gradient")
    momentum: float = Field(0.0, ge=0, lt=1, description="momentum of running and sgd")

    @model_validator(mode="after")
    def _momentum_is_used(self) -> Self:
        if self.method == "rms" and self.momentum:
            raise ValueError("method=rms has no momentum; leave it out or use method=running")
        return self

    @property
    def rate(self) -> float:
        """The learning rate: `lr`, or the default of the method."""
        return _RATES[self.method] if self.lr is None else self.lr

    @property
    def signature(self) -> str:
        """The settings as a part of the signature of an evaluation."""
        values = self.model_dump(exclude={"method"}) | {"lr": self.rate}
        settings = ",".join(f"{key}={value:g}" for key, value in values.items())
        return f"method={self.method},{settings}"


def _learner(model: LanguageModel) -> LanguageModel:
    """Return a copy of a model, without dropout, whose weights all learn."""
    copy = deepcopy(model)
    for parameter in cast("nn.Module", copy).eval().parameters():
        parameter.requires_grad_(True)
    return copy


class _Descent:
    """Updates the weights by gradients and lets them decay towards the trained ones."""

    def __init__(self, settings: Dynamic, parameters: list[Tensor], trained: list[Tensor]) -> None:
        import torch

        self.settings, self.parameters, self.trained = settings, parameters, trained
        self.roots: list[Tensor] = []  # √s of `rms`
        lr, momentum = settings.rate, settings.momentum
        self.optimizer: torch.optim.Optimizer
        if settings.method == "running":
            self.optimizer = torch.optim.Adam(
                parameters, lr=lr, betas=(momentum, 0.999), fused=True
            )
        else:
            self.optimizer = torch.optim.SGD(parameters, lr=lr, momentum=momentum, fused=True)

    def statistics(self, segments: Iterator[Tensor]) -> None:
        """Compute √s of `rms` from the gradients of the losses `segments`."""
        import torch

        squares = [torch.zeros_like(p) for p in self.parameters]
        count = 0
        for loss in segments:
            grads = torch.autograd.grad(loss, self.parameters, allow_unused=True)
            for square, grad in zip(squares, grads, strict=True):
                if grad is not None:
                    square.addcmul_(grad, grad)
            count += 1
        self.roots = [square.div_(max(1, count)).sqrt_() for square in squares]
        mean = sum(float(root.sum()) for root in self.roots) / sum(r.numel() for r in self.roots)
        decay = self.settings.decay
        self.pulls = [(decay / mean * root).clamp_(max=1) for root in self.roots]

    @without_gradients
    def step(self, loss: Tensor) -> None:
        """Update the weights once."""
        import torch
        from torch.nn.utils import clip_grad_norm_

        self.optimizer.zero_grad()
        with torch.enable_grad():
            loss.backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(self.parameters, self.settings.clip)
        if self.settings.method == "rms":
            for parameter, root in zip(self.parameters, self.roots, strict=True):
                if parameter.grad is not None:
                    parameter.grad.div_(root + _EPSILON)
        self.optimizer.step()
        if not self.settings.decay:
            return
        if self.settings.method == "rms":
            for parameter, trained, pull in zip(
                self.parameters, self.trained, self.pulls, strict=True
            ):
                parameter.lerp_(trained, pull)
        else:
            torch._foreach_lerp_(self.parameters, self.trained, self.settings.decay)


def score_dynamic(
    model: LanguageModel,
    ids: Ids,
    device: torch.device,
    settings: Dynamic,
    progress: Progress | None = None,
    *,
    learnt: Ids | None = None,
    watch: Watch | None = None,
) -> TokenScores:
    """Score every token like `score_tokens`, with dynamic evaluation and without dropout.

    Args:
        ids: the text (N,).
        progress: called with the number of tokens just scored.
        learnt: ids of the training text, for method `rms`.
        watch: called with the hidden vectors and targets of each segment.
    """
    import torch

    log_prob = np.zeros(len(ids), dtype=np.float32)
    hit = np.zeros(len(ids), dtype=bool)
    trained = [p.detach() for p in model.parameters()]
    model = _learner(model)
    with torch.enable_grad():
        descent = _Descent(settings, list(model.parameters()), trained)
        if settings.method == "rms":
            assert learnt is not None
            some = learnt[: _LEARNT * settings.segment]
            segments = _segments(model, some, device, settings.segment)
            descent.statistics(-segment.log_prob.mean() for segment in segments)
        for offset, scores, logits, hidden, targets in _segments(
            model, ids, device, settings.segment
        ):
            steps = len(targets)
            if watch is not None:
                assert hidden is not None
                watch(hidden, targets)
            log_prob[offset : offset + steps] = scores.detach().cpu().numpy()
            hit[offset : offset + steps] = (logits.argmax(-1) == targets).cpu().numpy()
            descent.step(-scores.mean())
            if progress:
                progress(steps)
    return TokenScores(log_prob, hit)


class _Segment(NamedTuple):
    """The next tokens of a text and their scores, with a graph to take gradients of."""

    offset: int  # of its first token
    log_prob: Tensor  # (T,)
    logits: Tensor  # (T, V)
    hidden: Tensor | None  # (T, H)
    targets: Tensor  # (T,)


def _segments(
    model: LanguageModel, ids: Ids, device: torch.device, length: int
) -> Iterator[_Segment]:
    """Yield the segments of a text, each read with the weights of that moment."""
    from ..state import detach

    state = model.start(1)
    for offset in range(0, len(ids), length):
        steps = min(length, len(ids) - offset)
        inputs, targets = (t.to(device) for t in rows(ids, np.array([offset]), steps))
        output = model.forward(inputs, detach(state))
        state = output.state
        logits = output.logits[0].float()
        scores = logits.log_softmax(-1).gather(-1, targets[0, :, None]).squeeze(-1)
        hidden = None if output.hidden is None else output.hidden[0]
        yield _Segment(offset, scores, logits, hidden, targets[0])
