"""Dropout in its four forms, and when it is off."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from nextword import registry
from nextword.models.recurrent import RecurrentConfig
from nextword.nn import kernels
from nextword.nn.dropout import drop_words, dropout, mask_like, weight_mask
from nextword.nn.kernels.masks import fill_mask
from nextword.nn.recurrent import RecurrentLayer, RecurrentStack

CELLS = registry.names("cell")
T, B, H = 6, 50, 40


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_mask_is_scaled_bernoulli(p: float) -> None:
    """Zeros with probability p, else 1 / (1 - p); the mean is one."""
    mask = mask_like(torch.empty(400, 500, dtype=torch.float64), p)
    torch.testing.assert_close(mask.unique(), torch.tensor([0.0, 1 / (1 - p)], dtype=torch.float64))
    assert float((mask == 0).double().mean()) == pytest.approx(p, abs=0.01)
    assert float(mask.mean()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("p", [0.1, 0.37, 0.5, 0.9])
def test_share_of_zeros_is_p(p: float, dtype: torch.dtype) -> None:
    """Of a million numbers as many are zero as p says, but for chance; the rest is 1 / (1 - p) to
    the last bit."""
    mask = mask_like(torch.empty(1000, 1000, dtype=dtype), p)
    assert mask.dtype == dtype
    assert mask.unique().tolist() == [0, float(torch.tensor(1 / (1 - p), dtype=dtype))]
    far = int((mask == 0).sum()) - 1e6 * p
    assert abs(far) < 5 * (1e6 * p * (1 - p)) ** 0.5


@pytest.mark.parametrize("p", [1e-9, 1e-6, 0.999, 1 - 1e-7])
def test_extreme_shares(p: float) -> None:
    """Hardly anything, or nearly everything, is dropped; no value is another than the two."""
    mask = mask_like(torch.empty(1_000_000, dtype=torch.float64), p)
    dropped = int((mask == 0).sum())
    spread = (1e6 * p * (1 - p)) ** 0.5
    assert abs(dropped - 1e6 * p) <= 5 * spread + 1
    assert set(mask.unique().tolist()) <= {0, 1 / (1 - p)}


def test_a_seed_fixes_the_masks() -> None:
    """The same seed, or the same saved state of the generator, gives the same masks one after the
    other; the next mask is another one."""
    like = torch.empty(50, 70)
    torch.manual_seed(7)
    first, saved, second = mask_like(like, 0.5), torch.get_rng_state(), mask_like(like, 0.5)
    torch.manual_seed(7)
    assert torch.equal(mask_like(like, 0.5), first)
    assert torch.equal(mask_like(like, 0.5), second)
    torch.set_rng_state(saved)
    assert torch.equal(mask_like(like, 0.5), second)
    torch.manual_seed(8)
    others = [mask_like(like, 0.5) for _ in range(20)]
    assert len({tuple(m.flatten().tolist()) for m in (first, second, *others)}) == 22
    short = torch.empty(64)
    assert len({tuple(mask_like(short, 0.5).tolist()) for _ in range(2000)}) == 2000


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_precision_does_not_move_a_mask(p: float) -> None:
    """All precisions drop the same places; so does a smaller p some of a larger one's."""
    masks = []
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        torch.manual_seed(1)
        masks.append(mask_like(torch.empty(70, 30, dtype=dtype), p) == 0)
    assert torch.equal(masks[0], masks[1]) and torch.equal(masks[0], masks[2])
    torch.manual_seed(1)
    fewer = mask_like(torch.empty(70, 30), p / 2) == 0
    assert fewer.any() and not (fewer & ~masks[0]).any()


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (1,), (1, 1, 1), ()])
def test_masks_of_hardly_any_numbers(shape: tuple[int, ...]) -> None:
    """Empty, single and without a dimension: the shape is kept."""
    mask = mask_like(torch.empty(shape), 0.5)
    assert mask.shape == shape
    assert set(mask.flatten().tolist()) <= {0.0, 2.0}


def test_mask_of_a_view_is_a_whole_tensor() -> None:
    """x may be turned, cut or one row seen many times: every number has its own draw."""
    for x in (
        torch.empty(40, 60).T,
        torch.empty(60, 80)[:, ::2],
        torch.empty(1, 40).expand(60, 40),
    ):
        torch.manual_seed(3)
        found = mask_like(x, 0.5)
        torch.manual_seed(3)
        assert torch.equal(found, mask_like(torch.empty(60, 40), 0.5))
        assert len(found.unique(dim=0)) == 60


def z_score(a: torch.Tensor, b: torch.Tensor) -> float:
    """How far from chance two masks of the same p agree, in standard deviations."""
    a, b = (m.double() - m.double().mean() for m in (a, b))
    return float((a * b).sum() / (a.std() * b.std() * a.numel() ** 0.5))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_places_of_a_mask_know_nothing_of_each_other(p: float) -> None:
    """Neighbours at any distance, rows and columns are uncorrelated; so are the numbers of zeros
    per row and per column."""
    mask = mask_like(torch.empty(1000, 1024, dtype=torch.float64), p)
    flat = mask.flatten()
    for lag in (*range(1, 34), 64, 128, 1000, 1023, 1024, 1025, 2048, 4096, 65536, 1 << 18):
        assert abs(z_score(flat[:-lag], flat[lag:])) < 5, lag
    for other in (mask.flip(0), mask.flip(1)):
        assert abs(z_score(mask[:500], other[:500])) < 5
    for dim in (0, 1):
        zeros = (mask == 0).sum(dim=dim).double()
        n = mask.shape[dim]
        squares = ((zeros - n * p) ** 2 / (n * p * (1 - p))).sum()  # chi-square
        assert abs(float(squares) - len(zeros)) < 5 * (2 * len(zeros)) ** 0.5


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_masks_know_nothing_of_each_other(p: float) -> None:
    """Masks drawn one after the other, and those whose keys differ by one, are uncorrelated."""
    like = torch.empty(100_000)
    drawn = [mask_like(like, p) for _ in range(12)]
    threshold, one = np.uint32(p * 2**32), np.float32(1)
    for keys in (
        [(k, 5) for k in range(6)],
        [(5, k) for k in range(6)],
        [(k, k) for k in range(6)],
    ):
        for key_1, key_2 in keys:
            out = np.empty(100_000, dtype=np.float32)
            fill_mask(out, np.uint32(key_1), np.uint32(key_2), threshold, one)
            drawn.append(torch.from_numpy(out))
    different = list({tuple(mask[:200].tolist()): mask for mask in drawn}.values())
    assert len(different) == 12 + 18 - 2  # (5, 5) came three times
    for a, b in itertools.combinations(different, 2):
        assert abs(z_score(a, b)) < 5


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
    assert (weight_mask(U, p, training) is None) == off


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


