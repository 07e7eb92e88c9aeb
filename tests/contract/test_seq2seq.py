"""What every model of sentence pairs keeps to: `start(source, mask)`, then as a language model."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from nextword import registry
from nextword.config import Config, configure
from nextword.errors import InputError
from nextword.files import read_tensors
from nextword.models.building import load_weights
from nextword.models.seq2seq import Seq2SeqConfig
from nextword.models.transformer import TransformerConfig
from nextword.nn.attention_weights import record_attention
from nextword.run import count_parameters, write_weights
from nextword.state import concatenate, detach, leaves, repeat, select
from nextword.types import LanguageModel
from tests.support import same_state, scatter

V, V_SOURCE, B, T, S = 9, 12, 3, 5, 6
CELLS, SCORES = registry.names("cell"), registry.names("attention")


def recurrent(cell: str = "lstm", joint: bool = False, **settings: Any) -> Any:
    sizes = {"embedding": 5, "hidden": 6} | settings
    words = V if joint else V_SOURCE
    return scatter(Seq2SeqConfig(cell=cell, **sizes).build(V, words, joint), 0.4).eval()


def transformer(joint: bool = False, **settings: Any) -> Any:
    sizes = {"hidden": 6, "heads": 2, "inner": 7, "layers": 2, "context": 8} | settings
    words = V if joint else V_SOURCE
    return scatter(TransformerConfig(**sizes).build(V, words, joint), 0.4).eval()


def name_of(attention: str, fed: bool, both: bool) -> str:
    return f"{attention}{'-fed' * fed}{'-both' * both}"


WAYS = [
    (attention, fed, both)
    for attention, fed, both in product([*SCORES, "none"], [False, True], [False, True])
    if attention != "none" or not fed
]
MODELS: dict[str, Callable[[], Any]] = {
    **{
        f"gru-{name_of(*way)}": lambda way=way: recurrent(
            "gru", attention=way[0], input_feeding=way[1], bidirectional=way[2]
        )
        for way in WAYS
    },
    **{
        f"{cell}-{name_of(*way)}": lambda cell=cell, way=way: recurrent(
            cell, attention=way[0], input_feeding=way[1], bidirectional=way[2], layers=2
        )
        for index, cell in enumerate(CELLS)
        for way in (WAYS[(5 * index) % len(WAYS)], WAYS[(7 * index + 3) % len(WAYS)])
    },
    "recurrent-joint-tied": lambda: recurrent(joint=True, tied=True, embedding=None),
    "recurrent-adaptive": lambda: recurrent(softmax="adaptive", cutoffs=[3, 6]),
    "recurrent-sampled": lambda: recurrent(softmax="sampled", cutoffs=[3], samples=V),
    "recurrent-softmaxes": lambda: recurrent(softmaxes=2, layers=2),
    "transformer": lambda: transformer(),
    "transformer-post": lambda: transformer(norm="post", dropout=0.5, dropout_attention=0.5),
    "transformer-learned": lambda: transformer(positions="learned", activation="gelu", heads=3),
    "transformer-joint-tied": lambda: transformer(joint=True, tied=True, scale_embedding=False),
    "transformer-full": lambda: transformer(context=S),  # no place to spare
    "transformer-adaptive": lambda: transformer(softmax="adaptive", cutoffs=[3, 6]),
    "default-seq2seq": lambda: Seq2SeqConfig().build(V, V_SOURCE).double().eval(),
    "default-transformer": lambda: TransformerConfig().build(V, V_SOURCE).double().eval(),
}
LENGTHS = [4, 6, 1]
MASK = torch.arange(S) < torch.tensor(LENGTHS)[:, None]


@pytest.fixture(params=list(MODELS))
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    return MODELS[request.param]()


def draw(words: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randint(words, shape, generator=torch.Generator().manual_seed(seed))


IDS, TARGETS, SOURCE = draw(V, B, T), draw(V, B, T, seed=1), draw(V, B, S, seed=2)


def test_every_model_of_pairs_is_here() -> None:
    """A new one has to come in, as must a new cell and a new score."""
    pairs = [
        name for name in registry.names("model") if registry.load("model", name).task == "pairs"
    ]
    assert {f"default-{name}" for name in pairs} <= set(MODELS)
    assert all(any(name.startswith(cell) for name in MODELS) for cell in CELLS)
    assert len(WAYS) == 4 * len(SCORES) + 2


def test_forward_gives_a_distribution_per_token(model: Any) -> None:
    """Logits (B, T, V) of the target's vocabulary; the batch is dimension 0 of all of the state."""
    output = model.forward(IDS, model.start(SOURCE, MASK))
    assert isinstance(model, LanguageModel) and model.vocab_size == V
    assert output.logits.shape == (B, T, V)
    total = output.logits.log_softmax(-1).exp().sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total))
    assert all(len(leaf) == B for leaf in leaves(output.state))
    assert output.hidden is not None and output.hidden.shape[:2] == (B, T)


