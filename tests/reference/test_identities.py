"""What the equations become when gates are forced, and backpropagation through time by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from nextword.nn import kernels
from nextword.nn.recurrent import RecurrentLayer
from nextword.state import detach
from tests.support import scattered

T, B, I, H = 8, 3, 4, 5
LSTMS = [("lstm", "step"), ("lstm", "torch"), ("lstm-written-out", "step"), ("peephole", "step")]
GRUS = [("gru", "step"), ("gru", "torch"), ("gru-before", "step")]
OPEN, SHUT = 1000.0, -1000.0  # biases that make a gate exactly 1 and 0


def layer_of(cell: str) -> RecurrentLayer:
    return scattered(cell, I, H)


def force(layer: RecurrentLayer, gate: int, bias: float) -> None:
    """Make a gate independent of input and state: no weights, a huge bias."""
    rows = slice(gate * H, (gate + 1) * H)
    with torch.no_grad():
        layer.W[rows], layer.U[rows], layer.b[rows] = 0.0, 0.0, bias


def plain(layer: RecurrentLayer, block: int) -> tuple[Tensor, Tensor, Tensor]:
    """The block of W, U and b that a plain RNN would have."""
    rows = slice(block * H, (block + 1) * H)
    return layer.W[rows], layer.U[rows], layer.b[rows]


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize(("cell", "backend"), LSTMS)
def test_lstm_with_forced_gates_is_the_plain_rnn(cell: str, backend: str) -> None:
    """i = 1, f = 0, o = 1: h_t = tanh(tanh(W x_t + U h_{t-1} + b)), one tanh more than an RNN."""
    layer = layer_of(cell)
    for gate, bias in ((0, OPEN), (1, SHUT), (3, OPEN)):
        force(layer, gate, bias)
    W, U, b = plain(layer, 2)
    x, h, c = draw(T, B, I), draw(B, H), draw(B, H)
    with kernels.backend(backend):
        out, _ = layer(x, (h, c))
    for t in range(T):
        h = (x[t] @ W.T + h @ U.T + b).tanh().tanh()
        torch.testing.assert_close(out[t], h)


@pytest.mark.parametrize(("cell", "backend"), GRUS)
def test_gru_with_forced_gates_is_the_plain_rnn(cell: str, backend: str) -> None:
    """r = 1, z = 0: h_t = tanh(W x_t + U h_{t-1} + b), the Elman layer itself."""
    layer = layer_of(cell)
    force(layer, 0, OPEN)
    force(layer, 1, SHUT)
    elman = layer_of("elman")
    W, U, b = plain(layer, 2)
    with torch.no_grad():
        elman.W.copy_(W)
        elman.U.copy_(U)
        elman.b.copy_(b + (layer.cell.b_n if cell == "gru" else 0))
    x, h = draw(T, B, I), draw(B, H)
    with kernels.backend(backend):
        torch.testing.assert_close(layer(x, (h,)), elman(x, (h,)))


@pytest.mark.parametrize(("cell", "backend"), GRUS)
def test_gru_with_update_gate_one_keeps_its_state(cell: str, backend: str) -> None:
    """z = 1: every output is the first state, whatever comes in."""
    layer = layer_of(cell)
    force(layer, 1, OPEN)
    h = draw(B, H)
    with kernels.backend(backend):
        out, _ = layer(draw(T, B, I), (h,))
    torch.testing.assert_close(out, h.expand(T, B, H))


@pytest.mark.parametrize(("cell", "backend"), LSTMS)
def test_lstm_cell_is_a_constant_error_carousel(cell: str, backend: str) -> None:
    """f = 1, i = 0: the cell keeps its value, and its gradient, for ever."""
    layer = layer_of(cell)
    force(layer, 0, SHUT)
    force(layer, 1, OPEN)
    c = draw(B, H).requires_grad_()
    with kernels.backend(backend):
        _, (_, last) = layer(draw(100, B, I), (draw(B, H), c))
    torch.testing.assert_close(last, c)
    weight = draw(B, H)
    (gradient,) = torch.autograd.grad((last * weight).sum(), c)
    torch.testing.assert_close(gradient, weight)


@pytest.mark.parametrize("backend", ["step", "torch"])
def test_irnn_starts_as_the_identity(backend: str) -> None:
    """As initialised, without input, the state stays and the Jacobian dh_T/dh_0 is I."""
    torch.manual_seed(0)
    layer = RecurrentLayer("irnn", I, H).double()
    h = draw(H).abs() + 0.1
    x = torch.zeros(50, 1, I, dtype=torch.float64)

    def last(h: Tensor) -> Tensor:
        return layer(x, (h[None],))[1][0][0]

    with kernels.backend(backend):
        torch.testing.assert_close(last(h), h, atol=0, rtol=0)
        jacobian = torch.autograd.functional.jacobian(last, h)
    torch.testing.assert_close(jacobian, torch.eye(H, dtype=torch.float64), atol=0, rtol=0)


def test_irnn_init_is_the_papers() -> None:
    """U = I, b = 0, W Gaussian with standard deviation 0.001."""
    torch.manual_seed(0)
    layer = RecurrentLayer("irnn", 100, 100)
    assert torch.equal(layer.U, torch.eye(100))
    assert not layer.b.any()
    assert 0.9e-3 < float(layer.W.detach().std()) < 1.1e-3
    assert abs(float(layer.W.detach().mean())) < 1e-4


@pytest.mark.parametrize("cell", ["lstm", "lstm-written-out", "peephole"])
def test_lstm_remembers_by_default(cell: str) -> None:
    """The forget gate's bias starts at 1, everything else uniform in ±1/√H."""
    torch.manual_seed(0)
    layer = RecurrentLayer(cell, 64, 64)
    i, f, g, o = layer.b.chunk(4)
    assert torch.equal(f, torch.ones(64))
    for values in (i, g, o, layer.W, layer.U, *layer.cell.parameters()):
        values = values.detach()
        assert 0.8 / 8 < float(values.abs().max()) <= 1 / 8
        assert abs(float(values.mean())) < 0.05


