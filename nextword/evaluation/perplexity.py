"""`evaluate` for models of running text: perplexity and other figures."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..arguments import checked
from ..data.stream import Ids
from ..errors import InputError
from ..files import Paths, path_list
from ..run import DATA, Run, count_parameters
from ..scratch import temporary_folder
from ..screen import Bar
from ..text.corpus import Corpus, open_corpus, prepare
from ..text.reader import open_texts
from ..text.tokenizer import UNK
from ..types import Ability, ArrayModel
from .cache import Cache, Reach, Watcher, check_window, reaches, tune, with_cache
from .dynamic import Dynamic, score_dynamic
from .figures import Evaluation, safe_exp, signature, summarise
from .reading import Reading
from .token_scores import Progress, TokenScores, score_tokens


def evaluate_text(
    run: Run,
    data: Paths,
    *,
    dynamic: Dynamic | None = None,
    cache: Cache | None = None,
    mc_dropout: int = 0,
    stripes: int = 1,
    warmup: int = 256,
    bar: Bar | None = None,
) -> Evaluation:
    """Evaluate a language model on text files.

    The text is one stream from the first token to the last, so the figures do not depend on a batch
    size. With `stripes` several parts are read in parallel, and the signature says so.

    Args:
        data: the path of a file, or several.
        dynamic: settings of dynamic evaluation; None = fixed weights.
        cache: settings of a neural cache; None = no cache.
        mc_dropout: number of passes with dropout to average; 0 = no dropout.
        stripes: parts of the text that are read in parallel.
        warmup: tokens that each stripe reads before its own, without predicting them.
        bar: starts a progress bar: called with the number of tokens, it returns a function to call
            with the number just done.

    Raises:
        InputError: a file cannot be read, options exclude each other, or the run does not predict
            text from left to right.

    Example:
        evaluate_text(nextword.load("runs/book"), "other.txt").perplexity
    """
    how = Reading(dynamic, cache, mc_dropout, stripes, warmup)
    with temporary_folder() as folder:
        return evaluate_corpus(run, load_text(run, data, folder), how, bar=bar)[0]


@checked
def tune_cache(
    run: Run,
    data: Paths,
    *,
    dynamic: Dynamic | None = None,
    bar: Bar | None = None,
) -> Cache:
    """Find the settings of a neural cache that make a text most probable.

    Use another text than the one that is evaluated later.

    Args:
        data: the path of a file, or several.
        dynamic: settings of dynamic evaluation, if the cache is used together with it.
        bar: starts a progress bar; called with the number of tokens.

    Raises:
        InputError: a file cannot be read, or the model has no hidden vectors.

    Example:
        cache = nextword.tune_cache(run, "valid.txt")
        nextword.evaluate(run, "test.txt", cache=cache).perplexity
    """
    with temporary_folder() as folder:
        ids = load_text(run, data, folder).ids
        watcher = Watcher(reaches(len(ids)), len(ids))
        scores = _score(run, ids, Reading(dynamic), watcher, bar(len(ids)) if bar else None)
    return tune(scores.log_prob, watcher)


def load_text(run: Run, data: Paths, folder: Path, segment: int | None = None) -> Corpus:
    """Encode text files with the tokenizer of a run.

    Args:
        folder: where the ids are written.
        segment: also divide the text into pieces of about this many bytes.

    Raises:
        InputError: the run does not predict running text, or a file cannot be read or has no words.
    """
    run.require(Ability.PREDICT)
    paths = path_list(data)
    corpus = prepare(open_texts(paths), run.tokenizer, folder, segment=segment)
    if not len(corpus):
        raise InputError(f"no words in '{paths[0]}'; give a file with text in it")
    return corpus


def evaluate_corpus(
    run: Run, corpus: Corpus, how: Reading, *, bar: Bar | None = None
) -> tuple[Evaluation, TokenScores]:
    """Evaluate a language model on a prepared text; also return the score of every token."""
    how.check()
    run.require(Ability.GENERATE)
    how = replace(how, stripes=max(1, min(how.stripes, len(corpus))))
    progress = bar(len(corpus) * max(1, how.mc_dropout)) if bar else None
    began = time.perf_counter()
    watcher = None
    if how.cache:
        check_window(how.cache.window, corpus.ids)
        watcher = Watcher([Reach(how.cache.window, how.cache.theta)], len(corpus))
    scores = _score(run, corpus.ids, how, watcher, progress)
    if how.cache and watcher:
        log_prob = with_cache(scores.log_prob, watcher.p[0], how.cache.weight)
        scores = TokenScores(log_prob, None)
    seconds = time.perf_counter() - began
    known = scores.log_prob[corpus.ids != UNK] if corpus.counts.oov else scores.log_prob
    result = summarise(
        scores,
        corpus.counts,
        safe_exp(-float(known.mean(dtype=np.float64))) if len(known) else math.inf,
        run.parameters,
        seconds,
        signature(run, _context(run, how), how.ways),
    )
    return result, scores


def _context(run: Run, how: Reading) -> str:
    """Describe for the signature what the model sees of the text."""
    seen = f"window:{run.model.context}" if run.model.context else "carried"
    return f"{seen}+stripes:{how.stripes}+warmup:{how.warmup}" if how.stripes > 1 else seen


def _score(
    run: Run, ids: Ids, how: Reading, watcher: Watcher | None, progress: Progress | None
) -> TokenScores:
    """Score every token in the way that `how` describes; raise InputError if the run cannot."""
    if watcher and not _has_hidden(run):
        raise InputError(f"'{run.name}' has no hidden vectors for a cache to compare")
    if how.dynamic:
        if not count_parameters(run.model):
            raise InputError(f"'{run.name}' has nothing to adapt; dynamic evaluation needs weights")
        learnt = _learnt(run) if how.dynamic.method == "rms" else None
        return score_dynamic(
            run.model, ids, run.device, how.dynamic, progress, learnt=learnt, watch=watcher
        )
    if how.mc_dropout:
        if not _drops(run):
            raise InputError(f"'{run.name}' has no dropout to draw; leave --mc-dropout out")
        from .mc_dropout import score_mc_dropout

        return score_mc_dropout(
            run.model,
            ids,
            run.device,
            how.mc_dropout,
            progress,
            stripes=how.stripes,
            warmup=how.warmup,
        )
    return score_tokens(
        run.model,
        ids,
        run.where,
        stripes=how.stripes,
        warmup=how.warmup,
        watch=watcher,
        progress=progress,
    )


def _has_hidden(run: Run) -> bool:
    """Return whether the model gives the hidden vectors that it predicts from."""
    if isinstance(run.model, ArrayModel):
        return False
    import torch

    one = torch.zeros(1, 1, dtype=torch.int64, device=run.device)
    with torch.no_grad():
        return run.model.score(one, one, run.model.start(1)).hidden is not None


def _drops(run: Run) -> bool:
    """Return whether the model has a dropout rate above zero."""
    settings = run.config.model.model_dump()
    return any(value for key, value in settings.items() if key.startswith("dropout"))


def _learnt(run: Run) -> Ids:
    """Return the ids of the training text of a run."""
    folder = None if run.folder is None else run.folder / DATA / "train"
    if folder is None or not folder.is_dir():
        raise InputError(
            f"'{run.name}' does not have the text it was trained on, which method=rms needs; "
            "use --dynamic-set method=running"
        )
    return open_corpus(folder).ids
