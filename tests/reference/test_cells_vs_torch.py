"""Cells against torch's own layers with the same weights, and against slow loops in numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nextword import registry
from nextword.nn import kernels
from nextword.nn.recurrent import RecurrentLayer
from tests.support import scattered

CELLS = registry.names("cell")
FUSED = [name for name in CELLS if registry.load("cell", name).torch_layer]

T, B, I, H = 7, 3, 4, 5
EXACT = {"atol": 1e-10, "rtol": 1e-10}


def layer_of(cell: str) -> RecurrentLayer:
    return scattered(cell, I, H)


def leaves(layer: RecurrentLayer) -> tuple[Tensor, tuple[Tensor, ...]]:
    """An input and a first state that ask for gradients."""
    torch.manual_seed(2)
    x = torch.randn(T, B, I, dtype=torch.float64, requires_grad=True)
    return x, tuple(torch.randn_like(part).requires_grad_() for part in layer.start(B))


def loss_of(out: Tensor, last: tuple[Tensor, ...]) -> Tensor:
    """A number that depends on every output and on every part of the last state."""
    torch.manual_seed(3)
    return sum((part.tanh() * torch.randn_like(part)).sum() for part in (out, *last))


def run(layer: RecurrentLayer, backend: str) -> tuple[list[Tensor], dict[str, Tensor]]:
    """[outputs, last state …], and the gradients of `loss_of` by name."""
    x, state = leaves(layer)
    with kernels.backend(backend):
        out, last = layer(x, state)
    wanted = {"x": x, **dict(layer.named_parameters())}
    wanted |= {f"state.{index}": part for index, part in enumerate(state)}
    gradients = torch.autograd.grad(loss_of(out, last), list(wanted.values()))
    return [out, *last], dict(zip(wanted, gradients, strict=True))


def torch_layer(layer: RecurrentLayer) -> nn.RNNBase:
    """torch's module with the same weights: W and b as the input's, U (and b_n) as the state's."""
    modules = {
        "rnn_tanh": lambda: nn.RNN(I, H, nonlinearity="tanh"),
        "rnn_relu": lambda: nn.RNN(I, H, nonlinearity="relu"),
        "lstm": lambda: nn.LSTM(I, H),
        "gru": lambda: nn.GRU(I, H),
    }
    module = modules[str(layer.cell.torch_layer)]().double()
    with torch.no_grad():
        module.weight_ih_l0.copy_(layer.W)
        module.weight_hh_l0.copy_(layer.U)
        module.bias_ih_l0.copy_(layer.b)
        module.bias_hh_l0.zero_()
        if layer.cell.torch_layer == "gru":
            module.bias_hh_l0[2 * H :] = layer.cell.b_n
    return module


@pytest.mark.parametrize("cell", FUSED)
def test_step_by_step_equals_fused(cell: str) -> None:
    """Both kernels: the same outputs, last state and gradients by everything."""
    layer = layer_of(cell)
    values, gradients = run(layer, "step")
    fast_values, fast_gradients = run(layer, "torch")
    torch.testing.assert_close(values, fast_values, **EXACT)
    torch.testing.assert_close(gradients, fast_gradients, **EXACT)


@pytest.mark.parametrize("cell", FUSED)
@pytest.mark.parametrize("backend", ["step", "torch"])
def test_equals_torch_module(cell: str, backend: str) -> None:
    """nn.RNN, nn.LSTM and nn.GRU with the same weights: outputs, last state, gradients."""
    layer = layer_of(cell)
    values, gradients = run(layer, backend)
    module = torch_layer(layer)
    x, state = leaves(layer)
    if layer.cell.torch_layer == "lstm":
        out, (h, c) = module(x, (state[0][None], state[1][None]))
        last = (h[0], c[0])
    else:
        out, h = module(x, state[0][None])
        last = (h[0],)
    torch.testing.assert_close(values, [out, *last], **EXACT)
    loss_of(out, last).backward()
    expected = {"x": x.grad, "W": module.weight_ih_l0.grad, "U": module.weight_hh_l0.grad}
    expected["b"] = module.bias_ih_l0.grad
    expected |= {f"state.{index}": part.grad for index, part in enumerate(state)}
    if layer.cell.torch_layer == "gru":
        expected["cell.b_n"] = module.bias_hh_l0.grad[2 * H :]
    assert gradients.keys() == expected.keys()
    torch.testing.assert_close(gradients, expected, **EXACT)