# ----------------------------------------------------------- backpropagation through time by hand


def backpropagation(
    x: np.ndarray, h0: np.ndarray, W: np.ndarray, U: np.ndarray, b: np.ndarray, g: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """h_t = tanh(W x_t + U h_{t-1} + b), L = Σ_t g_t · h_t: the outputs and the gradients of L.

    dL/dh_t = g_t + Uᵀ δ_{t+1}     δ_t = dL/dh_t ∘ (1 - h_t²)
    dL/dW = Σ δ_t x_tᵀ    dL/dU = Σ δ_t h_{t-1}ᵀ    dL/db = Σ δ_t    dL/dx_t = Wᵀ δ_t
    """
    steps, batch = x.shape[:2]
    h = np.zeros((steps + 1, batch, len(b)))
    h[0] = h0
    for t in range(steps):
        for row in range(batch):
            h[t + 1, row] = np.tanh(W @ x[t, row] + U @ h[t, row] + b)
    d = {"W": np.zeros_like(W), "U": np.zeros_like(U), "b": np.zeros_like(b)}
    d |= {"x": np.zeros_like(x), "h0": np.zeros_like(h0)}
    for row in range(batch):
        from_later = np.zeros(len(b))
        for t in reversed(range(steps)):
            delta = (g[t, row] + from_later) * (1 - h[t + 1, row] ** 2)
            d["W"] += np.outer(delta, x[t, row])
            d["U"] += np.outer(delta, h[t, row])
            d["b"] += delta
            d["x"][t, row] = W.T @ delta
            from_later = U.T @ delta
        d["h0"][row] = from_later
    return h[1:], d


@pytest.mark.parametrize("backend", ["step", "torch"])
def test_elman_gradients_equal_backpropagation_by_hand(backend: str) -> None:
    """Autograd through the layer = the loops above, for W, U, b, the input and the first state."""
    layer = layer_of("elman")
    x, h0, g = draw(T, B, I).requires_grad_(), draw(B, H).requires_grad_(), draw(T, B, H)
    with kernels.backend(backend):
        out, _ = layer(x, (h0,))
    (out * g).sum().backward()
    arrays = [t.detach().numpy() for t in (x, h0, layer.W, layer.U, layer.b, g)]
    expected_out, expected = backpropagation(*arrays)
    np.testing.assert_allclose(out.detach().numpy(), expected_out, atol=1e-12)
    by_name = {"W": layer.W, "U": layer.U, "b": layer.b, "x": x, "h0": h0}
    for name, value in expected.items():
        np.testing.assert_allclose(by_name[name].grad.numpy(), value, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("backend", ["step", "torch"])
def test_detached_state_truncates_backpropagation(backend: str) -> None:
    """With the state cut every k steps the gradient is the sum of the stretches' own, each from
    the state that the one before left: truncated backpropagation through time."""
    layer = layer_of("elman")
    x, h0, g = draw(T, B, I), draw(B, H), draw(T, B, H)
    k, state, loss = 3, (h0,), torch.zeros((), dtype=torch.float64)
    parameters = [t.detach().numpy() for t in (layer.W, layer.U, layer.b)]
    h, expected = h0.numpy(), {"W": 0.0, "U": 0.0, "b": 0.0}
    for start in range(0, T, k):
        part = slice(start, start + k)
        with kernels.backend(backend):
            out, state = layer(x[part], detach(state))
        loss = loss + (out * g[part]).sum()
        outputs, d = backpropagation(x[part].numpy(), h, *parameters, g[part].numpy())
        h = outputs[-1]
        for name in expected:
            expected[name] = expected[name] + d[name]
    loss.backward()
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(layer, name).grad.numpy(), value, atol=1e-10)
    _, full = backpropagation(x.numpy(), h0.numpy(), *parameters, g.numpy())
    assert np.abs(full["U"] - expected["U"]).max() > 1e-3  # cutting made a difference
