"""Taking weights of one run into the model of another."""

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
    """Convert weights to another vocabulary.

    A token that both vocabularies have keeps its row in the embedding and the output layer. A new
    token gets the mean of all rows, as in the code of Howard and Ruder (2018, arXiv:1801.06146).

    Args:
        old: the vocabulary of `weights`.
        new: the vocabulary to convert to.

    Returns:
        The converted weights, and how many tokens both vocabularies have.

    Raises:
        InputError: the output layer is an adaptive softmax, whose rows are not tokens.
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
    """Load a run's weights, except its output layer, into the encoder of a classifier or tagger.

    Args:
        weights: the weights of the run.
        parent: the run, for messages.

    Returns:
        A note for the user.

    Raises:
        InputError: a tensor of the encoder is missing in `weights`, or has another shape.
    """
    own = model.encoder.state_dict()
    for name, tensor in own.items():
        if name not in weights or weights[name].shape != tensor.shape:
            raise InputError(f"'{parent}' has no '{name}' that fits the encoder")
    model.encoder.load_state_dict({name: weights[name] for name in own})
    return f"the encoder starts from the weights of '{parent}'"
