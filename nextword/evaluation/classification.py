"""The public function `classify`, and the evaluation of classifiers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from .. import plot
from ..arguments import checked
from ..data.labelled import Labelled
from ..data.stream import Ids
from ..errors import InputError
from ..files import AnyPath, Paths, path_list
from ..numerals import fixed, percent
from ..run import Run
from ..scratch import temporary_folder
from ..text.corpus import Corpus, Counts
from ..text.input_lines import blocks
from ..text.labelled import prepare_labelled
from ..text.pairs import encode_lines
from ..text.reader import open_texts
from ..types import Ability, Labeller

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_ROWS = 64  # texts in a batch


@dataclass(frozen=True)
class Quality:
    """Figures of predicted labels, compared with the right ones."""

    accuracy: float  # from 0 to 1
    f1: float  # from 0 to 1: mean over the labels, or of whole spans
    matthews: (
        float  # correlation coefficient from -1 to 1 (Matthews 1975; Gorodkin 2004 for many labels)
    )

    def as_dict(self) -> dict[str, float]:
        """Return the figures by name, for programs."""
        return asdict(self)


@dataclass(frozen=True)
class ClassifierEvaluation:
    """The figures of one classifier on labelled texts."""

    quality: Quality
    nll: float  # -Σ log p of the right labels, in nats
    labels: list[str]
    confusion: list[list[int]]  # [right label][predicted label] → number of texts
    examples: int
    cut: int  # examples that were too long and were cut
    parameters: int
    seconds: float
    shares: Any = field(
        repr=False, compare=False
    )  # (2, N): row 0 is 1 for a right answer, row 1 is 1

    #: The figure that `compare` ranks runs by.
    ranked_by = "accuracy"

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name, for programs."""
        return quality_first(self)

    def lines(self) -> list[tuple[str, str]]:
        """Return the figures formatted for people: (name, value)."""
        quality = self.quality
        return [
            ("examples", f"{self.examples:,}"),
            ("accuracy", percent(quality.accuracy, 2)),
            ("F1", f"{percent(quality.f1, 2)} mean over the labels"),
            ("Matthews", fixed(quality.matthews, 3)),
            ("loss", f"{fixed(self.nll / self.examples, 4)} nats per text"),
            *([("cut", f"{self.cut:,} texts too long to be read whole")] if self.cut else []),
            ("speed", f"{self.examples / self.seconds:,.0f} texts/s"),
        ]

    def draw(self, path: AnyPath) -> None:
        """Draw the confusion matrix into a .png, .svg or .pdf file."""
        draw_confusion(self.labels, self.confusion, self.quality.accuracy, path)


@dataclass(frozen=True)
class Classified:
    """A text and its predicted label."""

    text: str
    label: str
    probability: float  # of the label
    probabilities: dict[str, float]  # of every label
    cut: bool  # the text was too long and was cut

    def as_dict(self) -> dict[str, Any]:
        """Return the answer by name, for programs."""
        return asdict(self)

    def as_text(self) -> str:
        """Return label, probability and text, separated by tabs."""
        return f"{self.label}\t{self.probability:.4f}\t{self.text}"


def labeller(run: Run) -> Labeller:
    """The model of a classifier or tagger."""
    return cast(Labeller, run.model)


def quality_first(evaluation: DataclassInstance) -> dict[str, Any]:
    """Return the figures of an evaluation by name, those of `quality` first, without `shares`."""
    values: dict[str, Any] = asdict(evaluation)
    del values["shares"]
    return {**values.pop("quality"), **values}


def draw_confusion(
    labels: list[str], confusion: list[list[int]], accuracy: float, path: AnyPath
) -> None:
    """Draw a confusion matrix: rows are right labels, columns predicted labels."""
    counts = np.asarray(confusion)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    side = 2.2 + 0.5 * len(labels)
    with plot.figure(path, size=(side + 0.8, side)) as (ax,):
        ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        places = range(len(labels))
        ax.set_xticks(places, labels, rotation=45, ha="right")
        ax.set_yticks(places, labels)
        ax.grid(visible=False)
        for i in places:
            for j in places:
                colour = "white" if shares[i, j] > 0.5 else "black"
                ax.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", color=colour)
        ax.set(xlabel="answer", ylabel="right label", title=f"{accuracy:.1%} right")


