"""Every command that a message recommends works: messages are collected from trainings and refusals
of every kind, and what they recommend is run.

The folders have a blank in their names. Placeholders are replaced by files that fit the run.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from nextword.cli.app import VERBS as VERB_NAMES
from nextword.run import settings_of
from tests.support import STORY, Cli

EARLIER = Path(__file__).parents[1] / "fixtures" / "earlier_runs"
ARPA = Path(__file__).parents[1] / "fixtures" / "arpa"
#: what a run of each task evaluates, and what it reads line by line
DATA = {
    "text": ("valid.txt", "valid.txt"),
    "sentences": ("valid.txt", "valid.txt"),
    "pairs": ("pairs-valid.tsv", "pairs-valid.tsv"),
    "labelled": ("labelled-valid.tsv", "valid.txt"),
    "tagged": ("tagged-valid.tsv", "valid.txt"),
}
SMALL = "--set train.epochs=1 --set train.batch_size=4 --set train.bptt=20 "
PART = "--set model.encoder.hidden=8 --set model.encoder.embedding=8 --set train.epochs=1"
#: trainings, by what they make
TRAININGS = {
    **{
        f"{kind} to {out}": f"ngram --train story.txt --set text.tokenizer={kind} --out {out}"
        for kind in ("word", "char", "bpe", "byte", "wordpiece")
        for out in ("RUN", "x.arpa", "x.arpa.gz")
    },
    "prose": "ngram --train prose.txt --out RUN --set model.smoothing=witten-bell",
    "prose to x.arpa": "ngram --train prose.txt --out x.arpa --set text.split=words",
    "Chinese": "ngram --train chinese.txt --out x.arpa",
    "marks": "ngram --train marks.txt --out x.arpa",
    "lstm": f"lstm --train story.txt --out RUN {SMALL} --set model.hidden=8",
    "lstm in minutes": "lstm --train story.txt --out RUN --set model.hidden=8 "
    "--set train.minutes=0.0001",
    "bert": f"bert --train {EARLIER}/train.txt --out RUN {SMALL} --set model.hidden=8 "
    "--set model.heads=2 --set model.layers=1 --set text.vocab_size=200",
    "seq2seq": f"seq2seq --train {EARLIER}/pairs.tsv --out RUN --set train.epochs=1 "
    "--set model.hidden=8",
    "classifier": f"classifier --train {EARLIER}/labelled.tsv --out RUN {PART}",
    "tagger": f"tagger --train {EARLIER}/tagged.tsv --out RUN {PART}",
}
VERBS = [
    'generate RUN --prompt "the"',
    "evaluate RUN --data FILE",
    "score RUN valid.txt",
    "translate RUN valid.txt",
    "classify RUN valid.txt",
    'fill RUN "the [MASK]"',
    "embed RUN valid.txt",
    "export RUN --format arpa --out x.arpa",
    "export RUN --format hf --out hub",
    "inspect RUN gradients --out x.png",
    "inspect RUN attention --source a --out x.png",
    "evaluate RUN --data FILE --plot x.png",
    "train mixture RUN OTHER --valid valid.txt --out mixed",
    "compare RUN OTHER --data FILE --out x.png",
]
#: refusals that need no run, or odd files
REFUSALS = [
    "score nowhere valid.txt",
    "score no-marks.arpa valid.txt",
    "train mixture base.arpa --valid valid.txt --out mixed",
    "train --out base.arpa --resume",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a blank in its name, with texts, ARPA files and a copy of every earlier run."""
    place = tmp_path / "my runs"
    shutil.copytree(EARLIER, place)
    for path in ARPA.glob("*.arpa"):
        shutil.copy(path, place)
    (place / "story.txt").write_text(STORY)
    (place / "prose.txt").write_text("It rained, again. We stayed: what else?\n" * 12)
    (place / "chinese.txt").write_text("我在这里。你在哪里？\n" * 12, encoding="utf-8")
    (place / "marks.txt").write_text("<s> the cat </s>\n" * 12)
    monkeypatch.chdir(place)
    return place


