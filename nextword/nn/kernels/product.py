"""Products of matrices on a CPU, with a matrix laid out once for many products.

In float32 and bfloat16 they go to oneDNN, which keeps a processor near its peak at any number of
rows once the matrix has the layout it wants; torch's own `mm` falls to a third of that at the 20
rows of a recurrent step. Where torch lacks these functions, and in other precisions, the products
are torch's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import linear

_TYPES = (torch.float32, torch.bfloat16)
_STRIP = 16  # columns that one cache line of float32 holds
_WORTH = 4  # products after which a layout of its own has paid
_WORTH_TURNED = 32  # the same for a matrix that must be transposed first,
_LARGE = 1 << 22  # if it has so many numbers


def _find() -> tuple[Any, Any] | None:
    """oneDNN's product and its layout, if this torch has them and this processor runs them."""
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
    """Within it weights do not change, so each is laid out, and rounded to `low`, only once.

    For generation: `with frozen: model(ids, state)`, again and again with the same object.
    """

    def __init__(self, low: torch.dtype = torch.float32) -> None:
        self.low = low
        self._laid: dict[Any, Tensor] = {}
        self._tokens: list[Token[Frozen | None]] = []

    def __enter__(self) -> Frozen:
        self._tokens.append(_frozen.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        _frozen.reset(self._tokens.pop())

    def lay(self, W: Tensor, low: torch.dtype, rows: int) -> Tensor:
        """W (N, K) for products with about so many rows."""
        if rows == 1 and W.dtype == low:
            return W  # `matvec` takes it as it is
        return self._lay((W,), low, rows)

    def lay_side_by_side(self, W: Tensor, U: Tensor, low: torch.dtype, rows: int) -> Tensor:
        """W (N, K) and U (N, L) as one matrix (N, K + L): one product instead of two."""
        return self._lay((W, U), low, rows)

    def once(self, key: Any, make: Callable[[], Tensor]) -> Tensor:
        """What `make` made at the first call with this key."""
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
    """The `Frozen` that we are within."""
    return _frozen.get()


def low_precision(x: Tensor) -> torch.dtype:
    """The type that products with x are done in: that of autocast under it, that of `Frozen`
    within it, else its own."""
    if x.dtype == torch.float32 and x.device.type in ("cpu", "cuda"):
        if torch.is_autocast_enabled(x.device.type):
            return torch.get_autocast_dtype(x.device.type)
        if (within := _frozen.get()) is not None:
            return within.low
    return x.dtype


def product(
    x: Tensor, W: Tensor, b: Tensor | None = None, low: torch.dtype | None = None
) -> Tensor:
    """x Wᵀ + b: x (M, K), W (N, K), b (N,) → (M, N) of x's type, the factors rounded to `low`
    (none: as they are)."""
    low = low or x.dtype
    if not _suits(x):
        return _linear(x, W, b, low)
    within = _frozen.get()
    if within is not None:
        return multiply_frozen(x, within.lay(W, low, len(x)), b, low)
    return _multiply(x.to(low), W.to(low), None if b is None else b.to(low)).to(x.dtype)


def multiply_frozen(x: Tensor, laid: Tensor, b: Tensor | None, low: torch.dtype) -> Tensor:
    """As `product`, with a matrix from `Frozen`."""
    if not _suits(x):
        return _linear(x, laid, b, low)
    if len(x) == 1 and x.dtype == torch.float32 and laid.is_contiguous():
        from .matvec import matvec  # brings the compiled loops, which take a moment to load

        out = matvec(laid, x[0])
        return (out if b is None else out.add_(b))[None]
    return _multiply(x.to(low), laid, None if b is None else b.to(low)).to(x.dtype)


def multiply_by(W: Tensor, low: torch.dtype, rows: int, times: int) -> Callable[[Tensor], Any]:
    """W (N, K) made ready for `times` products: a function x (rows, K) → x Wᵀ, a numpy array."""
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
    """x (M, N) → (N, M), contiguous on a CPU; large ones by two threads."""
    if x.device.type != "cpu":
        return x.T
    if x.dtype == torch.bfloat16 or x.numel() < 1 << 16:
        return x.T.contiguous()
    from ...compiled import helpers
    from .gates import transpose

    rows, columns = x.shape
    out = x.new_empty(columns, rows)
    a, b = x.detach().numpy(), out.numpy()
    half = columns // (2 * _STRIP) * _STRIP
    other = helpers().submit(transpose, a, b, 0, half)
    transpose(a, b, half, columns)
    other.result()
    return out
