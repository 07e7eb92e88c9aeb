"""Puts pretrained word vectors into an embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def put_vectors(
    embedding: nn.Embedding, ids: Tensor, vectors: Tensor, *, scale: bool = True
) -> float:
    """Copy vectors (N, D) into the rows `ids` (N,) of an embedding. The other rows stay.

    Args:
        scale: multiply the vectors so that their entries have the standard deviation of those that
            the embedding had.

    Returns:
        The factor by which they were multiplied.
    """
    factor = float(embedding.weight.std() / vectors.std().clamp_min(1e-8)) if scale else 1.0
    embedding.weight[ids] = vectors * factor
    return factor