@pytest.mark.parametrize("backend", ["step", "torch", "fast"])
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


@pytest.mark.parametrize("backend", ["step", "torch", "fast"])
@pytest.mark.parametrize("cell", CELLS)
def test_weight_drop_trains_the_raw_matrix(cell: str, backend: str) -> None:
    """An optimizer moves what was kept and leaves what was dropped; over several draws all of U
    moves."""
    layer = dropping(cell)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)
    raw = layer.U.detach().clone()
    with kernels.backend(backend):
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


@pytest.mark.parametrize("backend", ["step", "torch", "fast"])
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


@pytest.mark.parametrize("backend", ["step", "torch", "fast"])
@pytest.mark.parametrize("cell", CELLS)
def test_weight_drop_survives_being_kept_and_moved(cell: str, backend: str) -> None:
    """`state_dict` holds the raw U under its own name and no mask; a layer that loads it, a copy
    and one that went through another precision draw and learn as the first one does."""
    layer = dropping(cell)
    weights = layer.state_dict()
    assert {"W", "U", "b"} <= weights.keys()
    assert weights.keys() == dict(layer.named_parameters()).keys()
    with kernels.backend(backend):
        expected = run(layer, seed=3).detach()
        torch.testing.assert_close(layer.state_dict()["U"], layer.U.detach(), atol=0, rtol=0)
        loaded = RecurrentLayer(cell, 4, 6, weight_drop=0.5).double()
        loaded.load_state_dict(weights)
        moved = dropping(cell)
        run(moved, seed=9).sum().backward()  # whatever a pass leaves behind moves along
        moved.zero_grad()
        moved = moved.to(torch.float32).to("cpu").to(torch.float64)
        moved.load_state_dict(weights)
        for other in (loaded, copy.deepcopy(layer), moved):
            torch.testing.assert_close(run(other, seed=3), expected, atol=0, rtol=0)
            assert isinstance(other.U, nn.Parameter) and other.U.is_leaf
            optimizer = torch.optim.SGD(other.parameters(), lr=0.01)
            run(other, seed=4).pow(2).sum().backward()
            optimizer.step()
            torch.manual_seed(4)
            kept = mask_like(other.U, 0.5) != 0
            assert other.U.ne(weights["U"])[kept].double().mean() > 0.5
            assert not torch.equal(run(other, seed=3), expected)
        short = copy.deepcopy(layer).float()
        generator = torch.Generator().manual_seed(9)
        x = torch.randn(5, 3, 4, dtype=torch.float64, generator=generator).float()
        torch.manual_seed(5)
        outputs, _ = short(x, short.start(3))
        assert outputs.dtype == torch.float32
        torch.manual_seed(5)
        exact, _ = layer(x.double(), layer.start(3))  # the same places are dropped
        torch.testing.assert_close(outputs.double(), exact, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("mogrify", [(0, 0), (3, 2)])
@pytest.mark.parametrize("backend", ["step", "torch", "fast"])
@pytest.mark.parametrize("cell", CELLS)
def test_weight_drop_of_both_matrices(cell: str, backend: str, mogrify: tuple[int, int]) -> None:
    """As if U and W had been multiplied by their masks; a gradient is zero where its mask is. The
    mask of U is drawn first, so it is the same with and without one on W."""
    layers = {}
    for drops in ((0.5, 0.25), (0.0, 0.0)):
        layers[drops] = RecurrentLayer(cell, 4, 6, drops[0], mogrify, drops[1]).double()
        torch.manual_seed(1)
        for parameter in layers[drops].parameters():
            nn.init.normal_(parameter, std=0.5)
    layer, twin = layers.values()
    torch.manual_seed(4)
    masks = mask_like(layer.U, 0.5), mask_like(layer.W, 0.25)
    assert all(0 < int((mask == 0).sum()) < mask.numel() for mask in masks)
    with torch.no_grad():
        twin.U.mul_(masks[0])
        twin.W.mul_(masks[1])
    with kernels.backend(backend):
        outputs = [run(one, seed=4) for one in (layer, twin)]
        for output in outputs:
            output.pow(2).sum().backward()
        torch.testing.assert_close(*outputs)
        torch.testing.assert_close(layer.U.grad, twin.U.grad * masks[0])
        torch.testing.assert_close(layer.W.grad, twin.W.grad * masks[1])
        layer.eval()
        with torch.no_grad():
            twin.U.copy_(layer.U)
            twin.W.copy_(layer.W)
        torch.testing.assert_close(run(layer, seed=1), run(twin, seed=1), atol=0, rtol=0)


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


@pytest.mark.parametrize(
    "kind", ["embedding", "input", "hidden", "output", "weight", "weight_input"]
)
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
