"""cuDNN's layers from a flat, padded buffer: on the CPU, with a cuDNN that is emulated.

The emulation is as strict as torch's function is with its arguments. It lays the weights out in an
order of its own with gaps of NaN, as cuDNN may, and reads them from the flat buffer alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from nextword import registry
from nextword.models.recurrent import RecurrentConfig
from nextword.nn import kernels
from nextword.nn.dropout import mask_like
from nextword.nn.kernels import Frozen, cudnn
from nextword.nn.recurrent import RecurrentLayer, RecurrentStack
from tests import support
from tests.support import sequence, weighted

CELLS = [name for name in registry.names("cell") if registry.load("cell", name).torch_layer]
F32, F64, BF16 = torch.float32, torch.float64, torch.bfloat16
PADDED, WHOLE = (5, 11), (8, 16)  # input's width, hidden width
WIDTHS = [PADDED, (11, 7), WHOLE, (8, 3), (3, 8), (1, 1), (17, 24)]
T, B = 4, 3

scattered = partial(support.scattered, std=0.4)

LAYERS = {0: ("rnn_relu", 1), 1: ("rnn_tanh", 1), 2: ("lstm", 4), 3: ("gru", 3)}  # name, gates
NAMES = ("W", "U", "b_w", "b_u")
ORDER = (3, 1, 0, 2)  # in the emulated buffer
GAP = 24  # bytes before each of them


@dataclass
class Call:
    """What the emulated cuDNN was given."""

    mode: int
    learning: bool
    x: Tensor
    state: list[Tensor]
    weights: dict[str, Tensor]
    out: Tensor
    wanted: list[bool] | None = None  # by the backward pass: x, h, c, the weights


class Emulation:
    """The three functions of torch that are used, with their arguments in torch's order."""

    def __init__(self) -> None:
        self.places: dict[Any, list[tuple[int, tuple[int, ...]]]] = {}
        self.asked = 0  # times a layout was asked for
        self.calls: list[Call] = []

    def flatten(
        self,
        weights: list[Tensor],
        stride: int,
        inputs: int,
        mode: int,
        hidden: int,
        projected: int,
        layers: int,
        batch_first: bool,
        both_ways: bool,
    ) -> Tensor:
        self.asked += 1
        rows = LAYERS[mode][1] * hidden
        shapes = [(rows, inputs), (rows, hidden), (rows,), (rows,)]
        assert [tuple(w.shape) for w in weights] == shapes
        assert (stride, projected, layers, batch_first, both_ways) == (4, 0, 1, False, False)
        gap = GAP // weights[0].element_size()
        offsets, end = [0] * 4, gap
        for index in ORDER:
            offsets[index], end = end, end + math.prod(shapes[index]) + gap
        flat = weights[0].new_full((end,), torch.nan)
        for weight, offset in zip(weights, offsets, strict=True):
            place = flat[offset : offset + weight.numel()].view(weight.shape)
            place.copy_(weight)
            weight.set_(flat.untyped_storage(), offset, place.shape, place.stride())
        self.places[mode, inputs, hidden, flat.dtype] = list(zip(offsets, shapes, strict=True))
        return flat

    def forward(
        self,
        x: Tensor,
        weight: list[Tensor],
        stride: int,
        flat: Tensor,
        h: Tensor,
        c: Tensor | None,
        mode: int,
        hidden: int,
        *options: Any,
    ) -> tuple[Tensor, ...]:
        learning = self._check(x, weight, stride, flat, h, c, mode, hidden, options)
        state = [h] if c is None else [h, c]
        pieces = self._pieces(flat, mode, x.shape[2], hidden)
        out, last = self._layer(x, state, pieces, mode)
        out, last = out.to(flat.dtype), [part.to(flat.dtype) for part in last]
        given = [part.clone() for part in (x, *state)]
        named = dict(zip(NAMES, pieces, strict=True))
        self.calls.append(Call(mode, learning, given[0], given[1:], named, out.clone()))
        reserve = torch.tensor([len(self.calls) - 1] if learning else [])
        return out, last[0], last[1] if c is not None else x.new_empty(0), reserve, flat

    def backward(
        self,
        x: Tensor,
        weight: list[Tensor],
        stride: int,
        flat: Tensor,
        h: Tensor,
        c: Tensor | None,
        out: Tensor,
        dout: Tensor,
        dh: Tensor,
        dc: Tensor | None,
        mode: int,
        hidden: int,
        *rest: Any,
    ) -> tuple[Any, ...]:
        *options, reserve, wanted = rest
        assert self._check(x, weight, stride, flat, h, c, mode, hidden, tuple(options))
        state = [h] if c is None else [h, c]
        pieces = self._pieces(flat, mode, x.shape[2], hidden)
        call = self.calls[int(reserve)]
        call.wanted = wanted
        torch.testing.assert_close(
            [x, *state, *pieces, out],
            [call.x, *call.state, *call.weights.values(), call.out],
            atol=0,
            rtol=0,
        )
        given = [dout, dh] if c is None else [dout, dh, dc]
        for gradient, value in zip(given, [out, *state], strict=True):
            assert gradient is not None and gradient.is_contiguous()
            assert (gradient.shape, gradient.dtype) == (value.shape, value.dtype)
        assert len(wanted) == 4 and all(type(want) is bool for want in wanted)
        assert c is not None or not wanted[2]
        found = self._gradients([x, *state, *pieces], given, mode)
        dx, dfirst, dpieces = found[0], found[1 : 1 + len(state)], found[-4:]
        flat_gradient = torch.full_like(flat, torch.nan)
        places = self.places[mode, x.shape[2], hidden, flat.dtype]
        dweights = []
        for (offset, shape), piece in zip(places, dpieces, strict=True):
            dweights.append(flat_gradient[offset : offset + piece.numel()].view(shape))
            dweights[-1].copy_(piece)
        firsts = [dx, *dfirst]  # torch may leave anything where nothing was wanted
        firsts = [d if want else d * torch.nan for d, want in zip(firsts, wanted, strict=False)]
        return (*firsts[:2], firsts[2] if c is not None else None, dweights if wanted[3] else [])

    def _check(
        self,
        x: Tensor,
        weight: list[Tensor],
        stride: int,
        flat: Tensor,
        h: Tensor,
        c: Tensor | None,
        mode: int,
        hidden: int,
        options: tuple[Any, ...],
    ) -> bool:
        """What torch checks, or takes for granted."""
        projected, layers, batch_first, dropout, learning, both_ways, sizes, dropped = options
        assert (projected, layers, batch_first, dropout) == (0, 1, False, 0.0)
        assert (stride, both_ways, sizes, dropped) == (4, False, [], None)
        state = [h] if c is None else [h, c]
        assert (c is not None) == (LAYERS[mode][0] == "lstm")
        assert x.dim() == 3 and x.is_contiguous() and flat.dim() == 1
        for part in state:
            assert part.shape == (1, x.shape[1], hidden) and part.is_contiguous()
        for part in (*state, *weight, flat):
            assert part.dtype == x.dtype and not part.requires_grad
        for view, (offset, shape) in zip(
            weight, self.places[mode, x.shape[2], hidden, flat.dtype], strict=True
        ):
            assert view.shape == shape
            assert view.data_ptr() == flat.data_ptr() + offset * flat.element_size()
        assert not torch.is_autocast_enabled("cpu") and not torch.is_grad_enabled()
        return bool(learning)

    def _pieces(self, flat: Tensor, mode: int, inputs: int, hidden: int) -> list[Tensor]:
        """W, U, b_w, b_u, from the buffer."""
        return [
            flat[offset : offset + math.prod(shape)].view(shape).clone()
            for offset, shape in self.places[mode, inputs, hidden, flat.dtype]
        ]

    def _layer(
        self, x: Tensor, state: list[Tensor], weights: list[Tensor], mode: int
    ) -> tuple[Tensor, list[Tensor]]:
        """torch's own on the CPU, in float32 where cuDNN adds up in float32."""
        name, _ = LAYERS[mode]
        wide = torch.promote_types(x.dtype, F32)
        x, *rest = (part.to(wide) for part in (x, *state, *weights))
        state, weights = rest[: len(state)], rest[len(state) :]
        first = state if name == "lstm" else state[0]
        out, *last = getattr(torch, name)(x, first, weights, True, 1, 0.0, True, False, False)
        return out, last

    @torch.enable_grad()
    def _gradients(self, values: list[Tensor], given: list[Any], mode: int) -> list[Tensor]:
        leaves = [value.detach().clone().requires_grad_() for value in values]
        out, last = self._layer(leaves[0], leaves[1:-4], leaves[-4:], mode)
        given = [gradient.to(out.dtype) for gradient in given]
        return list(torch.autograd.grad([out, *last], leaves, given))


