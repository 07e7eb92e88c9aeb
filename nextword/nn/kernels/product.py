"""Matrix products on a CPU, in which one matrix is reordered once and used for many products.

In float32 and bfloat16 the products are computed by oneDNN. Once the matrix is in oneDNN's own
layout, the processor runs near its peak for any number of rows; torch's `mm` is far from it with
the few rows of a recurrent step. In other precisions, and if this torch does not offer the
functions of oneDNN, torch computes the products.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextvars import ContextVar, Token
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import linear

_TYPES = (torch.float32, torch.bfloat16)
_STRIP = 16  # float32 numbers in a cache line
_WORTH = 4  # products after which reordering has paid off
_WORTH_TURNED = 32  # the same for a matrix that must be transposed first
_LARGE = 1 << 22  # and has at least so many entries


def _find() -> tuple[Any, Any] | None:
    """oneDNN's functions that multiply and reorder, if this torch has them and they run on this
    processor."""
    try:
        multiply = torch.ops.mkldnn._linear_pointwise.default
        lay_out = torch.ops.mkldnn._reorder_linear_weight.default
        like = torch.ones(2, 2)
        done = multiply(like, lay_out(like, 2), None, "none", [], "")
    except (AttributeError, RuntimeError):
        return None
    return (multiply, lay_out) if torch.equal(done, like + like) else None


_ONEDNN = _find()


def _suits(x: Tensor) -> bool:
    return _ONEDNN is not None and x.dtype in _TYPES and x.device.type == "cpu" and x.numel() > 0


def _multiply(x: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
    assert _ONEDNN is not None
    return cast(Tensor, _ONEDNN[0](x, W, b, "none", [], ""))


def _lay_out(W: Tensor, rows: int) -> Tensor:
    assert _ONEDNN is not None
    return cast(Tensor, _ONEDNN[1](W, rows))


class Frozen:
    """A context manager for generation. Inside it weights must not change: each one is reordered
    and rounded to `low` only once, also if the same object is entered again.

    Example:
        frozen = Frozen(torch.bfloat16)
        with frozen:
            output = model.forward(ids, state)
    """

    def __init__(self, low: torch.dtype = torch.float32) -> None:
        self.low = low
        self._laid: dict[Hashable, Tensor] = {}
        self._tokens: list[Token[Frozen | None]] = []

    def __enter__(self) -> Frozen:
        self._tokens.append(_frozen.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        _frozen.reset(self._tokens.pop())

    def lay(self, W: Tensor, low: torch.dtype, rows: int) -> Tensor:
        """W (N, K), reordered for products with about `rows` rows."""
        if rows == 1 and W.dtype == low:
            return W  # `matvec` needs no other layout
        return self._lay((W,), low, rows)

    def lay_side_by_side(self, W: Tensor, U: Tensor, low: torch.dtype, rows: int) -> Tensor:
        """W (N, K) and U (N, L) as one matrix (N, K + L), so that one product replaces two."""
        return self._lay((W, U), low, rows)

    def once(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """The result of `make()` from the first call with this key."""
        if key not in self._laid:
            self._laid[key] = make()
        return self._laid[key]

    def _lay(self, parts: tuple[Tensor, ...], low: torch.dtype, rows: int) -> Tensor:
        def lay() -> Tensor:
            rounded = torch.cat([W.detach().to(low) for W in parts], dim=1)
            return _lay_out(rounded, rows) if rows > 1 and _suits(rounded) else rounded

        key = (*((W.data_ptr(), W.shape, W.stride()) for W in parts), low, rows > 1)
        return self.once(key, lay)


_frozen: ContextVar[Frozen | None] = ContextVar("frozen", default=None)


def frozen() -> Frozen | None:
    """The `Frozen` inside which this code runs; None outside."""
    return _frozen.get()


def low_precision(x: Tensor) -> torch.dtype:
    """The type in which products with x are computed: the type of autocast or of `Frozen` inside
    one of them, else the type of x."""
    if x.dtype == torch.float32 and x.device.type in ("cpu", "cuda"):
        if torch.is_autocast_enabled(x.device.type):
            return torch.get_autocast_dtype(x.device.type)
        if (within := _frozen.get()) is not None:
            return within.low
    return x.dtype


def product(
    x: Tensor, W: Tensor, b: Tensor | None = None, low: torch.dtype | None = None
) -> Tensor:
    """x Wᵀ + b: x (M, K), W (N, K), b (N,) → (M, N) in the type of x. x and W are rounded to `low`
    first; None = no rounding.

    Example:
        >>> product(torch.tensor([[1.0, 2.0]]), torch.eye(2), torch.ones(2)).tolist()
        [[2.0, 3.0]]
    """
    low = low or x.dtype
    if not _suits(x):
        return _linear(x, W, b, low)
    within = _frozen.get()
    if within is not None:
        return multiply_frozen(x, within.lay(W, low, len(x)), b, low)
    return _multiply(x.to(low), W.to(low), None if b is None else b.to(low)).to(x.dtype)


def multiply_frozen(x: Tensor, laid: Tensor, b: Tensor | None, low: torch.dtype) -> Tensor:
    """`product` with a matrix `laid` that comes from `Frozen`."""
    if not _suits(x):
        return _linear(x, laid, b, low)
    if len(x) == 1 and x.dtype == torch.float32 and laid.is_contiguous():
        from .matvec import matvec  # imported here: loading compiled loops takes time

        out = matvec(laid, x[0])
        return (out if b is None else out.add_(b))[None]
    return _multiply(x.to(low), laid, None if b is None else b.to(low)).to(x.dtype)


def multiply_by(W: Tensor, low: torch.dtype, rows: int, times: int) -> Callable[[Tensor], Any]:
    """Prepare W (N, K) for `times` products. Returns a function x (rows, K) → x Wᵀ, a numpy array
    (rows, N)."""
    if not _suits(W):
        return lambda x: _linear(x, W, None, low).numpy()
    if (within := _frozen.get()) is not None:
        laid = within.lay(W, low, rows)
    else:
        laid = W.to(low)
        if laid.is_contiguous():
            laid = _lay_out(laid, rows) if times >= _WORTH else laid
        elif times >= _WORTH_TURNED and laid.numel() >= _LARGE:
            laid = _lay_out(transposed(laid.T), rows)
    if W.dtype == low:
        return lambda x: _multiply(x, laid).numpy()
    return lambda x: _multiply(x.to(low), laid).to(x.dtype).numpy()


def _linear(x: Tensor, W: Tensor, b: Tensor | None, low: torch.dtype) -> Tensor:
    return linear(x.to(low), W.to(low), None if b is None else b.to(low)).to(x.dtype)


def transposed(x: Tensor) -> Tensor:
    """x (M, N) → (N, M), contiguous on a CPU. Two threads transpose a large matrix."""
    if x.device.type != "cpu":
        return x.T
    if x.dtype == torch.bfloat16 or x.numel() < 1 << 16:
        return x.T.contiguous()
    from ...threads import helpers
    from .gates import transpose

    rows, columns = x.shape
    out = x.new_empty(columns, rows)
    a, b = x.detach().numpy(), out.numpy()
    half = columns // (2 * _STRIP) * _STRIP
    other = helpers().submit(transpose, a, b, 0, half)
    transpose(a, b, half, columns)
    other.result()
    return out
