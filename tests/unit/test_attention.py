"""Scores, masks, positions, and attention weights that are recorded."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from nextword import registry
from nextword.nn import attention
from nextword.nn.attention import MultiHeadAttention, attend, attend_by_score, written_out
from nextword.nn.attention_weights import record_attention, recording
from nextword.nn.transformer import Positions, causal_mask, sinusoids

B, T, S, H, HEADS = 2, 3, 5, 6, 2
SCORES = registry.names("attention")


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def score(name: str) -> attention.Score:
    """With weights that have no symmetry."""
    module: attention.Score = registry.load("attention", name)(H).double()
    for seed, parameter in enumerate(module.parameters(), start=10):
        parameter.data = 0.5 * draw(*parameter.shape, seed=seed)
    return module


# ------------------------------------------------------------------------------------- scores


@torch.no_grad()
def by_hand(name: str, module: attention.Score, h: Tensor, m: Tensor, place: int) -> float:
    """One query (H,), one vector (H,) at a place, the paper's equation number by number."""
    if name == "dot":
        return sum(float(h[i] * m[i]) for i in range(H))
    if name == "scaled-dot":
        return sum(float(h[i] * m[i]) for i in range(H)) / math.sqrt(H)
    if name == "general":
        product_ = sum(float(h[i] * module.W[i, j] * m[j]) for i in range(H) for j in range(H))
        return product_ / math.sqrt(H)
    if name == "cosine":
        lengths = [math.sqrt(sum(float(x[i]) ** 2 for i in range(H))) for x in (h, m)]
        cosine = sum(float(h[i] * m[i]) for i in range(H)) / lengths[0] / lengths[1]
        return math.exp(float(module.log_strength)) * cosine
    if name == "location":
        return sum(float(module.W[place, i] * h[i]) for i in range(H)) / math.sqrt(H)
    total = 0.0
    for i in range(H):
        inner = sum(float(module.W[i, j] * h[j] + module.U[i, j] * m[j]) for j in range(H))
        total += float(module.v[i]) * math.tanh(inner / math.sqrt(H) + float(module.b[i]))
    return total / math.sqrt(H)


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_their_equations(name: str) -> None:
    """Every query against every place."""
    module, query, memory = score(name), draw(B, T, H, seed=1), draw(B, S, H, seed=2)
    found = module(query, module.keys(memory))
    assert found.shape == (B, T, S)
    for b, t, s in product(range(B), range(T), range(S)):
        expected = by_hand(name, module, query[b, t], memory[b, s], s)
        assert float(found[b, t, s].detach()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_look_is_the_mean_of_what_may_be_seen(name: str) -> None:
    """Weights ≥ 0 that sum to one over the tokens and are none elsewhere, whatever stands there;
    the context is the mean by them."""
    module, query, memory = score(name), draw(B, T, H, seed=1), draw(B, S, H, seed=2)
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * S])
    context, weights = attend_by_score(module, query, module.keys(memory), memory, mask)
    assert (weights >= 0).all()
    assert (weights[0, :, 3:] == 0).all()
    assert (weights[1] > 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, T, dtype=torch.float64))
    scores = module(query, module.keys(memory))
    expected = torch.zeros(B, T, H, dtype=torch.float64)
    for b, t in product(range(B), range(T)):
        shares = [float(scores[b, t, s].detach().exp()) for s in range(S) if mask[b, s]]
        for s, share in enumerate(shares):
            expected[b, t] += share / sum(shares) * memory[b, s]
    torch.testing.assert_close(context.detach(), expected)
    memory[0, 3:] = 1e6
    other, _ = attend_by_score(module, query, module.keys(memory), memory, mask)
    torch.testing.assert_close(other, context, atol=0, rtol=0)


@pytest.mark.parametrize("name", SCORES)
def test_scores_learn(name: str) -> None:
    """Query, memory and every weight get a gradient, and it is the finite differences'."""
    module = score(name)
    inputs = (draw(B, T, H, seed=1).requires_grad_(), draw(B, S, H, seed=2).requires_grad_())
    names = [name for name, _ in module.named_parameters()]
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * S])

    def run(query: Tensor, memory: Tensor, *weights: Tensor) -> Tensor:
        parameters = dict(zip(names, weights, strict=True))
        keys = torch.func.functional_call(_Keys(module), _of(parameters), (memory,))
        scored = lambda q, k: torch.func.functional_call(module, parameters, (q, k))  # noqa: E731
        return attend_by_score(scored, query, keys, memory, mask)[0]  # type: ignore[arg-type]

    torch.autograd.gradcheck(run, (*inputs, *module.parameters()))