@pytest.fixture
def emulation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulation]:
    """Every layer finds cuDNN, which is ours."""
    made = Emulation()
    monkeypatch.setattr(cudnn, "available", lambda x: True)
    monkeypatch.setattr(torch, "_cudnn_rnn", made.forward)
    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", made.flatten)
    monkeypatch.setattr(torch.ops.aten, "_cudnn_rnn_backward", made.backward)
    cudnn._layout.cache_clear()
    yield made
    cudnn._layout.cache_clear()


@pytest.fixture
def poisoned() -> Iterator[None]:
    """Memory that nobody wrote to holds NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


def run(
    layer: RecurrentLayer,
    x: Tensor,
    state: tuple[Tensor, ...],
    backend: str = "torch",
    through: str = "all",
    seed: int = 4,
) -> dict[str, Tensor]:
    """Outputs, last state and the gradients of all that asks for one, by name; a mask from
    `seed`."""
    torch.manual_seed(seed)
    with kernels.backend(backend):
        out, last = layer(x, state)
    named = dict(layer.named_parameters()) | {"x": x}
    named |= {f"state.{i}": part for i, part in enumerate(state)}
    wanted = {name: value for name, value in named.items() if value.requires_grad}
    values = {"out": out, **{f"last.{i}": part for i, part in enumerate(last)}}
    if wanted:
        loss = weighted((out, *last), through)
        found = torch.autograd.grad(loss, list(wanted.values()), materialize_grads=True)
        values |= {f"d {name}": g for name, g in zip(wanted, found, strict=True)}
    return {name: value.detach() for name, value in values.items()}


def same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-9) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(
            value,
            expected[name],
            atol=tolerance,
            rtol=tolerance,
            msg=partial("{}: {}".format, name),
        )


# ---------------------------------------------------------------------------- equal to the readable


@pytest.mark.parametrize("drop", [0.0, 0.5])
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("cell", CELLS)
def test_equals_step_by_step(
    cell: str, widths: tuple[int, int], drop: float, emulation: Emulation
) -> None:
    """Outputs, last state and the gradient of everything, whether it comes through the outputs, the
    last state or a part of it: as the readable code has them."""
    layer = scattered(cell, *widths, drop=drop)
    for steps, rows in ((T, B), (1, 1), (1, B), (7, 1)):
        x, state = sequence(layer, steps, rows)
        for through in ("all", "outputs", "state", "h", "end"):
            found = run(layer, x, state, "torch", through)
            same(found, run(layer, x, state, "step", through))
            assert all(value.dtype == F64 for value in found.values())
    assert len(emulation.calls) == 20 and all(call.wanted for call in emulation.calls)


@pytest.mark.parametrize("drop", [0.0, 0.5])
@pytest.mark.parametrize("widths", [[5, 11, 7], [8, 16, 24]])
@pytest.mark.parametrize("cell", CELLS)
def test_a_stack_equals_step_by_step(
    cell: str, widths: list[int], drop: float, emulation: Emulation
) -> None:
    """Layers one on the other, dropout between them, masks on their matrices."""
    torch.manual_seed(0)
    stack = RecurrentStack(cell, widths, dropout=0.3, weight_drop=drop).double()
    x = torch.randn(T, B, widths[0], dtype=F64, requires_grad=True)
    state = tuple(
        tuple(torch.randn_like(part).requires_grad_() for part in layer) for layer in stack.start(B)
    )
    results = []
    for backend in ("torch", "step"):
        torch.manual_seed(5)
        with kernels.backend(backend):
            out, last = stack(x, state)
        parts = (out, *(part for layer in last for part in layer))
        leaves = [x, *(part for layer in state for part in layer), *stack.parameters()]
        results.append([*parts, *torch.autograd.grad(weighted(parts), leaves)])
    torch.testing.assert_close(*results, atol=1e-9, rtol=1e-9)
    assert len(emulation.calls) == 2


@pytest.mark.parametrize("cell", CELLS)
def test_a_model_learns_the_same(cell: str, emulation: Emulation) -> None:
    """The gradient of every weight of a language model with all its dropouts."""
    torch.manual_seed(0)
    config = RecurrentConfig(
        cell=cell,
        embedding=5,
        hidden=9,
        layers=2,
        tied=True,
        dropout_embedding=0.1,
        dropout_input=0.2,
        dropout_hidden=0.2,
        dropout_output=0.2,
        dropout_weight=0.4,
    )
    model = config.build(13).double()
    ids = torch.randint(0, 13, (B, T + 1))
    results = []
    for backend in ("torch", "step"):
        torch.manual_seed(6)
        with kernels.backend(backend):
            scored = model.score(ids[:, :-1], ids[:, 1:], model.start(B))
        loss = -scored.log_prob.mean()
        results.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
    torch.testing.assert_close(*results, atol=1e-9, rtol=1e-9)
    assert len(emulation.calls) == 2


@pytest.mark.parametrize("widths", [PADDED, WHOLE])
@pytest.mark.parametrize("cell", CELLS)
def test_any_layout_of_memory(cell: str, widths: tuple[int, int], emulation: Emulation) -> None:
    """Inputs, states and gradients that are views with odd strides, or one row seen many times: as
    their contiguous copies; none is written to."""
    inputs, hidden = widths
    layer = scattered(cell, *widths)
    torch.manual_seed(0)
    turned = torch.randn(inputs, B, T + 2, dtype=F64).permute(2, 1, 0)[1:-1]
    spread = torch.randn(T, 1, inputs, dtype=F64).expand(T, B, inputs)
    rows = [torch.randn(hidden, dtype=F64).expand(B, hidden) for _ in layer.start(B)]
    columns = [torch.randn(hidden, B, dtype=F64).T for _ in rows]
    gradient = torch.randn(hidden, T, B, dtype=F64).permute(1, 2, 0)
    for x, state in ((turned, rows), (spread, columns)):
        results = []
        for backend in ("torch", "step"):
            given = [x, *state, gradient, *(gradient[0] for _ in state)]
            assert not any(part.is_contiguous() for part in given)
            kept = [part.clone() for part in given]
            leaves = [part.detach().requires_grad_() for part in given[: 1 + len(state)]]
            with kernels.backend(backend):
                out, last = layer(leaves[0], tuple(leaves[1:]))
            found = torch.autograd.grad(
                (out, *last), [*leaves, *layer.parameters()], given[1 + len(state) :]
            )
            results.append([out, *last, *found])
            assert all(map(torch.equal, given, kept))
        torch.testing.assert_close(*results, atol=1e-9, rtol=1e-9)
    assert len(emulation.calls) == 2


@pytest.mark.parametrize("widths", [PADDED, WHOLE])
@pytest.mark.parametrize("cell", CELLS)
def test_carrying_the_state_changes_nothing(
    cell: str, widths: tuple[int, int], emulation: Emulation
) -> None:
    """The whole sequence at once = its two parts, the state handed on with its gradient."""
    layer = scattered(cell, *widths)
    x, state = sequence(layer)
    whole = run(layer, x, state)
    with kernels.backend("torch"):
        first, middle = layer(x[:1], state)
        second, last = layer(x[1:], middle)
    out = torch.cat([first, second])
    found = torch.autograd.grad(weighted((out, *last)), [x, *state, *layer.parameters()])
    names = ["x", *(f"state.{i}" for i in range(len(state))), *dict(layer.named_parameters())]
    cut = {"out": out, **{f"last.{i}": part for i, part in enumerate(last)}}
    same(cut | {f"d {name}": g for name, g in zip(names, found, strict=True)}, whole)
    assert len(emulation.calls) == 3


@pytest.mark.usefixtures("emulation")
@pytest.mark.parametrize("drop", [0.0, 0.5])
@pytest.mark.parametrize("cell", CELLS)
def test_backward_twice_gives_the_same(cell: str, drop: float) -> None:
    """A graph that is kept is left as it was, also when another pass came in between."""
    layer = scattered(cell, *WHOLE, drop=drop)
    x, state = sequence(layer)
    with kernels.backend("torch"):
        out, last = layer(x, state)
    loss = weighted((out, *last))
    wanted = [x, *state, *layer.parameters()]
    first = torch.autograd.grad(loss, wanted, retain_graph=True)
    kept = [g.clone() for g in first]
    run(layer, *sequence(layer, seed=9), seed=8)
    second = torch.autograd.grad(loss, wanted)
    torch.testing.assert_close(list(second), kept, atol=0, rtol=0)
    torch.testing.assert_close(list(first), kept, atol=0, rtol=0)


# ------------------------------------------------------------------------- what asks for a gradient


@pytest.mark.parametrize("drop", [0.0, 0.5])
@pytest.mark.parametrize(
    "fixed",
    ["x", "state", "state.0", "end", "W", "U", "b", "own", "W U b", "W U b own", "x state", "all"],
)
@pytest.mark.parametrize("cell", CELLS)
def test_a_fixed_input_leaves_the_other_gradients(
    cell: str, fixed: str, drop: float, emulation: Emulation
) -> None:
    """Where something asks for no gradient the others are the same, and cuDNN is not asked for
    more than what is needed."""
    layer = scattered(cell, *PADDED, drop=drop)
    x, state = sequence(layer)
    expected = run(layer, x, state, "step")
    own = list(layer.cell.parameters())
    held: dict[str, list[Tensor]] = {
        "x": [x],
        "state": list(state),
        "state.0": [state[0]],
        "end": [state[-1]],
        "W": [layer.W],
        "U": [layer.U],
        "b": [layer.b],
        "own": own,
        "all": [x, *state, *layer.parameters()],
    }
    for name in fixed.split():
        for tensor in held[name]:
            tensor.requires_grad_(False)
    found = run(layer, x, state)
    same(found, {name: value for name, value in expected.items() if name in found})
    asking = [*state, *layer.parameters(), x]
    assert sum(name.startswith("d ") for name in found) == sum(t.requires_grad for t in asking)
    (call,) = emulation.calls
    some = any(parameter.requires_grad for parameter in layer.parameters())
    firsts = [part.requires_grad for part in state] + [False] * (2 - len(state))
    assert call.wanted == (None if fixed == "all" else [x.requires_grad, *firsts, some])


@pytest.mark.parametrize("widths", [PADDED, WHOLE])
@pytest.mark.parametrize("cell", CELLS)
def test_no_gradient_asked_for_changes_no_value(
    cell: str, widths: tuple[int, int], emulation: Emulation
) -> None:
    """Under no_grad the same numbers to the last bit, no graph behind them, and nothing kept for a
    backward pass; in training mode with a mask, in evaluation without."""
    layer = scattered(cell, *widths, drop=0.5)
    x, state = sequence(layer)
    for mode in (True, False):
        layer.train(mode)
        results = []
        for learning in (True, False):
            torch.manual_seed(4)
            with torch.set_grad_enabled(learning), kernels.backend("torch"):
                out, last = layer(x, state)
            assert emulation.calls[-1].learning == learning
            assert out.requires_grad == learning
            assert all(part.requires_grad == learning for part in last)
            results.append([out, *last])
        torch.testing.assert_close(*results, atol=0, rtol=0)
        same(run(layer, x, state), run(layer, x, state, "step"))


@pytest.mark.usefixtures("emulation")
@pytest.mark.parametrize("widths", [PADDED, WHOLE])
@pytest.mark.parametrize("cell", CELLS)
def test_the_state_handed_on_has_memory_of_its_own(cell: str, widths: tuple[int, int]) -> None:
    """It shares none with the outputs or with the state given."""
    layer = scattered(cell, *widths)
    with torch.no_grad(), kernels.backend("torch"):
        x, state = sequence(layer)
        out, last = layer(x, state)
        kept = [part.clone() for part in last]
        for part in (x, out, *state):
            part.zero_()
    torch.testing.assert_close(list(last), kept, atol=0, rtol=0)


# ------------------------------------------------------------------------------ what cuDNN is given


def inner(piece: Tensor, gates: int, *sizes: int) -> Tensor:
    """What of a padded W, U or bias is not padding: (G·H, columns) or (G·H,)."""
    blocks = piece.view(gates, -1, *piece.shape[1:])
    kept = blocks[(slice(None), *(slice(size) for size in sizes))]
    return kept.reshape(gates * sizes[0], *sizes[1:])


def sizes_of(name: str, widths: tuple[int, int]) -> tuple[int, ...]:
    inputs, hidden = widths
    return {"W": (hidden, inputs), "U": (hidden, hidden)}.get(name, (hidden,))


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("learning", [True, False])
@pytest.mark.parametrize("drop", [0.0, 0.5])
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("cell", CELLS)
def test_what_is_padded_is_zero(
    cell: str, widths: tuple[int, int], drop: float, learning: bool, emulation: Emulation
) -> None:
    """Widths are the next multiples of eight. Inside are the layer's own numbers, a mask on U
    alone; all else is zero, and the padded units of outputs and state stay zero."""
    inputs, hidden = widths
    layer = scattered(cell, *widths, drop=drop)
    x, state = sequence(layer)
    torch.manual_seed(4)
    with torch.set_grad_enabled(learning), kernels.backend("torch"):
        layer(x, state)
    torch.manual_seed(4)
    U = layer.U * mask_like(layer.U, drop) if drop else layer.U
    (call,) = emulation.calls
    P, Q = -(-hidden // 8) * 8, -(-inputs // 8) * 8
    gates = layer.cell.gates
    b_w, b_u = layer.cell.torch_biases(layer.b)
    expected = {"W": layer.W, "U": U, "b_w": b_w, "b_u": b_u}
    for name, piece in call.weights.items():
        assert len(piece) == gates * P
        inside = inner(piece, gates, *sizes_of(name, widths))
        assert torch.equal(inside, expected[name].detach())
        assert int(piece.count_nonzero()) == int(inside.count_nonzero())
        assert not piece.isnan().any()
    assert call.weights["W"].shape[1] == Q and call.weights["U"].shape[1] == P
    assert call.x.shape == (T, B, Q) and torch.equal(call.x[..., :inputs], x)
    for given, part in zip(call.state, state, strict=True):
        assert given.shape == (1, B, P) and torch.equal(given[0, :, :hidden], part)
        assert not given[..., hidden:].any()
    assert not call.x[..., inputs:].any() and not call.out[..., hidden:].any()


@pytest.mark.usefixtures("emulation")
@pytest.mark.parametrize("widths", [PADDED, WHOLE])
@pytest.mark.parametrize("cell", CELLS)
def test_the_raw_matrix_gets_the_masked_gradient(cell: str, widths: tuple[int, int]) -> None:
    """Exactly zero where the mask is, and the mask times the gradient of a layer that has the
    dropped matrix; the gradients of the others are that layer's, and U stays as it was."""
    layer = scattered(cell, *widths, drop=0.5)
    raw = layer.U.detach().clone()
    found = run(layer, *sequence(layer))
    torch.manual_seed(4)
    mask = mask_like(layer.U, 0.5)
    twin = scattered(cell, *widths)
    with torch.no_grad():
        twin.U.mul_(mask)
    expected = run(twin, *sequence(twin))
    expected["d U"] *= mask
    same(found, expected)
    assert 0 < int((mask == 0).sum()) < mask.numel()
    assert not found["d U"][mask == 0].any() and found["d U"][mask != 0].any()
    assert torch.equal(layer.U, raw)


