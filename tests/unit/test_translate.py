"""Translating, what a translator looks at, and how good translations are."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from torch import nn

import nextword
import nextword.evaluation.pairs as pairs_module
from nextword.config import Config, TextConfig
from nextword.diagnostics import attention as pictures
from nextword.errors import InputError
from nextword.evaluation.compare_translations import (
    by_length,
    compare_translations,
    draw_lengths,
)
from nextword.evaluation.pairs import score_pairs
from nextword.evaluation.translation import evaluate_translation, quality, quick_bleu
from nextword.generation import translate as module
from nextword.generation.sample import search_text
from nextword.generation.sampling import Sampling
from nextword.generation.translate import (
    Decoding,
    attention,
    check_translates,
    decode,
    translate,
    translate_lines,
)
from nextword.run import Run
from nextword.tasks.verbs import score
from nextword.text.pairs import PairFile, encode_lines, prepare_pairs
from nextword.text.tokenizer import EOS, UNK, train_tokenizer

CPU = torch.device("cpu")
SOURCE = "the cat dog sat ate on mat a big red".split()
TARGET = "die katze hund saß fraß auf matte ein groß rot".split()


def draw_pairs(count: int, seed: int = 0, longest: int = 9) -> list[tuple[str, str]]:
    """Sentences and their translations word by word."""
    rng = random.Random(seed)
    rows = [[rng.randrange(10) for _ in range(rng.randint(1, longest))] for _ in range(count)]
    return [(" ".join(SOURCE[i] for i in r), " ".join(TARGET[i] for i in r)) for r in rows]


def write(path: Path, pairs: list[tuple[str, str]]) -> Path:
    path.write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")
    return path


def make(
    model: str = "seq2seq", seed: int = 0, std: float = 0.8, end: float = 0.0, **settings: Any
) -> Run:
    """An untrained translator whose words are those above; its weights are drawn at random."""
    sizes: dict[str, Any] = {"hidden": 8}
    sizes |= {"embedding": 6} if model == "seq2seq" else {"layers": 2, "heads": 2, "context": 40}
    tables = {
        "text": {"tokenizer": "word"},
        "source": {"tokenizer": "word"},
        "model": {"name": model} | sizes | settings,
        "train": {"stream": "pairs"},
    }
    config = Config.parse(tables)
    target = train_tokenizer([" ".join(TARGET) + "\n"], config.text)
    source = train_tokenizer([" ".join(SOURCE) + "\n"], TextConfig(tokenizer="word"))
    torch.manual_seed(seed)
    built = config.model.build(target.vocab_size, source.vocab_size)
    for parameter in built.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=std)
    built.head.b.data[EOS] = end
    return Run(f"{model}-{seed}", config, target, built.eval(), source=source)


def language_model() -> Run:
    config = Config.parse({"text": {"tokenizer": "char"}, "model": {"hidden": 8, "embedding": 6}})
    tokenizer = train_tokenizer(["abc\n"], config.text)
    torch.manual_seed(0)
    return Run("lm", config, tokenizer, config.model.build(tokenizer.vocab_size).eval())


@pytest.fixture(scope="module", params=["seq2seq", "transformer"])
def run(request: pytest.FixtureRequest) -> Run:
    seed, std = (1, 1.5) if request.param == "seq2seq" else (2, 0.8)  # neither too short nor dull
    return make(request.param, seed, std)


# -------------------------------------------------------------------------------------- translating


def test_in_order(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """However lines are batched, each gets its own translation, at its place."""
    sources = [a for a, _ in draw_pairs(15)]
    alone = [translate(run, [text])[0] for text in sources]
    assert len(set(alone)) > 6
    assert translate(run, sources) == alone
    assert translate(run, [f"  {text}\t" for text in sources]) == alone
    monkeypatch.setattr(module, "_TOKENS", 64)
    monkeypatch.setattr(module, "_BLOCK", 7)
    assert translate(run, sources) == alone
    done = list(translate_lines(run, sources))
    assert [one.source for one in done] == sources
    assert [one.text for one in done] == alone


def test_empty_lines(run: Run) -> None:
    """An empty line stays empty, and nothing else changes."""
    found = list(translate_lines(run, ["", "the cat", "  ", "a dog", ""]))
    assert [one.text for one in found] == ["", *translate(run, ["the cat"]), "",
                                           *translate(run, ["a dog"]), ""]  # fmt: skip
    assert found[0].best == found[2].best == []
    assert found[0].as_dict() == {"source": "", "translation": "", "best": []}
    assert translate(run, []) == translate(run, ["", ""])[2:] == []


def test_newline_in_a_text(run: Run) -> None:
    """A text with a newline in it is refused or one sentence; it never shifts the others."""
    wanted = translate(run, ["a big dog", "red"])
    try:
        found = translate(run, ["the\ncat", "a big dog", "red"])
    except InputError:
        return
    assert found[1:] == wanted


def test_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers come while the input is still being read."""
    monkeypatch.setattr(module, "_BLOCK", 4)
    read = []

    def lines() -> Iterator[str]:
        for i in range(10):
            read.append(i)
            yield SOURCE[i]

    found = translate_lines(make(), lines(), Decoding(beam=1))
    assert next(found).source == SOURCE[0]
    assert len(read) == 4
    assert [one.source for one in found] == SOURCE[1:]


