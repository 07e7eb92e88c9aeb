"""`nextword export`, and .arpa files in the place of runs."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextword.cli.main import main
from nextword.ngram import arpa, kenlm
from nextword.ngram.arpa import spelling
from nextword.ngram.arpa_reading import read_arpa
from nextword.run import load
from tests.support import Cli, snapshot

TEXT = (
    "the cat sat on the mat .\nthe dog ate the cat .\n\nthe mat sat on the dog , <s> too\n"
    "中文 字 在 这里 。\n我 在 这里 。\na naïve\tcat\u3000sat\n"
) * 3
OTHER = "the dog sat on the cat .\n我 在 中文 。\nthe zebra ate\n\na cat .\n"

KINDS = {
    "word": ["--set", "text.tokenizer=word", "--set", "text.split=whitespace"],
    "words and marks": ["--set", "text.tokenizer=word", "--set", "text.split=words"],
    "char": ["--set", "text.tokenizer=char", "--set", "model.order=4"],
    "bpe": ["--set", "text.tokenizer=bpe", "--set", "text.vocab_size=300"],
    "small": [
        "--set", "text.tokenizer=word", "--set", "text.min_count=4", "--set", "model.order=2",
        "--set", "model.smoothing=witten-bell",
    ],
    "pruned": ["--set", 'model.prune="0 0 3"'],
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with texts and a trained n-gram run of every kind, named as it is."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    (folder / "other.txt").write_text(OTHER, encoding="utf-8")
    train = ["--train", str(folder / "text.txt"), "--quiet"]
    for kind, settings in KINDS.items():
        with pytest.raises(SystemExit) as end:
            main(["train", "ngram", *train, "--out", str(folder / kind), *settings])
        assert end.value.code == 0, kind
    return folder


OLD = "\\data\\\nold"  # begins as an ARPA file does


def export(cli: Cli, run: Path, out: Path, *more: Any) -> Path:
    status, printed, err = cli("export", run, "--format", "arpa", "--out", out, "--quiet", *more)
    assert (status, printed, err) == (0, "", "")
    return out


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- good input


@pytest.mark.parametrize("kind", KINDS)
def test_export(kind: str, cli: Cli, home: Path, tmp_path: Path) -> None:
    """What is written holds the run's table, and nothing else lies beside it."""
    out = export(cli, home / kind, tmp_path / "model.arpa")
    assert names(tmp_path) == ["model.arpa"]
    run = load(home / kind)
    model: Any = run.model
    table, lexicon = read_arpa(out)
    assert np.array_equal(table.nodes, model.table.nodes)
    assert np.array_equal(table.contexts, model.table.contexts)
    assert len(set(lexicon.words())) == run.tokenizer.vocab_size
    if kind in ("word", "words and marks", "char"):
        vocabulary = [run.tokenizer.token(i) for i in range(run.tokenizer.vocab_size)]
        assert lexicon.words() == list(map(spelling, vocabulary))


@pytest.mark.parametrize(
    ("ending", "opened"),
    [
        (".arpa", bytes),
        (".arpa.gz", gzip.decompress),
        (".arpa.xz", lzma.decompress),
        (".arpa.bz2", bz2.decompress),
    ],
)
def test_endings(
    ending: str, opened: Callable[[bytes], bytes], cli: Cli, home: Path, tmp_path: Path
) -> None:
    """The ending says how it is compressed; the text is the same."""
    plain = export(cli, home / "word", tmp_path / "plain.arpa").read_bytes()
    out = export(cli, home / "word", tmp_path / f"model{ending}")
    assert opened(out.read_bytes()) == plain
    comment, data = plain.split(b"\n", 1)
    assert comment.startswith(b'# nextword tokenizer: {"kind": "word", "split": "whitespace"')
    assert data.startswith(b"\\data\\\nngram 1=") and data.endswith(b"\n\\end\\\n")


@pytest.mark.parametrize("ending", [".arpa", ".arpa.gz", ".arpa.xz"])
def test_overwrite(ending: str, cli: Cli, home: Path, tmp_path: Path) -> None:
    """With --overwrite a file is replaced by the whole of the new one."""
    out = tmp_path / f"model{ending}"
    out.write_text(OLD * 10_000)
    export(cli, home / "word", out, "--overwrite")
    assert names(tmp_path) == [out.name]
    assert read_arpa(out)[0].order == 5


def test_exporting_an_arpa_file(cli: Cli, home: Path, tmp_path: Path) -> None:
    """An ARPA file is a run here, too: written again, it is the same."""
    first = export(cli, home / "word", tmp_path / "first.arpa")
    second = export(cli, first, tmp_path / "second.arpa")
    assert second.read_bytes() == first.read_bytes()


def test_progress_goes_to_standard_error(cli: Cli, home: Path, tmp_path: Path) -> None:
    """Without --quiet, too, standard output stays empty."""
    status, out, _ = cli(
        "export", home / "word", "--format", "arpa", "--out", tmp_path / "model.arpa"
    )
    assert (status, out) == (0, "")
    assert read_arpa(tmp_path / "model.arpa")[0].order == 5


# ---------------------------------------------------------------- .arpa files as runs


