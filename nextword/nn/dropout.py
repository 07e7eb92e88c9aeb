"""Forms of dropout for sequence models."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .randomness import generator


def mask_like(x: Tensor, p: float) -> Tensor:
    """A random mask with the shape, type and device of x: 0 with probability p, else 1 / (1 - p).
    It is drawn from `generator()`, on a GPU from the generator of the device."""
    if x.device.type != "cpu":
        return torch.empty_like(x).bernoulli_(1 - p).div_(1 - p)
    from .kernels.masks import fill_mask  # imported here: loading compiled loops takes time

    mask = torch.empty(x.shape, dtype=x.dtype)
    scale = torch.tensor([1 / (1 - p)], dtype=x.dtype)
    if x.dtype.itemsize == 2:  # numpy has no bfloat16, so the mask is made of its bits
        out, bits = (t.view(-1).view(torch.int16).numpy().view(np.uint16) for t in (mask, scale))
    else:
        out, bits = mask.view(-1).numpy(), scale.numpy()
    keys = torch.randint(1 << 32, (2,), generator=generator()).numpy().astype(np.uint32)
    fill_mask(out, keys[0], keys[1], np.uint32(p * (1 << 32)), bits[0])
    return mask


def dropout(x: Tensor, p: float, training: bool, locked: bool = True) -> Tensor:
    """Drop units of x (T, B, H) with probability p, while training.

    `locked` drops the same units at every time step of a sequence (variational dropout; Gal and
    Ghahramani 2016, arXiv:1512.05287); otherwise each step draws its own (Srivastava et al. 2014).

    Example:
        >>> x = torch.ones(5, 2, 8)
        >>> kept = dropout(x, 0.5, training=True)
        >>> bool((kept == kept[0]).all()), torch.equal(dropout(x, 0.5, training=False), x)
        (True, True)
    """
    if not training or p == 0:
        return x
    return x * mask_like(x[:1] if locked else x, p)


def drop_words(vectors: Tensor, ids: Tensor, p: float, vocab_size: int, training: bool) -> Tensor:
    """Embedding dropout: drop words of the vocabulary, at every place where they occur in the batch
    (Gal and Ghahramani 2016, section 4.2). `vectors` (..., H) are the word vectors of `ids`
    (...)."""
    if not training or p == 0:
        return vectors
    keep = mask_like(vectors.new_empty(vocab_size), p)
    return vectors * keep[ids].unsqueeze(-1)


def weight_mask(U: Tensor, p: float, training: bool) -> Tensor | None:
    """The mask with which a matrix U of a layer is to be multiplied; None if nothing is dropped.

    This is DropConnect (Wan et al. 2013), which Merity et al. 2017 (arXiv:1708.02182, section 2)
    use on hidden-to-hidden weights. U itself stays the parameter and gets the gradient.
    """
    return mask_like(U, p) if training and p else None
