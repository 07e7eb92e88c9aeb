"""`compare`: one table for runs with different tokenizers, with honest intervals."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nextword
import nextword.evaluation.compare_texts as module
from nextword import compare
from nextword.config import Config
from nextword.errors import InputError
from nextword.evaluation import bootstrap
from nextword.evaluation.compare_texts import PIECES
from nextword.evaluation.dynamic import Dynamic
from nextword.evaluation.perplexity import evaluate_text, load_text
from nextword.models.recurrent import RecurrentConfig
from nextword.run import Run
from nextword.text.tokenizer import train_tokenizer

WORDS = "the cat sat on a mat and then the dog ate it all, “naïve” as ever".split(" ")


def write_text(path: Path, words: int = 2500, seed: int = 0) -> Path:
    """Lines of up to 12 words, some of them with letters of several bytes."""
    rng = np.random.default_rng(seed)
    drawn = [WORDS[i] for i in rng.integers(0, len(WORDS), words)]
    lines, start = [], 0
    while start < words:
        size = int(rng.integers(1, 13))
        lines.append(" ".join(drawn[start : start + size]))
        start += size
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text(tmp_path_factory.mktemp("compare") / "text.txt")


def make(name: str, text: Path, tokenizer: str, model: str, **settings: Any) -> Run:
    """An untrained run; a unigram model is fitted to the text unless it is called uniform."""
    config = Config.parse({"text": {"tokenizer": tokenizer, **settings}})
    tok = train_tokenizer([text.read_text(encoding="utf-8")], config.text)
    torch.manual_seed(0)
    if model == "recurrent":
        built: Any = RecurrentConfig(cell="gru", hidden=8).build(tok.vocab_size)
    else:
        settings = {"name": "ngram", "order": 1, "smoothing": "add-k"}
        parsed = Config.parse({"model": settings})
        built = parsed.model.build(tok.vocab_size)
        if model == "unigram":
            built.fit(np.array(tok.encode(text.read_text(encoding="utf-8"))))
    return Run(name, config, tok, built.eval())


@pytest.fixture(scope="module")
def runs(text: Path) -> list[Run]:
    return [
        make("char", text, "char", "recurrent", vocab_size=16),
        make("byte", text, "byte", "unigram"),
        make("bpe", text, "bpe", "unigram", vocab_size=270),
    ]


def test_pieces_are_the_same_for_every_tokenizer(
    runs: list[Run], text: Path, tmp_path: Path
) -> None:
    """The same bytes in the same pieces; token counts that end with the last token."""
    corpora = [load_text(run, text, str(tmp_path / run.name), segment=module.PIECE) for run in runs]
    size = text.stat().st_size
    for corpus in corpora:
        assert corpus.segment_bytes.sum() == corpus.counts.bytes == size
        assert (corpus.segment_bytes == corpora[0].segment_bytes).all()
        assert corpus.segment_ends[-1] == len(corpus)
        assert (np.diff(corpus.segment_ends) > 0).all()
    assert len(corpora[0].segment_bytes) > size / module.PIECE / 2
    assert len({len(corpus) for corpus in corpora}) == 3


def test_costs_of_the_pieces_sum_to_the_nll(
    runs: list[Run], text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost between the tokens' scores and the table that is resampled; the figures are
    those of `evaluate`."""
    tables = []
    join = module.join

    def spy(columns: np.ndarray, pieces: int) -> np.ndarray:
        tables.append(join(columns, pieces))
        return tables[-1]

    monkeypatch.setattr(module, "join", spy)
    result = compare(runs, text)
    (table,) = tables
    assert result.pieces == table.shape[1]
    assert table[-1].sum() == text.stat().st_size
    by_name = {row.name: row.evaluation for row in result.rows}
    for run, nats in zip(runs, table, strict=False):
        alone = evaluate_text(run, text)
        assert nats.sum() == pytest.approx(alone.nll)
        assert by_name[run.name].bits_per_byte == pytest.approx(alone.bits_per_byte)
        assert by_name[run.name].signature == alone.signature


