"""The heads, and the log-probability they share."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from nextword.errors import InputError
from nextword.models.recurrent import RecurrentConfig
from nextword.nn import kernels
from nextword.nn.heads import AdaptiveHead, MixtureHead, SampledHead, SoftmaxHead
from nextword.nn.kernels import cross_entropy
from nextword.nn.kernels.cross_entropy import log_prob

F32, F64, BF16 = torch.float32, torch.float64, torch.bfloat16
EXACT = {"atol": 1e-10, "rtol": 1e-10}
N, H, V = 13, 7, 29


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


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"softmax": "adaptive"},
        {"softmax": "sampled", "samples": 60},
        {"softmax": "sampled", "samples": 60, "tied": True},
        {"softmaxes": 3},
        {"softmaxes": 3, "tied": True},
        {"mogrify": 3, "mogrify_rank": 4},
    ],
    ids=str,
)
@pytest.mark.parametrize("backend", ["fast", "torch", "step"])
def test_models_learn_under_autocast(backend: str, settings: dict[str, Any]) -> None:
    """Whatever runs the layers and whichever head: log-probabilities in float32 near those
    without autocast, and finite gradients for every parameter."""
    model = RecurrentConfig(hidden=32, cutoffs=[20, 50], **settings).build(200)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    ids, targets = torch.randint(0, 200, (2, 4, 7)).unbind()
    with kernels.backend(backend):
        torch.manual_seed(1)
        exact = model.score(ids, targets, model.start(4)).log_prob
        torch.manual_seed(1)
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
    targets[0] = logits[0].argmax(-1)
    assert (head.E is None) == tied
    expected = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    for learning in (True, False):
        with torch.set_grad_enabled(learning):
            found, hit = head.score(hidden, targets, embedding)
        torch.testing.assert_close(found, expected, **EXACT)
        assert torch.equal(hit, logits.argmax(-1) == targets)
        assert 4 <= int(hit.sum()) < 12


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


# ---------------------------------------------------------------------------------- sampled softmax


def sampled(
    frequent: int, samples: int, tied: bool = False, size: int = V
) -> tuple[SampledHead, SoftmaxHead, Tensor]:
    """A sampled head and the full one with the same weights, and the embedding (V, H)."""
    head, full = SampledHead(H, size, tied, frequent, samples), SoftmaxHead(H, size, tied)
    embedding = torch.randn(size, H, dtype=F64, requires_grad=True)
    for parameter in head.double().parameters():
        nn.init.normal_(parameter)
    full.double().load_state_dict(head.state_dict())
    return head, full, embedding


def gradients_of(head: Any, hidden: Tensor, targets: Tensor, embedding: Tensor) -> list[Tensor]:
    """Of the hidden vectors, the embedding and all parameters."""
    leaves = [hidden, embedding, *head.parameters()]
    log_prob, _ = head.score(hidden, targets, embedding)
    weights = torch.linspace(-1, 2, targets.numel(), dtype=F64).view(targets.shape)
    return list(torch.autograd.grad((log_prob * weights).sum(), leaves, materialize_grads=True))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("frequent", "samples"), [(1, 1), (5, 3), (28, 1)])
def test_sampled_is_exact_where_nothing_is_learnt(frequent: int, samples: int, tied: bool) -> None:
    """Without a gradient, in evaluation mode, and in `forward` at any time, it is the full softmax,
    hits and gradients included, and draws nothing."""
    head, full, embedding = sampled(frequent, samples, tied)
    hidden, targets = torch.randn(3, 4, H, dtype=F64), torch.randint(0, V, (3, 4))
    before = torch.get_rng_state()
    with torch.no_grad():
        found, hit = head.score(hidden, targets, embedding)
        expected, hits = full.score(hidden, targets, embedding)
    torch.testing.assert_close(found, expected, **EXACT)
    assert hit is not None and hits is not None and torch.equal(hit, hits)
    torch.testing.assert_close(head(hidden, embedding), full(hidden, embedding), **EXACT)
    hidden.requires_grad_()
    found, expected = (
        gradients_of(either.eval(), hidden, targets, embedding) for either in (head, full)
    )
    torch.testing.assert_close(found, expected, **EXACT)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    ("frequent", "samples"), [(V - 1, 1), (V, 5), (V + 1, 5), (2000, 2000), (1, V), (9, V - 9)]
)
def test_sampled_counts_everything_if_it_can(frequent: int, samples: int, tied: bool) -> None:
    """As many samples as rare words, or a vocabulary of frequent words alone: the full softmax in
    value and gradient."""
    head, full, embedding = sampled(frequent, samples, tied)
    hidden = torch.randn(3, 4, H, dtype=F64, requires_grad=True)
    for low in (0, V - 3):  # any words, or the rarest alone
        targets = torch.randint(low, V, (3, 4))
        targets[0, 0], targets[0, 1] = low, V - 1
        found, hit = head.score(hidden, targets, embedding)
        assert hit is None and found.shape == targets.shape
        torch.testing.assert_close(found, full.score(hidden, targets, embedding)[0], **EXACT)
        torch.testing.assert_close(
            gradients_of(head, hidden, targets, embedding),
            gradients_of(full, hidden, targets, embedding),
            **EXACT,
        )


@pytest.mark.parametrize(
    ("frequent", "samples", "low"), [(4, 6, 0), (4, 6, 20), (1, 1, 0), (12, 10, 12)]
)
def test_sampled_normaliser_is_right_on_average(frequent: int, samples: int, low: int) -> None:
    """The mean over many draws of the Z that the scores are made with is Z, whatever the targets:
    for each row within four standard errors."""
    head, full, embedding = sampled(frequent, samples)
    with torch.no_grad():
        head.b.mul_(0.5), full.b.mul_(0.5)
    hidden, targets = 0.4 * torch.randn(5, H, dtype=F64), torch.randint(low, V, (5,))
    logits = full(hidden, embedding).detach()
    of_target = logits.gather(1, targets[:, None])[:, 0]
    draws = torch.stack(
        [(of_target - head.score(hidden, targets, embedding)[0].detach()) for _ in range(2000)]
    ).exp()
    error = draws.mean(0) - logits.exp().sum(1)
    std = draws.std(0) / math.sqrt(len(draws))
    assert (error.abs() < 4 * std).all()
    assert (std < 0.1 * logits.exp().sum(1)).all() and (std > 0).all()


def test_sampled_gradient_is_nearly_right_on_average() -> None:
    """The mean over many draws is near the full gradient, nearer than a single draw's, and nearer
    the more words are drawn."""
    errors = []
    hidden, targets = 0.3 * torch.randn(6, H, dtype=F64), torch.randint(0, 90, (6,))
    hidden.requires_grad_()
    for samples in (10, 60):
        torch.manual_seed(3)
        head, full, embedding = sampled(9, samples, size=90)
        exact = gradients_of(full, hidden, targets, embedding)
        draws = [gradients_of(head, hidden, targets, embedding) for _ in range(300)]
        for place, expected in enumerate(exact):
            if not expected.any():
                continue  # the embedding is not used
            off = torch.stack([draw[place] for draw in draws]) - expected
            single = float(off.flatten(1).norm(dim=1).mean() / expected.norm())
            mean = float(off.mean(0).norm() / expected.norm())
            errors.append((samples, place, mean))
            assert mean < 0.4 * single
            assert mean < (0.02 if samples == 60 else 0.1)
    few, many = ([e for s, _, e in errors if s == samples] for samples in (10, 60))
    assert len(few) == len(many) == 3
    assert all(b < a for a, b in zip(few, many, strict=True))


@pytest.mark.parametrize("tied", [False, True])
def test_sampled_counts_frequent_words_targets_and_a_draw(tied: bool) -> None:
    """The words that get a gradient: all below `frequent`, all targets, and `samples` others, every
    one of them as often; one draw for the batch, another at the next call, fixed by the seed."""
    head, _, embedding = sampled(5, 6, tied)
    hidden, targets = torch.randn(8, H, dtype=F64), torch.tensor([2, 2, 0, 20, 20, 28, 11, 11])
    always = {0, 1, 2, 3, 4, 11, 20, 28}
    rest = sorted(set(range(V)) - always)
    E = embedding if head.E is None else head.E
    counts = torch.zeros(V)
    drawn = set()
    for seed in range(800):
        torch.manual_seed(seed)
        (gradient,) = torch.autograd.grad(head.score(hidden, targets, embedding)[0].sum(), E)
        counted = set(gradient.any(1).nonzero()[:, 0].tolist())
        assert always <= counted and len(counted) == len(always) + 6
        counts[list(counted)] += 1
        drawn.add(frozenset(counted))
    assert len(drawn) > 750
    share = 6 / len(rest)
    std = math.sqrt(share * (1 - share) / 800)
    assert ((counts[rest] / 800 - share).abs() < 4 * std).all()
    for seed in (0, 1):
        torch.manual_seed(seed)
        first, _ = head.score(hidden, targets, embedding)
        other, _ = head.score(hidden, targets, embedding)
        torch.manual_seed(seed)
        assert torch.equal(head.score(hidden, targets, embedding)[0], first)
        assert not torch.equal(first, other)


@pytest.mark.parametrize("targets", [[28] * 6, [28, 27, 26, 25, 24, 23], list(range(20, 26))])
def test_sampled_where_all_targets_are_rare(targets: list[int]) -> None:
    """Each target is among the counted words and scored by its own logit: as by the equation, the
    draw read off the gradient."""
    head, full, embedding = sampled(3, 4)
    hidden, y = torch.randn(6, H, dtype=F64, requires_grad=True), torch.tensor(targets)
    found, _ = head.score(hidden, y, embedding)
    assert head.E is not None
    (gradient,) = torch.autograd.grad(found.sum(), head.E, retain_graph=True)
    counted = gradient.any(1)
    always = torch.zeros(V, dtype=torch.bool)
    always[:3], always[y] = True, True
    drawn = counted & ~always
    assert int(drawn.sum()) == 4
    logits = full(hidden, embedding)
    powers = logits.exp()
    Z = powers[:, always].sum(1) + int((~always).sum()) / 4 * powers[:, drawn].sum(1)
    torch.testing.assert_close(found, logits[range(6), targets] - Z.log(), **EXACT)
    (ours,) = torch.autograd.grad(found.sum(), hidden, retain_graph=True)
    (theirs,) = torch.autograd.grad((logits[range(6), targets] - Z.log()).sum(), hidden)
    torch.testing.assert_close(ours, theirs, **EXACT)


def test_a_sampled_model_is_scored_exactly() -> None:
    """What it learns with is an estimate, what it says of a text is not: two models that differ in
    the samples alone agree wherever no gradient is asked for."""
    models = []
    for samples in (3, 7):
        torch.manual_seed(0)
        model = RecurrentConfig(hidden=8, softmax="sampled", cutoffs=[5], samples=samples).build(V)
        models.append(model.double())
    ids, targets = torch.randint(0, V, (2, 3, 9)).unbind()
    a, b = (model.score(ids, targets, model.start(3)).log_prob for model in models)
    assert not torch.allclose(a, b)
    with torch.no_grad():
        a, b = (model.score(ids, targets, model.start(3)).log_prob for model in models)
    torch.testing.assert_close(a, b, atol=0, rtol=0)
    logits = models[0].forward(ids, models[0].start(3)).logits
    torch.testing.assert_close(a, logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0])


# ---------------------------------------------------------------------------- mixture of softmaxes


def mixture(softmaxes: int, tied: bool = False, width: int = H, std: float = 0.7) -> MixtureHead:
    """Every parameter drawn at random."""
    head = MixtureHead(width, V, tied, softmaxes).double()
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=std)
    return head


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("softmaxes", [1, 2, 5])
def test_mixture_is_its_equation(softmaxes: int, tied: bool) -> None:
    """Σ_k π_k softmax(E h_k + b), word by word; a distribution."""
    head = mixture(softmaxes, tied)
    embedding = torch.randn(V, H, dtype=F64)
    hidden = torch.randn(3, 4, H, dtype=F64)
    found = head(hidden, embedding)
    assert (head.E is None) == tied
    E = embedding if head.E is None else head.E
    assert found.shape == (3, 4, V)
    for row in range(3):
        for step in range(4):
            h = hidden[row, step]
            shares = (head.prior.weight @ h).softmax(0)
            expected = torch.zeros(V, dtype=F64)
            for k in range(softmaxes):
                some = slice(k * H, (k + 1) * H)
                h_k = (head.latent.weight[some] @ h + head.latent.bias[some]).tanh()
                expected += shares[k] * (E @ h_k + head.b).softmax(0)
            torch.testing.assert_close(found[row, step].exp(), expected, **EXACT)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(3, 4, dtype=F64), **EXACT)
    torch.testing.assert_close(found.log_softmax(-1), found, **EXACT)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("softmaxes", [1, 4])
@pytest.mark.parametrize("chunk", [1, 3 * V, 9 * V + 2, 1 << 23])
def test_mixture_scores_what_it_says(
    chunk: int, softmaxes: int, tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`score` = forward at the targets, its gradients those of forward and gather, however few
    rows go through at once; `hit` is the argmax of the mixture."""
    monkeypatch.setattr(cross_entropy, "CHUNK", chunk)
    head = mixture(softmaxes, tied)
    embedding = torch.randn(V, H, dtype=F64, requires_grad=True)
    hidden = torch.randn(3, 5, H, dtype=F64, requires_grad=True)
    targets, weights = torch.randint(0, V, (3, 5)), torch.randn(3, 5, dtype=F64)
    logits = head(hidden, embedding)
    expected = logits.gather(-1, targets[..., None])[..., 0]
    found, hit = head.score(hidden, targets, embedding)
    assert hit is None and found.shape == targets.shape
    torch.testing.assert_close(found, expected, **EXACT)
    leaves = [hidden, *head.parameters(), *([embedding] if tied else [])]
    wanted = torch.autograd.grad((expected * weights).sum(), leaves)
    torch.testing.assert_close(
        list(torch.autograd.grad((found * weights).sum(), leaves)), list(wanted), **EXACT
    )
    best = logits.argmax(-1)
    aimed = torch.where(torch.arange(5) % 2 == 0, best, targets)
    with torch.no_grad():
        found, hit = head.score(hidden, aimed, embedding)
    expected = logits.gather(-1, aimed[..., None])[..., 0]
    torch.testing.assert_close(found, expected, **EXACT)
    assert hit is not None and torch.equal(hit, best == aimed)
    assert hit[:, ::2].all() and not hit.all()


