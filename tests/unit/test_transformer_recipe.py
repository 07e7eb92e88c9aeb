"""The transformer-lm recipe, from a text to everything that a language model is used for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nextword
from nextword.evaluation.cache import Cache
from nextword.evaluation.dynamic import Dynamic
from nextword.evaluation.perplexity import tune_cache
from nextword.evaluation.token_scores import score_tokens
from nextword.generation.sample import search_text
from nextword.text.corpus import open_corpus
from nextword.training.by_mixing import mix_runs
from nextword.training.request import Request

CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "text.tokenizer": "word",
    "train.epochs": 4,
    "train.batch_size": 4,
    "train.bptt": 14,
}
CONTEXT = 14


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("the cat sat on the mat .\nthe dog ate the cat .\n" * 20, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(text: Path) -> nextword.Run:
    settings = TINY | {"model.hidden": 16, "model.layers": 2, "model.heads": 2}
    settings |= {"model.context": CONTEXT, "optimizer.lr": 1e-2}
    out = text.parent / "transformer"
    return nextword.train("transformer-lm", text, out, overrides=settings, quiet=True)


@pytest.fixture(scope="module")
def lstm(text: Path) -> nextword.Run:
    settings = TINY | {"model.hidden": 12, "model.embedding": 8}
    return nextword.train("lstm", text, text.parent / "lstm", overrides=settings, quiet=True)


def test_learns(run: nextword.Run, text: Path) -> None:
    """It knows the text better than its words' frequencies do."""
    found = nextword.evaluate(run, text)
    assert found.perplexity < 5
    ids = open_corpus(text.parent / "transformer" / "data" / "train").ids
    share = np.bincount(ids) / len(ids)
    entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
    assert found.perplexity < math.exp(entropy) - 1
    assert found.tokens == len(text.read_text().split()) + 40


@pytest.mark.parametrize("chunk", [1, 3, CONTEXT, 97])
def test_any_chunking(run: nextword.Run, text: Path, chunk: int) -> None:
    """The figures of a text do not depend on the pieces that it is read in."""
    ids = open_corpus(text.parent / "transformer" / "data" / "train").ids[:120]
    whole = score_tokens(run.model, ids, CPU)
    pieces = score_tokens(run.model, ids, CPU, chunk=chunk)
    np.testing.assert_allclose(pieces.log_prob, whole.log_prob, atol=1e-4)


def test_figures_by_hand(run: nextword.Run, text: Path) -> None:
    """Every token by a fresh reading of what it sees: the context slides by halves."""
    ids = open_corpus(text.parent / "transformer" / "data" / "train").ids[:40]
    whole = score_tokens(run.model, ids, CPU)
    read = [1, *ids[:-1].tolist()]
    begin, wanted = 0, []
    for t, target in enumerate(ids.tolist()):
        if t - begin == CONTEXT:
            begin = t - CONTEXT // 2
        seen = torch.tensor([read[begin : t + 1]])
        with torch.no_grad():
            logits = run.model.forward(seen, run.model.start(1)).logits[0, -1]
        wanted.append(float(logits.log_softmax(-1)[target]))
    np.testing.assert_allclose(whole.log_prob, wanted, atol=1e-4)


def test_generates(run: nextword.Run) -> None:
    """Beyond the context too; one by one or side by side; by beam."""
    one = nextword.generate(run, "the cat", tokens=40, seed=3)
    assert one == nextword.generate(run, "the cat", tokens=40, seed=3)
    assert len(run.tokenizer.encode(one)) == 40
    many = nextword.generate_many(run, ["the cat", "the dog ate the", ""], tokens=40, seed=3)
    assert many[0] == one
    assert many[1] == nextword.generate(run, "the dog ate the", tokens=40, seed=4)
    start = "the cat sat on"
    best, greedy = (start + search_text(run, start, tokens=4, beam=beam) for beam in (50, 1))
    found, other = nextword.score(run, [best, greedy])
    assert found.tokens == other.tokens
    assert search_text(run, start, tokens=4, beam=50) == best.removeprefix(start)
    assert search_text(run, "the", tokens=30, beam=1) == nextword.generate(
        run, "the", tokens=30, temperature=0
    )


