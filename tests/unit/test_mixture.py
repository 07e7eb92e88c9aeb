"""Mixtures: the weights that are found, the distribution they give, and the run that is made."""

from __future__ import annotations

import json
import math
import os
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nextword
from nextword.errors import InputError
from nextword.evaluation.token_scores import score_tokens
from nextword.models.mixture import MixtureConfig, MixtureLM, mix
from nextword.models.ngram import NgramConfig
from nextword.training.by_mixing import mix_runs
from nextword.training.log_linear_weights import newton
from nextword.training.mixture_weights import expectation_maximisation
from nextword.training.request import Request
from nextword.types import LanguageModel
from tests.support import Cli, snapshot

Runs = dict[str, Path]


def sentences(seed: int, kind: int, lines: int = 150) -> str:
    """Lines in which words depend on each other, in different ways by the kind of text."""
    rng = np.random.default_rng(seed)
    nouns = ["cat", "dog", "hat", "mat", "car", "sun"]
    verbs = ["sees", "wants", "is", "eats"]
    out = []
    for _ in range(lines):
        a, b = rng.integers(6, size=2)
        c = (a, b)[kind] if rng.random() < 0.9 else rng.integers(6)
        out.append(f"the {nouns[a]} {verbs[(a + 2 * kind) % 4]} the {nouns[b]} or the {nouns[c]} .")
    return "\n".join(out) + "\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Texts, a recurrent run, n-gram runs with its vocabulary, and one with another."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "text.txt").write_text(sentences(1, 0))
    (folder / "more.txt").write_text(sentences(2, 1))
    (folder / "valid.txt").write_text(sentences(3, 0) + sentences(4, 1, 100) + "zebra\n")
    (folder / "test.txt").write_text(sentences(5, 0, 75) + sentences(6, 1, 74) + "zebra\n")
    small = {"model.hidden": 16, "model.embedding": 8, "train.epochs": 8, "optimizer.lr": 0.02}
    nextword.train(
        "lstm",
        [folder / "text.txt", folder / "more.txt"],
        folder / "lstm",
        overrides={"text.tokenizer": "word", "train.batch_size": 4, "train.bptt": 20} | small,
        quiet=True,
    )
    for name, order, text in (("two", 2, "text"), ("four", 4, "text"), ("other", 3, "more")):
        nextword.train(
            "ngram",
            folder / f"{text}.txt",
            folder / name,
            overrides={"model.order": order},
            start_from=folder / "lstm",
            quiet=True,
        )
    nextword.train("ngram", folder / "text.txt", folder / "lower", quiet=True,
                   overrides={"model.order": 2, "text.min_count": 100})  # fmt: skip
    return {path.stem: path for path in folder.iterdir()}


def make(runs: Runs, members: list[str], out: Path, **settings: Any) -> nextword.Run:
    overrides = {key.replace("__", "."): value for key, value in settings.items()}
    request = Request.of("mixture", (), valid=runs["valid"], overrides=overrides, quiet=True)
    mix_runs(request, [runs[name] for name in members], out)
    return nextword.load(out)


def record(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "metrics.jsonl").read_text())
    return found


# ---------------------------------------------------------------- the weights


def mean_log(log_probs: np.ndarray[Any, Any], weights: Any) -> float:
    with np.errstate(divide="ignore"):
        return float(np.logaddexp.reduce(log_probs + np.log(weights), 1).mean())


@given(
    seed=st.integers(0, 10_000),
    members=st.integers(2, 5),
    tokens=st.integers(1, 400),
    scale=st.floats(0.1, 8),
)
def test_em_finds_the_best_weights(seed: int, members: int, tokens: int, scale: float) -> None:
    """No mixture with even weights is better, no member alone, and no step towards one, up to what
    200 rounds of EM from even weights may leave, log K / 200; the weights are a distribution."""
    rng = np.random.default_rng(seed)
    log_probs = -scale * rng.exponential(size=(tokens, members))
    weights = np.array(expectation_maximisation(log_probs))
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    best = mean_log(log_probs, weights)
    for corner in np.eye(members):
        assert best >= mean_log(log_probs, corner) - math.log(members) / 200
        assert best >= mean_log(log_probs, 0.9 * weights + 0.1 * corner) - math.log(members) / 200
    assert best >= mean_log(log_probs, np.full(members, 1 / members)) - 1e-12