def test_mixture_is_differentiated_right() -> None:
    """The gradients of forward and of score are what differences say, in every parameter."""
    head = MixtureHead(3, 7, False, 2).double()
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.7)
    names = [name for name, _ in head.named_parameters()]
    assert names == ["b", "E", "prior.weight", "latent.weight", "latent.bias"]
    leaves = [torch.randn(4, 3, dtype=F64, requires_grad=True)]
    leaves += [p.detach().clone().requires_grad_() for p in head.parameters()]
    targets = torch.tensor([0, 6, 3, 3])

    def forward(h: Tensor, *parameters: Tensor) -> Tensor:
        values = dict(zip(names, parameters, strict=True))
        return functional_call(head, values, (h, NONE))

    class Scores(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = head

        def forward(self, h: Tensor) -> Tensor:
            return head.score(h, targets, NONE)[0]

    def score(h: Tensor, *parameters: Tensor) -> Tensor:
        values = {f"head.{name}": p for name, p in zip(names, parameters, strict=True)}
        return functional_call(Scores(), values, (h,))

    assert torch.autograd.gradcheck(forward, leaves)
    assert torch.autograd.gradcheck(score, leaves)


def test_one_softmax_is_the_plain_head() -> None:
    """softmaxes = 1 makes no mixture: the same head, parameters and start as if it had not been
    said; a mixture of one is a softmax of one latent vector."""
    heads = []
    for settings in ({}, {"softmaxes": 1}):
        torch.manual_seed(0)
        heads.append(RecurrentConfig(hidden=8, **settings).build(V).head)
    assert [type(head) for head in heads] == [SoftmaxHead, SoftmaxHead]
    for a, b in zip(heads[0].parameters(), heads[1].parameters(), strict=True):
        assert torch.equal(a, b)
    one, plain = mixture(1), SoftmaxHead(H, V, False).double()
    plain.load_state_dict({"b": one.b, "E": one.E})
    hidden = torch.randn(9, H, dtype=F64)
    expected = plain(one.latent(hidden).tanh(), NONE).log_softmax(-1)
    torch.testing.assert_close(one(hidden, NONE), expected, **EXACT)


@pytest.mark.parametrize("tied", [False, True])
def test_mixture_has_a_higher_rank(tied: bool) -> None:
    """Over many contexts the log-probabilities of one softmax of vectors of width H have rank
    H + 1, or H + 2 with a bias (Yang et al. 2018, section 2.2); those of a mixture have more."""
    width, contexts = 3, 60
    embedding = torch.randn(V, width, dtype=F64)
    hidden = 2 * torch.randn(contexts, width, dtype=F64)

    def rank(head: SoftmaxHead) -> int:
        with torch.no_grad():
            log_probs = head(hidden, embedding).log_softmax(-1)
        return int(torch.linalg.matrix_rank(log_probs, rtol=1e-9))

    plain = SoftmaxHead(width, V, tied).double()
    assert rank(plain) == width + 1
    mixed = mixture(3, tied, width, std=1.5)
    nn.init.zeros_(mixed.b)
    assert rank(mixed) > 2 * (width + 2)
    one = mixture(1, tied, width, std=1.5)
    nn.init.zeros_(one.b)
    assert rank(one) == width + 1
    for head in (plain, one):
        nn.init.normal_(head.b)
        assert rank(head) == width + 2


def test_mixture_of_far_logits() -> None:
    """Logits in the thousands overflow nothing."""
    head = mixture(3).float()
    with torch.no_grad():
        assert head.E is not None
        head.E.mul_(3e3)
    hidden, targets = torch.randn(N, H, requires_grad=True), torch.randint(0, V, (N,))
    found, _ = head.score(hidden, targets, NONE)
    assert found.isfinite().all()
    found.sum().backward()
    assert hidden.grad is not None and hidden.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
    with torch.no_grad():
        exact, _ = head.score(hidden, targets, NONE)
    torch.testing.assert_close(found, exact, atol=1e-2, rtol=1e-5)


# ---------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"tied": True}, "tied=false"),
        ({"cutoffs": [5, 5]}, "rising"),
        ({"cutoffs": [9, 5]}, "rising"),
        ({"cutoffs": [0, 5]}, "item 1 must be 1 or more"),
        ({"cutoffs": [-3]}, "item 1 must be 1 or more"),
        ({"cutoffs": []}, "cutoffs"),
    ],
)
def test_bad_adaptive_settings_are_refused(settings: dict[str, Any], says: str) -> None:
    """Cutoffs that do not rise from one on, and vectors that cannot be shared."""
    with pytest.raises(InputError, match=says):
        RecurrentConfig(softmax="adaptive", **settings)