@pytest.mark.parametrize("name", SCORES)
def test_what_is_asked_matters_from_the_start(name: str) -> None:
    """For vectors as small as a recurrent layer's at first, a good part of what tells places apart
    depends on the query (an additive score in tanh's straight part has a five-hundredth)."""
    torch.manual_seed(0)
    module = registry.load("attention", name)(256)
    h, m = (0.15 * torch.randn(1, 40, 256) for _ in range(2))
    with torch.no_grad():
        scores = module(h, module.keys(m))[0]
    scores = scores - scores.mean(dim=1, keepdim=True)
    asked = scores - scores.mean(dim=0, keepdim=True)
    assert float(asked.var() / scores.var()) > 0.05


@pytest.mark.parametrize("name", ["general", "additive", "cosine", "location"])
def test_a_step_leaves_what_the_scores_say(name: str) -> None:
    """One step of Adam, which moves every weight by the learning rate, moves no score by as much
    as scores differ (as the papers have them: by several times that)."""
    torch.manual_seed(0)
    module = registry.load("attention", name)(256)
    h, m = (0.15 * torch.randn(1, n, 256) for n in (1, 40))
    scores = module(h, module.keys(m))[0, 0]
    gradients = torch.autograd.grad(scores[0], list(module.parameters()))
    moved = 2e-3 * sum(float(gradient.abs().sum()) for gradient in gradients)
    assert moved < float(scores.detach().std())


def test_general_begins_as_dot() -> None:
    query, memory = draw(B, T, H, seed=1), draw(B, S, H, seed=2)
    both = [registry.load("attention", name)(H).double() for name in ("dot", "general")]
    dot, general = (module(query, module.keys(memory)) for module in both)
    torch.testing.assert_close(general, dot)


def test_cosine_does_not_ask_for_length() -> None:
    """Longer vectors have the same scores; padding (zeros) has a gradient that is a number."""
    module, query, memory = score("cosine"), draw(B, T, H, seed=1), draw(B, S, H, seed=2)
    longer = module(3 * query, module.keys(5 * memory))
    torch.testing.assert_close(longer, module(query, module.keys(memory)))
    memory[:, -1] = 0
    memory.requires_grad_()
    mask = torch.arange(S).expand(B, S) < S - 1
    attend_by_score(module, query, module.keys(memory), memory, mask)[0].sum().backward()
    assert memory.grad is not None
    assert memory.grad.isfinite().all()
    assert not memory.grad[:, -1].any()


def test_location_knows_its_positions_alone() -> None:
    """What stands at a place does not matter; places beyond the last position have no weight."""
    module = attention.LocationScore(H, positions=3).double()
    query, memory = draw(B, T, H, seed=1), draw(B, S, H, seed=2)
    mask = module.places(torch.ones(B, S, dtype=torch.bool))
    mean, weights = attend_by_score(module, query, module.keys(memory), memory, mask)
    assert (weights[..., :3] > 0).all()
    assert not weights[..., 3:].any()
    torch.testing.assert_close(weights[..., :3] @ memory[:, :3], mean)
    other = attend_by_score(module, query, module.keys(-memory), -memory, mask)[1]
    torch.testing.assert_close(other, weights, atol=0, rtol=0)


def test_additive_begins_as_closeness() -> None:
    """-|P (h - m)|² and a constant, while vectors are small; P: what W looks at, made to length 1.
    An odd width has one row without a partner."""
    torch.manual_seed(0)
    module = registry.load("attention", "additive")(64).double()
    h, m = (0.003 * torch.randn(1, 30, 64, dtype=torch.float64) for _ in range(2))
    found = module(h, module.keys(m))[0].detach()
    rows = module.W.detach()[:32]
    P = rows / rows.norm(dim=1, keepdim=True)
    torch.testing.assert_close(P @ P.T, torch.eye(32).double(), atol=1e-6, rtol=0)
    close = -torch.cdist(h @ P.T, m @ P.T)[0].square()
    found, close = found - found.mean(), close - close.mean()
    torch.testing.assert_close(found, close, atol=0.05 * float(close.std()), rtol=0)
    odd = registry.load("attention", "additive")(5)
    assert odd(torch.randn(1, 2, 5), odd.keys(torch.randn(1, 3, 5))).shape == (1, 2, 3)


class _Keys(nn.Module):
    def __init__(self, inner: attention.Score) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, memory: Tensor) -> Tensor:
        return self.inner.keys(memory)


def _of(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"inner.{name}": value for name, value in parameters.items()}


# ------------------------------------------------------------------------- scaled dot product


