"""Attention and the Transformer against torch's own modules with the same weights, and against a
GPT-2 written out here."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextword.models.transformer import Transformer, TransformerConfig
from nextword.models.transformer_lm import TransformerLM, TransformerLMConfig
from nextword.nn.attention import MultiHeadAttention, written_out
from nextword.nn.attention_weights import record_attention
from nextword.nn.transformer import Shape, TransformerLayer, sinusoids
from tests.support import scatter

B, T, S, H, HEADS, INNER, V = 3, 5, 6, 8, 2, 12, 11
EXACT = {"atol": 1e-10, "rtol": 1e-10}
NORMS = pytest.mark.parametrize("pre_norm", [True, False], ids=["pre", "post"])
ACTIVATIONS = pytest.mark.parametrize("activation", ["relu", "gelu"])

Same = list[tuple[list[Tensor], Tensor]]  # blocks of ours, stacked, are one of theirs


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


def lengths_mask(lengths: list[int], width: int) -> Tensor:
    """(B, width), True = a token."""
    return torch.arange(width) < torch.tensor(lengths)[:, None]


SOURCE_MASK = lengths_mask([6, 3, 1], S)
MASK = lengths_mask([2, 5, 4], T)


def ahead(steps: int) -> Tensor:
    """What torch calls an attention mask: True = hidden."""
    return torch.ones(steps, steps, dtype=torch.bool).triu(1)


# ---------------------------------------------------------------------------- which is which


def attention_weights(ours: MultiHeadAttention, theirs: nn.MultiheadAttention) -> Same:
    return [
        ([ours.q.weight, ours.kv.weight], theirs.in_proj_weight),
        ([ours.q.bias, ours.kv.bias], theirs.in_proj_bias),
        ([ours.out.weight], theirs.out_proj.weight),
        ([ours.out.bias], theirs.out_proj.bias),
    ]


def plain_weights(ours: nn.Module, theirs: nn.Module) -> Same:
    return [([ours.weight], theirs.weight), ([ours.bias], theirs.bias)]


def layer_weights(ours: TransformerLayer, theirs: Any) -> Same:
    """An encoder's or a decoder's layer."""
    same = attention_weights(ours.attention, theirs.self_attn)
    same += plain_weights(ours.norm, theirs.norm1)
    same += plain_weights(ours.feed_forward.wide, theirs.linear1)
    same += plain_weights(ours.feed_forward.narrow, theirs.linear2)
    if ours.source_attention is None:
        return same + plain_weights(ours.feed_forward_norm, theirs.norm2)
    same += attention_weights(ours.source_attention, theirs.multihead_attn)
    same += plain_weights(ours.source_norm, theirs.norm2)
    return same + plain_weights(ours.feed_forward_norm, theirs.norm3)


def hand_over(same: Same) -> None:
    with torch.no_grad():
        for ours, theirs in same:
            theirs.copy_(torch.cat(ours))


def compare_gradients(same: Same) -> None:
    for ours, theirs in same:
        torch.testing.assert_close(torch.cat([p.grad for p in ours]), theirs.grad, **EXACT)
        assert theirs.grad.any()


def compare(mine: Tensor, other: Tensor, same: Same, inputs: list[tuple[Tensor, Tensor]]) -> None:
    """Outputs, and the gradients of a number that depends on all of them."""
    torch.testing.assert_close(mine, other, **EXACT)
    weight = draw(*mine.shape, seed=9).detach()
    for out in (mine, other):
        (out * weight).sum().backward()
    compare_gradients(same)
    for one, twin in inputs:
        torch.testing.assert_close(one.grad, twin.grad, **EXACT)


# ---------------------------------------------------------------------------------- attention


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_written_out_is_torchs_attention(masked: bool, causal: bool) -> None:
    """Outputs and gradients; torch takes one mask, so both are one for it."""
    q, k, v = (draw(B, HEADS, S, 4, seed=i) for i in range(3))
    mask = SOURCE_MASK[:, None, None] if masked else None
    mixed, weights = written_out(q, k, v, mask, causal)
    both = mask
    if masked and causal:
        both = SOURCE_MASK[:, None, None] & ~ahead(S)
    expected = F.scaled_dot_product_attention(q, k, v, both, is_causal=causal and not masked)
    torch.testing.assert_close(mixed, expected, **EXACT)
    torch.testing.assert_close(weights @ v, mixed, **EXACT)
    weight = draw(*mixed.shape, seed=9).detach()
    gradients = [torch.autograd.grad((out * weight).sum(), [q, k, v]) for out in (mixed, expected)]
    torch.testing.assert_close(*gradients, **EXACT)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("seen", [False, True])
def test_multi_head_attention(seen: bool, causal: bool) -> None:
    """nn.MultiheadAttention, by the fused way and by the one that shows its weights."""
    torch.manual_seed(0)
    ours = scatter(MultiHeadAttention(H, HEADS, name="here"))
    theirs = nn.MultiheadAttention(H, HEADS, batch_first=True).double()
    same = attention_weights(ours, theirs)
    hand_over(same)
    x, y = draw(B, T, H, seed=1), draw(B, T, H, seed=1)
    memory, other = (x, y) if causal else (draw(B, S, H, seed=2), draw(B, S, H, seed=2))
    mask = None if causal else SOURCE_MASK
    wide = None if mask is None else mask[:, None, None]
    with record_attention() as noted:
        if seen:
            out = ours(x, ours.keys_values(memory), wide, causal)
    if not seen:
        out = ours(x, ours.keys_values(memory), wide, causal)
    expected, weights = theirs(
        y,
        other,
        other,
        key_padding_mask=None if mask is None else ~mask,
        attn_mask=ahead(T) if causal else None,
        average_attn_weights=False,
    )
    assert list(noted) == (["here"] if seen else [])
    if seen:
        torch.testing.assert_close(noted["here"], [weights.detach()], **EXACT)
    compare(out, expected, same, [(x, y), (memory, other)])


# ------------------------------------------------------------------------------------- layers


@NORMS
@ACTIVATIONS
@pytest.mark.parametrize("padded", [False, True])
def test_encoder_layer(padded: bool, activation: Any, pre_norm: bool) -> None:
    """nn.TransformerEncoderLayer."""
    torch.manual_seed(0)
    shape = Shape(H, HEADS, INNER, pre_norm=pre_norm, activation=activation)
    ours = scatter(TransformerLayer(shape))
    settings = {"batch_first": True, "norm_first": pre_norm, "activation": activation}
    theirs = nn.TransformerEncoderLayer(H, HEADS, INNER, 0.0, **settings).double()
    same = layer_weights(ours, theirs)
    hand_over(same)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    x, y = draw(B, S, H), draw(B, S, H)
    mask = SOURCE_MASK if padded else None
    out, _ = ours(x, None if mask is None else mask[:, None, None])
    expected = theirs(y, src_key_padding_mask=None if mask is None else ~mask)
    compare(out, expected, same, [(x, y)])


@NORMS
@ACTIVATIONS
@pytest.mark.parametrize("padded", [False, True])
def test_decoder_layer(padded: bool, activation: Any, pre_norm: bool) -> None:
    """nn.TransformerDecoderLayer, causal, over a source; also in two pieces."""
    torch.manual_seed(0)
    shape = Shape(H, HEADS, INNER, pre_norm=pre_norm, activation=activation)
    ours = scatter(TransformerLayer(shape, source=True))
    settings = {"batch_first": True, "norm_first": pre_norm, "activation": activation}
    theirs = nn.TransformerDecoderLayer(H, HEADS, INNER, 0.0, **settings).double()
    same = layer_weights(ours, theirs)
    hand_over(same)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    x, y = draw(B, T, H), draw(B, T, H)
    memory, other = draw(B, S, H, seed=1), draw(B, S, H, seed=1)
    source = ours.source_attention.keys_values(memory)
    wide = SOURCE_MASK[:, None, None] if padded else None
    out, seen = ours(x, None, causal=True, source=source, source_mask=wide)
    expected = theirs(
        y, other, tgt_mask=ahead(T), memory_key_padding_mask=~SOURCE_MASK if padded else None
    )
    assert seen[0].shape == seen[1].shape == (B, T, H)
    first, past = ours(x[:, :2], None, causal=True, source=source, source_mask=wide)
    mask = ~ahead(T)[2:][None, None]
    second, last = ours(x[:, 2:], mask, cached=past, source=source, source_mask=wide)
    torch.testing.assert_close(torch.cat([first, second], 1), out, **EXACT)
    torch.testing.assert_close(last, seen, **EXACT)
    compare(out, expected, same, [(x, y), (memory, other)])


def test_layers_mask_is_the_padding_of_the_target() -> None:
    """A mask of the text itself, as torch's tgt_key_padding_mask with a causal one."""
    torch.manual_seed(0)
    ours = scatter(TransformerLayer(Shape(H, HEADS, INNER), source=True))
    theirs = nn.TransformerDecoderLayer(
        H, HEADS, INNER, 0.0, batch_first=True, norm_first=True
    ).double()
    same = layer_weights(ours, theirs)
    hand_over(same)
    x, y = draw(B, T, H), draw(B, T, H)
    memory, other = draw(B, S, H, seed=1), draw(B, S, H, seed=1)
    out, _ = ours(
        x,
        MASK[:, None, None] & ~ahead(T),
        source=ours.source_attention.keys_values(memory),
        source_mask=SOURCE_MASK[:, None, None],
    )
    expected = theirs(
        y,
        other,
        tgt_mask=ahead(T),
        tgt_key_padding_mask=~MASK,
        memory_key_padding_mask=~SOURCE_MASK,
    )
    compare(out, expected, same, [(x, y), (memory, other)])


