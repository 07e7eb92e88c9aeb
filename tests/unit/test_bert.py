"""BERT: the model, its objective, filling gaps, pseudo-log-likelihood, the hub's format."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nextword
from nextword import files, hub
from nextword.data.masked import Masked
from nextword.errors import InputError
from nextword.evaluation.pseudo import pseudo_log_likelihood, score_masked
from nextword.generation.infill import fill
from nextword.models.bert import Bert, BertConfig
from nextword.nn.attention_weights import record_attention
from nextword.objectives.masked import MaskedWords
from nextword.run import Run, load
from nextword.text.tokenizer import EOS
from nextword.text.wordpiece import CLS, MARKS, MASK
from nextword.training.loop.journal import read_metrics
from tests.support import Cli

V = 30
TEXT = "the cat sat on the mat. it was warm.\nthe dog ran. it was fast.\n\n" * 40
TINY = {
    "model.hidden": 16,
    "model.layers": 2,
    "model.heads": 2,
    "model.dropout": 0.0,
    "text.vocab_size": 80,
    "train.epochs": 10,
    "optimizer.lr": 5e-3,
    "train.bptt": 24,
    "train.batch_size": 8,
}


def model(**settings: Any) -> Bert:
    sizes = {"hidden": 12, "layers": 2, "heads": 3, "context": 16, "dropout_attention": 0.0}
    torch.manual_seed(0)
    built = BertConfig(**(sizes | settings)).build(V)
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.3)
    return built.double().eval()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("bert")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    return nextword.train("bert", folder / "text.txt", folder / "run", overrides=TINY, quiet=True)


# ------------------------------------------------------------------------------------------- model


def by_hand(bert: Bert, ids: torch.Tensor, real: torch.Tensor, segments: torch.Tensor) -> Any:
    """The equations, a head and a row at a time."""
    c = bert.config
    d = c.hidden // c.heads
    out = []
    for row, mask, which in zip(ids, real, segments, strict=True):
        x = bert.embedding.weight[row] + bert.positions.weight[: len(row)]
        x = bert.norm(x + bert.segments.weight[which])
        for layer in bert.layers:
            a = layer.attention
            q = x @ a.q.weight.T + a.q.bias
            k = x @ a.kv.weight[: c.hidden].T + a.kv.bias[: c.hidden]
            v = x @ a.kv.weight[c.hidden :].T + a.kv.bias[c.hidden :]
            heads = []
            for h in range(c.heads):
                part = slice(h * d, (h + 1) * d)
                scores = q[:, part] @ k[:, part].T / math.sqrt(d)
                scores[:, ~mask] = -math.inf
                heads.append(scores.softmax(1) @ v[:, part])
            x = layer.norm(x + torch.cat(heads, 1) @ a.out.weight.T + a.out.bias)
            f = layer.feed_forward
            inner = F.gelu(x @ f.wide.weight.T + f.wide.bias)
            x = layer.feed_forward_norm(x + inner @ f.narrow.weight.T + f.narrow.bias)
        out.append(x)
    return torch.stack(out)


def inputs(rows: int = 3, steps: int = 9) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, V, (rows, steps), generator=generator)
    real = torch.arange(steps) < torch.tensor([steps, 5, 7])[:rows, None]
    return ids, real, (torch.arange(steps) > 3).long().expand(rows, steps).clone()


def test_places_begin_alike_in_every_distance() -> None:
    """The product of two places' vectors depends on how far apart they are alone."""
    built = BertConfig(hidden=64, heads=2, context=24).build(V)
    table = built.positions.weight.detach()
    products = table @ table.T
    for distance in (0, 1, 5):
        found = products.diagonal(distance)
        torch.testing.assert_close(found, found[:1].expand(len(found)))
    assert products[0, 0] > products[0, 1] > products[0, 3]
    assert float(table.std()) == pytest.approx(1 / 8, rel=1e-3)


