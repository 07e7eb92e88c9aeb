"""Words that a model has no probability for: 10^-100 in every verb and the class, as in KenLM."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import nextword
from nextword import registry
from nextword.ngram import kenlm
from tests.support import STORY, Cli, command

FILES = Path(__file__).parents[1] / "fixtures" / "arpa"
ANSWERS: dict[str, Any] = json.loads((FILES / "kenlm-answers.json").read_text(encoding="utf-8"))
#: sentence → log10 p by KenLM, the ends of the line included
SENTENCES = {
    row["text"]: row
    for row in ANSWERS["no-unk.arpa"]
    if row["bos"] and row["eos"] and "<s>" not in row["text"] and "</s>" not in row["text"]
}
LN10 = math.log(10)


def test_every_verb_agrees_with_kenlm(cli: Cli, tmp_path: Path) -> None:
    """score, evaluate and compare: the logarithms of KenLM, none of them infinite."""
    path, text = FILES / "no-unk.arpa", tmp_path / "text.txt"
    text.write_text("".join(f"{sentence}\n" for sentence in SENTENCES))
    total = sum(row["score"] for row in SENTENCES.values())
    _, out, _ = cli("score", path, text, "--json")
    for line, row in zip(map(json.loads, out.splitlines()), SENTENCES.values(), strict=True):
        assert line["log_prob"] == pytest.approx(row["score"] * LN10, rel=1e-4)
        assert line["oov"] == row["oov"] - row["text"].count("<unk>")
    _, out, _ = cli("evaluate", path, "--data", text, "--json")
    found = json.loads(out)
    assert found["nll"] == pytest.approx(-total * LN10, rel=1e-5)
    assert found["perplexity"] == pytest.approx(10 ** (-total / found["tokens"]), rel=1e-3)
    opened = nextword.load(path)
    row = nextword.compare([opened, nextword.load(FILES / "base.arpa")], text).rows
    assert all(math.isfinite(one.evaluation.nll) for one in row)
    assert sum(kenlm.Model(path).score_many(list(SENTENCES))) == pytest.approx(total, abs=1e-3)


def smoothings() -> list[str]:
    return list(registry.names("smoothing"))


@pytest.mark.parametrize("smoothing", smoothings())
@pytest.mark.parametrize("order", [1, 3])
def test_closed_models(smoothing: str, order: int, tmp_path: Path) -> None:
    """A closed run, its ARPA file and the class say the same of unknown words."""
    (tmp_path / "story.txt").write_text(STORY)
    valid = tmp_path / "valid.txt"
    valid.write_text("zebra\n")
    settings = {"model.open": False, "model.smoothing": smoothing, "model.order": order}
    run = nextword.train(
        "ngram",
        tmp_path / "story.txt",
        tmp_path / "run",
        valid=valid,
        overrides=settings,
        quiet=True,
    )
    command("export", tmp_path / "run", "--format", "arpa", "--out", tmp_path / "x.arpa")
    again = nextword.load(tmp_path / "x.arpa")
    state = kenlm.State()
    for place in ("run", "x.arpa"):
        model = kenlm.Model(tmp_path / place)
        assert model.BaseScore(kenlm.State(), "zebra", state) == -100
        wanted = list(model.full_scores("the zebra", eos=False))[1][0]
        assert wanted <= -100 and math.isfinite(wanted)
        for opened in (run, again):
            found, the = (nextword.score(opened, [text])[0] for text in ("zebra", "the"))
            first = model.score("zebra", eos=False)
            assert first <= -100
            if smoothing != "maximum-likelihood":  # an end of the line that never came
                assert found.log_prob == pytest.approx(model.score("zebra") * LN10, rel=1e-5)
                assert the.oov == 0 and math.isfinite(the.log_prob)
    written = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())["valid_perplexity"]
    figure = nextword.evaluate(run, valid).perplexity
    if smoothing != "maximum-likelihood":
        assert written == pytest.approx(figure, rel=1e-4) and math.isfinite(figure)
