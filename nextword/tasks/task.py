"""What every task answers.

A task is a kind of text together with what a model of it is for: running text to predict, sentence
pairs to translate, sentences with gaps to fill, texts to label, words to tag. The attributes of a
class say what the task is, so that settings can be checked without loading anything heavy; its
methods open, prepare, validate, evaluate and compare, and import what they need when called.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from .. import registry
from ..errors import InputError
from ..screen import Bar, Bars
from ..types import Ability

if TYPE_CHECKING:  # importing these takes seconds, and settings must be checked at once
    from ..config import Config
    from ..data.stream import Stream
    from ..evaluation.cache import Cache
    from ..evaluation.dynamic import Dynamic
    from ..evaluation.sentences import SentenceScore
    from ..generation.translate import Decoding
    from ..run import Run
    from ..text.corpus import Corpus

Paths = Sequence[str | os.PathLike[str]]
#: What people read: a figure's name (empty: another unit of the one above) and the figure.
Lines = list[tuple[str, str]]
HELD_OUT = 0.05  # of the training text, when no validation text is given


class Report(Protocol):
    """The figures of one run on one text."""

    def as_dict(self) -> dict[str, Any]:
        """All figures by name, for programs."""
        ...

    def lines(self) -> Lines:
        """The figures as people read them."""
        ...


class Drawn(Protocol):
    """A result with a picture."""

    def draw(self, path: str | os.PathLike[str]) -> None: ...


class Comparison(Protocol):
    """The figures of several runs on the same text, best first."""

    @property
    def rows(self) -> Sequence[Any]: ...

    def as_dict(self) -> dict[str, Any]:
        """All figures by name, for programs."""
        ...

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The headings of the columns after the run's name, and a row for each run."""
        ...

    def notes(self) -> list[str]:
        """Lines to print below the table: what was tested, and the verdict."""
        ...


class Answer(Protocol):
    """What `classify` says of one line."""

    @property
    def cut(self) -> bool:
        """The line was too long to be read whole."""
        ...

    def as_dict(self) -> dict[str, Any]: ...

    def as_text(self) -> str:
        """The line or lines to print, without the last line's end."""
        ...


class Origin(NamedTuple):
    """What a training starts from (`--from`): a run, or a model in the hub's format."""

    folder: Path
    config: Config
    same_model: bool  # the new model is of the same kind and begins with its weights


class Prepared(NamedTuple):
    """What preparing the text gave."""

    config: Config  # with what was learnt from the text, such as its labels
    notes: list[str]  # lines that the user should read


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
        formats = {  # other figures go by their name
            "perplexity": "perplexity {:.2f}",
            "accuracy": "accuracy {:.1%}",
            "bleu": "BLEU {:.1f}",
            "loss": "loss {:.4f}",
            "f1": "F1 {:.1%}",
            "matthews": "Matthews {:.3f}",
            "next_accuracy": "next sentence {:.1%}",
        }
        return "  ".join(
            formats.get(name, f"{name.replace('_', ' ')} {{:.4g}}").format(value)
            for name, value in self.figures.items()
        )


@dataclass(frozen=True)
class Options:
    """How to evaluate or compare. Each task has the options that it names in `Task.options`."""

    targets: Paths = ()
    decoding: Decoding | None = None
    dynamic: Dynamic | None = None
    cache: Cache | None = None
    mc_dropout: int = 0
    stripes: int = 1
    warmup: int = 256
    bar: Bar | None = None

    def given(self) -> list[str]:
        """The options that differ from their defaults, as they are called on the command line."""
        used = {
            "--target": bool(self.targets),
            "--stripes": self.stripes > 1,
            "--dynamic": self.dynamic is not None,
            "--cache": self.cache is not None,
            "--mc-dropout": self.mc_dropout != 0,
        }
        return [name for name, is_used in used.items() if is_used]


