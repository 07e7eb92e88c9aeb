"""cuDNN's recurrent layers on a GPU, fed from a flat buffer of our own.

cuDNN reads the matrices and biases of a layer from one piece of memory. torch keeps a module's
parameters as views into such a piece, which a masked recurrent matrix (weight drop) breaks: then
all of it is copied together again at every call. Here the piece is scratch memory, written once a
step; the mask is multiplied, the type lowered and the width padded on the way in.

Widths are padded to what tensor cores work in. That changes nothing: a unit whose weights and
biases are all zero stays zero (tanh(0) = 0 is its candidate in every cell), and so adds nothing.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from .product import frozen, low_precision

State = tuple[Tensor, ...]
Weights = tuple[Tensor, Tensor, Tensor, Tensor]  # W (G·H, I), U (G·H, H), b_w (G·H), b_u (G·H)

_MODES = {"rnn_relu": 0, "rnn_tanh": 1, "lstm": 2, "gru": 3}  # cuDNN's numbers
_UNITS = 8  # widths are multiples of so many numbers


def available(x: Tensor) -> bool:
    """Whether cuDNN can read x, and this torch has the functions used here."""
    functions = ("_cudnn_rnn", "_cudnn_rnn_flatten_weight")
    return (
        x.is_cuda
        and torch.version.cuda is not None  # AMD's have another library
        and bool(torch.backends.cudnn.is_acceptable(x))  # type: ignore[no-untyped-call]
        and all(hasattr(torch, name) for name in functions)
        and hasattr(torch.ops.aten, "_cudnn_rnn_backward")
    )


def run(
    layer: str, gates: int, x: Tensor, state: State, weights: Weights, mask: Tensor | None
) -> tuple[Tensor, State]:
    """x (T, B, I), state, weights, a mask on U (none: all ones) → outputs (T, B, H), last state.

    Args:
        layer: torch's name of it: lstm, gru, rnn_tanh, rnn_relu.
        gates: G, blocks of H rows in each matrix and bias.
    """
    plan = _Plan(layer, gates, x.shape[2], state[0].shape[1], low_precision(x), x.device)
    if torch.is_grad_enabled():
        out, *last = _Layer.apply(plan, x, mask, *weights, *state)  # type: ignore[no-untyped-call]
        return out, tuple(last)
    flat = None
    if mask is None and (within := frozen()):
        key = (plan.key, *(w.data_ptr() for w in weights[:2]))  # a cell's biases may be made anew
        flat = within.once(key, lambda: plan.flat(weights, None))
    out, last, _ = plan.forward(x, state, plan.flat(weights, mask) if flat is None else flat, False)
    return out, last


class _Plan:
    """Sizes, types and places of one call. H and I as the model has them, P and Q padded."""

    def __init__(
        self,
        layer: str,
        gates: int,
        inputs: int,
        hidden: int,
        low: torch.dtype,
        device: torch.device,
    ) -> None:
        self.mode, self.gates, self.hidden, self.inputs = _MODES[layer], gates, hidden, inputs
        self.low, self.device = low, device
        self.padded, self.padded_inputs = _round_up(hidden), _round_up(inputs)
        self.key = (self.mode, gates, self.padded_inputs, self.padded, low, device)
        self.numbers, self.offsets = _layout(*self.key)

    def flat(self, weights: Weights, mask: Tensor | None) -> Tensor:
        """The buffer cuDNN reads, filled."""
        full = self.padded == self.hidden and self.padded_inputs == self.inputs
        make = torch.empty if full else torch.zeros
        flat = make(self.numbers, dtype=self.low, device=self.device)
        for place, weight in zip(self.views(flat), weights, strict=True):
            inside = self._inside(place, weight)
            blocks = weight.detach().view(inside.shape)
            if mask is not None and weight is weights[1]:
                torch.mul(blocks, mask.view(inside.shape), out=inside)
            else:
                inside.copy_(blocks)
        return flat

    def views(self, flat: Tensor) -> list[Tensor]:
        """The padded W (G·P, Q), U (G·P, P), b_w (G·P), b_u (G·P) in the buffer."""
        rows = self.gates * self.padded
        shapes = [(rows, self.padded_inputs), (rows, self.padded), (rows,), (rows,)]
        return [
            flat[offset : offset + torch.Size(shape).numel()].view(shape)
            for offset, shape in zip(self.offsets, shapes, strict=True)
        ]

    def _inside(self, place: Tensor, weight: Tensor) -> Tensor:
        """What of a padded matrix or bias is not padding: (G, H, columns) or (G, H)."""
        blocks = place.view(self.gates, self.padded, *place.shape[1:])[:, : self.hidden]
        return blocks[..., : weight.shape[1]] if weight.dim() == 2 else blocks

    def gradient(self, place: Tensor, weight: Tensor) -> Tensor:
        """The gradient (of weight's shape and type) in a padded one."""
        return self._inside(place, weight).reshape(weight.shape).to(weight.dtype)

    def widen(self, x: Tensor, width: int) -> Tensor:
        """x (..., n) → (..., width) of the low type, contiguous, zeros at the end."""
        x = x.detach().to(self.low)
        if x.shape[-1] < width:
            x = torch.nn.functional.pad(x, (0, width - x.shape[-1]))
        return x.contiguous()

    def narrow(self, x: Tensor, width: int, dtype: torch.dtype) -> Tensor:
        """x (..., padded) → (..., width) of the caller's type."""
        return x[..., :width].to(dtype)

    def options(self, learning: bool) -> tuple[Any, ...]:
        """The arguments from `mode` on: one layer, time first, no dropout, one direction."""
        return (self.mode, self.padded, 0, 1, False, 0.0, learning, False, [], None)

    def forward(
        self, x: Tensor, state: State, flat: Tensor, learning: bool
    ) -> tuple[Tensor, State, State]:
        """Outputs, the last state, and all that the backward pass reads: x, first state (h, c),
        outputs, reserve, as cuDNN had them (an empty c where there is none)."""
        wide = self.widen(x, self.padded_inputs)
        first = [self.widen(s, self.padded)[None] for s in state]
        c = first[1] if len(first) > 1 else None
        with torch.autocast(x.device.type, enabled=False):
            out, h_last, c_last, reserve, _ = torch._cudnn_rnn(
                wide, self.views(flat), 4, flat, first[0], c, *self.options(learning)
            )
        last = [self.narrow(s[0], self.hidden, x.dtype) for s in (h_last, c_last)[: len(state)]]
        kept = (wide, first[0], out.new_empty(0) if c is None else c, out, reserve)
        return self.narrow(out, self.hidden, x.dtype), tuple(last), kept

    def backward(
        self, kept: State, flat: Tensor, dout: Tensor, dlast: State, wanted: list[bool]
    ) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """Gradients of x, h, c and of the padded weights; `wanted`: which of the four."""
        wide, h, c, out, reserve = kept
        dstate = [self.widen(d, self.padded)[None] for d in dlast]
        with torch.autocast(wide.device.type, enabled=False):
            return torch.ops.aten._cudnn_rnn_backward(  # type: ignore[no-any-return]
                wide,
                self.views(flat),
                4,
                flat,
                h,
                c if len(dlast) > 1 else None,
                out,
                self.widen(dout, self.padded),
                dstate[0],
                dstate[1] if len(dlast) > 1 else None,
                *self.options(True),
                reserve,
                wanted,
            )


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: _Plan, x: Tensor, mask: Tensor | None, *rest: Tensor) -> Any:
        W, U, b_w, b_u, *state = rest
        flat = plan.flat((W, U, b_w, b_u), mask)
        out, last, kept = plan.forward(x, tuple(state), flat, True)
        ctx.plan, ctx.dtype = plan, x.dtype
        ctx.save_for_backward(mask, W, U, b_w, b_u, flat, *kept)
        return out, *last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dout: Tensor, *dlast: Tensor) -> Any:
        mask, *weights, flat = ctx.saved_tensors[:6]
        plan, needed = ctx.plan, ctx.needs_input_grad
        wanted = [needed[1], needed[7], len(dlast) > 1 and needed[8], any(needed[3:7])]
        dx, dh, dc, dweights = plan.backward(ctx.saved_tensors[6:], flat, dout, dlast, wanted)
        grads = [
            plan.gradient(d, weight) if wanted[3] else None
            for d, weight in zip(dweights or weights, weights, strict=True)
        ]
        if mask is not None and grads[1] is not None:
            grads[1] = grads[1] * mask
        dfirst = [
            plan.narrow(d[0], plan.hidden, ctx.dtype) if want else None
            for d, want in zip((dh, dc)[: len(dlast)], wanted[1:], strict=False)
        ]
        return (
            None,
            plan.narrow(dx, plan.inputs, ctx.dtype) if wanted[0] else None,
            None,
            *grads,
            *dfirst,
        )


@cache
def _layout(
    mode: int, gates: int, inputs: int, hidden: int, low: torch.dtype, device: torch.device
) -> tuple[int, tuple[int, ...]]:
    """How many numbers cuDNN's buffer has and where W, U and the biases begin: cuDNN is asked."""
    rows = gates * hidden
    weights = [
        torch.empty(shape, dtype=low, device=device)
        for shape in ((rows, inputs), (rows, hidden), (rows,), (rows,))
    ]
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        flat = torch._cudnn_rnn_flatten_weight(weights, 4, inputs, mode, hidden, 0, 1, False, False)
    return flat.numel(), tuple(int(weight.storage_offset()) for weight in weights)


def _round_up(width: int) -> int:
    return -(-width // _UNITS) * _UNITS
