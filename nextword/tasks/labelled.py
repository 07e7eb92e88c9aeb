"""The task of classification: every text has a label."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..errors import InputError
from ..files import Paths, path_list, write_text
from ..numerals import fixed
from ..run import DATA, TOKENIZER, tokenizer_of, weights_of
from ..screen import Bars
from ..text.corpus import Corpus
from ..text.labelled import find_labels, open_labelled, prepare_labelled, read_labelled
from ..text.reader import Span, open_texts
from ..text.tokenizer import Tokenizer, train_tokenizer
from ..types import Ability, Batch
from .results import Answer, Validation
from .task import HELD_OUT, Options, Origin, Prepared, Task, within_context
from .text import refuse_length, refuse_targets, training_text

if TYPE_CHECKING:
    from ..config import Config, Overrides
    from ..data.stream import Stream
    from ..evaluation.classification import ClassifierEvaluation
    from ..evaluation.compare_labels import LabelComparison
    from ..evaluation.tagging import TaggerEvaluation
    from ..models.encoder_classifier import EncoderClassifier
    from ..run import Run
    from ..text.labelled import Example
    from ..text.tagged import TaggedSentence


class LabelledTask(Task):
    """Predict the label of each text."""

    name = "labelled"
    reads = "labelled texts"
    does = "classifies texts"
    abilities: ClassVar[dict[Ability, str]] = {
        Ability.CLASSIFY: "nextword classify {run} FILE",
        Ability.EVALUATE: "nextword evaluate {run} --data FILE",
        Ability.EMBED: "nextword embed {run} FILE",
        Ability.GRADIENTS: "nextword inspect {run} gradients --out FILE",
        Ability.CONFUSION: "nextword evaluate {run} --data FILE --plot FILE",
    }
    ranked_by = "accuracy"
    streams = ("labelled",)
    objectives = ("classify",)
    settings = frozenset({"metric"})
    #: How a file is written.
    format: ClassVar[str] = "each line is label, tab, text"

    # ------------------------------------------------------------------ making a run

    def open(self, paths: Paths, targets: Paths = ()) -> list[Span]:
        refuse_targets(targets, self.reads)
        return open_texts(path_list(paths))

    def prepare(
        self,
        train: list[Span],
        valid: list[Span],
        config: Config,
        origin: Origin | None,
        folder: Path,
        *,
        bars: Bars,
        bptt_is_given: bool,
    ) -> Prepared:
        context = config.model.encoder.get("context")
        if context:  # a token of it is the special one before each text
            config = within_context(config, context - 1, bptt_is_given)
        files, held = [span.path for span in train], [span.path for span in valid]
        labels = (config.model.labels if origin else []) or find_labels(files, self.read)
        notes = []
        if not held:
            files, held = self._hold_out(files, folder)
            notes.append(f"no --valid given: {HELD_OUT:.0%} of the training texts are held out")
        if origin:
            tokenizer = tokenizer_of(origin.folder)
        else:
            texts = ("\n".join(one.texts) + "\n" for path in files for one in self.read(path))
            size = sum(span.size for span in open_texts(files))
            marks = config.model.reads_marks
            tokenizer = train_tokenizer(texts, config.text, size, marks=marks)
            notes += tokenizer.recognised(config.text)
        write_text(folder / TOKENIZER, tokenizer.to_json())
        config, more = self.encode(files, held, tokenizer, folder / DATA, labels, config)
        for path in (*files, *held):
            if path.parent == folder:
                path.unlink()
        counts = self._label_counts(self.corpus(folder / DATA / "train"))
        told = ", ".join(f"{label} {counts[i]:,}" for i, label in enumerate(labels))
        model = config.model.model_copy(update={"labels": labels})
        config = _with_weights(replace(config, model=model), counts)
        return Prepared(config, [*notes, *more, f"labels: {told}"])

    def read(self, path: Path) -> Iterator[Example | TaggedSentence]:
        """Read the examples of a file."""
        return read_labelled(path)

    def encode(
        self,
        train: list[Path],
        valid: list[Path],
        tokenizer: Tokenizer,
        folder: Path,
        labels: Sequence[str],
        config: Config,
    ) -> tuple[Config, list[str]]:
        """Write the ids and labels of the texts into folder/train and folder/valid.

        Args:
            train: files of training examples.
            valid: files of validation examples.
            labels: names of the labels; their order gives the numbers.

        Returns:
            The settings, with those that follow from the texts, and notes for the user.
        """
        from ..data.labelled import Labelled

        corpus, _ = prepare_labelled(train, tokenizer, folder / "train", labels)
        assert corpus.labels is not None
        stream = Labelled(corpus.ids, corpus.labels, 1, config.train.bptt, shuffle=False)
        prepare_labelled(valid, tokenizer, folder / "valid", labels, stream.each)
        notes = []
        if cut := int(stream.cut.sum()):
            notes.append(
                f"{cut:,} of {len(stream.cut):,} texts are longer than train.bptt = "
                f"{config.train.bptt} tokens and are cut"
            )
        model = config.model.model_copy(update={"pairs": stream.each == 2})
        return replace(config, model=model), notes

    def corpus(self, folder: Path) -> Corpus:
        return open_labelled(folder)

    def shortened(self, corpus: Corpus, stream: Stream, config: Config) -> str | None:
        return None  # a batch may have fewer rows than the settings say

    def start_from(self, recipe: str, overrides: Overrides, origin: Path, before: Config) -> Config:
        from .origin import onto_encoder

        if before.model.task in ("text", "sentences"):
            return onto_encoder(recipe, overrides, before)
        return super().start_from(recipe, overrides, origin, before)

    def take_encoder(self, model: EncoderClassifier, origin: Origin) -> list[str]:
        from .transfer import into_encoder

        return [into_encoder(model, weights_of(origin.folder), origin.folder)]

    def validate(self, run: Run, corpus: Corpus, rows: int) -> Validation:
        """Classify the validation texts; `train.metric` selects the figure for the best weights."""
        from ..evaluation.classification import labeller, measure, score_labelled

        assert corpus.labels is not None
        log_probs, _ = score_labelled(labeller(run), corpus, run.device, run.config.train.bptt)
        right = corpus.labels
        quality, _ = measure(right, log_probs.argmax(axis=1), log_probs.shape[1])
        loss = float(-log_probs[range(len(right)), right].mean())
        return Validation(loss, {"loss": loss} | asdict(quality), run.config.train.metric)

    def best(self, cost: float, config: Config) -> str:
        metric = config.train.metric
        if metric == "loss":
            return f"loss {fixed(cost, 4)}"
        return f"{metric} {fixed(1 - cost, 3)}"

    def _label_counts(self, corpus: Corpus) -> Counter[int]:
        assert corpus.labels is not None
        counts: Counter[int] = Counter(corpus.labels.tolist())
        del counts[-1]  # tokens without a label
        return counts

    def _hold_out(self, files: list[Path], folder: Path) -> tuple[list[Path], list[Path]]:
        """Split the examples at random, label by label, into a training and a validation file."""
        rows: dict[str, list[str]] = {}
        for path in files:
            for example in self.read(path):
                rows.setdefault(example.label, []).append(example.written)
        draw = random.Random(1)
        kept: list[str] = []
        held: list[str] = []
        for lines in rows.values():
            draw.shuffle(lines)
            cut = max(1, round(HELD_OUT * len(lines))) if len(lines) > 1 else 0
            held += lines[:cut]
            kept += lines[cut:]
        if not held:
            raise InputError(
                f"'{files[0]}' has too few examples to hold some out; add --valid FILE "
                f"({self.format})"
            )
        draw.shuffle(kept)
        paths = folder / "kept.tsv", folder / "held.tsv"
        for path, lines in zip(paths, (kept, held), strict=True):
            write_text(path, "".join(lines))
        return [paths[0]], [paths[1]]

    # ------------------------------------------------------------------ using a run

    def evaluate(
        self, run: Run, data: Paths, options: Options
    ) -> ClassifierEvaluation | TaggerEvaluation:
        from ..evaluation.classification import evaluate_classifier

        return evaluate_classifier(run, data)

    def compare(self, runs: Sequence[Run], data: Paths, options: Options) -> LabelComparison:
        from ..evaluation.compare_labels import compare_labels

        return compare_labels(runs, [self.evaluate(run, data, options) for run in runs])

    def classify_lines(self, run: Run, lines: Iterable[str]) -> Iterator[Answer]:
        from ..evaluation.classification import classify_lines

        return classify_lines(run, lines)

    def examples(
        self, run: Run, data: Paths, folder: Path, *, length: int | None, samples: int
    ) -> Iterable[Batch]:
        from ..data.labelled import Labelled
        from ..data.stream import spread

        run.require(Ability.GRADIENTS)
        refuse_length(run, length, self.reads)
        model = run.config.model
        if data:
            paths = [span.path for span in open_texts(path_list(data))]
            each = 1 + model.pairs
            corpus, _ = prepare_labelled(paths, run.tokenizer, folder, model.labels, each)
        else:
            corpus = self.corpus(training_text(run))
        assert corpus.labels is not None
        texts = Labelled(corpus.ids, corpus.labels, 1, run.config.train.bptt, shuffle=False)
        return (texts[i] for i in spread(len(texts), samples))


def _with_weights(config: Config, counts: Counter[int]) -> Config:
    """Compute the weights of the labels if objective.weights=balanced: rare labels weigh more."""
    if config.objective.weights != "balanced":
        return config
    total, labels = sum(counts.values()), len(config.model.labels)
    weights = [total / (labels * max(1, counts[i])) for i in range(labels)]
    objective = config.objective.model_copy(update={"weights": weights})
    return replace(config, objective=objective)
