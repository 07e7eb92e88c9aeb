"""The public functions `evaluate`, `compare`, `score` and `surprisal`; they call the task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import check_text, checked
from ..errors import InputError
from ..files import AnyPath, Paths, path_list
from ..run import Run, load, seeds_of
from ..screen import Bar
from ..text.source import streams_kept
from ..types import Ability
from . import task_of
from .results import SeedsEvaluation
from .task import Options

if TYPE_CHECKING:
    from ..evaluation.cache import Cache
    from ..evaluation.documents import DocumentScore
    from ..evaluation.dynamic import Dynamic
    from ..evaluation.sentences import SentenceScore
    from ..evaluation.surprisal import Surprisal
    from ..generation.decoding import Decoding


@checked
@streams_kept()
def evaluate(
    run: Run,
    data: Paths,
    targets: Paths = (),
    *,
    decoding: Decoding | None = None,
    dynamic: Dynamic | None = None,
    cache: Cache | None = None,
    mc_dropout: int = 0,
    stripes: int = 1,
    warmup: int = 256,
    normalise: str = "none",
    bar: Bar | None = None,
) -> Any:
    """Measure how good a run is on text files.

    Args:
        run: the trained model.
        data: the path of a file, or a list of paths.
        targets: translators only: files of translations, line by line, if `data` has the sources
            only; otherwise each line of `data` is source, tab, target.
        decoding: translators only: how translations are searched; None = the default beam search.
        dynamic: language models only: settings of dynamic evaluation; None = fixed weights.
        cache: language models only: settings of a neural cache; None = no cache.
        mc_dropout: language models only: number of passes with dropout to average; 0 = none.
        stripes: language models only: parts of the text that are read in parallel. 1 is exact; more
            is faster but changes the figures slightly, and the signature says so.
        warmup: language models only: tokens that each stripe reads before its own, without
            predicting them.
        normalise: what is done to the text first: "none", "tokenised" (spaces round the punctuation
            of English prose), "nfkc" or "ccnet". Words and bytes are counted before.
        bar: starts a progress bar: called with the total, it returns a function to call with the
            number of tokens (translators: sentences) just done.

    Returns:
        `Evaluation` for a language model or BERT (perplexity, bits per byte, accuracy),
        `TranslationEvaluation` for a translator (also BLEU and chrF), `ClassifierEvaluation` or
        `TaggerEvaluation` (accuracy, F1, Matthews correlation). All have `as_dict()`, all figures
        by name, and `lines()`, the figures formatted for people. Log-probabilities are natural
        logarithms, accuracies fractions from 0 to 1.

    Raises:
        InputError: a file cannot be read, an option is not for this kind of run, or two options
            exclude each other.

    Example:
        nextword.evaluate(nextword.load("runs/mine"), "book.txt").perplexity
    """
    options = Options(
        path_list(targets), decoding, dynamic, cache, mc_dropout, stripes, warmup, bar
    )
    task = task_of(run.config)
    task.check_options(run.name, options)
    return task.evaluate(run.normalised(normalise), data, options)


@checked
@streams_kept()
def evaluate_seeds(
    path: AnyPath,
    data: Paths,
    targets: Paths = (),
    *,
    decoding: Decoding | None = None,
    dynamic: Dynamic | None = None,
    cache: Cache | None = None,
    mc_dropout: int = 0,
    stripes: int = 1,
    normalise: str = "none",
    device: str = "cpu",
) -> SeedsEvaluation:
    """Evaluate every run in a directory that `train_seeds` made, on the same text files.

    Args:
        path: the directory.
        device: "cpu", "cuda" or "cuda:N".
        others: see `evaluate`.

    Returns:
        The reports of the runs (`results`), and the mean and standard deviation of each figure
        (`statistics`).

    Raises:
        InputError: the directory holds no such runs, or see `evaluate`.

    Example:
        nextword.evaluate_seeds("runs/book", "other.txt").statistics["perplexity"].mean
    """
    runs = seeds_of(Path(path))
    if not runs:
        raise InputError(f"'{path}' holds no runs of several seeds; `train --seeds N` makes them")
    results = []
    for place in runs:
        run = load(place, device).normalised(normalise)
        options = Options(path_list(targets), decoding, dynamic, cache, mc_dropout, stripes)
        task = task_of(run.config)
        task.check_options(run.name, options)
        results.append(task.evaluate(run, data, options))
    return SeedsEvaluation(runs, results)


@checked
@streams_kept()
def compare(
    runs: Sequence[Run],
    data: Paths,
    targets: Paths = (),
    *,
    decoding: Decoding | None = None,
    dynamic: Dynamic | None = None,
    stripes: int = 1,
    normalise: str = "none",
    bar: Bar | None = None,
) -> Any:
    """Evaluate several runs on the same files, with 95 % confidence intervals and a test.

    Language models are ranked by bits per byte, translators by BLEU, classifiers by accuracy, and
    taggers by the F1 of spans (without spans by accuracy). A paired bootstrap tests the best run
    against the second; for translators each run against the first of `runs`.

    Args:
        runs: trained models of the same task. Tokenizers and vocabularies may differ.
        data: the path of a file, or a list of paths.
        targets: translators only: see `evaluate`.
        decoding: translators only: see `evaluate`.
        dynamic: language models only: see `evaluate`.
        stripes: language models only: see `evaluate`.
        normalise: see `evaluate`.
        bar: starts a progress bar for each run: see `evaluate`.

    Returns:
        `TextComparison`, `TranslationComparison` or `LabelComparison`. All have `rows`, best run
        first, and `as_dict()`, all figures by name.

    Raises:
        InputError: there is no run, the runs are of different tasks, a text cannot be read, or an
            option is not for these runs.

    Example:
        print(nextword.compare([nextword.load("runs/a"), nextword.load("runs/b")], "book.txt").rows)
    """
    if not runs:
        raise InputError("name at least one run to compare")
    options = Options(path_list(targets), decoding, dynamic, stripes=stripes, bar=bar)
    first = task_of(runs[0].config)
    for run in runs:
        task = task_of(run.config)
        if task.ranked_by != first.ranked_by:
            raise InputError(
                f"'{runs[0].name}' {first.does}, '{run.name}' {task.does}: there is no figure to "
                "compare them by"
            )
        task.check_options(run.name, options)
    return first.compare([run.normalised(normalise) for run in runs], data, options)


@checked
def score(
    run: Run, texts: Iterable[str], batch_size: int = 64, *, normalise: str = "none"
) -> list[SentenceScore]:
    """Compute the log-probability of each text as a whole line; higher is more natural.

    Compare texts of about the same length by `log_prob`, texts of different lengths by
    `perplexity`. A translator reads source, tab, target and scores the target given the source. A
    BERT gives pseudo-log-likelihoods, which are marked `pseudo` and compare only with each other.

    Args:
        run: a language model, a translator or a BERT.
        texts: lines without line ends.
        batch_size: number of texts per call of the model; it changes memory and speed, not the
            result.
        normalise: what is done to each text first: "none", "tokenised" (spaces round the
            punctuation of English prose), "nfkc" or "ccnet".

    Returns:
        One `SentenceScore` per text, in their order: text, log_prob (natural logarithm), tokens,
        oov (number of unknown words), perplexity (per token), pseudo.

    Raises:
        InputError: the run cannot score sentences, a line for a translator has no tab, or a line
            for a translator or BERT is longer than the model's context.

    Example:
        [one.log_prob for one in nextword.score(run, ["a likely line", "line likely a"])]
    """
    return list(task_of(run.config).score_lines(run.normalised(normalise), texts, batch_size))


@checked
def surprisal(
    run: Run,
    texts: Iterable[str],
    *,
    by: str = "word",
    corrected: bool = True,
    context: str = "",
    previous: bool = False,
    normalise: str = "none",
    batch_size: int = 64,
) -> list[Surprisal]:
    """Compute the surprisal of each word of lines: -log2 p(word | what stands before it), in bits.

    Words are separated by white space. Where white space belongs to the piece that begins a word
    (BPE), the probability that a word ends there belongs to that word (Oh and Schuler 2024;
    Pimentel and Meister 2024). A BERT predicts each piece from all other tokens but the later ones
    of its word (Kauf and Ivanova 2023); its rows are marked `pseudo`. The rows of a line, `<eos>`
    among them, add up to the surprisal of the line.

    Args:
        run: a language model, a translator (each line is source, tab, target) or a BERT.
        texts: lines without line ends.
        by: "word", "token", "sentence", or "region" for lines that are divided by marks, such as
            `the horse | raced past | the barn`; the marks and the blanks around them are not read.
        corrected: False = a word's surprisal is the plain sum of its pieces', and a BERT sees the
            other pieces of a word.
        context: lines that the model reads before each line; "" = none.
        previous: the lines of `texts` before a line are its context.
        normalise: what is done to each line first: see `score`. Rows are of the line as it was
            given.
        batch_size: number of texts per call of the model; it changes memory and speed, not the
            result.

    Returns:
        `Surprisal` rows in the order of the text. `nextword.to_frame` makes a data frame of them.

    Raises:
        InputError: the run cannot score sentences, a line has no regions or does not fit the model,
            or a context is given for a model that reads single lines.

    Example:
        for row in nextword.surprisal(nextword.load("runs/book"), ["the horse raced past"]):
            print(row.text, row.surprisal_bits)
    """
    from ..evaluation.surprisal import Rows

    how = Rows(by, corrected, context, previous, batch_size)
    return list(task_of(run.config).surprisal(run.normalised(normalise), texts, how))


@checked
def score_documents(run: Run, texts: Iterable[str], normalise: str = "none") -> list[DocumentScore]:
    """Score documents, each of which may have several lines, for filtering.

    As in CCNet (Wenzek et al. 2020), every line is scored on its own, from the beginning of a line
    to its `<eos>`, and the log-probabilities of the lines are added. A BERT gives
    pseudo-log-likelihoods, which compare only with each other.

    Args:
        run: a language model or a BERT.
        texts: the documents.
        normalise: what is done to each line first, such as "ccnet"; see
            `nextword.text.normalise`.

    Returns:
        One `DocumentScore` per document, in their order, with `perplexity` (per token),
        `word_perplexity`, `bits_per_byte` and the sums that they are made of. Memory grows with
        the number of documents; `nextword.filter` reads files of any size.

    Raises:
        InputError: the run does not predict running text, or an item is no string.

    Example:
        [one.perplexity for one in nextword.score_documents(run, ["one line", "another"])]
    """
    run.require(Ability.PREDICT)
    run = run.normalised(normalise)
    found = [check_text(text) for text in texts]
    return list(task_of(run.config).score_documents(run, found)) if found else []