def test_em_is_no_worse_than_its_best_member() -> None:
    """A member that is a little better everywhere has all the weight."""
    log_probs = np.tile(np.log([0.50, 0.49]), (1000, 1))
    weights = expectation_maximisation(log_probs)
    assert mean_log(log_probs, weights) >= math.log(0.50) - 1e-6


@pytest.mark.parametrize("seed", range(6))
def test_em_stops_where_the_gradient_is_even(seed: int) -> None:
    """At the optimum a member that has a weight gains as much as the mixture: mean p_i / p = 1
    (1.01 at most for one without)."""
    rng = np.random.default_rng(seed)
    log_probs = np.log(rng.dirichlet(np.full(20, 0.3), size=(5000, 3))[:, :, 0] + 1e-4)
    weights = np.array(expectation_maximisation(log_probs))
    total = np.logaddexp.reduce(log_probs + np.log(weights), 1)
    ratios = np.exp(log_probs - total[:, None]).mean(0)
    assert ratios[weights > 0.01] == pytest.approx(1, abs=1e-3)
    assert ratios.max() < 1.01


@pytest.mark.parametrize("true", [(0.7, 0.3), (0.2, 0.5, 0.3), (0.95, 0.05)])
def test_em_recovers_a_mixture(true: tuple[float, ...]) -> None:
    """Words drawn from members that are mixed so give the weights back."""
    rng = np.random.default_rng(5)
    members = rng.dirichlet(np.full(50, 0.2), size=len(true)) + 1e-9
    words = rng.choice(50, size=60_000, p=(mixed := np.array(true) @ members) / mixed.sum())
    found = expectation_maximisation(np.log(members[:, words]).T)
    assert found == pytest.approx(true, abs=0.02)


def test_em_of_impossible_members() -> None:
    """A member that calls something impossible loses nothing but those words."""
    log_probs = np.log(np.full((100, 2), 0.1))
    log_probs[:50, 0] = -np.inf
    weights = expectation_maximisation(log_probs)
    assert all(math.isfinite(weight) for weight in weights)
    assert weights[1] > 0.9


def test_em_of_words_impossible_for_all() -> None:
    """A word that every member calls impossible says nothing about the weights."""
    log_probs = np.log(np.full((100, 2), 0.1))
    log_probs[3] = -np.inf
    log_probs[10:, 0] -= 1
    weights = expectation_maximisation(log_probs)
    assert weights == pytest.approx(expectation_maximisation(np.delete(log_probs, 3, 0)))
    assert weights[1] > 0.9
    assert expectation_maximisation(np.full((3, 2), -np.inf)) == (0.5, 0.5)


# ---------------------------------------------------------------- the distribution


def tables(seed: int, count: int = 3, vocab_size: int = 11) -> list[LanguageModel]:
    """n-gram models of different orders over random ids."""
    rng = np.random.default_rng(seed)
    made: list[LanguageModel] = []
    for order in range(1, count + 1):
        model = NgramConfig(order=order).build(vocab_size)
        model.fit(rng.integers(0, vocab_size, 300))
        made.append(model)
    return made


