"""How good the present weights are, for each kind of text a model reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import torch

from ..data.masked import Masked
from ..evaluation.classification import measure, score_labelled
from ..evaluation.pairs import score_pairs
from ..evaluation.perplexity import safe_exp
from ..evaluation.stream import score_stream
from ..evaluation.tagging import score_tagged, tag_quality, words_of
from ..evaluation.translation import quick_bleu
from ..run import with_window

if TYPE_CHECKING:
    from .loop import Training


@dataclass(frozen=True)
class Validation:
    """The figures of one validation."""

    nll: float  # nats per token, or per text
    figures: dict[str, float] = field(default_factory=dict)  # what else to record, by name
    metric: str = "loss"  # what weights are chosen by: the nats, or a figure

    @property
    def cost(self) -> float:
        """The smaller, the better."""
        return self.nll if self.metric == "loss" else 1 - self.figures[self.metric]

    def __str__(self) -> str:
        said = {
            "perplexity": "perplexity {:.2f}",
            "accuracy": "accuracy {:.1%}",
            "bleu": "BLEU {:.1f}",
            "loss": "loss {:.4f}",
            "f1": "F1 {:.1%}",
            "matthews": "Matthews {:.3f}",
            "next_accuracy": "next sentence {:.1%}",
        }
        return "  ".join(said[name].format(value) for name, value in self.figures.items())


def text(training: Training) -> Validation:
    """Running text, read in parallel stripes."""
    assert training.valid is not None
    ids = training.valid.ids
    stripes = max(1, min(training.wanted_batch, len(ids) // 256))
    scores = score_stream(
        with_window(training.model, training.config),
        ids,
        training.device,
        stripes=stripes,
        warmup=64 if stripes > 1 else 0,
        chunk=max(512, 64 * stripes),
    )
    return _predicted(scores.nll / len(ids), scores.accuracy)


def pairs(training: Training) -> Validation:
    """Sentence pairs; of the first `train.bleu_lines` the BLEU of greedy translations too."""
    assert training.valid is not None
    scores = score_pairs(training.model, training.valid, training.device)
    found = _predicted(scores.nll / len(training.valid), scores.accuracy)
    lines = training.config.train.bleu_lines
    if not lines or training.tokenizer is None:
        return found
    args = training.model, training.tokenizer, training.valid, lines, training.device
    return Validation(found.nll, found.figures | {"bleu": quick_bleu(*args)})


def sentences(training: Training) -> Validation:
    """Masked words and next sentences, always the same ones."""
    assert training.valid is not None
    config = training.config.train
    stream = Masked.of(training.valid, config, seed=0)
    totals: dict[str, list[float]] = {}
    with torch.no_grad():
        for batch in stream:
            terms, _ = training.config.objective(training.model, batch.to(training.device), None)
            for name, term in terms.items():
                total = totals.setdefault(name, [0.0, 0.0])
                total[0] += float(term.total)
                total[1] += term.count
    means = {name: total / count for name, (total, count) in totals.items()}
    found = _predicted(means["nll"], means["accuracy"])
    more = {name: means[name] for name in ("next_accuracy",) if name in means}
    return Validation(found.nll, found.figures | more)


def labelled(training: Training) -> Validation:
    """Labelled texts, by the metric that is wanted."""
    assert training.valid is not None and training.valid.labels is not None
    config = training.config.train
    log_probs, _ = score_labelled(training.model, training.valid, training.device, config.bptt)
    right = training.valid.labels
    quality, _ = measure(right, log_probs.argmax(axis=1), log_probs.shape[1])
    loss = float(-log_probs[range(len(right)), right].mean())
    figures = {"loss": loss} | asdict(quality)
    return Validation(loss, figures, config.metric)


def tagged(training: Training) -> Validation:
    """Tagged words, by the metric that is wanted."""
    assert training.valid is not None
    config = training.config.train
    log_probs = score_tagged(training.model, training.valid, training.device, config.bptt)
    right, ends = words_of(training.valid)
    tags = training.config.model.labels
    quality, _, _ = tag_quality(right, log_probs.argmax(axis=1), ends, tags)
    loss = float(-log_probs[range(len(right)), right].mean())
    return Validation(loss, {"loss": loss} | asdict(quality), config.metric)


def _predicted(loss: float, accuracy: float) -> Validation:
    return Validation(loss, {"perplexity": safe_exp(loss), "accuracy": accuracy})


#: What a model reads → how it is validated.
VALIDATE: dict[str, Callable[[Training], Validation]] = {
    "text": text,
    "pairs": pairs,
    "sentences": sentences,
    "labelled": labelled,
    "tagged": tagged,
}