@pytest.mark.parametrize("cell", CELLS)
def test_the_layout_is_asked_for_once(cell: str, emulation: Emulation) -> None:
    """For each padded width and each type, not at each call."""
    kinds = ((1, PADDED, F64), (1, WHOLE, F64), (2, (9, 16), F64), (3, WHOLE, F32))
    for asked, widths, dtype in kinds:
        layer = scattered(cell, *widths, dtype)
        for seed in range(3):
            run(layer, *sequence(layer, seed=seed))
        assert emulation.asked == asked


@pytest.mark.parametrize("widths", [(24, 40), (21, 37)])
@pytest.mark.parametrize("cell", CELLS)
def test_autocast_gives_bfloat16_and_takes_single(
    cell: str, widths: tuple[int, int], emulation: Emulation
) -> None:
    """Under autocast the buffer and the inputs are bfloat16, what comes back is float32 and near
    what it is without (further where a rounded ReLU is on instead of off)."""
    layer = scattered(cell, *widths, F32)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(0.4)
    x, state = sequence(layer, 6, 20)
    exact = run(layer, x, state, "step")
    with torch.autocast("cpu", BF16):
        found = run(layer, x, state)
    (call,) = emulation.calls
    for given in (call.x, *call.state, *call.weights.values(), call.out):
        assert given.dtype == BF16
    expected = inner(call.weights["U"], layer.cell.gates, *sizes_of("U", widths))
    assert torch.equal(expected, layer.U.detach().to(BF16))
    assert found.keys() == exact.keys()
    for name, value in found.items():
        assert value.dtype == F32, name
        far = float((value - exact[name]).norm() / exact[name].norm())
        assert 0 < far < (0.1 if cell == "irnn" else 0.03), (name, far)
    with torch.no_grad(), torch.autocast("cpu", BF16), kernels.backend("torch"):
        out, last = layer(x, state)
    assert emulation.calls[-1].x.dtype == BF16
    assert torch.equal(out, found["out"]) and all(part.dtype == F32 for part in last)


