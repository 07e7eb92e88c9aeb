"""The public function `tag`, and the evaluation of taggers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..arguments import checked
from ..data.stream import Ids
from ..data.tagged import Tagged
from ..files import AnyPath, Paths, path_list
from ..numerals import fixed, percent
from ..run import Run
from ..scratch import temporary_folder
from ..text.corpus import Corpus, Counts
from ..text.input_lines import blocks
from ..text.reader import open_texts
from ..text.tagged import NONE, cut_words, encode_words, prepare_tagged
from ..text.tokenizer import EOS
from ..types import Ability, Labeller
from .classification import Quality, draw_confusion, labeller, measure, quality_first

_ROWS = 32  # sentences in a batch


@dataclass(frozen=True)
class TaggerEvaluation:
    """The figures of one tagger on a tagged text.

    With tags such as B-PER, I-PER and O, F1 is that of whole spans, otherwise the mean over tags.
    """

    quality: Quality
    nll: float  # -Σ log p of the right tags, in nats
    tags: list[str]
    confusion: list[list[int]]  # [right tag][predicted tag] → number of words
    words: int
    parameters: int
    seconds: float
    shares: Any = field(repr=False, compare=False)  # (2, sentences): the ratio of the two sums is
    # the F1 of spans, or the accuracy if there are no spans

    @property
    def ranked_by(self) -> str:
        """The figure that `compare` ranks runs by: "f1" or "accuracy"."""
        return "f1" if in_spans(self.tags) else "accuracy"

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name, for programs."""
        return quality_first(self)

    def lines(self) -> list[tuple[str, str]]:
        """Return the figures formatted for people: (name, value)."""
        quality = self.quality
        of = "of whole spans" if in_spans(self.tags) else "mean over the tags"
        return [
            ("words", f"{self.words:,}"),
            ("accuracy", percent(quality.accuracy, 2)),
            ("F1", f"{percent(quality.f1, 2)} {of}"),
            ("Matthews", fixed(quality.matthews, 3)),
            ("loss", f"{fixed(self.nll / self.words, 4)} nats per word"),
            ("speed", f"{self.words / self.seconds:,.0f} words/s"),
        ]

    def draw(self, path: AnyPath) -> None:
        """Draw the confusion matrix into a .png, .svg or .pdf file."""
        draw_confusion(self.tags, self.confusion, self.quality.accuracy, path)


@dataclass(frozen=True)
class Tagging:
    """A sentence with its predicted tags."""

    words: list[str]
    tags: list[str]
    probabilities: list[float]  # of the tag of each word

    cut = False  # long sentences are divided instead

    def as_dict(self) -> dict[str, Any]:
        """Return the answer by name, for programs."""
        return asdict(self)

    def as_text(self) -> str:
        """Return a line for each word: word, tab, tag; an empty line ends the text."""
        pairs = zip(self.words, self.tags, strict=True)
        return "".join(f"{word}\t{tag}\n" for word, tag in pairs)


def in_spans(tags: Sequence[str]) -> bool:
    """Return whether tags mark spans: B-X begins one, I-X continues it, O is outside."""
    return any(tag.startswith("B-") for tag in tags) and all(
        tag == "O" or tag[:2] in ("B-", "I-") for tag in tags
    )


def spans(tags: Iterable[str]) -> set[tuple[int, int, str]]:
    """Return the spans that tags mark, as (start, stop, kind).

    An I- tag that continues no span begins one, as in conlleval (Tjong Kim Sang and Buchholz 2000).
    """
    found = set()
    start, kind = 0, ""
    place = -1
    for place, tag in enumerate(tags):
        mark, _, own = tag.partition("-")
        goes_on = mark == "I" and own == kind
        if kind and not goes_on:
            found.add((start, place, kind))
            kind = ""
        if own and not goes_on:
            start, kind = place, own
    if kind:
        found.add((start, place + 1, kind))
    return found


