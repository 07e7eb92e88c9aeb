"""The figures that tell how well a model predicts a text, in every unit people compare by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from ..run import Run
from ..text.corpus import Counts
from ..version import __version__

_PSEUDO = "each token from all others of its line: compares only with other such figures"


class Scores(Protocol):
    """What a model made of a text, summed up."""

    @property
    def nll(self) -> float:
        """-Σ log p, natural logarithms."""
        ...

    @property
    def accuracy(self) -> float:
        """Share of tokens that were the most probable one; NaN where not known."""
        ...


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

    def lines(self) -> list[tuple[str, str]]:
        """The figures as people read them: name, value."""
        excluding = f"{self.perplexity_excluding_oov:.2f} per token, unknown words left out"
        return [
            ("tokens", f"{self.tokens:,}"),
            ("perplexity", f"{self.perplexity:.2f} per token"),
            *([("", excluding)] if self.oov else []),
            ("", f"{self.word_perplexity:.2f} per word"),
            ("bits", f"{self.bits_per_byte:.4f} per byte"),
            ("", f"{self.bits_per_char:.4f} per character"),
            *([] if math.isnan(self.accuracy) else [("accuracy", f"{self.accuracy:.2%}")]),
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


def signature(run: Run, context: str, ways: Sequence[str] = ()) -> str:
    """What a score depends on besides model and text: two scores compare when these agree.

    Args:
        context: what the model sees of the text before a token, or beside it.
        ways: how the text was read where that changes the figures, such as "cache:...".
    """
    tokenizer = run.tokenizer
    parts = [
        f"nextword:{__version__}",
        f"tok:{tokenizer.name}:{tokenizer.vocab_size}:{tokenizer.fingerprint}",
        "eos:line",
        "oov:unk+spelled",
        f"context:{context}",
    ]
    return "|".join([*parts, *ways])
