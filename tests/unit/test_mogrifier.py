"""The Mogrifier: input and state gate each other, before any cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from nextword import registry
from nextword.config import Config
from nextword.errors import InputError
from nextword.files import read_tensors
from nextword.models.building import load_weights
from nextword.models.recurrent import RecurrentConfig, RecurrentLM
from nextword.nn import kernels
from nextword.nn.dropout import mask_like
from nextword.nn.mogrifier import Mogrifier
from nextword.nn.recurrent import RecurrentLayer
from nextword.run import Run, count_parameters, write_weights
from nextword.state import select
from nextword.tasks.verbs import score
from nextword.text.char import CharTokenizer
from tests.support import scatter

CELLS = registry.names("cell")
F64 = torch.float64
EXACT = {"atol": 1e-12, "rtol": 1e-12}
T, B, I, H = 6, 3, 4, 5


def layer_of(cell: str, rounds: int = 5, rank: int = 2, weight_drop: float = 0.0) -> RecurrentLayer:
    made: RecurrentLayer = scatter(RecurrentLayer(cell, I, H, weight_drop, (rounds, rank)))
    return made


def some(layer: RecurrentLayer, batch: int = B) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Inputs (T, B, I) and a state."""
    x = torch.randn(T, batch, I, dtype=F64)
    return x, tuple(0.5 * torch.randn_like(part) for part in layer.start(batch))


# -------------------------------------------------------------------------------- the equations


def gru(cell: Any, wx: Tensor, h: Tensor, gated: Tensor, U: Tensor) -> Tensor:
    (r, z, n), (r_, z_, n_) = wx.chunk(3, 1), (gated @ U.T).chunk(3, 1)
    new = (n + (r + r_).sigmoid() * (n_ + cell.b_n)).tanh()
    return new + (z + z_).sigmoid() * (h - new)


def gru_before(cell: Any, wx: Tensor, h: Tensor, gated: Tensor, U: Tensor) -> Tensor:
    (r, z, n), (U_r, U_z, U_n) = wx.chunk(3, 1), U.chunk(3)
    new = (n + ((r + gated @ U_r.T).sigmoid() * gated) @ U_n.T).tanh()
    return new + (z + gated @ U_z.T).sigmoid() * (h - new)


def irnn(cell: Any, wx: Tensor, h: Tensor, gated: Tensor, U: Tensor) -> Tensor:
    return (wx + h + gated @ (U - torch.eye(len(U), dtype=U.dtype)).T).relu()


#: Cells that carry h over beside their products: it is the h of before the gating.
CARRIES: dict[str, Any] = {"gru": gru, "gru-before": gru_before, "irnn": irnn}


@pytest.mark.parametrize("rank", [0, 1, 3])
@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 5, 6])
def test_gating_is_its_equation(rounds: int, rank: int) -> None:
    """x^i = 2 σ(Q_i h^{i-1}) ∘ x^{i-2} for odd i, h^i = 2 σ(R_i x^{i-1}) ∘ h^{i-2} for even i, from
    x^{-1} = x and h^0 = h: the last of each, unit by unit."""
    mogrifier = scatter(Mogrifier(I, H, rounds, rank))
    matrices = []
    for gating in mogrifier.gatings:
        product = torch.eye(gating[0].in_features, dtype=F64)
        for part in gating:
            product = part.weight.detach() @ product
        matrices.append(product)
    for row_x, row_h in zip(
        torch.randn(B, I, dtype=F64), torch.randn(B, H, dtype=F64), strict=True
    ):
        x, h = {-1: row_x}, {0: row_h}
        for i in range(1, rounds + 1):
            matrix = matrices[i - 1]
            if i % 2:
                assert matrix.shape == (I, H)
                gates = [2 / (1 + float((-matrix[j] @ h[i - 1]).exp())) for j in range(I)]
                x[i] = torch.tensor(gates, dtype=F64) * x[i - 2]
            else:
                assert matrix.shape == (H, I)
                gates = [2 / (1 + float((-matrix[j] @ x[i - 1]).exp())) for j in range(H)]
                h[i] = torch.tensor(gates, dtype=F64) * h[i - 2]
        found = mogrifier(row_x[None], row_h[None])
        torch.testing.assert_close(found[0][0], x[max(x)], **EXACT)
        torch.testing.assert_close(found[1][0], h[max(h)], **EXACT)


