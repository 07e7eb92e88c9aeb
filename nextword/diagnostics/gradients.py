"""Measuring vanishing and exploding gradients (Bengio et al. 1994; Pascanu et al. 2013).

The loss at the end of an excerpt of text is -log p(w_T | w_<T). Its gradient with respect to an
earlier hidden state h_t is a product of T - t recurrent Jacobians, so its norm shrinks or grows by
about a constant factor per step. The cell state of the LSTM and the identity RNN preserve it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class GradientFlow:
    """Norms of gradients by distance: entry k is of the state k steps before the loss."""

    name: str
    hidden: list[float]  # of dL/dh, over all layers
    cell: list[float] | None  # of dL/dc, if the model has cell states
    others: dict[str, list[float]] = field(default_factory=dict)  # of other tensors of the state

    @property
    def factor(self) -> float:
        """The mean factor by which the norm changes per step back (geometric mean).

        Below 1 the gradient vanishes, above 1 it explodes.
        """
        norms = np.maximum(self.hidden, 1e-45)
        return float((norms[-1] / norms[0]) ** (1 / max(1, len(norms) - 1)))

    def summary(self) -> str:
        """Describe the gradients in one line."""
        return (
            f"{self.name}: |dL/dh| {self.hidden[0]:.2e} at the loss, {self.hidden[-1]:.2e} "
            f"{len(self.hidden) - 1} steps before it (x {self.factor:.3f} a step)"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the norms and the factor by name, for programs."""
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
    """Measure the norms of gradients, averaged over excerpts of a text.

    Args:
        ids: the text (N,).
        name: of the model, for messages and figures.
        length: tokens in each excerpt.
        samples: number of excerpts, spread evenly over the text.

    Raises:
        InputError: the text is too short, or the model is not recurrent.
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
    # Step by step, because a fused layer returns h twice, as output and as state, and the gradient
    # of one misses the paths through the other.
    with torch.enable_grad(), kernels.backend("step"):
        for step in range(length - 1):
            state = tree_map(_watched, model.advance(inputs[:, step : step + 1], state))
            trace.append(state)
        scored = model.score(inputs[:, -1:], targets[:, -1:], state)
        watched = [list(leaves(layer)) for state in trace for layer in state]
        flat = [leaf for layer in watched for leaf in layer]
        # Rows are independent, so the gradient of the summed losses has that of each row.
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
    """Return the model as a recurrent one.

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
    """Measure the norms of gradients of a run; see `measure`.

    Args:
        path: the run directory.
        data: files of the text to read; if empty, the training text of the run.
    """
    run.require(Ability.GRADIENTS)
    model = without_window(run.model)  # the window would hide the state
    _recurrent(model, run.name)
    with tempfile.TemporaryDirectory(prefix="nextword-") as folder:
        if data:
            corpus = prepare(open_texts(data), run.tokenizer, folder)
        else:
            corpus = open_corpus(path / DATA / "train")
        return measure(model, corpus.ids, run.name, run.device, length=length, samples=samples)


def draw(flows: Sequence[GradientFlow], path: str | os.PathLike[str]) -> None:
    """Draw the norms by distance into a file, one line per model; those of cells are dashed."""
    with plot.figure(path) as (ax,):
        draw_on(ax, flows)


def draw_on(
    ax: Axes, flows: Sequence[GradientFlow], title: str = "How far back a loss reaches"
) -> None:
    """Draw the norms by distance on given axes; see `draw`."""
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