@pytest.mark.usefixtures("emulation")
def test_the_mask_is_multiplied_before_rounding() -> None:
    """In bfloat16 the masked matrix is rounded, not the mask and the matrix."""
    layer = scattered("lstm", 8, 16, F32, drop=0.3)
    plan = cudnn._Plan("lstm", 4, 8, 16, BF16, torch.device("cpu"))
    mask = mask_like(layer.U, 0.3)
    flat = plan.flat((layer.W, layer.U, *layer.cell.torch_biases(layer.b)), mask)
    assert torch.equal(plan.views(flat)[1], (layer.U * mask).detach().to(BF16))


# -------------------------------------------------------------------------------- weights that stay


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The buffers that were filled, one after the other."""
    buffers: list[Tensor] = []
    original: Any = cudnn._Plan.flat

    def flat(self: Any, *arguments: Any) -> Tensor:
        buffers.append(original(self, *arguments))
        return buffers[-1]

    monkeypatch.setattr(cudnn._Plan, "flat", flat)
    return buffers


@pytest.mark.usefixtures("emulation")
@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_within_frozen_the_buffer_is_made_once(cell: str, made: list[Tensor]) -> None:
    """However many calls, of whatever length, and whatever else is allocated meanwhile; outside of
    it at every call."""
    layer = scattered(cell, *PADDED).eval()
    x, state = sequence(layer)
    with kernels.backend("step"):
        expected, _ = layer(x, state)
    kept: list[Any] = []  # so that no address comes twice
    with kernels.backend("torch"):
        for frozen in (Frozen(F64), Frozen(F64)):
            made.clear()
            for steps in (T, 1, 2, T, T, 1):
                with frozen:
                    out, last = layer(x[:steps], state)
                kept += [out, last, *(torch.empty(n) for n in range(1, 200))]
                torch.testing.assert_close(out, expected[:steps], atol=1e-9, rtol=1e-9)
            assert len(made) == 1
        made.clear()
        for _ in range(3):
            layer(x, state)
        assert len(made) == 3


@pytest.mark.usefixtures("emulation")
@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_a_frozen_buffer_is_for_its_weights_alone(cell: str, made: list[Tensor]) -> None:
    """Layers of the same sizes, other types and other padded widths have buffers of their own, and
    a new `Frozen` sees what the weights are now."""
    layers = [scattered(cell, *PADDED, seed=seed).eval() for seed in (1, 2)]
    x, state = sequence(layers[0])

    def outputs(backend: str) -> list[Tensor]:
        with kernels.backend(backend):
            return [layer(x, state)[0] for layer in layers]

    expected = outputs("step")
    assert not torch.allclose(*expected)
    with Frozen(F64):
        for _ in range(3):
            torch.testing.assert_close(outputs("torch"), expected)
        assert len({flat.data_ptr() for flat in made}) >= 2
    layers[0].W.mul_(0.5)
    layers[1].b.add_(0.5)
    changed = outputs("step")
    assert not torch.allclose(changed[0], expected[0])
    assert not torch.allclose(changed[1], expected[1])
    torch.testing.assert_close(outputs("torch"), changed)
    with Frozen(F64):
        torch.testing.assert_close(outputs("torch"), changed)


@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_frozen_sets_the_type(cell: str, emulation: Emulation) -> None:
    """Weights of float32, frozen in bfloat16: the buffer too, what comes back is float32. Autocast
    within it has a buffer of its own."""
    layer = scattered(cell, *PADDED, F32).eval()
    x, state = sequence(layer)
    with kernels.backend("torch"):
        exact, _ = layer(x, state)
        with Frozen(BF16):
            low, _ = layer(x, state)
        with Frozen(F32):
            again, _ = layer(x, state)
            with torch.autocast("cpu", BF16):
                under, _ = layer(x, state)
            last, _ = layer(x, state)
    types = [call.weights["W"].dtype for call in emulation.calls]
    assert types == [F32, BF16, F32, BF16, F32]
    assert low.dtype == F32 and not torch.equal(low, exact)
    torch.testing.assert_close(low, exact, atol=0.1, rtol=0.1)
    assert torch.equal(under, low)
    assert torch.equal(again, exact) and torch.equal(last, exact)


@pytest.mark.usefixtures("emulation")
@torch.no_grad()
def test_masks_are_drawn_anew_within_frozen() -> None:
    """In training mode no call sees the mask of the one before."""
    layer = scattered("lstm", *WHOLE, drop=0.5)
    x, state = sequence(layer)
    for frozen in (Frozen(F64), Frozen(F64)):
        results = []
        with frozen, kernels.backend("torch"):
            for seed in (1, 2, 1):
                torch.manual_seed(seed)
                results.append(layer(x, state)[0])
            layer.eval()
            whole, _ = layer(x, state)
            layer.train()
        assert torch.equal(results[0], results[2])
        assert not torch.allclose(results[0], results[1])
        assert not any(torch.allclose(whole, result) for result in results)


# ---------------------------------------------------------------------------- torch's own functions


def unplaced(monkeypatch: pytest.MonkeyPatch, cell: str) -> tuple[RecurrentLayer, Any]:
    """A layer, and the plan of a call whose layout nobody was asked for."""
    layer = scattered(cell, *PADDED)
    rows = 16 * layer.cell.gates
    offsets = (0, 8 * rows, 24 * rows, 25 * rows)
    monkeypatch.setattr(cudnn, "_layout", lambda *key: (26 * rows, offsets))
    name, gates = str(layer.cell.torch_layer), layer.cell.gates
    return layer, cudnn._Plan(name, gates, *PADDED, F64, torch.device("cpu"))


@pytest.mark.parametrize("learning", [True, False])
@pytest.mark.parametrize("cell", CELLS)
def test_forward_fits_the_function_of_torch(
    cell: str, learning: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The arguments are taken; what is missing is cuDNN on a CPU."""
    layer, plan = unplaced(monkeypatch, cell)
    x, state = sequence(layer)
    flat = plan.flat((layer.W, layer.U, *layer.cell.torch_biases(layer.b)), None)
    with torch.no_grad(), pytest.raises(NotImplementedError, match=r"aten::_cudnn_rnn'"):
        plan.forward(x, state, flat, learning)


