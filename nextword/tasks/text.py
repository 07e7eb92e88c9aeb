"""The task of language modelling: running text, predicted from left to right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .. import registry
from ..errors import InputError
from ..files import Paths, path_list, write_text
from ..run import DATA, TOKENIZER, tokenizer_of
from ..screen import Advance, Bar, Bars
from ..text.corpus import Corpus, open_corpus
from ..text.corpus import prepare as prepare_corpus
from ..text.reader import Span, blocks, hold_out, open_texts
from ..text.tokenizer import train_tokenizer
from ..types import Ability, Batch
from .results import Validation
from .task import HELD_OUT, Options, Origin, Prepared, Task

if TYPE_CHECKING:
    from ..config import Config
    from ..data.stream import Stream
    from ..evaluation.compare_texts import TextComparison
    from ..evaluation.documents import DocumentScores
    from ..evaluation.figures import Evaluation
    from ..evaluation.reading import Reading
    from ..evaluation.sentences import SentenceScore
    from ..evaluation.surprisal import Rows, Surprisal
    from ..evaluation.token_scores import TokenScores
    from ..run import Run

_SHORTEST = 8  # fewest tokens that a training accepts


class TextTask(Task):
    """Predict the next token of running text."""

    name = "text"
    reads = "running text"
    does = "predicts text"
    abilities: ClassVar[dict[Ability, str]] = {
        Ability.GENERATE: 'nextword generate {run} --prompt "..."',
        Ability.EVALUATE: "nextword evaluate {run} --data FILE",
        Ability.SCORE: "nextword score {run} FILE",
        Ability.PREDICT: "nextword evaluate {run} --data FILE",
        Ability.EMBED: "nextword embed {run} FILE",
        Ability.MIX: "nextword train mixture {run} RUN --valid FILE --out RUN",
        Ability.GRADIENTS: "nextword inspect {run} gradients --out FILE",
    }
    ranked_by = "bits per byte"
    options = frozenset({"--stripes", "--dynamic", "--cache", "--mc-dropout"})
    new_vocabulary = True

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
        notes = []
        if not valid:
            train, valid = hold_out(train, HELD_OUT)
            if valid:
                notes.append(
                    f"no --valid given: the last {HELD_OUT:.0%} of the training text are held out"
                )
        size = sum(span.size for span in train)
        if origin and config.train.vocabulary == "keep":
            tokenizer = tokenizer_of(origin.folder)
        else:
            advance = bars("learning the vocabulary", size)
            tokenizer = train_tokenizer(
                texts_of(train, advance), config.text, size, marks=config.model.reads_marks
            )
            notes += tokenizer.recognised(config.text)
        write_text(folder / TOKENIZER, tokenizer.to_json())
        corpus = prepare_corpus(train, tokenizer, folder / DATA / "train", bars("encoding", size))
        _check_enough(corpus, train[0].path)
        if valid:
            held = prepare_corpus(valid, tokenizer, folder / DATA / "valid")
            if not len(held):
                raise InputError(f"no words in '{valid[0].path}'; give a text to validate on")
        else:
            notes.append("the text is too short to hold any of it out: no validation")
        _check_length(config, len(corpus), bptt_is_given)
        if origin and origin.same_model:
            return Prepared(config, notes)
        config, more = _learnable_context(config)
        return Prepared(config, notes + more)

    def corpus(self, folder: Path) -> Corpus:
        return open_corpus(folder)

    def shortened(self, corpus: Corpus, stream: Stream, config: Config) -> str | None:
        wanted = wanted_rows(corpus, config), config.train.bptt
        if (stream.batch_size, stream.bptt) == wanted:
            return None
        return (
            f"the text is shorter than one batch of {wanted[0]} x {wanted[1]}: "
            f"using {stream.batch_size} x {stream.bptt}"
        )

    def validate(self, run: Run, corpus: Corpus, rows: int) -> Validation:
        """Measure the perplexity; the text is read in parallel stripes, so it is approximate."""
        from ..evaluation.token_scores import score_tokens

        ids = corpus.ids
        stripes = max(1, min(rows, len(ids) // 256))
        scores = score_tokens(
            run.model,
            ids,
            run.device,
            stripes=stripes,
            warmup=64 if stripes > 1 else 0,
            chunk=max(512, 64 * stripes),
        )
        return predicted(scores.nll / len(ids), scores.accuracy)

    # ------------------------------------------------------------------ using a run

    def evaluate(self, run: Run, data: Paths, options: Options) -> Evaluation:
        from ..evaluation.perplexity import evaluate_text

        return evaluate_text(
            run,
            data,
            dynamic=options.dynamic,
            cache=options.cache,
            mc_dropout=options.mc_dropout,
            stripes=options.stripes,
            warmup=options.warmup,
            bar=options.bar,
        )

    def evaluate_corpus(
        self, run: Run, corpus: Corpus, how: Reading, bar: Bar | None
    ) -> tuple[Evaluation, TokenScores]:
        """Evaluate a run on a prepared text; also return the score of every token."""
        from ..evaluation.perplexity import evaluate_corpus

        return evaluate_corpus(run, corpus, how, bar=bar)

    def compare(self, runs: Sequence[Run], data: Paths, options: Options) -> TextComparison:
        from ..evaluation.compare_texts import compare_texts
        from ..evaluation.reading import Reading

        tasks: list[TextTask] = [registry.load("task", run.config.model.task)() for run in runs]
        how = Reading(options.dynamic, stripes=options.stripes)
        return compare_texts(
            runs, data, [task.evaluate_corpus for task in tasks], how=how, bar=options.bar
        )

    def score_lines(
        self, run: Run, lines: Iterable[str], batch_size: int = 64
    ) -> Iterator[SentenceScore]:
        from ..evaluation.sentences import score_lines

        return score_lines(run, lines, batch_size)

    def surprisal(self, run: Run, lines: Iterable[str], how: Rows) -> Iterator[Surprisal]:
        from ..evaluation.surprisal_scoring import text_rows

        return text_rows(run, lines, how)

    def score_documents(
        self, run: Run, texts: Sequence[str], workers: int | None = None
    ) -> DocumentScores:
        from ..evaluation.documents import SumsDocuments, as_lines, counted, sums_of_lines

        texts = [as_lines(text) for text in texts]
        if isinstance(run.model, SumsDocuments):
            sums = run.model.sum_documents(texts, run.tokenizer, workers)
            tokenizer = run.tokenizer
            plain = tokenizer.between_blanks() is not None and tokenizer.normalisation == "none"
            return counted(texts, sums, words_are_tokens=plain)
        sums = sums_of_lines(run, texts, lambda lines: self.score_lines(run, lines))
        return counted(texts, sums, words_are_tokens=False)

    def examples(
        self, run: Run, data: Paths, folder: Path, *, length: int | None, samples: int
    ) -> Iterable[Batch]:
        from ..data.stream import excerpts

        if path_list(data):
            corpus = prepare_corpus(open_texts(path_list(data)), run.tokenizer, folder)
        else:
            corpus = open_corpus(training_text(run))
        return [excerpts(corpus.ids, length or 100, samples)]


def training_text(run: Run) -> Path:
    """Return the folder of the prepared training text of a run."""
    if run.folder is None:
        raise InputError(f"'{run.name}' has no training text with it; name a text: --data FILE")
    return run.folder / DATA / "train"


def refuse_length(run: Run, length: int | None, reads: str) -> None:
    """Raise InputError if a length is given for texts that have lengths of their own."""
    if length is not None:
        raise InputError(f"'{run.name}' reads {reads}, whole: leave --length out")


def refuse_targets(targets: Paths, reads: str) -> None:
    """Raise InputError if there are files of translations; the model does not read pairs."""
    if targets := path_list(targets):
        raise InputError(f"the model reads {reads}, not pairs; leave '{targets[0]}' out")


def predicted(loss: float, accuracy: float) -> Validation:
    """Make the validation of a model that predicts tokens.

    Args:
        loss: nats per token.
        accuracy: fraction of tokens that were the most probable one.
    """
    from ..evaluation.figures import safe_exp

    return Validation(loss, {"perplexity": safe_exp(loss), "accuracy": accuracy})


def texts_of(spans: list[Span], advance: Advance) -> Iterator[str]:
    """Read files block by block; `advance` is called with the number of bytes of each block."""
    for text, read in blocks(spans):
        yield text
        advance(read)


def wanted_rows(corpus: Corpus, config: Config) -> int:
    """Return the number of rows of a batch; a short text may give fewer."""
    from ..data.stream import auto_batch

    return config.train.batch_size or auto_batch(len(corpus), config.train.bptt)


def _check_enough(corpus: Corpus, path: Path) -> None:
    if len(corpus) < _SHORTEST:
        raise InputError(
            f"'{path}' gives {len(corpus)} tokens to train on; at least {_SHORTEST} are needed, "
            "thousands to learn anything"
        )
    ids = corpus.ids
    if not np.any(ids[: 1 << 20] != ids[0]) and not np.any(np.asarray(ids) != ids[0]):
        raise InputError(
            f"'{path}' holds one kind of token only ({len(corpus)} times): there is nothing to "
            "predict; try text.tokenizer=char, or another text"
        )


def _check_length(config: Config, tokens: int, bptt_is_given: bool) -> None:
    """Raise InputError if `train.bptt` is longer than the text and may not be shortened.

    It may be if it is a default; a note says so later. It may not if the user set it, or if lengths
    vary and the learning rate is scaled by them.
    """
    fixed = bptt_is_given or config.train.stream == "variable"
    if config.train.bptt > tokens and fixed:
        raise InputError(
            f"train.bptt = {config.train.bptt} is longer than the training text of {tokens:,} "
            f"tokens; set a smaller one, for example --set train.bptt={max(1, tokens // 4)}"
        )


def _learnable_context(config: Config) -> tuple[Config, list[str]]:
    """Shorten the context of the model to the windows that it is trained on.

    A model that is trained on independent windows never learns positions beyond their length, and
    predicts worse there than with a shorter context.

    Returns:
        The settings, and notes for the user.
    """
    context, bptt = config.model.model_dump().get("context"), config.train.bptt
    carries = registry.load("stream", config.train.stream).carries
    if carries or not context or context <= bptt:
        return config, []
    note = f"model.context = {context} is shortened to {bptt}, as long as train.bptt"
    model = config.model.model_copy(update={"context": bptt})
    return replace(config, model=model), [note]