def test_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line longer than the context is named by its number, whichever block it is in."""
    run = make("transformer", context=6)
    monkeypatch.setattr(module, "_BLOCK", 3)
    five = "the cat sat on mat"
    assert len(translate(run, [five] * 4)) == 4
    with pytest.raises(InputError, match="line 5 has 7 tokens, more than the model's context of 6"):
        translate(run, ["a", "", "a", five, f"{five} red", "a"])
    assert len(translate(make("seq2seq"), [five * 20])) == 1


@pytest.mark.parametrize("model", ["seq2seq", "transformer"])
def test_limits(model: str) -> None:
    """A translation is at most `ratio` times as long as its source and `extra` more, and no longer
    than the context."""
    run = make(model, seed=3, end=-50.0)  # it never ends by itself
    sources = ["the", "the cat sat"]
    for how in (Decoding(extra=3), Decoding(extra=3, beam=1), Decoding(extra=3, sample=Sampling())):
        lengths = [one.best[0].tokens for one in translate_lines(run, sources, how)]
        assert lengths == [int(how.ratio * 2) + 3, int(how.ratio * 4) + 3]
    if model == "transformer":
        assert [one.best[0].tokens for one in translate_lines(run, sources)] == [40, 40]


def test_n_best(run: Run) -> None:
    """The best is the same however many are asked for; log-probabilities are those of `score`."""
    sources = ["the cat", "a big red dog"]
    run = make(run.config.model.name, seed=4)
    run.model.head.b.data[UNK] = -50.0  # type: ignore[attr-defined]
    for one, best in zip(
        translate_lines(run, sources, Decoding(n_best=4)), translate(run, sources), strict=True
    ):
        assert one.text == best
        assert len(one.best) == 4
        assert [b.score for b in one.best] == sorted((b.score for b in one.best), reverse=True)
        for answer in one.best:
            if answer.tokens < 40:
                (scored,) = score(run, [f"{one.source}\t{answer.text}"])
                assert scored.tokens == answer.tokens + 1
                whole = scored.log_prob
                ended = math.isclose(answer.log_prob, whole, abs_tol=1e-3)
                length = answer.tokens + ended
                assert ended or answer.log_prob > whole
                penalty = ((5 + length) / 6) ** 0.6
                assert answer.score == pytest.approx(answer.log_prob / penalty, abs=1e-4)
        assert one.as_dict()["best"][0]["text"] == one.text


@pytest.mark.parametrize(
    "values", [{"n_best": 5}, {"beam": 2, "n_best": 3}, {"beam": 0}, {"alpha": -1}, {"extra": 0}]
)
def test_decoding_refuses(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"n_best|beam|alpha|extra"):
        Decoding(**values)


# ----------------------------------------------------------------------------------------- sampling


def test_sampling_by_seed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One seed, one text, in whatever batches; the temperature 0 is greedy."""
    sources = [a for a, _ in draw_pairs(20)]
    how = Decoding(sample=Sampling(), seed=7)
    first = translate(run, sources, how)
    assert translate(run, sources, how) == first
    assert translate(run, sources, how.model_copy(update={"seed": 8})) != first
    cold = Decoding(sample=Sampling(temperature=0), seed=1)
    assert translate(run, sources, cold) == translate(run, sources, Decoding(beam=1))
    monkeypatch.setattr(module, "_TOKENS", 40)
    assert translate(run, sources, how) == first
    assert translate(run, sources[:5], how) == first[:5]
    assert translate(run, sources[:1], how) == first[:1]


