"""The two heads, and the log-probability they share."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from nextword.errors import InputError
from nextword.models.recurrent import RecurrentConfig
from nextword.nn import kernels
from nextword.nn.heads import AdaptiveHead, SoftmaxHead
from nextword.nn.kernels import cross_entropy
from nextword.nn.kernels.cross_entropy import log_prob

F32, F64, BF16 = torch.float32, torch.float64, torch.bfloat16
EXACT = {"atol": 1e-10, "rtol": 1e-10}
N, H, V = 13, 7, 29


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def some(dtype: torch.dtype = F64) -> tuple[list[Tensor], Tensor]:
    """h, E, b, which ask for gradients, and targets."""
    leaves = [torch.randn(*size, dtype=dtype).requires_grad_() for size in ((N, H), (V, H), (V,))]
    return leaves, torch.randint(0, V, (N,))


def expected_of(leaves: list[Tensor], targets: Tensor) -> Tensor:
    h, E, b = leaves
    return -F.cross_entropy(F.linear(h, E, b), targets, reduction="none")


# --------------------------------------------------------------------------------- log-probability


@pytest.fixture(params=["kept", "made again"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the logits are kept for the gradient."""
    if request.param == "made again":
        monkeypatch.setattr(cross_entropy, "KEEP", N * V - 1)
    return bool(request.param == "kept")


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("chunk", [1, 2 * V, 5 * V + 3, N * V, 1 << 23])
@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-10), (F32, 2e-5)])
def test_log_prob_is_torchs(
    dtype: torch.dtype, tolerance: float, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Value and gradients of cross_entropy, with any weight per row, zero and negative too,
    however few rows go through at once."""
    monkeypatch.setattr(cross_entropy, "CHUNK", chunk)
    leaves, targets = some(dtype)
    weights = torch.randn(N, dtype=dtype)
    weights[::3] = 0
    for g in (torch.ones(()).to(dtype).expand(N), weights, torch.zeros(N, dtype=dtype)):
        found, exact = log_prob(*leaves, targets), expected_of(leaves, targets)
        near = {"atol": tolerance, "rtol": tolerance}
        torch.testing.assert_close(found, exact, **near)
        for a, b in zip(
            torch.autograd.grad(found, leaves, g),
            torch.autograd.grad(exact, leaves, g),
            strict=True,
        ):
            assert a.dtype == dtype
            torch.testing.assert_close(a, b, **near)


@pytest.mark.usefixtures("kept")
def test_log_prob_is_differentiated_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient is what differences say, in all three factors."""
    monkeypatch.setattr(cross_entropy, "CHUNK", 4 * V)
    leaves, targets = some()
    assert torch.autograd.gradcheck(lambda *parts: log_prob(*parts, targets), leaves)


@pytest.mark.usefixtures("kept")
def test_log_prob_backward_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept logits are left as they were: a second pass finds the same gradients."""
    monkeypatch.setattr(cross_entropy, "CHUNK", 4 * V)
    leaves, targets = some()
    found, g = log_prob(*leaves, targets), torch.randn(N, dtype=F64)
    first = torch.autograd.grad(found, leaves, g, retain_graph=True)
    first = [part.clone() for part in first]
    torch.testing.assert_close(list(torch.autograd.grad(found, leaves, g)), first, atol=0, rtol=0)


@pytest.mark.usefixtures("kept")
def test_log_prob_of_far_logits() -> None:
    """Logits in the thousands overflow nothing; NaN comes out in its own row."""
    leaves, targets = some(F32)
    with torch.no_grad():
        leaves[0].mul_(3e3)
    found, exact = log_prob(*leaves, targets), expected_of(leaves, targets)
    torch.testing.assert_close(found, exact, atol=1e-2, rtol=1e-5)
    found.sum().backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)
    h = leaves[0].detach().clone()
    h[4, 2] = torch.nan
    bad = log_prob(h, *leaves[1:], targets).isnan()
    assert bad.nonzero().flatten().tolist() == [4]


def test_log_prob_holds_few_numbers(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between forward and backward rows × vocabulary numbers are held only below the limit."""
    monkeypatch.setattr(cross_entropy, "CHUNK", 2 * V)
    leaves, targets = some()
    held: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: (held.append(t.numel()), t)[1], lambda t: t
    ):
        log_prob(*leaves, targets)
    factors = sum(leaf.numel() for leaf in leaves) + 3 * N
    assert sum(held) == factors + (N * V if kept else 0)


@pytest.mark.parametrize("dtype", [F32, BF16])
def test_log_prob_under_autocast(dtype: torch.dtype) -> None:
    """With factors rounded to bfloat16, also where the hidden vectors come so: log-probabilities in
    float32, off by the rounding of the logits at most and not by that of their own."""
    h = torch.randn(64, 40).to(dtype).requires_grad_()
    E, b = (0.3 * torch.randn(500, 40)).requires_grad_(), torch.zeros(500, requires_grad=True)
    y = torch.randint(0, 500, (64,))
    exact = expected_of([h.float(), E, b], y)
    with torch.autocast("cpu", BF16):
        found = log_prob(h, E, b, y)
    assert found.dtype == F32
    assert float((found - exact).abs().max().detach()) < 0.03
    for a, c in zip(
        torch.autograd.grad(found.float().sum(), (h, E, b)),
        torch.autograd.grad(exact.sum(), (h, E, b)),
        strict=True,
    ):
        assert float((a - c).norm() / c.norm()) < 0.03


