"""Translators on the command line: trained, resumed, used, and refused."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import nextword
from nextword.cli.main import main
from nextword.errors import Interrupted
from tests.support import Cli, interrupt_at, snapshot

SOURCE = "the cat dog sat ate on mat a big red".split()
TARGET = "die katze hund saß fraß auf matte ein groß rot".split()
TINY = [
    "--set", "text.tokenizer=word", "--set", "source.tokenizer=word", "--set", "model.hidden=16",
    "--set", "train.epochs=2", "--set", "train.batch_tokens=120", "--set", "train.bleu_lines=5",
    "--set", "optimizer.lr=1e-2",
]  # fmt: skip
SIZES = {
    "transformer": ["--set", "model.layers=1", "--set", "model.heads=2", "--set",
                    "model.context=16"],
    "seq2seq": ["--set", "model.embedding=8"],
}  # fmt: skip


def settings(recipe: str) -> list[str]:
    return TINY + SIZES[recipe]


def train(recipe: str, file: Path, out: Path, *more: Any) -> Path:
    used = settings(recipe)
    if "source.joint=true" in more:  # the source side has no tokenizer of its own
        kept = [word for word in used[1::2] if not word.startswith("source.")]
        used = [word for setting in kept for word in ("--set", setting)]
    with pytest.raises(SystemExit) as end:
        main(["train", recipe, "--train", str(file), "--out", str(out), "--quiet",
              *used, *map(str, more)])  # fmt: skip
    assert end.value.code == 0
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs as one file and as two, for training and for validation, and running text."""
    path = tmp_path_factory.mktemp("pairs")
    rng = random.Random(0)
    rows = [[rng.randrange(10) for _ in range(rng.randint(1, 7))] for _ in range(130)]
    pairs = [(" ".join(SOURCE[i] for i in r), " ".join(TARGET[i] for i in r)) for r in rows]
    for name, part in (("train", pairs[:100]), ("valid", pairs[100:])):
        (path / f"{name}.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in part), "utf-8")
        (path / f"{name}.en").write_text("".join(f"{a}\n" for a, _ in part), "utf-8")
        (path / f"{name}.de").write_text("".join(f"{b}\n" for _, b in part), "utf-8")
    (path / "text.txt").write_text("the cat sat on the mat .\nthe dog ate .\n" * 12, "utf-8")
    return path


@pytest.fixture(scope="module", params=list(SIZES))
def recipe(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, Path]:
    valid = ("--valid", folder / "valid.tsv")
    return {name: train(name, folder / "train.tsv", folder / name, *valid) for name in SIZES}


@pytest.fixture(scope="module")
def skilled(folder: Path) -> dict[str, Path]:
    """The same, trained until they say something."""
    more = ("--valid", folder / "valid.tsv", "--set", "train.epochs=8", "--set",
            "objective.label_smoothing=0", "--set", "train.bleu_lines=0")  # fmt: skip
    return {name: train(name, folder / "train.tsv", folder / f"{name}-8", *more) for name in SIZES}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def same(a: Path, b: Path, name: str = "model.safetensors") -> bool:
    one, two = load_file(a / name), load_file(b / name)
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def error(result: tuple[int, str, str]) -> str:
    """The one line of a refusal: status 2, nothing on standard output."""
    status, out, err = result
    assert status == 2, err
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("nextword: ")
    return err


# ----------------------------------------------------------------------------------------- training


def test_train(recipe: str, runs: dict[str, Path], folder: Path) -> None:
    """Both vocabularies, a curve with BLEU, and a model better than none."""
    run = nextword.load(runs[recipe])
    assert run.source is not None
    assert run.source.encode("cat zebra") != run.tokenizer.encode("cat zebra")
    assert run.source.unknown(" ".join(SOURCE)) == run.tokenizer.unknown(" ".join(TARGET)) == []
    records = [json.loads(x) for x in (runs[recipe] / "metrics.jsonl").read_text().splitlines()]
    valid = [r for r in records if "valid_nll" in r]
    assert [r["epoch"] for r in valid] == [0, 1]
    assert all(0 <= r["valid_bleu"] <= 100 for r in valid)
    assert valid[-1]["valid_perplexity"] < 12  # the vocabulary has twelve


def test_parallel_files(recipe: str, runs: dict[str, Path], folder: Path, tmp_path: Path) -> None:
    """Two files are the same training as one."""
    train(
        recipe, folder / "train.en", tmp_path / "run", "--target", folder / "train.de",
        "--valid", folder / "valid.en", "--valid-target", folder / "valid.de",
    )  # fmt: skip
    assert same(tmp_path / "run", runs[recipe])


def test_held_out(cli: Cli, recipe: str, folder: Path, tmp_path: Path) -> None:
    """Without --valid the last pairs are kept back; what is left out is counted."""
    pairs = tmp_path / "pairs.tsv"
    long = " ".join(["cat"] * 30)
    extra = f"\tdie\nthe\t\n\n{long}\tkatze\nthe\t{long}\n"
    pairs.write_text(extra + (folder / "train.tsv").read_text("utf-8"), "utf-8")
    status, _, err = cli(
        "train", recipe, "--train", pairs, "--out", tmp_path / "run", *settings(recipe),
        "--set", "train.longest=20",
    )  # fmt: skip
    assert status == 0
    assert "the last 5 % of the training pairs are held out" in err.replace("5%", "5 %")
    longest = 16 if recipe == "transformer" else 20
    assert f"3 with an empty side, 2 too long (more than {longest} tokens)" in err
    assert "nextword translate" in err


def test_no_note_about_stripes(cli: Cli, folder: Path, tmp_path: Path) -> None:
    """What is said about running text is not said about pairs."""
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("the cat\tdie katze\n" * 4, "utf-8")
    status, _, err = cli(
        "train", "seq2seq", "--train", pairs, "--out", tmp_path / "run", *settings("seq2seq")
    )
    assert status == 0
    assert "shorter than one batch" not in err


def test_valid_target_alone(cli: Cli, folder: Path, tmp_path: Path) -> None:
    """A target without its source is a mistake, not nothing."""
    found = cli(
        "train", "seq2seq", "--train", folder / "train.tsv", "--valid-target",
        folder / "valid.de", "--out", tmp_path / "run", "--quiet", *settings("seq2seq"),
    )  # fmt: skip
    assert "valid" in error(found)


@pytest.mark.parametrize("call", [1, 5, 9])
def test_resume(
    recipe: str,
    call: int,
    runs: dict[str, Path],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An interrupted training goes on to the weights of one that never was."""
    overrides = [item for item in settings(recipe) if item != "--set"]
    with monkeypatch.context() as patch:
        interrupt_at(patch, call)
        with pytest.raises(Interrupted):
            nextword.train(
                recipe, folder / "train.tsv", tmp_path / "run", valid=folder / "valid.tsv",
                overrides=overrides, quiet=True,
            )  # fmt: skip
    torch.manual_seed(999)
    nextword.resume(tmp_path / "run", quiet=True)
    for name in ("model.safetensors", "state.safetensors"):
        assert same(tmp_path / "run", runs[recipe], name), name


def test_from(recipe: str, runs: dict[str, Path], folder: Path, tmp_path: Path) -> None:
    """Another training from a run's weights has both its vocabularies and its sizes."""
    with pytest.raises(SystemExit) as end:
        main([str(x) for x in (
            "train", recipe, "--train", folder / "valid.tsv", "--valid", folder / "train.tsv",
            "--from", runs[recipe], "--out", tmp_path / "run", "--quiet", "--set",
            "train.epochs=1", "--set", "optimizer.lr=1e-9",
        )])  # fmt: skip
    assert end.value.code == 0
    for name in ("tokenizer.json", "source-tokenizer.json"):
        assert (tmp_path / "run" / name).read_bytes() == (runs[recipe] / name).read_bytes()
    before, after = weights(runs[recipe]), weights(tmp_path / "run")
    for key, value in after.items():
        torch.testing.assert_close(value, before[key], atol=1e-6, rtol=1e-4)


def test_joint(recipe: str, cli: Cli, folder: Path, tmp_path: Path) -> None:
    """One vocabulary of both sides, one embedding."""
    run = train(recipe, folder / "train.tsv", tmp_path / "run", "--set", "source.joint=true")
    loaded = nextword.load(run)
    assert loaded.source is not None
    assert loaded.source.fingerprint == loaded.tokenizer.fingerprint
    assert loaded.tokenizer.unknown(" ".join(SOURCE + TARGET)) == []
    model: Any = loaded.model
    assert model.source_embedding is model.embedding
    apart = {k for k in weights(run) if "source_embedding" in k}
    assert all(torch.equal(weights(run)[k], weights(run)["embedding.weight"]) for k in apart)
    assert cli("evaluate", run, "--data", folder / "valid.tsv", "--json")[0] == 0


def test_find_lr(recipe: str, cli: Cli, folder: Path, tmp_path: Path) -> None:
    status, out, _ = cli(
        "find-lr", recipe, "--train", folder / "train.tsv", "--out", tmp_path / "lr.png",
        "--steps", 20, *settings(recipe),
    )  # fmt: skip
    assert status == 0
    assert "optimizer.lr=" in out
    assert (tmp_path / "lr.png").exists()


# -------------------------------------------------------------------------------------------- using


def test_translate(
    recipe: str, cli: Cli, skilled: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line for a line, from a file or standard input, as in Python."""
    lines = ["the cat sat", "", "a dog ate", "zebra"]
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(lines), "utf-8")
    status, out, err = cli("translate", skilled[recipe], path)
    assert status == 0
    assert all("zebra" in line for line in err.splitlines())  # what it does not know
    assert out.split("\n")[:-1] == nextword.translate(nextword.load(skilled[recipe]), lines)
    assert out.split("\n")[1] == ""
    for more in ([], ["-"]):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
        assert cli("translate", skilled[recipe], *more)[1] == out
    _, greedy, _ = cli("translate", skilled[recipe], path, "--beam", 1, "--alpha", 0)
    assert len(greedy.split("\n")) == 5


def test_translate_json(recipe: str, cli: Cli, skilled: dict[str, Path], tmp_path: Path) -> None:
    """One object a line; with --n-best all answers, best first."""
    path = tmp_path / "lines.txt"
    path.write_text("the cat sat\n\na dog\n", "utf-8")
    _, plain, _ = cli("translate", skilled[recipe], path)
    status, out, _ = cli("translate", skilled[recipe], path, "--json", "--n-best", 3)
    found = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [one["source"] for one in found] == ["the cat sat", "", "a dog"]
    assert [one["translation"] for one in found] == plain.splitlines()
    assert [len(one["best"]) for one in found] == [3, 0, 3]
    for one in (found[0], found[2]):
        assert one["best"][0]["text"] == one["translation"]
        scores = [answer["score"] for answer in one["best"]]
        assert scores == sorted(scores, reverse=True)
    _, out, _ = cli("translate", skilled[recipe], path, "--n-best", 3)
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[0] for row in rows] == ["1", "1", "1", "2", "3", "3", "3"]
    assert [row[1] for row in rows] == ["1", "2", "3", "1", "1", "2", "3"]
    assert rows[3][2:] == ["-", ""]
    assert [row[3] for row in rows[:3]] == [answer["text"] for answer in found[0]["best"]]
    assert float(rows[0][2]) == pytest.approx(found[0]["best"][0]["log_prob"], abs=1e-3)


def test_translate_sample(recipe: str, cli: Cli, skilled: dict[str, Path], folder: Path) -> None:
    """The same seed, the same text."""
    call = ("translate", skilled[recipe], folder / "valid.en", "--sample", "--temperature", 1.5)
    first = cli(*call, "--seed", 4)
    assert first[0] == 0
    assert cli(*call, "--seed", 4) == first
    assert cli(*call, "--seed", 5)[1] != first[1]


def test_sample_n_best(cli: Cli, skilled: dict[str, Path], folder: Path) -> None:
    """Drawing gives one answer: asking for more is refused, or gives more."""
    found = cli(
        "translate", skilled["seq2seq"], folder / "valid.en", "--sample", "--n-best", 3, "--seed", 1
    )
    if found[0] == 0:
        assert "nan" not in found[1]
        assert found[1].count("\n") == 90
    else:
        error(found)


def test_evaluate(recipe: str, cli: Cli, skilled: dict[str, Path], folder: Path) -> None:
    """The promised keys, agreeing with Python; a table for people."""
    status, out, _ = cli("evaluate", skilled[recipe], "--data", folder / "valid.tsv", "--json")
    found = json.loads(out)
    assert status == 0
    assert {
        "tokens", "nll", "perplexity", "word_perplexity", "bits_per_byte", "accuracy", "oov",
        "signature", "bleu", "chrf", "bleu_signature", "chrf_signature", "sentences",
    } <= found.keys()  # fmt: skip
    assert found["sentences"] == 30
    assert found["chrf"] > 1
    lines = (folder / "valid.tsv").read_text("utf-8").splitlines()
    scored = nextword.score(nextword.load(skilled[recipe]), lines)
    assert found["nll"] == pytest.approx(-sum(s.log_prob for s in scored), rel=1e-5)
    assert found["tokens"] == sum(s.tokens for s in scored)
    status, out, _ = cli(
        "evaluate", skilled[recipe], "--data", folder / "valid.en", "--target", folder / "valid.de",
        "--beam", 1,
    )  # fmt: skip
    assert status == 0
    assert {"BLEU", "chrF", "perplexity", "signature"} <= {x.split()[0] for x in out.splitlines()}


def test_score(cli: Cli, recipe: str, skilled: dict[str, Path], folder: Path) -> None:
    status, out, _ = cli("score", skilled[recipe], folder / "valid.tsv")
    assert status == 0
    rows = [line.split("\t", 1) for line in out.splitlines()]
    assert [row[1] for row in rows] == (folder / "valid.tsv").read_text("utf-8").splitlines()
    assert all(float(row[0]) < 0 for row in rows)


def test_compare(cli: Cli, skilled: dict[str, Path], folder: Path, tmp_path: Path) -> None:
    """A table, a picture, and JSON with p-values."""
    call = ("compare", skilled["transformer"], skilled["seq2seq"], "--data", folder / "valid.tsv")
    status, out, _ = cli(*call, "--out", tmp_path / "lengths.png")
    assert status == 0
    assert "paired bootstrap against transformer-8" in " ".join(out.split())
    assert {"transformer-8", "seq2seq-8"} <= {x.split()[0] for x in out.splitlines() if x.strip()}
    assert (tmp_path / "lengths.png").read_bytes()[1:4] == b"PNG"


def test_compare_json(cli: Cli, skilled: dict[str, Path], folder: Path) -> None:
    call = ("compare", skilled["transformer"], skilled["seq2seq"], "--data", folder / "valid.tsv")
    status, out, _ = cli(*call, "--json")
    found = json.loads(out)
    assert status == 0
    assert found["baseline"] == "transformer-8"
    assert {row["name"]: row["bleu_p"] is None for row in found["rows"]} == {
        "transformer-8": True,
        "seq2seq-8": False,
    }


def test_inspect_attention(
    recipe: str, cli: Cli, skilled: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture and a line for each target token; heads one by one; figures as JSON."""
    picture = tmp_path / "a.png"
    call = ("inspect", skilled[recipe], "attention", "--out", picture, "--source", "the cat sat")
    status, out, _ = cli(*call, "--target", "die katze")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["die", "katze", "<eos>", "drawn"]
    assert picture.read_bytes()[1:4] == b"PNG"
    small = picture.stat().st_size
    status, out, _ = cli(*call, "--heads", "--json", "--target", "die katze")
    found = json.loads(out)
    assert status == 0
    assert found["source"] == ["the", "cat", "sat", "<eos>"]
    assert found["target"] == ["die", "katze", "<eos>"]
    for value in found["weights"].values():
        assert torch.tensor(value).sum(-1).allclose(torch.ones(len(value), 3), atol=1e-4)
    assert (picture.stat().st_size > small) == (recipe == "transformer")
    assert cli(*call)[0] == 0
    error(cli(*call[:-2]))


def test_attention_over_more_tokens_than_a_figure_shows(
    cli: Cli, skilled: dict[str, Path], tmp_path: Path
) -> None:
    picture = tmp_path / "a.png"
    call = ("inspect", skilled["seq2seq"], "attention", "--out", picture, "--source", "the cat sat")
    message = error(cli(*call, "--target", "die " * 200))
    assert "the target has 201 tokens; a figure shows 200" in message
    assert not picture.exists()


def test_inspect_chinese(
    cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn; where no font has the characters, somebody says so."""
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("the cat .\t那只猫。\na dog .\t一只狗。\n" * 15, "utf-8")
    run = train("seq2seq", pairs, tmp_path / "run")
    call = ("inspect", run, "attention", "--source", "the cat .", "--target", "那只猫。", "--out")
    for there in (False, True):
        monkeypatch.setattr("nextword.plot.has_chinese", lambda there=there: there)
        picture = tmp_path / f"{there}.png"
        status, out, err = cli(*call, picture)
        assert status == 0
        assert "猫" in out
        assert picture.read_bytes()[1:4] == b"PNG"
        assert ("no font with Chinese characters" in err) == (not there)


def test_generate_beam(cli: Cli, lstm_run: Path) -> None:
    """The likeliest continuation of a language model, the same every time."""
    call = ("generate", lstm_run, "--prompt", "the cat", "--tokens", 4, "--beam", 3)
    status, out, _ = cli(*call)
    assert status == 0
    assert out.startswith("the cat")
    assert cli(*call)[1] == out
    assert cli(*call[:-1], 1)[1] == cli(*call[:-2], "--temperature", 0)[1]
    assert out.split("sat")[0] == cli(*call, "--stop", "sat")[1].rstrip("\n") or "sat" not in out
    for more in (["--samples", 2], ["--temperature", 0.5], ["--top-k", 3], ["--min-p", 0.1]):
        assert f"leave out {more[0]}" in error(cli(*call, *more))


# ---------------------------------------------------------------------------------------- bad input


def make_bad_files(folder: Path) -> None:
    (folder / "empty.tsv").write_text("")
    (folder / "blank.tsv").write_text("\n \n\t\n")
    (folder / "notab.tsv").write_text("a\tb\nno tab\n")
    (folder / "halves.tsv").write_text("a\t\n\tb\n")
    (folder / "binary.tsv").write_bytes(random.Random(0).randbytes(5000))
    (folder / "latin.tsv").write_bytes("caf\xe9\tx\n".encode("latin-1") * 9)
    (folder / "short.txt").write_text("die katze\n")
    (folder / "long.txt").write_text("cat\n" + "cat " * 99 + "\n")
    (folder / "long.tsv").write_text("cat " * 99 + "\tkatze\n")


T, OUT = "train transformer --train", "--out new"
BAD = {
    "no tab": (f"{T} notab.tsv {OUT}", "line 2 of 'notab.tsv' has no tab"),
    "running text": (f"{T} TEXT {OUT}", "has no tab"),
    "empty file": (f"{T} empty.tsv {OUT}", "empty"),
    "nothing but blanks": (f"{T} blank.tsv {OUT}", "no pairs to learn from"),
    "halves": (f"{T} halves.tsv {OUT}", "no pairs to learn from"),
    "binary": (f"{T} binary.tsv {OUT}", "binary"),
    "latin": (f"{T} latin.tsv {OUT}", "not UTF-8"),
    "missing": (f"{T} nowhere.tsv {OUT}", "no file 'nowhere.tsv'"),
    "missing target": (f"{T} EN --target nowhere {OUT}", "no file 'nowhere'"),
    "unequal files": (f"{T} EN --target short.txt {OUT}", "'short.txt' ends after line 1"),
    "more sources": (f"{T} EN --train EN --target DE {OUT}", "2 source files and 1 target"),
    "bad validation": (f"{T} TSV --valid notab.tsv {OUT}", "line 2 of 'notab.tsv' has no tab"),
    "blank validation": (f"{T} TSV --valid blank.tsv {OUT}", "no pairs to validate on"),
    "too long": (f"{T} TSV --set train.longest=1 {OUT}", "no pairs to learn from"),
    "stream of text": (f"{T} TSV --set train.stream=stripes {OUT}", "set train.stream=pairs"),
    "stream of pairs": (f"train lstm --train TEXT --set train.stream=pairs {OUT}", "running text"),
    "source of text": (f"train lstm --train TEXT --set source.joint=true {OUT}", "[source]"),
    "target of text": (f"train lstm --train TEXT --target DE {OUT}", "running text"),
    "heads": (f"{T} TSV --set model.heads=3 {OUT}", "not divisible by heads = 3"),
    "unknown attention": (
        f"train seq2seq --train TSV --set model.attention=dott {OUT}", "did you mean 'dot'"),
    "unknown source key": (f"{T} TSV --set source.joined=true {OUT}", "did you mean"),
    "unknown source tokenizer": (f"{T} TSV --set source.tokenizer=wrd {OUT}", "'word'"),
    "from other words": (f"{T} TSV --from RUN --set source.lower=true {OUT}", "source.*"),
    "run exists": (f"{T} TSV --out RUN", "--resume"),
    "resume a target": ("train --out RUN --resume --target DE", "--resume"),
    "resume a validation target": ("train --out RUN --resume --valid-target DE", "--resume"),
    "mixture": (f"train mixture RUN RUN --valid TEXT {OUT}", "translates"),
    "mixture, weighed": (
        f"train mixture RUN RUN --set model.weights=[0.5,0.5] {OUT}", "translates"),
    "generate": ("generate RUN", "translates"),
    # The next two FAIL (nextword bug): the prompt is printed before the run is looked at, and with
    # it, as a second line, the words that it does not know.
    "generate on": ("generate RUN --prompt die", "translates"),
    "generate from the unknown": ("generate RUN --prompt zebra", "translates"),
    "generate by beam": ("generate RUN --prompt die --beam 2", "translates"),
    "generate many": ("generate RUN --prompt die --samples 2", "translates"),
    "dynamic": ("evaluate RUN --data TSV --dynamic", "--dynamic"),
    "cache": ("evaluate RUN --data TSV --cache", "--cache"),
    "tuned cache": ("evaluate RUN --data TSV --cache --tune TEXT", "--cache"),
    "mc dropout": ("evaluate RUN --data TSV --mc-dropout 2", "--mc-dropout"),
    "stripes": ("evaluate RUN --data TSV --stripes 2", "--stripes"),
    "evaluate text": ("evaluate RUN --data TEXT", "has no tab"),
    "evaluate blanks": ("evaluate RUN --data blank.tsv", "no pairs in 'blank.tsv'"),
    "evaluate long": ("evaluate RUN --data long.tsv", "context"),
    "evaluate unequal": ("evaluate RUN --data EN --target short.txt", "ends after line 1"),
    "language model's target": ("evaluate LSTM --data TEXT --target DE", "--target"),
    "attention of nothing": ("inspect RUN attention --out a.png", "--source"),
    "attention of blanks": ("inspect RUN attention --out a.png --source ,", "something in it"),
    "attention of text": ("inspect LSTM attention --out a.png --source x", "predicts text"),
    "attention format": ("inspect RUN attention --out a.txt --source x", ".png"),
    "source of gradients": ("inspect LSTM gradients --out a.png --source x", "attention"),
    "translate by text": ("translate LSTM EN", "predicts text; it cannot translate"),
    "translate nothing": ("translate RUN nowhere.txt", "no file"),
    "translate binary": ("translate RUN binary.tsv", "binary"),
    "translate empty": ("translate RUN empty.tsv", "empty"),
    "n-best": ("translate RUN EN --n-best 5", "n_best"),
    "beam": ("translate RUN EN --beam 0", "--beam"),
    "seed": ("translate RUN EN --seed 3", "--sample"),
    "top-p": ("translate RUN EN --sample --top-p 3", "--top-p"),
    "score": ("score RUN EN", "line 1 has no tab"),
    "score long": ("score RUN long.tsv", "line 1 has 100 tokens"),
    "compare kinds": ("compare RUN LSTM --data TSV", "predicts text: there is no figure"),
    "compare dynamic": ("compare RUN RUN --data TSV --dynamic", "--dynamic"),
    "compare format": ("compare RUN RUN --data TSV --out a.txt", ".png"),
    "compare text": ("compare LSTM LSTM --data TEXT --out a.png", "cannot draw BLEU"),
    "export": ("export RUN --format arpa --out a.arpa", ""),
    "find-lr": ("find-lr transformer --train TEXT --out a.png", "has no tab"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(
    name: str,
    cli: Cli,
    runs: dict[str, Path],
    lstm_run: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line that says what is wrong, exit status 2, nothing written or changed."""
    make_bad_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    command, message = BAD[name]
    words = {
        "RUN": runs["transformer"], "LSTM": lstm_run, "TSV": folder / "train.tsv",
        "EN": folder / "train.en", "DE": folder / "train.de", "TEXT": folder / "text.txt",
        ",": " ",
    }  # fmt: skip
    before = snapshot(tmp_path), snapshot(folder)
    found = cli(*(words.get(word, word) for word in command.split()))
    assert (snapshot(tmp_path), snapshot(folder)) == before
    assert message in error(found)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_translate_a_long_line(cli: Cli, runs: dict[str, Path], tmp_path: Path) -> None:
    """The line is named; nothing is a traceback."""
    make_bad_files(tmp_path)
    status, _, err = cli("translate", runs["transformer"], tmp_path / "long.txt")
    assert status == 2
    assert err.count("\n") == 1
    assert "line 2 has 100 tokens, more than the model's context of 16" in err


@pytest.mark.parametrize("file", ["source-tokenizer.json", "model.safetensors"])
def test_damaged_run(file: str, cli: Cli, runs: dict[str, Path], tmp_path: Path) -> None:
    for source in runs["transformer"].iterdir():
        if source.is_file():
            (tmp_path / source.name).write_bytes(source.read_bytes())
    for damage in (b"", None):
        if damage is None:
            (tmp_path / file).unlink()
        else:
            (tmp_path / file).write_bytes(damage)
        assert file in error(cli("translate", tmp_path, tmp_path / "config.json"))
