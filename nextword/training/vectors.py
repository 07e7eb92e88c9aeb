"""Puts pretrained word vectors into the embeddings of a model that is about to be trained."""

from __future__ import annotations

import torch
from torch import nn

from ..config import Config, TextConfig
from ..errors import InputError
from ..models.base import TrainableModel
from ..nn.vectors import put_vectors
from ..text.tokenizer import Tokenizer
from ..text.vectors import read_vectors


def take_vectors(
    embedding: nn.Embedding, text: TextConfig, config: Config, tokenizer: Tokenizer
) -> list[str]:
    """Load the word vectors that the settings of one side name, if any, into its embedding.

    Returns:
        Notes for the user.

    Raises:
        InputError: the file cannot be used, or its vectors have another width than the model's.
    """
    if not text.vectors:
        return []
    ids, vectors, skipped, first = read_vectors(text.vectors, tokenizer)
    width = embedding.embedding_dim
    if vectors.shape[1] != width:
        key = "embedding" if "embedding" in type(config.model).model_fields else "hidden"
        raise InputError(
            f"'{text.vectors}' has vectors of {vectors.shape[1]} numbers, the model of {width}; "
            f"add --set model.{key}={vectors.shape[1]}"
        )
    scale = text.vectors_scale == "model"
    factor = put_vectors(embedding, torch.from_numpy(ids), torch.from_numpy(vectors), scale=scale)
    note = f"{len(ids):,} of {tokenizer.vocab_size:,} tokens start from '{text.vectors}'"
    if scale:
        note += f", multiplied by {factor:.3g} (text.vectors_scale=own keeps them as they are)"
    if not skipped:
        return [note]
    return [
        note,
        f"{skipped:,} entries of '{text.vectors}' are not a word and its {width} numbers and were "
        f"skipped, the first of them entry {first:,}",
    ]


def freeze_vectors(model: TrainableModel, config: Config) -> None:
    """Keep the embeddings that word vectors fill from learning, if the settings say so.

    Raises:
        InputError: there are no word vectors.
    """
    parts = (config.model, *config.model.nested().values())
    if not any(part.freeze_vectors for part in parts):
        return
    filled = [model.embedding] if config.text.vectors else []
    if config.source is not None and config.source.vectors:
        filled.append(model.source_embedding)
    if not filled:
        raise InputError("model.freeze_vectors is for word vectors from a file: set text.vectors")
    for embedding in filled:
        embedding.requires_grad_(False)
