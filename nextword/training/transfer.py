"""Weights of one run as the beginning of another."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
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
