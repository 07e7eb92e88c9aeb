"""Weights of one run as the beginning of another."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from ..models.encoder_classifier import EncoderClassifier
from ..text.tokenizer import Tokenizer

#: Tensors with a row for each token.
_BY_TOKEN = ("embedding.weight", "head.E", "head.b")


def carry_vocabulary(
    weights: dict[str, Tensor], old: Tokenizer, new: Tokenizer
) -> tuple[dict[str, Tensor], int]:
    """The weights with their rows in the order of another vocabulary: a token that both have keeps
    its row, a new one gets the mean of all (as the code of Howard and Ruder 2018,
    arXiv:1801.06146, does).

    Returns:
        The weights, and how many tokens both vocabularies have.

    Raises:
        InputError: a head whose rows are no tokens (an adaptive softmax).
    """
    if any(name.startswith("head.tail") for name in weights):
        raise InputError("an adaptive softmax cannot take a new vocabulary; use softmax=full")
    places = {old.token(index): index for index in range(old.vocab_size)}
    rows = torch.tensor([places.get(new.token(i), -1) for i in range(new.vocab_size)])
    known = rows >= 0
    carried = dict(weights)
    for name in _BY_TOKEN:
        if name in weights:
            before = weights[name]
            after = before.mean(dim=0, keepdim=True).repeat(len(rows), *[1] * (before.dim() - 1))
            after[known] = before[rows[known]]
            carried[name] = after
    return carried, int(known.sum())


def into_encoder(model: EncoderClassifier, weights: dict[str, Tensor], parent: Path) -> str:
    """Put a run's weights into the encoder of a classifier or tagger, without those of the head.

    Raises:
        InputError: a tensor of the encoder is missing, or of another size.
    """
    own = model.encoder.state_dict()
    for name, tensor in own.items():
        if name not in weights or weights[name].shape != tensor.shape:
            raise InputError(f"'{parent}' has no '{name}' that fits the encoder")
    model.encoder.load_state_dict({name: weights[name] for name in own})
    return f"the encoder begins with the weights of '{parent}'"
