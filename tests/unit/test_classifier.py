"""Labelled texts, classifiers of them, and how good those are."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import nextword
from nextword import hub
from nextword.config import Config, TextConfig, configure
from nextword.data.labelled import Labelled, auto_rows, in_batches
from nextword.errors import InputError
from nextword.evaluation.classification import classify, evaluate_classifier, longest, measure
from nextword.models.classifier import Classifier, ClassifierConfig
from nextword.models.recurrent import RecurrentConfig
from nextword.objectives.classify import Classify
from nextword.run import Run, load
from nextword.text.labelled import open_labelled, prepare_labelled, read_labelled
from nextword.text.tokenizer import EOS, train_tokenizer
from nextword.text.wordpiece import CLS
from nextword.training.loop.journal import read_metrics
from nextword.training.optimizers import SGD
from nextword.training.schedules import SlantedTriangles
from tests.support import Cli

V = 20
ENCODERS: dict[str, dict[str, Any]] = {
    "bidirectional": {"hidden": 8, "layers": 2, "dropout_input": 0.0},
    "recurrent": {"hidden": 8, "layers": 2},
    "transformer-lm": {"hidden": 8, "layers": 2, "heads": 2, "context": 30, "dropout": 0.0},
    "bert": {"hidden": 8, "layers": 2, "heads": 2, "context": 30, "dropout_attention": 0.0},
}
TINY: dict[str, Any] = {
    "model.encoder.hidden": 16,
    "model.inner": 8,
    "train.epochs": 6,
    "train.batch_size": 8,
    "optimizer.lr": 1e-2,
    "text.min_count": 1,
}


def draw(count: int, seed: int) -> str:
    """Texts labelled by whether they hold "good" or "bad", somewhere among other words."""
    rng = random.Random(seed)
    lines = []
    for _ in range(count):
        label = rng.choice(["good", "bad"])
        words = [
            rng.choice("the film was very so it and".split()) for _ in range(rng.randint(2, 9))
        ]
        words.insert(rng.randint(0, len(words)), label)
        lines.append(f"{'pos' if label == 'good' else 'neg'}\t{' '.join(words)}\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    for name, count, seed in (("train", 300, 1), ("valid", 60, 2), ("test", 80, 3)):
        (folder / f"{name}.tsv").write_text(draw(count, seed), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return nextword.train(
        "classifier",
        folder / "train.tsv",
        folder / "run",
        valid=folder / "valid.tsv",
        overrides=TINY,
        quiet=True,
    )


def model(name: str, **settings: Any) -> Classifier:
    values = {"encoder": {"name": name} | ENCODERS[name], "labels": ["a", "b", "c"], "dropout": 0.0}
    torch.manual_seed(0)
    built = ClassifierConfig(**(values | settings)).build(V)
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.3)
    return built.double().eval()


# -------------------------------------------------------------------------------------------- text


def test_reading(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("x\tone two\n\n y \t three\n", encoding="utf-8")
    found = list(read_labelled(tmp_path / "a.tsv"))
    assert [(e.line, e.label, e.texts) for e in found] == [
        (1, "x", ("one two",)),
        (3, "y", ("three",)),
    ]
    (tmp_path / "b.tsv").write_text("x\tone\ttwo\ny\tthree\tfour\n", encoding="utf-8")
    assert [e.texts for e in read_labelled(tmp_path / "b.tsv")] == [
        ("one", "two"),
        ("three", "four"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x\tone\nno tab\n", "line 2 .* no tab"),
        ("x\tone\n\ttwo\n", "line 2 .* no label"),
        ("x\tone\ny\ttwo\tthree\n", "line 2 .* 2 texts"),
        ("x\ta\tb\tc\n", "3 texts"),
    ],
)
def test_lines_that_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        list(read_labelled(tmp_path / "a.tsv"))


def prepared(tmp_path: Path, text: str, labels: tuple[str, ...] = ()) -> Any:
    path = tmp_path / "texts.tsv"
    path.write_text(text, encoding="utf-8")
    words = ["\n".join(e.texts) + "\n" for e in read_labelled(path)]
    tokenizer = train_tokenizer(words, TextConfig(tokenizer="word"))
    return tokenizer, *prepare_labelled([path], tokenizer, tmp_path / "ids", labels)


def test_preparing(tmp_path: Path) -> None:
    tokenizer, corpus, labels = prepared(tmp_path, "b\tone two\na\tthree\nb\tone\n")
    assert labels == ["a", "b"]
    assert corpus.labels.tolist() == [1, 0, 1]
    assert tokenizer.decode(corpus.ids) == "one two\nthree\none\n"
    again = open_labelled(tmp_path / "ids")
    assert again.labels.tolist() == [1, 0, 1] and again.ids.tolist() == corpus.ids.tolist()


@pytest.mark.parametrize(
    ("text", "labels", "said"),
    [
        ("a\tone\na\ttwo\n", (), "everything in .* is labelled 'a'"),
        ("a\tone\nc\ttwo\n", ("a", "b"), "line 2 .* 'c'; there are: a, b"),
        ("\n\n", ("a", "b"), "no labelled texts"),
    ],
)
def test_labels_that_are_refused(
    tmp_path: Path, text: str, labels: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        prepared(tmp_path, text, labels)


def test_damaged_labels(tmp_path: Path) -> None:
    """Whatever numpy says about a file that begins like one of its own, and about others."""
    prepared(tmp_path, "a\tone\nb\ttwo\n")
    path = tmp_path / "ids" / "labels.npy"
    good = path.read_bytes()
    header = good.index(b"{")
    odd = [b"", b"nonsense", good[:header], good[:-1], good.replace(b"}", b"("), b"(" + good]
    odd += [good[:header] + sign * 20 + good[header + 20 :] for sign in (b"(", b"[", b"9", b"\n")]
    for data in odd:
        path.write_bytes(data)
        with pytest.raises(InputError, match="damaged"):
            open_labelled(tmp_path / "ids")


# ------------------------------------------------------------------------------------------ stream


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40), st.integers(1, 7), st.integers(0, 9))
def test_every_text_once_with_its_label(lengths: list[int], rows: int, seed: int) -> None:
    texts = [[*range(10, 10 + n), EOS] for n in lengths]
    ids = np.array([token for text in texts for token in text], dtype=np.uint16)
    labels = np.arange(len(texts))
    stream = Labelled(ids, labels, rows, 8, seed=seed)
    seen: dict[int, list[int]] = {}
    for batch in stream:
        assert batch.real is not None and batch.labels is not None and len(batch.ids) <= rows
        assert not batch.continues
        for tokens, real, label in zip(batch.ids, batch.real, batch.labels, strict=True):
            assert int(label) not in seen
            seen[int(label)] = tokens[real].tolist()
    assert seen == {i: [*text[:-1][:7], EOS] for i, text in enumerate(texts)}


def test_pairs_have_segments_and_are_cut() -> None:
    ids = np.array([10, 11, EOS, 12, EOS, 13, EOS, 14, 15, 16, 17, 18, EOS], dtype=np.uint16)
    batch = Labelled(ids, np.array([0, 1]), 2, 6, shuffle=False)[0]
    assert batch.segments is not None and batch.real is not None
    assert batch.ids[0][batch.real[0]].tolist() == [10, 11, EOS, 12, EOS]
    assert batch.segments[0].tolist()[:5] == [0, 0, 0, 1, 1]
    cut = batch.ids[1][batch.real[1]].tolist()
    assert len(cut) == 6 and cut[:2] == [13, EOS] and cut[-1] == EOS


def test_similar_lengths_are_read_together() -> None:
    """Half as long again is not similar, a tenth is: other lengths in each batch, pass by pass."""
    for short, long, together in ((10, 16, False), (20, 22, True)):
        lengths = np.array([short, long] * 64)
        for seed in range(3):
            batches = in_batches(lengths, 8, True, seed)
            assert sorted(np.concatenate(batches).tolist()) == list(range(128))
            assert any(len(set(lengths[rows])) > 1 for rows in batches) == together


def test_rows_where_none_are_set() -> None:
    """4 to 32, for a hundred batches or more in a pass."""
    for texts, rows in ((0, 4), (499, 4), (500, 5), (3199, 31), (3200, 32), (10**6, 32)):
        assert auto_rows(texts) == rows


# ------------------------------------------------------------------------------------------- model


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("pooling", ["first", "mean", "concat"])
def test_padding_says_nothing(name: str, pooling: str) -> None:
    built = model(name, pooling=pooling)
    ids = torch.randint(2, V, (3, 7))
    real = torch.arange(7) < torch.tensor([7, 3, 5])[:, None]
    segments = torch.zeros_like(ids)
    whole = built(ids, real, segments)
    assert whole.shape == (3, 3)
    torch.testing.assert_close(built(ids.where(real, 9), real, segments), whole)
    for row, length in enumerate([7, 3, 5]):
        part = slice(row, row + 1), slice(0, length)
        torch.testing.assert_close(built(ids[part], real[part], segments[part])[0], whole[row])


def test_concat_pooling_by_hand() -> None:
    built = model("bidirectional", pooling="concat")
    ids = torch.randint(2, V, (1, 4))
    real = torch.ones(1, 4, dtype=torch.bool)
    read = torch.cat([torch.tensor([[EOS]]), ids], dim=1)
    h = built.encoder.encode(read, torch.ones(1, 5, dtype=torch.bool))[0]
    pooled = torch.cat([h[-1], h.mean(0), h.max(0).values])
    wanted = built.layers[0](pooled)
    torch.testing.assert_close(built(ids, real)[0], wanted)


def test_bert_begins_with_its_mark() -> None:
    assert model("bert").encoder.begin_id == CLS
    assert model("recurrent").encoder.begin_id == EOS


@pytest.mark.parametrize("name", ENCODERS)
def test_groups_hold_everything_once(name: str) -> None:
    built = model(name)
    groups = built.groups()
    ids = [id(p) for group in groups for p in group]
    assert sorted(ids) == sorted(id(p) for p in built.parameters())
    assert len(groups) == 4  # word vectors, two layers, what is new
    assert id(built.layers[0].weight) in {id(p) for p in groups[-1]}
    assert id(built.embedding.weight) in {id(p) for p in groups[0]}


def test_a_frozen_encoder_gets_no_gradient() -> None:
    built = model("bidirectional", frozen=True)
    ids = torch.randint(2, V, (2, 4))
    built(ids, torch.ones(2, 4, dtype=torch.bool)).sum().backward()
    assert all(p.grad is None for p in built.encoder.parameters())
    assert all(p.grad is not None for p in built.layers.parameters())


@pytest.mark.parametrize("tied", [False, True])
def test_groups_of_a_recurrent_model(tied: bool) -> None:
    """Each layer, then the word vectors and the softmax: every parameter once."""
    built = RecurrentConfig(hidden=6, layers=2, tied=tied, dropout_weight=0.1).build(V)
    groups = built.groups()
    assert len(groups) == 3
    ids = [id(p) for group in groups for p in group]
    assert sorted(ids) == sorted(id(p) for p in built.parameters())
    assert id(built.embedding.weight) in {id(p) for p in groups[-1]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.encoder.hiden": 3}, "encoder"),
        ({"model.encoder.name": "ngram"}, "encoder"),
        ({"objective.name": "causal"}, "objective.name=classify"),
        ({"train.stream": "stripes"}, "train.stream=labelled"),
        ({"train.bleu_lines": 10}, "train.bleu_lines is for sentence pairs"),
        ({"text.sentences": True}, "text.tokenizer=wordpiece"),
    ],
)
def test_settings_that_contradict(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        configure("classifier", changes)


def test_a_setting_in_a_table_in_a_table() -> None:
    config: Config = configure("classifier", ["model.encoder.hidden=64"])
    assert config.model.encoder["hidden"] == 64
    assert configure("classifier").model.encoder["hidden"] == 256


# --------------------------------------------------------------------------------------- objective


def test_the_objective() -> None:
    built = model("bidirectional")
    ids = np.array([5, 6, EOS, 7, EOS, 8, 9, EOS], dtype=np.uint16)
    batch = Labelled(ids, np.array([0, 2, 1]), 3, 8, shuffle=False)[0]
    logits = built(batch.ids, batch.real, batch.segments).float()
    weights = [0.5, 1.0, 2.0]
    for objective, wanted in (
        (Classify(), F.cross_entropy(logits, batch.labels, reduction="sum")),
        (
            Classify(weights=weights, label_smoothing=0.1),
            F.cross_entropy(
                logits,
                batch.labels,
                torch.tensor(weights),
                reduction="sum",
                label_smoothing=0.1,
            ),
        ),
    ):
        terms, _ = objective(built, batch, None)
        torch.testing.assert_close(terms["nll"].total, wanted)
        assert terms["nll"].count == 3 and not terms["accuracy"].learnt


def test_a_single_text_counts_once() -> None:
    batch = Labelled(np.array([5, 6, EOS]), np.array([1]), 3, 8)[0]
    terms, _ = Classify()(model("recurrent"), batch, None)
    assert {name: term.count for name, term in terms.items()} == {"nll": 1, "accuracy": 1}


def test_layers_learn_at_their_own_rates() -> None:
    from nextword.training.loop.step import set_rates
    from nextword.training.schedules import Rates

    groups = [[nn.Parameter(torch.zeros(1))] for _ in range(3)]
    everything = [p for group in groups for p in group]
    optimizer = SGD(lr=1.0, layer_decay=0.5, unfreeze=1).build(everything, groups)
    for epoch, rates in ((0, [0, 0, 2.0]), (1, [0, 1.0, 2.0]), (2, [0.5, 1.0, 2.0])):
        set_rates(optimizer, 2.0, Rates(1.0), 1.0, epoch)
        assert [group["lr"] for group in optimizer.param_groups] == rates
    assert len(SGD(lr=1.0).build(everything, groups).param_groups) == 1


def test_slanted_triangles() -> None:
    """Equation 3 of the paper, step by step."""
    steps, cut, ratio = 100, 0.1, 32
    schedule = SlantedTriangles(cut=cut, ratio=ratio)
    for t in range(steps):
        edge = math.floor(steps * cut)
        p = t / edge if t < edge else 1 - (t - edge) / (edge * (1 / cut - 1))
        assert schedule(t, t / steps, []).lr == pytest.approx((1 + p * (ratio - 1)) / ratio)


# --------------------------------------------------------------------------------------- measuring


def test_figures_by_hand() -> None:
    right, answers = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
    quality, confusion = measure(right, answers, 3)
    assert confusion.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert quality.accuracy == pytest.approx(4 / 6)
    assert quality.f1 == pytest.approx((4 / 5 + 2 / 4 + 2 / 3) / 3)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_matthews_of_two_labels(pairs: list[tuple[bool, bool]]) -> None:
    """The usual formula."""
    right, answers = (np.array(side, dtype=int) for side in zip(*pairs, strict=True))
    tp = int((right & answers).sum())
    tn = int(((1 - right) & (1 - answers)).sum())
    fp, fn = int(((1 - right) & answers).sum()), int((right & (1 - answers)).sum())
    spread = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    wanted = (tp * tn - fp * fn) / spread if spread else 0.0
    assert measure(right, answers, 2)[0].matthews == pytest.approx(wanted)


# ---------------------------------------------------------------------------------------- training


def test_it_learns(run: Run, folder: Path) -> None:
    result = evaluate_classifier(run, folder / "test.tsv")
    assert result.quality.accuracy > 0.95
    assert sum(map(sum, result.confusion)) == result.examples == 80
    assert run.config.model.labels == ["neg", "pos"]
    last = read_metrics(folder / "run")[-1]
    assert {"valid_accuracy", "valid_f1", "valid_matthews"} <= last.keys()
    assert last["valid_nll"] == last["valid_loss"]


def test_answers(run: Run) -> None:
    texts = ["the film was good", "so bad", "it was very good and so"]
    found = classify(run, texts)
    assert [one.label for one in found] == ["pos", "neg", "pos"]
    for one, text in zip(found, texts, strict=True):
        assert one.text == text and sum(one.probabilities.values()) == pytest.approx(1)
        assert one.probability == max(one.probabilities.values())
        assert classify(run, [text])[0].probability == pytest.approx(one.probability, abs=1e-6)


def test_pairs_of_texts(tmp_path: Path) -> None:
    """Whether the second repeats the first."""
    rng = random.Random(0)
    lines = []
    for _ in range(40):
        a, b = rng.choice("abcd"), rng.choice("abcd")
        lines.append(f"{'same' if a == b else 'other'}\t{a}\t{b}\n")
    (tmp_path / "t.tsv").write_text("".join(lines), encoding="utf-8")
    run = nextword.train(
        "classifier", tmp_path / "t.tsv", tmp_path / "run", overrides=TINY, quiet=True
    )
    assert run.config.model.pairs
    assert classify(run, ["a\tb"])[0].label in ("same", "other")
    with pytest.raises(InputError, match=r"line 2 has no tab"):
        classify(run, ["a\tb", "a b"])
    (tmp_path / "single.tsv").write_text("same\ta\nother\tb\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 1 .* 1 texts; all lines must have two"):
        evaluate_classifier(run, tmp_path / "single.tsv")


def test_a_tab_in_a_single_text_is_a_space(run: Run) -> None:
    with_tab, with_space = classify(run, ["the film\twas good", "the film was good"])
    assert with_tab.probabilities == with_space.probabilities


def test_long_texts_are_cut_and_counted(run: Run, folder: Path, tmp_path: Path, cli: Cli) -> None:
    """As in training: what is behind the last token that is read changes nothing."""
    most = longest(run)
    assert most == run.config.train.bptt
    fits = "good " + "so " * (most - 2)  # and <eos>
    short, long = classify(run, [fits, fits + "so bad bad bad"])
    assert not short.cut and long.cut
    assert long.probability == pytest.approx(classify(run, [fits + "so"])[0].probability, abs=1e-6)
    (tmp_path / "t.tsv").write_text(f"pos\t{fits}\nneg\t{fits}so bad\n", encoding="utf-8")
    assert evaluate_classifier(run, tmp_path / "t.tsv").cut == 1
    (tmp_path / "t.txt").write_text(f"{fits}\n{fits} bad\n", encoding="utf-8")
    status, out, err = cli("classify", folder / "run", tmp_path / "t.txt")
    assert status == 0 and len(out.splitlines()) == 2
    assert f"1 texts were cut: the model reads {most} tokens" in err
    assert "1 texts too long" in cli("evaluate", folder / "run", "--data", tmp_path / "t.tsv")[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\tone\nb\ttwo\n", "too few examples"),
        ("a\tone\na\ttwo\n", "everything in .*texts.tsv"),
        ("", "texts.tsv.* is empty"),
    ],
)
def test_files_that_teach_nothing(tmp_path: Path, text: str, said: str) -> None:
    """The message names the file that was given; nothing is left behind."""
    (tmp_path / "texts.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        nextword.train("classifier", tmp_path / "texts.tsv", tmp_path / "run", quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["texts.tsv"]


def test_balanced_weights(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("a\tx y\n" * 30 + "b\ty z\n" * 10, encoding="utf-8")
    run = nextword.train(
        "classifier",
        tmp_path / "t.tsv",
        tmp_path / "run",
        overrides=TINY | {"objective.weights": "balanced", "train.epochs": 1},
        quiet=True,
    )
    a, b = run.config.objective.weights
    assert b / a == pytest.approx(28 / 10, rel=0.15)  # 5 % of each are held out


@pytest.mark.parametrize("recipe", ["ulmfit", "classifier"])
def test_on_a_language_model(tmp_path: Path, folder: Path, recipe: str) -> None:
    text = "".join(line.split("\t")[1] for line in (folder / "train.tsv").open(encoding="utf-8"))
    (tmp_path / "text.txt").write_text(text + "\n", encoding="utf-8")
    sizes = {"text.tokenizer": "word", "model.hidden": 16, "model.embedding": 8, "train.epochs": 1}
    parent = nextword.train(
        "lstm", tmp_path / "text.txt", tmp_path / "lm", overrides=sizes, quiet=True
    )
    run = nextword.train(
        recipe,
        folder / "train.tsv",
        tmp_path / "run",
        start_from=tmp_path / "lm",
        overrides={"train.epochs": 1, "optimizer.lr": 1e-9},
        quiet=True,
    )
    ours, theirs = run.model.state_dict(), parent.model.state_dict()
    for name, tensor in ours.items():
        if name.startswith("encoder."):
            torch.testing.assert_close(
                tensor, theirs[name.removeprefix("encoder.")], atol=1e-5, rtol=0
            )
    assert run.tokenizer.fingerprint == parent.tokenizer.fingerprint


def test_on_bert_from_the_hub(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "text.txt").write_text("the film was good .\nit was bad .\n" * 40, encoding="utf-8")
    sizes = {"model.hidden": 16, "model.layers": 1, "model.heads": 2, "train.epochs": 1}
    sizes |= {"train.bptt": 24, "text.vocab_size": 60}
    bert = nextword.train(
        "bert", tmp_path / "text.txt", tmp_path / "b", overrides=sizes, quiet=True
    )
    (tmp_path / "hub").mkdir()
    hub.save(tmp_path / "hub", bert.model, bert.config, bert.tokenizer)
    runs = [
        nextword.train(
            "bert-classifier",
            folder / "train.tsv",
            tmp_path / f"run{i}",
            start_from=start,
            overrides={"train.epochs": 1},
            quiet=True,
        )
        for i, start in enumerate((tmp_path / "b", tmp_path / "hub"))
    ]
    assert bert.config.model.context == 24
    assert all(run.config.train.bptt == 23 for run in runs)  # what the encoder can read, no more
    assert bert.config.model.dropout == 0
    assert all(run.config.model.encoder["dropout"] == 0.1 for run in runs)  # the recipe's
    ours, theirs = (run.model.state_dict() for run in runs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    with pytest.raises(InputError, match=r"context; add --set train\.bptt=23"):
        nextword.train(
            "bert-classifier",
            folder / "train.tsv",
            tmp_path / "run",
            start_from=tmp_path / "hub",
            overrides={"train.bptt": 24},
            quiet=True,
        )


def test_last_layers_normed_over_the_batch(folder: Path, tmp_path: Path, capfd: Any) -> None:
    """ULMFiT's: what they read has mean 0 and standard deviation 1 over a batch in training;
    afterwards an answer depends on its own text alone, and a batch of one example can be learnt
    from."""
    settings = {"train.epochs": 1, "train.batch_size": 3, "model.batch_norm": True}
    settings |= {"model.encoder.hidden": 8, "text.min_count": 1}
    capfd.readouterr()
    run = nextword.train("classifier", folder / "train.tsv", tmp_path / "run", overrides=settings)
    assert "batch of 3 texts" in capfd.readouterr().err
    texts = ["so good", "very bad", "a good film with a bad end", "good"]
    together, alone = classify(run, texts), [classify(run, [text])[0] for text in texts]
    for one, other in zip(together, alone, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-6)

    model: Any = run.model
    model.train()
    model.dropout = 0.0
    seen: list[torch.Tensor] = []
    model.norms[0].register_forward_hook(lambda module, given, made: seen.append(made))
    model.norms[0].weight.data.fill_(1)
    model.norms[0].bias.data.zero_()
    x = torch.randn(50, model.layers[0].in_features) * 3 + 5
    model.classify(x)
    torch.testing.assert_close(seen[0].mean(dim=0), torch.zeros(x.shape[1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        seen[0].std(dim=0, unbiased=False), torch.ones(x.shape[1]), atol=1e-4, rtol=0
    )
    before = [model.norms[0].running_mean.clone(), model.norms[0].running_var.clone()]
    model.classify(x[:1]).sum().backward()
    assert model.layers[0].weight.grad.abs().sum() > 0
    after = [model.norms[0].running_mean, model.norms[0].running_var]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


# -------------------------------------------------------------------------------------------- verbs


def test_verbs(run: Run, folder: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("so good\nvery bad\n", encoding="utf-8")
    status, out, _ = cli("classify", folder / "run", tmp_path / "lines.txt")
    assert status == 0
    assert [line.split("\t")[0] for line in out.splitlines()] == ["pos", "neg"]
    status, out, _ = cli("classify", folder / "run", tmp_path / "lines.txt", "--json")
    assert [json.loads(line)["label"] for line in out.splitlines()] == ["pos", "neg"]
    picture = tmp_path / "confusion.png"
    status, out, _ = cli(
        "evaluate", folder / "run", "--data", folder / "test.tsv", "--json", "--plot", picture
    )
    found = json.loads(out)
    assert status == 0 and picture.stat().st_size > 1000
    assert {"accuracy", "f1", "matthews", "confusion", "labels", "examples"} <= found.keys()
    assert cli("evaluate", folder / "run", "--data", folder / "test.tsv")[1].startswith("examples")


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "RUN", "--prompt", "x"],
        ["fill", "RUN", "[MASK]"],
        ["translate", "RUN", "TEST"],
        ["compare", "RUN", "--data", "BAD"],
        ["compare", "RUN", "--data", "TEST", "--dynamic"],
        ["compare", "RUN", "--data", "TEST", "--out", "OUT.png"],
        ["export", "RUN", "--format", "hf", "--out", "OUT"],
        ["evaluate", "RUN", "--data", "BAD"],
        ["train", "classifier", "--train", "BAD", "--out", "OUT"],
        ["train", "classifier", "--train", "ONE", "--out", "OUT"],
    ],
)
def test_refused_in_one_line(
    arguments: list[str], run: Run, folder: Path, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "bad.tsv").write_text("pos\tgood\nstrange\n", encoding="utf-8")
    (tmp_path / "one.tsv").write_text("pos\tgood\npos\tfine\n", encoding="utf-8")
    places = {
        "RUN": folder / "run",
        "TEST": folder / "test.tsv",
        "OUT": tmp_path / "out",
        "BAD": tmp_path / "bad.tsv",
        "ONE": tmp_path / "one.tsv",
    }
    status, out, err = cli(*[places.get(argument, argument) for argument in arguments])
    assert status == 2 and out == "" and len(err.splitlines()) == 1, err
    assert not (tmp_path / "out").exists()


def test_resumed_alike(folder: Path, tmp_path: Path) -> None:
    whole = nextword.train(
        "classifier", folder / "train.tsv", tmp_path / "a", overrides=TINY, quiet=True
    )
    nextword.train(
        "classifier",
        folder / "train.tsv",
        tmp_path / "b",
        overrides=TINY | {"train.epochs": 6},
        quiet=True,
    )
    again = nextword.resume(tmp_path / "b", overrides={"train.epochs": 6}, quiet=True)
    assert again.config.model.labels == whole.config.model.labels
    assert load(tmp_path / "b").config.model == again.config.model
