"""Surprisal by sentence, region, word and token, over every kind of run."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import nextword
from nextword import Surprisal
from nextword.config import Config, TextConfig
from nextword.errors import InputError
from nextword.evaluation import line_predictions, predictions, tensor_predictions
from nextword.evaluation.words import read_regions
from nextword.models.ngram import NgramConfig
from nextword.models.recurrent import RecurrentConfig
from nextword.ngram import kenlm
from nextword.run import Run
from nextword.text.huggingface import HuggingFaceTokenizer
from nextword.text.sentencepiece_model import SentencePieceTokenizer
from nextword.text.tokenizer import EOS, UNK, Tokenizer, train_tokenizer
from nextword.text.wordpiece import CLS, MASK
from tests.foreign import HF, SENTENCEPIECE, hf_json, sentencepiece_model
from tests.support import Cli

RUNS = Path(__file__).parents[1] / "fixtures" / "earlier_runs"
TEXT_RUNS = ["ngram", "lstm", "irnn-windows", "mixture", "transformer-lm", "awd-lstm"]
PAIR_RUNS = ["seq2seq", "transformer"]
BYS = ["sentence", "token", "word"]
CHUNKS = pytest.mark.parametrize("numbers", [1, 700, 1 << 22])

ENGLISH = "The horse raced past the barn fell.\nThe horse raced; the barn (red) is past it.\n" * 30
CHINESE = "天地玄黄，宇宙洪荒。 日月盈昃，\n辰宿列张 寒来暑往。\n" * 30
LINES = [
    "The horse raced past the barn fell.",
    "",
    " the  barn\tis  ",
    "天地 玄黄，宇宙！",
    "İstanbul’s unheard-of wörds",
    "a",
    "<unk> <eos> x",
    "   ",
]


@cache
def loaded(name: str) -> Run:
    return nextword.load(RUNS / name)


@cache
def small(tokenizer: str, model: str = "gru") -> Run:
    """A run of random weights."""
    text = ENGLISH + CHINESE
    size = {"bpe": 360}.get(tokenizer)
    learnt: Tokenizer
    if tokenizer in SENTENCEPIECE:
        learnt = SentencePieceTokenizer(sentencepiece_model(tokenizer))
    elif tokenizer in HF:
        learnt = HuggingFaceTokenizer(hf_json(tokenizer))
    else:
        learnt = train_tokenizer([text], TextConfig(tokenizer=tokenizer, vocab_size=size))
    if model == "ngram":
        table: Any = NgramConfig(order=3).build(learnt.vocab_size)
        table.fit(np.array(learnt.encode(text)))
        return Run("tiny", Config.parse({}), learnt, table)
    torch.manual_seed(0)
    net = RecurrentConfig(cell=model, hidden=8).build(learnt.vocab_size).eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.7)
    return Run("tiny", Config.parse({}), learnt, net)


def totals(rows: Sequence[Surprisal]) -> dict[int, float]:
    """The surprisal of each line in nats."""
    found: dict[int, float] = {}
    for row in rows:
        found[row.sentence] = found.get(row.sentence, 0) + row.surprisal_bits * math.log(2)
    return found


def check_sums(run: Run, lines: list[str], **how: Any) -> list[Surprisal]:
    """Rows in their order, whose sums are the scores of the lines."""
    rows = nextword.surprisal(run, lines, **how)
    scores = [one.log_prob for one in nextword.score(run, lines)]
    assert list(totals(rows).values()) == pytest.approx([-s for s in scores], rel=1e-4, abs=1e-4)
    assert list(totals(rows)) == list(range(1, len(lines) + 1))
    before = (0, 0)
    for row in rows:
        assert row.position == (before[1] + 1 if row.sentence == before[0] else 1)
        line = lines[row.sentence - 1]
        assert row.text == line[row.start : row.end] or row.text == "<eos>"
        assert row.rank >= 1 and row.entropy_bits >= -1e-9
        before = row.sentence, row.position
    return rows


# ------------------------------------------------------------------------------- rows and lines


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("by", BYS)
@pytest.mark.parametrize("name", TEXT_RUNS)
def test_rows_add_up_to_the_score(name: str, by: str, corrected: bool) -> None:
    lines = [*(RUNS / "valid.txt").read_text().splitlines()[:6], *LINES[2:]]
    rows = check_sums(loaded(name), lines, by=by, corrected=corrected)
    unknown = [one.oov for one in nextword.score(loaded(name), lines)]
    if by == "token":
        oov = [sum(r.oov for r in rows if r.sentence == n + 1) for n in range(len(lines))]
        assert oov == unknown


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("by", BYS)
@pytest.mark.parametrize("name", PAIR_RUNS)
def test_rows_of_translators(name: str, by: str, corrected: bool) -> None:
    """Places are those in the whole line; the target alone is scored."""
    lines = [*(RUNS / "pairs.tsv").read_text().splitlines()[:4], "two\t  二 \tx", " one \t"]
    rows = check_sums(loaded(name), lines, by=by, corrected=corrected)
    assert all(row.start > lines[row.sentence - 1].index("\t") for row in rows)


@pytest.mark.parametrize("model", ["gru", "ngram"])
@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("by", BYS)
@pytest.mark.parametrize("tokenizer", ["word", "char", "byte", "bpe"])
def test_rows_of_every_tokenizer(tokenizer: str, by: str, corrected: bool, model: str) -> None:
    rows = check_sums(small(tokenizer, model), LINES[:6], by=by, corrected=corrected)
    words = [row for row in rows if row.text != "<eos>"]
    if by == "word":
        expected = [(n, w) for n, line in enumerate(LINES[:6], 1) for w in line.split()]
        assert [(row.sentence, row.text) for row in words] == expected
        rule = "boundary" if tokenizer == "bpe" and corrected else "sum"
        assert {row.rule for row in rows} == {rule}
        assert len(rows) - len(words) == 6  # one <eos> a line
    if by != "sentence":
        assert all(row.surprisal_bits > -1e-5 for row in rows)


@pytest.mark.parametrize("by", BYS)
@pytest.mark.parametrize("name", [*HF, *SENTENCEPIECE])
def test_rows_of_foreign_tokenizers(name: str, by: str) -> None:
    """Words are those between blanks, whatever the pieces; blanks in pieces are divided off."""
    run = small(name)
    lines = ["The horse raced past", "天地 玄黄，宇宙！", "İstanbul’s wörds  and", "a"]
    rows = check_sums(run, lines, by=by)
    if by == "word":
        words = [(row.sentence, row.text) for row in rows if row.text != "<eos>"]
        assert words == [(n, w) for n, line in enumerate(lines, 1) for w in line.split()]
        rule = "sum" if run.tokenizer.word_boundaries() is None else "boundary"
        assert {row.rule for row in rows} == {rule}
        plain = nextword.surprisal(run, lines, corrected=False)
        changed = [(a.surprisal_bits, b.surprisal_bits) for a, b in zip(rows, plain, strict=True)]
        assert any(a != pytest.approx(b) for a, b in changed) == (rule == "boundary")


@given(text=st.text(" \t\u3000abé天horse.<unk>", max_size=25), by=st.sampled_from(BYS))
@pytest.mark.parametrize("tokenizer", ["word", "char", "byte", "bpe"])
def test_rows_of_any_line(tokenizer: str, text: str, by: str) -> None:
    check_sums(small(tokenizer), [text], by=by)


def test_blanks() -> None:
    """A blank belongs to the word that it ends, but with BPE to the one that it begins."""

    def pieces(tokenizer: str, line: str) -> list[tuple[str, str]]:
        rows = nextword.surprisal(small(tokenizer), [line])
        return [(row.text, "".join(row.pieces)) for row in rows]

    assert pieces("char", " is  it ") == [("is", " is  "), ("it", "it "), ("<eos>", "<eos>")]
    assert pieces("char", "  ") == [("<eos>", "  <eos>")]
    assert pieces("bpe", " is  it ") == [("is", " is"), ("it", "  it"), ("<eos>", " <eos>")]
    assert pieces("word", " is  it ") == [("is", "is"), ("it", "it"), ("<eos>", "<eos>")]


# -------------------------------------------------------------------------------- the word rule


def test_the_correction_is_the_published_one() -> None:
    """p(w | c) = Π p(pieces) p(boundary after w) / p(boundary before w), token by token."""
    run = small("bpe")
    tokenizer = run.tokenizer
    begins = [i for i in range(tokenizer.vocab_size) if tokenizer.token(i)[0].isspace()]
    line = "The horse raced past it unheard"
    ids = [*tokenizer.encode(line), EOS]
    with torch.no_grad():
        output = run.model.forward(torch.tensor([[EOS, *ids[:-1]]]), run.model.start(1))
    p = output.logits[0].double().softmax(-1)
    boundary = p[:, [EOS, *begins]].sum(-1)
    expected = []
    at = 0
    for number, word in enumerate(line.split()):
        count = len(tokenizer.encode(f" {word}" if number else word))
        probability = math.prod(float(p[t, ids[t]]) for t in range(at, at + count))
        before = float(boundary[at]) if number else 1.0
        at += count
        expected.append(probability * float(boundary[at]) / before)
    expected.append(float(p[at, EOS] / boundary[at]))
    rows = nextword.surprisal(run, [line])
    assert [2**-row.surprisal_bits for row in rows] == pytest.approx(expected, rel=1e-5)
    plain = nextword.surprisal(run, [line], corrected=False)
    assert [r.surprisal_bits for r in plain] != pytest.approx([r.surprisal_bits for r in rows])


def test_corrected_words_are_a_distribution() -> None:
    """Where only "a", the blank and the end of the line are possible, all words and the end of the
    line have together the probability 1 after a word; without the correction they have less."""
    tokenizer = train_tokenizer(["a b"], TextConfig(tokenizer="bpe", vocab_size=258))
    torch.manual_seed(1)
    model: Any = RecurrentConfig(hidden=4).build(258).eval()
    possible = [EOS, *tokenizer.encode("a ")]
    with torch.no_grad():
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
        model.head.b[[i for i in range(258) if i not in possible]] = -1e4
    run = Run("tiny", Config.parse({}), tokenizer, model)
    words = [f"a{' ' * k}{'a' * n}" for k in range(1, 25) for n in range(1, 25)]
    ends = [f"a{' ' * k}" for k in range(25)]
    for corrected, total in (
        (True, pytest.approx(1, abs=1e-3)),
        (False, pytest.approx(0.7, abs=0.2)),
    ):
        rows = nextword.surprisal(run, [*words, *ends], corrected=corrected)
        assert sum(2**-row.surprisal_bits for row in rows if row.position == 2) == total


def test_a_line_within_a_text_begins_anew() -> None:
    """After `<eos>` a word has no divisor, whether the lines come in one text or in two."""
    lines = ["The barn fell", " the horse"]
    together = nextword.surprisal(small("bpe"), ["\n".join(lines)])
    apart = nextword.surprisal(small("bpe"), lines, previous=True)
    assert [row.text for row in together] == [row.text for row in apart]
    bits = [row.surprisal_bits for row in apart]
    assert [row.surprisal_bits for row in together] == pytest.approx(bits, rel=1e-5)


# -------------------------------------------------------------------------- figures of a prediction


def test_entropy_and_rank() -> None:
    run = small("word")
    line = "The horse raced past"
    ids = run.tokenizer.encode(line)
    with torch.no_grad():
        output = run.model.forward(torch.tensor([[EOS, *ids]]), run.model.start(1))
    p = output.logits[0].double().softmax(-1).numpy()
    rows = nextword.surprisal(run, [line], by="token")
    for row, distribution, index in zip(rows, p, [*ids, EOS], strict=True):
        assert row.entropy_bits == pytest.approx(-(distribution * np.log2(distribution)).sum())
        assert row.surprisal_bits == pytest.approx(-np.log2(distribution[index]), rel=1e-5)
        ranked = sorted(range(len(distribution)), key=lambda i: -distribution[i])
        assert row.rank == ranked.index(index) + 1


def test_order_of_the_ngram(tmp_path: Path) -> None:
    """It is the length that KenLM's interface gives; other models have none."""
    nextword.export(loaded("ngram"), format="arpa", out=tmp_path / "m.arpa")
    model = kenlm.Model(str(tmp_path / "m.arpa"))
    lines = (RUNS / "valid.txt").read_text().splitlines()[:8]
    for run in (loaded("ngram"), nextword.load(tmp_path / "m.arpa")):
        rows = nextword.surprisal(run, lines)
        expected = [one for line in lines for one in model.full_scores(line, True, True)]
        assert [row.order for row in rows] == [length for _, length, _ in expected]
        assert {row.order for row in rows} == {1, 2, 3}
        bits = [-log10 * math.log2(10) for log10, _, _ in expected]
        assert [row.surprisal_bits for row in rows] == pytest.approx(bits, abs=2e-4)
    assert {row.order for row in nextword.surprisal(loaded("lstm"), lines)} == {None}


