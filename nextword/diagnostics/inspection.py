"""The public functions `inspect_gradients`, `inspect_attention` and `inspect_surprisal`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..arguments import checked
from ..errors import InputError
from ..evaluation.surprisal import Surprisal
from ..files import AnyPath, Paths, path_list
from ..generation.translate import Attention, attention
from ..run import Run
from ..tasks.verbs import surprisal
from . import attention as attention_figure
from . import gradients as gradient_figure
from . import surprisal as surprisal_figure
from .gradients import GradientFlow, measure_run


@dataclass(frozen=True)
class GradientInspection:
    """The norms of gradients of one or several runs by distance from the loss."""

    flows: list[GradientFlow]

    def draw(self, path: AnyPath) -> None:
        """Draw all of them into one .png, .svg or .pdf file."""
        gradient_figure.draw(self.flows, path)

    def as_dict(self) -> dict[str, Any]:
        """Return the norms by name, for programs."""
        return {"gradients": [flow.as_dict() for flow in self.flows]}


@dataclass(frozen=True)
class AttentionInspection:
    """What the tokens of a translation attended to in its source."""

    attention: Attention

    def draw(self, path: AnyPath, heads: bool = False) -> None:
        """Draw the last layer into a .png, .svg or .pdf file: the mean of its heads, or each."""
        attention_figure.draw(self.attention, path, heads)

    def as_dict(self) -> dict[str, Any]:
        """Return the tokens and the weights (heads, T, S) of every layer, for programs."""
        weights = {name: value.tolist() for name, value in self.attention.weights.items()}
        return {
            "source": self.attention.source,
            "target": self.attention.target,
            "weights": weights,
        }


@dataclass(frozen=True)
class SurprisalInspection:
    """The surprisal of each word of one or several texts."""

    lines: list[list[Surprisal]]

    def draw(self, path: AnyPath) -> None:
        """Draw the texts side by side into a .png, .svg or .pdf file."""
        surprisal_figure.draw(self.lines, path)

    def as_dict(self) -> dict[str, Any]:
        """Return the rows of each text by name, for programs."""
        return {"surprisal": [[row.as_dict() for row in rows] for rows in self.lines]}


@checked
def inspect_gradients(
    runs: Run | Sequence[Run],
    data: Paths = (),
    *,
    length: int | None = None,
    samples: int = 64,
) -> GradientInspection:
    """Measure how far back a loss reaches: the norm of its gradient by every earlier state.

    Args:
        runs: one or several recurrent models.
        data: one or several files to read; if empty, the training text of each run.
        length: tokens of each excerpt of running text; None = 100.
        samples: number of examples to average over.

    Raises:
        InputError: a run has no recurrent state, or a text cannot be read or is too short.

    Example:
        nextword.inspect_gradients(nextword.load("runs/book"), "book.txt").draw("gradients.png")
    """
    flows = [
        flow
        for run in ([runs] if isinstance(runs, Run) else runs)
        for flow in measure_run(run, path_list(data), length=length, samples=samples)
    ]
    return GradientInspection(flows)


@checked
def inspect_attention(run: Run, source: str, target: str | None = None) -> AttentionInspection:
    """Compute the weights with which each target token attends to the source tokens.

    Args:
        run: a translator.
        source: a sentence.
        target: a translation of it; None = the run translates it.

    Raises:
        InputError: the run does not translate, its model has no attention, or the source is empty.

    Example:
        nextword.inspect_attention(nextword.load("runs/translator"), "a cat").draw("attention.png")
    """
    return AttentionInspection(attention(run, source, target))


@checked
def inspect_surprisal(run: Run, texts: Iterable[str], *, by: str = "word") -> SurprisalInspection:
    """Compute the surprisal of each word of texts, to draw them side by side.

    Args:
        run: see `nextword.surprisal`.
        texts: lines, such as a garden-path sentence and one that means the same.
        by: "word", "token" or "region".

    Raises:
        InputError: there is no text, a text is empty, or see `nextword.surprisal`.

    Example:
        found = nextword.inspect_surprisal(nextword.load("runs/book"), ["the old man the boats"])
        found.draw("surprisal.png")
    """
    listed = list(texts)
    lines: list[list[Surprisal]] = [[] for _ in listed]
    for row in surprisal(run, listed, by=by):
        lines[row.sentence - 1].append(row)
    if not listed or not all(lines):
        raise InputError("there is no word to draw; give a text that has some")
    return SurprisalInspection(lines)