@pytest.mark.parametrize("kind", KINDS)
def test_evaluate_gives_what_the_run_gives(kind: str, cli: Cli, home: Path, tmp_path: Path) -> None:
    """The same log-probability of the same tokens, whatever the tokens are."""
    out = export(cli, home / kind, tmp_path / "model.arpa.gz")
    for name in ("text.txt", "other.txt"):
        status, printed, err = cli("evaluate", home / kind, "--data", home / name, "--json")
        assert status == 0, err
        wanted = json.loads(printed)
        status, printed, err = cli("evaluate", out, "--data", home / name, "--json")
        assert status == 0, err
        found = json.loads(printed)
        for figure in ("tokens", "words", "oov"):
            assert found[figure] == wanted[figure], figure
        assert found["nll"] == pytest.approx(wanted["nll"], rel=1e-4, abs=1e-4)
        assert found["accuracy"] == pytest.approx(wanted["accuracy"])


def test_evaluate_the_text_itself(cli: Cli, home: Path, tmp_path: Path) -> None:
    """Words between white space need no spelling out: every number is the run's."""
    for ending in (".arpa", ".arpa.gz", ".arpa.xz"):
        out = export(cli, home / "word", tmp_path / f"model{ending}")
        data = tmp_path / "other.txt"
        data.write_text(OTHER, encoding="utf-8")
        wanted = json.loads(cli("evaluate", home / "word", "--data", data, "--json")[1])
        status, printed, _ = cli("evaluate", out, "--data", data, "--json")
        assert status == 0
        found = json.loads(printed)
        assert wanted["oov"] == 1
        for name in ("tokens", "oov", "words", "bytes", "chars", "nll", "perplexity",
                     "perplexity_excluding_oov", "bits_per_byte", "accuracy"):  # fmt: skip
            assert found[name] == pytest.approx(wanted[name], rel=1e-4), name


def test_score(cli: Cli, home: Path, tmp_path: Path) -> None:
    """Sentences get the run's log-probabilities, which are KenLM's in another base."""
    out = export(cli, home / "word", tmp_path / "model.arpa")
    status, printed, _ = cli("score", out, home / "other.txt", "--json")
    assert status == 0
    found = [json.loads(line) for line in printed.splitlines()]
    lines = OTHER.splitlines()
    assert [row["text"] for row in found] == lines
    assert [row["oov"] for row in found] == [0, 0, 1, 0, 0]
    _, printed, _ = cli("score", home / "word", home / "other.txt", "--json")
    wanted = [json.loads(line)["log_prob"] for line in printed.splitlines()]
    assert [row["log_prob"] for row in found] == pytest.approx(wanted, rel=1e-5)
    model = kenlm.Model(out)
    log10 = [model.score(line) for line in lines]
    assert wanted == pytest.approx([math.log(10) * value for value in log10], rel=1e-5)
    assert [kenlm.Model(home / "word").score(line) for line in lines] == pytest.approx(log10)


def test_generate(cli: Cli, home: Path, tmp_path: Path) -> None:
    """The same seed draws the same text from the file as from the run."""
    out = export(cli, home / "word", tmp_path / "model.arpa")
    options = ("--prompt", "the cat", "--tokens", 20, "--seed", 3)
    status, printed, err = cli("generate", out, *options)
    assert (status, err) == (0, "")
    assert printed.startswith("the cat ") and len(printed.split()) > 5
    wanted = cli("generate", home / "word", *options)[1]
    assert printed == wanted


def test_compare(cli: Cli, home: Path, tmp_path: Path) -> None:
    """A file beside a run beside another kind of file, in one table."""
    one = export(cli, home / "word", tmp_path / "one.arpa")
    two = export(cli, home / "small", tmp_path / "two.arpa.xz")
    status, printed, err = cli(
        "compare", one, home / "word", two, "--data", home / "other.txt", "--json"
    )
    assert status == 0, err
    rows = {row["run"]: row for row in json.loads(printed)["runs"]}
    assert rows.keys() == {"one.arpa", "word", "two.arpa.xz"}
    assert rows["one.arpa"]["bits_per_byte"] == pytest.approx(
        rows["word"]["bits_per_byte"], rel=1e-4
    )
    status, printed, _ = cli("compare", one, two, "--data", home / "text.txt")
    assert status == 0
    assert "one.arpa" in printed and "at least 20 pieces" in printed


# ---------------------------------------------------------------- bad input