def masks() -> dict[str, Tensor | None]:
    lengths = torch.tensor([3, S])
    return {
        "none": None,
        "padding": (torch.arange(S) < lengths[:, None])[:, None, None],
        "full": torch.ones(S, S, dtype=torch.bool).tril(1)[None, None],
    }


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", list(masks()))
def test_written_out_is_its_loop(masked: str, causal: bool) -> None:
    """Weights sum to one over what may be seen."""
    q, k, v = (draw(B, HEADS, S, 3, seed=i) for i in range(3))
    mask = masks()[masked]
    mixed, weights = written_out(q, k, v, mask, causal)
    allowed = torch.ones(B, HEADS, S, S, dtype=torch.bool)
    allowed = allowed if mask is None else allowed & mask
    expected = torch.zeros_like(mixed)
    for b, h, t in product(range(B), range(HEADS), range(S)):
        places = [s for s in range(S) if allowed[b, h, t, s] and (s <= t or not causal)]
        shares = [math.exp(float(q[b, h, t] @ k[b, h, s]) / math.sqrt(3)) for s in places]
        for s, share in zip(places, shares, strict=True):
            expected[b, h, t] += share / sum(shares) * v[b, h, s]
        assert weights[b, h, t].nonzero()[:, 0].tolist() == places
    torch.testing.assert_close(mixed, expected)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, HEADS, S, dtype=torch.float64))


@pytest.mark.parametrize("length", [5, 450])
@pytest.mark.parametrize("causal", [False, True])
def test_bfloat16_is_the_rounded_answer(length: int, causal: bool) -> None:
    """Short texts take another way than long ones: both are near the exact values and gradients."""
    exact = [draw(2, 2, length, 8, seed=i).requires_grad_() for i in range(3)]
    rounded = [x.detach().bfloat16().requires_grad_() for x in exact]
    wanted, found = attend(*exact, causal=causal), attend(*rounded, causal=causal)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), wanted, atol=0.03, rtol=0.03)
    weight = draw(*wanted.shape, seed=9)
    slopes = torch.autograd.grad((wanted * weight).sum(), exact)
    ours = torch.autograd.grad((found * weight.bfloat16()).sum(), rounded)
    for a, b in zip(ours, slopes, strict=True):
        torch.testing.assert_close(a.double(), b, atol=0.08, rtol=0.08)


@pytest.mark.parametrize(("masked", "causal"), [*product(masks(), [False]), ("none", True)])
def test_looking_does_not_change_what_is_seen(masked: str, causal: bool) -> None:
    """The fused way and the written out way, outputs and gradients."""
    q, k, v = (draw(B, HEADS, S, 3, seed=i).requires_grad_() for i in range(3))
    mask = masks()[masked]
    fused = attend(q, k, v, mask, causal)
    with record_attention() as seen:
        slow = attend(q, k, v, mask, causal, name="a")
    assert list(seen) == ["a"]
    torch.testing.assert_close(slow, fused)
    weight = draw(*fused.shape, seed=9)
    gradients = [torch.autograd.grad((out * weight).sum(), [q, k, v]) for out in (fused, slow)]
    torch.testing.assert_close(*gradients)


def test_dropout_is_of_the_weights_and_drawn_anew() -> None:
    """In training some weights are none and the others larger; each call, row, head and query has
    a mask of its own. In evaluation nothing happens."""
    torch.manual_seed(0)
    p, width = 0.5, 64
    q, k = draw(B, HEADS, T, 4), draw(B, HEADS, width, 4, seed=1)
    values = torch.eye(width, dtype=torch.float64).expand(B, HEADS, width, width)
    mixed, weights = written_out(q, k, values, dropout=p)  # the weights themselves, dropped
    ratio = mixed / weights
    torch.testing.assert_close(ratio, (ratio > 0.5).double() / (1 - p))
    assert 0.35 < float((ratio == 0).double().mean()) < 0.65
    masks = (ratio == 0).flatten(0, 2)
    assert len({tuple(mask.tolist()) for mask in masks}) == B * HEADS * T
    assert not torch.equal(mixed, attend(q, k, values, dropout=p))

    module = MultiHeadAttention(H, HEADS, dropout=p).double()
    x = draw(B, T, H)
    wet = [module(x, module.keys_values(x)) for _ in range(2)]
    assert not torch.allclose(*wet)
    module.eval()
    dry = [module(x, module.keys_values(x)) for _ in range(2)]
    torch.testing.assert_close(*dry, atol=0, rtol=0)
    module.dropout = 0.0
    torch.testing.assert_close(module.train()(x, module.keys_values(x)), dry[0])


