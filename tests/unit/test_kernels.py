"""The fast twins of the cells, which twin is chosen, and the products they are made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nextword import registry
from nextword.nn import kernels
from nextword.nn.dropout import mask_like
from nextword.nn.kernels import gates
from nextword.nn.kernels import product as products
from nextword.nn.kernels.matvec import matvec
from nextword.nn.kernels.product import Frozen, low_precision, product, transposed
from nextword.nn.recurrent import RecurrentLayer
from nextword.threads import helpers
from tests.support import scattered, sequence, weighted

CELLS = registry.names("cell")
LOOPED = [name for name in CELLS if registry.load("cell", name).loops]
GATED = [name for name in LOOPED if name != "irnn"]
F32, F64, BF16 = torch.float32, torch.float64, torch.bfloat16

# The steps, rows, input's width and hidden width.
SIZES = [
    (T, B, *widths)
    for T, B, widths in (
        (1, 1, (7, 5)),
        (1, 3, (1, 1)),
        (2, 1, (3, 17)),
        (2, 3, (7, 5)),
        (9, 1, (1, 1)),
        (9, 3, (3, 17)),
        (9, 3, (33, 1)),
    )
]


@pytest.fixture(params=["onednn", "plain"])
def onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With oneDNN's products, and as where torch lacks them."""
    if request.param == "plain":
        monkeypatch.setattr(products, "_ONEDNN", None)
    elif products._ONEDNN is None:
        pytest.skip("this torch has no oneDNN")


def run(
    layer: RecurrentLayer,
    x: Tensor,
    state: tuple[Tensor, ...],
    backend: str,
    through: str = "all",
) -> dict[str, Tensor]:
    """Outputs, last state and the gradients of everything, by name."""
    with kernels.backend(backend):
        out, last = layer(x, state)
    wanted = dict(layer.named_parameters())
    wanted |= {f"state.{i}": part for i, part in enumerate(state) if part.requires_grad}
    if x.requires_grad:
        wanted["x"] = x
    loss = weighted((out, *last), through)
    found = torch.autograd.grad(loss, list(wanted.values()), materialize_grads=True)
    values = {"out": out, **{f"last.{i}": part for i, part in enumerate(last)}}
    values |= {f"d {name}": g for name, g in zip(wanted, found, strict=True)}
    return {name: value.detach() for name, value in values.items()}


