"""`evaluate` for models of running text: how well they predict it."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..data.stream import Ids
from ..errors import InputError
from ..files import Paths, path_list
from ..run import DATA, Run, count_parameters
from ..screen import Bar
from ..text.corpus import Corpus, open_corpus, prepare
from ..text.reader import open_texts
from ..text.tokenizer import UNK
from ..types import Ability
from .cache import Cache, Reach, Watcher, check_window, reaches, tune, with_cache
from .dynamic import Dynamic, score_dynamic
from .figures import Evaluation, safe_exp, signature, summarise
from .mc_dropout import score_mc_dropout
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
    """Perplexity and its relatives on text files.

    The text is one stream from the first token to the last, so no batch size is involved; with
    `stripes` it is read in that many places at once, and the signature says so.

    Args:
        dynamic: let the weights follow the text.
        cache: mix in what followed similar situations a little earlier in the text.
        mc_dropout: the mean over so many passes with dropout.
        bar: starts a progress bar: total number of tokens → function told of every few done.

    Raises:
        InputError: a file cannot be read, ways of reading that exclude each other, or the run does
            not predict text from left to right.
    """
    how = Reading(dynamic, cache, mc_dropout, stripes, warmup)
    with tempfile.TemporaryDirectory(prefix="nextword-") as folder:
        return evaluate_corpus(run, load_text(run, data, folder), how, bar=bar)[0]


def tune_cache(
    run: Run,
    data: Paths,
    *,
    dynamic: Dynamic | None = None,
    bar: Bar | None = None,
) -> Cache:
    """The cache that makes a text most probable: for one that is not the text reported on.

    Raises:
        InputError: a file cannot be read, or the run has no hidden vectors to compare.
    """
    with tempfile.TemporaryDirectory(prefix="nextword-") as folder:
        ids = load_text(run, data, folder).ids
        watcher = Watcher(reaches(len(ids)), len(ids))
        scores = _score(run, ids, Reading(dynamic), watcher, bar(len(ids)) if bar else None)
    return tune(scores.log_prob, watcher)


def load_text(run: Run, data: Paths, folder: str, segment: int | None = None) -> Corpus:
    """Text files as the run's ids, in `folder`."""
    run.require(Ability.PREDICT)
    paths = path_list(data)
    corpus = prepare(open_texts(paths), run.tokenizer, Path(folder), segment=segment)
    if not len(corpus):
        raise InputError(f"no words in '{paths[0]}'; give a file with text in it")
    return corpus


def evaluate_corpus(
    run: Run, corpus: Corpus, how: Reading, *, bar: Bar | None = None
) -> tuple[Evaluation, TokenScores]:
    """`evaluate_text` for a prepared text, with the score of every token."""
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
    """What the model sees of the text, as the signature has it."""
    seen = f"window:{run.model.context}" if run.model.context else "carried"
    return f"{seen}+stripes:{how.stripes}+warmup:{how.warmup}" if how.stripes > 1 else seen


def _score(
    run: Run, ids: Ids, how: Reading, watcher: Watcher | None, progress: Progress | None
) -> TokenScores:
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
        run.device,
        stripes=how.stripes,
        warmup=how.warmup,
        watch=watcher,
        progress=progress,
    )


def _has_hidden(run: Run) -> bool:
    """Whether the model says from which vectors it predicts."""
    import torch

    one = torch.zeros(1, 1, dtype=torch.int64, device=run.device)
    with torch.no_grad():
        return run.model.score(one, one, run.model.start(1)).hidden is not None


def _drops(run: Run) -> bool:
    """Whether the settings have a dropout above zero."""
    settings = run.config.model.model_dump()
    return any(value for key, value in settings.items() if key.startswith("dropout"))


def _learnt(run: Run) -> Ids:
    """The ids the run was trained on."""
    folder = None if run.folder is None else run.folder / DATA / "train"
    if folder is None or not folder.is_dir():
        raise InputError(
            f"'{run.name}' does not have the text it was trained on, which method=rms looks at; "
            "use --dynamic-set method=running"
        )
    return open_corpus(folder).ids
