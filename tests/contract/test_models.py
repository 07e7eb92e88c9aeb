"""What every language model keeps to: `start`, `advance`, `forward`, `score`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nextword import registry
from nextword.files import read_tensors
from nextword.models import mixture, windowed
from nextword.models.base import TrainableModel
from nextword.models.building import load_weights
from nextword.models.mixture import MixtureConfig, MixtureLM
from nextword.models.ngram import NgramConfig, NgramLM
from nextword.models.recurrent import RecurrentConfig, RecurrentLM
from nextword.models.transformer_lm import TransformerLM, TransformerLMConfig
from nextword.models.windowed import Windowed
from nextword.ngram import file
from nextword.nn.kernels import cross_entropy
from nextword.nn.vectors import put_vectors
from nextword.run import count_parameters, write_weights
from nextword.state import (
    concatenate,
    detach,
    flatten,
    leaves,
    repeat,
    select,
    tree_map,
    unflatten,
)
from nextword.text.lexicon import Lexicon
from nextword.text.tokenizer import EOS, SPECIALS
from nextword.types import LanguageModel, Stored
from tests.support import same_state

V, B, T = 11, 3, 8
CELLS = registry.names("cell")


def scatter(model: Any) -> Any:
    """Every parameter drawn at random, double precision where it has any, evaluation mode."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return as_built(model)


def recurrent(cell: str = "lstm", **settings: Any) -> RecurrentLM:
    sizes = {"embedding": 5, "hidden": 6, "layers": 2} | settings
    return scatter(RecurrentConfig(cell=cell, **sizes).build(V))


def transformer(context: int = T, **settings: Any) -> TransformerLM:
    sizes = {"hidden": 6, "heads": 2, "inner": 7, "layers": 2, "dropout": 0.0} | settings
    return scatter(TransformerLMConfig(context=context, **sizes).build(V))


def ngram(order: int, smoothing: str = "modified-kneser-ney", **settings: Any) -> NgramLM:
    """Counted on lines of random words, some of them much more frequent than others."""
    model = NgramConfig(order=order, smoothing=smoothing, **settings).build(V)
    rng = np.random.default_rng(int(torch.randint(1 << 30, ())))
    share = 1.0 / np.arange(1, V + 1)
    share[EOS] = 1.0
    model.fit(rng.choice(V, 400, p=share / share.sum()))
    return model


def mixed(kind: str, *members: Any) -> MixtureLM:
    return MixtureLM(MixtureConfig(kind=kind, weights=(0.3, 0.7)), list(members), V)


def as_built(model: Any) -> Any:
    return (model.double() if isinstance(model, nn.Module) else model).eval()


