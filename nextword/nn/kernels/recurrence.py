"""A recurrent layer as one differentiable function of its sequence, by compiled loops on a CPU.

The loop over time computes only what depends on the step before: a product with the recurrent
matrix, and the gates. The product with the input is computed for all steps before the loop, the
gradients of the weights for all steps after it. The results are those of the cells' `step` (the
tests require 1e-10 in double precision).

Sizes: T time, B batch, I input, H hidden, G the number of gates. Types: float32 and float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from . import gates
from .context import Context
from .gates import Array
from .product import frozen, low_precision, multiply_by, multiply_frozen, product, transposed

State = tuple[Tensor, ...]
Kept = tuple[Tensor, ...]  # for the backward pass: h_0 … h_T (T + 1, B, H) first, then others
Gradients = tuple[Tensor, Tensor, Tensor, Tensor | None, State]


_NONE = np.empty((0, 0), np.float32)


class Loops(ABC):
    """The forward and the backward loop over time of a cell.

    In all methods `own` is the parameter of the cell itself, `low` the precision of the products,
    and `pre` (T, B, G·H) holds W x + b; `forward` overwrites it.
    """

    single_step: ClassVar[bool] = False  # whether there is `step`, for generation

    def step(self, pre: Tensor, own: Tensor, state: State) -> State:
        """One step without gradient: pre = W x + U h + b (B, G·H), state → the state after it."""
        raise NotImplementedError

    @abstractmethod
    def forward(
        self, pre: Tensor, U: Tensor, own: Tensor, state: State, low: torch.dtype
    ) -> tuple[State, Kept]:
        """Returns the last state, and what the backward pass needs; see `Kept`."""

    @abstractmethod
    def backward(
        self, kept: Kept, U: Tensor, own: Tensor, dout: Tensor, dlast: State, low: torch.dtype
    ) -> Gradients:
        """From dout (T, B, H) and dlast, the gradients of the outputs and of the last state,
        compute the gradients of `pre`, of `pre` transposed to (G·H, T·B), of U, of `own`, and of
        the first state."""


class LSTMLoops(Loops):
    """The LSTM; with peepholes if `own` holds their weights (3, H)."""

    single_step = True

    def step(self, pre: Tensor, own: Tensor, state: State) -> State:
        h, c = torch.empty_like(state[0]), torch.empty_like(state[1])
        none = _NONE if pre.dtype == torch.float32 else _NONE.astype("float64")
        gates.lstm(pre.numpy(), none, own.numpy(), _array(state[1]), c.numpy(), h.numpy())
        return h, c

    def forward(
        self, pre: Tensor, U: Tensor, own: Tensor, state: State, low: torch.dtype
    ) -> tuple[State, Kept]:
        T, B, _ = pre.shape
        h, c = _room(T, state[0]), _room(T, state[1])
        recur = multiply_by(U, low, B, T)
        pre_, h_, c_, own_ = pre.numpy(), h.numpy(), c.numpy(), own.numpy()
        for t, h_t in enumerate(h[:-1].unbind()):
            gates.lstm(pre_[t], recur(h_t), own_, c_[t], c_[t + 1], h_[t + 1])
        return (h[T].clone(), c[T].clone()), (h, pre, c)

    def backward(
        self, kept: Kept, U: Tensor, own: Tensor, dout: Tensor, dlast: State, low: torch.dtype
    ) -> Gradients:
        h, pre, c = kept
        T, B, _ = pre.shape
        dpre = torch.empty_like(pre)
        dh, dc = _own(dlast[0]), _own(dlast[1])
        recur = multiply_by(U.T, low, B, T)
        pre_, c_, own_, dout_, dpre_ = (x.numpy() for x in (pre, c, own, dout, dpre))
        dpres = dpre.unbind()
        for t in reversed(range(T)):
            gates.lstm_backward(pre_[t], own_, c_[t], c_[t + 1], dout_[t], dh, dc, dpre_[t])
            dh = recur(dpres[t])
        turned = _turned(dpre, low)
        downed = self._peepholes(dpre, c) if len(own) else None
        first = torch.from_numpy(dh), torch.from_numpy(dc)
        return dpre, turned, _weights(turned, h[:-1]), downed, first

    @staticmethod
    def _peepholes(dpre: Tensor, c: Tensor) -> Tensor:
        di, df, _, do = dpre.chunk(4, dim=-1)
        parts = ((di, c[:-1]), (df, c[:-1]), (do, c[1:]))
        return torch.stack([(d * seen).sum(dim=(0, 1)) for d, seen in parts])


class GRULoops(Loops):
    """The GRU that resets after the product; `own` is the bias (H,) that is multiplied by the reset
    gate."""

    def forward(
        self, pre: Tensor, U: Tensor, own: Tensor, state: State, low: torch.dtype
    ) -> tuple[State, Kept]:
        T, B, _ = pre.shape
        h, inner = _room(T, state[0]), state[0].new_empty(T, *state[0].shape)
        recur = multiply_by(U, low, B, T)
        pre_, h_, inner_, own_ = pre.numpy(), h.numpy(), inner.numpy(), own.numpy()
        for t, h_t in enumerate(h[:-1].unbind()):
            gates.gru(pre_[t], recur(h_t), own_, h_[t], inner_[t], h_[t + 1])
        return (h[T].clone(),), (h, pre, inner)

    def backward(
        self, kept: Kept, U: Tensor, own: Tensor, dout: Tensor, dlast: State, low: torch.dtype
    ) -> Gradients:
        h, pre, inner = kept
        T, B, width = pre.shape
        dpre, drec, dh = torch.empty_like(pre), torch.empty_like(pre), _own(dlast[0])
        recur = multiply_by(U.T, low, B, T)
        pre_, inner_, h_, dout_, dpre_, drec_ = (
            x.numpy() for x in (pre, inner, h, dout, dpre, drec)
        )
        drecs = drec.unbind()
        for t in reversed(range(T)):
            gates.gru_backward(pre_[t], inner_[t], h_[t], dout_[t], dh, dpre_[t], drec_[t])
            dh += recur(drecs[t])
        downed = drec[..., width // 3 * 2 :].sum(dim=(0, 1))
        dU = _weights(_turned(drec, low), h[:-1])
        return dpre, _turned(dpre, low), dU, downed, (torch.from_numpy(dh),)


class GRUBeforeLoops(Loops):
    """The GRU that resets before the product; a step needs two products, one after the other."""

    def forward(
        self, pre: Tensor, U: Tensor, own: Tensor, state: State, low: torch.dtype
    ) -> tuple[State, Kept]:
        T, B, _ = pre.shape
        H = state[0].shape[1]
        h, reset = _room(T, state[0]), state[0].new_empty(T, B, H)
        first, second = multiply_by(U[: 2 * H], low, B, T), multiply_by(U[2 * H :], low, B, T)
        pre_, h_, reset_ = pre.numpy(), h.numpy(), reset.numpy()
        for t, (h_t, reset_t) in enumerate(zip(h[:-1].unbind(), reset.unbind(), strict=True)):
            gates.gru_before_gates(pre_[t], first(h_t), h_[t], reset_[t])
            gates.gru_before(pre_[t], second(reset_t), h_[t], h_[t + 1])
        return (h[T].clone(),), (h, pre, reset)

    def backward(
        self, kept: Kept, U: Tensor, own: Tensor, dout: Tensor, dlast: State, low: torch.dtype
    ) -> Gradients:
        h, pre, reset = kept
        T, B, _ = pre.shape
        H = h.shape[2]
        dpre, dh = torch.empty_like(pre), _own(dlast[0])
        first, second = multiply_by(U[: 2 * H].T, low, B, T), multiply_by(U[2 * H :].T, low, B, T)
        pre_, h_, dout_, dpre_ = pre.numpy(), h.numpy(), dout.numpy(), dpre.numpy()
        for t in reversed(range(T)):
            gates.gru_before_backward(pre_[t], h_[t], dout_[t], dh, dpre_[t])
            dreset = second(dpre[t, :, 2 * H :])
            gates.gru_before_backward_gates(pre_[t], h_[t], dreset, dh, dpre_[t])
            dh += first(dpre[t, :, : 2 * H])
        turned = _turned(dpre, low)
        dU = torch.cat([_weights(turned[: 2 * H], h[:-1]), _weights(turned[2 * H :], reset)])
        return dpre, turned, dU, None, (torch.from_numpy(dh),)


class PlainLoops(Loops):
    """Cells of the form h_t = f(W x_t + U h_{t-1} + b)."""

    def __init__(
        self,
        onward: Callable[[Array, Array, Array], None],
        back: Callable[[Array, Array, Array, Array], None],
    ) -> None:
        """`onward` and `back` are the compiled functions of a step, forward and backward."""
        self.onward, self.back = onward, back

    def forward(
        self, pre: Tensor, U: Tensor, own: Tensor, state: State, low: torch.dtype
    ) -> tuple[State, Kept]:
        T, B, _ = pre.shape
        h = _room(T, state[0])
        recur = multiply_by(U, low, B, T)
        pre_, h_ = pre.numpy(), h.numpy()
        for t, h_t in enumerate(h[:-1].unbind()):
            self.onward(pre_[t], recur(h_t), h_[t + 1])
        return (h[T].clone(),), (h,)

    def backward(
        self, kept: Kept, U: Tensor, own: Tensor, dout: Tensor, dlast: State, low: torch.dtype
    ) -> Gradients:
        (h,) = kept
        T, B, _ = dout.shape
        dpre, dh = torch.empty_like(dout), _own(dlast[0])
        recur = multiply_by(U.T, low, B, T)
        h_, dout_, dpre_ = h.numpy(), dout.numpy(), dpre.numpy()
        dpres = dpre.unbind()
        for t in reversed(range(T)):
            self.back(h_[t + 1], dout_[t], dh, dpre_[t])
            dh = recur(dpres[t])
        turned = _turned(dpre, low)
        return dpre, turned, _weights(turned, h[:-1]), None, (torch.from_numpy(dh),)


LOOPS: dict[str, Loops] = {
    "lstm": LSTMLoops(),
    "gru": GRULoops(),
    "gru-before": GRUBeforeLoops(),
    "elman": PlainLoops(gates.elman, gates.elman_backward),
    "sigmoid": PlainLoops(gates.logistic, gates.logistic_backward),
    "relu": PlainLoops(gates.relu, gates.relu_backward),
}


class _Context(Context):
    name: str
    low: torch.dtype


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, name: str, x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        ctx.name, ctx.low = name, low_precision(x)
        last, kept = _forward(name, x, rest, ctx.low)
        ctx.save_for_backward(x, *rest[:2], rest[3], *kept)
        return kept[0][1:], *last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: _Context, dout: Tensor, *dlast: Tensor) -> tuple[Tensor | None, ...]:
        x, W, U, own, *kept = ctx.saved_tensors
        dpre, turned, dU, downed, dfirst = LOOPS[ctx.name].backward(
            tuple(kept), U, own, dout.contiguous(), dlast, ctx.low
        )
        flat = dpre.flatten(0, 1)
        dx = product(flat, W.T, low=ctx.low).view(x.shape) if ctx.needs_input_grad[1] else None
        db = turned.sum(dim=1, dtype=dpre.dtype)
        return None, dx, _weights(turned, x), dU, db, downed, *dfirst


def run(
    name: str, x: Tensor, state: State, W: Tensor, U: Tensor, b: Tensor, own: Tensor | None
) -> tuple[Tensor, State]:
    """Run the cell whose `loops` are called `name`.

    x (T, B, I), the first state, W (G·H, I), U (G·H, H), b (G·H,), the cell's own parameter →
    outputs h_1 … h_T (T, B, H), the last state.
    """
    rest = (W, U, b, U.new_empty(0, U.shape[1]) if own is None else own, *state)
    if torch.is_grad_enabled():
        out, *last = _Recurrence.apply(name, x, *rest)  # type: ignore[no-untyped-call]
        return out, tuple(last)
    low, loops, within = low_precision(x), LOOPS[name], frozen()
    if within and len(x) == 1 and loops.single_step:
        W, U, b, own, *state_ = (part.detach() for part in rest)
        if x.shape[1] == 1 and low == W.dtype:  # no copy: it would cost as much as 100 tokens
            pre = product(x[0], W, b, low) + product(state_[0], U, None, low)
        else:
            both = within.lay_side_by_side(W, U, low, x.shape[1])
            pre = multiply_frozen(torch.cat([x[0], state_[0]], dim=1), both, b, low)
        new = loops.step(pre, own, tuple(state_))
        return new[0][None], new
    last, kept = _forward(name, x, rest, low)
    return kept[0][1:], last


def _forward(
    name: str, x: Tensor, rest: tuple[Tensor, ...], low: torch.dtype
) -> tuple[State, Kept]:
    W, U, b, own, *state = (part.detach() for part in rest)
    pre = product(x.detach().flatten(0, 1), W, b, low).view(*x.shape[:2], -1)
    return LOOPS[name].forward(pre, U, own, tuple(state), low)


def _turned(d: Tensor, low: torch.dtype) -> Tensor:
    """d (T, B, N) → (N, T·B), for products that sum over time and batch."""
    return transposed(d.flatten(0, 1).to(low))


def _weights(turned: Tensor, x: Tensor) -> Tensor:
    """The sum over time and batch of d xᵀ: d from `_turned` (N, T·B), x (T, B, K) → (N, K)."""
    return product(turned, x.flatten(0, 1).to(turned.dtype).T).to(x.dtype)


def _room(steps: int, first: Tensor) -> Tensor:
    """An array (T + 1, B, H) for the states of all steps; index 0 holds `first`."""
    room = first.new_empty(steps + 1, *first.shape)
    room[0] = first
    return room


def _array(x: Tensor) -> Array:
    """The tensor as a contiguous numpy array."""
    return x.contiguous().numpy()


def _own(x: Tensor) -> Array:
    """A copy as a numpy array, which may be overwritten."""
    return x.clone(memory_format=torch.contiguous_format).numpy()