def test_score_is_the_softmax_of_forward(model: Any) -> None:
    """With and without gradient, the same state after it; `hit` where the target is the best."""
    output = model.forward(IDS, model.start(SOURCE, MASK))
    expected = output.logits.log_softmax(-1).gather(-1, TARGETS[..., None])[..., 0]
    scored = model.score(IDS, TARGETS, model.start(SOURCE, MASK))
    torch.testing.assert_close(scored.log_prob, expected)
    same_state(scored.state, output.state)
    same_state(model.advance(IDS, model.start(SOURCE, MASK)), output.state)
    best = output.logits.argmax(-1)
    mixed = best.where(torch.arange(T) % 2 == 0, TARGETS)
    with torch.no_grad():
        scored = model.score(IDS, mixed, model.start(SOURCE, MASK))
    expected = output.logits.log_softmax(-1).gather(-1, mixed[..., None])[..., 0]
    torch.testing.assert_close(scored.log_prob, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(scored.hit, mixed == best)


def test_even_is_the_mean_over_the_vocabulary(model: Any) -> None:
    """What label smoothing asks for; heads without a cheap way refuse."""
    output = model.forward(IDS, model.start(SOURCE, MASK))
    scored = model.score(IDS, TARGETS, model.start(SOURCE, MASK))
    if model.config.softmax == "adaptive" or model.config.softmaxes > 1:
        with pytest.raises(InputError, match="label smoothing"):
            scored.mean_log_prob()
        return
    torch.testing.assert_close(scored.mean_log_prob(), output.logits.log_softmax(-1).mean(-1))


@pytest.mark.parametrize("cut", [1, 3])
def test_cutting_and_carrying_changes_nothing(model: Any, cut: int) -> None:
    """The target in two calls, and word by word."""
    whole = model.forward(IDS, model.start(SOURCE, MASK))
    first = model.forward(IDS[:, :cut], model.start(SOURCE, MASK))
    second = model.forward(IDS[:, cut:], detach(first.state))
    torch.testing.assert_close(torch.cat([first.logits, second.logits], 1), whole.logits)
    same_state(second.state, whole.state)
    state, words = model.start(SOURCE, MASK), []
    for t in range(T):
        output = model.forward(IDS[:, t : t + 1], state)
        words.append(output.logits)
        state = output.state
    torch.testing.assert_close(torch.cat(words, 1), whole.logits)


def test_a_batch_is_its_rows_alone(model: Any) -> None:
    """Each with a source of its own length: padding is not seen, whatever it holds, nor how wide
    it is."""
    output = model.forward(IDS, model.start(SOURCE, MASK))
    for row, length in enumerate(LENGTHS):
        one = slice(row, row + 1)
        source = SOURCE[one, :length]
        alone = model.forward(IDS[one], model.start(source, torch.ones_like(source) > 0))
        torch.testing.assert_close(alone.logits, output.logits[one])
    other = SOURCE.where(MASK, (SOURCE + 1) % V)
    refilled = model.forward(IDS, model.start(other, MASK))
    torch.testing.assert_close(refilled.logits, output.logits, atol=0, rtol=0)
    for row in range(B):  # and the source is seen, from its first word to its last
        for place in {0, LENGTHS[row] - 1}:
            other = SOURCE.clone()
            other[row, place] = (other[row, place] + 1) % V
            changed = model.forward(IDS, model.start(other, MASK)).logits
            differs = (changed != output.logits).flatten(1).any(1)
            assert differs.tolist() == [index == row for index in range(B)]


def test_future_never_leaks(model: Any) -> None:
    """Other words from t on: the logits before t are the same to the last bit."""
    logits = model.forward(IDS, model.start(SOURCE, MASK)).logits
    for t in range(1, T):
        other = IDS.clone()
        other[:, t:] = (other[:, t:] + 1) % V
        changed = model.forward(other, model.start(SOURCE, MASK)).logits
        torch.testing.assert_close(changed[:, :t], logits[:, :t], atol=0, rtol=0)
        assert not torch.allclose(changed[:, t], logits[:, t])


def test_states_can_be_handled(model: Any) -> None:
    """Rows in another order, each more than once, and batches put together, sources of different
    widths too."""
    state = model.advance(IDS, model.start(SOURCE, MASK))
    logits = model.forward(IDS[:, :1], state).logits
    order = torch.tensor([2, 0, 1, 0])
    turned = model.forward(IDS[order, :1], select(state, order)).logits
    torch.testing.assert_close(turned, logits[order])
    twice = model.forward(IDS[:, :1].repeat_interleave(2, 0), repeat(state, 2)).logits
    torch.testing.assert_close(twice, logits.repeat_interleave(2, 0))
    same_state(concatenate([select(state, torch.tensor([row])) for row in range(B)]), state)
    parts = []
    for row, length in enumerate(LENGTHS):
        source = SOURCE[row : row + 1, :length]
        start = model.start(source, torch.ones_like(source) > 0)
        parts.append(model.advance(IDS[row : row + 1], start))
    together = model.forward(IDS[:, :1], concatenate(parts)).logits
    torch.testing.assert_close(together, logits)


def test_targets_of_different_lengths_go_on_together(model: Any) -> None:
    """Rows that have read 1, 4 and 2 words, put into one batch, go on as they would alone."""
    states, expected = [], []
    for row, read in enumerate([1, 4, 2]):
        one = slice(row, row + 1)
        state = model.advance(IDS[one, :read], model.start(SOURCE[one], MASK[one]))
        states.append(state)
        expected.append(model.forward(TARGETS[one, :2], state).logits)
    together = model.forward(TARGETS[:, :2], concatenate(states)).logits
    torch.testing.assert_close(together, torch.cat(expected))


def test_evaluation_is_deterministic_and_weights_round_trip(model: Any, tmp_path: Any) -> None:
    """Through the run's file, into a model with other weights."""
    # Fails for joint vocabularies: safetensors refuses the embedding under its two names.
    logits = model.forward(IDS, model.start(SOURCE, MASK)).logits
    again = model.forward(IDS, model.start(SOURCE, MASK)).logits
    torch.testing.assert_close(again, logits, atol=0, rtol=0)
    joint = model.source_embedding is model.embedding
    words = model.source_embedding.num_embeddings
    twin = model.config.build(V, words, joint).double().eval()
    assert not torch.allclose(twin.forward(IDS, twin.start(SOURCE, MASK)).logits, logits)
    write_weights(tmp_path, model, {})
    weights, _ = read_tensors(tmp_path / "model.safetensors")
    load_weights(twin, weights, tmp_path)
    same = twin.forward(IDS, twin.start(SOURCE, MASK)).logits
    torch.testing.assert_close(same, logits, atol=0, rtol=0)


# ---------------------------------------------------------------------------------- gradients

TINY = [
    *(name for name in MODELS if name.startswith("gru-") and "before" not in name),
    "transformer",
    "transformer-post",
    "transformer-joint-tied",
]


@pytest.mark.parametrize("name", TINY)
def test_gradients_are_finite_differences(name: str) -> None:
    """Along a random direction for each parameter; every one of them matters."""
    torch.manual_seed(0)
    model = MODELS[name]()

    def loss() -> Tensor:
        return -model.score(IDS, TARGETS, model.start(SOURCE, MASK)).log_prob.sum()

    named = dict(model.named_parameters())
    gradients = torch.autograd.grad(loss(), list(named.values()))
    for (key, parameter), gradient in zip(named.items(), gradients, strict=True):
        direction, kept, values = torch.randn_like(parameter), parameter.detach().clone(), []
        for step in (1e-5, -1e-5):
            parameter.data.copy_(kept + step * direction)
            values.append(float(loss().detach()))
        parameter.data.copy_(kept)
        slope = (values[0] - values[1]) / 2e-5
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-7), key
        if not key.endswith("kv.bias") and not key.endswith("q.bias"):  # keys' biases may cancel
            assert gradient.any(), key