MODELS: dict[str, Callable[[], Any]] = {
    **{f"recurrent-{cell}": lambda cell=cell: recurrent(cell) for cell in CELLS},
    "recurrent-tied": lambda: recurrent(tied=True),
    "recurrent-one-layer": lambda: recurrent(layers=1, embedding=None),
    "recurrent-adaptive": lambda: recurrent(softmax="adaptive", cutoffs=[3, 7]),
    "recurrent-adaptive-one": lambda: recurrent("gru", softmax="adaptive", cutoffs=[V - 1]),
    "windowed-adaptive": lambda: Windowed(
        recurrent(softmax="adaptive", cutoffs=[1, 2, 9]), 3
    ).eval(),
    # So many samples, or frequent words, that learning is exact too.
    "recurrent-sampled": lambda: recurrent(softmax="sampled", cutoffs=[3], samples=V),
    "recurrent-sampled-tied": lambda: recurrent(
        "gru", tied=True, softmax="sampled", cutoffs=[2 * V], samples=1
    ),
    "recurrent-softmaxes": lambda: recurrent(softmaxes=3),
    "recurrent-softmaxes-tied": lambda: recurrent("gru", softmaxes=2, tied=True),
    **{
        f"recurrent-mogrified-{cell}": lambda cell=cell: recurrent(cell, mogrify=5, mogrify_rank=2)
        for cell in CELLS
    },
    "recurrent-mogrified-full": lambda: recurrent(
        tied=True, mogrify=2, mogrify_rank=0, softmaxes=2
    ),
    "windowed-mogrified": lambda: Windowed(recurrent(mogrify=5, softmaxes=3), 3).eval(),
    "unigram": lambda: ngram(1, "add-k"),
    "ngram-1": lambda: ngram(1),
    "ngram-2": lambda: ngram(2),
    "ngram-4": lambda: ngram(4),
    "ngram-pruned": lambda: ngram(4, prune=(0, 0, 1)),
    "ngram-pruned-entropy": lambda: ngram(3, prune_entropy=0.01),
    "ngram-back-off": lambda: ngram(3, "witten-bell", interpolate=False),
    "ngram-katz": lambda: ngram(4, "absolute-discounting", interpolate=False),
    **{
        f"mixture-{kind}": lambda kind=kind: mixed(kind, recurrent(), ngram(3))
        for kind in ("linear", "log-linear")
    },
    "mixture-mogrified": lambda: mixed("linear", ngram(3), recurrent(mogrify=5, softmaxes=3)),
    "mixture-ngrams": lambda: mixed("linear", ngram(1), ngram(4)),
    "mixture-ngrams-log-linear": lambda: mixed("log-linear", ngram(2), ngram(4)),
    "mixture-of-mixtures": lambda: mixed("linear", mixed("linear", ngram(2), ngram(3)), ngram(1)),
    **{f"windowed-{c}": lambda c=c: Windowed(recurrent("lstm"), c).eval() for c in (1, 3)},
    "windowed-irnn": lambda: Windowed(recurrent("irnn"), 4).eval(),
    "windowed-ngram": lambda: Windowed(ngram(3), 2).eval(),
    "transformer": lambda: transformer(dropout=0.5, dropout_attention=0.5),
    "transformer-post": lambda: transformer(norm="post", positions="learned"),
    "transformer-tied": lambda: transformer(tied=True, positions="learned", heads=1),
    "transformer-gpt2": lambda: transformer(
        tied=True, positions="learned", activation="gelu-tanh", scale_embedding=False, layers=1
    ),
    "transformer-adaptive": lambda: transformer(softmax="adaptive", cutoffs=[3, 7]),
    "transformer-softmaxes": lambda: transformer(softmaxes=3, tied=True, activation="gelu"),
    "transformer-sampled": lambda: transformer(5, softmax="sampled", cutoffs=[3], samples=V),
    # So short a context that it slides: once, often, and at every other token.
    **{f"transformer-{c}": lambda c=c: transformer(c) for c in (2, 3, 5)},
    "transformer-post-4": lambda: transformer(4, norm="post", positions="learned", tied=True),
    "windowed-transformer": lambda: Windowed(transformer(4), 3).eval(),
    "mixture-transformer": lambda: mixed("linear", transformer(3), ngram(3)),
    **{
        f"default-{name}": lambda name=name: as_built(registry.load("model", name)().build(V))
        for name in registry.names("model")
        if registry.load("model", name).task == "text"
    },
}


@pytest.fixture(params=list(MODELS))
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    return MODELS[request.param]()


def draw(batch: int = B, steps: int = T) -> Tensor:
    return torch.randint(0, V, (batch, steps), generator=torch.Generator().manual_seed(5))


IDS, TARGETS = draw(), draw().flip(0, 1)
NEXT = torch.cat([IDS[:, 1:], TARGETS[:, :1]], 1)


def contains(model: Any, kind: type) -> bool:
    """Whether it is of a kind, or one of its members is."""
    return isinstance(model, kind) or any(
        contains(member, kind) for member in getattr(model, "members", ())
    )


def test_is_a_language_model(model: Any) -> None:
    """The protocol's methods and attributes are there."""
    assert isinstance(model, LanguageModel)
    assert model.vocab_size == V


def test_forward_gives_a_distribution_per_token(model: Any) -> None:
    """Logits (B, T, V), finite, whose softmax sums to one; a state shaped like the first, but for
    what grows with the text (none of it before the first token)."""
    output = model.forward(IDS, model.start(B))
    assert output.logits.shape == (B, T, V)
    assert output.logits.isfinite().all()
    total = output.logits.log_softmax(-1).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(B, T, dtype=total.dtype))
    first, last = list(leaves(model.start(B))), list(leaves(output.state))
    for before, after in zip(first, last, strict=True):
        grows = before.shape[1:2] == (0,) and after.shape[1:2] != (0,)
        assert before.dtype == after.dtype
        assert before.shape[:1] + before.shape[1 + grows :] == (
            after.shape[:1] + after.shape[1 + grows :]
        )
        assert not grows or contains(model, TransformerLM)