@pytest.mark.parametrize("softmax", ["full", "adaptive"])
@pytest.mark.parametrize("backend", ["fast", "torch", "step"])
def test_models_learn_under_autocast(backend: str, softmax: str) -> None:
    """Whatever runs the layers and whichever head: log-probabilities in float32 near those
    without autocast, and finite gradients for every parameter."""
    config = RecurrentConfig(hidden=32, softmax=softmax, cutoffs=[20, 50])
    model = config.build(200)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    ids, targets = torch.randint(0, 200, (2, 4, 7)).unbind()
    with kernels.backend(backend):
        exact = model.score(ids, targets, model.start(4)).log_prob
        with torch.autocast("cpu", BF16):
            found = model.score(ids, targets, model.start(4)).log_prob
    torch.testing.assert_close(found.float(), exact, atol=0.1, rtol=0.02)
    found.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert found.dtype == F32


# ------------------------------------------------------------------------------------ full softmax


@pytest.mark.parametrize("tied", [False, True])
def test_softmax_head_scores_what_it_says(tied: bool) -> None:
    """`score` is the softmax of the logits, with and without gradients, tied or not."""
    head = SoftmaxHead(H, V, tied).double()
    nn.init.normal_(head.b)
    embedding = torch.randn(V, H, dtype=F64)
    hidden, targets = torch.randn(3, 4, H, dtype=F64), torch.randint(0, V, (3, 4))
    logits = head(hidden, embedding)
    assert (head.E is None) == tied
    expected = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    found, hit = head.score(hidden, targets, embedding)
    assert hit is None
    torch.testing.assert_close(found, expected, **EXACT)
    with torch.no_grad():
        found, hit = head.score(hidden, targets, embedding)
    torch.testing.assert_close(found, expected, **EXACT)
    assert torch.equal(hit, logits.argmax(-1) == targets)


# --------------------------------------------------------------------------------- adaptive softmax


CUTOFFS = [[1], [V - 1], [5], [5, 12], [1, 2, 3], [8, 9, 20, 28]]
NONE = torch.empty(0)


def adaptive(
    cutoffs: list[int], sharpness: float = 1.0, width: int = 16, size: int = V
) -> AdaptiveHead:
    """Every parameter drawn at random."""
    head = AdaptiveHead(width, size, cutoffs).double()
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=sharpness)
    return head


@pytest.mark.parametrize("cutoffs", CUTOFFS)
def test_adaptive_is_a_distribution(cutoffs: list[int]) -> None:
    """The probabilities of all words sum to one; the softmax of the log-probabilities is they
    themselves."""
    head = adaptive(cutoffs)
    log_probs = head(torch.randn(4, 3, 16, dtype=F64), NONE)
    assert log_probs.shape == (4, 3, V)
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(4, 3, dtype=F64), **EXACT)
    torch.testing.assert_close(log_probs.log_softmax(-1), log_probs, **EXACT)


@pytest.mark.parametrize("cutoffs", CUTOFFS)
def test_adaptive_is_its_equation(cutoffs: list[int]) -> None:
    """Word by word: the head's own, or the cluster's probability times the word's within it."""
    head = adaptive(cutoffs)
    h = torch.randn(16, dtype=F64)
    found = head(h[None], NONE)[0].exp()
    top = (head.E @ h + head.b).softmax(0)
    edges = [*cutoffs, V]
    for word in range(V):
        if word < cutoffs[0]:
            expected = top[word]
        else:
            i = max(i for i, edge in enumerate(cutoffs) if word >= edge)
            inside = (head.tail_E[i] @ (head.P[i] @ h) + head.tail_b[i]).softmax(0)
            assert len(inside) == edges[i + 1] - edges[i]
            expected = top[cutoffs[0] + i] * inside[word - cutoffs[i]]
        torch.testing.assert_close(found[word], expected, **EXACT)


def test_clusters_grow_narrow() -> None:
    """Cluster i has vectors of width / shrink^i, at least of one number."""
    head = AdaptiveHead(64, 100, [10, 20, 50, 90])
    assert [tuple(P.shape) for P in head.P] == [(16, 64), (4, 64), (1, 64), (1, 64)]
    assert [tuple(E.shape) for E in head.tail_E] == [(10, 16), (30, 4), (40, 1), (10, 1)]
    assert head.E.shape == (14, 64)
    assert AdaptiveHead(64, 100, [10], shrink=2).P[0].shape == (32, 64)


