"""`nextword filter` beside a loop over KenLM: the perplexity of a document is that of CCNet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import nextword
from tests.unit.test_filter import TEXTS, jsonl, rows_of

kenlm = pytest.importorskip("kenlm")
RUNS = Path(__file__).parent.parent / "fixtures" / "earlier_runs"


@pytest.mark.parametrize("form", ["arpa", "kenlm-probing", "kenlm-trie"])
def test_perplexities_are_those_of_kenlm(form: str, tmp_path: Path) -> None:
    """Of an ARPA file, and of KenLM's own files."""
    arpa, model = tmp_path / "model.arpa", tmp_path / "model.arpa"
    nextword.train("ngram", RUNS / "train.txt", arpa, overrides={"text.split": "ascii"}, quiet=True)
    if form != "arpa":
        model = tmp_path / "model.binary"
        nextword.export(nextword.load(arpa), form, model)
    (tmp_path / "a.jsonl").write_bytes(jsonl(TEXTS))
    nextword.filter(nextword.load(model), tmp_path / "a.jsonl", tmp_path / "out", quiet=True)
    theirs = kenlm.Model(str(arpa))
    for row in rows_of(tmp_path / "out" / "a.jsonl"):
        lines = row["text"].removesuffix("\n").split("\n")  # which ends the last line
        total = sum(theirs.score(line) for line in lines)
        words = sum(len(line.encode().split()) + 1 for line in lines)
        assert row["perplexity"] == pytest.approx(10 ** (-total / words), rel=1e-5), json.dumps(row)