@pytest.mark.parametrize("wanted", [[True] * 4, [False, True, False, False]])
@pytest.mark.parametrize("cell", CELLS)
def test_backward_fits_the_function_of_torch(
    cell: str, wanted: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for the gradients."""
    layer, plan = unplaced(monkeypatch, cell)
    x, state = sequence(layer)
    flat = plan.flat((layer.W, layer.U, *layer.cell.torch_biases(layer.b)), None)
    dout, dlast = torch.randn(T, B, PADDED[1], dtype=F64), tuple(map(torch.randn_like, state))
    first = [plan.widen(part, 16)[None] for part in state]
    c = first[1] if len(first) > 1 else torch.empty(0)
    kept = (plan.widen(x, 8), first[0], c, plan.widen(dout, 16), torch.empty(0))
    with torch.no_grad(), pytest.raises(NotImplementedError, match="aten::_cudnn_rnn_backward'"):
        plan.backward(kept, flat, dout, dlast, wanted)


@pytest.mark.parametrize("cell", CELLS)
def test_the_layout_fits_the_function_of_torch(cell: str) -> None:
    """The same for the question where the weights are."""
    made = registry.load("cell", cell)
    mode = cudnn._MODES[made.torch_layer]
    with pytest.raises(NotImplementedError, match="aten::_cudnn_rnn_flatten_weight'"):
        cudnn._layout(mode, made.gates, 8, 16, F32, torch.device("cpu"))


def test_torch_has_the_names_and_modes() -> None:
    """Every cell's layer has a number of cuDNN's: torch's order of its own four."""
    assert {registry.load("cell", cell).torch_layer for cell in CELLS} == set(cudnn._MODES)
    assert {number: name for name, number in cudnn._MODES.items()} == {
        number: name for number, (name, _) in LAYERS.items()
    }
    for cell in CELLS:
        made = registry.load("cell", cell)
        assert LAYERS[cudnn._MODES[made.torch_layer]] == (made.torch_layer, made.gates)


def test_there_is_no_cudnn_for_the_cpu() -> None:
    """Nor for a device that holds nothing."""
    for dtype in (F32, F64, BF16, torch.float16):
        assert not cudnn.available(torch.zeros(2, 3, 4, dtype=dtype))
    assert not cudnn.available(torch.zeros(2, 3, 4, device="meta"))


# ---------------------------------------------------------------------------------- which is chosen


@pytest.mark.parametrize("cell", registry.names("cell"))
def test_what_runs_is_said(cell: str, emulation: Emulation) -> None:
    """cuDNN by its name where it runs, and it runs where it is named."""
    layer = scattered(cell, *PADDED)
    x, state = sequence(layer)
    for backend in ("torch", "step"):
        emulation.calls.clear()
        with kernels.backend(backend) as used:
            layer(x, state)
        ((key, said),) = used.items()
        assert key == f"{type(layer.cell).__name__} 5→11"
        found = backend == "torch" and cell in CELLS
        assert (said == "cuDNN") == found
        assert len(emulation.calls) == found


def test_without_cudnn_it_is_not_named() -> None:
    """On a CPU the same choice is torch's layer, and is called so."""
    layer = scattered("lstm", *PADDED)
    with kernels.backend("torch") as used:
        layer(*sequence(layer))
    assert list(used.values()) == [kernels.NAMES["torch"]]