def test_rows_are_ordered_and_inside_their_intervals(runs: list[Run], text: Path) -> None:
    """Best first by bits per byte, unknown words spelled out, whatever order they were given in;
    the value lies in its interval, which is neither empty nor wide on this even text."""
    result = compare(runs, text)
    again = compare(runs[::-1], text)
    assert [row.name for row in again.rows] == [row.name for row in result.rows]
    assert again.p_value == result.p_value
    values = [row.evaluation.bits_per_byte for row in result.rows]
    assert values == sorted(values)
    assert any(row.evaluation.oov for row in result.rows)
    for row in result.rows:
        low, high = row.bits_per_byte_interval
        assert low < row.evaluation.bits_per_byte < high
        assert high - low < 0.1 * high
        low, high = row.word_perplexity_interval
        assert low < row.evaluation.word_perplexity < high


def test_unknown_words_decide_the_order(text: Path) -> None:
    """A model that turns half of the text into `<unk>` has few nats and many spelled bits."""
    honest = make("honest", text, "char", "unigram")
    blind = make("blind", text, "char", "unigram", vocab_size=4)
    result = compare([blind, honest], text)
    first, second = (row.evaluation for row in result.rows)
    assert [row.name for row in result.rows] == ["honest", "blind"]
    assert second.nll < first.nll
    assert result.p_value < 0.01


