"""Scores of a text, token by token: the plain stream, dynamic evaluation, single sentences."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nextword.config import Config, TextConfig
from nextword.errors import InputError
from nextword.evaluation import dynamic as dynamic_module
from nextword.evaluation import sentences
from nextword.evaluation.dynamic import Dynamic, score_dynamic
from nextword.evaluation.figures import safe_exp, spelled_bits, summarise
from nextword.evaluation.perplexity import evaluate_text
from nextword.evaluation.token_scores import TokenScores, score_tokens
from nextword.models.mixture import MixtureConfig, MixtureLM
from nextword.models.ngram import NgramConfig, NgramLM
from nextword.models.windowed import Windowed
from nextword.run import Run
from nextword.tasks.verbs import score
from nextword.text.char import CharTokenizer
from nextword.text.corpus import Counts
from nextword.text.tokenizer import EOS, UNK
from tests.support import text_ids, tiny

CPU = torch.device("cpu")
V = 9


def counted(ids: np.ndarray, order: int) -> NgramLM:
    """An n-gram model of the text; a text of one token too."""
    model = NgramConfig(order=order, smoothing="add-k" if order == 1 else "witten-bell").build(V)
    model.fit(ids)
    return model


def slow_scores(model: Any, ids: Any) -> tuple[np.ndarray, np.ndarray]:
    """Token after token with `forward`, from `<eos>` on: log-probabilities and hits."""
    state, last, log_probs, hits = model.start(1), EOS, [], []
    with torch.no_grad():
        for index in ids:
            logits, state = model.forward(torch.tensor([[last]]), state)[:2]
            log_probs.append(float(logits[0, -1].log_softmax(-1)[int(index)]))
            hits.append(int(logits[0, -1].argmax()) == int(index))
            last = int(index)
    return np.array(log_probs), np.array(hits)


def close(scores: TokenScores, expected: Any, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(scores.log_prob, expected, atol=atol, rtol=0)


# --------------------------------------------------------------------------------------- the stream


@pytest.mark.parametrize("chunk", [1, 7, 512])
@pytest.mark.parametrize("count", [1, 2, 50])
@pytest.mark.parametrize("kind", ["lstm", "gru-before", "windowed", "unigram", "ngram", "mixture"])
def test_every_token_once_the_first_included(kind: str, count: int, chunk: int) -> None:
    """The same as a token-by-token loop, whatever the chunk; progress adds up to N."""
    ids = text_ids(count)
    if kind in ("unigram", "ngram"):
        model: Any = counted(ids, order=1 if kind == "unigram" else 3)
    elif kind == "mixture":
        model = MixtureLM(MixtureConfig(weights=(0.3, 0.7)), [tiny(), counted(ids, 2)], V)
    else:
        model = Windowed(tiny(), 3) if kind == "windowed" else tiny(cell=kind)
    seen: list[int] = []
    scores = score_tokens(model, ids, CPU, chunk=chunk, progress=seen.append)
    log_probs, hits = slow_scores(model, ids)
    assert scores.log_prob.shape == scores.hit.shape == (count,)
    close(scores, log_probs)
    assert (scores.hit == hits).all()
    assert scores.nll == pytest.approx(-log_probs.sum(), rel=1e-5)
    assert sum(seen) == count
    assert all(step > 0 for step in seen)


def test_no_gradient_is_kept() -> None:
    """Scoring builds no graph and leaves no gradient."""
    model = tiny()
    score_tokens(model, text_ids(20), CPU)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("count", [1, 2, 5, 49, 50, 51, 97])
@pytest.mark.parametrize("stripes", [1, 2, 7, 60])
def test_stripes_cover_every_length(count: int, stripes: int) -> None:
    """N that stripes do not divide, and fewer tokens than stripes: each token scored once, with
    its own predecessor; progress adds up to N."""
    ids = text_ids(count)
    model = Windowed(tiny(), 1)  # sees the last token only, so stripes lose nothing
    seen: list[int] = []
    scores = score_tokens(model, ids, CPU, stripes=stripes, chunk=16, progress=seen.append)
    expected, hits = slow_scores(model, ids)
    close(scores, expected)
    assert (scores.hit == hits).all()
    assert sum(seen) == count
    assert min(seen) >= 0


@pytest.mark.parametrize("count", [50, 51, 97, 200])
@pytest.mark.parametrize("stripes", [2, 7])
def test_warm_up_of_the_whole_context_is_exact(count: int, stripes: int) -> None:
    """A model that sees C tokens is scored exactly with C - 1 tokens of warm-up."""
    ids, model = text_ids(count), Windowed(tiny(), 5)
    expected, _ = slow_scores(model, ids)
    close(score_tokens(model, ids, CPU, stripes=stripes, warmup=4), expected)
    close(score_tokens(model, ids, CPU, stripes=stripes, warmup=9), expected)
    cold = score_tokens(model, ids, CPU, stripes=stripes, warmup=0)
    assert np.abs(cold.log_prob - expected).max() > 1e-3


def test_long_warm_up_is_nearly_exact() -> None:
    """A carried state forgets, so a long warm-up comes near the exact figures and a short one
    does not; the first stripe starts where the text does and is exact."""
    ids, model = text_ids(403), tiny()
    exact, _ = slow_scores(model, ids)
    warm = score_tokens(model, ids, CPU, stripes=4, warmup=100)
    cold = score_tokens(model, ids, CPU, stripes=4, warmup=0)
    close(warm, exact, atol=1e-3)
    close(TokenScores(warm.log_prob[:101], warm.hit[:101]), exact[:101])
    close(TokenScores(cold.log_prob[:101], cold.hit[:101]), exact[:101])
    assert np.abs(cold.log_prob - exact).max() > 0.03
    close(score_tokens(model, ids, CPU, stripes=1, warmup=100), exact)


# ------------------------------------------------------------------------------- dynamic evaluation


def weights(model: Any) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def test_first_segment_is_scored_before_anything_is_learnt() -> None:
    """Its scores are the static ones, the next segment's are not; every token once."""
    ids, model = text_ids(40), tiny()
    static = score_tokens(model, ids, CPU)
    seen: list[int] = []
    dynamic = score_dynamic(model, ids, CPU, Dynamic(lr=0.05, segment=16), seen.append)
    close(TokenScores(dynamic.log_prob[:16], dynamic.hit[:16]), static.log_prob[:16])
    assert np.abs(dynamic.log_prob[16:] - static.log_prob[16:]).max() > 0.01
    assert dynamic.log_prob.shape == (40,)
    assert seen == [16, 16, 8]


