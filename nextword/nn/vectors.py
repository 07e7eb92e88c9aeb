"""Puts pretrained word vectors into an embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def put_vectors(embedding: nn.Embedding, ids: Tensor, vectors: Tensor) -> None:
    """Copy vectors (N, D) into the rows `ids` (N,) of an embedding, scaled to the standard
    deviation of the entries that the embedding had. The other rows stay."""
    std = embedding.weight.std()
    embedding.weight[ids] = vectors * (std / vectors.std().clamp_min(1e-8))