# --------------------------------------------------------------------------- encoder and decoder


@NORMS
@ACTIVATIONS
def test_encoder_and_decoder(activation: Any, pre_norm: bool) -> None:
    """The whole model as nn.Transformer between embeddings and softmax; as published it has no norm
    behind the last layer, where torch puts one."""
    torch.manual_seed(0)
    config = TransformerConfig(
        hidden=H,
        layers=2,
        heads=HEADS,
        inner=INNER,
        context=S,
        norm="pre" if pre_norm else "post",
        activation=activation,
        dropout=0,
        tied=True,
    )
    ours: Transformer = scatter(config.build(V, V + 2))
    theirs = nn.Transformer(
        H,
        HEADS,
        2,
        2,
        INNER,
        0.0,
        activation=activation,
        batch_first=True,
        norm_first=pre_norm,
    ).double()
    same = []
    stacks = [(ours.encoder, theirs.encoder), (ours.stack, theirs.decoder)]
    for mine, other in stacks:
        for ours_layer, theirs_layer in zip(mine.layers, other.layers, strict=True):
            same += layer_weights(ours_layer, theirs_layer)
        if pre_norm:
            same += plain_weights(mine.norm, other.norm)
        else:
            other.norm = None
    hand_over(same)
    E, E_source = (m.weight.detach().clone() for m in (ours.embedding, ours.source_embedding))
    same += [([ours.embedding.weight], E), ([ours.source_embedding.weight], E_source)]
    for twin in (E, E_source):
        twin.requires_grad_()

    ids, source = torch.randint(V, (B, T)), torch.randint(V + 2, (B, S))
    places = sinusoids(S, H).double()
    expected = theirs(
        E_source[source] * math.sqrt(H) + places,
        E[ids] * math.sqrt(H) + places[:T],
        tgt_mask=ahead(T),
        src_key_padding_mask=~SOURCE_MASK,
        memory_key_padding_mask=~SOURCE_MASK,
    )
    expected = expected @ E.T + ours.head.b.detach()
    output = ours.forward(ids, ours.start(source, SOURCE_MASK))
    compare(output.logits, expected, same, [])