def test_sampling_beyond_a_block(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line i is drawn with its own seed, wherever blocks end and whatever is empty before it."""
    how = Decoding(sample=Sampling(), seed=7)
    sources = ["the cat sat on"] * 12
    whole = translate(run, sources, how)
    assert len(set(whole)) > 2
    monkeypatch.setattr(module, "_BLOCK", 4)
    assert translate(run, sources, how) == whole


# ---------------------------------------------------------------------------------------- attention


def test_attention(run: Run) -> None:
    """A row of weights for each target token, over the source's, that sums to one."""
    seen = attention(run, " the cat sat ", "die katze")
    assert seen.source == ["the", "cat", "sat", "<eos>"]
    assert seen.target == ["die", "katze", "<eos>"]
    heads, layers = (2, 2) if run.config.model.name == "transformer" else (1, 1)
    assert len(seen.weights) == layers
    for name, weights in seen.weights.items():
        assert name.endswith("source")
        assert weights.shape == (heads, 3, 4)
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(heads, 3))
    assert torch.equal(seen.mean(), list(seen.weights.values())[-1].mean(0))
    longer = attention(run, "the cat sat", "die katze rot")
    assert torch.allclose(longer.mean()[:2], seen.mean()[:2], atol=1e-6)  # causal
    assert not torch.allclose(attention(run, "a cat sat", "die katze").mean(), seen.mean())
    other = attention(run, "the cat sat", "rot katze")
    assert not torch.allclose(other.mean()[1], seen.mean()[1])


def test_attention_of_its_own(run: Run) -> None:
    """Without a target, the model's own translation is followed."""
    (own,) = translate(run, ["the cat"])
    seen = attention(run, "the cat")
    assert seen.target == [*own.split(), "<eos>"]
    assert torch.equal(seen.mean(), attention(run, "the cat", own).mean())


def test_attention_with_a_translation(run: Run) -> None:
    """Asked for, it comes with the best answer, as JSON too."""
    texts = ["the cat", "", "a big dog"]
    for done, text in zip(
        translate_lines(run, texts, Decoding(attention=True, n_best=2)), texts, strict=True
    ):
        if not text:
            assert done.attention is None and "attention" not in done.as_dict()
            continue
        assert done.attention is not None
        torch.testing.assert_close(done.attention.mean(), attention(run, text).mean())
        told = json.loads(json.dumps(done.as_dict()))["attention"]
        assert told["source"] == [*text.split(), "<eos>"]
        assert len(told["weights"]) == len(told["target"])
        assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in told["weights"])
    assert next(translate_lines(run, texts)).attention is None


def test_attention_input_feeding() -> None:
    """Weights of every step, though each is a call of its own."""
    run = make(input_feeding=True)
    seen = attention(run, "the cat sat", "die katze")
    (weights,) = seen.weights.values()
    assert weights.shape == (1, 3, 4)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 3))