def tag_quality(
    right: Ids, answers: Ids, ends: Sequence[int], tags: Sequence[str]
) -> tuple[Quality, Any, Any]:
    """Compare predicted tags with the right ones.

    Args:
        right: numbers of the right tags (N,).
        answers: numbers of the predicted tags (N,).
        ends: the number of words up to the end of each sentence.
        tags: names of the tags.

    Returns:
        The figures; the confusion matrix (tags, tags), rows being right tags; and for each sentence
        numerator and denominator (2, sentences) of the F1 of spans: twice the common spans, and the
        spans of both. Without spans: of the accuracy, the right words and all words.
    """
    quality, confusion = measure(right, answers, len(tags))
    sentences = list(zip([0, *ends], ends, strict=False))
    if not in_spans(tags):
        hits = [(int((right[a:b] == answers[a:b]).sum()), b - a) for a, b in sentences]
        return quality, confusion, np.array(hits, dtype=float).reshape(-1, 2).T
    shares = np.zeros((2, len(sentences)))
    for i, (a, b) in enumerate(sentences):
        theirs, ours = (spans([tags[i] for i in side[a:b]]) for side in (right, answers))
        shares[:, i] = 2 * len(theirs & ours), len(theirs) + len(ours)
    both, all_ = shares.sum(axis=1)
    return (
        Quality(quality.accuracy, float(both / max(1, all_)), quality.matthews),
        confusion,
        shares,
    )


@torch.no_grad()
def score_tagged(model: Labeller, corpus: Corpus, device: torch.device, longest: int) -> Ids:
    """Return log-probabilities (N, C) of the C tags for each word, in the order of the text."""
    assert corpus.labels is not None
    stream = Tagged(corpus.ids, corpus.labels, _ROWS, longest, shuffle=False)
    parts = []
    for on_cpu in stream:
        batch = on_cpu.to(device)
        log_probs = model(batch.ids, batch.real).double().log_softmax(dim=-1).cpu()
        assert on_cpu.labels is not None
        parts.append(log_probs[on_cpu.labels != NONE])  # row by row
    return torch.cat(parts).numpy()


def words_of(corpus: Corpus) -> tuple[Any, Any]:
    """Return the tags of a text's words (N,), and the number of words up to each sentence's end."""
    assert corpus.labels is not None
    labels = np.asarray(corpus.labels)
    is_word = labels != NONE
    ends = np.cumsum(is_word)[np.asarray(corpus.ids) == EOS]
    return labels[is_word], ends.tolist()


def evaluate_tagger(run: Run, data: Paths) -> TaggerEvaluation:
    """Answers for tagged words, compared with their tags.

    Raises:
        InputError: the run is no tagger, a file cannot be read, or a tag is unknown.
    """
    run.require(Ability.TAG)
    paths = path_list(data)
    tags = list(run.config.model.labels)
    with temporary_folder() as folder:
        files = [span.path for span in open_texts(paths)]
        corpus, _ = prepare_tagged(files, run.tokenizer, Path(folder), tags)
        began = time.perf_counter()
        log_probs = score_tagged(labeller(run), corpus, run.device, run.config.train.bptt)
        seconds = time.perf_counter() - began
        right, ends = words_of(corpus)
    quality, confusion, shares = tag_quality(right, log_probs.argmax(axis=1), ends, tags)
    nll = float(-log_probs[np.arange(len(right)), right].sum())
    return TaggerEvaluation(
        quality, nll, tags, confusion.tolist(), len(right), run.parameters, seconds, shares
    )


@checked
def tag(run: Run, texts: Iterable[str]) -> list[Tagging]:
    """Predict a tag for each word of each text.

    Args:
        run: a tagger.
        texts: lines without line ends; words are separated by white space.

    Returns:
        One `Tagging` per text, in their order: words, tags, probabilities (of the tags).

    Raises:
        InputError: the run is no tagger.

    Example:
        nextword.tag(nextword.load("runs/names"), ["Anna lives in Rome ."])[0].tags
    """
    return list(tag_lines(run, texts))


def tag_lines(run: Run, texts: Iterable[str]) -> Iterator[Tagging]:
    """Tag texts like `tag`, but yield each as soon as its block of texts is done."""
    run.require(Ability.TAG)
    names = run.config.model.labels
    for sentences in blocks(texts, _ROWS, lambda _, text: cut_words(text)):
        ids: list[int] = []
        labels: list[int] = []
        for words in filter(None, sentences):
            own, firsts = encode_words(run.tokenizer, words)
            marks = np.full(len(own), NONE)
            marks[firsts] = 0
            ids += own
            labels += marks.tolist()
        found = np.zeros((0, len(names)))
        if ids:
            corpus = Corpus(np.asarray(ids), Counts(), "", labels=np.asarray(labels))
            found = np.exp(score_tagged(labeller(run), corpus, run.device, run.config.train.bptt))
        at = 0
        for words in sentences:
            own_rows = found[at : at + len(words)]
            at += len(words)
            best = own_rows.argmax(axis=1) if len(words) else []
            yield Tagging(
                words, [names[i] for i in best], own_rows.max(axis=1, initial=0.0).tolist()
            )