@pytest.mark.parametrize("targets", [TARGETS, NEXT], ids=["any", "next"])
def test_score_is_the_softmax_of_forward(model: Any, targets: Tensor) -> None:
    """`score` = log_softmax(forward) at the targets, and leaves the same state, whether the
    targets are the ids that follow or others."""
    output = model.forward(IDS, model.start(B))
    expected = output.logits.log_softmax(-1).gather(-1, targets[..., None]).squeeze(-1)
    scored = model.score(IDS, targets, model.start(B))
    assert scored.log_prob.shape == (B, T)
    torch.testing.assert_close(scored.log_prob, expected)
    same_state(scored.state, output.state)


def best_words(model: Any, logits: Tensor) -> Tensor:
    """The one word (B, T) for which `hit` is true: the argmax of the logits (B, T, V), either of
    several n-grams that are equal but for rounding."""
    words = torch.arange(V).view(V, 1, 1).expand(V, B, T)
    hits = torch.stack([model.score(IDS, word, model.start(B)).hit for word in words])
    assert (hits.sum(0) == 1).all()
    best = hits.long().argmax(0)
    if logits.dtype == torch.float64:
        assert torch.equal(best, logits.argmax(-1))
    chosen = logits.gather(-1, best[..., None]).squeeze(-1)
    torch.testing.assert_close(chosen, logits.amax(-1), atol=2e-6, rtol=0)
    return best