@pytest.mark.parametrize("weights", [(0.5, 0.3, 0.2), (1.0, 0.0, 0.0), (0.01, 0.01, 0.98)])
def test_linear_mixture(weights: tuple[float, ...]) -> None:
    """p = Σ λ_i p_i at every step, carried on from call to call; it adds up to one; score,
    forward and advance agree."""
    members = tables(1)
    model = MixtureLM(MixtureConfig(weights=weights), members, 11)
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(0, 11, (3, 14), generator=generator)
    targets = torch.randint(0, 11, (3, 14), generator=generator)
    wanted = torch.zeros(3, 14, 11)
    for member, weight in zip(members, weights, strict=True):
        logits = member.forward(ids, member.start(3)).logits
        wanted += weight * logits.softmax(-1)
    first = model.forward(ids[:, :5], model.start(3))
    second = model.forward(ids[:, 5:], first.state)
    probs = torch.cat([first.logits, second.logits], 1).exp()
    torch.testing.assert_close(probs, wanted, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(probs.sum(-1), torch.ones(3, 14), rtol=1e-4, atol=0)
    scored = model.score(ids, targets, model.start(3))
    chosen = wanted.gather(-1, targets[..., None])[..., 0]
    torch.testing.assert_close(scored.log_prob.exp(), chosen, rtol=1e-4, atol=1e-6)
    assert scored.hit is not None
    assert torch.equal(scored.hit, probs.argmax(-1) == targets)
    for states in (model.advance(ids, model.start(3)), scored.state):
        assert all(torch.equal(a, b) for a, b in zip(states, second.state, strict=True))


@pytest.mark.parametrize("weights", [(0.5, 0.3, 0.2), (1.5, -0.4, 0.7), (0.0, 0.0, 1.0)])
def test_log_linear_mixture(weights: tuple[float, ...]) -> None:
    """p = Π p_i^λ_i / Z with Z over all words; score has the normaliser too."""
    members = tables(3)
    model = MixtureLM(MixtureConfig(kind="log-linear", weights=weights), members, 11)
    generator = torch.Generator().manual_seed(4)
    ids = torch.randint(0, 11, (2, 9), generator=generator)
    targets = torch.randint(0, 11, (2, 9), generator=generator)
    product = torch.ones(2, 9, 11)
    for member, weight in zip(members, weights, strict=True):
        product *= member.forward(ids, member.start(2)).logits.softmax(-1) ** weight
    wanted = product / product.sum(-1, keepdim=True)
    probs = model.forward(ids, model.start(2)).logits.softmax(-1)
    torch.testing.assert_close(probs, wanted, rtol=1e-4, atol=1e-6)
    chosen = wanted.gather(-1, targets[..., None])[..., 0]
    scored = model.score(ids, targets, model.start(2)).log_prob.exp()
    torch.testing.assert_close(scored, chosen, rtol=1e-4, atol=1e-6)


def test_scoring_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few numbers are held at a time, the scores and the state are the same."""
    model = MixtureLM(MixtureConfig(weights=(0.2, 0.3, 0.5)), tables(5), 11)
    ids = torch.randint(0, 11, (2, 30), generator=torch.Generator().manual_seed(6))
    whole = model.score(ids[:, :-1], ids[:, 1:], model.start(2))
    monkeypatch.setattr("nextword.models.mixture._NUMBERS", 11 * 2 * 3)
    calls = []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda *a: calls.append(1) or forward(*a))
    parts = model.score(ids[:, :-1], ids[:, 1:], model.start(2))
    assert len(calls) == 10
    torch.testing.assert_close(parts.log_prob, whole.log_prob)
    assert all(torch.equal(a, b) for a, b in zip(parts.state, whole.state, strict=True))


@given(
    logits=st.lists(st.lists(st.floats(-20, 20), min_size=3, max_size=3), min_size=2, max_size=4),
    kind=st.sampled_from(["linear", "log-linear"]),
)
def test_mixing_a_model_with_itself(logits: list[list[float]], kind: str) -> None:
    """Of equal members, whatever their weights, comes what they say; and a mixture's values never
    leave the range of its members' if it is linear."""
    rows = [torch.tensor(row) for row in logits]
    share = 1 / len(rows)
    same = mix([rows[0]] * len(rows), (share,) * len(rows), kind)
    torch.testing.assert_close(same.log_softmax(-1), rows[0].log_softmax(-1), rtol=1e-4, atol=1e-4)
    linear = mix(rows, (share,) * len(rows), "linear").exp()
    members = torch.stack([row.softmax(-1) for row in rows])
    assert (linear <= members.amax(0) * 1.001 + 1e-7).all()
    assert (linear >= members.amin(0) * 0.999 - 1e-7).all()


def test_newton_finds_the_best_log_linear_weights(runs: Runs, tmp_path: Path) -> None:
    """No neighbouring weights give the held-out text a higher probability."""
    members = [nextword.load(runs[name]) for name in ("four", "other", "lstm")]
    ids = np.array(members[0].tokenizer.encode(runs["valid"].read_text()))

    def nll(weights: tuple[float, ...]) -> float:
        config = MixtureConfig(kind="log-linear", weights=weights)
        model = MixtureLM(config, [run.model for run in members], members[0].tokenizer.vocab_size)
        return score_tokens(model, ids, torch.device("cpu")).nll / len(ids)

    weights, found = newton(members, ids, ())
    best = nll(weights)
    assert found == pytest.approx(best, rel=1e-5)
    for at in range(3):
        for change in (-0.05, 0.05):
            other = tuple(w + change * (i == at) for i, w in enumerate(weights))
            assert nll(other) > best, (weights, other)
    for alone in np.eye(3):
        assert nll(tuple(alone)) > best


# ---------------------------------------------------------------- the run


PAIRS = {
    "ngrams": ["four", "other"],
    "lstm": ["four", "lstm"],
    "three": ["two", "other", "lstm"],
    "orders": ["two", "four"],
}


@pytest.mark.parametrize("kind", ["linear", "log-linear"])
@pytest.mark.parametrize("name", PAIRS)
def test_mixture_is_no_worse(name: str, kind: str, runs: Runs, tmp_path: Path) -> None:
    """On the held-out text the mixture is at least as good as its best member, and what
    metrics.jsonl says is what evaluate finds."""
    run = make(runs, PAIRS[name], tmp_path / "mix", model__kind=kind)
    found = record(tmp_path / "mix")
    alone = [
        nextword.evaluate(nextword.load(runs[member]), runs["valid"]).perplexity
        for member in PAIRS[name]
    ]
    assert found["members"] == pytest.approx(alone, rel=1e-5)
    assert found["valid_perplexity"] <= min(alone) * 1.0001
    perplexity = nextword.evaluate(run, runs["valid"]).perplexity
    assert perplexity == pytest.approx(found["valid_perplexity"], rel=1e-4)
    if kind == "linear":
        assert sum(run.config.model.weights) == pytest.approx(1)
        assert min(run.config.model.weights) >= 0


def test_a_mixture_stands_alone(runs: Runs, tmp_path: Path) -> None:
    """It has all it needs: every verb works after its members' folders are gone, as before."""
    for name in ("four", "lstm"):
        shutil.copytree(runs[name], tmp_path / name)
    moved = runs | {name: tmp_path / name for name in ("four", "lstm")}
    make(moved, ["four", "lstm"], tmp_path / "mix")
    before = nextword.evaluate(nextword.load(tmp_path / "mix"), runs["test"])
    shutil.rmtree(tmp_path / "four")
    shutil.rmtree(tmp_path / "lstm")
    run = nextword.load(tmp_path / "mix")
    result = nextword.evaluate(run, runs["test"])
    assert result.nll == before.nll
    assert result.oov == 1
    lines = ["the cat sees the dog or the cat .", "zebra", ""]
    for line, scored in zip(lines, nextword.score(run, lines), strict=True):
        (tmp_path / "line.txt").write_text(line + "\n")
        alone = nextword.evaluate(run, tmp_path / "line.txt")
        assert -scored.log_prob == pytest.approx(alone.nll, rel=1e-4)
    texts = [nextword.generate(run, "the cat", tokens=30, seed=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert "<unk>" not in texts[0]
    stripes = nextword.evaluate(run, runs["test"], stripes=3)
    assert stripes.perplexity == pytest.approx(result.perplexity, rel=0.05)


def test_dynamic_evaluation_adapts_what_has_weights(runs: Runs, tmp_path: Path) -> None:
    """The recurrent member follows the text, and is afterwards as before; with n-grams alone there
    is nothing to adapt."""
    run = make(runs, ["two", "lstm"], tmp_path / "mix")
    before = nextword.evaluate(run, runs["text"]).nll
    assert nextword.evaluate(run, runs["text"], dynamic=nextword.Dynamic(lr=0.01)).nll < before
    assert nextword.evaluate(run, runs["text"]).nll == before
    ngrams = run.model.members[0]  # type: ignore[attr-defined]
    assert deepcopy(ngrams).table is ngrams.table  # what cannot adapt is not copied
    run = make(runs, ["two", "four"], tmp_path / "ngrams")
    with pytest.raises(InputError, match="nothing to adapt"):
        nextword.evaluate(run, runs["text"], dynamic=nextword.Dynamic())


def test_members_without_smoothing(runs: Runs, tmp_path: Path) -> None:
    """Members that call some of the text impossible are mixed all the same: what one allows is
    possible, and what none does makes the perplexity infinite."""
    impossible = tmp_path / "impossible.txt"
    impossible.write_text(runs["text"].read_text() + "the the the\n")
    for name, text in (("a", "text"), ("b", "more")):
        nextword.train(
            "ngram",
            runs[text],
            tmp_path / name,
            overrides={"model.smoothing": "maximum-likelihood", "model.order": 2},
            start_from=runs["lstm"],
            quiet=True,
        )
    members = [tmp_path / "a", tmp_path / "b"]
    for valid, finite in ((runs["text"], True), (impossible, False)):
        out = tmp_path / f"mixed-{finite}"
        mix_runs(Request.of("mixture", (), valid=valid, quiet=True), members, out)
        run = nextword.load(out)
        assert sum(run.config.model.weights) == pytest.approx(1)
        assert math.isfinite(nextword.evaluate(run, valid).perplexity) == finite


def test_a_mixture_is_compared(runs: Runs, tmp_path: Path) -> None:
    """compare puts it above its members on the text its weights were found on."""
    make(runs, ["four", "other"], tmp_path / "mix")
    opened = [nextword.load(path) for path in (runs["four"], tmp_path / "mix", runs["other"])]
    found = nextword.compare(opened, runs["valid"])
    assert found.rows[0].name == "mix"
    assert {row.name for row in found.rows} == {"four", "mix", "other"}
    assert found.significant


def test_replacing_a_member_leaves_the_mixture_alone(runs: Runs, tmp_path: Path) -> None:
    """Members are linked, not copied, yet a run that is made anew does not change the mixture."""
    shutil.copytree(runs["two"], tmp_path / "two")
    make(runs | {"two": tmp_path / "two"}, ["two", "lstm"], tmp_path / "mix")
    before = snapshot(tmp_path / "mix")
    nextword.train(
        "ngram", runs["more"], tmp_path / "two", start_from=runs["lstm"], overwrite=True, quiet=True
    )
    assert snapshot(tmp_path / "mix") == before


def test_training_a_member_on_leaves_the_mixture_alone(runs: Runs, tmp_path: Path) -> None:
    """Nor does one that is trained further."""
    shutil.copytree(runs["lstm"], tmp_path / "lstm")
    make(runs | {"lstm": tmp_path / "lstm"}, ["two", "lstm"], tmp_path / "mix")
    before = snapshot(tmp_path / "mix")
    nextword.resume(tmp_path / "lstm", overrides={"train.epochs": 10}, quiet=True)
    after = snapshot(tmp_path / "mix")
    assert [name for name in after if after[name] != before[name]] == []


def test_mixture_of_a_mixture(runs: Runs, tmp_path: Path) -> None:
    """A mixture is a run: mixed again, its members' members count by the products of weights."""
    make(runs, ["two", "lstm"], tmp_path / "inner")
    more = runs | {"inner": tmp_path / "inner"}
    outer = make(more, ["inner", "other"], tmp_path / "outer")
    shutil.rmtree(tmp_path / "inner")
    outer = nextword.load(tmp_path / "outer")
    a, b = outer.config.model.weights
    inner = json.loads((tmp_path / "outer" / "members" / "0" / "config.json").read_text())
    c, d = inner["model"]["weights"]
    flat = make(runs, ["two", "lstm", "other"], tmp_path / "flat", model__weights=[a * c, a * d, b])
    assert nextword.evaluate(outer, runs["test"]).nll == pytest.approx(
        nextword.evaluate(flat, runs["test"]).nll, rel=1e-5
    )


@pytest.mark.parametrize("ending", [".arpa", ".arpa.gz", ".v2.arpa"])
def test_arpa_member(ending: str, cli: Cli, runs: Runs, tmp_path: Path) -> None:
    """An ARPA file is a member like the run that it was written from."""
    path = tmp_path / f"four{ending}"
    assert cli("export", runs["four"], "--format", "arpa", "--out", path, "--quiet")[0] == 0
    make(runs | {"file": path}, ["file", "lstm"], tmp_path / "mix")
    path.unlink()
    wanted = make(runs, ["four", "lstm"], tmp_path / "wanted")
    found = nextword.load(tmp_path / "mix")
    assert found.config.model.weights == pytest.approx(wanted.config.model.weights, rel=1e-3)
    assert nextword.evaluate(found, runs["test"]).nll == pytest.approx(
        nextword.evaluate(wanted, runs["test"]).nll, rel=1e-4
    )


def test_without_links(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk allows no links the members are copied: the same run."""

    def no(*args: Any, **kwargs: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    make(runs, ["two", "lstm"], tmp_path / "linked")
    monkeypatch.setattr(os, "link", no)
    make(runs, ["two", "lstm"], tmp_path / "copied")
    linked, copied = (snapshot(tmp_path / name) for name in ("linked", "copied"))
    linked.pop("metrics.jsonl")
    copied.pop("metrics.jsonl")
    assert linked == copied
    assert not any("data" in name or "state" in name for name in copied)


def test_command_line(cli: Cli, runs: Runs, tmp_path: Path) -> None:
    """What is printed names the weights, the mixture's perplexity and the members'; --quiet
    prints nothing; the verbs take the run."""
    out = tmp_path / "mix"
    command = ["train", "mixture", runs["four"], runs["lstm"], "--valid", runs["valid"]]
    status, printed, err = cli(*command, "--out", out)
    assert (status, printed) == (0, "")
    first, second = nextword.load(out).config.model.weights
    assert err.splitlines()[0] == f"mixture: {first:.4f} x four, {second:.4f} x lstm"
    found = record(out)
    assert f"validation perplexity {found['valid_perplexity']:.2f} (members alone: " in err
    assert cli(*command, "--out", tmp_path / "quiet", "--quiet") == (0, "", "")
    status, printed, _ = cli("evaluate", out, "--data", runs["test"], "--json")
    assert status == 0
    assert json.loads(printed)["nll"] == nextword.evaluate(nextword.load(out), runs["test"]).nll
    assert cli("score", out, runs["test"])[1].count("\n") == 150
    assert cli("generate", out, "--prompt", "the", "--tokens", 5, "--seed", 1)[0] == 0
    status, printed, _ = cli("compare", out, runs["four"], "--data", runs["test"], "--json")
    assert {row["run"] for row in json.loads(printed)["runs"]} == {"mix", "four"}


def test_given_weights(cli: Cli, runs: Runs, tmp_path: Path) -> None:
    """Given weights are kept as they are, with or without held-out text."""
    command = ["train", "mixture", runs["four"], runs["lstm"], "--quiet"]
    command += ["--set", "model.weights=[0.25, 0.75]", "--out"]
    assert cli(*command, tmp_path / "without") == (0, "", "")
    assert cli(*command, tmp_path / "with", "--valid", runs["valid"]) == (0, "", "")
    opened = [nextword.load(tmp_path / name) for name in ("without", "with")]
    for run in opened:
        assert run.config.model.weights == (0.25, 0.75)
    assert "valid_perplexity" not in record(tmp_path / "without")
    assert record(tmp_path / "with")["valid_perplexity"] == pytest.approx(
        nextword.evaluate(opened[0], runs["valid"]).perplexity, rel=1e-4
    )


# ---------------------------------------------------------------- bad input


MIX = "train mixture"
BAD = {
    "one run": (f"{MIX} FOUR --valid VALID --out new", "needs two runs"),
    "no run": (f"{MIX} --valid VALID --out new", "needs two runs"),
    "vocabularies": (f"{MIX} FOUR LOWER --valid VALID --out new", "different vocabularies"),
    "no text": (f"{MIX} FOUR LSTM --out new", "--valid"),
    "missing run": (f"{MIX} FOUR nowhere --valid VALID --out new", "no run 'nowhere'"),
    "text as run": (f"{MIX} FOUR VALID --valid VALID --out new", "not a run"),
    "missing text": (f"{MIX} FOUR LSTM --valid nowhere --out new", "no file 'nowhere'"),
    "empty text": (f"{MIX} FOUR LSTM --valid empty.txt --out new", "'empty.txt' is empty"),
    "blank text": (f"{MIX} FOUR LSTM --valid blank.txt --out new", "no words in 'blank.txt'"),
    "train": (f"{MIX} FOUR LSTM --train VALID --valid VALID --out new", "--train"),
    "from": (f"{MIX} FOUR LSTM --from FOUR --valid VALID --out new", "--from"),
    "no mixture": ("train ngram FOUR --train VALID --out new", "only a mixture is made of runs"),
    "runs of lstm": ("train lstm FOUR LSTM --train VALID --out new", "only a mixture"),
    "one weight": (
        f"{MIX} FOUR LSTM --valid VALID --out new --set model.weights=[1.0]",
        "1 weights for 2 runs",
    ),
    "three weights": (
        f"{MIX} FOUR LSTM --out new --set model.weights=[0.2,0.2,0.6]",
        "3 weights for 2 runs",
    ),
    "weight": (f"{MIX} FOUR LSTM --out new --set model.weights=['a',1]", "model.weights"),
    "kind": (f"{MIX} FOUR LSTM --valid VALID --out new --set model.kind=log", "model.kind"),
    "more than one": (f"{MIX} FOUR LSTM --out new --set model.weights=[0.9,0.9]", "add up to 1"),
    "negative": (f"{MIX} FOUR LSTM --out new --set model.weights=[2,-1]", "not negative"),
    "nothing": (f"{MIX} FOUR LSTM --out new --set model.weights=[0,0]", "add up to 1"),
    "not a number": (f"{MIX} FOUR LSTM --out new --set model.weights=[nan,1]", "finite"),
    "no log-linear weight": (
        f"{MIX} FOUR LSTM --out new --set model.kind=log-linear --set model.weights=[0,0]",
        "must not all be 0",
    ),
    "an arpa file": (f"{MIX} FOUR LSTM --valid VALID --out new.arpa", "only n-gram models"),
    "unknown key": (
        f"{MIX} FOUR LSTM --valid VALID --out new --set model.weight=[0.5,0.5]",
        "did you mean 'model.weights'",
    ),
    "exists": (f"{MIX} FOUR LSTM --valid VALID --out TWO", "exists"),
    "a file": (f"{MIX} FOUR LSTM --valid VALID --out empty.txt", "is a file"),
    "no out": (f"{MIX} FOUR LSTM --valid VALID", "--out"),
    "resume": ("train --resume --out FOUR", "nothing to resume"),
    "through another recipe": (
        "train lstm --train VALID --out new --set model.name=mixture",
        "a mixture is made of runs",
    ),
}


def check_refused(
    cli: Cli, command: str, message: str, runs: Runs, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "empty.txt").write_text("")
    (folder / "blank.txt").write_text(" \t ")
    words = [str(runs.get(w.lower(), w)) if w.isupper() else w for w in command.split()]
    root = runs["four"].parent
    before = snapshot(folder), snapshot(root)
    status, out, err = cli(*words)
    assert (status, out) == (2, ""), err
    assert err.startswith("nextword: ")
    assert err.count("\n") == 1
    assert message in err
    assert (snapshot(folder), snapshot(root)) == before


@pytest.mark.parametrize("name", BAD)
def test_bad_input(
    name: str, cli: Cli, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that says what is wrong, exit status 2, nothing written or changed."""
    check_refused(cli, *BAD[name], runs, tmp_path, monkeypatch)


def test_another_model_in_the_mixture_recipe(
    cli: Cli, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is made of runs is a mixture."""
    command = f"{MIX} FOUR LSTM --valid VALID --out new --set model.name=ngram"
    check_refused(cli, command, "model.name", runs, tmp_path, monkeypatch)


def test_mixture_inside_a_member(cli: Cli, runs: Runs, tmp_path: Path) -> None:
    """--out below one of the runs works or is refused; it does not fill the disk."""
    shutil.copytree(runs["two"], tmp_path / "two")
    status, _, _ = cli(
        *("train", "mixture", tmp_path / "two", runs["four"], "--valid", runs["valid"]),
        *("--out", tmp_path / "two" / "mix", "--quiet"),
    )
    assert status in (0, 2)


def test_nothing_is_made_by_train(runs: Runs, tmp_path: Path) -> None:
    """`train` says how a mixture is made instead."""
    with pytest.raises(InputError, match="train mixture RUN RUN"):
        nextword.train("mixture", runs["text"], tmp_path / "mix", quiet=True)
    assert not list(tmp_path.iterdir())


def test_overwrite_with_a_member(runs: Runs, tmp_path: Path) -> None:
    """A mixture may take the place of a run that it is made of, which it then holds."""
    shutil.copytree(runs["two"], tmp_path / "two")
    wanted = make(runs, ["two", "lstm"], tmp_path / "wanted")
    request = Request.of("mixture", (), valid=runs["valid"], overwrite=True, quiet=True)
    mix_runs(request, [tmp_path / "two", runs["lstm"]], tmp_path / "two")
    run = nextword.load(tmp_path / "two")
    assert run.config.model.name == "mixture"
    assert nextword.evaluate(run, runs["test"]).nll == nextword.evaluate(wanted, runs["test"]).nll
    assert {path.name for path in tmp_path.iterdir()} == {"two", "wanted"}


def test_failure_leaves_what_was_there(
    cli: Cli, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C or a full disk while members are copied: the old run stays, nothing lies beside."""
    make(runs, ["two", "four"], tmp_path / "mix")
    before = snapshot(tmp_path)
    command = ["train", "mixture", runs["four"], runs["lstm"], "--valid", runs["valid"], "--quiet"]
    for error, status in ((KeyboardInterrupt(), 130), (OSError(28, "No space left"), 1)):

        def fail(*args: Any, error: BaseException = error, **kwargs: Any) -> None:
            raise error

        monkeypatch.setattr("nextword.training.by_mixing._link", fail)
        found, out, err = cli(*command, "--out", tmp_path / "mix", "--overwrite")
        assert (found, out) == (status, "")
        assert err.count("\n") == 1
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize("damage", ["a member", "its weights", "its vocabulary"])
def test_damaged_mixture(damage: str, runs: Runs, tmp_path: Path) -> None:
    """A mixture with a part missing or changed says so."""
    make(runs, ["two", "lstm"], tmp_path / "mix")
    first = tmp_path / "mix" / "members" / "0"
    if damage == "a member":
        shutil.rmtree(first)
    elif damage == "its weights":
        (first / "model.safetensors").unlink()
    else:
        shutil.rmtree(first)
        shutil.copytree(runs["lower"], first)
    with pytest.raises(InputError):
        nextword.load(tmp_path / "mix")


def test_stray_file_beside_the_members(runs: Runs, tmp_path: Path) -> None:
    """What a file manager leaves behind is no member."""
    make(runs, ["two", "lstm"], tmp_path / "mix")
    (tmp_path / "mix" / "members" / ".DS_Store").write_text("")
    nextword.load(tmp_path / "mix")
