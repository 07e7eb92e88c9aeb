"""The figures of a language model on a text: perplexities, bits per byte, accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from ..numerals import fixed, percent
from ..run import Run
from ..text.corpus import Counts
from ..version import __version__

_PSEUDO = "each token predicted from all others of its line; compare only with such figures"


class Scores(Protocol):
    """The sums of the token scores of a text."""

    @property
    def nll(self) -> float:
        """-Σ log p in nats."""
        ...

    @property
    def accuracy(self) -> float:
        """The fraction of tokens that were the most probable one; NaN if unknown."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """The figures of one run on one text. Logarithms are natural."""

    tokens: int
    nll: float  # -Σ log p over all tokens
    perplexity: float  # exp(nll / tokens)
    perplexity_excluding_oov: float  # per token, over the tokens in the vocabulary only
    word_perplexity: float  # exp(nll / words)
    bits_per_byte: float  # unknown words are spelled out at 8 bits per byte
    bits_per_char: float  # the same per character
    accuracy: float  # fraction of tokens that were the most probable one; NaN if unknown
    oov: int  # tokens that are not in the vocabulary
    words: int  # words between white space, plus one for each line end
    bytes: int  # in UTF-8
    chars: int
    parameters: int  # of the model
    seconds: float  # of the evaluation
    signature: str  # tokenizer, context, options: two evaluations compare if these agree
    pseudo: bool = False  # pseudo-log-likelihoods, which are no probabilities of the text

    def as_dict(self) -> dict[str, Any]:
        """Return all figures by name; `pseudo` only if it is true."""
        values = asdict(self)
        return values if self.pseudo else {k: v for k, v in values.items() if k != "pseudo"}

    def lines(self) -> list[tuple[str, str]]:
        """Return the figures formatted for people: (name, value)."""
        excluding = f"{fixed(self.perplexity_excluding_oov)} per token, unknown words left out"
        return [
            ("tokens", f"{self.tokens:,}"),
            ("perplexity", f"{fixed(self.perplexity)} per token"),
            *([("", excluding)] if self.oov else []),
            ("", f"{fixed(self.word_perplexity)} per word"),
            ("bits", f"{fixed(self.bits_per_byte, 4)} per byte"),
            ("", f"{fixed(self.bits_per_char, 4)} per character"),
            *([] if math.isnan(self.accuracy) else [("accuracy", percent(self.accuracy, 2))]),
            ("unknown", f"{self.oov:,} tokens ({self.oov / self.tokens:.2%})"),
            ("speed", f"{self.tokens / self.seconds:,.0f} tokens/s"),
            *([("pseudo", _PSEUDO)] if self.pseudo else []),
            ("signature", self.signature),
        ]


def summarise(
    scores: Scores,
    counts: Counts,
    excluding_oov: float,
    parameters: int,
    seconds: float,
    signed: str,
) -> Evaluation:
    """Compute all figures.

    Args:
        scores: the sums of the token scores.
        counts: the numbers of tokens, words and bytes of the text.
        excluding_oov: perplexity over the tokens in the vocabulary.
        signed: the signature.
    """
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
    """Return the bits that encode a text, unknown words included.

    `<unk>` does not say which word it stands for. So every unknown word is spelled out at 8 bits
    per byte, with an end mark, and a small vocabulary gains nothing.

    Args:
        nll: of all tokens, in nats.
        oov_bytes: bytes of the unknown words, end marks included.
    """
    return nll / math.log(2) + 8 * oov_bytes


def safe_exp(value: float) -> float:
    """Return exp(value), or infinity instead of an overflow."""
    return math.exp(value) if value < 700 else math.inf


def signature(run: Run, context: str, ways: Sequence[str] = ()) -> str:
    """Describe what a score depends on besides model and text. Scores compare if these agree.

    Args:
        context: what the model sees of the text when it predicts a token, such as "carried".
        ways: options that change the figures, such as "cache:...".
    """
    tokenizer = run.tokenizer
    parts = [
        f"nextword:{__version__}",
        f"tok:{tokenizer.name}:{tokenizer.vocab_size}:{tokenizer.fingerprint}",
        *tokenizer.choices,
        "eos:line",
        "oov:unk+spelled",
        f"context:{context}",
    ]
    return "|".join([*parts, *ways])