def test_a_token_is_not_learnt_before_it_is_scored() -> None:
    """Another last segment leaves the scores of all segments before it as they were."""
    ids, model = text_ids(48), tiny()
    other = ids.copy()
    other[32:] = (other[32:] + 1) % V
    a, b = (score_dynamic(model, x, CPU, Dynamic(lr=0.05, segment=16)) for x in (ids, other))
    np.testing.assert_array_equal(a.log_prob[:32], b.log_prob[:32])
    assert np.abs(a.log_prob[32:] - b.log_prob[32:]).max() > 0.01


@pytest.mark.parametrize("settings", [Dynamic(lr=1e-9), Dynamic(lr=0.01, decay=0.99999)])
def test_no_adaptation_is_static_evaluation(settings: Dynamic) -> None:
    """With a tiny lr, or pulled back all the way at once, nothing is learnt: the static scores."""
    ids, model = text_ids(60), tiny()
    dynamic = score_dynamic(model, ids, CPU, settings)
    static = score_tokens(model, ids, CPU)
    close(dynamic, static.log_prob, atol=1e-4)
    assert (dynamic.hit == static.hit).all()


RULES = [
    Dynamic(lr=0.02, segment=5, decay=0.1, clip=0.64),
    Dynamic(lr=0.02, segment=5, clip=0.64, momentum=0.5),
    Dynamic(method="sgd", lr=0.3, segment=5, clip=0.64),
    Dynamic(method="sgd", lr=0.3, segment=5, clip=0.64, decay=0.2, momentum=0.7),
    Dynamic(method="rms", lr=0.02, segment=5, clip=0.64),
    Dynamic(method="rms", lr=0.02, segment=5, clip=0.64, decay=0.04),
    Dynamic(method="rms", lr=0.1, segment=7, clip=0.6, decay=0.5),  # some are pulled all the way
]