def test_scores(run: nextword.Run) -> None:
    """Lines that differ in length, in any batches."""
    lines = ["the cat sat on the mat .", "mat the on", "", "the dog ate " * 9]
    together = nextword.score(run, lines)
    for line, found in zip(lines, together, strict=True):
        assert found.log_prob == pytest.approx(nextword.score(run, [line])[0].log_prob, abs=1e-3)
    assert together[0].perplexity < together[1].perplexity


def test_compares(run: nextword.Run, lstm: nextword.Run, text: Path) -> None:
    found = nextword.compare([run, lstm], text)
    assert {row.name for row in found.rows} == {"transformer", "lstm"}
    alone = nextword.evaluate(run, text)
    (row,) = (row for row in found.rows if row.name == "transformer")
    assert row.evaluation.nll == pytest.approx(alone.nll, rel=1e-5)


def test_mixes(run: nextword.Run, lstm: nextword.Run, text: Path, tmp_path: Path) -> None:
    """As a member beside a recurrent model: never worse than either on the text weighed by."""
    members = [text.parent / "transformer", text.parent / "lstm"]
    request = Request.of("mixture", (), valid=text, quiet=True)
    mix_runs(request, members, tmp_path / "mixture")
    mixture = nextword.load(tmp_path / "mixture")
    together = nextword.evaluate(mixture, text).perplexity
    alone = [nextword.evaluate(one, text).perplexity for one in (run, lstm)]
    assert together <= min(alone) * (1 + 1e-3)
    words = nextword.generate(mixture, "the", tokens=20, seed=1)
    assert len(run.tokenizer.encode(words)) == 20
    nextword.generate_many(mixture, ["the", "the cat sat on"], tokens=20, seed=1)


def test_cache(run: nextword.Run, text: Path) -> None:
    """Hidden vectors are there to compare; a tuned cache is no worse than none."""
    plain = nextword.evaluate(run, text).perplexity
    cache = tune_cache(run, text)
    assert nextword.evaluate(run, text, cache=cache).perplexity <= plain * (1 + 1e-3)
    found = nextword.evaluate(run, text, cache=Cache(window=30, theta=0.5, weight=0.2))
    assert found.perplexity != plain
    assert "cache:" in found.signature


def test_dynamic(run: nextword.Run, tmp_path: Path) -> None:
    """Weights that follow another text get better at it; afterwards they are what they were."""
    other = tmp_path / "other.txt"
    other.write_text("mat the on cat . dog\n" * 60, encoding="utf-8")
    plain = nextword.evaluate(run, other)
    before = {k: v.clone() for k, v in run.model.state_dict().items()}  # type: ignore[attr-defined]
    found = nextword.evaluate(run, other, dynamic=Dynamic(method="sgd", lr=0.05))
    assert found.perplexity < 0.8 * plain.perplexity
    after = run.model.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert nextword.evaluate(run, other).nll == plain.nll


@pytest.mark.parametrize(
    ("stream", "bptt", "context"), [("windows", 6, 6), ("windows", 12, 8), ("stripes", 6, 8)]
)
def test_no_place_is_used_that_was_never_trained(
    text: Path, tmp_path: Path, stream: str, bptt: int, context: int
) -> None:
    """A context of 8: windows of 6 leave two of its places unlearnt, carried stripes none."""
    settings = TINY | {"model.hidden": 16, "model.heads": 2, "model.context": 8}
    settings |= {"train.stream": stream, "train.bptt": bptt}
    run = nextword.train(
        "transformer-lm", text, tmp_path / "run", overrides=settings | {"train.epochs": 1}
    )
    assert run.config.model.context == context
    assert f"context:window:{context}" in nextword.evaluate(run, text).signature
    longer = nextword.train(
        "transformer-lm",
        text,
        tmp_path / "longer",
        start_from=tmp_path / "run",
        overrides={"train.bptt": 3, "train.epochs": 1},
    )
    assert longer.config.model.context == context  # the places that the other training taught