def damaged(folder: Path, home: Path) -> None:
    """What the commands below name."""
    (folder / "there.arpa").write_text("\\data\\\nmine")
    (folder / "there.arpa.gz").write_text("\\data\\\nmine")
    (folder / "model.txt").write_text("mine")
    (folder / "folder.arpa").mkdir()
    (folder / "cut.arpa").write_text("\\data\\\nngram 1=5\n\n\\1-grams:\n-1\t<s>\n")
    (folder / "junk.arpa").write_bytes(os.urandom(500))
    (folder / "cut.arpa.gz").write_bytes(gzip.compress(b"\\data\\\n" * 500)[:30])
    order = 17
    counts = "".join(f"ngram {k}={3 if k == 1 else 0}\n" for k in range(1, order + 1))
    rest = "".join(f"\\{k}-grams:\n\n" for k in range(2, order + 1))
    (folder / "long.arpa").write_text(
        f"\\data\\\n{counts}\n\\1-grams:\n-1\t<s>\n-1\t</s>\n-1\ta\n\n{rest}\\end\\\n"
    )
    (folder / "broken").mkdir()
    for path in (home / "word").iterdir():
        if path.is_file():
            (folder / "broken" / path.name).write_bytes(path.read_bytes())
    whole = (folder / "broken" / "model.safetensors").read_bytes()
    (folder / "broken" / "model.safetensors").write_bytes(whole[: len(whole) // 2])


BAD = {
    "unknown format": ("export RUN --format arpaa --out new.arpa", "did you mean 'arpa'"),
    "no format": ("export RUN --out new.arpa", "--format"),
    "no out": ("export RUN --format arpa", "--out"),
    "wrong ending": ("export RUN --format arpa --out new.txt", "must end in .arpa"),
    "no ending": ("export RUN --format arpa --out new", "must end in .arpa"),
    "other compression": ("export RUN --format arpa --out new.arpa.zip", "must end in .arpa"),
    "wrong ending of a file": (
        "export RUN --format arpa --out model.txt --overwrite",
        "must end in .arpa",
    ),
    "missing folder": ("export RUN --format arpa --out no/new.arpa", "no folder"),
    "exists": ("export RUN --format arpa --out there.arpa", "--overwrite"),
    "exists compressed": ("export RUN --format arpa --out there.arpa.gz", "--overwrite"),
    "directory": ("export RUN --format arpa --out folder.arpa", "directory"),
    "directory overwritten": (
        "export RUN --format arpa --out folder.arpa --overwrite",
        "directory",
    ),
    "recurrent": ("export LSTM --format arpa --out new.arpa", "can be exported in no other format"),
    "recurrent over a file": (
        "export LSTM --format arpa --out there.arpa --overwrite",
        "can be exported in no other format",
    ),
    "no run": ("export nowhere --format arpa --out new.arpa", "no run 'nowhere'"),
    "no run over a file": (
        "export nowhere --format arpa --out there.arpa --overwrite",
        "no run 'nowhere'",
    ),
    "no arpa": ("export nowhere.arpa --format arpa --out new.arpa", "no file 'nowhere.arpa'"),
    "broken run": ("export broken --format arpa --out there.arpa --overwrite", "damaged"),
    "evaluate nothing": ("evaluate nowhere.arpa --data TEXT", "no file 'nowhere.arpa'"),
    "evaluate a directory": ("evaluate folder.arpa --data TEXT", "directory"),
    "evaluate half": ("evaluate cut.arpa --data TEXT", "'cut.arpa' line 6"),
    "evaluate half compressed": ("evaluate cut.arpa.gz --data TEXT", "cut off"),
    "evaluate junk": ("evaluate junk.arpa --data TEXT", "junk.arpa"),
    "score with text": ("score there.arpa TEXT", "line 2 is not of the form"),
    "generate from text": ("generate there.arpa", "line 2 is not of the form"),
    "compare half": ("compare RUN cut.arpa --data TEXT", "'cut.arpa' line 6"),
    "very long n-grams": ("evaluate long.arpa --data TEXT", "order 17"),
    "device": ("evaluate long.arpa --data TEXT --device tpu", "device"),
    "trained further": ("train --out there.arpa --resume", "there.arpa"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(
    name: str,
    cli: Cli,
    home: Path,
    lstm_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line that says what is wrong, exit status 2, nothing written or changed."""
    damaged(tmp_path, home)
    monkeypatch.chdir(tmp_path)
    command, message = BAD[name]
    places = {"RUN": str(home / "word"), "LSTM": str(lstm_run), "TEXT": str(home / "text.txt")}
    before = snapshot(tmp_path), snapshot(home)
    status, out, err = cli(*(places.get(word, word) for word in command.split()))
    assert status == 2, err
    assert out == ""
    lines = err.strip().split("\n")
    assert len(lines) == 1, err
    assert lines[0].startswith("nextword: ")
    assert message in lines[0]
    assert (snapshot(tmp_path), snapshot(home)) == before


@pytest.mark.parametrize("ending", [".arpa", ".arpa.gz", ".arpa.xz"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted(
    error: BaseException,
    ending: str,
    cli: Cli,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full disk or Ctrl-C half-way: the old file stays as it was, and no half of a new one."""

    def fail(table: Any, lexicon: Any, out: Any, *_: Any, **__: Any) -> None:
        out.write(b"\\data\\\n" * 1000)
        raise error

    monkeypatch.setattr(arpa, "write_arpa", fail)
    out = tmp_path / f"model{ending}"
    out.write_text(OLD)
    status, _, err = cli(
        "export", home / "word", "--format", "arpa", "--out", out, "--overwrite", "--quiet"
    )
    assert status == (1 if isinstance(error, OSError) else 130)
    assert err.count("\n") == 1
    assert (names(tmp_path), out.read_text()) == ([out.name], OLD)