@pytest.mark.parametrize("settings", RULES, ids=lambda rule: rule.signature)
def test_dynamic_rule_by_hand(settings: Dynamic) -> None:
    """g is the mean gradient of a segment, clipped; the state is carried, its graph is not. Every
    weight then takes its step, and after it the pull towards the trained ones:

    sgd       w ← w - lr m,   m ← momentum m + g;   w ← w + decay (w_0 - w)
    running   w ← w - lr m/(√s + ε),   m and s running means of g and g², bias-corrected;
              w ← w + decay (w_0 - w)
    rms       w ← w - lr g/(√s + ε),   s the mean of g², not clipped, over segments of the text
              learnt;   w ← w + min(1, decay √s/mean(√s)) (w_0 - w)
    """
    ids, learnt, model = text_ids(38), text_ids(44, seed=9), tiny()
    result = score_dynamic(model, ids, CPU, settings, learnt=learnt)

    twin: Any = copy.deepcopy(model).double()
    parameters, trained = list(twin.parameters()), weights(twin)

    def segments(text: np.ndarray) -> Any:
        state, last = twin.start(1), EOS
        for start in range(0, len(text), settings.segment):
            segment = [int(i) for i in text[start : start + settings.segment]]
            state = tuple(tuple(t.detach() for t in layer) for layer in state)
            inputs = torch.tensor([[last, *segment[:-1]]])
            logits, state = twin.forward(inputs, state)[:2]
            log_prob = logits[0].log_softmax(-1)[range(len(segment)), segment]
            yield start, log_prob, torch.autograd.grad(-log_prob.mean(), parameters)
            last = segment[-1]

    roots: list[Any] = [None] * len(trained)
    pulls: list[Any] = [settings.decay] * len(trained)
    if settings.method == "rms":
        found = [gradients for _, _, gradients in segments(learnt)]
        roots = [torch.stack(each).pow(2).mean(0).sqrt() for each in zip(*found, strict=True)]
        mean = torch.cat([root.flatten() for root in roots]).mean()
        pulls = [(settings.decay * root / mean).clamp(max=1) for root in roots]
        full = torch.cat([(pull == 1).flatten() for pull in pulls])
        assert bool(full.any()) == (settings.decay > 0.1) and not full.all()
    m = [torch.zeros_like(w) for w in trained]
    s = [torch.zeros_like(w) for w in trained]
    beta = settings.momentum
    clipped = []
    for step, (start, log_prob, gradients) in enumerate(segments(ids), start=1):
        np.testing.assert_allclose(
            result.log_prob[start : start + settings.segment], log_prob.detach(), atol=2e-4
        )
        norm = torch.stack([g.pow(2).sum() for g in gradients]).sum().sqrt()
        clipped.append(bool(norm > settings.clip))
        for i, (w, g) in enumerate(zip(twin.parameters(), gradients, strict=True)):
            g = g * min(1.0, settings.clip / float(norm))
            if settings.method == "sgd":
                m[i] = beta * m[i] + g
                change = m[i]
            elif settings.method == "running":
                m[i] = beta * m[i] + (1 - beta) * g
                s[i] = 0.999 * s[i] + 0.001 * g**2
                root = (s[i] / (1 - 0.999**step)).sqrt()
                change = m[i] / (1 - beta**step) / (root + 1e-8)
            else:
                change = g / (roots[i] + 2e-5)
            with torch.no_grad():
                w -= settings.rate * change
                w += pulls[i] * (trained[i] - w)
    assert any(clipped) and not all(clipped)
    static = score_tokens(model, ids, CPU)
    assert np.abs(result.log_prob[20:] - static.log_prob[20:]).max() > 0.02