@pytest.mark.parametrize("cell", FUSED)
def test_kernels_agree_without_gradient(cell: str) -> None:
    """The same under no_grad, for one step and for many."""
    layer = layer_of(cell)
    x, state = leaves(layer)
    with torch.no_grad():
        for steps in (1, T):
            results = []
            for backend in ("step", "torch", "auto"):
                with kernels.backend(backend):
                    results.append(layer(x[:steps], state))
            torch.testing.assert_close(results[0], results[1], **EXACT)
            torch.testing.assert_close(results[0], results[2], **EXACT)


@pytest.mark.parametrize("other", ["lstm-written-out", "peephole"])
def test_other_lstms_equal_the_fused_one(other: str) -> None:
    """Gate by gate, and with peepholes of zero: the LSTM, gradients included."""
    lstm, twin = layer_of("lstm"), layer_of(other)
    with torch.no_grad():
        for name in ("W", "U", "b"):
            getattr(twin, name).copy_(getattr(lstm, name))
        if other == "peephole":
            twin.cell.p.zero_()
    values, gradients = run(lstm, "torch")
    twin_values, twin_gradients = run(twin, "step")
    twin_gradients.pop("cell.p", None)
    torch.testing.assert_close(twin_values, values, **EXACT)
    torch.testing.assert_close(twin_gradients, gradients, **EXACT)


# ------------------------------------------------------------------- slow loops from the equations


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def arrays(layer: RecurrentLayer) -> dict[str, np.ndarray]:
    """Parameters as numpy, W, U and b split into the gates' blocks (G, H, …)."""
    named = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    for name in ("W", "U", "b"):
        named[name] = named[name].reshape(layer.cell.gates, H, *named[name].shape[1:])
    return named


SlowStep = Callable[[np.ndarray, list[np.ndarray]], list[np.ndarray]]


def peephole(layer: RecurrentLayer) -> SlowStep:
    """i and f read the old cell, o the new one."""
    a = arrays(layer)
    (W_i, W_f, W_g, W_o), (U_i, U_f, U_g, U_o) = a["W"], a["U"]
    (b_i, b_f, b_g, b_o), (p_i, p_f, p_o) = a["b"], a["cell.p"]

    def step(x: np.ndarray, state: list[np.ndarray]) -> list[np.ndarray]:
        h, c = state
        new_h, new_c = np.zeros(H), np.zeros(H)
        for k in range(H):
            i = sigmoid(W_i[k] @ x + U_i[k] @ h + p_i[k] * c[k] + b_i[k])
            f = sigmoid(W_f[k] @ x + U_f[k] @ h + p_f[k] * c[k] + b_f[k])
            g = np.tanh(W_g[k] @ x + U_g[k] @ h + b_g[k])
            new_c[k] = f * c[k] + i * g
            o = sigmoid(W_o[k] @ x + U_o[k] @ h + p_o[k] * new_c[k] + b_o[k])
            new_h[k] = o * np.tanh(new_c[k])
        return [new_h, new_c]

    return step


def peephole_full(layer: RecurrentLayer) -> SlowStep:
    """A gate is one product with [c, h, x] concatenated; c is the new cell for the output gate."""
    a = arrays(layer)
    P = a["cell.P"].reshape(3, H, H)
    W_g, U_g, b_g = (a[name][2] for name in "WUb")
    b_i, b_f, b_o = (a["b"][gate] for gate in (0, 1, 3))
    gates = (0, 1, 3)  # input, forget, output, as the blocks of W, U and b lie
    M_i, M_f, M_o = (np.hstack([P[n], a["U"][g], a["W"][g]]) for n, g in enumerate(gates))

    def step(x: np.ndarray, state: list[np.ndarray]) -> list[np.ndarray]:
        h, c = state
        seen = np.concatenate([c, h, x])
        i, f = sigmoid(M_i @ seen + b_i), sigmoid(M_f @ seen + b_f)
        new_c = f * c + i * np.tanh(W_g @ x + U_g @ h + b_g)
        o = sigmoid(M_o @ np.concatenate([new_c, h, x]) + b_o)
        return [o * np.tanh(new_c), new_c]

    return step