# ------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("build", [recurrent, transformer])
def test_joint_vocabularies_share_their_vectors(build: Any) -> None:
    """One parameter, saved once, read from both sides; tied too, from three."""
    joint, apart = build(joint=True), build()
    assert joint.source_embedding is joint.embedding
    width = joint.embedding.embedding_dim
    assert count_parameters(apart) - count_parameters(joint) == V_SOURCE * width
    source, ids = torch.full((1, 2), 3), torch.full((1, 2), 5)
    mask = torch.ones(1, 2, dtype=torch.bool)
    for model, rows in ((joint, [3, 5]), (apart, [5])):
        model.score(ids, ids, model.start(source, mask)).log_prob.sum().backward()
        used = model.embedding.weight.grad.any(1).nonzero()[:, 0].tolist()
        assert used == rows
    assert apart.source_embedding.weight.grad.any(1).nonzero()[:, 0].tolist() == [3]
    tied = build(joint=True, tied=True, **({"embedding": None} if build is recurrent else {}))
    assert tied.head.E is None
    assert sum(p.shape == (V, 6) for p in tied.parameters()) == 1


@pytest.mark.parametrize("both", [False, True])
def test_attention_is_noted(both: bool) -> None:
    """(B, 1, T, S) for each call, none on padding; a Transformer's by layer and kind."""
    for fed, shapes in ((False, [(B, 1, T, S)]), (True, [(B, 1, 1, S)] * T)):
        model = recurrent(input_feeding=fed, bidirectional=both)
        with record_attention() as seen:
            model.forward(IDS, model.start(SOURCE, MASK))
        assert [weights.shape for weights in seen["source"]] == shapes
        for weights in seen["source"]:
            assert not weights.masked_select(~MASK[:, None, None]).any()
            torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