class Task(ABC):
    """One kind of text, and what a model of it is for.

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
    #: What a run can be asked, and by which command; the first is what it is mainly for.
    abilities: ClassVar[dict[Ability, str]]
    #: Runs that are ranked by the same figure can be compared.
    ranked_by: ClassVar[str]
    #: Streams and objectives that no other task has; none: those that no task claims.
    streams: ClassVar[tuple[str, ...]] = ()
    objectives: ClassVar[tuple[str, ...]] = ()
    #: Keys of [train] that only some tasks have.
    settings: ClassVar[frozenset[str]] = frozenset()
    #: Options of `evaluate` and `compare` that only some tasks have.
    options: ClassVar[frozenset[str]] = frozenset()
    #: Texts come in pairs of a source and a target, with a [source] table of settings.
    has_source: ClassVar[bool] = False
    #: A run can go on with a vocabulary learnt from another text (train.vocabulary=new).
    new_vocabulary: ClassVar[bool] = False
    #: What a progress bar of an evaluation says and counts.
    evaluating: ClassVar[tuple[str, str]] = ("evaluating", "tokens")

    # ------------------------------------------------------------------ refusals, in one line

    @classmethod
    def require(cls, run: str, ability: Ability) -> None:
        """Raise InputError unless a run of this task, called `run`, has the ability."""
        if ability not in cls.abilities:
            usage = next(iter(cls.abilities.values())).format(run=run)
            raise InputError(f"'{run}' {cls.does}; it cannot {ability}. Use it with: {usage}")

    @classmethod
    def check_settings(cls, model: str, stream: str, objective: str, given: set[str]) -> None:
        """Raise InputError for a stream, objective or key of [train] that is another task's.

        Args:
            given: the keys of [train] that differ from their defaults.
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
        """Raise InputError for an option of `evaluate` or `compare` that is another task's."""
        for name in options.given():
            if name not in cls.options:
                readers = [task.reads for task in _all_tasks() if name in task.options]
                raise InputError(
                    f"'{run}' {cls.does}: {name} is for models that read {' or '.join(readers)}"
                )

    # ------------------------------------------------------------------ making a run

    @abstractmethod
    def open(self, paths: Paths, targets: Paths = ()) -> list[Any]:
        """The files of a text, checked.

        Args:
            targets: of sentence pairs: the other language's file of each file.

        Raises:
            InputError: a file cannot be read, or there are targets but the task has none.
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
            train, valid: what `open` gave; without `valid` a part of `train` is held out.
            origin: the run whose vocabulary to keep.
            bptt_is_given: the user set `train.bptt`, so it must fit and is not cut silently.

        Raises:
            InputError: there is too little text, or it does not fit the settings.
        """

    @abstractmethod
    def corpus(self, folder: Path) -> Corpus:
        """Open a text that `prepare` wrote."""

    @abstractmethod
    def shortened(self, corpus: Corpus, stream: Stream, config: Config) -> str | None:
        """What to tell the user if the text is shorter than one batch of the wanted size."""

    def start_from(self, recipe: str, overrides: Any, origin: Path, before: Config) -> Config:
        """The settings of a training that starts from a run with the settings `before`.

        Raises:
            InputError: that run is of another task, or a setting of its vocabulary is changed.
        """
        from .origin import keep_vocabulary

        return keep_vocabulary(self, recipe, overrides, origin, before)

    def vectors_key(self, path: Path) -> str:
        """The setting that a file of word vectors given with --from goes to."""
        return "text.vectors"

    def take_encoder(self, model: Any, origin: Origin) -> list[str]:
        """Put weights of a run of another kind into the model, where the task knows how.

        Returns:
            Lines that the user should read.
        """
        return []

    @abstractmethod
    def validate(self, run: Run, corpus: Corpus, rows: int) -> Validation:
        """How good a model in training is on prepared text.

        Args:
            rows: that training reads side by side; validation may do the same.
        """

    def best(self, cost: float, config: Config) -> str:
        """The best validation so far as people read it."""
        from ..evaluation.figures import safe_exp

        return f"perplexity {safe_exp(cost):.2f}"

    # ------------------------------------------------------------------ using a run

    @abstractmethod
    def evaluate(self, run: Run, data: Any, options: Options) -> Report:
        """How good a run is at what it does; see `nextword.evaluate`."""

    @abstractmethod
    def compare(self, runs: Sequence[Run], data: Any, options: Options) -> Comparison:
        """Several runs that are ranked by the same figure; see `nextword.compare`."""

    def score_lines(
        self, run: Run, lines: Iterable[str], batch_size: int = 64
    ) -> Iterator[SentenceScore]:
        """The log-probability of each line; see `nextword.score`.

        Raises:
            InputError: the run cannot score sentences.
        """
        run.require(Ability.SCORE)
        raise NotImplementedError

    def classify_lines(self, run: Run, lines: Iterable[str]) -> Iterator[Answer]:
        """The label of each line, or the tags of its words.

        Raises:
            InputError: the run gives no labels.
        """
        run.require(Ability.CLASSIFY)
        raise NotImplementedError

    def usage(self, run: str | os.PathLike[str]) -> str:
        """Commands to go on with after a training."""
        commands = list(self.abilities.values())[:2]
        return "   or: ".join(command.format(run=run) for command in commands)


def _all_tasks() -> list[type[Task]]:
    return [registry.load("task", name) for name in registry.names("task")]