def test_a_gap_looks_around_itself_first() -> None:
    """Before any training the words beside a place get more of its attention than those far off."""
    torch.manual_seed(0)
    built = BertConfig(hidden=64, heads=4, layers=1, context=64).build(V).eval()
    with record_attention() as notes:
        built(torch.randint(len(MARKS), V, (20, 64)))
    ((weights,),) = notes.values()  # (B, heads, T, S)
    mean = weights.mean(dim=(0, 1))
    near = [float(mean.diagonal(d).mean()) for d in (1, 2, 3, 20, 40)]
    assert near[0] > near[1] > near[2] > 1.3 * max(near[3:])


def test_the_equations() -> None:
    bert = model()
    ids, real, segments = inputs()
    found = bert(ids, real, segments)
    torch.testing.assert_close(found[real], by_hand(bert, ids, real, segments)[real])


def test_padding_says_nothing() -> None:
    bert = model()
    ids, real, segments = inputs()
    other = ids.where(real, 7)
    torch.testing.assert_close(bert(ids, real, segments)[real], bert(other, real, segments)[real])
    alone = bert(ids[1:2, :5], None, segments[1:2, :5])
    torch.testing.assert_close(bert(ids, real, segments)[1:2, :5], alone)


def test_it_reads_both_ways() -> None:
    bert = model()
    ids, real, segments = inputs(1)
    other = ids.clone()
    other[0, -1] = (ids[0, -1] + 1 - 5) % (V - 5) + 5
    changed = bert(ids, real, segments)[0, 0] - bert(other, real, segments)[0, 0]
    assert changed.abs().max() > 1e-6


def test_predictions_are_distributions() -> None:
    bert = model()
    hidden = bert(*inputs())
    logits = bert.logits(hidden)
    assert logits.shape == (3, 9, V)
    targets = torch.arange(9) % V
    log_prob, _ = bert.predict(hidden[0], targets)
    torch.testing.assert_close(
        log_prob, logits[0].log_softmax(-1).gather(1, targets[:, None])[:, 0]
    )
    with torch.no_grad():
        assert torch.equal(bert.predict(hidden[0], targets)[1], logits[0].argmax(-1) == targets)
    assert bert.next_sentence(hidden).shape == (3, 2)


def test_without_what_predicts() -> None:
    names = dict(model(predicts=False).named_parameters())
    assert not [n for n in names if n.startswith(("head", "transform", "follows"))]
    assert "pooler.weight" in names


@pytest.mark.parametrize("changes", [{"model.heads": 3}, {"objective.name": "causal"}])
def test_settings_that_contradict(changes: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXT, encoding="utf-8")
    with pytest.raises(InputError):
        nextword.train(
            "bert", tmp_path / "t.txt", tmp_path / "run", overrides=TINY | changes, quiet=True
        )
    assert not (tmp_path / "run").exists()


def test_the_objective_is_two_cross_entropies() -> None:
    import numpy as np

    bert = model()
    ids = np.array([5, 6, 7, EOS, 8, 9, 10, EOS, EOS, 11, 12, 13, EOS, 14, EOS] * 4)
    batch = Masked(ids, 4, 16, seed=1)[0]
    terms, state = MaskedWords()(bert, batch, None)
    assert state is None
    hidden = bert(batch.ids, batch.real, batch.segments)
    wanted = F.cross_entropy(
        bert.logits(hidden)[batch.mask], batch.targets[batch.mask], reduction="sum"
    )
    torch.testing.assert_close(terms["nll"].total, wanted)
    assert terms["nll"].count == int(batch.mask.sum())
    follows = F.cross_entropy(bert.next_sentence(hidden).float(), batch.labels, reduction="sum")
    torch.testing.assert_close(terms["next"].total, follows)
    assert not terms["accuracy"].learnt and not terms["next_accuracy"].learnt
    alone, _ = MaskedWords(next_sentence=False)(bert, batch, None)
    assert set(alone) == {"nll", "accuracy"}


# ---------------------------------------------------------------------------------------- training


