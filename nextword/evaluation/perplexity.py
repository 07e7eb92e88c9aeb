"""`evaluate` for models of text: how well they predict it, in every unit people compare by."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..data.stream import Ids
from ..errors import InputError
from ..generation.infill import check_fills
from ..run import DATA, Run, check_text, count_parameters
from ..text.corpus import Corpus, Counts, open_corpus, prepare
from ..text.reader import open_texts
from ..text.tokenizer import EOS, UNK
from .cache import Cache, Reach, Watcher, check_window, reaches, tune, with_cache
from .dynamic import Dynamic, score_dynamic
from .pairs import PairScores
from .pseudo import score_masked
from .sampled import score_sampled
from .stream import Bar, Progress, TokenScores, score_stream


@dataclass(frozen=True)
class Evaluation:
    """Of one run on one text. Sums are natural logarithms."""

    tokens: int
    nll: float  # -Σ log p over all tokens
    perplexity: float  # exp(nll / tokens)
    perplexity_excluding_oov: float  # of the tokens that the vocabulary has, by their number
    word_perplexity: float  # exp(nll / words); a word between white space, an end of line is one
    bits_per_byte: float  # of the text, unknown words spelled out at 8 bits a byte
    bits_per_char: float  # the same per character
    accuracy: float  # share of tokens that were the most probable one; NaN where not known
    oov: int  # tokens the vocabulary lacks
    words: int
    bytes: int
    chars: int
    parameters: int
    seconds: float
    signature: str
    pseudo: bool = False  # of a model that reads both ways: no probability of the text

    def as_dict(self) -> dict[str, Any]:
        values = asdict(self)
        return values if self.pseudo else {k: v for k, v in values.items() if k != "pseudo"}


def evaluate_text(
    run: Run,
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
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
    `stripes` it is read in that many places at once, and the signature says so. A model that reads
    both ways is asked for each token with all others of its line in sight: `pseudo` figures, which
    compare only with each other.

    Args:
        dynamic: let the weights follow the text.
        cache: mix in what followed similar situations a little earlier in the text.
        mc_dropout: the mean over so many passes with dropout.
        bar: starts a progress bar: total number of tokens → function told of every few done.

    Raises:
        InputError: a file cannot be read, or ways of reading that exclude each other.
    """
    how = Reading(dynamic, cache, mc_dropout, stripes, warmup)
    with tempfile.TemporaryDirectory(prefix="nextword-") as folder:
        return evaluate_corpus(run, load_text(run, data, folder), how, bar=bar)[0]


def tune_cache(
    run: Run,
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
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


def load_text(run: Run, data: Any, folder: str, segment: int | None = None) -> Corpus:
    """Text files as the run's ids, in `folder`."""
    if run.config.model.reads == "sentences":
        check_fills(run)
    else:
        check_text(run)
    paths = [data] if isinstance(data, (str, os.PathLike)) else list(data)
    corpus = prepare(open_texts(paths), run.tokenizer, Path(folder), segment=segment)
    if not len(corpus):
        raise InputError(f"no words in '{paths[0]}'; give a file with text in it")
    return corpus


@dataclass(frozen=True)
class Reading:
    """How a text is read."""

    dynamic: Dynamic | None = None
    cache: Cache | None = None
    mc_dropout: int = 0  # passes
    stripes: int = 1
    warmup: int = 256

    def check(self) -> None:
        """Raise InputError where two ways exclude each other."""
        if self.mc_dropout < 0:
            raise InputError(f"mc_dropout = {self.mc_dropout}: give the number of passes")
        one_stream = [("dynamic evaluation", self.dynamic), ("a cache", self.cache)]
        for what, wanted in one_stream:
            if wanted and self.stripes > 1:
                raise InputError(f"{what} reads one stream; leave --stripes out")
            if wanted and self.mc_dropout:
                raise InputError(f"{what} follows one network, not many; leave --mc-dropout out")

    @property
    def signature(self) -> list[str]:
        parts = [
            f"dynamic:{self.dynamic.signature}" if self.dynamic else "",
            f"cache:{self.cache.signature}" if self.cache else "",
            f"mc-dropout:{self.mc_dropout}" if self.mc_dropout else "",
        ]
        return [part for part in parts if part]


def evaluate_corpus(
    run: Run, corpus: Corpus, how: Reading = Reading(), *, bar: Bar | None = None
) -> tuple[Evaluation, TokenScores]:
    """`evaluate_text` for a prepared text, with the score of every token."""
    how.check()
    if run.config.model.reads == "sentences":
        return _pseudo(run, corpus, how, bar)
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
        signature(run, how),
    )
    return result, scores