def test_rms_looks_at_the_text_learnt_and_no_further_than_it_must(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another text learnt gives other scores; of a long one the first segments are enough; the
    first segment read is scored before anything moves, and looking is not learning."""
    settings = Dynamic(method="rms", lr=0.003, segment=5, decay=0.1)
    ids, model = text_ids(30), tiny()
    texts = [text_ids(40, seed=seed) for seed in (1, 2)]
    a, b = (score_dynamic(model, ids, CPU, settings, learnt=text) for text in texts)
    assert np.abs(a.log_prob - b.log_prob)[5:].max() > 1e-3
    static = score_tokens(model, ids, CPU)
    close(TokenScores(a.log_prob[:5], None), static.log_prob[:5])
    cut = score_dynamic(model, ids, CPU, settings, learnt=texts[0][:15])
    monkeypatch.setattr(dynamic_module, "_LEARNT", 3)
    short = score_dynamic(model, ids, CPU, settings, learnt=texts[0])
    np.testing.assert_array_equal(short.log_prob, cut.log_prob)
    assert np.abs(short.log_prob - a.log_prob).max() > 1e-4
    looking = Dynamic(method="rms", lr=1e-9, segment=5)
    nothing = score_dynamic(model, ids, CPU, looking, learnt=texts[0])
    close(nothing, static.log_prob, atol=1e-4)


@pytest.mark.parametrize(("method", "rate"), [("running", 3e-4), ("rms", 5e-5), ("sgd", 0.1)])
def test_dynamic_settings(method: Any, rate: float) -> None:
    """Each method's own rate unless another is given, and that is the one used and signed; other
    methods, values and keys are refused."""
    usual = Dynamic(method=method)
    assert usual.rate == rate
    assert Dynamic(method=method, lr=0.02).rate == 0.02
    assert f"method={method}," in usual.signature and f"lr={rate:g}," in usual.signature
    assert Dynamic(method=method, lr=rate).signature == usual.signature
    ids, learnt, model = text_ids(40), text_ids(40, seed=1), tiny()
    a, b, c = (
        score_dynamic(model, ids, CPU, Dynamic(method=method, lr=lr), learnt=learnt)
        for lr in (None, rate, 2 * rate)
    )
    np.testing.assert_array_equal(a.log_prob, b.log_prob)
    assert np.abs(a.log_prob - c.log_prob).max() > 1e-5
    fields = {"lr": 0.0321, "segment": 77, "decay": 0.0456, "clip": 0.789}
    for key, value in fields.items():
        assert f"{key}={value:g}" in Dynamic(method=method, **{key: value}).signature
    for wrong in (
        {"method": "adam"}, {"lr": 0}, {"lr": -1}, {"segment": 0}, {"decay": 1}, {"decay": -0.1},
        {"clip": 0}, {"momentum": 1}, {"momentum": -0.1}, {"rate": 1},
    ):  # fmt: skip
        with pytest.raises(InputError):
            Dynamic(**{"method": method, **wrong})


def test_rms_has_no_momentum() -> None:
    """The published rule has none, so one that is given would do nothing."""
    with pytest.raises(InputError, match="no momentum"):
        Dynamic(method="rms", momentum=0.5)
    assert Dynamic(method="sgd", momentum=0.5).momentum == 0.5


@pytest.mark.parametrize("method", ["running", "rms", "sgd"])
def test_weights_come_back(method: Any) -> None:
    """After dynamic evaluation, and after an error in the middle of it, the model is as it was."""
    ids, learnt, model = text_ids(64), text_ids(40, seed=1), tiny()
    settings = Dynamic(method=method, lr=0.1, decay=0.01)
    next(model.parameters()).requires_grad_(False)
    before, flags = weights(model), [p.requires_grad for p in model.parameters()]

    def same() -> None:
        for parameter, value in zip(model.parameters(), before, strict=True):
            assert torch.equal(parameter, value)
            assert parameter.grad is None
        assert [p.requires_grad for p in model.parameters()] == flags

    score_dynamic(model, ids, CPU, settings, learnt=learnt)
    same()

    calls = []

    def fail(steps: int) -> None:
        calls.append(steps)
        if len(calls) == 3:
            same()  # a copy learns, so others may use the model meanwhile
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_dynamic(model, ids, CPU, settings, fail, learnt=learnt)
    assert len(calls) == 3
    same()


@pytest.mark.parametrize("windowed", [False, True])
def test_dynamic_beats_static_on_a_text_that_repeats(windowed: bool) -> None:
    """What came once is expected the next time."""
    ids = np.tile(text_ids(12), 30)
    model: Any = tiny()
    if windowed:
        model = Windowed(model, 4)
    static = score_tokens(model, ids, CPU)
    dynamic = score_dynamic(model, ids, CPU, Dynamic(lr=0.02, segment=6))
    assert dynamic.nll < 0.5 * static.nll
    assert dynamic.hit.mean() > static.hit.mean() + 0.3


# ------------------------------------------------------------------------------- runs and sentences


TEXT = "abc cab\nbca acb\n"


def run_of(model_settings: dict[str, Any] | None = None, text: str = TEXT) -> Run:
    config = Config.parse({"text": {"tokenizer": "char"}, "model": model_settings or {}})
    tokenizer = CharTokenizer.train([text], config.text)
    return Run("tiny", config, tokenizer, tiny(vocab_size=tokenizer.vocab_size))


LINES = ["abc", "", "cab bca", "a", "b" * 40, "abc", "xyz", "a?c", "cc cc", "ab\nba"]


@pytest.fixture(scope="module")
def run() -> Run:
    return run_of()


def test_sentence_scores_equal_a_slow_loop(run: Run) -> None:
    """A line from a fresh start up to and including its `<eos>`; length, unknowns, perplexity."""
    for line, result in zip(LINES, score(run, LINES), strict=True):
        ids = [*run.tokenizer.encode(line), EOS]
        log_prob = slow_scores(run.model, ids)[0].sum()
        assert result.text == line
        assert result.log_prob == pytest.approx(log_prob, abs=1e-4)
        assert result.tokens == len(ids)
        assert result.perplexity == pytest.approx(math.exp(-log_prob / len(ids)), rel=1e-4)
        assert result.oov == sum(char not in "abc \n" for char in line)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
@pytest.mark.parametrize("tokens", [4096, 10])
def test_sentence_scores_know_nothing_of_batches(
    run: Run, batch_size: int, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the batch size, the limit on a batch and the order, a line has one score, and the
    scores come in the order of the lines."""
    expected = {line: score(run, [line])[0].log_prob for line in LINES}
    monkeypatch.setattr(sentences, "_TOKENS", tokens)
    lines = LINES * 3  # with batch_size=1 more than one block
    for texts in (lines, lines[::-1], sorted(lines)):
        results = score(run, iter(texts), batch_size)
        assert [r.text for r in results] == texts
        for result in results:
            assert result.log_prob == pytest.approx(expected[result.text], abs=1e-4)


@pytest.mark.parametrize("batch_size", [3, 100])
def test_sentence_batches_are_bounded(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch holds more rows than asked for, nor more tokens than the limit unless it is one
    row; every row is in one batch."""
    monkeypatch.setattr(sentences, "_TOKENS", 12)
    lengths = [len(line) + 1 for line in LINES]
    order = sorted(range(len(LINES)), key=lambda i: lengths[i])
    batches = list(sentences.batches(order, lengths, batch_size))
    assert sorted(i for rows in batches for i in rows) == list(range(len(LINES)))
    for rows in batches:
        assert len(rows) <= batch_size
        assert len(rows) == 1 or len(rows) * max(lengths[i] for i in rows) <= 12
    assert max(len(rows) for rows in batches) == 3


def test_sentences_of_a_stream_come_in_blocks(run: Run) -> None:
    """An endless stream is scored as it comes: the first answers need the first lines only."""
    read = []

    def endless() -> Any:
        while True:
            read.append(1)
            yield "abc"

    first = next(sentences.score_lines(run, endless(), batch_size=4))
    assert first.text == "abc"
    assert len(read) == 32


def test_no_sentences(run: Run) -> None:
    """Nothing in, nothing out."""
    assert score(run, []) == []


# ------------------------------------------------------------------------------------------ figures


def test_spelled_bits() -> None:
    """Nats to bits, and 8 bits for every byte of an unknown word."""
    assert spelled_bits(math.log(2) * 10, 0) == pytest.approx(10)
    assert spelled_bits(math.log(2) * 10, 3) == pytest.approx(34)


def test_summarise() -> None:
    """Every figure from sums and counts, one division each."""
    scores = TokenScores(np.log([0.5, 0.25, 0.5, 0.125]), np.array([True, False, False, True]))
    counts = Counts(tokens=4, words=2, bytes=14, chars=7, oov=1, oov_bytes=3)
    result = summarise(scores, counts, 3.5, parameters=11, seconds=1.5, signed="s")
    assert result.nll == pytest.approx(7 * math.log(2))
    assert result.perplexity == pytest.approx(2 ** (7 / 4))
    assert result.perplexity_excluding_oov == 3.5
    assert result.word_perplexity == pytest.approx(2 ** (7 / 2))
    assert result.bits_per_byte == pytest.approx((7 + 24) / 14)
    assert result.bits_per_char == pytest.approx((7 + 24) / 7)
    assert result.accuracy == 0.5
    assert (result.tokens, result.words, result.bytes, result.chars) == (4, 2, 14, 7)
    assert (result.oov, result.parameters, result.seconds, result.signature) == (1, 11, 1.5, "s")


def test_safe_exp() -> None:
    """exp where a float can hold it, infinity beyond."""
    assert safe_exp(1.0) == math.e
    assert safe_exp(1e6) == math.inf


def test_evaluate_text(run: Run, tmp_path: Path) -> None:
    """From a file to figures: the slow loop's sum over the text's ids, the text's own counts."""
    text = "abc xab\ncab bc\n"
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    result = evaluate_text(run, path)
    ids = np.array(run.tokenizer.encode(text))
    log_probs, hits = slow_scores(run.model, ids)
    assert result.tokens == result.bytes == result.chars == len(text)
    assert result.nll == pytest.approx(-log_probs.sum(), rel=1e-5)
    assert result.words == 6  # four words, two ends of line
    assert result.oov == 1  # the x, spelled as two bytes
    known = log_probs[ids != UNK]
    assert len(known) == len(text) - 1
    assert result.perplexity_excluding_oov == pytest.approx(math.exp(-known.mean()), rel=1e-5)
    assert result.bits_per_byte == pytest.approx(
        (-log_probs.sum() / math.log(2) + 16) / len(text), rel=1e-5
    )
    assert result.accuracy == pytest.approx(hits.mean())
    assert result.parameters == sum(p.numel() for p in run.model.parameters())
    assert "context:carried" in result.signature
    assert run.tokenizer.fingerprint in result.signature


def test_signature_says_what_changes_a_score(run: Run, tmp_path: Path) -> None:
    """Stripes, windows and dynamic evaluation are in it."""
    path = tmp_path / "text.txt"
    path.write_text(TEXT * 5, encoding="utf-8")
    windowed = Run("w", run.config, run.tokenizer, Windowed(run.model, 4))
    signatures = [
        evaluate_text(run, path).signature,
        evaluate_text(run, path, stripes=3).signature,
        evaluate_text(run, path, stripes=3, warmup=2).signature,
        evaluate_text(run, path, dynamic=Dynamic()).signature,
        evaluate_text(run, path, dynamic=Dynamic(lr=0.5)).signature,
        evaluate_text(run, path, dynamic=Dynamic(method="sgd")).signature,
        evaluate_text(windowed, path).signature,
    ]
    assert len(set(signatures)) == len(signatures)
    assert evaluate_text(run, [path]).signature == signatures[0]


def test_what_cannot_be_evaluated(run: Run, tmp_path: Path) -> None:
    """Dynamic evaluation has one stream and needs weights."""
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    with pytest.raises(InputError, match="one stream"):
        evaluate_text(run, path, dynamic=Dynamic(), stripes=2)
    vocab_size = run.tokenizer.vocab_size
    counts = Run("counts", run.config, run.tokenizer, NgramConfig().build(vocab_size))
    with pytest.raises(InputError, match="nothing to adapt"):
        evaluate_text(counts, path, dynamic=Dynamic())
    with pytest.raises(InputError, match="does not have the text it was trained on"):
        evaluate_text(run, path, dynamic=Dynamic(method="rms"))
    assert evaluate_text(counts, path).perplexity == pytest.approx(vocab_size, rel=1e-5)


def test_char_tokenizer_of_the_tests() -> None:
    """What the figures above rely on: letters, space, `<unk>`, `<eos>`."""
    assert CharTokenizer.train([TEXT], TextConfig()).vocab_size == 6
