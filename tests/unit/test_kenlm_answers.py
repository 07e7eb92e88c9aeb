"""What the real KenLM says of small ARPA files, word for word: the class says the same.

The answers are in tests/fixtures/arpa/kenlm-answers.json: base-10 logarithms of KenLM 0.3.0, with
and without the beginning and the end of the line.
"""

from __future__ import annotations

import copy
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

import nextword
from nextword.errors import InputError
from nextword.ngram import kenlm
from tests.support import Cli, command

FILES = Path(__file__).parents[1] / "fixtures" / "arpa"
ANSWERS: dict[str, Any] = json.loads((FILES / "kenlm-answers.json").read_text(encoding="utf-8"))
SENTENCES = [
    (name, row) for name, rows in ANSWERS.items() if isinstance(rows, list) for row in rows
]
STATES = {name.split()[0]: row for name, row in ANSWERS.items() if "BaseScore" in name}
MARKED = "<s> wood\nthe wood </s>\n<eos> wood the <s>\nthe the wood\n" * 3


@pytest.mark.parametrize(
    ("name", "row"), SENTENCES, ids=[f"{name}-{at}" for at, (name, _) in enumerate(SENTENCES)]
)
def test_sentences(name: str, row: dict[str, Any]) -> None:
    """Scores and numbers of unknown words, marks within sentences included."""
    model = kenlm.Model(FILES / name)
    found = list(model.full_scores(row["text"], bos=row["bos"], eos=row["eos"]))
    score = model.score(row["text"], bos=row["bos"], eos=row["eos"])
    assert score == pytest.approx(row["score"], abs=2e-5)
    assert sum(log_prob for log_prob, _, _ in found) == pytest.approx(row["score"], abs=2e-5)
    assert sum(unknown for _, _, unknown in found) == row["oov"]
    if row["bos"] and row["eos"]:
        others = ["wood", row["text"], "", row["text"]]
        assert model.score_many(others)[[1, 3]].tolist() == pytest.approx([score] * 2, abs=2e-5)


@pytest.mark.parametrize("name", STATES)
def test_words_after_the_beginning(name: str) -> None:
    """BaseScore of each word, marks too, from the beginning of a line."""
    model, state, after = kenlm.Model(FILES / name), kenlm.State(), kenlm.State()
    model.BeginSentenceWrite(state)
    for word, wanted in STATES[name].items():
        assert model.BaseScore(state, word, after) == pytest.approx(wanted, abs=2e-5)
        assert (word in model) == (word != "unseen")


def test_what_follows_a_mark() -> None:
    """A literal `<s>` leads to the beginning of a line, a literal `</s>` to no context at all."""
    model, state, after = kenlm.Model(FILES / "base.arpa"), kenlm.State(), kenlm.State()
    model.BeginSentenceWrite(state)
    begun = copy.copy(state)
    model.BaseScore(state, "jean", state)
    model.BaseScore(state, "<s>", after)
    assert after == begun
    model.BaseScore(state, "</s>", after)
    assert after == kenlm.State() != begun


@pytest.mark.parametrize("sentence", ["wood <eos> jean", "<eos>", "wood<s> <s>wood"])
def test_words_that_only_look_like_marks(sentence: str) -> None:
    """`<eos>` is our name for the end of a line, and an unknown word in an ARPA file."""
    model = kenlm.Model(FILES / "base.arpa")
    other = " ".join("unseen" if "<" in word else word for word in sentence.split())
    assert model.score(sentence) == model.score(other)
    assert model.score_many(["wood", sentence, "wood"]).tolist() == pytest.approx(
        [model.score("wood"), model.score(other), model.score("wood")], abs=1e-6
    )


@pytest.mark.parametrize("name", [name for name in ANSWERS if "score of" in str(ANSWERS[name])])
def test_odd_files(name: str) -> None:
    """Zeros where no back-off weight belongs, and any name: read, as KenLM does."""
    ((asked, wanted),) = ANSWERS[name].items()
    text = asked.split("'")[1]
    assert kenlm.Model(FILES / name).score(text) == pytest.approx(wanted, abs=2e-5)
    (found,) = nextword.score(nextword.load(FILES / name), [text])
    assert found.log_prob == pytest.approx(wanted * math.log(10), rel=1e-4)


def test_a_byte_order_mark() -> None:
    """KenLM refuses it; here it makes no difference."""
    marked, plain = kenlm.Model(FILES / "byte-order-mark.arpa"), kenlm.Model(FILES / "base.arpa")
    assert marked.score("jean unseen wood") == plain.score("jean unseen wood")


def test_back_off_weights_of_the_highest_order() -> None:
    """A weight that is not 0 is refused where no n-gram is longer, with that reason."""
    with pytest.raises(InputError, match="line 5 has a back-off weight that is not 0, although no"):
        nextword.load(FILES / "order1-with-backoff.arpa")


def test_a_file_without_marks(cli: Cli, tmp_path: Path) -> None:
    """It is refused, and the message has the command that adds the marks: they count as unknown
    words, as KenLM has it if it is told so."""
    path = Path(shutil.copy(FILES / "no-marks.arpa", tmp_path / "no-marks.arpa"))
    status, _, err = cli("score", path, path)
    assert status == 2 and "has no <s> among its 1-grams" in err
    config = kenlm.Config()
    with pytest.raises(OSError, match="has no <s>"):
        kenlm.Model(path, config)
    config.sentence_marker_missing = kenlm.WarningAction.SILENT
    model = kenlm.Model(path, config)
    assert model.score("jean wood", eos=False) == pytest.approx(-0.699 - 0.5563, abs=1e-5)
    assert model.score("jean wood") == pytest.approx(-0.699 - 0.5563 - 0.2553 - 1, abs=1e-5)
    assert (
        cli("export", path, "--format", "arpa", "--add-marks", "--out", tmp_path / "x.arpa")[0] == 0
    )
    assert kenlm.Model(tmp_path / "x.arpa").score("jean wood") == model.score("jean wood")
    status, _, err = cli("export", path, "--format", "hf", "--add-marks", "--out", tmp_path / "y")
    assert status == 2 and "--add-marks is for an ARPA file" in err


def test_a_run_is_its_arpa_file(tmp_path: Path) -> None:
    """The class says the same of a run and of the file that is exported from it, although the text
    of the run holds marks; `<s>` the word is `\\<s>` in both."""
    (tmp_path / "marked.txt").write_text(MARKED)
    settings = {"model.order": 2, "model.smoothing": "witten-bell"}
    for tokenizer in ("word", "char"):
        place = tmp_path / tokenizer
        settings["text.tokenizer"] = tokenizer
        nextword.train("ngram", tmp_path / "marked.txt", place, overrides=settings, quiet=True)
        command("export", place, "--format", "arpa", "--out", tmp_path / f"{tokenizer}.arpa")
        run, file = kenlm.Model(place), kenlm.Model(tmp_path / f"{tokenizer}.arpa")
        for text in ["<s> wood", "\\<s> wood", "wood </s> the", "\\</s>", "t h e <space> w", "<s>"]:
            for eos in (True, False):
                assert list(run.full_scores(text, eos=eos)) == list(file.full_scores(text, eos=eos))
        assert ("\\<s>" in run) == ("\\<s>" in file) == (tokenizer == "word")
        assert ("<space>" in run) == ("<space>" in file) == (tokenizer == "char")