def _pseudo(
    run: Run, corpus: Corpus, how: Reading, bar: Bar | None
) -> tuple[Evaluation, TokenScores]:
    if how != Reading(warmup=how.warmup):
        raise InputError(
            f"'{run.name}' reads both ways: dynamic evaluation, a cache, passes with dropout and "
            "stripes are for models that read from left to right"
        )
    predicted = np.asarray(corpus.ids) != EOS
    total = int(predicted.sum())
    if not total:
        raise InputError("no words in the text, only ends of lines")
    began = time.perf_counter()
    scores = score_masked(run.model, corpus.ids, run.device, bar(total) if bar else None)
    seconds = time.perf_counter() - began
    assert scores.hit is not None
    known = scores.log_prob[predicted & (corpus.ids != UNK)]
    of_words = TokenScores(scores.log_prob[predicted], scores.hit[predicted])
    result = summarise(
        of_words,
        replace(corpus.counts, tokens=total),
        safe_exp(-float(known.mean(dtype=np.float64))) if len(known) else math.inf,
        run.parameters,
        seconds,
        signature(run, how),
    )
    return replace(result, pseudo=True), scores


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
        return score_sampled(
            run.model,
            ids,
            run.device,
            how.mc_dropout,
            progress,
            stripes=how.stripes,
            warmup=how.warmup,
        )
    return score_stream(
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


def summarise(
    scores: TokenScores | PairScores,
    counts: Counts,
    excluding_oov: float,
    parameters: int,
    seconds: float,
    signed: str,
) -> Evaluation:
    """All figures from the scores of the tokens and the counts of the text."""
    nll = scores.nll
    bits = spelled_bits(nll, counts.oov_bytes)
    return Evaluation(
        tokens=counts.tokens,
        nll=nll,
        perplexity=safe_exp(nll / counts.tokens),
        perplexity_excluding_oov=excluding_oov,
        word_perplexity=safe_exp(nll / max(1, counts.words)),
        bits_per_byte=bits / max(1, counts.bytes),
        bits_per_char=bits / max(1, counts.chars),
        accuracy=scores.accuracy,
        oov=counts.oov,
        words=counts.words,
        bytes=counts.bytes,
        chars=counts.chars,
        parameters=parameters,
        seconds=seconds,
        signature=signed,
    )


def spelled_bits(nll: float, oov_bytes: int) -> float:
    """Bits to write the text down with the model's help. `<unk>` alone does not tell which word
    it was, so every unknown word is spelled out at 8 bits a byte, its end mark included: a small
    vocabulary buys nothing."""
    return nll / math.log(2) + 8 * oov_bytes


def safe_exp(value: float) -> float:
    """exp, infinity where a float ends."""
    return math.exp(value) if value < 700 else math.inf


def signature(run: Run, how: Reading) -> str:
    """What a score depends on besides model and text: two scores compare when these agree."""
    tokenizer = run.tokenizer
    reading = f"window:{run.model.context}" if run.model.context else "carried"
    if run.config.model.reads == "sentences":
        reading = f"pseudo:line:{run.model.context}"
    if run.source is not None:
        reading = f"source:{run.source.name}:{run.source.vocab_size}:{run.source.fingerprint}"
    if how.stripes > 1:
        reading += f"+stripes:{how.stripes}+warmup:{how.warmup}"
    parts = [
        f"nextword:{__version__}",
        f"tok:{tokenizer.name}:{tokenizer.vocab_size}:{tokenizer.fingerprint}",
        "eos:line",
        "oov:unk+spelled",
        f"context:{reading}",
    ]
    return "|".join([*parts, *how.signature])