def test_p_value_is_of_the_difference_in_the_table(
    runs: list[Run], text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is resampled for it adds up to second minus first, spelling included."""
    given = []
    monkeypatch.setattr(module, "paired", lambda differences: given.append(differences) or 0.5)
    result = compare(runs[:2], text)  # the first has unknown characters
    first, second = (row.evaluation.bits_per_byte for row in result.rows)
    (differences,) = given
    assert differences.shape == (result.pieces,)
    bits = differences.sum() / math.log(2) / text.stat().st_size
    assert bits == pytest.approx(second - first)
    assert any(row.evaluation.oov for row in result.rows)


def test_identical_runs_do_not_differ(runs: list[Run], text: Path) -> None:
    """p = 1, not significant."""
    result = compare([runs[1], runs[1]], text)
    assert result.p_value == 1.0
    assert not result.significant


def test_clearly_different_runs_differ(text: Path) -> None:
    """A fitted unigram model against a uniform one."""
    fitted = make("fitted", text, "char", "unigram")
    uniform = make("uniform", text, "char", "uniform")
    result = compare([uniform, fitted], text)
    assert [row.name for row in result.rows] == ["fitted", "uniform"]
    assert result.p_value < 0.001
    assert result.significant
    assert result.rows[0].bits_per_byte_interval[1] < result.rows[1].bits_per_byte_interval[0]


def test_one_run_has_no_p_value(runs: list[Run], text: Path) -> None:
    """Nothing to compare with; no run at all is an error."""
    result = compare(runs[:1], text)
    assert result.p_value is None
    assert not result.significant
    assert len(result.rows) == 1
    with pytest.raises(InputError, match="at least one"):
        nextword.compare([], text)


@pytest.mark.parametrize("words", [2, 60, 200, 700, 1500, 2500])
def test_few_pieces_have_no_intervals_and_no_test(
    words: int, runs: list[Run], tmp_path: Path
) -> None:
    """Neither in the object nor in the table nor in JSON; a sentence says why."""
    result = compare(runs, write_text(tmp_path / "short.txt", words))
    intervals = [
        interval
        for row in result.rows
        for interval in (row.bits_per_byte_interval, row.word_perplexity_interval)
    ]
    missing = "no confidence intervals and no test: they need at least 20 pieces of the text "
    if few := result.pieces < bootstrap.FEWEST:
        assert intervals == [None] * 6 and result.p_value is None and not result.significant
        assert result.notes() == [missing + f"(here: {result.pieces})"]
        assert all(cells.count("-") == 2 for cells in result.table()[1])
    else:
        assert all(low < high for low, high in intervals) and result.p_value is not None
        assert not any(missing in note for note in result.notes())
    assert few == (words < 1500)


def test_the_same_text_over_and_over_proves_nothing() -> None:
    """Pieces that are all alike say nothing of how others would be."""
    alike = np.ones((1, 50))
    assert bootstrap.interval(bootstrap.resample(alike)[0], 50) is None
    assert bootstrap.paired(alike[0]) is None
    assert bootstrap.paired(np.zeros(50)) == 1.0
    assert bootstrap.remarks([None], 50, "texts") == [
        "- in place of an interval: all texts have the same figure"
    ]
    assert bootstrap.remarks([(1.0, 2.0)], 50, "texts") == []


def test_intervals_of_infinite_figures() -> None:
    """An impossible piece makes the upper bound infinite; without it in a sample it is finite."""
    costs = np.linspace(1, 2, 40)
    costs[3] = np.inf
    low, high = bootstrap.interval(bootstrap.resample(costs[None])[0], 40)  # type: ignore[misc]
    assert 40 < low < 80 and high == np.inf
    assert bootstrap.paired(costs - np.linspace(2, 1, 40)) is not None
    with np.errstate(invalid="ignore"):
        assert bootstrap.paired(costs - costs) is None  # infinity less infinity


def test_infinite_figures_in_the_table(runs: list[Run], text: Path) -> None:
    """A perplexity of e^700 and more is infinite, and no cell is as wide as the screen."""
    impossible = replace(runs[0], name="impossible")
    result = compare([runs[1], impossible], text)
    evaluation = replace(
        result.rows[1].evaluation, perplexity=math.inf, word_perplexity=math.exp(699)
    )
    rows = [result.rows[0], replace(result.rows[1], evaluation=evaluation)]
    cells = replace(result, rows=rows).table()[1][1]
    assert "inf" in cells and "3.73e+303" in cells
    assert max(map(len, cells)) < 20


def test_dynamic_evaluation_is_passed_on(runs: list[Run], tmp_path: Path) -> None:
    """Each run is adapted, and its signature says so."""
    path = tmp_path / "text.txt"
    path.write_text("the cat sat on the mat\n" * 30, encoding="utf-8")
    settings = Dynamic(lr=0.02)
    adapted, static = compare(runs[:1], path, dynamic=settings), compare(runs[:1], path)
    assert adapted.rows[0].evaluation.nll < 0.9 * static.rows[0].evaluation.nll
    assert settings.signature in adapted.rows[0].evaluation.signature


def test_table_as_plain_values(runs: list[Run], text: Path) -> None:
    """What `--json` prints."""
    table = compare(runs[:2], text).as_dict()
    assert [row["run"] for row in table["runs"]]
    assert {"bits_per_byte", "bits_per_byte_interval", "tokens"} <= table["runs"][0].keys()
    assert table["significant"] == (table["p_value"] < 0.05)


# ----------------------------------------------------------------------------------- the statistics


@pytest.mark.parametrize("count", [1, 7, PIECES, PIECES + 1, 3 * PIECES + 17])
def test_join_keeps_sums(count: int) -> None:
    """At most PIECES pieces, neighbours added, nothing lost, none much larger than another."""
    columns = np.stack([np.arange(count), np.ones(count)]).astype(float)
    joined = bootstrap.join(columns, PIECES)
    assert joined.shape == (2, min(count, PIECES))
    np.testing.assert_allclose(joined.sum(1), columns.sum(1))
    assert joined[1].max() - joined[1].min() <= 1


def test_bootstrap_has_the_spread_of_the_sum() -> None:
    """Resampled sums: mean the sum, standard deviation √S times the pieces'; columns together."""
    values = np.random.default_rng(1).normal(3, 2, 400)
    a, b = bootstrap.resample(np.stack([values, 2 * values + 1]))
    assert a.mean() == pytest.approx(values.sum(), rel=0.01)
    assert a.std() == pytest.approx(math.sqrt(400) * values.std(), rel=0.05)
    np.testing.assert_allclose(b, 2 * a + 400)


def test_paired_is_two_sided_and_calibrated() -> None:
    """The sign does not matter; without a difference p is spread over all values."""
    rng = np.random.default_rng(2)
    small = rng.normal(0.05, 1, 200)
    assert bootstrap.paired(small) == pytest.approx(bootstrap.paired(-small), abs=0.02)
    assert bootstrap.paired(np.zeros(50)) == 1.0
    assert bootstrap.paired(rng.normal(5, 1, 50)) <= 2 / bootstrap.SAMPLES  # type: ignore[operator]
    p_values = [bootstrap.paired(rng.normal(0, 1, 60)) for _ in range(60)]
    assert 0.2 < np.mean(np.array(p_values) < 0.5) < 0.8
    assert np.mean(np.array(p_values) < 0.05) < 0.2