def test_pre_training_learns(run: Run) -> None:
    records = [r for r in read_metrics(run.folder) if "valid_perplexity" in r]
    assert records[-1]["valid_perplexity"] < 0.7 * records[0]["valid_perplexity"] or (
        records[-1]["valid_perplexity"] < 20
    )
    assert {"valid_accuracy", "valid_next_accuracy"} <= records[-1].keys()
    trained = [r for r in read_metrics(run.folder) if "accuracy" in r]
    assert {"nll", "next", "next_accuracy"} <= trained[-1].keys()


# --------------------------------------------------------------------------------------------- use


def test_fill(run: Run) -> None:
    found = fill(run, "the [MASK] sat on the [MASK]", top=4)
    assert [len(gap) for gap in found.gaps] == [4, 4]
    for gap in found.gaps:
        chances = [filling.probability for filling in gap]
        assert chances == sorted(chances, reverse=True) and 0 < sum(chances) <= 1 + 1e-6
        assert not {filling.word for filling in gap} & set(MARKS)
    ids = [CLS, *run.tokenizer.encode("the"), MASK, *run.tokenizer.encode("sat on the"), MASK, EOS]
    model: Any = run.model
    with torch.no_grad():
        logits = model.logits(model(torch.tensor([ids])))[0]
    logits[:, : len(MARKS)] = -torch.inf
    assert found.gaps[0][0].word == run.tokenizer.token(int(logits[ids.index(MASK)].argmax()))
    assert found.best.count("[MASK]") == 0