@pytest.mark.parametrize("rounds", [1, 2, 5])
@pytest.mark.parametrize("cell", CELLS)
def test_the_cell_sees_what_is_gated(cell: str, rounds: int) -> None:
    """Step by step: the gated input through W, the gated output through U, the rest of the state
    (the LSTM's c) as it is; in training and evaluation alike."""
    layer = layer_of(cell, rounds)
    x, state = some(layer)
    assert layer.mogrifier is not None
    before = state
    found, last = layer(x, state)
    for t in range(T):
        x_t, h = layer.mogrifier(x[t], state[0])
        assert (h is state[0]) == (rounds == 1)
        wx = x_t @ layer.W.T + layer.b
        carries = CARRIES.get(cell)
        if carries is None:
            state = layer.cell.step(wx, (h, *state[1:]), layer.U)
        else:
            state = (carries(layer.cell, wx, state[0], h, layer.U),)
        torch.testing.assert_close(found[t], state[0], **EXACT)
    torch.testing.assert_close(last, state, **EXACT)
    torch.testing.assert_close(layer.eval()(x, before)[0], found, atol=0, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_gating_does_not_grow_what_is_carried(cell: str) -> None:
    """With every gate near 2 and the cell's own weights zero, h is what it was or smaller."""
    layer = layer_of(cell, rank=0)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.fill_(50.0 if "gatings" in name else 0.0)
        if cell == "irnn":
            layer.U.copy_(torch.eye(H))
    state = tuple(torch.ones_like(part) for part in layer.start(B))
    _, last = layer(torch.ones(30, B, I, dtype=F64), state)
    assert all(part.abs().max() <= 1 for part in last)


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("backend", ["step", "torch", "fast", "auto"])
@pytest.mark.parametrize("cell", CELLS)
def test_zero_matrices_are_the_plain_cell(cell: str, backend: str, rank: int) -> None:
    """2 σ(0) = 1: outputs, state and gradients of W, U and b of the layer without."""
    layer, plain = layer_of(cell, rank=rank), RecurrentLayer(cell, I, H).double()
    for gating in layer.mogrifier.gatings:  # type: ignore[union-attr]
        nn.init.zeros_(gating[-1].weight)
    names = dict(plain.named_parameters())
    plain.load_state_dict({k: v for k, v in layer.state_dict().items() if k in names})
    x, state = some(layer)
    with kernels.backend(backend):
        found, expected = layer(x, state), plain(x, state)
        torch.testing.assert_close(found, expected)
        found[0].pow(2).sum().backward()
        expected[0].pow(2).sum().backward()
    for name, parameter in layer.named_parameters():
        if name in names:
            torch.testing.assert_close(parameter.grad, names[name].grad)
    moved = layer_of(cell, rank=rank)
    assert not torch.allclose(moved(x, state)[0], found[0])


@pytest.mark.parametrize("cell", CELLS)
def test_no_rounds_leave_nothing(cell: str) -> None:
    """Neither a module nor a parameter, and the same draw at the start as if it had not been
    said, whatever the rank."""
    layers = []
    for settings in ({}, {"mogrify": (0, 64)}, {"mogrify": (0, 0)}):
        torch.manual_seed(1)
        layers.append(RecurrentLayer(cell, I, H, **settings))
    for layer in layers:
        assert layer.mogrifier is None
        assert not any("mogrif" in name for name, _ in layer.named_modules())
        assert layer.state_dict().keys() == layers[0].state_dict().keys()
        for a, b in zip(layer.parameters(), layers[0].parameters(), strict=True):
            assert torch.equal(a, b)
    torch.manual_seed(1)
    gated = RecurrentLayer(cell, I, H, mogrify=(2, 3))
    for name in ("W", "U", "b"):
        assert getattr(gated, name).shape == getattr(layers[0], name).shape


def test_numbers_of_parameters() -> None:
    """A round: rank · (I + H), or I · H if the rank is full, whichever way it goes; no biases."""
    for rounds in range(1, 7):
        for rank in (0, 1, 3, 64):
            count = count_parameters(Mogrifier(I, H, rounds, rank))
            assert count == rounds * (rank * (I + H) if rank else I * H)
    plain, gated = (RecurrentConfig(hidden=8, layers=2, mogrify=n).build(9) for n in (0, 5))
    assert count_parameters(gated) - count_parameters(plain) == 2 * 5 * 64 * (8 + 8)
    full = RecurrentConfig(hidden=8, embedding=3, layers=2, mogrify=5, mogrify_rank=0).build(9)
    plain = RecurrentConfig(hidden=8, embedding=3, layers=2).build(9)
    assert count_parameters(full) - count_parameters(plain) == 5 * (3 * 8 + 8 * 8)
    with pytest.raises(InputError, match="mogrify"):
        RecurrentConfig(mogrify=-1)
    with pytest.raises(InputError, match="mogrify_rank"):
        RecurrentConfig(mogrify_rank=-1)


# ------------------------------------------------------------------------------------------- layers


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("cell", [name for name in CELLS if name != "irnn"])  # irnn has corners
def test_gradients_are_right(cell: str, rank: int) -> None:
    """What differences say: of the input, the state, the cell's matrices and every gating."""
    layer = scatter(RecurrentLayer(cell, 2, 3, mogrify=(3, rank)))
    x = torch.randn(3, 2, 2, dtype=F64, requires_grad=True)
    state = [0.5 * torch.randn(2, 3, dtype=F64) for _ in layer.start(1)]
    leaves = [x, *(part.requires_grad_() for part in state)]
    names = [name for name, _ in layer.named_parameters()]
    assert sum("mogrifier" in name for name in names) == (3 if rank == 0 else 6)
    values = [p.detach().clone().requires_grad_() for p in layer.parameters()]

    def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        first, parameters = rest[: len(state)], rest[len(state) :]
        out, last = functional_call(layer, dict(zip(names, parameters, strict=True)), (x, first))
        return (out, *last)

    assert torch.autograd.gradcheck(run, [*leaves, *values])


@pytest.mark.parametrize("cut", [1, 3, T - 1])
@pytest.mark.parametrize("cell", CELLS)
def test_cutting_and_carrying_changes_nothing(cell: str, cut: int) -> None:
    """The state handed on is the cell's, not the gated one: two calls = one call."""
    layer = layer_of(cell)
    x, state = some(layer)
    whole, last = layer(x, state)
    first, middle = layer(x[:cut], state)
    second, end = layer(x[cut:], middle)
    torch.testing.assert_close(torch.cat([first, second]), whole, **EXACT)
    torch.testing.assert_close(end, last, **EXACT)
    torch.testing.assert_close(middle[0], whole[cut - 1], **EXACT)


@pytest.mark.parametrize("cell", CELLS)
def test_rows_of_a_batch_do_not_mix(cell: str) -> None:
    """A row alone = the row in a batch; another row changes nothing in it, nor its gradient."""
    layer = layer_of(cell)
    x, state = some(layer)
    x.requires_grad_()
    out, last = layer(x, state)
    for row in range(B):
        only = torch.tensor([row])
        alone, end = layer(x[:, only], select(state, only))
        torch.testing.assert_close(alone, out[:, only], **EXACT)
        torch.testing.assert_close(end, select(last, only), **EXACT)
    (gradient,) = torch.autograd.grad(out[:, 1].sum(), x)
    assert gradient[:, 1].any() and not gradient[:, [0, 2]].any()


@pytest.mark.parametrize("cell", CELLS)
def test_weight_drop_under_a_mogrifier(cell: str) -> None:
    """The mask is on U and on nothing else, one for the sequence; the raw U gets its gradient, zero
    exactly where the mask is; off outside training."""
    layer, twin = layer_of(cell, weight_drop=0.5), layer_of(cell)
    twin.load_state_dict(layer.state_dict())
    x, state = some(layer)
    torch.manual_seed(4)
    mask = mask_like(layer.U, 0.5)
    torch.manual_seed(4)
    out, _ = layer(x, state)
    out.pow(2).sum().backward()
    with torch.no_grad():
        twin.U.mul_(mask)
    expected, _ = twin(x, state)
    expected.pow(2).sum().backward()
    torch.testing.assert_close(out, expected)
    assert layer.U.grad is not None and twin.U.grad is not None
    torch.testing.assert_close(layer.U.grad, twin.U.grad * mask)
    assert not layer.U.grad[mask == 0].any()
    for (name, a), b in zip(layer.named_parameters(), twin.parameters(), strict=True):
        if name != "U":
            torch.testing.assert_close(a.grad, b.grad)
    a, b = (layer(x, state)[0] for _ in range(2))
    assert not torch.allclose(a, b)
    layer.eval()
    torch.testing.assert_close(layer(x, state)[0], layer(x, state)[0], atol=0, rtol=0)


# ------------------------------------------------------------------------------------- whole models


def model_of(cell: str = "lstm", vocab_size: int = 9, **settings: Any) -> RecurrentLM:
    sizes = {"hidden": 8, "embedding": 5, "layers": 2, "mogrify": 3, "mogrify_rank": 2}
    return RecurrentConfig(cell=cell, **(sizes | settings)).build(vocab_size)


@pytest.mark.parametrize("settings", [{}, {"tied": True}, {"mogrify_rank": 0}, {"layers": 1}])
@pytest.mark.parametrize("cell", CELLS)
def test_a_model_learns_and_is_kept(cell: str, settings: dict[str, Any], tmp_path: Path) -> None:
    """One step moves every parameter, gatings included, and lowers the loss; the file of weights
    makes another model the same one."""
    model = model_of(cell, **settings)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    assert all(layer.mogrifier is not None for layer in model.stack.layers)
    ids, targets = torch.randint(0, 9, (2, 4, 7)).unbind()

    def loss() -> Tensor:
        return -model.score(ids, targets, model.start(4)).log_prob.mean()

    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    first = loss()
    first.backward()
    optimizer.step()
    assert loss().item() < first.item()
    for name, parameter in model.named_parameters():
        assert not torch.equal(parameter, before[name]), name

    write_weights(tmp_path, model, {})
    weights, _ = read_tensors(tmp_path / "model.safetensors")
    assert any("mogrifier" in name for name in weights)
    torch.manual_seed(5)
    twin = model_of(cell, **settings)
    load_weights(twin, weights, tmp_path)
    for a, b in zip(
        model.forward(ids, model.start(4)), twin.forward(ids, twin.start(4)), strict=True
    ):
        torch.testing.assert_close(a, b, atol=0, rtol=0)


LINES = ["abc", "", "cab bca", "a", "b" * 40, "abc", "xyz", "a?c", "cc cc", "ab"]


@pytest.mark.parametrize("cell", CELLS)
def test_scores_know_nothing_of_batches(cell: str) -> None:
    """A sentence has one score, whatever it is scored together with."""
    config = Config.parse({"text": {"tokenizer": "char"}})
    tokenizer = CharTokenizer.train(["abc cab\nbca acb\n"], config.text)
    model = model_of(cell, tokenizer.vocab_size)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    run = Run("gated", config, tokenizer, model.eval())
    alone = [score(run, [line])[0].log_prob for line in LINES]
    for batch_size in (1, 2, 3, 64):
        found = [result.log_prob for result in score(run, LINES, batch_size)]
        assert found == pytest.approx(alone, abs=1e-4)
