"""Monte-Carlo dropout: the mean of many thinned networks, and what it leaves alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nextword.config import Config
from nextword.errors import InputError
from nextword.evaluation.mc_dropout import score_mc_dropout
from nextword.evaluation.perplexity import evaluate_text
from nextword.evaluation.token_scores import score_tokens
from nextword.models.mixture import MixtureConfig, MixtureLM
from nextword.models.ngram import NgramConfig
from nextword.models.windowed import Windowed
from nextword.run import Run
from nextword.text.char import CharTokenizer
from nextword.text.tokenizer import EOS
from tests.support import text_ids, tiny

CPU = torch.device("cpu")
V, N = 9, 50
KINDS = ("embedding", "input", "hidden", "output", "weight")
TEXT = "abc cab\nbca acb\n" * 3
Array = np.ndarray[Any, Any]


def dropping(vocab_size: int = V, **dropouts: float) -> Any:
    settings = {f"dropout_{kind}": p for kind, p in dropouts.items()}
    return tiny(vocab_size, layers=2, **settings)


def one_pass(model: Any, ids: Array, seed: int) -> Array:
    """Log-probabilities (N,) of one thinned network, all tokens in one call."""
    generator = torch.get_rng_state()
    torch.manual_seed(seed)
    model.train()
    words = torch.tensor([[EOS, *(int(i) for i in ids)]])
    with torch.no_grad():
        logits = model.forward(words[:, :-1], model.start(1)).logits[0]
    model.eval()
    torch.set_rng_state(generator)
    return logits.double().log_softmax(-1).gather(1, words[0, 1:, None])[:, 0].numpy()


@pytest.mark.parametrize("dropouts", [*({kind: 0.4} for kind in KINDS), dict.fromkeys(KINDS, 0.3)])
def test_the_mean_of_single_passes(dropouts: dict[str, float]) -> None:
    """log (1/S) Σ p_s, the s-th pass with masks from seed s, whatever is dropped."""
    model, ids = dropping(**dropouts), text_ids(N)
    passes = np.stack([one_pass(model, ids, seed) for seed in range(6)])
    for samples in (1, 2, 6):
        found = score_mc_dropout(model, ids, CPU, samples)
        expected = np.log(np.exp(passes[:samples]).mean(0))
        np.testing.assert_allclose(found.log_prob, expected, atol=1e-5)
        assert found.log_prob.dtype == np.float32
        assert found.hit is None and math.isnan(found.accuracy)
    without = score_tokens(model, ids, CPU)
    assert np.abs(passes - without.log_prob).max(1).min() > 0.01


def test_a_mean_is_no_worse_than_what_it_is_made_of() -> None:
    """For every token log mean p ≥ mean log p (Jensen), and it is more where the passes differ."""
    model, ids = dropping(**dict.fromkeys(KINDS, 0.3)), text_ids(N)
    passes = np.stack([one_pass(model, ids, seed) for seed in range(8)])
    for samples in (2, 5, 8):
        gain = score_mc_dropout(model, ids, CPU, samples).log_prob - passes[:samples].mean(0)
        assert gain.min() >= -1e-5
        assert gain.mean() > 0.001


def test_the_same_passes_every_time() -> None:
    """The seeds are fixed: two calls agree to the last bit, whatever was drawn in between."""
    model, ids = dropping(output=0.5), text_ids(N)
    first = score_mc_dropout(model, ids, CPU, 3)
    torch.rand(7)
    np.testing.assert_array_equal(score_mc_dropout(model, ids, CPU, 3).log_prob, first.log_prob)


def test_nothing_is_left_behind() -> None:
    """Afterwards, and after an error in the middle, the model evaluates as before and torch's
    generator goes on as if nothing had been drawn; no gradient is kept."""
    model, ids = dropping(**dict.fromkeys(KINDS, 0.3)), text_ids(N)
    before = score_tokens(model, ids, CPU).log_prob
    state = torch.get_rng_state()

    def same() -> None:
        assert not any(module.training for module in model.modules())
        assert torch.equal(torch.get_rng_state(), state)
        assert all(p.grad is None for p in model.parameters())
        np.testing.assert_array_equal(score_tokens(model, ids, CPU).log_prob, before)

    score_mc_dropout(model, ids, CPU, 2)
    same()
    calls = []

    def fail(steps: int) -> None:
        calls.append(steps)
        assert not model.training  # a copy has the dropout: others may read the model
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_mc_dropout(model, ids, CPU, 9, fail, chunk=20)
    assert calls == [20, 20, 10]
    same()


@pytest.mark.parametrize("stripes", [1, 4, 7])
def test_stripes_and_progress(stripes: int) -> None:
    """Each pass may be read in several places at once; every token is told of once a pass."""
    model, ids = dropping(output=0.5), text_ids(N)
    seen: list[int] = []
    found = score_mc_dropout(model, ids, CPU, 3, seen.append, stripes=stripes, warmup=5, chunk=21)
    assert sum(seen) == 3 * N
    single = []
    for seed in range(3):
        torch.manual_seed(seed)
        model.train()
        scores = score_tokens(model, ids, CPU, stripes=stripes, warmup=5, chunk=21)
        single.append(scores.log_prob.astype(float))
    model.eval()
    np.testing.assert_allclose(found.log_prob, np.log(np.exp(single).mean(0)), atol=1e-5)


# ------------------------------------------------------------------------------------------- a run


def run_of(model: Any = None, **dropouts: float) -> Run:
    settings = {f"dropout_{kind}": p for kind, p in dropouts.items()}
    config = Config.parse({"text": {"tokenizer": "char"}, "model": settings})
    tokenizer = CharTokenizer.train([TEXT], config.text)
    size = tokenizer.vocab_size
    return Run("tiny", config, tokenizer, model(size) if model else dropping(size, **dropouts))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.mark.parametrize("stripes", [1, 3])
def test_evaluate_with_dropout(stripes: int, path: Path) -> None:
    """The figures are those of the mean; the bar counts all passes."""
    run = run_of(output=0.5, weight=0.2)
    totals: list[int] = []
    seen: list[int] = []

    def bar(total: int) -> Any:
        totals.append(total)
        return seen.append

    found = evaluate_text(run, path, mc_dropout=4, stripes=stripes, warmup=5, bar=bar)
    ids = np.array(run.tokenizer.encode(TEXT))
    scores = score_mc_dropout(run.model, ids, CPU, 4, stripes=stripes, warmup=5)
    assert found.nll == pytest.approx(scores.nll)
    assert found.tokens == len(ids)
    assert totals == [4 * len(ids)] == [sum(seen)]
    assert math.isnan(found.accuracy)
    assert found.signature.endswith("|mc-dropout:4")
    assert ("stripes:3" in found.signature) == (stripes == 3)
    assert found.nll != evaluate_text(run, path, stripes=stripes, warmup=5).nll


def test_windows_have_dropout_too(path: Path) -> None:
    """A model that predicts from windows: drawn within, and off again afterwards."""
    run = run_of(lambda size: Windowed(dropping(size, output=0.5), 4).eval(), output=0.5)
    plain = evaluate_text(run, path).nll
    assert evaluate_text(run, path, mc_dropout=2).nll != pytest.approx(plain, rel=1e-6)
    assert evaluate_text(run, path).nll == plain


def test_runs_without_dropout_are_refused(path: Path) -> None:
    """Networks without, counts, mixtures: one pass would be as good as many."""

    def counts(size: int) -> Any:
        return NgramConfig(order=2).build(size)

    def mixture(size: int) -> Any:
        return MixtureLM(MixtureConfig(weights=(0.5, 0.5)), [counts(size), dropping(size)], size)

    config = {"name": "ngram", "order": 2}
    for run in (run_of(), of_settings(counts, config), of_settings(mixture, {"name": "mixture"})):
        with pytest.raises(InputError, match="has no dropout"):
            evaluate_text(run, path, mc_dropout=2)


def of_settings(model: Any, settings: dict[str, Any]) -> Run:
    run = run_of(model)
    config = Config.parse({"text": {"tokenizer": "char"}, "model": settings})
    return Run("tiny", config, run.tokenizer, run.model)


@pytest.mark.parametrize("kind", KINDS)
def test_any_dropout_is_enough(kind: str, path: Path) -> None:
    """Each of the five settings alone makes passes differ."""
    run = run_of(**{kind: 0.5})
    plain = evaluate_text(run, path).nll
    assert evaluate_text(run, path, mc_dropout=2).nll != pytest.approx(plain, rel=1e-6)
