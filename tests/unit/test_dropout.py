"""Dropout in its four forms, and when it is off."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nextword import registry
from nextword.models.recurrent import RecurrentConfig
from nextword.nn import kernels
from nextword.nn.dropout import drop_weights, drop_words, dropout, mask_like
from nextword.nn.recurrent import RecurrentLayer, RecurrentStack

CELLS = registry.names("cell")
T, B, H = 6, 50, 40


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_mask_is_scaled_bernoulli(p: float) -> None:
    """Zeros with probability p, else 1 / (1 - p); the mean is one."""
    mask = mask_like(torch.empty(400, 500, dtype=torch.float64), p)
    torch.testing.assert_close(mask.unique(), torch.tensor([0.0, 1 / (1 - p)], dtype=torch.float64))
    assert float((mask == 0).double().mean()) == pytest.approx(p, abs=0.01)
    assert float(mask.mean()) == pytest.approx(1, abs=0.03)


def test_locked_mask_is_constant_over_time() -> None:
    """The same units at every step, other ones in every row of the batch, scaled by 1/(1-p)."""
    x = torch.randn(T, B, H)
    mask = dropout(x, 0.3, training=True, locked=True) / x
    torch.testing.assert_close(mask, mask[:1].expand(T, B, H))
    torch.testing.assert_close(mask.unique().round(decimals=5)[[0, -1]], torch.tensor([0, 1 / 0.7]))
    assert not torch.allclose(mask[:, 0], mask[:, 1])
    assert float(mask.mean()) == pytest.approx(1, abs=0.05)


def test_ordinary_mask_is_drawn_anew_each_step() -> None:
    """Without `locked` steps have masks of their own."""
    mask = dropout(torch.ones(T, B, H), 0.3, training=True, locked=False)
    for t in range(1, T):
        assert not torch.equal(mask[t], mask[0])
    torch.testing.assert_close(mask.unique(), torch.tensor([0, 1 / 0.7]))
    assert float(mask.mean()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("locked", [True, False])
def test_expectation_is_the_input(locked: bool) -> None:
    """Averaged over many draws dropout changes nothing."""
    x = torch.randn(3, 2, 5)
    mean = torch.stack([dropout(x, 0.4, True, locked) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(mean, x, atol=0.15, rtol=0)


def test_embedding_dropout_drops_whole_words() -> None:
    """A dropped word is zero wherever it occurs in the batch, all of its vector; kept words are
    scaled."""
    V, p = 60, 0.4
    ids = torch.randint(0, V, (T, B))
    vectors = torch.randn(T, B, H)
    out = drop_words(vectors, ids, p, V, training=True)
    factor = (out / vectors).mean(-1)
    torch.testing.assert_close(out, vectors * factor[..., None], atol=1e-5, rtol=1e-5)
    dropped = 0
    for word in ids.unique():
        values = factor[ids == word]
        torch.testing.assert_close(values, values[:1].expand_as(values))
        assert float(values[0]) == pytest.approx(0) or float(values[0]) == pytest.approx(1 / 0.6)
        dropped += int(values[0] == 0)
    assert 0.2 < dropped / V < 0.6


def test_embedding_dropout_expectation() -> None:
    """Averaged over many draws every word's vector is its own."""
    ids, vectors = torch.tensor([[0, 1, 2]]), torch.ones(1, 3, 2)
    mean = torch.stack([drop_words(vectors, ids, 0.4, 3, True) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(mean, vectors, atol=0.06, rtol=0)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("p", [0.0, 0.5])
def test_off_means_untouched(training: bool, p: float) -> None:
    """With p = 0, or outside training, the tensors themselves come back."""
    x, ids, U = torch.randn(T, B, H), torch.zeros(T, B, dtype=torch.int64), torch.randn(8, 8)
    off = p == 0 or not training
    assert (dropout(x, p, training) is x) == off
    assert (dropout(x, p, training, locked=False) is x) == off
    assert (drop_words(x, ids, p, 5, training) is x) == off
    assert (drop_weights(U, p, training) is U) == off


# -------------------------------------------------------------------------------------- weight drop


def dropping(cell: str, p: float = 0.5) -> RecurrentLayer:
    torch.manual_seed(1)
    layer = RecurrentLayer(cell, 4, 6, weight_drop=p).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer


def run(layer: RecurrentLayer, seed: int) -> torch.Tensor:
    """Outputs for a fixed input, the mask drawn from `seed`."""
    generator = torch.Generator().manual_seed(9)
    x = torch.randn(5, 3, 4, dtype=torch.float64, generator=generator)
    h = [torch.rand(3, 6, dtype=torch.float64, generator=generator) for _ in layer.start(3)]
    torch.manual_seed(seed)
    return layer(x, tuple(h))[0]


@pytest.mark.parametrize("backend", ["step", "torch"])
@pytest.mark.parametrize("cell", CELLS)
def test_weight_drop_is_a_mask_on_the_recurrent_matrix(cell: str, backend: str) -> None:
    """One mask for the whole sequence: as if U had been U ∘ mask. The raw U stays the parameter;
    its gradient is exactly zero where the mask is, and the mask times the dropped one's."""
    layer = dropping(cell)
    raw = layer.U.detach().clone()
    with kernels.backend(backend):
        out = run(layer, seed=4)
        out.pow(2).sum().backward()
    torch.manual_seed(4)
    mask = mask_like(layer.U, layer.weight_drop)
    assert 0 < int((mask == 0).sum()) < mask.numel()

    twin = dropping(cell, p=0.0)
    with torch.no_grad():
        twin.U.mul_(mask)
    with kernels.backend(backend):
        expected = run(twin, seed=4)
        expected.pow(2).sum().backward()
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(layer.U.grad, twin.U.grad * mask)
    assert not layer.U.grad[mask == 0].any()
    assert layer.U.grad[mask != 0].ne(0).double().mean() > 0.5
    torch.testing.assert_close(layer.W.grad, twin.W.grad)
    assert torch.equal(layer.U, raw)
    assert "U" in dict(layer.named_parameters())


@pytest.mark.parametrize("cell", CELLS)
def test_weight_drop_trains_the_raw_matrix(cell: str) -> None:
    """An optimizer moves what was kept and leaves what was dropped; over several draws all of U
    moves."""
    layer = dropping(cell)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)
    raw = layer.U.detach().clone()
    run(layer, seed=0).pow(2).sum().backward()
    optimizer.step()
    torch.manual_seed(0)
    dropped = mask_like(layer.U, 0.5) == 0
    moved = layer.U.detach() != raw
    assert not moved[dropped].any()
    assert moved[~dropped].double().mean() > 0.5
    for seed in range(1, 12):
        optimizer.zero_grad()
        run(layer, seed).pow(2).sum().backward()
        optimizer.step()
    assert (layer.U.detach() != raw)[dropped].double().mean() > 0.5


@pytest.mark.parametrize("backend", ["step", "torch"])
@pytest.mark.parametrize("cell", CELLS)
def test_weight_drop_on_and_off(cell: str, backend: str) -> None:
    """train → eval → train: drawn, fixed and equal to the layer without, drawn again."""
    layer, twin = dropping(cell), dropping(cell, p=0.0)
    with kernels.backend(backend):
        assert not torch.allclose(run(layer, seed=1), run(layer, seed=2))
        layer.eval()
        torch.testing.assert_close(run(layer, seed=1), run(layer, seed=2), atol=0, rtol=0)
        torch.testing.assert_close(run(layer, seed=1), run(twin, seed=1), atol=0, rtol=0)
        layer.train()
        assert not torch.allclose(run(layer, seed=1), run(layer, seed=2))
        torch.testing.assert_close(run(layer, seed=1), run(layer, seed=1), atol=0, rtol=0)


# ------------------------------------------------------------------------------ where models use it


def test_stack_drops_between_layers_only() -> None:
    """Neither what comes into the first layer nor what leaves the last one is dropped."""
    one = RecurrentStack("lstm", [4, 5], dropout=0.9)
    x = torch.randn(T, 2, 4)
    torch.testing.assert_close(one(x, one.start(2))[0], one(x, one.start(2))[0])
    two = RecurrentStack("lstm", [4, 5, 6], dropout=0.5)
    a, b = (two(x, two.start(2)) for _ in range(2))
    torch.testing.assert_close(a[1][0], b[1][0])  # the first layer's state
    assert not torch.allclose(a[0], b[0])
    assert a[0].ne(0).all()


@pytest.mark.parametrize("locked", [True, False])
def test_model_drops_its_output_for_the_head_only(locked: bool) -> None:
    """`hidden` is `raw` times a mask, locked over time or not; `raw` and the state are whole."""
    config = RecurrentConfig(hidden=H, dropout_output=0.5, locked=locked)
    model = config.build(9).train()
    output = model.forward(torch.randint(0, 9, (B, T)), model.start(B))
    mask = (output.hidden / output.raw).detach()
    assert float((mask == 0).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert torch.allclose(mask, mask[:, :1].expand_as(mask), atol=1e-3) == locked
    torch.testing.assert_close(output.raw[:, -1], output.state[0][0])
    assert output.raw.ne(0).all()


@pytest.mark.parametrize("kind", ["embedding", "input", "hidden", "output", "weight"])
def test_every_setting_reaches_the_model(kind: str) -> None:
    """Each dropout of the settings changes training, and only training."""
    model = RecurrentConfig(hidden=12, layers=2, **{f"dropout_{kind}": 0.5}).build(9)
    ids = torch.randint(0, 9, (2, T))
    model.train()
    a, b = (model.forward(ids, model.start(2)).logits for _ in range(2))
    assert not torch.allclose(a, b)
    model.eval()
    a, b = (model.forward(ids, model.start(2)).logits for _ in range(2))
    torch.testing.assert_close(a, b, atol=0, rtol=0)