def test_attention_of_a_transformer_is_noted() -> None:
    """By layer and kind, (B, heads, T, S)."""
    model = transformer()
    with record_attention() as seen:
        model.forward(IDS, model.start(SOURCE, MASK))
    shapes = {name: [tuple(t.shape) for t in values] for name, values in seen.items()}
    assert shapes == {
        "encoder.0.self": [(B, 2, S, S)],
        "encoder.1.self": [(B, 2, S, S)],
        "decoder.0.self": [(B, 2, T, T)],
        "decoder.0.source": [(B, 2, T, S)],
        "decoder.1.self": [(B, 2, T, T)],
        "decoder.1.source": [(B, 2, T, S)],
    }
    assert not seen["decoder.0.self"][0].triu(1).any()
    assert not seen["decoder.1.source"][0].masked_select(~MASK[:, None, None]).any()


def test_seq2seq_is_its_equations() -> None:
    """Luong's decoder with input feeding, put together by hand, step by step."""
    torch.manual_seed(0)
    model = recurrent("elman", attention="general", input_feeding=True)
    (forth,), (back,) = model.encoder.to_right, model.encoder.to_left
    (layer,) = model.stack.layers
    for row, length in enumerate(LENGTHS):
        x = model.source_embedding.weight[SOURCE[row, :length]]
        ways = []
        for reader, order in ((forth, range(length)), (back, reversed(range(length)))):
            h, seen = torch.zeros(3, dtype=torch.float64), {}
            for t in order:
                h = torch.tanh(reader.W @ x[t] + reader.U @ h + reader.b)
                seen[t] = h
            ways.append((torch.stack([seen[t] for t in range(length)]), h))
        m, h = torch.cat([ways[0][0], ways[1][0]], 1), torch.cat([ways[0][1], ways[1][1]])
        a = torch.zeros(6, dtype=torch.float64)
        output = model.forward(
            IDS[row : row + 1], model.start(SOURCE[row : row + 1], MASK[row : row + 1])
        )
        for t in range(T):
            fed = torch.cat([model.embedding.weight[IDS[row, t]], a])
            h = torch.tanh(layer.W @ fed + layer.U @ h + layer.b)
            c = (m @ (model.attention.W.T @ h) / 6**0.5).softmax(0) @ m
            a = torch.tanh(model.combine.weight @ torch.cat([c, h]))
            logits = model.head.E @ a + model.head.b
            torch.testing.assert_close(output.logits[0, t], logits)


def test_dropout_is_for_training_only() -> None:
    """Every kind; in evaluation the same as without."""
    wet = recurrent(layers=2, dropout_input=0.5, dropout_hidden=0.5, dropout_output=0.5)
    dry = recurrent(layers=2)
    dry.load_state_dict(wet.state_dict())
    pairs = [(wet, dry)]
    for kind in ("dropout", "dropout_attention"):
        wet = transformer(**({"dropout": 0.0} | {kind: 0.5}))
        dry = transformer(dropout=0.0)
        dry.load_state_dict(wet.state_dict())
        pairs.append((wet, dry))
    for wet, dry in pairs:
        a, b = (m.forward(IDS, m.start(SOURCE, MASK)).logits for m in (wet, dry))
        torch.testing.assert_close(a, b)
        wet.train()
        a, b = (wet.forward(IDS, wet.start(SOURCE, MASK)).logits for _ in range(2))
        assert not torch.allclose(a, b)