@pytest.mark.parametrize(
    ("text", "said"), [("no gap", r"no \[MASK\]"), ("[MASK] " + "the " * 200, "context")]
)
def test_fill_refuses(run: Run, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fill(run, text)


def test_pseudo_log_likelihood(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each token masked by itself, however many are done at once."""
    ids = run.tokenizer.encode("the cat sat on the mat")
    model: Any = run.model
    wanted = []
    for place, token in enumerate(ids, start=1):
        whole = torch.tensor([[CLS, *ids, EOS]])
        whole[0, place] = MASK
        with torch.no_grad():
            wanted.append(float(model.logits(model(whole))[0, place].log_softmax(-1)[token]))
    other = run.tokenizer.encode("a dog")
    for most in (8192, 10):
        monkeypatch.setattr("nextword.evaluation.pseudo._TOKENS", most)
        (values, hits), (alone, _) = pseudo_log_likelihood(model, [ids, other], run.device)
        assert values == pytest.approx(wanted, abs=1e-5) and len(hits) == len(ids)
        ((again, _),) = pseudo_log_likelihood(model, [other], run.device)
        assert alone == pytest.approx(again, abs=1e-5)


def test_evaluate_is_the_sum_of_score(run: Run, tmp_path: Path) -> None:
    """Line by line; ends of lines cost nothing and do not count."""
    lines = ["the cat sat on the mat", "a dog sat", "on the mat"]
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    result = nextword.evaluate(run, tmp_path / "text.txt")
    scores = nextword.score(run, lines)
    assert result.pseudo and "pseudo:line" in result.signature
    assert result.nll == pytest.approx(-sum(one.log_prob for one in scores), rel=1e-5)
    assert result.tokens == sum(one.tokens for one in scores)
    assert result.perplexity == pytest.approx(math.exp(result.nll / result.tokens))
    assert result.perplexity_excluding_oov == pytest.approx(result.perplexity)
    assert 0 <= result.accuracy <= 1


def test_a_line_longer_than_the_context_is_read_in_pieces(run: Run) -> None:
    model: Any = run.model
    most = model.context - 2
    ids = np.array(run.tokenizer.encode("the cat sat on the mat " * 50))
    assert len(ids) > 2 * most
    found = score_masked(model, ids, run.device)
    parts = [ids[i : i + most] for i in range(0, len(ids), most)]
    alone = pseudo_log_likelihood(model, parts, run.device)
    np.testing.assert_allclose(found.log_prob, np.concatenate([v for v, _ in alone]), atol=1e-5)


def test_compare_keeps_pseudo_figures_apart(run: Run, cli: Cli, tmp_path: Path) -> None:
    """Last in the table however good they look, and no test against real probabilities."""
    lines = "the cat sat on the mat\na dog sat\n" * 200
    (tmp_path / "text.txt").write_text(lines, encoding="utf-8")
    ngram = nextword.train("unigram", tmp_path / "text.txt", tmp_path / "ngram", quiet=True)
    result = nextword.compare([run, ngram], tmp_path / "text.txt")
    assert [row.evaluation.pseudo for row in result.rows] == [False, True]
    assert result.p_value is None
    both = nextword.compare([run, run], tmp_path / "text.txt")
    assert both.p_value == 1.0
    assert run.folder is not None
    status, out, _ = cli("compare", run.folder, tmp_path / "ngram", "--data", tmp_path / "text.txt")
    assert status == 0 and "(pseudo)" in out and "compare only with each other" in out
    status, out, _ = cli("evaluate", run.folder, "--data", tmp_path / "text.txt")
    assert status == 0 and "pseudo" in out


def test_evaluate_refuses_what_reads_from_the_left(run: Run, cli: Cli) -> None:
    status, _, err = cli("evaluate", run.folder, "--data", "README.md", "--stripes", 4)
    assert status == 2
    assert err == "nextword: 'run' fills gaps: --stripes is for models that read running text\n"


def test_score_names_the_line_that_is_too_long(run: Run) -> None:
    with pytest.raises(InputError, match="line 2 has"):
        nextword.score(run, ["the cat", "the cat sat " * 60])


def test_score_says_what_it_is(run: Run, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("the cat sat\nsat the cat\n", encoding="utf-8")
    status, out, err = cli("score", run.folder, tmp_path / "lines.txt", "--json")
    assert status == 0 and "pseudo-log-likelihood" in err
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in rows] == ["the cat sat", "sat the cat"]
    assert all(row["pseudo"] and row["log_prob"] < 0 and row["tokens"] >= 3 for row in rows)


@pytest.mark.parametrize("verb", [["generate", "--prompt", "x"], ["translate"]])
def test_what_it_is_not_for(run: Run, cli: Cli, verb: list[str]) -> None:
    status, out, err = cli(verb[0], run.folder, *verb[1:])
    assert status == 2 and out == "" and len(err.splitlines()) == 1


def test_fill_from_the_command_line(run: Run, cli: Cli) -> None:
    status, out, _ = cli("fill", run.folder, "the [MASK] sat", "--top", 3)
    assert status == 0 and len(out.splitlines()) == 3
    status, out, _ = cli("fill", run.folder, "the [MASK] sat [MASK]", "--json")
    assert status == 0 and len(json.loads(out)["gaps"]) == 2
    status, out, err = cli("fill", run.folder, "nothing")
    assert status == 2 and len(err.splitlines()) == 1


# --------------------------------------------------------------------------------------------- hub


def test_out_to_the_hub_and_back(run: Run, cli: Cli, tmp_path: Path) -> None:
    status, _, err = cli("export", run.folder, "--format", "hf", "--out", tmp_path / "hub")
    assert status == 0, err
    back = load(tmp_path / "hub")
    ours, theirs = run.model.state_dict(), back.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert back.tokenizer.vocabulary == run.tokenizer.vocabulary
    assert fill(back, "the [MASK] sat").gaps == fill(run, "the [MASK] sat").gaps
    status, _, err = cli("export", run.folder, "--format", "hf", "--out", tmp_path / "hub")
    assert status == 2 and "--overwrite" in err
    assert (
        cli("export", run.folder, "--format", "hf", "--out", tmp_path / "hub", "--overwrite")[0]
        == 0
    )


def test_a_vocabulary_in_another_order(run: Run, tmp_path: Path) -> None:
    """The hub's order, marks somewhere in the middle: the same answers."""
    folder = tmp_path / "hub"
    folder.mkdir()
    hub.save(folder, run.model, run.config, run.tokenizer)
    tensors, _ = files.read_tensors(folder / hub.WEIGHTS)
    size = run.tokenizer.vocab_size
    order = torch.randperm(size, generator=torch.Generator().manual_seed(3))
    for name in ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias"):
        tensors[name] = tensors[name][order]
    files.write_tensors(folder / hub.WEIGHTS, tensors, {})
    tokens = [run.tokenizer.vocabulary[int(index)] for index in order]
    (folder / hub.VOCABULARY).write_text("\n".join(tokens) + "\n", encoding="utf-8")
    back = load(folder)
    words = [f.word for f in fill(back, "the [MASK] sat").gaps[0]]
    assert words == [f.word for f in fill(run, "the [MASK] sat").gaps[0]]


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    """A hub folder to be broken."""
    (tmp_path / "hub").mkdir()
    hub.save(tmp_path / "hub", run.model, run.config, run.tokenizer)
    return tmp_path / "hub"


def changed(folder: Path, **values: Any) -> None:
    tables = json.loads((folder / hub.CONFIG).read_text()) | values
    (folder / hub.CONFIG).write_text(json.dumps(tables))


def test_old_names_of_normalisation(run: Run, folder: Path) -> None:
    tensors, _ = files.read_tensors(folder / hub.WEIGHTS)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): value
        for name, value in tensors.items()
    }
    files.write_tensors(folder / hub.WEIGHTS, old, {})
    assert fill(load(folder), "the [MASK]").gaps == fill(run, "the [MASK]").gaps