def measure(right: Ids, answers: Ids, labels: int) -> tuple[Quality, Any]:
    """Compare predicted labels with the right ones.

    Args:
        right: numbers of the right labels (N,).
        answers: numbers of the predicted labels (N,).
        labels: how many labels there are.

    Returns:
        The figures, and the confusion matrix (labels, labels): rows are right labels.
    """
    confusion = np.zeros((labels, labels), dtype=np.int64)
    np.add.at(confusion, (right, answers), 1)
    hits = np.diag(confusion).astype(float)
    wanted, given = confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = 2 * hits / np.maximum(1, wanted + given)
    total = confusion.sum()
    covariance = hits.sum() * total - float(wanted @ given)
    variances = (total**2 - float(wanted @ wanted)) * (total**2 - float(given @ given))
    matthews = covariance / np.sqrt(variances) if variances > 0 else 0.0
    return Quality(float(hits.sum() / total), float(f1.mean()), float(matthews)), confusion


@torch.no_grad()
def score_labelled(
    model: Labeller, corpus: Corpus, device: torch.device, longest: int
) -> tuple[Any, Any]:
    """Predict the labels of a prepared text.

    Returns:
        Log-probabilities (N, C) of the C labels for each example, in the order of the text, and
        whether each was longer than `longest` tokens and was cut (N,).
    """
    assert corpus.labels is not None
    stream = Labelled(corpus.ids, corpus.labels, _ROWS, longest, shuffle=False)
    parts = []
    for on_cpu in stream:
        batch = on_cpu.to(device)
        logits = model(batch.ids, batch.real, batch.segments).double()
        parts.append(logits.log_softmax(dim=1).cpu())
    return torch.cat(parts).numpy(), stream.cut


def evaluate_classifier(run: Run, data: Paths) -> ClassifierEvaluation:
    """Answers for labelled texts, compared with their labels.

    Raises:
        InputError: the run is no classifier, a file cannot be read, or a label is unknown.
    """
    run.require(Ability.CLASSIFY)
    paths = path_list(data)
    spans = open_texts(paths)
    labels = run.config.model.labels
    with temporary_folder() as folder:
        files = [span.path for span in spans]
        each = 1 + run.config.model.pairs
        corpus, _ = prepare_labelled(files, run.tokenizer, Path(folder), labels, each)
        began = time.perf_counter()
        log_probs, cut = score_labelled(labeller(run), corpus, run.device, longest(run))
        seconds = time.perf_counter() - began
        right = np.asarray(corpus.labels)
    answers = log_probs.argmax(axis=1)
    quality, confusion = measure(right, answers, len(labels))
    return ClassifierEvaluation(
        quality,
        float(-log_probs[np.arange(len(right)), right].sum()),
        list(labels),
        confusion.tolist(),
        len(right),
        int(cut.sum()),
        run.parameters,
        seconds,
        np.stack([answers == right, np.ones(len(right))]),
    )


@checked
def classify(run: Run, texts: Iterable[str]) -> list[Classified]:
    """Predict the label of each text.

    Args:
        run: a classifier.
        texts: lines without line ends; a pair of texts is separated by a tab.

    Returns:
        One `Classified` per text, in their order: label, probability (of the label),
        probabilities (of every label, by name), cut (the text was too long and was cut).

    Raises:
        InputError: the run is no classifier, or it classifies pairs and a text has no tab.

    Example:
        nextword.classify(nextword.load("runs/reviews"), ["a good film"])[0].label
    """
    return list(classify_lines(run, texts))


def classify_lines(run: Run, texts: Iterable[str]) -> Iterator[Classified]:
    """Classify texts like `classify`, but yield each as soon as its block of texts is done."""
    run.require(Ability.CLASSIFY)
    names = run.config.model.labels

    def divided(number: int, text: str) -> tuple[str, list[str]]:
        return text, _parts(run, number, text)

    for block in blocks(texts, _ROWS, divided):
        flat = [part for _, parts in block for part in parts]
        ids = np.asarray([i for row in encode_lines(run.tokenizer, flat) for i in row])
        corpus = Corpus(ids, Counts(), "", labels=np.zeros(len(block), np.int64))
        log_probs, cut = score_labelled(labeller(run), corpus, run.device, longest(run))
        for (text, _), values, too_long in zip(block, np.exp(log_probs), cut, strict=True):
            chances = dict(zip(names, values.tolist(), strict=True))
            best = int(values.argmax())
            yield Classified(text, names[best], float(values[best]), chances, bool(too_long))


def _parts(run: Run, number: int, text: str) -> list[str]:
    """Return the one or two texts of an example, as in training without white space around them."""
    text = text.replace("\n", " ")
    if not run.config.model.pairs:
        return [text.replace("\t", " ").strip()]
    first, tab, second = text.partition("\t")
    if not tab:
        raise InputError(f"line {number} has no tab; '{run.name}' labels pairs: text, tab, text")
    return [first.strip(), second.replace("\t", " ").strip()]


def longest(run: Run) -> int:
    """Return the most tokens of an example that the run reads; longer ones are cut."""
    bptt: int = run.config.train.bptt
    return bptt