def commands(message: str) -> Iterator[str]:
    """The commands in a message."""
    verbs = "|".join(VERB_NAMES)
    for line in message.splitlines():
        for found in re.finditer(rf"nextword ((?:{verbs}) .+?)(?=$|`| +or: |; |\. )", line):
            yield found[1]


def filled_in(command: str, other: str) -> list[str]:
    """The words of a command, placeholders replaced."""
    words = shlex.split(command)
    place = next((Path(word) for word in words[1:] if Path(word).is_dir()), None)
    task = settings_of(place).model.task if place and words[0] != "train" else "text"
    whole, lines = DATA[task]
    after = {"--data": whole, "--valid": "valid.txt", "--train": "story.txt", "--plot": "plot.png"}
    after["--out"] = "advised" if words[0] == "train" else "advised.png"
    plain = {"RUN": other, "RECIPE": "ngram", "TEXT": "a b", "FILE": lines}
    before = [words[0], *words[:-1]]
    return [
        after[previous] if word in plain and previous in after else plain.get(word, word)
        for previous, word in zip(before, words, strict=True)
    ]


def follow(cli: Cli, message: str, other: str = "ngram") -> int:
    """Run every command of a message; return how many there are."""
    found = list(commands(message))
    for command in found:
        shutil.rmtree("advised", ignore_errors=True)  # an earlier message recommended it too
        Path("advised.png").unlink(missing_ok=True)
        words = filled_in(command, other)
        status, _, err = cli(*words)
        assert status == 0, (command, words, err)
    return len(found)


@pytest.mark.parametrize("name", TRAININGS)
def test_after_a_training(name: str, cli: Cli, folder: Path) -> None:
    """The closing line's commands work, and so does every setting that a note recommends."""
    words = ["a run" if word == "RUN" else word for word in shlex.split(TRAININGS[name])]
    out = words[words.index("--out") + 1]
    status, _, err = cli("train", *words)
    assert status == 0, err
    assert follow(cli, err, out) >= 1
    for number, hint in enumerate(re.findall(r"--set [a-z.]+=[\w.]+", err.split("Try:")[0])):
        if "--resume" not in err:
            again = [*words[: words.index("--out")], *words[words.index("--out") + 2 :]]
            status, _, said = cli("train", *again, *hint.split(), "--out", f"again{number}")
            assert status == 0, (hint, said)
    if words[0] == "ngram" and "story.txt" in words:
        _, printed, _ = cli("score", out, "story.txt", "--json")
        assert all(json.loads(line)["oov"] == 0 for line in printed.splitlines())


RUNS = ["lstm", "bert", "seq2seq", "classifier", "tagger", "ngram", "mixture"]


@pytest.mark.parametrize("run", RUNS)
def test_after_a_refusal(run: str, cli: Cli, folder: Path) -> None:
    """Every verb that a run cannot do says what to do with it, and that works."""
    advised = 0
    place = folder / run
    for verb in VERBS:
        words = shlex.split(verb)
        data = DATA[settings_of(place).model.task][0]
        swaps = {"RUN": str(place), "OTHER": str(folder / "ngram"), "FILE": data}
        status, _, err = cli(*(swaps.get(word, word) for word in words))
        assert status in (0, 2), err
        if status == 2:
            advised += follow(cli, err, run)
    assert advised >= 2


@pytest.mark.parametrize("command", REFUSALS)
def test_after_a_refusal_of_files(command: str, cli: Cli, folder: Path) -> None:
    """So it is with files that are missing or odd."""
    status, _, err = cli(*command.split())
    assert status == 2
    follow(cli, err, "base.arpa")


def test_commands_are_found() -> None:
    """In a line, between quotation marks, at the end of a sentence, and two in one line."""
    message = (
        "nextword: no run 'x'; `nextword train RECIPE --out x`\nTry: nextword score 'a b' FILE"
    )
    assert list(commands(message)) == ["train RECIPE --out x", "score 'a b' FILE"]
    message = "Try: nextword evaluate x --data FILE   or: nextword score x FILE"
    assert list(commands(message)) == ["evaluate x --data FILE", "score x FILE"]
