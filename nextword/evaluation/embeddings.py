"""Vectors of texts: the mean of the vectors of their tokens, scaled to length 1 (Reimers and
Gurevych 2019, arXiv:1908.10084, section 3). The dot product of two is their cosine similarity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from ..arguments import checked
from ..data.pairs import pad
from ..data.stream import Ids
from ..errors import InputError
from ..models.base import Encoder, TrainableModel
from ..run import Run
from ..text.input_lines import blocks
from ..text.tokenizer import EOS, Tokenizer, line_named
from ..types import Ability

_BLOCK = 256  # texts that are sorted by length together
_TOKENS = 8192  # in a batch, padding included


@checked
def embed(run: Run, texts: Iterable[str]) -> Ids:
    """Turn each text into a vector of length 1.

    Args:
        run: a recurrent or Transformer language model, a BERT, a classifier or a tagger.
        texts: lines without line ends; those longer than the model's context are cut.

    Returns:
        An array (N, H) float32: a vector for each of N texts, H being the width of the model. The
        dot product of two vectors is their cosine similarity.

    Raises:
        InputError: the run has no vectors of texts.

    Example:
        a, b = nextword.embed(nextword.load("runs/bert"), ["a good film", "a fine movie"])
        similarity = float(a @ b)
    """
    parts = [vector for _, vector in embed_lines(run, texts)]
    return np.stack(parts) if parts else np.zeros((0, _encoder(run).width), np.float32)


def embed_lines(run: Run, texts: Iterable[str]) -> Iterator[tuple[str, Ids]]:
    """Yield each text with its vector (H,), as soon as its block of texts is done."""
    encoder = _encoder(run)

    def encoded(number: int, text: str) -> tuple[str, list[int]]:
        with line_named(number):
            return text, _tokens(run.tokenizer, encoder, text)

    for block in blocks(texts, _BLOCK, encoded):
        vectors = _vectors(run, encoder, [ids for _, ids in block])
        yield from zip([text for text, _ in block], vectors, strict=True)


@torch.no_grad()
def _vectors(run: Run, encoder: Encoder, rows: list[list[int]]) -> Ids:
    """Compute the vectors (N, H) of some texts, those of similar length in one batch."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found: dict[int, Ids] = {}
    while order:
        size = max(1, _TOKENS // len(rows[order[-1]]))
        taken, order = order[-size:], order[:-size]
        ids, real = pad([rows[i] for i in taken])
        ids, real = ids.to(run.device), real.to(run.device)
        hidden = encoder.encode(ids, real).float()
        total = hidden.masked_fill(~real[..., None], 0).sum(dim=1)
        mean = total / real.sum(dim=1, keepdim=True)
        vectors = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
        found |= zip(taken, vectors, strict=True)
    return np.stack([found[i] for i in range(len(rows))])


def _tokens(tokenizer: Tokenizer, encoder: Encoder, text: str) -> list[int]:
    """Encode a text between special tokens, cut to the encoder's context."""
    ids = [index for index in tokenizer.encode(text.replace("\n", " ")) if index != EOS]
    end = [] if encoder.end_id is None else [encoder.end_id]
    if encoder.context is not None:
        ids = ids[: encoder.context - 1 - len(end)]
    return [encoder.begin_id, *ids, *end]


def _encoder(run: Run) -> Encoder:
    """Return the encoder of a run, which gives a vector for each token of a text.

    Raises:
        InputError: the run has none.
    """
    run.require(Ability.EMBED)
    encoder = run.model.text_encoder if isinstance(run.model, TrainableModel) else None
    if encoder is None:
        raise InputError(
            f"'{run.name}' has no vectors of texts; use a recurrent or Transformer language "
            "model, a BERT, or a classifier"
        )
    return encoder