@pytest.mark.parametrize("cutoffs", CUTOFFS)
@pytest.mark.parametrize("chunk", [1, 40, 1 << 23])
def test_adaptive_scores_what_it_says(
    cutoffs: list[int], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`score` = forward at the targets, its gradients those of forward and gather, however few
    rows go through at once; a cluster that nothing is in gets a gradient of zero or none."""
    monkeypatch.setattr(cross_entropy, "CHUNK", chunk)
    head = adaptive(cutoffs, 0.5)
    hidden = torch.randn(6, 5, 16, dtype=F64, requires_grad=True)
    leaves = [hidden, *head.parameters()]
    weights = torch.randn(6, 5, dtype=F64)
    for high in (V, cutoffs[0]):  # all words, or those in the head alone
        targets = torch.randint(0, high, (6, 5))
        expected = head(hidden, NONE).gather(-1, targets[..., None])[..., 0]
        found, hit = head.score(hidden, targets, NONE)
        assert hit is None and found.shape == targets.shape
        torch.testing.assert_close(found, expected, **EXACT)
        wanted = torch.autograd.grad((expected * weights).sum(), leaves)
        got = torch.autograd.grad((found * weights).sum(), leaves, materialize_grads=True)
        torch.testing.assert_close(list(got), list(wanted), **EXACT)
        with torch.no_grad():
            found, hit = head.score(hidden, targets, NONE)
        torch.testing.assert_close(found, expected, **EXACT)
        assert torch.equal(hit, head(hidden, NONE).argmax(-1) == targets)


def test_adaptive_hits_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flat or sharply peaked, whichever part the best word is in: `hit` is true for the argmax of
    all log-probabilities and for no other word."""
    monkeypatch.setattr(cross_entropy, "CHUNK", 100)
    where = set()
    with torch.no_grad():
        for trial in range(60):
            cutoffs = CUTOFFS[trial % len(CUTOFFS)]
            head = adaptive(cutoffs, sharpness=[0.01, 0.3, 1, 10][trial % 4])
            head.b[head.first :] += 3.0 * (trial % 3)  # a cluster as a whole is often best
            hidden = torch.randn(20, 16, dtype=F64)
            best = head(hidden, NONE).argmax(-1)
            words = torch.arange(V)
            _, hit = head.score(hidden[:, None].expand(20, V, 16), words.expand(20, V), NONE)
            assert torch.equal(hit, best[:, None] == words)
            where |= set(torch.bucketize(best, torch.tensor(cutoffs), right=True).tolist())
    assert where == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("cutoffs", [[5], [5, 12], [8, 9, 20]])
def test_adaptive_is_torchs(cutoffs: list[int]) -> None:
    """AdaptiveLogSoftmaxWithLoss with the same weights: log-probabilities, targets' too, and all
    gradients."""
    head = adaptive(cutoffs, 0.5, width=64)
    twin = nn.AdaptiveLogSoftmaxWithLoss(64, V, cutoffs, div_value=4, head_bias=True).double()
    with torch.no_grad():
        twin.head.weight.copy_(head.E)
        twin.head.bias.copy_(head.b)
        for i, tail in enumerate(twin.tail):
            tail[0].weight.copy_(head.P[i])
            tail[1].weight.copy_(head.tail_E[i])
            head.tail_b[i].zero_()
    hidden = torch.randn(40, 64, dtype=F64, requires_grad=True)
    targets = torch.randint(0, V, (40,))
    torch.testing.assert_close(head(hidden, NONE), twin.log_prob(hidden), **EXACT)
    found, _ = head.score(hidden, targets, NONE)
    output, loss = twin(hidden, targets)
    torch.testing.assert_close(found, output, **EXACT)
    ours = [hidden, head.E, head.b, *head.P, *head.tail_E]
    theirs = [hidden, twin.head.weight, twin.head.bias]
    theirs += [tail[0].weight for tail in twin.tail] + [tail[1].weight for tail in twin.tail]
    torch.testing.assert_close(
        list(torch.autograd.grad(-found.mean(), ours)),
        list(torch.autograd.grad(loss, theirs)),
        **EXACT,
    )
    with torch.no_grad():
        _, hit = head.score(hidden, targets, NONE)
        assert torch.equal(hit, twin.predict(hidden) == targets)


# ---------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"tied": True}, "tied=false"),
        ({"cutoffs": [5, 5]}, "rising"),
        ({"cutoffs": [9, 5]}, "rising"),
        ({"cutoffs": [0, 5]}, "rising"),
        ({"cutoffs": [-3]}, "rising"),
        ({"cutoffs": []}, "cutoffs"),
    ],
)
def test_bad_adaptive_settings_are_refused(settings: dict[str, Any], says: str) -> None:
    """Cutoffs that do not rise from one on, and vectors that cannot be shared."""
    with pytest.raises(ValidationError, match=says):
        RecurrentConfig(softmax="adaptive", **settings)


@pytest.mark.parametrize("cutoffs", [[V], [5, V], [5, V + 10]])
def test_cutoffs_beyond_the_vocabulary_are_refused(cutoffs: list[int]) -> None:
    """Every cluster must hold a word; one of a single word is enough."""
    with pytest.raises(InputError, match="cutoffs"):
        RecurrentConfig(softmax="adaptive", cutoffs=cutoffs).build(V)
    RecurrentConfig(softmax="full", cutoffs=cutoffs).build(V)
    RecurrentConfig(softmax="adaptive", cutoffs=[V - 1]).build(V)