@pytest.mark.parametrize("cutoffs", [[V], [5, V], [5, V + 10]])
def test_cutoffs_beyond_the_vocabulary_are_refused(cutoffs: list[int]) -> None:
    """Every cluster must hold a word; one of a single word is enough."""
    with pytest.raises(InputError, match="cutoffs"):
        RecurrentConfig(softmax="adaptive", cutoffs=cutoffs).build(V)
    RecurrentConfig(softmax="full", cutoffs=cutoffs).build(V)
    RecurrentConfig(softmax="adaptive", cutoffs=[V - 1]).build(V)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"softmaxes": 2, "softmax": "adaptive"}, "softmaxes=1"),
        ({"softmaxes": 2, "softmax": "sampled"}, "softmaxes=1"),
        ({"softmaxes": 0}, "softmaxes"),
        ({"softmax": "sampled", "samples": 0}, "samples"),
        ({"softmax": "sampled", "cutoffs": [0]}, "item 1 must be 1 or more"),
        ({"softmax": "sampled", "cutoffs": []}, "cutoffs"),
        ({"softmax": "hierarchical"}, "softmax"),
    ],
)
def test_bad_settings_of_heads_are_refused(settings: dict[str, Any], says: str) -> None:
    """A mixture is of full softmaxes; at least one word is counted, and one drawn."""
    with pytest.raises(InputError, match=says):
        RecurrentConfig(**settings)


@pytest.mark.parametrize("tied", [False, True])
def test_settings_choose_the_head(tied: bool) -> None:
    """Each with the sizes that were set; a vocabulary smaller than the cutoffs is no matter to a
    sampled softmax, and sharing vectors with the input none to either new head."""
    sizes = {"embedding": 5, "hidden": 7, "tied": tied}
    width = 5 if tied else 7
    head = RecurrentConfig(softmax="sampled", cutoffs=[20, 25], samples=6, **sizes).build(V).head
    assert isinstance(head, SampledHead) and (head.frequent, head.samples) == (20, 6)
    assert RecurrentConfig(softmax="sampled", **sizes).build(V).head.frequent == 2000
    mixed = RecurrentConfig(softmaxes=4, **sizes).build(V).head
    assert isinstance(mixed, MixtureHead)
    assert mixed.latent.weight.shape == (4 * width, width)
    assert mixed.prior.weight.shape == (4, width)
    for built in (head, mixed):
        assert (built.E is None) == tied
        assert tied or built.E.shape == (V, width)
