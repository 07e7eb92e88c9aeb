"""Filters, the choice of a token, and text as it streams out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nextword.config import Config
from nextword.errors import InputError
from nextword.generation import filters
from nextword.generation.sample import (
    Continuation,
    Sampling,
    generate,
    generate_many,
    sample_ids,
    stream_text,
)
from nextword.models.mixture import MixtureConfig, MixtureLM
from nextword.models.ngram import NgramConfig
from nextword.models.recurrent import RecurrentConfig
from nextword.models.windowed import Windowed
from nextword.nn import kernels
from nextword.run import Run
from nextword.text.byte import ByteTokenizer
from nextword.text.char import CharTokenizer
from nextword.text.tokenizer import EOS, UNK, Tokenizer, train_tokenizer
from nextword.types import Output

CPU = torch.device("cpu")
PROBS = torch.tensor([[0.4, 0.3, 0.2, 0.1]])


def kept(logits: Tensor) -> list[list[int]]:
    """Which tokens of each row are still there."""
    return [row.isfinite().nonzero()[:, 0].tolist() for row in logits]


# ------------------------------------------------------------------------------------------ filters


@pytest.mark.parametrize(
    ("k", "left"), [(1, [0]), (2, [0, 1]), (4, [0, 1, 2, 3]), (9, [0, 1, 2, 3])]
)
def test_top_k(k: int, left: list[int]) -> None:
    """The k most probable tokens, their logits untouched."""
    logits = PROBS.log()
    out = filters.top_k(logits, k)
    assert kept(out) == [left]
    torch.testing.assert_close(out[:, left], logits[:, left], atol=0, rtol=0)


@pytest.mark.parametrize(
    ("p", "left"),
    [
        (0.1, [0]),
        (0.39, [0]),
        (0.41, [0, 1]),
        (0.69, [0, 1]),
        (0.71, [0, 1, 2]),
        (1.0, [0, 1, 2, 3]),
    ],
)
def test_top_p(p: float, left: list[int]) -> None:
    """The fewest tokens whose probabilities reach p; the first always stays."""
    assert kept(filters.top_p(PROBS.log(), p)) == [left]


@pytest.mark.parametrize(
    ("p", "left"), [(0, [0, 1, 2, 3]), (0.3, [0, 1, 2]), (0.6, [0, 1]), (1, [0])]
)
def test_min_p(p: float, left: list[int]) -> None:
    """Tokens at least p times as probable as the best."""
    assert kept(filters.min_p(PROBS.log(), p)) == [left]


def test_filters_work_row_by_row_in_any_order() -> None:
    """Rows have their own ranking; the tokens need not be sorted."""
    logits = torch.stack([PROBS[0], PROBS[0].flip(0), PROBS[0][[2, 0, 3, 1]]]).log()
    assert kept(filters.top_k(logits, 2)) == [[0, 1], [2, 3], [1, 3]]
    assert kept(filters.top_p(logits, 0.6)) == [[0, 1], [2, 3], [1, 3]]
    assert kept(filters.min_p(logits, 0.7)) == [[0, 1], [2, 3], [1, 3]]
    flatter = torch.cat([PROBS, torch.tensor([[0.1, 0.2, 0.2, 0.5]]).sqrt()]).log()
    assert kept(filters.min_p(flatter, 0.6)) == [[0, 1], [1, 2, 3]]


def test_forbid() -> None:
    """Given tokens are out; the logits that came in stay as they were."""
    logits = PROBS.log()
    assert kept(filters.forbid(logits, [0, 2])) == [[1, 3]]
    assert kept(logits) == [[0, 1, 2, 3]]


@given(
    st.lists(st.floats(-20, 20, width=32, allow_subnormal=False), min_size=1, max_size=12),
    st.sampled_from(["top_k", "top_p", "min_p"]),
    st.floats(0.01, 1, allow_subnormal=False),
)
def test_filters_keep_the_best_and_nothing_below_what_they_drop(
    values: list[float], name: str, share: float
) -> None:
    """Whatever the logits: something is left, and nothing dropped is better than what is kept."""
    logits = torch.tensor([values])
    amount = max(1, round(share * len(values))) if name == "top_k" else share
    (left,) = kept(getattr(filters, name)(logits, amount))
    dropped = set(range(len(values))) - set(left)
    assert left
    assert all(values[i] >= values[j] for i in left for j in dropped)


# ------------------------------------------------------------------------------------------- choose


def draw(sampling: Sampling, probs: Tensor, count: int = 20000) -> Tensor:
    """The share of each token among `count` draws."""
    generator = torch.Generator().manual_seed(0)
    chosen = sampling.choose(probs.log().expand(count, -1), generator)
    return torch.bincount(chosen, minlength=probs.shape[-1]) / count


def test_frequencies_are_the_probabilities() -> None:
    """Drawn often enough, every token has its share."""
    shares = draw(Sampling(allow_unk=True), PROBS)
    torch.testing.assert_close(shares, PROBS[0], atol=0.02, rtol=0)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_is_a_power(temperature: float) -> None:
    """p^(1/T), normalised."""
    expected = PROBS[0] ** (1 / temperature)
    shares = draw(Sampling(temperature=temperature, allow_unk=True), PROBS)
    torch.testing.assert_close(shares, expected / expected.sum(), atol=0.02, rtol=0)


def test_filtered_frequencies_are_renormalised() -> None:
    """What is left keeps its proportions; filters see the distribution after the temperature."""
    shares = draw(Sampling(top_k=2, allow_unk=True), PROBS)
    torch.testing.assert_close(shares, torch.tensor([4 / 7, 3 / 7, 0, 0]), atol=0.02, rtol=0)
    # At temperature 0.5 the best two have 0.16 + 0.09 of 0.3: more than 0.8, which 0.7 is not.
    assert draw(Sampling(temperature=0.5, top_p=0.8, allow_unk=True), PROBS)[2] == 0
    assert draw(Sampling(top_p=0.8, allow_unk=True), PROBS)[2] > 0
    both = draw(Sampling(top_k=3, min_p=0.7, allow_unk=True), PROBS)
    assert both.nonzero()[:, 0].tolist() == [0, 1]


@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 0}, {"temperature": 9.0}, {"top_k": 1}, {"top_p": 0.1}, {"min_p": 1.0}],
)
def test_unknown_is_never_drawn_unless_allowed(settings: dict[str, Any]) -> None:
    """`<unk>` is the most probable token here, and still never comes out."""
    probs = torch.tensor([[0.91, 0.05, 0.03, 0.01]])
    assert draw(Sampling(**settings), probs, 2000)[UNK] == 0
    assert draw(Sampling(**settings, allow_unk=True), probs, 2000)[UNK] > 0


def test_temperature_zero_is_greedy() -> None:
    """The most probable token, without a random number, in every row."""
    logits = torch.tensor([[9.0, 1.0, 3.0, 2.0], [9.0, 5.0, 3.0, 2.0]])
    assert Sampling(temperature=0).choose(logits).tolist() == [2, 1]
    assert Sampling(temperature=0, allow_unk=True).choose(logits).tolist() == [0, 0]
    for nearly in (1e-3, 1e-5, 1e-20, 1e-40, 1e-320):
        assert Sampling(temperature=nearly).choose(logits).tolist() == [2, 1]


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -1},
        {"temperature": float("inf")},
        {"temperature": float("nan")},
        {"top_k": 0},
        {"top_p": 0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"min_p": 1.1},
    ],
)
def test_bad_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Sampling(**bad)


# ----------------------------------------------------------------------------------- text and stops


class Script(nn.Module):
    """Says the given ids one after the other, whatever it reads; the state is how far it is."""

    context = None

    def __init__(self, ids: Sequence[int], vocab_size: int, read: int) -> None:
        super().__init__()
        self.ids, self.vocab_size, self.read = list(ids), vocab_size, read

    def start(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, 1, dtype=torch.int64)

    def advance(self, ids: Tensor, state: Tensor) -> Tensor:
        return state + ids.shape[1]

    def forward(self, ids: Tensor, state: Tensor) -> Output:
        """`read` ids are the prompt (with its `<eos>`); then the script begins."""
        state = self.advance(ids, state)
        at = (int(state[0]) - self.read) % len(self.ids)
        logits = torch.full((len(ids), ids.shape[1], self.vocab_size), -30.0)
        logits[:, -1, self.ids[at]] = 30.0
        return Output(logits, state)


def script(tokenizer: Tokenizer, text: str | Sequence[int], prompt: str = "") -> Run:
    """A run that continues `prompt` with `text`."""
    ids = tokenizer.encode(text) if isinstance(text, str) else text
    model: Any = Script(ids, tokenizer.vocab_size, 1 + len(tokenizer.encode(prompt)))
    return Run("script", Config.parse({}), tokenizer, model)


def tokenizer_of(kind: str, text: str) -> Tokenizer:
    settings = {"tokenizer": kind, "vocab_size": 280 if kind == "bpe" else None}
    return train_tokenizer([text], Config.parse({"text": settings}).text)


STORY = "the cat sat.\n\nthe other cat ate: 你好, naïve 🙂 🙂👍🏽 cat!\n" * 3


@pytest.mark.parametrize("kind", ["word", "char", "byte", "bpe"])
@pytest.mark.parametrize("prompt", ["", "the cat", "the 你", "🙂", "cat!\n"])
def test_streamed_pieces_are_the_decoded_text(kind: str, prompt: str) -> None:
    """What comes out piece by piece is what decoding the prompt with all ids would add to it; and
    it is what `generate` returns."""
    tokenizer = tokenizer_of(kind, STORY)
    ids = tokenizer.encode(STORY)
    pieces = list(stream_text(script(tokenizer, STORY, prompt), prompt, tokens=len(ids), seed=0))
    prompt_ids = tokenizer.encode(prompt)
    whole = tokenizer.decode([EOS, *prompt_ids, *ids])
    expected = whole[len(tokenizer.decode([EOS, *prompt_ids])) :]
    assert "".join(pieces) == expected
    assert generate(script(tokenizer, STORY, prompt), prompt, tokens=len(ids), seed=0) == expected
    assert len(pieces) > len(ids) / 4


@pytest.mark.parametrize("prompt", ["", "x", "你"])
def test_characters_of_several_bytes_stream_whole(prompt: str) -> None:
    """A byte at a time is drawn, a character at a time is printed: never half of one."""
    text = "a你🙂é!" * 20
    tokenizer = ByteTokenizer(lower=False)
    run = script(tokenizer, text, prompt)
    pieces = [
        piece for piece in stream_text(run, prompt, tokens=len(text.encode()), seed=0) if piece
    ]
    assert pieces == list(text)


def test_bytes_that_are_no_text_still_come_out() -> None:
    """Broken bytes are replaced, and do not hold up what follows for ever."""
    tokenizer = ByteTokenizer(lower=False)
    broken = [2 + 0xE4, 2 + 0xBD] + [2 + ord(c) for c in "abc"]
    out = list(stream_text(script(tokenizer, broken), tokens=5, seed=0))
    assert "".join(out) == "�abc"
    forever = list(stream_text(script(tokenizer, [2 + 0xFF]), tokens=300, seed=0))
    assert set("".join(forever)) == {"�"}
    assert sum(map(bool, forever)) > 2
    cut_off = list(stream_text(script(tokenizer, broken[:2]), tokens=2, seed=0))
    assert "".join(cut_off) == "�"


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
@pytest.mark.parametrize(
    ("stop", "left"),
    [
        (["ate"], STORY[: STORY.index("ate")]),
        (["\n\n"], "the cat sat."),
        (["ate: 你"], STORY[: STORY.index("ate")]),
        (["other", "sat"], "the cat "),
        (["🙂👍"], STORY[: STORY.index("🙂👍")]),
        (["the"], ""),
        (["cat?", "catt", "atx"], STORY),
        (["cat ate?", ""], STORY),
    ],
)
def test_stops(kind: str, stop: list[str], left: str) -> None:
    """The text ends just before the first stop, also where a stop lies across tokens; one that
    only begins is printed after all."""
    tokenizer = tokenizer_of(kind, STORY)
    count = len(tokenizer.encode(STORY))
    run = script(tokenizer, STORY)
    assert "".join(stream_text(run, tokens=count, seed=0, stop=stop)) == left
    assert generate(run, tokens=count, seed=0, stop=stop) == left


@given(st.text("ab", min_size=1, max_size=30), st.lists(st.text("ab", max_size=4), max_size=3))
def test_stops_against_the_whole_text(text: str, stops: list[str]) -> None:
    """However stops overlap: nothing of the text's first completed stop is printed, everything
    before it is."""
    tokenizer = CharTokenizer.train(["ab"], Config.parse({}).text)
    out = "".join(stream_text(script(tokenizer, text), tokens=len(text), seed=0, stop=stops))
    ends = [(at + len(s), at) for s in stops if s and (at := text.find(s)) >= 0]
    if not ends:
        assert out == text
    else:
        end = min(ends)[0]
        assert out == text[: min(at for e, at in ends if e == end)]


def test_nothing_is_drawn_after_the_last_token() -> None:
    """tokens = 0 gives no text; n tokens ask the model n times."""
    tokenizer = CharTokenizer.train(["abc"], Config.parse({}).text)
    for count in (0, 1, 5):
        run = script(tokenizer, "abc")
        calls = []
        forward = run.model.forward
        run.model.forward = lambda *a, f=forward, c=calls: (c.append(1), f(*a))[1]  # type: ignore[method-assign]
        assert generate(run, tokens=count, seed=0) == ("abc" * 2)[:count]
        assert len(calls) == count
    with pytest.raises(InputError, match="0 or more"):
        generate(run, tokens=-1)


@pytest.mark.parametrize(
    ("text", "stop", "pieces", "rest"),
    [
        ("abcd", ["cx"], ["a", "b", "", "cd"], ""),
        ("abc", ["cx"], ["a", "b", ""], "c"),
        ("aab", ["ab"], ["", "a", ""], ""),
        ("abab", ["abac", "bb"], ["", "", "", "ab"], "ab"),
        ("xyz", [""], ["x", "y", "z"], ""),
        ("xyz", [], ["x", "y", "z"], ""),
    ],
)
def test_what_could_begin_a_stop_is_held_back(
    text: str, stop: list[str], pieces: list[str], rest: str
) -> None:
    """Each token gives the text that no stop can take back; the rest comes at the end."""
    tokenizer = CharTokenizer.train(["abcdxyz"], Config.parse({}).text)
    growing = Continuation(tokenizer, "x", len(text), stop)
    assert growing.ids == [EOS, *tokenizer.encode("x")]
    found = []
    for index in tokenizer.encode(text):
        assert not growing.over
        found.append(growing.add(index))
    assert growing.over
    assert (found, growing.rest()) == (pieces, rest)


# -------------------------------------------------------------------------------------- real models


def real(windowed: bool = False) -> Run:
    tokenizer = CharTokenizer.train(["abcdefgh \n"], Config.parse({}).text)
    torch.manual_seed(0)
    model: Any = RecurrentConfig(cell="gru", hidden=8).build(tokenizer.vocab_size).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.7)
    if windowed:
        model = Windowed(model, 3)
    return Run("tiny", Config.parse({}), tokenizer, model)


@pytest.mark.parametrize("prompt", ["", "abc", "ab\n"])
def test_same_seed_same_text(prompt: str) -> None:
    """A seed fixes the text; another one, or none, gives another. The global seed is not used."""
    run = real()
    texts = []
    for seed in (1, 1, 2, None, None):
        torch.manual_seed(len(texts))
        texts.append(generate(run, prompt, tokens=60, seed=seed))
    assert texts[0] == texts[1]
    assert len(set(texts)) == 4


@pytest.mark.parametrize("windowed", [False, True])
@pytest.mark.parametrize("prompt", ["", "a", "fed cba"])
def test_greedy_text_is_the_slow_loop(windowed: bool, prompt: str) -> None:
    """Temperature 0: read everything anew for every token and take the most probable one."""
    run = real(windowed)
    ids = [EOS, *run.tokenizer.encode(prompt)]
    for _ in range(20):
        logits = run.model.forward(torch.tensor([ids]), run.model.start(1)).logits[0, -1]
        logits[UNK] = -torch.inf
        ids.append(int(logits.argmax()))
    expected = run.tokenizer.decode(ids)[1 + len(prompt) :]
    assert generate(run, prompt, tokens=20, temperature=0) == expected


def test_options_reach_the_choice() -> None:
    """`generate` passes its settings on: top_k = 1, a tiny top_p and min_p = 1 are greedy."""
    run = real()
    greedy = generate(run, "ab", tokens=30, temperature=0)
    assert generate(run, "ab", tokens=30, top_k=1, seed=3) == greedy
    assert generate(run, "ab", tokens=30, top_p=1e-6, seed=3) == greedy
    assert generate(run, "ab", tokens=30, min_p=1.0, seed=3) == greedy
    assert generate(run, "ab", tokens=30, seed=3) != greedy


def test_sampled_sequences_have_the_models_probabilities() -> None:
    """Many rows at once: the pairs that begin a text come as often as the model says."""
    run = real()
    rows, V = 20000, run.tokenizer.vocab_size
    prompt = torch.full((rows, 1), EOS)
    drawn = sample_ids(
        run.model,
        prompt,
        run.model.start(rows),
        Sampling(allow_unk=True),
        torch.Generator().manual_seed(0),
    )
    first, second = itertools.islice(drawn, 2)
    shares = torch.bincount(first * V + second, minlength=V * V).view(V, V) / rows
    with torch.no_grad():
        one = run.model.forward(prompt[:1], run.model.start(1)).logits[0, -1].softmax(-1)
        both = torch.stack([torch.full((V,), EOS), torch.arange(V)], 1)
        two = run.model.forward(both, run.model.start(V)).logits[:, -1].softmax(-1)
    expected = one[:, None] * two
    spread = (expected * (1 - expected) / rows).sqrt()
    assert ((shares - expected).abs() < 5 * spread + 1e-4).all()


def test_no_graph_is_built() -> None:
    """Sampling keeps no gradients, also while a caller draws between the tokens."""
    run = real()
    drawn = sample_ids(run.model, torch.tensor([[EOS]]), run.model.start(1), Sampling())
    for chosen in itertools.islice(drawn, 3):
        assert not chosen.requires_grad
        assert torch.is_grad_enabled()


# ------------------------------------------------------------------------------- many side by side


def model_of(kind: str, tokenizer: Tokenizer) -> Any:
    V = tokenizer.vocab_size
    if kind == "ngram":
        model = NgramConfig(order=3).build(V)
        model.fit(np.random.default_rng(0).integers(0, V, 300))
        return model
    if kind == "mixture":
        members = [model_of("gru", tokenizer), model_of("ngram", tokenizer)]
        return MixtureLM(MixtureConfig(weights=(0.6, 0.4)), members, V)
    if kind == "windowed":
        return Windowed(model_of("gru", tokenizer), 3).eval()
    adaptive = {"softmax": "adaptive", "cutoffs": [4, 7]} if kind == "adaptive" else {}
    cell = "lstm" if adaptive else kind
    torch.manual_seed(0)
    model = RecurrentConfig(cell=cell, hidden=8, layers=2, **adaptive).build(V).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.7)
    return model


KINDS = ["lstm", "gru", "peephole", "adaptive", "windowed", "ngram", "mixture"]
PROMPTS = ["", "abc", "a", "hgfedcba abc", "b\na", "", "abc"]


def run_of(kind: str) -> Run:
    tokenizer = CharTokenizer.train(["abcdefgh \n"], Config.parse({}).text)
    return Run("tiny", Config.parse({}), tokenizer, model_of(kind, tokenizer))


@pytest.mark.parametrize("stop", [(), ("a",), ("ab", "\n", "cd"), ("",)])
@pytest.mark.parametrize("kind", KINDS)
def test_side_by_side_is_one_by_one(kind: str, stop: tuple[str, ...]) -> None:
    """Text i is what prompt i gives alone with seed + i, whenever the others are over."""
    run = run_of(kind)
    texts = generate_many(run, PROMPTS, tokens=25, seed=5, stop=stop)
    alone = [generate(run, p, tokens=25, seed=5 + i, stop=stop) for i, p in enumerate(PROMPTS)]
    assert texts == alone
    assert len({text for text in texts if text}) > 2
    assert all(len(text) <= 25 and not any(s and s in text for s in stop) for text in texts)
    if not any(stop):
        assert {len(text) for text in texts} == {25}
    elif kind == "gru":
        assert len({len(text) for text in texts}) > 2


@pytest.mark.parametrize("kind", KINDS)
def test_side_by_side_with_settings(kind: str) -> None:
    """Settings reach every row: greedy and filtered texts are those of `generate`."""
    run = run_of(kind)
    for settings in ({"temperature": 0.0}, {"temperature": 0.8, "top_k": 3}, {"top_p": 0.7}):
        texts = generate_many(run, PROMPTS, tokens=12, seed=1, **settings)
        alone = [generate(run, p, tokens=12, seed=1 + i, **settings) for i, p in enumerate(PROMPTS)]
        assert texts == alone


def test_side_by_side_of_nothing() -> None:
    """No prompts give no texts, no tokens give empty ones; a negative count is refused."""
    run = run_of("gru")
    assert generate_many(run, [], seed=0) == []
    assert generate_many(run, ["a", ""], tokens=0, seed=0) == ["", ""]
    with pytest.raises(InputError, match="0 or more"):
        generate_many(run, ["a"], tokens=-1)


def test_side_by_side_without_a_seed() -> None:
    """Every text is its own, in every call, whatever the global seed."""
    run = run_of("gru")
    texts = []
    for _ in range(2):
        torch.manual_seed(0)
        texts += generate_many(run, ["ab"] * 3, tokens=60)
    assert len(set(texts)) == 6


def test_rows_that_are_over_leave_the_batch() -> None:
    """One step of the model per token of the longest text, each with the rows still going; the
    model reads every prompt once."""
    run = run_of("gru")
    rows: list[int] = []
    read: list[int] = []
    forward, advance = run.model.forward, run.model.advance
    run.model.forward = lambda ids, state: (rows.append(len(ids)), forward(ids, state))[1]  # type: ignore[method-assign]
    run.model.advance = lambda ids, state: (read.append(ids.shape[1]), advance(ids, state))[1]  # type: ignore[method-assign]
    texts = generate_many(run, PROMPTS, tokens=25, seed=5, stop=["a"])
    assert read == [len(prompt) for prompt in PROMPTS if prompt]
    drawn = [min(25, len(text) + 1) for text in texts]  # a stop is a token too
    assert rows == [sum(count > step for count in drawn) for step in range(max(drawn))]
    assert len(set(rows)) > 2


@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole"])
def test_fast_and_readable_layers_draw_the_same(cell: str) -> None:
    """Layers large enough for our loops: the tokens of the readable code, alone and side by
    side."""
    tokenizer = CharTokenizer.train(["abcdefgh \n"], Config.parse({}).text)
    torch.manual_seed(0)
    model = RecurrentConfig(cell=cell, hidden=700, embedding=16).build(tokenizer.vocab_size).eval()
    for parameter in model.head.parameters():
        nn.init.normal_(parameter, std=0.5)
    run = Run("large", Config.parse({}), tokenizer, model)
    found = {}
    for backend in ("auto", "step"):
        with kernels.backend(backend) as used:
            one = generate(run, "abc", tokens=12, seed=3)
            many = generate_many(run, ["abc", "", "hg"], tokens=12, seed=3)
        assert set(used.values()) == {kernels.NAMES["fast" if backend == "auto" else "step"]}
        assert many[0] == one
        found[backend] = many
    assert found["auto"] == found["step"]
    assert len(set(found["step"])) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_text_in_low_precision(kind: str) -> None:
    """Weights read in bfloat16: text of as many known characters, the same for the same seed, and
    afterwards the weights are what they were."""
    run = run_of(kind)
    before = generate_many(run, PROMPTS, tokens=20, seed=1)
    with kernels.backend("fast"):
        texts, again = (
            generate_many(run, PROMPTS, tokens=20, seed=1, precision="bf16") for _ in range(2)
        )
        alone = generate(run, PROMPTS[1], tokens=20, seed=2, precision="bf16")
    assert texts == again
    for text in (*texts, alone):
        assert len(text) == 20
        assert set(text) <= set("abcdefgh \n")
    assert generate_many(run, PROMPTS, tokens=20, seed=1) == before


@pytest.mark.parametrize("many", [False, True])
def test_low_precision_is_what_is_computed(many: bool) -> None:
    """The logits of bfloat16 weights are near those of float32 ones, and not the same."""
    run = run_of("lstm")
    seen: dict[str, list[Tensor]] = {"fp32": [], "bf16": []}
    forward = run.model.forward
    for precision, logits in seen.items():

        def watched(ids: Tensor, state: Any, logits: list[Tensor] = logits) -> Output:
            output = forward(ids, state)
            logits.append(output.logits)
            return output

        run.model.forward = watched  # type: ignore[method-assign]
        with kernels.backend("fast"):
            if many:
                generate_many(run, ["abc", "a"], tokens=1, seed=0, precision=precision)  # type: ignore[arg-type]
            else:
                generate(run, "abc", tokens=1, seed=0, precision=precision)  # type: ignore[arg-type]
    (exact,), (rounded,) = seen.values()
    assert rounded.dtype == exact.dtype == torch.float32
    assert 0 < float((rounded - exact).norm() / exact.norm()) < 0.05


def test_numbers_out_of_range_from_python() -> None:
    """As on the command line: one line that names the number."""
    run = real()
    for settings in ({"temperature": -1}, {"top_p": 3}, {"precision": "fp8"}, {"tokens": -1}):
        with pytest.raises(InputError, match=next(iter(settings))):
            generate(run, "a", **settings)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=next(iter(settings))):
            generate_many(run, ["a"], **settings)  # type: ignore[arg-type]