def elman_sigmoid(layer: RecurrentLayer) -> SlowStep:
    """Every unit is the logistic function of its sum."""
    a = arrays(layer)
    W, U, b = (a[name][0] for name in "WUb")

    def step(x: np.ndarray, state: list[np.ndarray]) -> list[np.ndarray]:
        (h,) = state
        return [np.array([sigmoid(W[k] @ x + U[k] @ h + b[k]) for k in range(H)])]

    return step


def gru_before(layer: RecurrentLayer) -> SlowStep:
    """The reset gate acts on the state, before the product."""
    a = arrays(layer)
    (W_r, W_z, W_n), (U_r, U_z, U_n), (b_r, b_z, b_n) = a["W"], a["U"], a["b"]

    def step(x: np.ndarray, state: list[np.ndarray]) -> list[np.ndarray]:
        (h,) = state
        r = np.array([sigmoid(W_r[k] @ x + U_r[k] @ h + b_r[k]) for k in range(H)])
        new = np.zeros(H)
        for k in range(H):
            z = sigmoid(W_z[k] @ x + U_z[k] @ h + b_z[k])
            n = np.tanh(W_n[k] @ x + U_n[k] @ (r * h) + b_n[k])
            new[k] = (1 - z) * n + z * h[k]
        return [new]

    return step


#: Unit by unit from the papers' equations; torch's modules are what the other cells are held to.
SLOW = {
    "elman-sigmoid": elman_sigmoid,
    "peephole": peephole,
    "peephole-full": peephole_full,
    "gru-before": gru_before,
}
SLOW_RUNS = [(cell, "step") for cell in SLOW] + [
    (cell, "fast") for cell in SLOW if registry.load("cell", cell).loops
]


def test_every_cell_has_a_twin() -> None:
    """torch's layer, a slow loop, or (gate by gate) the LSTM."""
    assert {*FUSED, *SLOW, "lstm-written-out"} == set(CELLS)


@pytest.mark.parametrize(("cell", "backend"), SLOW_RUNS)
def test_equals_slow_loop(cell: str, backend: str) -> None:
    """The readable step, and the fast loops: outputs and last state, row by row."""
    layer = layer_of(cell)
    x, first = leaves(layer)
    with kernels.backend(backend) as ran:
        out, last = layer(x, first)
    assert list(ran.values()) == [kernels.NAMES[backend]]
    step = SLOW[cell](layer)
    expected = np.zeros((T, B, H))
    for row in range(B):
        state = [part[row].detach().numpy() for part in first]
        for t in range(T):
            state = step(x[t, row].detach().numpy(), state)
            expected[t, row] = state[0]
        for part, value in zip(last, state, strict=True):
            np.testing.assert_allclose(part[row].detach().numpy(), value, atol=1e-12)
    np.testing.assert_allclose(out.detach().numpy(), expected, atol=1e-12)


def test_diagonal_matrices_are_peepholes() -> None:
    """Matrices from the cell state that are zero off the diagonal: the diagonal peephole LSTM,
    gradients included."""
    diagonal, full = layer_of("peephole"), layer_of("peephole-full")
    with torch.no_grad():
        for name in ("W", "U", "b"):
            getattr(full, name).copy_(getattr(diagonal, name))
        full.cell.P.copy_(torch.cat([torch.diag(p) for p in diagonal.cell.p]))
    values, gradients = run(diagonal, "step")
    full_values, full_gradients = run(full, "step")
    torch.testing.assert_close(full_values, values, **EXACT)
    blocks = full_gradients.pop("cell.P").view(3, H, H)
    full_gradients["cell.p"] = blocks.diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(full_gradients, gradients, **EXACT)


def test_the_two_grus_differ() -> None:
    """Resetting before or after the product is not the same function."""
    after, before = layer_of("gru"), layer_of("gru-before")
    with torch.no_grad():
        after.cell.b_n.zero_()
        for name in ("W", "U", "b"):
            getattr(before, name).copy_(getattr(after, name))
    x, state = leaves(after)
    assert (after(x, state)[0] - before(x, state)[0]).abs().max() > 1e-2