def near(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Each tensor within `tolerance` of the largest number of the expected one, or of one."""
    assert found.keys() == expected.keys()
    for name, value in found.items():
        exact = expected[name]
        assert value.shape == exact.shape, name
        far = (value.double() - exact.double()).abs().max()
        assert far <= tolerance * max(1.0, float(exact.abs().max())), (name, float(far))


# ---------------------------------------------------------------------------- equal to the readable


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("cell", LOOPED)
def test_equals_step_by_step(cell: str, sizes: tuple[int, ...]) -> None:
    """Outputs, last state and the gradient of everything, whether it comes through the outputs,
    the last state or a part of it: as the readable code has them."""
    T, B, *widths = sizes
    layer = scattered(cell, *widths)
    x, state = sequence(layer, T, B)
    for through in ("all", "outputs", "state", "h", "end"):
        fast, slow = (run(layer, x, state, how, through) for how in ("fast", "step"))
        near(fast, slow, 1e-10)
        assert widths[1] == 1 or fast["d U"].any()


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("sizes", [*SIZES, (6, 20, 40, 48), (6, 33, 5, 131)])
@pytest.mark.parametrize("cell", LOOPED)
def test_single_precision_is_near_double(cell: str, sizes: tuple[int, ...]) -> None:
    """Outputs and gradients in float32 are those of float64 but for rounding."""
    T, B, *widths = sizes
    exact = scattered(cell, *widths)
    layer = scattered(cell, *widths, F32)
    with torch.no_grad():  # long sums stay of the size of one
        for one in (layer, exact):
            one.U.mul_(min(1.0, 2 * widths[1] ** -0.5))
    found = run(layer, *sequence(layer, T, B), "fast")
    assert all(value.dtype == F32 for value in found.values())
    near(found, run(exact, *sequence(exact, T, B), "step"), 1e-5)


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("cell", [c for c in LOOPED if registry.load("cell", c).torch_layer])
def test_equals_torch_module_at_a_larger_size(cell: str) -> None:
    """nn.LSTM, nn.GRU and nn.RNN with the same weights, in float32: outputs, last state,
    gradients."""
    T, B, inputs, hidden = 20, 8, 96, 130
    torch.manual_seed(0)
    layer = RecurrentLayer(cell, inputs, hidden)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5)
    makers: dict[str, Callable[[], Any]] = {
        "rnn_tanh": lambda: nn.RNN(inputs, hidden),
        "rnn_relu": lambda: nn.RNN(inputs, hidden, nonlinearity="relu"),
        "lstm": lambda: nn.LSTM(inputs, hidden),
        "gru": lambda: nn.GRU(inputs, hidden),
    }
    module = makers[str(layer.cell.torch_layer)]()
    with torch.no_grad():
        module.weight_ih_l0.copy_(layer.W)
        module.weight_hh_l0.copy_(layer.U)
        module.bias_ih_l0.copy_(layer.b)
        module.bias_hh_l0.zero_()
        if layer.cell.torch_layer == "gru":
            module.bias_hh_l0[2 * hidden :] = layer.cell.b_n
    x, state = sequence(layer, T, B)
    found = run(layer, x, state, "fast")
    first = tuple(part[None] for part in state)
    out, last = module(x, first if len(first) > 1 else first[0])
    last = tuple(part[0] for part in last) if len(first) > 1 else (last[0],)
    weighted((out, *last)).backward()
    expected = {"out": out.detach(), **{f"last.{i}": part.detach() for i, part in enumerate(last)}}
    expected |= {"d W": module.weight_ih_l0.grad, "d U": module.weight_hh_l0.grad}
    expected |= {"d b": module.bias_ih_l0.grad, "d x": x.grad}
    expected |= {f"d state.{i}": part.grad for i, part in enumerate(state)}
    if layer.cell.torch_layer == "gru":
        expected["d cell.b_n"] = module.bias_hh_l0.grad[2 * hidden :]
    near(found, expected, 1e-5)


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("cell", LOOPED)
def test_no_gradient_asked_for_changes_no_value(cell: str, dtype: torch.dtype) -> None:
    """Under no_grad the same numbers to the last bit, with no graph behind them."""
    layer = scattered(cell, 7, 5, dtype)
    x, state = sequence(layer, 4, 3)
    with kernels.backend("fast"):
        out, last = layer(x, state)
        with torch.no_grad():
            again, end = layer(x, state)
    assert out.requires_grad and not again.requires_grad
    torch.testing.assert_close((again, *end), (out, *last), atol=0, rtol=0)
    assert all(part.dtype == dtype for part in (again, *end))


@pytest.mark.parametrize("cell", LOOPED)
def test_backward_twice_gives_the_same(cell: str) -> None:
    """A graph that is kept is left as it was: the second pass finds the same gradients."""
    layer = scattered(cell, 7, 5, F32)
    x, state = sequence(layer, 4, 3)
    with kernels.backend("fast"):
        out, last = layer(x, state)
    loss = weighted((out, *last))
    wanted = [x, *state, *layer.parameters()]
    first = torch.autograd.grad(loss, wanted, retain_graph=True)
    kept = [g.clone() for g in first]
    second = torch.autograd.grad(loss, wanted)
    torch.testing.assert_close(list(second), kept, atol=0, rtol=0)
    torch.testing.assert_close(list(first), kept, atol=0, rtol=0)


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("cell", LOOPED)
def test_any_layout_of_memory(cell: str, dtype: torch.dtype) -> None:
    """Inputs, states and gradients that are views with odd strides, or one row seen many times:
    as their contiguous copies; none is written to."""
    T, B, inputs, hidden = 4, 3, 7, 5
    layer = scattered(cell, inputs, hidden, dtype)
    torch.manual_seed(0)
    turned = torch.randn(inputs, B, T + 2, dtype=dtype).permute(2, 1, 0)[1:-1]
    spread = torch.randn(T, 1, inputs, dtype=dtype).expand(T, B, inputs)
    rows = [torch.randn(hidden, dtype=dtype) for _ in layer.start(B)]
    columns = [torch.randn(hidden, B, dtype=dtype).T for _ in rows]
    gradients = [
        torch.ones((), dtype=dtype).expand(T, B, hidden),
        torch.randn(hidden, T, B, dtype=dtype).permute(1, 2, 0),
    ]
    for x, state in ((turned, [row.expand(B, hidden) for row in rows]), (spread, columns)):
        for g in gradients:
            results = []
            for copy in (False, True):
                given = [x, *state, g, *(g[0] for _ in state)]
                assert not copy or not all(part.is_contiguous() for part in given)
                if copy:
                    given = [part.contiguous() for part in given]
                kept = [part.clone() for part in given]
                leaves = [part.detach().requires_grad_() for part in given[: 1 + len(state)]]
                with kernels.backend("fast"):
                    out, last = layer(leaves[0], tuple(leaves[1:]))
                found = torch.autograd.grad(
                    (out, *last), [*leaves, *layer.parameters()], given[1 + len(state) :]
                )
                results.append((out, *last, *found))
                assert all(map(torch.equal, given, kept))
            torch.testing.assert_close(*results)


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("cell", LOOPED)
def test_a_fixed_input_leaves_the_other_gradients(cell: str, dtype: torch.dtype) -> None:
    """Where x or the first state asks for no gradient, the weights' gradients are the same."""
    layer = scattered(cell, 7, 5, dtype)
    x, state = sequence(layer, 4, 3)
    expected = run(layer, x, state, "fast")
    fixed = tuple(part.detach() for part in state)
    for found in (
        run(layer, x.detach(), state, "fast"),
        run(layer, x, fixed, "fast"),
        run(layer, x.detach(), fixed, "fast"),
    ):
        for name, value in found.items():
            torch.testing.assert_close(value, expected[name], atol=0, rtol=0)


@pytest.mark.parametrize("cell", LOOPED)
def test_weight_drop_reaches_the_loops(cell: str) -> None:
    """A mask on U: as the readable code has it, and exact zeros in the gradient where it drops."""
    layer = scattered(cell, 7, 6)
    layer.weight_drop = 0.5
    x, state = sequence(layer, 4, 3)
    results = []
    for backend in ("fast", "step"):
        torch.manual_seed(4)
        results.append(run(layer, x, state, backend))
    near(*results, 1e-10)
    torch.manual_seed(4)
    dropped = mask_like(layer.U, 0.5) == 0
    assert dropped.any() and not results[0]["d U"][dropped].any()
    layer.weight_drop = 0.0
    assert not torch.allclose(run(layer, x, state, "fast")["out"], results[0]["out"])


@pytest.mark.parametrize("cell", LOOPED)
def test_first_state_is_not_the_outputs_memory(cell: str) -> None:
    """The state handed on shares no memory with the outputs or with the state given."""
    layer = scattered(cell, 7, 5)
    with torch.no_grad(), kernels.backend("fast"):
        x, state = sequence(layer, 4, 3)
        out, last = layer(x, state)
        kept = [part.clone() for part in last]
        out.zero_()
        for part in state:
            part.zero_()
    torch.testing.assert_close(list(last), kept, atol=0, rtol=0)


# ------------------------------------------------------------------------------- special numbers


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("cell", LOOPED)
def test_nan_comes_out(cell: str, dtype: torch.dtype) -> None:
    """A NaN in one row's input or state makes every later output of that row NaN, and nothing
    else."""
    layer = scattered(cell, 7, 21, dtype)
    with torch.no_grad(), kernels.backend("fast"):
        x, state = sequence(layer, 4, 3)
        poisoned = x.clone()
        poisoned[1, 2, 3] = torch.nan
        out, last = layer(poisoned, state)
        bad = out.isnan()
        assert bad[1:, 2].all()
        assert not bad[:, :2].any() and not bad[0].any()
        assert all(part[2].isnan().all() and part[:2].isfinite().all() for part in last)
        h = state[0].clone()
        h[1] = torch.nan
        out, _ = layer(x, (h, *state[1:]))
        assert out[:, 1].isnan().all() and out[:, [0, 2]].isfinite().all()


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("size", [1e2, 1e4])
@pytest.mark.parametrize("cell", LOOPED)
def test_saturated_units_have_finite_gradients(cell: str, size: float, dtype: torch.dtype) -> None:
    """Inputs of ±size push every gate to its end: everything stays finite, and near the readable
    code's but for what rounding leaves of a slope of zero, times the input."""
    layer = scattered(cell, 7, 19, dtype)
    torch.manual_seed(0)
    x = (size * torch.randn(3, 2, 7, dtype=dtype).sign()).requires_grad_()
    state = tuple(torch.randn(2, 19, dtype=dtype).requires_grad_() for _ in layer.start(2))
    fast, slow = (run(layer, x, state, how) for how in ("fast", "step"))
    assert all(value.isfinite().all() for value in fast.values())
    near(fast, slow, size * (1e-5 if dtype == F32 else 1e-10))


def through_tanh(x: Tensor) -> Tensor:
    """tanh(x) of x (N,), by a layer whose matrices leave its input alone."""
    width = 67  # no whole number of vector instructions
    layer = RecurrentLayer("elman", width, width).to(x.dtype)
    with torch.no_grad(), kernels.backend("fast"):
        layer.W.copy_(torch.eye(width))
        layer.U.zero_()
        layer.b.zero_()
        room = x.new_zeros(-(-len(x) // width) * width)
        room[: len(x)] = x
        return layer(room.view(1, -1, width), layer.start(len(room) // width))[0].flatten()[
            : len(x)
        ]


def test_tanh_is_numpys() -> None:
    """Within 4e-7 of it in float32, never beyond ±1, odd, exact at zero, also far out; in float64
    the same."""
    grid = torch.linspace(-12, 12, 400_001)
    tiny = torch.logspace(-37, -1, 2000)
    x = torch.cat([grid, tiny, -tiny])
    y = through_tanh(x)
    exact = np.tanh(x.double().numpy())
    far = np.abs(y.double().numpy() - exact) / np.maximum(np.abs(exact), 1e-300)
    assert far[exact != 0].max() < 4e-7
    assert y.abs().max() <= 1
    assert torch.equal(through_tanh(-x), -y)
    far_out = torch.tensor([1e2, 1e30, 3e38])
    assert all(1 - 4e-7 < y <= 1 for y in through_tanh(far_out).tolist())
    assert through_tanh(torch.zeros(3)).tolist() == [0, 0, 0]
    exact64 = through_tanh(grid.double()).numpy()
    np.testing.assert_allclose(exact64, np.tanh(grid.double().numpy()), atol=0, rtol=1e-15)


def test_tanh_reaches_its_ends() -> None:
    """A unit far out is ±1 to the last bit, so that its slope is zero."""
    ends = torch.tensor([9.01, -9.01, 9.5, -9.5, 100.0, -100.0, 1e30, -1e30])
    assert through_tanh(ends).tolist() == [1, -1] * 4


# --------------------------------------------------------------------------------- low precision


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("backend", ["fast", "torch", "step"])
@pytest.mark.parametrize("cell", LOOPED)
def test_autocast_is_near_single_precision(cell: str, backend: str) -> None:
    """Under autocast to bfloat16 outputs, state and gradients are float32 and a few percent from
    those without (more where a rounded ReLU is on instead of off); with oneDNN not the same."""
    torch.manual_seed(0)
    layer = RecurrentLayer(cell, 40, 48)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -0.15, 0.15)
    x, state = sequence(layer, 6, 20)
    exact = run(layer, x, state, "fast")
    with torch.autocast("cpu", BF16):
        out, last = layer_under(backend, layer, x, state)
    loss = weighted((out, *last))
    names = ["d x", *(f"d {name}" for name, _ in layer.named_parameters())]
    found = torch.autograd.grad(loss, [x, *layer.parameters()])
    values = {"out": out, **{f"last.{i}": part for i, part in enumerate(last)}}
    values |= dict(zip(names, found, strict=True))
    for name, value in values.items():
        assert value.dtype == F32, name
        far = float(((value - exact[name]).norm() / exact[name].norm()).detach())
        assert far < (0.1 if cell == "irnn" else 0.04), (name, far)
    if products._ONEDNN is not None:
        assert not torch.equal(out, exact["out"])


def layer_under(
    backend: str, layer: RecurrentLayer, x: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    with kernels.backend(backend):
        out, last = layer(x, state)
    return out, last


@pytest.mark.parametrize("dtype", [BF16, torch.float16])
@pytest.mark.parametrize("backend", ["auto", "fast"])
def test_types_the_loops_do_not_have_run_otherwise(backend: str, dtype: torch.dtype) -> None:
    """A layer turned to half precision still runs, in that precision."""
    for cell in LOOPED:
        layer = scattered(cell, 7, 5, dtype)
        x, state = sequence(layer, 4, 3)
        out, last = layer_under(backend, layer, x, state)
        exact = scattered(cell, 7, 5)
        slow, _ = layer_under("step", exact, *sequence(exact, 4, 3))
        assert out.dtype == dtype and all(part.dtype == dtype for part in last)
        torch.testing.assert_close(out.double(), slow, atol=0.1, rtol=0.1)


# --------------------------------------------------------------------------------- which is chosen


def chosen(
    cell: str, steps: int, rows: int, inputs: int, hidden: int, learning: bool = True
) -> str:
    x = torch.zeros(()).expand(steps, rows, inputs)
    with torch.set_grad_enabled(learning):
        return kernels.choose(registry.load("cell", cell)(hidden), x)


def test_one_step_without_gradient_runs_where_it_costs_least() -> None:
    """Generation: our loops where a step has two million multiply-adds, else the readable code."""
    for cell, blocks in (("lstm", 4), ("peephole", 4), ("gru", 3), ("elman", 1)):
        hidden = round((1e6 / blocks) ** 0.5) + 1
        assert chosen(cell, 1, 1, hidden, hidden, learning=False) == "fast"
        assert chosen(cell, 1, 1, hidden - 3, hidden - 3, learning=False) == "step"
        assert chosen(cell, 1, 4, hidden // 2 + 1, hidden // 2 + 1, learning=False) == "fast"


def test_lstm_leaves_torch_only_where_its_layout_costs() -> None:
    """torch's layer for small matrices and long batches; ours for weights that outgrow a cache, in
    short batches or without a gradient, and in low precision."""
    assert chosen("lstm", 35, 20, 256, 256) == "torch"
    assert chosen("lstm", 35, 20, 256, 256, learning=False) == "torch"
    assert chosen("lstm", 35, 20, 750, 750) == "fast"
    assert chosen("lstm", 35, 64, 750, 750) == "torch"
    assert chosen("lstm", 35, 64, 750, 750, learning=False) == "fast"
    with torch.autocast("cpu", BF16):
        assert chosen("lstm", 35, 64, 750, 750) == "fast"
        assert chosen("lstm", 35, 2, 100, 100) == "torch"
    with Frozen(BF16):
        assert chosen("lstm", 35, 64, 750, 750, learning=False) == "fast"


def test_other_cells_take_our_loops_where_they_are_busy() -> None:
    """Cells that torch has too: ours from two million multiply-adds a step on; cells that it lacks:
    always ours."""
    for cell in ("gru", "elman", "irnn"):
        assert chosen(cell, 35, 20, 256, 256) == "fast"
        assert chosen(cell, 35, 1, 64, 64) == "torch"
    for cell in ("peephole", "gru-before"):
        assert chosen(cell, 35, 20, 256, 256) == "fast"
        assert chosen(cell, 35, 1, 8, 8) == "fast"
    for learning in (True, False):
        assert chosen("lstm-written-out", 35, 20, 1000, 1000, learning) == "step"


def test_our_loops_are_for_the_cpu() -> None:
    """On another device torch's layer where there is one, else the readable code."""
    for name in CELLS:
        cell = registry.load("cell", name)(300)
        x = torch.zeros(3, 20, 300, device="meta")
        expected = "torch" if cell.torch_layer else "step"
        for backend in ("auto", "fast", "torch"):
            with kernels.backend(backend):
                assert kernels.choose(cell, x) == expected


@pytest.mark.parametrize("cell", CELLS)
def test_a_backend_runs_where_there_is_one(cell: str) -> None:
    """Each by its name; a cell that lacks it takes the next, and that is what is reported."""
    made = registry.load("cell", cell)(6)
    x = torch.zeros(5, 3, 4)
    found = {}
    for backend in ("fast", "torch", "step"):
        with kernels.backend(backend) as used:
            found[backend] = kernels.choose(made, x)
        assert list(used.values()) == [kernels.NAMES[found[backend]]]
    rest = "torch" if made.torch_layer else "step"
    assert found == {"fast": "fast" if made.loops else rest, "torch": rest, "step": "step"}


def test_backend_says_what_ran() -> None:
    """Within the block every layer is reported, in words; blocks do not share their reports."""
    lstm, peephole = RecurrentLayer("lstm", 4, 6), RecurrentLayer("peephole", 6, 5)

    def both() -> None:
        for layer in (lstm, peephole):
            layer(torch.zeros(3, 2, layer.W.shape[1]), layer.start(2))

    with kernels.backend("fast") as used:
        assert used == {}
        both()
        with kernels.backend("step") as inner:
            both()
        assert inner == {"LSTM 4→6": "step by step", "PeepholeLSTM 6→5": "step by step"}
    both()
    assert used == {"LSTM 4→6": "our loops", "PeepholeLSTM 6→5": "our loops"}
    with kernels.backend("auto") as used:
        both()
    assert used == {"LSTM 4→6": "torch's layer", "PeepholeLSTM 6→5": "our loops"}


# --------------------------------------------------------------------------------------- products


SHAPES = [(1, 1, 1), (1, 7, 5), (2, 1, 3), (3, 17, 1), (20, 33, 130), (65, 64, 31), (1, 300, 257)]


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("shape", SHAPES)
def test_product_is_the_product(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    """x Wᵀ + b for any widths, with and without b, W or x a turned or cut view."""
    M, K, N = shape
    torch.manual_seed(0)
    x, W, b = (torch.randn(*size, dtype=dtype) for size in ((M, K), (N, K), (N,)))
    tolerance = {"atol": 1e-4, "rtol": 1e-5} if dtype == F32 else {"atol": 1e-12, "rtol": 1e-12}
    views = [W, W.T.contiguous().T, torch.cat([W, W], 1)[:, :K]]
    for V in views:
        assert torch.equal(V, W)
        for y in (x, x.T.contiguous().T, torch.cat([x, x], 1)[:, :K]):
            torch.testing.assert_close(product(y, V), x @ W.T, **tolerance)
            torch.testing.assert_close(product(y, V, b), x @ W.T + b, **tolerance)


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("shape", SHAPES)
def test_rounded_product_is_near(shape: tuple[int, int, int]) -> None:
    """Factors rounded to bfloat16: float32 comes out, a few percent off at most."""
    M, K, N = shape
    torch.manual_seed(0)
    x, W, b = torch.randn(M, K), torch.randn(N, K), torch.randn(N)
    for bias in (None, b):
        exact = x @ W.T + (0 if bias is None else bias)
        found = product(x, W, bias, BF16)
        assert found.dtype == F32
        assert float((found - exact).norm() / exact.norm()) < 0.02


BLOCKS = [(1, 1), (15, 16), (16, 15), (17, 17), (300, 333), (64, 4097), (4097, 64), (65537, 1)]
BLOCKS += [(1, 65537), (5000, 15), (2000, 33), (63, 2047)]


@pytest.mark.parametrize("dtype", [F32, F64, BF16])
@pytest.mark.parametrize("shape", BLOCKS)
def test_transposed(shape: tuple[int, int], dtype: torch.dtype) -> None:
    """Rows become columns, each without gaps, at sizes around the blocks' edges."""
    torch.manual_seed(0)
    x = torch.randn(shape).to(dtype)
    wide = torch.cat([x, x], 1)[:, : shape[1]]
    for view in (x, wide, x.T.contiguous().T):
        turned = transposed(view)
        same = torch.equal(turned, x.T)
        assert same
        assert turned.is_contiguous()


# ----------------------------------------------------------------------------------------- frozen


@pytest.fixture
def _no_frozen_left() -> Iterator[None]:
    yield
    assert products._frozen.get() is None


@pytest.mark.usefixtures("onednn", "_no_frozen_left")
@pytest.mark.parametrize("dtype", [F32, F64])
def test_frozen_gives_the_same_again_and_again(dtype: torch.dtype) -> None:
    """One object, entered many times, products of several numbers of rows: as without it."""
    torch.manual_seed(0)
    weights = [torch.randn(130, 33, dtype=dtype), torch.randn(33, 130, dtype=dtype).T]
    weights.append(weights[0][:65])  # begins where the first does
    frozen = Frozen()
    for rows in (1, 2, 7, 1, 40, 2):
        x = torch.randn(rows, 33, dtype=dtype)
        for W in weights:
            with frozen:
                found = product(x, W)
                with frozen:
                    again = product(x, W)
            torch.testing.assert_close(found, x @ W.T, atol=1e-4, rtol=1e-5)
            assert torch.equal(again, found)


@pytest.mark.skipif(products._ONEDNN is None, reason="this torch has no oneDNN")
def test_frozen_lays_a_matrix_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many products with it, and however many layers there are."""
    calls = []
    lay_out = products._lay_out
    monkeypatch.setattr(products, "_lay_out", lambda W, n: (calls.append(W), lay_out(W, n))[1])
    layers = [RecurrentLayer("lstm", 40, 40) for _ in range(2)]
    frozen = Frozen()
    with torch.no_grad(), kernels.backend("fast"):
        for _ in range(5):
            with frozen:
                for layer in layers:
                    layer(torch.randn(2, 3, 40), layer.start(3))
    assert len(calls) == 4  # W and U of each


@pytest.mark.usefixtures("onednn", "_no_frozen_left")
def test_frozen_ends_with_its_block() -> None:
    """Outside the block, also after an error in it, products see the weights as they are."""
    torch.manual_seed(0)
    x, W = torch.randn(5, 33), torch.randn(40, 33)
    frozen = Frozen(BF16)

    def fail() -> None:
        with frozen:
            product(x, W, low=low_precision(x))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    W.mul_(3)
    torch.testing.assert_close(product(x, W, low=low_precision(x)), x @ W.T, atol=1e-4, rtol=1e-5)
    with Frozen():
        found = product(x, W, low=low_precision(x))
    torch.testing.assert_close(found, x @ W.T, atol=1e-4, rtol=1e-5)


@pytest.mark.usefixtures("_no_frozen_left")
def test_frozen_sets_the_precision_of_products() -> None:
    """bfloat16 for float32 alone, within the block alone; an inner block has its own."""
    x, y = torch.zeros(1), torch.zeros(1, dtype=F64)
    assert (low_precision(x), low_precision(y)) == (F32, F64)
    with Frozen(BF16):
        assert (low_precision(x), low_precision(y)) == (BF16, F64)
        with Frozen():
            assert low_precision(x) == F32
        assert low_precision(x) == BF16
    assert low_precision(x) == F32


@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("cell", LOOPED)
def test_frozen_layer_in_low_precision_is_near(cell: str, rows: int) -> None:
    """A layer read in bfloat16, one step after another: float32 out, a few percent off."""
    torch.manual_seed(0)
    layer = RecurrentLayer(cell, 40, 48)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -0.15, 0.15)
    x, first = sequence(layer, 6, rows)
    kept = {name: value.detach().clone() for name, value in layer.named_parameters()}
    frozen = Frozen(BF16)
    with torch.no_grad(), kernels.backend("fast"):
        exact, _ = layer(x, first)
        state, outputs = first, []
        for step in x:
            with frozen:
                out, state = layer(step[None], state)
            outputs.append(out)
        found = torch.cat(outputs)
        again, _ = layer(x, first)
    assert found.dtype == F32
    assert float((found - exact).norm() / exact.norm()) < 0.04
    torch.testing.assert_close(again, exact, atol=0, rtol=0)
    for name, value in layer.named_parameters():
        assert torch.equal(value, kept[name])


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (300, 1000), (1001, 777)])
@pytest.mark.parametrize("dtype", [torch.float32, BF16])
def test_matvec_is_the_product(shape: tuple[int, int], dtype: torch.dtype) -> None:
    """A matrix in either precision times a vector, whatever the number of threads' shares."""
    torch.manual_seed(1)
    W, x = torch.randn(shape).to(dtype), torch.randn(shape[1])
    expected = W.double() @ x.double()
    torch.testing.assert_close(matvec(W, x).double(), expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "peephole", "gru", "gru-before", "elman", "irnn"])
@pytest.mark.parametrize("rows", [1, 3])
def test_frozen_steps_are_the_layer_s(cell: str, rows: int) -> None:
    """Token by token with weights laid out once: the outputs and states of the readable code."""
    torch.manual_seed(2)
    layer = RecurrentLayer(cell, 20, 24)
    x, state = torch.randn(4, rows, 20), layer.start(rows)
    for p in layer.parameters():
        torch.nn.init.normal_(p, std=0.3)
    frozen = Frozen()
    with torch.no_grad():
        with kernels.backend("step"):
            expected, last = layer(x, state)
        outputs = []
        for x_t in x:
            with kernels.backend("fast"), frozen:
                out, state = layer(x_t[None], state)
            outputs.append(out)
    torch.testing.assert_close(torch.cat(outputs), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(state, last, atol=1e-5, rtol=1e-4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_threads_come_again_after_a_fork() -> None:
    """A child process has none of its parent's threads and makes its own."""
    x = np.zeros((300, 300), np.float32)

    def work() -> None:
        helpers().submit(gates.transpose, x, np.empty_like(x), 0, 300).result(timeout=20)

    work()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
