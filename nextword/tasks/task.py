"""The interface of all tasks, and the types that they share.

A task is a kind of text together with what a model of it is for: running text to predict, sentence
pairs to translate, sentences with gaps to fill, texts to label, words to tag. The class attributes
describe the task, so that settings can be checked without importing torch. The methods open and
prepare texts and validate, evaluate and compare models; they import what they need when called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from .. import registry
from ..errors import InputError
from ..files import AnyPath, Paths
from ..numerals import fixed
from ..screen import Bar, Bars
from ..types import Ability
from .results import Answer, Comparison, Report, Validation

if TYPE_CHECKING:  # importing these takes seconds, and settings must be checked at once
    from ..config import Config, Overrides
    from ..data.stream import Stream
    from ..evaluation.cache import Cache
    from ..evaluation.documents import DocumentScores
    from ..evaluation.dynamic import Dynamic
    from ..evaluation.sentences import SentenceScore
    from ..evaluation.surprisal import Rows, Surprisal
    from ..generation.decoding import Decoding
    from ..models.encoder_classifier import EncoderClassifier
    from ..run import Run
    from ..text.corpus import Corpus
    from ..types import Batch

HELD_OUT = 0.05  # fraction of the training text for validation, if none is given


class Origin(NamedTuple):
    """The run, or BERT in the Hugging Face format, that a training starts from (`--from`)."""

    folder: Path
    config: Config
    same_model: bool  # the new model is of the same kind and takes its weights


class Prepared(NamedTuple):
    """The result of preparing texts."""

    config: Config  # with the settings that follow from the text, such as its labels
    notes: list[str]  # notes for the user


@dataclass(frozen=True)
class Options:
    """Options of `evaluate` and `compare`; `Task.options` lists those of some tasks only."""

    targets: Paths = ()
    decoding: Decoding | None = None
    dynamic: Dynamic | None = None
    cache: Cache | None = None
    mc_dropout: int = 0
    stripes: int = 1
    warmup: int = 256
    bar: Bar | None = None

    def __post_init__(self) -> None:
        """Raise InputError if a number is out of its range."""
        from ..evaluation.reading import check_numbers

        check_numbers(self.mc_dropout, self.stripes, self.warmup)

    def given(self) -> list[str]:
        """Return the command-line names of the options that differ from their defaults."""
        decoded = set() if self.decoding is None else self.decoding.model_fields_set
        used = {
            "--target": bool(self.targets),
            "--beam": (self.decoding is not None and "alpha" not in decoded) or "beam" in decoded,
            "--alpha": "alpha" in decoded,
            "--stripes": self.stripes > 1,
            "--dynamic": self.dynamic is not None,
            "--cache": self.cache is not None,
            "--mc-dropout": self.mc_dropout != 0,
        }
        return [name for name, is_used in used.items() if is_used]


class Task(ABC):
    """A kind of text, and what a model of it is for.

    Example:
        task = task_of(config)
        texts = task.open(["book.txt"])
        prepared = task.prepare(texts, [], config, None, folder, bars=bars, bptt_is_given=False)
        corpus = task.corpus(folder / "data" / "train")
    """

    name: ClassVar[str]
    #: The text that a model reads, as in "the model 'lstm' reads running text".
    reads: ClassVar[str]
    #: What a run does, as in "'runs/mine' predicts text".
    does: ClassVar[str]
    #: What a run can do, and the command for it; the main use comes first.
    abilities: ClassVar[dict[Ability, str]]
    #: The figure that `compare` ranks runs by. Runs with different ones cannot be compared.
    ranked_by: ClassVar[str]
    #: Streams and objectives that the task accepts. If empty: all that no other task lists.
    streams: ClassVar[tuple[str, ...]] = ()
    objectives: ClassVar[tuple[str, ...]] = ()
    #: Keys of [train] that this task accepts and not all others do.
    settings: ClassVar[frozenset[str]] = frozenset()
    #: Options of `evaluate` and `compare` that this task accepts and not all others do.
    options: ClassVar[frozenset[str]] = frozenset()
    #: Whether texts are pairs of source and target, so that settings have a [source] table.
    has_source: ClassVar[bool] = False
    #: Whether --from can be combined with a new vocabulary (train.vocabulary=new).
    new_vocabulary: ClassVar[bool] = False
    #: Label and unit of the progress bar of an evaluation.
    evaluating: ClassVar[tuple[str, str]] = ("evaluating", "tokens")

    # ------------------------------------------------------------------ checks

    @classmethod
    def require(cls, run: str, ability: Ability, path: str) -> None:
        """Raise InputError unless a run of this task, called `run`, has the ability.

        Args:
            path: where the run is, for the command that the message suggests.
        """
        if ability not in cls.abilities:
            raise cls.refusal(run, ability, path)

    @classmethod
    def refusal(cls, run: str, ability: Ability, path: str) -> InputError:
        """Return the error for a run that lacks an ability; see `require`."""
        usage = next(iter(cls.abilities.values())).format(run=quote(str(path)))
        return InputError(f"'{run}' {cls.does}; it cannot {ability}. Use it with: {usage}")

    @classmethod
    def check_settings(cls, model: str, stream: str, objective: str, given: set[str]) -> None:
        """Raise InputError for a stream, objective or key of [train] of another task.

        `given` are the keys of [train] that differ from their defaults.
        """
        others = [task for task in _all_tasks() if task is not cls]
        streams = {one for task in others for one in task.streams}
        objectives = {one for task in others for one in task.objectives}
        for key, name, own, of_others in (
            ("train.stream", stream, cls.streams, streams),
            ("objective.name", objective, cls.objectives, objectives),
        ):
            if (name not in own) if own else (name in of_others):
                hint = f"; set {key}={own[0]}" if own else ""
                raise InputError(f"the model '{model}' reads {cls.reads}, not {key}={name}{hint}")
        for key in sorted(given - cls.settings):
            if readers := [task.reads for task in others if key in task.settings]:
                raise InputError(
                    f"the model '{model}' reads {cls.reads}; train.{key} is for "
                    f"{' and '.join(readers)}"
                )

    @classmethod
    def check_options(cls, run: str, options: Options) -> None:
        """Raise InputError for an option of `evaluate` or `compare` of another task."""
        for name in options.given():
            if name not in cls.options:
                readers = [task.reads for task in _all_tasks() if name in task.options]
                raise InputError(
                    f"'{run}' {cls.does}: {name} is for models that read {' or '.join(readers)}"
                )

    # ------------------------------------------------------------------ making a run

    @abstractmethod
    def open(self, paths: Paths, targets: Paths = ()) -> list[Any]:
        """Open the files of a text; `targets` are those of the targets of sentence pairs.

        Raises:
            InputError: a file cannot be read, or targets are given to a task without them.
        """

    @abstractmethod
    def prepare(
        self,
        train: list[Any],
        valid: list[Any],
        config: Config,
        origin: Origin | None,
        folder: Path,
        *,
        bars: Bars,
        bptt_is_given: bool,
    ) -> Prepared:
        """Write the tokenizer and the ids of the training and validation text into a run's folder.

        Args:
            train, valid: what `open` returned; without `valid` a part of `train` is held out.
            origin: the run whose vocabulary to keep, if any.
            bptt_is_given: the user set `train.bptt`, so it must fit the text and is not shortened.

        Returns:
            The settings, with those that follow from the text, and notes for the user.

        Raises:
            InputError: there is too little text, or it does not fit the settings.
        """

    @abstractmethod
    def corpus(self, folder: Path) -> Corpus:
        """Open a text that `prepare` wrote."""

    @abstractmethod
    def shortened(self, corpus: Corpus, stream: Stream, config: Config) -> str | None:
        """Return a note for the user if the text is too short for a batch of the given size."""

    def start_from(self, recipe: str, overrides: Overrides, origin: Path, before: Config) -> Config:
        """Return the settings of a training from the run `origin` with the settings `before`.

        Raises:
            InputError: that run is of another task, or an override changes its vocabulary.
        """
        from .origin import keep_vocabulary

        return keep_vocabulary(
            self.name, recipe, overrides, origin, before, new_vocabulary=self.new_vocabulary
        )

    def vectors_key(self, path: Path) -> str:
        """Return the key of the setting that `--from VECTORS` sets."""
        return "text.vectors"

    def take_encoder(self, model: EncoderClassifier, origin: Origin) -> list[str]:
        """Load weights of a run of another kind; return notes for the user, [] if none fit."""
        return []

    @abstractmethod
    def validate(self, run: Run, corpus: Corpus, rows: int) -> Validation:
        """Measure a model on a prepared text; up to `rows` parts of it may be read in parallel."""

    def best(self, cost: float, config: Config) -> str:
        """Format the best validation so far, given its `Validation.cost`."""
        from ..evaluation.figures import safe_exp

        return f"perplexity {fixed(safe_exp(cost))}"

    # ------------------------------------------------------------------ using a run

    @abstractmethod
    def evaluate(self, run: Run, data: Paths, options: Options) -> Report:
        """Measure how good a run is on a text; see `nextword.evaluate`."""

    @abstractmethod
    def compare(self, runs: Sequence[Run], data: Paths, options: Options) -> Comparison:
        """Compare runs with the same `ranked_by` on one text; see `nextword.compare`."""

    def score_lines(
        self, run: Run, lines: Iterable[str], batch_size: int = 64
    ) -> Iterator[SentenceScore]:
        """Yield the log-probability of each line; see `nextword.score`.

        Raises:
            InputError: the run cannot score sentences.
        """
        raise self.refusal(run.name, Ability.SCORE, run.path)

    def surprisal(self, run: Run, lines: Iterable[str], how: Rows) -> Iterator[Surprisal]:
        """Yield the surprisal of each token, word or region of lines; see `nextword.surprisal`.

        Raises:
            InputError: the run cannot score sentences.
        """
        raise self.refusal(run.name, Ability.SCORE, run.path)

    def score_documents(
        self, run: Run, texts: Sequence[str], workers: int | None = None
    ) -> DocumentScores:
        """Score documents, line by line; see `nextword.score_documents`.

        Args:
            workers: number of threads of an n-gram model; None = one per core.

        Raises:
            InputError: the run does not predict running text.
        """
        raise self.refusal(run.name, Ability.PREDICT, run.path)

    def classify_lines(self, run: Run, lines: Iterable[str]) -> Iterator[Answer]:
        """Yield the label of each line, or the tags of its words.

        Raises:
            InputError: the run is neither a classifier nor a tagger.
        """
        raise self.refusal(run.name, Ability.CLASSIFY, run.path)

    def examples(
        self, run: Run, data: Paths, folder: Path, *, length: int | None, samples: int
    ) -> Iterable[Batch]:
        """Return examples that are spread evenly over a text, in batches without padding.

        Args:
            data: files of the text; if empty, the training text of the run.
            folder: an empty folder for the prepared text.
            length: tokens of an example of running text; None = 100.
            samples: the most examples.

        Raises:
            InputError: the run has no gradients to show, a file cannot be read, or `length` is
                given for a text whose examples have lengths of their own.
        """
        raise self.refusal(run.name, Ability.GRADIENTS, run.path)

    def usage(self, run: AnyPath) -> str:
        """Return commands to suggest after a training, for the run `run`."""
        commands = list(self.abilities.values())[:2]
        return "   or: ".join(command.format(run=quote(str(run))) for command in commands)


def _all_tasks() -> list[type[Task]]:
    return [registry.load("task", name) for name in registry.names("task")]


def within_context(config: Config, longest: int, bptt_is_given: bool) -> Config:
    """Limit `train.bptt`, the longest text that a model is trained on, to `longest` tokens.

    Raises:
        InputError: the user set a longer one.
    """
    bptt = config.train.bptt
    if bptt <= longest:
        return config
    if bptt_is_given:
        raise InputError(
            f"train.bptt = {bptt} is too long for the model's context; "
            f"add --set train.bptt={longest}"
        )
    return replace(config, train=config.train.model_copy(update={"bptt": longest}))
