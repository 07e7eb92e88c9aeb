"""Measuring vanishing and exploding gradients (Bengio et al. 1994; Pascanu et al. 2013).

The loss at the end of an excerpt of text is -log p(w_T | w_<T). Its gradient with respect to an
earlier hidden state h_t is a product of T - t recurrent Jacobians, so its norm shrinks or grows by
about a constant factor per step. The cell state of the LSTM and the identity RNN preserve it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .. import bounds, plot
from ..data.stream import Ids, excerpts
from ..errors import InputError
from ..models.base import TrainableModel
from ..models.windowed import unwrapped
from ..nn import kernels
from ..nn.state_recording import pause_recording, record_states
from ..numerals import fixed
from ..run import Run
from ..scratch import temporary_folder
from ..state import leaves
from ..tasks import task_of
from ..types import Ability, Batch, Labeller, LanguageModel, Predictor

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class GradientFlow:
    """Norms of gradients by distance: entry k is of the state k steps before the last one."""

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
            f"{self.name}: |dL/dh| {self.hidden[0]:.2e} at the last state, {self.hidden[-1]:.2e} "
            f"{len(self.hidden) - 1} steps before it (x {fixed(self.factor, 3)} a step)"
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
    """Measure the norms of gradients of a language model, averaged over excerpts of a text.

    Args:
        ids: the text (N,).
        name: of the model, for messages and figures.
        length: tokens in each excerpt.
        samples: number of excerpts, spread evenly over the text.

    Raises:
        InputError: the text is too short, or the model is not recurrent.
    """
    recurrent = _recurrent(model, name)
    (flow,) = measure_examples(recurrent, [excerpts(ids, length, samples)], name, device)
    return flow


def measure_examples(
    model: TrainableModel, batches: Iterable[Batch], name: str, device: torch.device
) -> list[GradientFlow]:
    """Measure the norms of gradients by all states of a recurrent model, averaged over examples.

    The loss is that of the last token of a text or a translation, or of a text's label. Each part
    of the model (a decoder, one direction of an encoder) is measured on its own, and its steps are
    counted back from its own last one. Entry k is the mean over the examples of more than k steps;
    it is given as far as half of the examples reach.

    Args:
        batches: examples without padding.
        name: of the model, for figures.

    Returns:
        The norms of each part of `model.recurrent_layers`, in that order.

    Raises:
        InputError: there are no examples, or no gradient reaches the layers.
    """
    model.eval()
    parts = model.recurrent_layers
    found: dict[str, list[dict[str, Any]]] = {part: [] for part in parts}
    for on_cpu in batches:
        batch = on_cpu.to(device)
        # Step by step, because a fused layer computes an LSTM's h and c at once, and the gradient
        # of c would miss the path through h.
        with torch.enable_grad(), kernels.backend("step"), record_states() as states:
            loss = _loss(model, batch)
        if not states:
            raise InputError(
                f"no gradient reaches the recurrent layers of '{name}': they are frozen"
            )
        recorded = [[states[layer] for layer in layers] for layers in parts.values()]
        flat = list(leaves(tuple(map(tuple, recorded))))
        gradients = iter(torch.autograd.grad(loss, flat, allow_unused=True))
        for part, layers in zip(parts, recorded, strict=True):
            found[part].append(_norms(parts[part][0].cell.state_names, layers, gradients))
    return [
        _flow(name if len(parts) == 1 else f"{name}, {part}", norms)
        for part, norms in found.items()
    ]


def _loss(model: TrainableModel, batch: Batch) -> Tensor:
    """The sum over a batch of the loss of the last token, or of the label. Recorded are the states
    that the model had before it read the last token."""
    if batch.labels is not None:
        logits = cast(Labeller, model)(batch.ids, batch.real, batch.segments)
        return cross_entropy(logits, batch.labels, reduction="sum")
    predictor = cast(Predictor, model)
    state = predictor.advance(batch.ids[:, :-1], batch.start(model))
    with pause_recording():
        scored = predictor.score(batch.ids[:, -1:], batch.targets[:, -1:], state)
    return -scored.log_prob.sum()


def _norms(
    names: tuple[str, ...], layers: list[list[tuple[Tensor, ...]]], gradients: Iterator[Tensor]
) -> dict[str, Any]:
    """For each tensor of the state, the norms over all layers (steps, B), the last step first."""
    squares = np.zeros((len(names), len(layers[0]), len(layers[0][0][0])))
    for states in layers:
        for step, state in enumerate(states):
            for kind in range(len(state)):
                gradient = next(gradients)
                if gradient is not None:
                    squares[kind, step] += gradient.double().pow(2).sum(-1).cpu().numpy()
    return dict(zip(names, np.sqrt(squares)[:, ::-1], strict=True))


def _flow(name: str, examples: list[dict[str, Any]]) -> GradientFlow:
    """The means by distance over batches of examples; see `measure_examples`."""
    means = {}
    for tensor in examples[0]:
        norms = [row for batch in examples for row in batch[tensor].T]  # (steps,) each
        reach = int(np.median([len(row) for row in norms]))
        means[tensor] = [
            float(np.mean([row[k] for row in norms if len(row) > k])) for k in range(reach)
        ]
    return GradientFlow(name, means.pop("h"), means.pop("c", None), means)


def _recurrent(model: object, name: str) -> TrainableModel:
    """Return the model as a recurrent one.

    Raises:
        InputError: its state is not recurrent.
    """
    if not isinstance(model, TrainableModel) or not model.recurrent_layers:
        raise InputError(f"'{name}' has no hidden state to send a gradient through")
    return model


def measure_run(
    run: Run,
    data: Sequence[str | os.PathLike[str]] = (),
    *,
    length: int | None = None,
    samples: int = 64,
) -> list[GradientFlow]:
    """Measure the norms of gradients of a run; see `measure_examples`.

    Args:
        data: files of the text to read; if empty, the training text of the run.
        length: tokens of each excerpt of running text; None = 100.
        samples: the number of examples, spread evenly over the text.
    """
    run.require(Ability.GRADIENTS)
    bounds.check("length", length, 2, bounds.COUNT)
    bounds.check("samples", samples, 1, bounds.SAMPLES)
    model = _recurrent(unwrapped(run.model), run.name)  # the window would hide the state
    with temporary_folder() as folder:
        batches = task_of(run.config).examples(
            run, data, Path(folder), length=length, samples=samples
        )
        return measure_examples(model, batches, run.name, run.device)


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
        run = plot.entry(flow.name)
        ax.plot(flow.hidden, color=colour, label=run)
        if flow.cell:
            ax.plot(flow.cell, color=colour, ls="--", lw=1, label=f"{run}, cell")
        for name, norms in flow.others.items():
            ax.plot(norms, color=colour, ls=":", lw=1, label=f"{run}, {name}")
        smallest = min(smallest, *(x for x in flow.hidden if x > 0), np.inf)
    ax.set(
        yscale="log",
        xlabel="steps back",
        ylabel="norm of dL/dh",
        title=title,
        ylim=(max(smallest / 3, 1e-15) if np.isfinite(smallest) else None, None),
    )
    ax.legend(frameon=False, fontsize="small")


def _colours(count: int) -> list[str]:
    return [plot.COLOURS[i % len(plot.COLOURS)] for i in range(count)]