# ------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("transformer", {"hidden": 10, "heads": 4}, "not divisible by heads = 4; try hidden=8"),
        ("transformer", {"hidden": 2, "heads": 4}, "try hidden=4"),
        ("transformer-lm", {"hidden": 9, "heads": 2}, "not divisible by heads"),
        ("transformer", {"heads": 0}, "heads"),
        ("transformer", {"context": 1}, "context"),
        ("transformer", {"positions": "rotary"}, "positions"),
        ("transformer", {"softmax": "adaptive", "tied": True}, "tied=false"),
        ("seq2seq", {"hidden": 7}, "even number"),
        ("seq2seq", {"tied": True, "embedding": 5, "hidden": 6}, "must be hidden = 6"),
        ("seq2seq", {"input_feeding": True, "attention": "none"}, "set model.attention"),
        ("seq2seq", {"attention": "generl"}, "general"),
        ("seq2seq", {"cell": "lstmm"}, "lstm"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    name: str, settings: dict[str, Any], says: str
) -> None:
    """In plain words, whether from tables or on the command line."""
    stream = {"stream": "windows" if name == "transformer-lm" else "pairs"}
    with pytest.raises(InputError, match=says):
        Config.parse({"model": {"name": name, **settings}, "train": stream})
    overrides = {f"model.{key}": value for key, value in settings.items()}
    with pytest.raises(InputError, match=says):
        configure(name, {"model.tied": False} | overrides)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("seq2seq", {"hidden": 7, "bidirectional": False}),
        ("seq2seq", {"tied": True, "embedding": 6, "hidden": 6}),
        ("seq2seq", {"tied": True, "hidden": 6}),
        ("seq2seq", {"attention": "none"}),
        ("transformer", {"hidden": 9, "heads": 3}),
        ("transformer", {"hidden": 9, "heads": 9, "tied": True}),
    ],
)
def test_settings_that_fit_make_a_model(name: str, settings: dict[str, Any]) -> None:
    """Odd widths of the Transformer too."""
    config = Config.parse({"model": {"name": name, **settings}, "train": {"stream": "pairs"}})
    model = config.model.build(V, V_SOURCE)
    logits = model.forward(IDS, model.start(SOURCE, MASK)).logits
    assert logits.shape == (B, T, V) and logits.isfinite().all()


@pytest.mark.parametrize(("name", "stream"), [("seq2seq", "stripes"), ("recurrent", "pairs")])
def test_streams_and_models_must_fit(name: str, stream: str) -> None:
    """Pairs are for models of pairs, and nothing else is."""
    with pytest.raises(InputError, match="reads"):
        Config.parse({"model": {"name": name}, "train": {"stream": stream}})


@pytest.mark.parametrize("cell", CELLS)
def test_a_few_rows_in_low_precision(cell: str) -> None:
    """Few rows are too few for the encoder's fast loops and enough for the wider decoder's: under
    autocast the one hands its state to the other."""
    model = Seq2SeqConfig(cell=cell, hidden=512, embedding=8).build(V, V_SOURCE)
    source, ids = draw(V_SOURCE, 5, S), draw(V, 5, T)
    with torch.autocast("cpu", torch.bfloat16):
        state = model.start(source, torch.ones_like(source, dtype=torch.bool))
        log_prob, *_ = model.score(ids, ids, state)
    assert all(leaf.dtype in (torch.float32, torch.bool) for leaf in leaves(state))
    log_prob.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("locked", [True, False])
def test_locked_dropout_under_input_feeding(locked: bool) -> None:
    """The decoder is called step by step; between its layers the same units are dropped all the
    same."""
    torch.manual_seed(0)
    model = recurrent(
        input_feeding=True, layers=2, hidden=20, dropout_hidden=0.5, locked=locked
    ).train()
    dropped: list[Tensor] = []
    model.stack.layers[1].register_forward_pre_hook(
        lambda layer, inputs: dropped.append(inputs[0][0] == 0)
    )
    source, ids = torch.randint(2, V_SOURCE, (B, S)), torch.randint(2, V, (B, T))
    model.hidden(ids, model.start(source, torch.ones(B, S, dtype=torch.bool)))
    assert len(dropped) == T and 0 < int(dropped[0].sum()) < B * 20
    assert all(torch.equal(one, dropped[0]) for one in dropped) is locked
