"""Surprisal beside transformers and minicons, with the same weights: GPT-2.

minicons is no dependency of the tests: it needs wonderwords and more beside itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nextword
from nextword.config import Config, TextConfig
from nextword.models.transformer_lm import TransformerLMConfig
from nextword.run import Run
from nextword.text.bpe import BPETokenizer
from nextword.text.tokenizer import EOS

transformers = pytest.importorskip("transformers")

TEXT = (
    "The horse raced past the barn fell. The old man the boats, unheard of.\n天地玄黄，宇宙洪荒。\n"
)
LINES = [
    "The horse raced past the barn fell.",
    "The old man the boats",
    "unheard-of wörds  and\ttabs ",
    "天地玄黄 宇宙",
    "a",
]
BITS = 1e-5


def gpt2_run(seed: int) -> Run:
    """A GPT-2 of random weights over a BPE vocabulary."""
    tokenizer = BPETokenizer.train([TEXT * 20], TextConfig(tokenizer="bpe", vocab_size=340))
    torch.manual_seed(seed)
    config = TransformerLMConfig(
        hidden=32,
        layers=3,
        heads=4,
        context=64,
        positions="learned",
        activation="gelu-tanh",
        scale_embedding=False,
        tied=True,
        dropout=0,
    )
    model = config.build(tokenizer.vocab_size).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    nn.init.zeros_(model.head.b)  # GPT-2 has none
    return Run("gpt2", Config.parse({}), tokenizer, model)


def theirs(run: Run) -> Any:
    """transformers' GPT-2 with the same weights."""
    model: Any = run.model
    config = transformers.GPT2Config(
        vocab_size=run.tokenizer.vocab_size,
        n_positions=64,
        n_embd=32,
        n_layer=3,
        n_head=4,
        activation_function="gelu_new",
        bos_token_id=EOS,
        eos_token_id=EOS,
    )
    weights: dict[str, Tensor] = {
        "wte.weight": model.embedding.weight,
        "wpe.weight": model.embedded.positions.table,
        "ln_f.weight": model.stack.norm.weight,
        "ln_f.bias": model.stack.norm.bias,
    }
    for i, layer in enumerate(model.stack.layers):
        for name, parts in {
            "ln_1": [layer.norm],
            "attn.c_attn": [layer.attention.q, layer.attention.kv],
            "attn.c_proj": [layer.attention.out],
            "ln_2": [layer.feed_forward_norm],
            "mlp.c_fc": [layer.feed_forward.wide],
            "mlp.c_proj": [layer.feed_forward.narrow],
        }.items():
            weights[f"h.{i}.{name}.weight"] = torch.cat([part.weight for part in parts]).t()
            weights[f"h.{i}.{name}.bias"] = torch.cat([part.bias for part in parts])
    gpt2 = transformers.GPT2LMHeadModel(config).eval()
    named = {f"transformer.{k}": v.detach().contiguous() for k, v in weights.items()}
    named["lm_head.weight"] = named["transformer.wte.weight"]
    missing, unexpected = gpt2.load_state_dict(named, strict=False)
    assert not unexpected and not [name for name in missing if "attn.bias" not in name]
    return gpt2


@pytest.fixture(scope="module", params=[0, 1])
def both(request: pytest.FixtureRequest) -> tuple[Run, Any]:
    run = gpt2_run(request.param)
    return run, theirs(run)


def log2_probabilities(run: Run, gpt2: Any, line: str) -> tuple[list[int], np.ndarray[Any, Any]]:
    """The ids of a line with its `<eos>`, and transformers' log2 p (T, V) before each."""
    ids = [*run.tokenizer.encode(line), EOS]
    with torch.no_grad():
        logits = gpt2(torch.tensor([[EOS, *ids[:-1]]])).logits[0].double()
    return ids, (logits.log_softmax(-1) / math.log(2)).numpy()


def test_tokens_are_those_of_transformers(both: tuple[Run, Any]) -> None:
    run, gpt2 = both
    rows = iter(nextword.surprisal(run, LINES, by="token"))
    for line in LINES:
        ids, log2 = log2_probabilities(run, gpt2, line)
        for index, distribution in zip(ids, log2, strict=True):
            row = next(rows)
            assert row.surprisal_bits == pytest.approx(-distribution[index], abs=BITS)
            entropy = -(2**distribution * distribution).sum()
            assert row.entropy_bits == pytest.approx(entropy, abs=BITS)
            assert row.rank == 1 + int((distribution > distribution[index]).sum())
    assert next(rows, None) is None


def test_words_are_those_of_the_papers(both: tuple[Run, Any]) -> None:
    """-log2 of Π p(pieces) p(boundary after) / p(boundary before) from transformers' probabilities;
    a boundary is a token that begins with white space, or the end."""
    run, gpt2 = both
    decode = run.tokenizer.token
    begins = [i for i in range(run.tokenizer.vocab_size) if decode(i)[0].isspace() or i == EOS]
    for line in LINES:
        ids, log2 = log2_probabilities(run, gpt2, line)
        boundary = np.log2((2 ** log2[:, begins]).sum(-1))
        pieces = [decode(index) for index in ids]
        expected: list[float] = []
        blank = True  # the piece before was white space, so this one goes on with the same word
        for at, (index, piece) in enumerate(zip(ids, pieces, strict=True)):
            new = piece[0].isspace() or index == EOS
            if not expected or (new and not blank):
                expected.append(0.0)
                if len(expected) > 1:
                    expected[-2] -= boundary[at]
                    expected[-1] += boundary[at]
            expected[-1] -= log2[at, index]
            blank = piece.isspace()
        rows = nextword.surprisal(run, [line])
        assert [row.surprisal_bits for row in rows] == pytest.approx(expected, abs=3 * BITS)
        assert {row.rule for row in rows} == {"boundary"}


def test_tokens_are_those_of_minicons(both: tuple[Run, Any]) -> None:
    scorer = pytest.importorskip("minicons.scorer", exc_type=ImportError)
    run, gpt2 = both
    backend: Any = run.tokenizer
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend.backend, bos_token="<eos>", eos_token="<eos>", pad_token="<unk>"
    )
    model = scorer.IncrementalLMScorer(gpt2, tokenizer=tokenizer)
    lines = LINES[:2]
    found = model.token_score(lines, bos_token=True, surprisal=True, base_two=True)
    expected = [bits for line in found for _, bits in line[1:]]
    rows = nextword.surprisal(run, lines, by="token")
    bits = [row.surprisal_bits for row in rows if row.text != "<eos>"]
    assert bits == pytest.approx(expected, abs=BITS)