def test_heads_are_blocks() -> None:
    """Each head is an attention in its own narrow projection."""
    torch.manual_seed(0)
    module = MultiHeadAttention(H, HEADS).double()
    nn.init.normal_(module.kv.bias)
    x, memory, d = draw(B, T, H), draw(B, S, H, seed=1), H // HEADS
    keys, values = module.keys_values(memory)
    assert keys.shape == values.shape == (B, S, H)
    parts = []
    for head in range(HEADS):
        block = slice(head * d, (head + 1) * d)
        q = x @ module.q.weight[block].T + module.q.bias[block]
        k = memory @ module.kv.weight[:H][block].T + module.kv.bias[:H][block]
        v = memory @ module.kv.weight[H:][block].T + module.kv.bias[H:][block]
        parts.append((q @ k.mT / math.sqrt(d)).softmax(-1) @ v)
    expected = torch.cat(parts, -1) @ module.out.weight.T + module.out.bias
    torch.testing.assert_close(module(x, (keys, values)), expected)


# -------------------------------------------------------------------------- recorded weights


def test_a_closed_tap_notes_nothing() -> None:
    """Before, after, and after an error inside; an inner recording takes from an outer one."""
    module = MultiHeadAttention(H, HEADS, name="m").double()
    x = draw(B, T, H)
    module(x, module.keys_values(x))
    assert not recording()
    with record_attention() as seen:
        assert recording()
    module(x, module.keys_values(x))
    assert seen == {}
    with pytest.raises(KeyError), record_attention():
        raise KeyError
    assert not recording()
    with record_attention() as outer:
        with record_attention() as inner:
            module(x, module.keys_values(x))
        module(x, module.keys_values(draw(B, S, H)))
    assert [list(outer), list(inner)] == [["m"], ["m"]]
    assert [t.shape for t in inner["m"]] == [(B, HEADS, T, T)]
    assert [t.shape for t in outer["m"]] == [(B, HEADS, T, S)]


def test_a_tap_notes_every_call() -> None:
    """In order, without a graph, (B, heads, T, S); attention by a score has one head."""
    module, x = MultiHeadAttention(H, HEADS, name="m").double(), draw(B, T, H)
    with record_attention() as seen:
        for steps in (1, T):
            module(x[:, :steps], module.keys_values(x))
        _, weights = attend_by_score(
            score("general"), x, draw(B, S, H), draw(B, S, H), torch.ones(B, S) > 0
        )
    assert [t.shape for t in seen["m"]] == [(B, HEADS, 1, T), (B, HEADS, T, T)]
    assert not any(t.requires_grad for t in seen["m"])
    assert [t.shape for t in seen["source"]] == [(B, 1, T, S)]
    torch.testing.assert_close(seen["source"][0][:, 0], weights.detach())


# ---------------------------------------------------------------------------------- positions


@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_sinusoids_are_the_formula(width: int) -> None:
    """Any width; an odd one ends with a sine."""
    table = sinusoids(7, width)
    assert table.shape == (7, width)
    for t, i in product(range(7), range(width)):
        angle = t / 10000 ** (2 * (i // 2) / width)
        expected = math.sin(angle) if i % 2 == 0 else math.cos(angle)
        assert float(table[t, i]) == pytest.approx(expected, abs=1e-6)


def test_positions_are_rows_of_a_table() -> None:
    """Learnt ones are a parameter, sinusoids neither learnt nor saved."""
    places = torch.tensor([[0, 3], [2, 2]])
    for kind in ("sinusoidal", "learned"):
        positions = Positions(kind, 4, H)  # type: ignore[arg-type]
        assert torch.equal(positions(places), positions.table[places])
        assert bool(list(positions.parameters())) == (kind == "learned")
        assert bool(positions.state_dict()) == (kind == "learned")


# ---------------------------------------------------------------------------------- causal_mask


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("past", [0, 1, 3])
def test_causal_mask_is_its_loop(past: int, steps: int) -> None:
    """All counts of two rows, place by place."""
    for counts in product(range(past + 1), repeat=2):
        mask, causal = causal_mask(torch.tensor(counts), past, steps)
        assert not (causal and (mask is not None or past))
        seen = torch.ones(2, 1, steps, past + steps, dtype=torch.bool)
        if mask is not None:
            assert mask.shape[0] in (1, 2) and mask.shape[1:] == (1, steps, past + steps)
            seen = seen & mask
        if causal:
            seen = seen.tril()
        for row, t, place in product(range(2), range(steps), range(past + steps)):
            carried = past - counts[row] <= place < past
            expected = carried or past <= place <= past + t
            assert bool(seen[row, 0, t, place]) == expected
        needed = past > 0 and (steps > 1 or min(counts) < past)
        assert (mask is not None) == needed  # the fast ways are taken