def test_a_bare_encoder(folder: Path) -> None:
    tensors, _ = files.read_tensors(folder / hub.WEIGHTS)
    bare = {n.removeprefix("bert."): t for n, t in tensors.items() if not n.startswith("cls.")}
    files.write_tensors(folder / hub.WEIGHTS, bare, {})
    opened = load(folder)
    assert not opened.config.model.predicts
    with pytest.raises(InputError, match="without the part"):
        fill(opened, "the [MASK]")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model_type": "roberta"}, "only BERT"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"hidden_act": "swish"}, "swish"),
    ],
)
def test_another_architecture(folder: Path, values: dict[str, str], said: str) -> None:
    changed(folder, **values)
    with pytest.raises(InputError, match=said):
        load(folder)


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / hub.WEIGHTS).rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickled"):
        load(folder)


@pytest.mark.parametrize("kind", ["missing", "extra", "vocabulary", "none"])
def test_tensors_and_vocabulary_must_fit(folder: Path, kind: str) -> None:
    tensors, _ = files.read_tensors(folder / hub.WEIGHTS)
    name = "bert.encoder.layer.1.attention.self.key.bias"
    said = name.removeprefix("bert.")
    if kind == "missing":
        del tensors[name]
    elif kind == "extra":
        tensors["bert.strange"], said = torch.zeros(2), "strange"
    elif kind == "vocabulary":
        with (folder / hub.VOCABULARY).open("a", encoding="utf-8") as file:
            file.write("onemore\n")
        said = "different models"
    else:
        (folder / hub.VOCABULARY).unlink()
        said = "neither"
    files.write_tensors(folder / hub.WEIGHTS, tensors, {})
    with pytest.raises(InputError, match=said):
        load(folder)


@pytest.mark.parametrize("kind", ["word", "char", "byte", "bpe"])
def test_marks_are_never_words(kind: str, tmp_path: Path) -> None:
    """A tokenizer whose ids 2 to 4 are words cannot be BERT's."""
    (tmp_path / "text.txt").write_text("the cat sat .\n" * 20, encoding="utf-8")
    how = {"text.tokenizer": kind, "text.sentences": False}
    with pytest.raises(InputError, match="marks need ids of their own"):
        nextword.train("bert", tmp_path / "text.txt", tmp_path / "run", overrides=how, quiet=True)
    assert not (tmp_path / "run").exists()
