"""Vanishing and exploding gradients made visible (Bengio et al. 1994; Pascanu et al. 2013).

For a loss at the end of a stretch of text, -log p(w_T | w_<T), the norm of its gradient at every
earlier hidden state h_t. Multiplied T - t times with the recurrent Jacobian it dies away or grows
by a constant factor a step; the LSTM's cell and the identity RNN let it pass.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import plot
from ..data.stream import Ids, rows
from ..errors import InputError
from ..models.base import TrainableModel
from ..models.windowed import without_window
from ..nn import kernels
from ..run import DATA, Run
from ..state import leaves, tree_map
from ..text.corpus import open_corpus, prepare
from ..text.reader import open_texts
from ..types import Ability, LanguageModel


@dataclass(frozen=True)
class GradientFlow:
    """Norms by distance: entry k belongs to the state k steps before the loss."""

    name: str
    hidden: list[float]  # of dL/dh, the layers' together
    cell: list[float] | None  # of dL/dc, where there are cells
    others: dict[str, list[float]] = field(default_factory=dict)  # of further tensors of the state

    @property
    def factor(self) -> float:
        """By how much the norm changes per step back, on average over the whole distance.
        Below 1 it vanishes, above 1 it explodes."""
        norms = np.maximum(self.hidden, 1e-45)
        return float((norms[-1] / norms[0]) ** (1 / max(1, len(norms) - 1)))

    def summary(self) -> str:
        return (
            f"{self.name}: |dL/dh| {self.hidden[0]:.2e} at the loss, {self.hidden[-1]:.2e} "
            f"{len(self.hidden) - 1} steps before it (x {self.factor:.3f} a step)"
        )

    def as_dict(self) -> dict[str, Any]:
        values = asdict(self) | {"factor": self.factor}
        return values if self.others else {k: v for k, v in values.items() if k != "others"}


def measure(
    model: LanguageModel,
    ids: Ids,
    name: str,
    device: torch.device,
    *,
    length: int = 100,
    samples: int = 64,
) -> GradientFlow:
    """Average over `samples` stretches of `length` tokens of `ids`, spread evenly.

    Raises:
        InputError: the text is too short, or the state of the model is not recurrent.
    """
    recurrent = _recurrent(model, name)
    names = recurrent.state_names
    if len(ids) < length + 1:
        raise InputError(f"the text has {len(ids)} tokens; looking back {length} needs more")
    starts = np.unique(np.linspace(0, len(ids) - length, samples).astype(int))
    inputs, targets = (t.to(device) for t in rows(ids, starts, length))
    recurrent.eval()
    state = model.start(len(starts))
    trace = []
    # Step by step: a fused layer gives h out twice, as output and as state, and the gradient at one
    # misses the paths through the other.
    with torch.enable_grad(), kernels.backend("step"):
        for step in range(length - 1):
            state = tree_map(_watched, model.advance(inputs[:, step : step + 1], state))
            trace.append(state)
        scored = model.score(inputs[:, -1:], targets[:, -1:], state)
        watched = [list(leaves(layer)) for state in trace for layer in state]
        flat = [leaf for layer in watched for leaf in layer]
        # One loss a row and rows do not mix, so the gradient of the sum holds each row's own.
        gradients = iter(torch.autograd.grad(-scored.log_prob.sum(), flat, allow_unused=True))
    layers = len(trace[0])
    squares = np.zeros((len(names), length - 1, len(starts)))
    for step in range(length - 1):
        for _ in range(layers):
            for kind in range(len(names)):
                gradient = next(gradients)
                if gradient is not None:
                    squares[kind, step] += gradient.double().pow(2).sum(-1).cpu().numpy()
    norms = np.sqrt(squares).mean(-1)[:, ::-1]  # (tensors of a state, distance)
    others = dict(zip(names, norms.tolist(), strict=True))
    return GradientFlow(name, others.pop("h"), others.pop("c", None), others)


def _recurrent(model: LanguageModel, name: str) -> TrainableModel:
    """The model.

    Raises:
        InputError: its state is not recurrent.
    """
    if not isinstance(model, TrainableModel) or not model.state_names:
        raise InputError(f"'{name}' has no hidden state to send a gradient through")
    return model


def measure_run(
    run: Run,
    path: Path,
    data: Sequence[str | os.PathLike[str]] = (),
    *,
    length: int = 100,
    samples: int = 64,
) -> GradientFlow:
    """`measure` for a run, on text files or on the text it was trained on."""
    run.require(Ability.GRADIENTS)
    model = without_window(run.model)  # which would hide the state
    _recurrent(model, run.name)
    with tempfile.TemporaryDirectory(prefix="nextword-") as folder:
        if data:
            corpus = prepare(open_texts(data), run.tokenizer, folder)
        else:
            corpus = open_corpus(path / DATA / "train")
        return measure(model, corpus.ids, run.name, run.device, length=length, samples=samples)


def draw(flows: Sequence[GradientFlow], path: str | os.PathLike[str]) -> None:
    """Norms over the distance, one line a model; cells dashed."""
    with plot.figure(path) as (ax,):
        draw_on(ax, flows)


def draw_on(
    ax: Any, flows: Sequence[GradientFlow], title: str = "How far back a loss reaches"
) -> None:
    """The same on given axes."""
    smallest = np.inf
    for colour, flow in zip(_colours(len(flows)), flows, strict=True):
        ax.plot(flow.hidden, color=colour, label=flow.name)
        if flow.cell:
            ax.plot(flow.cell, color=colour, ls="--", lw=1, label=f"{flow.name}, cell")
        for name, norms in flow.others.items():
            ax.plot(norms, color=colour, ls=":", lw=1, label=f"{flow.name}, {name}")
        smallest = min(smallest, *(x for x in flow.hidden if x > 0), np.inf)
    ax.set(
        yscale="log",
        xlabel="steps before the loss",
        ylabel="norm of dL/dh",
        title=title,
        ylim=(max(smallest / 3, 1e-15) if np.isfinite(smallest) else None, None),
    )
    ax.legend(frameon=False, fontsize="small")


def _watched(leaf: torch.Tensor) -> torch.Tensor:
    if not leaf.requires_grad:
        leaf.requires_grad_(True)
    return leaf


def _colours(count: int) -> list[str]:
    return [plot.COLOURS[i % len(plot.COLOURS)] for i in range(count)]