def test_score_without_gradient_in_chunks(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under no_grad, a few rows at a time: the same figures, and `hit` says where the target was
    the most probable token."""
    output = model.forward(IDS, model.start(B))
    expected = model.score(IDS, TARGETS, model.start(B))
    monkeypatch.setattr(cross_entropy, "CHUNK", 5 * V)
    monkeypatch.setattr(windowed, "_TOKENS", 7)
    monkeypatch.setattr(mixture, "_NUMBERS", 5 * V * B)
    with torch.no_grad():
        best = best_words(model, output.logits)
        mixed = torch.where(torch.arange(T) % 2 == 0, best, TARGETS)
        scored = model.score(IDS, TARGETS, model.start(B))
        mixed_hit = model.score(IDS, mixed, model.start(B)).hit
        again = model.forward(IDS, model.start(B))
    torch.testing.assert_close(
        scored.log_prob.double(), expected.log_prob.double(), atol=1e-5, rtol=1e-5
    )
    same_state(scored.state, expected.state)
    torch.testing.assert_close(again.logits, output.logits)
    assert torch.equal(scored.hit, best == TARGETS)
    assert torch.equal(mixed_hit, best == mixed)
    assert mixed_hit[:, ::2].all()
    assert not mixed_hit.all()


def test_future_never_leaks(model: Any) -> None:
    """Other tokens from t on: the logits before t are the same to the last bit."""
    logits = model.forward(IDS, model.start(B)).logits
    for t in range(1, T):
        other = IDS.clone()
        other[:, t:] = (other[:, t:] + 1) % V
        changed = model.forward(other, model.start(B)).logits
        torch.testing.assert_close(changed[:, :t], logits[:, :t], atol=0, rtol=0)
        if count_parameters(model):
            assert not torch.allclose(changed[:, t], logits[:, t])


@pytest.mark.parametrize("cut", [1, 3, T - 1])
def test_cutting_and_carrying_changes_nothing(model: Any, cut: int) -> None:
    """Two calls with the state handed on = one call."""
    whole = model.forward(IDS, model.start(B))
    first = model.forward(IDS[:, :cut], model.start(B))
    second = model.forward(IDS[:, cut:], first.state)
    torch.testing.assert_close(torch.cat([first.logits, second.logits], 1), whole.logits)
    same_state(second.state, whole.state)
    scored = model.score(IDS, TARGETS, model.start(B))
    before = model.score(IDS[:, :cut], TARGETS[:, :cut], model.start(B))
    after = model.score(IDS[:, cut:], TARGETS[:, cut:], detach(before.state))
    torch.testing.assert_close(
        torch.cat([before.log_prob, after.log_prob], 1), scored.log_prob, atol=1e-6, rtol=1e-6
    )


def test_advance_is_forward_without_the_logits(model: Any) -> None:
    """The same state after the same ids."""
    same_state(
        model.advance(IDS, model.start(B)),
        model.forward(IDS, model.start(B)).state,
    )


def test_rows_of_a_batch_do_not_mix(model: Any) -> None:
    """A row alone = the row in a batch; rows in another order give their results in that order."""
    start = model.advance(draw(B, 2), model.start(B))
    output = model.forward(IDS, start)
    for row in range(B):
        only = torch.tensor([row])
        alone = model.forward(IDS[only], select(start, only))
        torch.testing.assert_close(alone.logits, output.logits[only])
        same_state(alone.state, select(output.state, only))
    order = torch.tensor([2, 0, 1])
    turned = model.forward(IDS[order], select(start, order))
    torch.testing.assert_close(turned.logits, output.logits[order])


def test_state_is_a_tree_with_the_batch_first(model: Any) -> None:
    """repeat, concatenate, flatten and unflatten work on every model's state."""
    state = model.advance(IDS, model.start(B))
    assert all(leaf.shape[0] == B for leaf in leaves(state))
    twice = model.forward(IDS.repeat_interleave(2, 0), repeat(state, 2)).logits
    once = model.forward(IDS, state).logits
    torch.testing.assert_close(twice, once.repeat_interleave(2, 0))
    rows = [select(state, torch.tensor([row])) for row in range(B)]
    same_state(concatenate(rows), state)
    named = flatten(tree_map(lambda t: t.clone(), state))
    assert len(named) == len(list(leaves(state)))
    same_state(unflatten(model.start(1), named), state)
    assert not any(leaf.requires_grad for leaf in leaves(detach(state)))


def test_groups_hold_every_parameter_once(model: Any) -> None:
    """From the bottom up, each layer in a group of its own; whether shapes are fixed is answered
    too. Of every model that learns by gradient descent."""
    if not isinstance(model, TrainableModel):
        assert isinstance(model, (Stored, Windowed))
        return
    groups = model.groups()
    ids = [id(parameter) for group in groups for parameter in group]
    assert sorted(ids) == sorted(id(parameter) for parameter in model.parameters())
    layers = model.layer_parameters()
    assert all(groups) and len(groups) == 1 + len(layers)
    assert [[id(one) for one in group] for group in groups[:-1]] == [
        [id(one) for one in layer] for layer in layers
    ]
    if isinstance(model, (RecurrentLM, TransformerLM)):
        assert layers == [list(layer.parameters()) for layer in model.stack.layers]
        full = isinstance(model, RecurrentLM) and model.config.softmax == "full"
        assert model.fixed_shapes == full


def test_evaluation_is_deterministic(model: Any) -> None:
    """In evaluation mode nothing is drawn."""
    a, b = (model.forward(IDS, model.start(B)).logits for _ in range(2))
    torch.testing.assert_close(a, b, atol=0, rtol=0)


def test_dropout_is_for_training_only() -> None:
    """A model with every kind of dropout: in evaluation mode the same as one without."""
    kinds = ("embedding", "input", "hidden", "output", "weight")
    wet = recurrent(**{f"dropout_{kind}": 0.5 for kind in kinds})
    dry = recurrent()
    dry.load_state_dict(wet.state_dict())
    torch.testing.assert_close(
        wet.forward(IDS, wet.start(B)).logits, dry.forward(IDS, dry.start(B)).logits
    )
    wet.train()
    a, b = (wet.forward(IDS, wet.start(B)).logits for _ in range(2))
    assert not torch.allclose(a, b)


@pytest.mark.parametrize("name", list(MODELS))
def test_weights_round_trip(name: str, tmp_path: Path) -> None:
    """state_dict, and the run's file of weights, make another model the same model; an n-gram
    model its own file."""
    torch.manual_seed(0)
    model = MODELS[name]()
    torch.manual_seed(1)
    twin = MODELS[name]()
    logits = model.forward(IDS, model.start(B)).logits
    if name not in ("default-ngram", "default-mixture"):  # both uniform
        assert not torch.allclose(twin.forward(IDS, twin.start(B)).logits, logits)
    if isinstance(model, nn.Module) and count_parameters(model):
        twin.load_state_dict(model.state_dict())
        torch.testing.assert_close(twin.forward(IDS, twin.start(B)).logits, logits, atol=0, rtol=0)

    torch.manual_seed(1)
    twin = MODELS[name]()
    through_files(model, twin, tmp_path)
    again = twin.forward(IDS, twin.start(B))
    torch.testing.assert_close(again.logits, logits, atol=0, rtol=0)
    same_state(again.state, model.forward(IDS, model.start(B)).state)
    twin_score, model_score = (m.score(IDS, TARGETS, m.start(B)) for m in (twin, model))
    torch.testing.assert_close(twin_score.log_prob, model_score.log_prob, atol=0, rtol=0)
    if isinstance(model, Stored):
        assert twin.size == model.size


def through_files(model: Any, twin: Any, folder: Path) -> None:
    """Make `twin` what `model` is by what a run keeps in its folder."""
    if isinstance(model, MixtureLM):
        for index, pair in enumerate(zip(model.members, twin.members, strict=True)):
            (folder / str(index)).mkdir()
            through_files(*pair, folder / str(index))
    elif isinstance(model, NgramLM):
        words = [*SPECIALS, *(f"w{index}" for index in range(len(SPECIALS), V))]
        path = folder / "model.safetensors"
        file.write(path, model.table, Lexicon.of(words), {"a": 1})
        twin.read(path)
        assert twin.lexicon.words() == words
        assert twin.meta == {"a": 1}
    elif isinstance(model, Windowed) and isinstance(model.inner, Stored):
        through_files(model.inner, twin.inner, folder)
    else:
        write_weights(folder, model, {})
        weights, _ = read_tensors(folder / "model.safetensors")
        load_weights(twin, weights, folder)


# --------------------------------------------------------------------------------- shapes and tying


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("embedding", [None, 4, 9])
@pytest.mark.parametrize("cell", CELLS)
def test_odd_widths(cell: str, embedding: int | None, tied: bool, layers: int) -> None:
    """Any width of the embedding, tied or not, one layer or three."""
    hidden = 7
    model = recurrent(cell, embedding=embedding, hidden=hidden, layers=layers, tied=tied)
    E = embedding or hidden
    widths = [hidden] * (layers - 1) + [E if tied else hidden]
    output = model.forward(IDS, model.start(B))
    assert model.embedding.weight.shape == (V, E)
    assert [layer.U.shape[1] for layer in model.stack.layers] == widths
    assert [part[0].shape for part in output.state] == [(B, width) for width in widths]
    assert output.logits.shape == (B, T, V)
    assert output.hidden.shape == output.raw.shape == (B, T, widths[-1])
    torch.testing.assert_close(output.hidden, output.raw)
    E_out = model.embedding.weight if tied else model.head.E
    torch.testing.assert_close(output.logits, output.hidden @ E_out.T + model.head.b)


def test_tied_weights_are_one_parameter() -> None:
    """Once in the parameters, once in the state_dict, V·E fewer numbers, and gradients from both
    ends of the network."""
    tied, untied = recurrent(tied=True, hidden=5), recurrent(hidden=5)
    assert tied.head.E is None
    of_shape = [name for name, t in tied.state_dict().items() if t.shape == (V, 5)]
    assert of_shape == ["embedding.weight"]
    assert sum(p.shape == (V, 5) for p in tied.parameters()) == 1
    assert count_parameters(untied) - count_parameters(tied) == V * 5

    ids, targets = torch.full((B, T), 2), torch.full((B, T), 4)
    tied.score(ids, targets, tied.start(B)).log_prob.sum().backward()
    untied.score(ids, targets, untied.start(B)).log_prob.sum().backward()
    assert tied.embedding.weight.grad.any(dim=1).all()  # every row is an output's
    assert untied.embedding.weight.grad.any(dim=1).tolist() == [i == 2 for i in range(V)]


def test_unigram_is_add_k() -> None:
    """p(w) = (c(w) + k) / (N + k V), the `<eos>` at the end of the text counted whether it was
    there or not; uniform before it was fitted."""

    def probs(model: NgramLM) -> Tensor:
        return model.forward(torch.tensor([[3]]), model.start(1)).logits[0, 0].exp()

    model = NgramConfig(order=1, smoothing="add-k", add_k=0.5).build(4)
    torch.testing.assert_close(probs(model), torch.full((4,), 0.25))
    for ids in ([2, 2, 3], [2, 2, 3, EOS]):
        model.fit(np.array(ids, dtype=np.uint16))
        torch.testing.assert_close(probs(model), torch.tensor([0.5, 1.5, 2.5, 1.5]) / 6)


def test_counts_have_no_parameters(model: Any) -> None:
    """What keeps its own file has a size instead; a mixture has the parameters of its members."""
    if isinstance(model, NgramLM):
        assert list(model.parameters()) == []
        assert model.size > 0
    if isinstance(model, MixtureLM):
        inside = sum(count_parameters(member) for member in model.members)
        assert count_parameters(model) == inside
        sizes = [getattr(m, "size", None) or count_parameters(m) for m in model.members]
        assert model.size == sum(sizes) + len(sizes)
    assert isinstance(model, Stored) == isinstance(model, (NgramLM, MixtureLM))
    assert model.eval() is model


def test_ngram_sees_no_further() -> None:
    """A model of order n forgets what is n - 1 words back, and `context` says so."""
    torch.manual_seed(0)
    for order in (1, 2, 4):
        model = ngram(order)
        assert model.context == order - 1
        logits = model.forward(IDS, model.start(B)).logits
        other = IDS.clone()
        other[:, 2] = (other[:, 2] + 1) % V
        changed = model.forward(other, model.start(B)).logits
        seen = (changed != logits).any(-1).any(0).tolist()
        assert not any(seen[2 + model.context :])
        assert any(seen) == (order > 1)


def test_recurrent_is_its_equation() -> None:
    """Embedding, layers, softmax, put together by hand."""
    model = recurrent("elman", layers=1)
    (layer,) = model.stack.layers
    h = torch.zeros(B, 6, dtype=torch.float64)
    output = model.forward(IDS, model.start(B))
    for t in range(T):
        x = model.embedding.weight[IDS[:, t]]
        h = (x @ layer.W.T + h @ layer.U.T + layer.b).tanh()
        logits = h @ model.head.E.T + model.head.b
        torch.testing.assert_close(output.logits[:, t], logits)


def test_put_vectors_fills_the_rows_it_is_given() -> None:
    """Pretrained vectors, scaled to the embedding's standard deviation; other rows stay."""
    model = recurrent()
    before = model.embedding.weight.detach().clone()
    vectors = 100 * torch.randn(3, 5, dtype=torch.float64)
    put_vectors(model.embedding, torch.tensor([1, 4, 7]), vectors)
    after = model.embedding.weight.detach()
    kept = torch.tensor([i not in (1, 4, 7) for i in range(V)])
    assert torch.equal(after[kept], before[kept])
    ratio = after[[1, 4, 7]] / vectors
    torch.testing.assert_close(ratio, ratio[0, 0].expand(3, 5))
    torch.testing.assert_close(after[[1, 4, 7]].std(), before.std())


# ----------------------------------------------------------------------------------------- windowed


@pytest.mark.parametrize("context", [1, 2, 5, T + 3])
@pytest.mark.parametrize("cell", ["lstm", "irnn", "gru-before"])
def test_windowed_equals_slow_loop(cell: str, context: int, monkeypatch: Any) -> None:
    """Every token from a fresh start and exactly the C tokens before it, `<eos>` before the
    first."""
    monkeypatch.setattr(windowed, "_TOKENS", 3 * context)
    inner = recurrent(cell)
    model = Windowed(inner, context)
    output = model.forward(IDS, model.start(B))
    scored = model.score(IDS, TARGETS, model.start(B))
    for row in range(B):
        text = [EOS] * context + IDS[row].tolist()
        for t in range(T):
            window = torch.tensor([text[t + 1 : t + 1 + context]])
            logits = inner.forward(window, inner.start(1)).logits[0, -1]
            torch.testing.assert_close(output.logits[row, t], logits)
            log_prob = logits.log_softmax(-1)[TARGETS[row, t]]
            torch.testing.assert_close(scored.log_prob[row, t], log_prob)


@pytest.mark.parametrize("context", [1, 3])
def test_windowed_sees_no_further(context: int) -> None:
    """A change C tokens back is invisible, one C - 1 back is not."""
    model = Windowed(recurrent(), context)
    logits = model.forward(IDS, model.start(B)).logits
    other = IDS.clone()
    other[:, 2] = (other[:, 2] + 1) % V
    changed = model.forward(other, model.start(B)).logits
    torch.testing.assert_close(changed[:, 2 + context :], logits[:, 2 + context :])
    for t in range(2, 2 + context):
        assert not torch.allclose(changed[:, t], logits[:, t])
    assert model.context == context