def test_attention_refused(run: Run) -> None:
    with pytest.raises(InputError, match="no attention"):
        attention(make(attention="none"), "the cat")
    with pytest.raises(InputError, match="something in it"):
        attention(run, "  ")
    with pytest.raises(
        InputError,
        match="predicts text; it cannot translate",
    ):
        attention(language_model(), "abc")


def test_attention_longer_than_the_context() -> None:
    """A target that does not fit is refused; the model's own never ends in a crash."""
    run = make("transformer", context=6)
    with pytest.raises(InputError, match="context of 6"):
        attention(run, "the cat sat on mat red")
    with pytest.raises(InputError, match="context of 6"):
        attention(run, "the", " ".join(["die"] * 9))


def test_attention_of_a_translation_that_fills_the_context() -> None:
    run = make("transformer", context=6, end=-50.0)
    assert len(attention(run, "the").target) <= 7


@pytest.mark.parametrize("text", ["the\ncat", "the cat\ndog sat"])
def test_attention_newline(run: Run, text: str) -> None:
    for arguments in ((text, "die"), ("the", text)):
        with suppress(InputError):
            attention(run, *arguments)


def test_picture(run: Run, tmp_path: Path) -> None:
    """Written for a mean and for each head, with odd tokens as labels."""
    seen = attention(run, "the cat", "die katze")
    odd = replace(seen, source=["$a$", " x", "\n"], target=["你", "", "_^{"])
    for name, one in (("plain", seen), ("odd", odd)):
        pictures.draw(one, tmp_path / f"{name}.png")
        pictures.draw(one, tmp_path / f"{name}-heads.png", heads=True)
    assert all(path.read_bytes()[1:4] == b"PNG" for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 4
    assert not pictures.needs_chinese(seen)
    assert pictures.needs_chinese(odd)
    assert pictures.needs_chinese(replace(seen, source=["の", "b", "c"]))
    assert [pictures.label(t) for t in (" a", "\n", "$", "", "b")] == ["▁a", "⏎", "$", "∅", "b"]


def test_summary() -> None:
    weights = {"first.source": torch.ones(1, 2, 2) / 2, "source": torch.tensor(
        [[[0.75, 0.25], [0.0, 1.0]], [[0.45, 0.55], [0.2, 0.8]]])}  # fmt: skip
    seen = module.Attention(["a", "<eos>"], ["b", "<eos>"], weights)
    lines = [line.split() for line in pictures.summary(seen).splitlines()]
    assert lines == [["b", "a", "60%"], ["<eos>", "<eos>", "90%"]]


def test_language_models_do_not_translate(tmp_path: Path) -> None:
    run, path = language_model(), write(tmp_path / "pairs", draw_pairs(3))
    with pytest.raises(InputError, match="Use it with: nextword generate"):
        check_translates(run)
    with pytest.raises(InputError, match="it cannot translate"):
        translate(run, ["abc"])
    with pytest.raises(InputError, match="it cannot translate"):
        evaluate_translation(run, path)
    assert check_translates(make()).vocab_size == 12


def test_translators_are_no_language_models(run: Run) -> None:
    with pytest.raises(InputError, match="translates"):
        search_text(run, "die")


# -------------------------------------------------------------------------------- log-probabilities


def test_score_is_score_pairs(run: Run, tmp_path: Path) -> None:
    """The log-probability of a line is that of its pair; unknown words count where they are."""
    pairs = [*draw_pairs(25), ("zebra cat", "zebra katze katze xyz")]
    found = score(run, [f"{a}\t{b}" for a, b in pairs], batch_size=4)
    assert run.source is not None
    path = write(tmp_path / "pairs", pairs)
    corpus, _ = prepare_pairs([PairFile(path)], run.tokenizer, run.source, tmp_path / "data", 99)
    scores = score_pairs(run.model, corpus, CPU)
    np.testing.assert_allclose([f.log_prob for f in found], scores.log_prob, rtol=1e-4, atol=1e-4)
    assert [f.tokens for f in found] == scores.tokens.tolist()
    assert [f.tokens for f in found] == [len(b.split()) + 1 for _, b in pairs]
    assert [f.oov for f in found] == [0] * 25 + [2]
    assert [f.text for f in found] == [f"{a}\t{b}" for a, b in pairs]
    assert found[0].perplexity == pytest.approx(math.exp(-found[0].log_prob / found[0].tokens))


def test_score_leaves_further_columns_alone(run: Run) -> None:
    """As everywhere pairs are read."""
    one, two = score(run, ["the cat\tdie katze", "the cat\tdie katze\trot rot"])
    assert one.log_prob == pytest.approx(two.log_prob, abs=1e-4)


def test_score_refuses(run: Run) -> None:
    with pytest.raises(InputError, match="line 2 has no tab"):
        score(run, ["a\trot", "a"])
    long = " ".join(["rot"] * 40)
    if run.model.context:
        with pytest.raises(InputError, match="line 3 has 41 tokens"):
            score(run, ["a\trot", "a\trot", f"a\t{long}"])
        with pytest.raises(InputError, match="line 1 has 41 tokens"):
            score(run, [f"{long}\trot"])


def by_hand(run: Run, pairs: list[tuple[str, str]]) -> list[tuple[list[float], list[int], int]]:
    """Of each pair alone, by `forward`: log-probabilities of its target's tokens, the tokens, how
    many were the likeliest."""
    assert run.source is not None
    found = []
    for source, target in pairs:
        (ids,) = encode_lines(run.source, [source])
        (wanted,) = encode_lines(run.tokenizer, [target])
        with torch.no_grad():
            state = run.model.start(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.bool))  # type: ignore[call-arg,arg-type]
            logits = run.model.forward(torch.tensor([[EOS, *wanted[:-1]]]), state).logits[0]
        steps = logits.double().log_softmax(-1)
        values = steps[torch.arange(len(wanted)), torch.tensor(wanted)]
        hits = int((logits.argmax(-1) == torch.tensor(wanted)).sum())
        found.append((values.tolist(), wanted, hits))
    return found


