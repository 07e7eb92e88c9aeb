"""What an autograd function keeps for its backward pass, as type checkers should see it."""

from __future__ import annotations

from torch import Tensor
from torch.autograd.function import FunctionCtx


class Context(FunctionCtx):
    """The `ctx` of a `torch.autograd.Function`; torch does not declare these attributes.

    Subclasses declare what else their function keeps. No object is made of them.
    """

    saved_tensors: tuple[Tensor, ...]  # what `save_for_backward` was given
    needs_input_grad: tuple[bool, ...]  # of each argument of `apply`