# -------------------------------------------------------------------------------------- GPT-2

LAYERS = 3


def gpt2(w: dict[str, Tensor], ids: Tensor) -> Tensor:
    """Radford et al. 2019, head by head; ids (T,) → logits (T, V)."""
    steps, d = len(ids), H // HEADS

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
        return (x - mean) / (var + 1e-5).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["wte.weight"][ids] + w["wpe.weight"][:steps]
    for i in range(LAYERS):
        qkv = linear(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn")
        q, k, v = qkv[:, :H], qkv[:, H : 2 * H], qkv[:, 2 * H :]
        heads = []
        for j in range(HEADS):
            part = slice(j * d, (j + 1) * d)
            rows = []
            for t in range(steps):
                share = (k[: t + 1, part] @ q[t, part] / d**0.5).exp()
                rows.append(share / share.sum() @ v[: t + 1, part])
            heads.append(torch.stack(rows))
        x = x + linear(torch.cat(heads, 1), f"h.{i}.attn.c_proj")
        y = linear(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")
        y = 0.5 * y * (1 + torch.tanh((2 / math.pi) ** 0.5 * (y + 0.044715 * y**3)))
        x = x + linear(y, f"h.{i}.mlp.c_proj")
    return norm(x, "ln_f") @ w["wte.weight"].T


def gpt2_model() -> TransformerLM:
    torch.manual_seed(0)
    config = TransformerLMConfig(
        hidden=H,
        layers=LAYERS,
        heads=HEADS,
        context=T,
        positions="learned",
        activation="gelu-tanh",
        scale_embedding=False,
        tied=True,
        dropout=0,
    )
    model = scatter(config.build(V))
    nn.init.zeros_(model.head.b)  # GPT-2 has none
    return model


def gpt2_weights(model: TransformerLM, of: str = "data") -> dict[str, Tensor]:
    """Weights, or their gradients, by GPT-2's names; its matrices are (in, out)."""

    def get(parameter: Tensor) -> Tensor:
        return getattr(parameter, of).clone()

    def both(name: str, *linears: nn.Linear) -> None:
        w[f"{name}.weight"] = torch.cat([get(linear.weight) for linear in linears]).t().contiguous()
        w[f"{name}.bias"] = torch.cat([get(linear.bias) for linear in linears])

    w = {
        "wte.weight": get(model.embedding.weight),
        "wpe.weight": get(model.embedded.positions.table),
    }
    for i, layer in enumerate(model.stack.layers):
        both(f"h.{i}.ln_1", layer.norm)
        both(f"h.{i}.attn.c_attn", layer.attention.q, layer.attention.kv)
        both(f"h.{i}.attn.c_proj", layer.attention.out)
        both(f"h.{i}.ln_2", layer.feed_forward_norm)
        both(f"h.{i}.mlp.c_fc", layer.feed_forward.wide)
        both(f"h.{i}.mlp.c_proj", layer.feed_forward.narrow)
    both("ln_f", model.stack.norm)
    return w


def test_is_gpt2() -> None:
    """Logits, and the gradients of every weight."""
    model = gpt2_model()
    w = {name: value.requires_grad_() for name, value in gpt2_weights(model).items()}
    ids, targets = torch.randint(V, (2, B, T))
    expected = torch.stack([gpt2(w, row) for row in ids])
    logits = model.forward(ids, model.start(B)).logits
    torch.testing.assert_close(logits, expected, **EXACT)
    for answer in (logits, expected):
        F.cross_entropy(answer.flatten(0, 1), targets.flatten()).backward()
    gradients = {name: value.grad for name, value in w.items()}
    torch.testing.assert_close(gpt2_weights(model, "grad"), gradients, **EXACT)


def test_is_transformers_gpt2() -> None:
    """The same against the library's."""
    transformers = pytest.importorskip("transformers")
    model = gpt2_model()
    config = transformers.GPT2Config(
        vocab_size=V,
        n_positions=T,
        n_embd=H,
        n_layer=LAYERS,
        n_head=HEADS,
        activation_function="gelu_new",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    theirs = transformers.GPT2LMHeadModel(config).double().eval()
    w = {f"transformer.{name}": value for name, value in gpt2_weights(model).items()}
    w["lm_head.weight"] = w["transformer.wte.weight"]
    missing, unexpected = theirs.load_state_dict(w, strict=False)
    assert not unexpected and not [name for name in missing if "attn.bias" not in name]
    ids = torch.randint(V, (B, T))
    logits = model.forward(ids, model.start(B)).logits
    torch.testing.assert_close(logits, theirs(ids).logits, atol=1e-6, rtol=1e-6)