def test_score_pairs(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the text, whatever the batches: sums, hits, tokens the vocabulary has."""
    pairs = [*draw_pairs(30), ("cat", "unheard katze"), ("the", "die nie gehört")]
    wanted = by_hand(run, pairs)
    assert run.source is not None
    path = write(tmp_path / "pairs", pairs)
    corpus, _ = prepare_pairs([PairFile(path)], run.tokenizer, run.source, tmp_path / "data", 99)
    for budget in (4096, 50, 1):
        monkeypatch.setattr(pairs_module, "_TOKENS", budget)
        seen: list[int] = []
        scores = score_pairs(run.model, corpus, CPU, seen.append)
        np.testing.assert_allclose(scores.log_prob, [sum(w[0]) for w in wanted], atol=1e-4)
        assert scores.tokens.tolist() == [len(w[1]) for w in wanted]
        assert scores.hits == sum(w[2] for w in wanted)
        known = [p for w in wanted for p, i in zip(w[0], w[1], strict=True) if i != UNK]
        assert scores.known == len(known) == len(corpus) - 3
        assert scores.known_log_prob == pytest.approx(sum(known), abs=1e-3)
        assert scores.nll == pytest.approx(-sum(sum(w[0]) for w in wanted), abs=1e-3)
        assert scores.accuracy == scores.hits / len(corpus)
        assert sum(seen) == len(corpus)
        if budget == 1:
            assert len(seen) == len(pairs)


# ------------------------------------------------------------------------------------------ quality


def test_quality() -> None:
    """sacrebleu's own figures and signatures."""
    references = [b for _, b in draw_pairs(40)]
    translations = [b.replace("rot", "blau") for b in references]
    found = quality(translations, references)
    bleu, chrf = BLEU(tokenize="13a"), CHRF()
    assert found.bleu == bleu.corpus_score(translations, [references]).score
    assert found.chrf == chrf.corpus_score(translations, [references]).score
    assert 20 < found.bleu < 95
    assert "tok:13a" in found.bleu_signature
    assert found.bleu_signature == str(bleu.get_signature())
    assert found.chrf_signature == str(chrf.get_signature())
    assert quality(references, references).bleu == pytest.approx(100)


@pytest.mark.parametrize(
    "references", [["我喜欢这只猫。", "他 在 GitHub 工作。"], ["これは猫です。"]]
)
def test_quality_chinese(references: list[str]) -> None:
    """Characters are the words."""
    translations = [text.replace("猫", "狗") for text in references]
    found = quality(translations, references)
    assert "tok:zh" in found.bleu_signature
    wanted = BLEU(tokenize="zh").corpus_score(translations, [references]).score
    assert found.bleu == wanted > 10
    mostly_english = ["the sign says 猫 and nothing else", "yes"]
    assert "tok:13a" in quality(mostly_english, mostly_english).bleu_signature


def test_evaluate_translation(run: Run, tmp_path: Path) -> None:
    """Counts, perplexities and BLEU of one file are what its parts say."""
    pairs = [*draw_pairs(20), ("the", ""), ("", "die"), ("zebra", "unerhört rot")]
    there = [(a, b) for a, b in pairs if a and b]
    how = Decoding(beam=2, alpha=1.0)
    bars: list[int] = []

    def bar(total: int) -> Any:
        bars.append(total)
        return bars.append

    found = evaluate_translation(run, write(tmp_path / "pairs", pairs), how=how, bar=bar)
    assert list(zip(found.sources, found.references, strict=True)) == there
    assert bars == [21] + [1] * 21
    assert found.translations == translate(run, [a for a, _ in there], how)
    assert found.quality == quality(found.translations, found.references)
    wanted = by_hand(run, there)
    nll = -sum(sum(w[0]) for w in wanted)
    tokens = sum(len(w[1]) for w in wanted)
    text = "".join(f"{b}\n" for _, b in there)
    e = found.targets
    assert e.nll == pytest.approx(nll, rel=1e-5)
    assert (e.tokens, e.words, e.bytes, e.chars, e.oov) == (
        tokens, tokens, len(text.encode()), len(text), 1,
    )  # fmt: skip
    assert e.perplexity == pytest.approx(math.exp(nll / tokens), rel=1e-5)
    known = [p for w in wanted for p, i in zip(w[0], w[1], strict=True) if i != UNK]
    assert e.perplexity_excluding_oov == pytest.approx(math.exp(-sum(known) / len(known)), rel=1e-5)
    assert e.accuracy == sum(w[2] for w in wanted) / tokens
    assert run.tokenizer.fingerprint in e.signature
    described = found.as_dict()
    assert described["sentences"] == 21
    assert described["bleu"] == found.quality.bleu
    assert described["perplexity"] == e.perplexity


def test_evaluate_parallel_files(run: Run, tmp_path: Path) -> None:
    """One file with tabs or two files: the same."""
    pairs = draw_pairs(8)
    (tmp_path / "a").write_text("".join(f"{a}\n" for a, _ in pairs), encoding="utf-8")
    (tmp_path / "b").write_text("".join(f"{b}\n" for _, b in pairs), encoding="utf-8")
    one = evaluate_translation(run, write(tmp_path / "pairs", pairs)).as_dict()
    two = evaluate_translation(run, tmp_path / "a", [tmp_path / "b"]).as_dict()
    for timed in ("seconds", "translation_seconds"):
        del one[timed], two[timed]
    assert one == two


def test_evaluate_refuses(tmp_path: Path) -> None:
    run = make("transformer", context=6)
    with pytest.raises(InputError, match="no pairs in"):
        evaluate_translation(run, write(tmp_path / "pairs", [("", "x"), ("y", "")]))
    with pytest.raises(InputError, match=r"1 pairs of .* context of 6"):
        evaluate_translation(run, write(tmp_path / "pairs", [("a", "rot"), ("a " * 6, "rot")]))
    with pytest.raises(InputError, match="no file"):
        evaluate_translation(run, tmp_path / "nowhere")


def test_quick_bleu(run: Run, tmp_path: Path) -> None:
    """BLEU of the greedy translations of the first pairs."""
    pairs = draw_pairs(12)
    assert run.source is not None
    path = write(tmp_path / "pairs", pairs)
    corpus, _ = prepare_pairs([PairFile(path)], run.tokenizer, run.source, tmp_path / "data", 99)
    for lines in (5, 12, 100):
        first = pairs[:lines]
        greedy = translate(run, [a for a, _ in first], Decoding(beam=1))
        wanted = quality(greedy, [b for _, b in first]).bleu
        assert quick_bleu(run.model, run.tokenizer, corpus, lines, CPU) == wanted
    encoded = encode_lines(run.tokenizer, [b for _, b in pairs])

    class Oracle:
        """Knows the references."""

        context = None

    def perfect(model: Any, sources: Any, *_: Any) -> Any:
        return [[module.Hypothesis(ids[:-1], 0.0, 0.0, True)] for ids in encoded[: len(sources)]]

    import nextword.evaluation.translation as translation

    original = translation.decode
    try:
        translation.decode = perfect
        assert quick_bleu(Oracle(), run.tokenizer, corpus, 12, CPU) == pytest.approx(100)
    finally:
        translation.decode = original


def test_decode_of_nothing(run: Run) -> None:
    assert decode(run.model, [], CPU, Decoding()) == []


# ------------------------------------------------------------------------------------------ compare


def patched(run: Run, monkeypatch: pytest.MonkeyPatch, answers: dict[str, dict[str, str]]) -> None:
    """Translations that are known beforehand, by name of the run and source."""
    import nextword.evaluation.translation as translation

    def answer(which: Run, texts: Any, how: Any = None) -> Any:
        for text in texts:
            best = [module.Translation(answers[which.name][text], 0.0, 0.0, 1)]
            yield module.Translated(text, best)

    monkeypatch.setattr(translation, "translate_lines", answer)


def test_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Best BLEU first; p against the run named first; intervals around the score."""
    pairs = list(dict(draw_pairs(60)).items())
    worse = {a: b.replace("katze", "x").replace("rot", "y").replace("ein", "z") for a, b in pairs}
    answers = {"bad": worse, "good": dict(pairs)}
    run = make()
    runs = [replace(run, name=name) for name in ("bad", "good")]
    patched(run, monkeypatch, answers)
    found = compare_translations(runs, write(tmp_path / "pairs", pairs))
    assert found.baseline == "bad"
    assert found.rows[0].name == "good"
    rows = {row.name: row for row in found.rows}
    assert rows["bad"].bleu_p is None
    assert rows["bad"].chrf_p is None
    assert rows["good"].bleu_p < 0.05  # type: ignore[operator]
    assert rows["good"].chrf_p < 0.05  # type: ignore[operator]
    for row in found.rows:
        quality_ = row.evaluation.quality
        for (low, high), value in (
            (row.bleu_interval or (100, 100), quality_.bleu),
            (row.chrf_interval or (100, 100), quality_.chrf),
        ):
            assert low <= value + 1e-6
            assert value <= high + 1e-6
    assert rows["good"].bleu_interval is None  # all are right: nothing to draw an interval from
    low, high = rows["bad"].bleu_interval or (0, 0)
    assert high - low > 1
    described = found.as_dict()
    assert [row["name"] for row in described["rows"]] == [row.name for row in found.rows]
    assert described["rows"][0]["bleu"] == pytest.approx(100)
    draw_lengths(found, tmp_path / "lengths.png")
    assert (tmp_path / "lengths.png").read_bytes()[1:4] == b"PNG"


def test_compare_with_itself(run: Run, tmp_path: Path) -> None:
    """The same translations are no evidence of a difference."""
    path = write(tmp_path / "pairs", draw_pairs(30))
    found = compare_translations([run, replace(run, name="twin")], path, how=Decoding(beam=1))
    assert found.rows[0].evaluation.quality == found.rows[1].evaluation.quality
    ps = [(row.bleu_p, row.chrf_p) for row in found.rows if row.name == "twin"]
    assert all(p is None or p > 0.05 for pair in ps for p in pair)


@pytest.mark.parametrize("sentences", [1, 4, 19, 20])
def test_few_sentences_have_no_intervals_and_no_test(
    sentences: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [(f"cat{i} red", f"katze rot {i}") for i in range(sentences)]
    answers = {
        "bad": {a: b[:7] + "x" * (i % 3) for i, (a, b) in enumerate(pairs)},
        "good": {a: b + " x" * (i % 2) for i, (a, b) in enumerate(pairs)},
    }
    run = make()
    patched(run, monkeypatch, answers)
    runs = [replace(run, name=name) for name in ("bad", "good")]
    found = compare_translations(runs, write(tmp_path / "pairs", pairs))
    few = sentences < 20
    told = "no confidence intervals and no test: they need at least 20 sentences (here: "
    assert any(note.startswith(told) for note in found.notes()) == few
    assert any(note.startswith("p: paired bootstrap") for note in found.notes()) != few
    for row in found.rows:
        assert (row.chrf_interval is None) == few
        assert (row.chrf_p is None) == (few or row.name == "bad")


def test_compare_as_json(run: Run, tmp_path: Path) -> None:
    """Plain numbers."""
    found = compare_translations([run], write(tmp_path / "pairs", draw_pairs(12)))
    assert json.loads(json.dumps(found.as_dict()))["baseline"] == run.name


def test_compare_one(run: Run, tmp_path: Path) -> None:
    """One run alone has an interval and no p-value."""
    path = write(tmp_path / "pairs", draw_pairs(12))
    found = compare_translations([run], path, how=Decoding(beam=1))
    (row,) = found.rows
    assert row.bleu_p is None
    assert row.evaluation.translations == translate(run, row.evaluation.sources, Decoding(beam=1))
    again = nextword.compare([run], path, decoding=Decoding(beam=1))
    assert again.as_dict()["rows"][0]["bleu"] == row.evaluation.quality.bleu


def test_by_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sentence in one bar, unless there are too few of its length."""
    run = make()
    lengths = [1, 2, 3, 4] * 5 + [5] * 6 + [7] * 9 + [13] * 10 + [14, 20] * 8
    pairs = [(" ".join(["cat"] * n) + f" w{i}", f"w{i} rot") for i, n in enumerate(lengths)]
    patched(run, monkeypatch, {run.name: dict(pairs)})
    found = evaluate_translation(run, write(tmp_path / "pairs", pairs))
    bars = {part["words"]: part["sentences"] for part in by_length(found)}
    assert bars == {"1-3": 10, "4-6": 16, "13+": 26}  # a word more each; of 7-9 too few
    assert sum(bars.values()) <= len(pairs)


def test_by_length_chinese(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without spaces, characters are counted."""
    run = make()
    pairs = [("猫" * (3 + 4 * (i % 2)) + chr(0x4E00 + i), f"w{i} rot") for i in range(40)]
    patched(run, monkeypatch, {run.name: dict(pairs)})
    found = evaluate_translation(run, write(tmp_path / "pairs", pairs))
    assert {part["words"]: part["sentences"] for part in by_length(found)} == {"4-6": 20, "7-9": 20}
