"""`evaluate`: how well a run predicts a text, in every unit people compare by."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..errors import InputError
from ..run import Run, count_parameters
from ..text.corpus import Corpus, Counts, prepare
from ..text.reader import open_texts
from ..text.tokenizer import UNK
from .dynamic import Dynamic, score_dynamic
from .stream import Bar, TokenScores, score_stream


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
    accuracy: float  # share of tokens that were the most probable one
    oov: int  # tokens the vocabulary lacks
    words: int
    bytes: int
    chars: int
    parameters: int
    seconds: float
    signature: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(
    run: Run,
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    dynamic: Dynamic | None = None,
    stripes: int = 1,
    warmup: int = 256,
    bar: Bar | None = None,
) -> Evaluation:
    """Perplexity and its relatives on text files.

    The text is one stream from the first token to the last, so no batch size is involved; with
    `stripes` it is read in that many places at once, and the signature says so.

    Args:
        bar: starts a progress bar: total number of tokens → function told of every few done.

    Raises:
        InputError: a file cannot be read, or dynamic evaluation and stripes are both asked for.
    """
    with tempfile.TemporaryDirectory(prefix="nextword-") as folder:
        corpus = load_text(run, data, folder)
        return evaluate_corpus(
            run, corpus, dynamic=dynamic, stripes=stripes, warmup=warmup, bar=bar
        )[0]


def load_text(run: Run, data: Any, folder: str, segment: int | None = None) -> Corpus:
    """Text files as the run's ids, in `folder`."""
    paths = [data] if isinstance(data, (str, os.PathLike)) else list(data)
    corpus = prepare(open_texts(paths), run.tokenizer, Path(folder), segment=segment)
    if not len(corpus):
        raise InputError(f"no words in '{paths[0]}'; give a file with text in it")
    return corpus


def evaluate_corpus(
    run: Run,
    corpus: Corpus,
    *,
    dynamic: Dynamic | None = None,
    stripes: int = 1,
    warmup: int = 256,
    bar: Bar | None = None,
) -> tuple[Evaluation, TokenScores]:
    """`evaluate` for a prepared text, with the score of every token."""
    if dynamic and stripes > 1:
        raise InputError("dynamic evaluation reads one stream; leave --stripes out")
    stripes = max(1, min(stripes, len(corpus)))
    progress = bar(len(corpus)) if bar else None
    began = time.perf_counter()
    if dynamic:
        if not count_parameters(run.model):
            raise InputError(f"'{run.name}' has nothing to adapt; dynamic evaluation needs weights")
        scores = score_dynamic(run.model, corpus.ids, run.device, dynamic, progress)
    else:
        scores = score_stream(
            run.model,
            corpus.ids,
            run.device,
            stripes=stripes,
            warmup=warmup if stripes > 1 else 0,
            progress=progress,
        )
    seconds = time.perf_counter() - began
    known = scores.log_prob[corpus.ids != UNK] if corpus.counts.oov else scores.log_prob
    result = summarise(
        scores,
        corpus.counts,
        safe_exp(-float(known.mean(dtype=np.float64))) if len(known) else math.inf,
        run.parameters,
        seconds,
        signature(run, dynamic, stripes, warmup),
    )
    return result, scores


def summarise(
    scores: TokenScores,
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
        accuracy=float(scores.hit.mean()),
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


def signature(run: Run, dynamic: Dynamic | None, stripes: int, warmup: int) -> str:
    """What a score depends on besides model and text: two scores compare when these agree."""
    tokenizer = run.tokenizer
    reading = f"window:{run.model.context}" if run.model.context else "carried"
    if stripes > 1:
        reading += f"+stripes:{stripes}+warmup:{warmup}"
    parts = [
        f"nextword:{__version__}",
        f"tok:{tokenizer.name}:{tokenizer.vocab_size}:{tokenizer.fingerprint}",
        "eos:line",
        "oov:unk+spelled",
        f"context:{reading}",
    ]
    if dynamic:
        parts.append(f"dynamic:{dynamic.signature}")
    return "|".join(parts)