def test_probability_zero() -> None:
    """An impossible word has an infinite surprisal, and the words after it their own."""
    run = small("word", "ngram")
    sure = NgramConfig(order=2, smoothing="maximum-likelihood").build(run.tokenizer.vocab_size)
    sure.fit(np.array(run.tokenizer.encode(ENGLISH)))
    rows = nextword.surprisal(Run("ml", Config.parse({}), run.tokenizer, sure), ["The fell the"])
    assert rows[1].surprisal_bits == math.inf
    assert all(math.isfinite(row.entropy_bits) for row in rows)


# ---------------------------------------------------------------------------- batches and chunks


@CHUNKS
@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("name", ["lstm", "transformer-lm", "ngram", "mixture", "irnn-windows"])
def test_batches_and_chunks_change_nothing(
    name: str, batch_size: int, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (RUNS / "valid.txt").read_text().splitlines()[:9]
    lines.append(" ".join(lines))  # longer than the Transformer's context
    whole = nextword.surprisal(loaded(name), lines, by="token")
    for module in (line_predictions, tensor_predictions):
        monkeypatch.setattr(module, "NUMBERS", numbers)
    again = nextword.surprisal(loaded(name), lines, by="token", batch_size=batch_size)
    for one, other in zip(whole, again, strict=True):
        assert one.surprisal_bits == pytest.approx(other.surprisal_bits, rel=1e-5, abs=1e-6)
        assert one.entropy_bits == pytest.approx(other.entropy_bits, rel=1e-5, abs=1e-6)
        assert (one.text, one.order, one.pieces) == (other.text, other.order, other.pieces)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than the given number of probabilities is asked for at a time."""
    run = small("bpe")
    seen: list[int] = []
    forward = run.model.forward

    def watched(ids: Any, state: Any) -> Any:
        output = forward(ids, state)
        seen.append(output.logits.numel())
        return output

    monkeypatch.setattr(run.model, "forward", watched)
    monkeypatch.setattr(tensor_predictions, "NUMBERS", 4000)
    nextword.surprisal(run, ["the barn " * 300, *["the horse"] * 50])
    assert max(seen) <= 4000 and len(seen) > 20


# -------------------------------------------------------------------------------------- context


@pytest.mark.parametrize("name", ["lstm", "transformer-lm", "irnn-windows", "ngram", "mixture"])
def test_previous_lines_are_the_stream_of_evaluate(name: str) -> None:
    lines = (RUNS / "valid.txt").read_text().splitlines()
    rows = nextword.surprisal(loaded(name), lines, previous=True)
    nll = nextword.evaluate(loaded(name), RUNS / "valid.txt").nll
    assert sum(totals(rows).values()) == pytest.approx(nll, rel=1e-5)


@pytest.mark.parametrize("name", ["lstm", "transformer-lm", "mixture"])
def test_context_is_the_lines_before(name: str) -> None:
    lines = [line for line in (RUNS / "valid.txt").read_text().splitlines() if line][:11]
    lines.insert(5, "")
    last = [r for r in nextword.surprisal(loaded(name), lines, previous=True) if r.sentence == 12]
    for end in ("", "\n"):
        before = "\n".join(lines[:-1]) + end
        rows = nextword.surprisal(loaded(name), ["x", lines[-1]], context=before)
        mine = [row for row in rows if row.sentence == 2]
        bits = [row.surprisal_bits for row in last]
        assert [row.surprisal_bits for row in mine] == pytest.approx(bits, rel=1e-5)
    alone = [row.surprisal_bits for row in nextword.surprisal(loaded(name), lines[-1:])]
    assert alone != pytest.approx(bits, rel=1e-5)


def test_context_is_refused_where_there_is_none() -> None:
    for name in ("bert", "seq2seq"):
        for how in ({"context": "a b"}, {"previous": True}):
            with pytest.raises(InputError, match="line by line"):
                nextword.surprisal(loaded(name), ["a\tb"], **how)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not both"):
        nextword.surprisal(loaded("lstm"), ["a"], context="a", previous=True)


# -------------------------------------------------------------------------------------- regions


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("tokenizer", ["word", "char", "byte", "bpe"])
def test_regions_sum_over_their_words(tokenizer: str, corrected: bool) -> None:
    marked = "The horse | raced past |the barn| fell."
    rows = nextword.surprisal(small(tokenizer), [marked], by="region", corrected=corrected)
    assert [row.text for row in rows] == ["The horse", "raced past", "the barn", "fell.", "<eos>"]
    assert all(marked[row.start : row.end] == row.text for row in rows[:-1])
    line = marked.replace(" | ", " ").replace("|", " ").replace("  ", " ")
    words = nextword.surprisal(small(tokenizer), [line], corrected=corrected)
    bits = [row.surprisal_bits for row in words]
    expected = [sum(bits[:2]), sum(bits[2:4]), sum(bits[4:6]), bits[6], bits[7]]
    assert [row.surprisal_bits for row in rows] == pytest.approx(expected)
    assert [row.entropy_bits for row in rows] == [words[i].entropy_bits for i in (0, 2, 4, 6, 7)]


def test_regions_of_a_text_without_blanks() -> None:
    """A mark between two characters is read as nothing."""
    marked = "天地|玄黄，|宇宙"
    rows = nextword.surprisal(small("char"), [marked], by="region")
    tokens = nextword.surprisal(small("char"), ["天地玄黄，宇宙"], by="token")
    bits = [row.surprisal_bits for row in tokens]
    expected = [sum(bits[:2]), sum(bits[2:5]), sum(bits[5:7]), bits[7]]
    assert [row.surprisal_bits for row in rows] == pytest.approx(expected)
    assert [row.text for row in rows] == ["天地", "玄黄，", "宇宙", "<eos>"]
    assert [(row.start, row.end) for row in rows] == [(0, 2), (3, 6), (7, 9), (9, 9)]


def test_regions_of_a_translator() -> None:
    line = "two thousand\t二 | 千"
    rows = nextword.surprisal(loaded("seq2seq"), [line], by="region")
    assert [(row.text, row.start, row.end) for row in rows] == [
        ("二", 13, 14),
        ("千", 17, 18),
        ("<eos>", 18, 18),
    ]


def test_wrong_regions() -> None:
    run = small("word")
    for line, why in {
        "a b": "line 2 has no mark",
        "": "line 2 has no mark",
        "a | | b": "line 2: region 2 is empty",
        "| a": "line 2: region 1 is empty",
        "a |": "line 2: region 2 is empty",
        "ho|rse fell": "line 2: a mark cuts the token 'horse'",
    }.items():
        with pytest.raises(InputError, match=why):
            nextword.surprisal(run, ["a | b", line], by="region")


@given(st.lists(st.text("ab \t", min_size=1).filter(str.strip), min_size=2, max_size=5))
def test_regions_are_read_as_they_stand(parts: list[str]) -> None:
    text = "|".join(parts)
    read, places, regions = read_regions(text, 1)
    assert [read[start:end] for start, end in regions] == [part.strip() for part in parts]
    for start, end in regions:
        assert text[places[start] : places[end - 1] + 1] == read[start:end]
    assert len(places) == len(read)


# ----------------------------------------------------------------------------------------- BERT


@pytest.mark.parametrize("corrected", [True, False])
def test_pseudo_rows_of_a_loop(corrected: bool) -> None:
    """Each piece is predicted alone, with the later pieces of its word masked too."""
    run: Any = loaded("bert")
    lines = ["Our business is not unknown to the senate;", "", "天地玄黄", "First"]
    rows = nextword.surprisal(run, lines, by="token", corrected=corrected)
    expected = []
    for line in lines:
        ids = run.tokenizer.encode(line)
        inside = [run.tokenizer.token(index).startswith("##") for index in ids]
        for at in range(len(ids)):
            masked = list(ids)
            masked[at] = MASK
            later = at + 1
            while corrected and later < len(ids) and inside[later]:
                masked[later] = MASK
                later += 1
            with torch.no_grad():
                hidden = run.model(torch.tensor([[CLS, *masked, EOS]]))
                logits = run.model.logits(hidden)[0, at + 1].double()
            expected.append(-float(logits.log_softmax(-1)[ids[at]]) / math.log(2))
    assert [row.surprisal_bits for row in rows] == pytest.approx(expected, rel=1e-5)
    rule = "within-word" if corrected else "all-others"
    assert {(row.pseudo, row.rule, row.order) for row in rows} == {(True, rule, None)}
    assert all(row.text for row in rows)


def test_pseudo_rows_add_up() -> None:
    """Uncorrected to the pseudo-log-likelihood of `score`, corrected to more: the pieces of a word
    help each other. Words add up to the same as tokens."""
    run = loaded("bert")
    lines = (RUNS / "valid.txt").read_text().splitlines()[:5]
    plain = totals(nextword.surprisal(run, lines, corrected=False))
    scores = [-one.log_prob for one in nextword.score(run, lines)]
    assert list(plain.values()) == pytest.approx([s for s in scores if s], rel=1e-5)
    tokens = totals(nextword.surprisal(run, lines, by="token"))
    words = totals(nextword.surprisal(run, lines, by="word"))
    assert words == pytest.approx(tokens) and words != pytest.approx(plain)
    with pytest.raises(InputError, match="split it"):
        nextword.surprisal(run, ["a " * 600])


# --------------------------------------------------------------------------------- written, frames


def test_formats(cli: Cli, tmp_path: Path) -> None:
    """TSV and CSV say the same, JSON lines the rows of Python; pieces show their blanks."""
    lines = tmp_path / "lines.txt"
    lines.write_text('the "cat" , sat\nFirst Citizen:\n')
    run = RUNS / "ngram"
    tables = []
    for form, delimiter in (("tsv", "\t"), ("csv", ",")):
        status, out, err = cli("score", run, lines, "--by", "word", "--format", form)
        assert (status, err) == (0, "")
        tables.append(list(csv.DictReader(io.StringIO(out), delimiter=delimiter)))
    assert tables[0] == tables[1]
    status, out, _ = cli("score", run, lines, "--by", "word", "--json")
    objects = [json.loads(line) for line in out.splitlines()]
    assert cli("score", run, lines, "--by", "word", "--format", "jsonl")[1] == out
    rows = nextword.surprisal(loaded("ngram"), lines.read_text().splitlines())
    assert objects == [row.as_dict() for row in rows]
    for row, cells in zip(rows, tables[0], strict=True):
        assert cells["text"] == row.text and int(cells["rank"]) == row.rank
        assert float(cells["surprisal_bits"]) == pytest.approx(row.surprisal_bits, abs=1e-6)
        assert cells["oov"] == str(row.oov).lower() and cells["pseudo"] == "false"
        assert cells["pieces"] == " ".join(row.pieces)
    assert set(objects[0]) >= {
        *("sentence", "position", "text", "start", "end"),
        *("surprisal_bits", "entropy_bits", "oov"),
    }


def test_command_line(cli: Cli, tmp_path: Path) -> None:
    """Options are those of Python; what is without effect is refused, and nothing is printed."""
    run, lines, before = RUNS / "lstm", tmp_path / "lines.txt", tmp_path / "before.txt"
    lines.write_text("hear me | speak\nFirst | Citizen:\n")
    before.write_text("Our business\nis not\n")
    texts = lines.read_text().splitlines()

    def rows(*options: object) -> list[Any]:
        status, out, err = cli("score", run, lines, "--json", *options)
        assert status == 0, err
        return [json.loads(line) for line in out.splitlines()]

    def same(found: list[Any], **how: Any) -> bool:
        return bool(
            found == [r.as_dict() for r in nextword.surprisal(loaded("lstm"), texts, **how)]
        )

    assert same(rows("--regions"), by="region")
    assert same(rows("--by", "token", "--uncorrected"), by="token", corrected=False)
    assert same(rows("--by", "word", "--context", before), context=before.read_text())
    assert same(rows("--by", "sentence", "--context", "previous"), by="sentence", previous=True)
    for wrong, why in {
        ("--regions", "--by", "word"): "leave --by out",
        ("--format", "csv"): "--format is for rows",
        ("--context", "previous", "--uncorrected"): "--context and --uncorrected is for rows",
        ("--by", "word", "--context", "none.txt"): "none.txt",
        ("--by", "word", "--context", "-"): "--context is a file",
        ("--by", "letter"): "letter",
    }.items():
        status, out, err = cli("score", run, lines, *wrong)
        assert status == 2 and out == "" and why in err and len(err.splitlines()) == 1
    status, out, err = cli("score", RUNS / "classifier", lines, "--by", "word")
    assert status == 2 and out == "" and "cannot score sentences" in err
    empty = tmp_path / "blank.txt"
    empty.write_text("\n")
    assert cli("score", RUNS / "bert", empty, "--by", "word")[1].startswith("sentence\t")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(library: str) -> None:
    pytest.importorskip("narwhals")
    pytest.importorskip(library)
    rows = nextword.surprisal(loaded("lstm"), ["hear me speak", "一"])
    frame = nextword.to_frame(rows, library)
    assert list(frame.columns) == list(rows[0].as_dict())
    assert list(frame["surprisal_bits"]) == [row.surprisal_bits for row in rows]
    assert list(frame["text"]) == [row.text for row in rows]
    assert len(nextword.to_frame([], library)) == 0
    with pytest.raises(InputError, match="arrow"):
        nextword.to_frame(rows, "arrow")
    with pytest.raises(InputError, match="rows"):
        nextword.to_frame([1], library)  # type: ignore[list-item]


def test_unknown_words_are_marked() -> None:
    rows = nextword.surprisal(small("word"), ["The zebra <unk> fell."], by="word")
    assert [row.oov for row in rows] == [False, True, False, False, False]
    assert small("word").tokenizer.encode("zebra") == [UNK]
    assert [row.text for row in rows] == ["The", "zebra", "<unk>", "fell.", "<eos>"]


# -------------------------------------------------------------------------------------- the figure


def test_figure(cli: Cli, tmp_path: Path) -> None:
    """`inspect RUN surprisal` draws each text, and says what it drew."""
    texts = ["First Citizen: You", "天地 _玄$黄"]
    options = [word for text in texts for word in ("--text", text)]
    out = tmp_path / "figure.svg"
    status, said, _ = cli("inspect", RUNS / "ngram", "surprisal", *options, "--out", out)
    assert status == 0 and f"drawn in {out}" in said
    rows = nextword.surprisal(loaded("ngram"), texts)
    for row in rows:
        assert f"{row.surprisal_bits:7.2f} {row.entropy_bits:7.2f}" in said
    drawn = out.read_text()
    assert drawn.startswith("<?xml") and "surprisal, entropy (bits)" in drawn
    found = nextword.inspect_surprisal(loaded("ngram"), texts)
    assert [row for line in found.lines for row in line] == rows
    assert found.as_dict()["surprisal"][1][0]["text"] == "天地"
    status, said, _ = cli("inspect", RUNS / "ngram", "surprisal", *options, "--out", out, "--json")
    assert json.loads(said) == found.as_dict() | {"plot": str(out)}
    for wrong, why in {
        ("surprisal",): "--text TEXT",
        ("gradients", "--text", "a"): "--text is for: inspect RUN surprisal",
        ("surprisal", "--text", "a", "--heads"): "--heads is for: inspect RUN attention",
    }.items():
        status, said, err = cli("inspect", RUNS / "ngram", *wrong, "--out", tmp_path / "no.png")
        assert status == 2 and said == "" and why in err
    with pytest.raises(InputError, match="no word to draw"):
        nextword.inspect_surprisal(loaded("bert"), [" "])
    assert [path.name for path in tmp_path.iterdir()] == ["figure.svg"]


def test_arrays_and_tensors_are_described_alike() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 3, (7, 50)).astype(np.float32)
    logits[2, 3:9] = -np.inf
    logits[4, 1] = logits[4, 8]  # a tie
    targets, ends = np.array([0, 49, 10, 3, 8, 1, 7]), np.array([1, 5, 20])
    for boundaries in (None, ends):
        ours = predictions.describe(logits, targets, boundaries)
        theirs = tensor_predictions.describe_tensor(
            torch.from_numpy(logits), torch.from_numpy(targets), boundaries
        )
        for one, other in zip(ours, theirs, strict=True):
            if one is None:
                assert other is None
            else:
                np.testing.assert_allclose(one, other, rtol=1e-12)
