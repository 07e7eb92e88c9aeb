"""Compile the loops of recurrent layers once, so that nobody waits later."""

from __future__ import annotations

import torch

from .. import registry
from .dropout import mask_like
from .kernels import backend
from .kernels.matvec import matvec
from .kernels.product import transposed
from .recurrent import RecurrentLayer


def warm_up() -> None:
    """Every cell forward and backward, in float32; masks, products with a vector, transposes."""
    x = torch.zeros(2, 1, 3)
    with backend("fast"):
        for cell in registry.names("cell"):
            layer = RecurrentLayer(cell, 3, 3)
            layer(x, layer.start(1))[0].sum().backward()
    for dtype in (torch.float32, torch.bfloat16):
        mask_like(x.to(dtype), 0.5)
        matvec(torch.zeros(2, 2, dtype=dtype), torch.zeros(2))
    transposed(torch.zeros(512, 512))
