"""cuDNN's recurrent layers on a GPU, called with a weight buffer that is filled here.

cuDNN reads the matrices and biases of a layer from one flat buffer. Torch keeps a module's
parameters as views into such a buffer. With weight drop the masked matrix is not in it, and torch
copies all weights into a new buffer at every call. Here the weights are copied into a scratch
buffer once a step; the copy also multiplies by the mask, converts the type and pads the widths.

Widths are padded to a multiple that tensor cores use. This does not change the result: a unit whose
weights and biases are zero stays zero (its candidate is tanh(0) = 0 in every cell).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from .context import Context
from .product import frozen, low_precision

State = tuple[Tensor, ...]
Weights = tuple[Tensor, Tensor, Tensor, Tensor]  # W (G·H, I), U (G·H, H), b_w (G·H), b_u (G·H)

_MODES = {"rnn_relu": 0, "rnn_tanh": 1, "lstm": 2, "gru": 3}  # cuDNN's numbers
_UNITS = 8  # widths are padded to multiples of it


def available(x: Tensor) -> bool:
    """Whether cuDNN can process x, and this torch has the functions used here."""
    functions = ("_cudnn_rnn", "_cudnn_rnn_flatten_weight")
    return (
        x.is_cuda
        and torch.version.cuda is not None  # on AMD GPUs the library is MIOpen
        and bool(torch.backends.cudnn.is_acceptable(x))  # type: ignore[no-untyped-call]
        and all(hasattr(torch, name) for name in functions)
        and hasattr(torch.ops.aten, "_cudnn_rnn_backward")
    )


def run(
    layer: str, gates: int, x: Tensor, state: State, weights: Weights, mask: Tensor | None
) -> tuple[Tensor, State]:
    """Run a layer.

    Args:
        layer: torch's name of the layer: lstm, gru, rnn_tanh or rnn_relu.
        gates: G, the number of blocks of H rows in each matrix and bias.
        x: (T, B, I).
        state: tensors (B, H).
        weights: W, U and both biases; see `Weights`.
        mask: (G·H, H) a mask on U; None = no mask.

    Returns:
        The outputs (T, B, H) and the last state.
    """
    plan = _Plan(layer, gates, x.shape[2], state[0].shape[1], low_precision(x), x.device)
    if torch.is_grad_enabled():
        out, *last = _Layer.apply(plan, x, mask, *weights, *state)  # type: ignore[no-untyped-call]
        return out, tuple(last)
    flat = None
    if mask is None and (within := frozen()):
        # The key leaves out the biases: they may be new tensors at every call.
        key = (plan.key, *(w.data_ptr() for w in weights[:2]))
        flat = within.once(key, lambda: plan.flat(weights, None))
    out, last, _ = plan.forward(x, state, plan.flat(weights, mask) if flat is None else flat, False)
    return out, last


class _Plan:
    """The sizes, types and buffer layout of a call. H and I are the widths of the model, P and Q
    the padded ones."""

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
        """The buffer for cuDNN, filled with the weights."""
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
        """Views of the padded W (G·P, Q), U (G·P, P), b_w (G·P), b_u (G·P) in the buffer."""
        rows = self.gates * self.padded
        shapes = [(rows, self.padded_inputs), (rows, self.padded), (rows,), (rows,)]
        return [
            flat[offset : offset + torch.Size(shape).numel()].view(shape)
            for offset, shape in zip(self.offsets, shapes, strict=True)
        ]

    def _inside(self, place: Tensor, weight: Tensor) -> Tensor:
        """A view of a padded matrix or bias without the padding: (G, H, columns) or (G, H)."""
        blocks = place.view(self.gates, self.padded, *place.shape[1:])[:, : self.hidden]
        return blocks[..., : weight.shape[1]] if weight.dim() == 2 else blocks

    def gradient(self, place: Tensor, weight: Tensor) -> Tensor:
        """The gradient without padding, in the shape and type of `weight`."""
        return self._inside(place, weight).reshape(weight.shape).to(weight.dtype)

    def widen(self, x: Tensor, width: int) -> Tensor:
        """x (..., n) → (..., width), contiguous, padded with zeros, in the low precision."""
        x = x.detach().to(self.low)
        if x.shape[-1] < width:
            x = torch.nn.functional.pad(x, (0, width - x.shape[-1]))
        return x.contiguous()

    def narrow(self, x: Tensor, width: int, dtype: torch.dtype) -> Tensor:
        """x (..., padded) → (..., width) in the given type."""
        return x[..., :width].to(dtype)

    def options(self, learning: bool) -> tuple[Any, ...]:
        """The arguments of torch's function from `mode` on: one layer, time first, no dropout, one
        direction."""
        return (self.mode, self.padded, 0, 1, False, 0.0, learning, False, [], None)

    def forward(
        self, x: Tensor, state: State, flat: Tensor, learning: bool
    ) -> tuple[Tensor, State, State]:
        """Returns the outputs, the last state, and what the backward pass needs, padded as cuDNN
        had it: x, the first h and c, the outputs, the reserve. c is empty in layers without one."""
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
        """The gradients of x, h, c and of the padded weights; `wanted` says which are needed."""
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


class _Context(Context):
    plan: _Plan
    dtype: torch.dtype  # of the input


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context, plan: _Plan, x: Tensor, mask: Tensor | None, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        W, U, b_w, b_u, *state = rest
        flat = plan.flat((W, U, b_w, b_u), mask)
        out, last, kept = plan.forward(x, tuple(state), flat, True)
        ctx.plan, ctx.dtype = plan, x.dtype
        ctx.save_for_backward(mask, W, U, b_w, b_u, flat, *kept)  # type: ignore[arg-type]
        return out, *last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: _Context, dout: Tensor, *dlast: Tensor) -> tuple[Tensor | None, ...]:
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
    """The size of cuDNN's weight buffer and the offsets of W, U and both biases, as cuDNN reports
    them."""
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
