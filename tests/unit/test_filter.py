"""`nextword filter`: what it writes, in every format, against the scores of single documents."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nextword
from nextword import files
from nextword.errors import InputError, Interrupted
from nextword.filtering import job, output
from nextword.filtering.statistics import Statistics, middle_of
from nextword.filtering.work import Work
from nextword.text.compression import zstd_package
from tests.support import Cli, snapshot

RUNS = Path(__file__).parent.parent / "fixtures" / "earlier_runs"
WORDS = (RUNS / "train.txt").read_text(encoding="utf-8").split()
FIGURES = ["perplexity", "word_perplexity", "bits_per_byte"]


def texts(count: int, seed: int = 0) -> list[str]:
    """Documents of one to four lines; some have unknown and Chinese words."""
    draw = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        lines = []
        for _ in range(draw.integers(1, 5)):
            at = draw.integers(len(WORDS) - 20)
            line = WORDS[at : at + draw.integers(0, 15)]
            extra = draw.choice(["", "", "zzz", "在 读 书 。", "naïve", "\u2028"])
            lines.append(" ".join([*line, extra]))
        made.append("\n".join(lines))
    return made


TEXTS = texts(300)


@pytest.fixture(scope="module")
def run() -> nextword.Run:
    return nextword.load(RUNS / "ngram")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks; no other processes, which take a while to start, unless a test asks for them."""
    monkeypatch.setattr(job, "BLOCK", 4096)
    monkeypatch.setattr(job, "threads", lambda: 1)


def jsonl(documents: list[str]) -> bytes:
    rows = [{"id": i, "text": text, "more": [1, {"a": None}]} for i, text in enumerate(documents)]
    return "".join(
        json.dumps(row, ensure_ascii=i % 2 == 0) + "\n" for i, row in enumerate(rows)
    ).encode()


def zstd(data: bytes) -> bytes:
    package = zstd_package()
    assert package is not None
    compressed: bytes = package.compress(data)
    return compressed


PACKED: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "": (bytes, bytes),
    ".gz": (gzip.compress, gzip.decompress),
    ".bz2": (bz2.compress, bz2.decompress),
    ".xz": (lzma.compress, lzma.decompress),
    ".zst": (zstd, lambda data: zstd_package().ZstdFile(io.BytesIO(data)).read()),  # type: ignore[union-attr]
}


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    path = tmp_path / "docs.jsonl"
    path.write_bytes(jsonl(TEXTS))
    return path


def test_scores_are_those_of_evaluate(run: nextword.Run, tmp_path: Path) -> None:
    """Several lines, unknown words, Chinese, an empty document."""
    for text in [*TEXTS[:30], "", "\n", "a\r\nb\r\n", "<unk> <eos> the"]:
        score = nextword.score_documents(run, [text])[0]
        path = tmp_path / "one.txt"
        path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8", newline="")
        whole = nextword.evaluate(run, path)
        assert (score.tokens, score.words, score.oov) == (whole.tokens, whole.words, whole.oov)
        for name in ["perplexity", "word_perplexity", "bits_per_byte"]:
            assert getattr(score, name) == pytest.approx(getattr(whole, name), rel=1e-6), text


def test_words_are_counted_as_for_evaluate(run: nextword.Run, tmp_path: Path) -> None:
    """After every kind of blank and letter; an ARPA file cuts at the blanks of ASCII alone."""
    from nextword.text.corpus import count_words

    blanks = [chr(code) for code in range(0x3001) if chr(code).isspace() and code != 10]
    others = ["é", "–", "书", "かな", "。", "\U00020000", "ｆ", "😀", "\u200b", "\ufeff"]
    texts = [f"{before}a{one}b {one}c" for one in [*blanks, *others] for before in ("", "naïve ")]
    nextword.export(run, "arpa", tmp_path / "a.arpa")
    scores = nextword.score_documents(nextword.load(tmp_path / "a.arpa"), texts)
    wanted = [count_words(text.replace("\r\n", "\n") + "\n") for text in texts]
    assert [score.words for score in scores] == wanted
    assert [score.bytes for score in scores] == [len(text.encode()) + 1 for text in texts]


@pytest.mark.parametrize("name", ["lstm", "transformer-lm", "bert", "mixture", "peephole", "gru"])
def test_any_model_of_text(name: str, tmp_path: Path) -> None:
    """A line of its own has the figures that `evaluate` gives it."""
    loaded = nextword.load(RUNS / name)
    lines = [text.split("\n")[0] or "the" for text in TEXTS[:6]]
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = nextword.filter(loaded, tmp_path / "a.txt", tmp_path / "out", quiet=True)
    assert report.kept == 6
    written = (tmp_path / "out" / "a.txt").read_text(encoding="utf-8").split("\n")[:-1]
    for line, row in zip(lines, written, strict=True):
        (tmp_path / "one.txt").write_text(line + "\n", encoding="utf-8")
        whole = nextword.evaluate(loaded, tmp_path / "one.txt")
        *scores, text = row.split("\t")
        assert text == line
        wanted = [whole.perplexity, whole.word_perplexity, whole.bits_per_byte]
        assert [float(score) for score in scores] == pytest.approx(wanted, rel=1e-5)


def test_a_model_of_something_else(tmp_path: Path, documents: Path) -> None:
    with pytest.raises(InputError, match="it cannot predict running text"):
        nextword.filter(nextword.load(RUNS / "transformer"), documents, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("kind", ["txt", "jsonl"])
def test_every_format(
    kind: str, packed: str, workers: int, run: nextword.Run, tmp_path: Path
) -> None:
    """All records, in order, as they were, and with the scores of their texts."""
    pack, unpack = PACKED[packed]
    lines = [text.replace("\n", " ") for text in TEXTS]
    data = jsonl(TEXTS) if kind == "jsonl" else "\n".join(lines).encode()
    path = tmp_path / f"a.{kind}{packed}"
    path.write_bytes(pack(data[:9000]) + pack(data[9000:]))
    nextword.filter(run, path, tmp_path / "out", workers=workers, quiet=True)
    written = (tmp_path / "out" / path.name).read_bytes()
    assert written.startswith(path.read_bytes()[:2]) or not packed
    rows = unpack(written).decode().split("\n")[:-1]
    if kind == "jsonl":
        found = [json.loads(row) for row in rows]
        scores = nextword.score_documents(run, TEXTS)
        before = data.decode().split("\n")[:-1]
        assert all(row.startswith(old[:-1]) for row, old in zip(rows, before, strict=True))
        assert [row["text"] for row in found] == TEXTS
        assert [[row[name] for name in FIGURES] for row in found] == [
            [one.perplexity, one.word_perplexity, one.bits_per_byte] for one in scores
        ]
    else:
        scores = nextword.score_documents(run, lines)
        assert rows == [
            f"{one.perplexity}\t{one.word_perplexity}\t{one.bits_per_byte}\t{line}"
            for one, line in zip(scores, lines, strict=True)
        ]


def test_parquet(run: nextword.Run, tmp_path: Path) -> None:
    """Columns of other types come back as they were, in the file's own compression."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table(
        {"n": list(range(300)), "text": TEXTS, "tags": [[str(i)] * (i % 3) for i in range(300)]}
    ).replace_schema_metadata({"who": "me"})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", row_group_size=70)
    for out, settings in (("all", {}), ("some", {"maximum": 200.0, "dropped": True})):
        nextword.filter(
            run, tmp_path / "a.parquet", tmp_path / out, quiet=True, workers=2, **settings
        )
    found = pq.read_table(tmp_path / "all" / "a.parquet")
    assert found.select(["n", "text", "tags"]).equals(table)
    assert found.schema.metadata[b"who"] == b"me"
    scores = [one.perplexity for one in nextword.score_documents(run, TEXTS)]
    assert found.column("perplexity").to_pylist() == scores
    column = pq.ParquetFile(tmp_path / "all" / "a.parquet").metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    kept = pq.read_table(tmp_path / "some" / "a.parquet").column("n").to_pylist()
    dropped = pq.read_table(tmp_path / "some" / "dropped" / "a.parquet").column("n").to_pylist()
    assert kept == [i for i, score in enumerate(scores) if score <= 200]
    assert dropped == [i for i, score in enumerate(scores) if score > 200] and dropped and kept


def test_columns_of_the_same_name(run: nextword.Run, tmp_path: Path) -> None:
    """Which field has the text must be clear; several old columns of scores become one."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path, two = tmp_path / "a.parquet", pa.array(["the", "a"])
    pq.write_table(pa.table([two, two], names=["text", "text"]), path)
    with pytest.raises(InputError, match="has several fields 'text'"):
        nextword.filter(run, path, tmp_path / "out", quiet=True)
    names = ["perplexity", "text", "more", "more", "perplexity", "perplexity"]
    pq.write_table(pa.table([two] * 6, names=names), path)
    for maximum in (1e9, 1e-9):  # some rows, and none
        nextword.filter(
            run, path, tmp_path / "out", maximum=maximum, quiet=True, overwrite=maximum < 1
        )
        found = pq.ParquetFile(tmp_path / "out" / "a.parquet").read()
        assert found.schema.names == ["perplexity", "text", "more", "more", *FIGURES[1:]]
        assert found.schema.field("perplexity").type == pa.float64()


@pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet"])
def test_a_document_of_many_megabytes(kind: str, run: nextword.Run, tmp_path: Path) -> None:
    """It is scored like any other; only what has no end in 128 MB is refused."""
    text, path = "the horse " * 4_000_000, tmp_path / f"a.{kind}"
    if kind == "parquet":
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"text": [text, "the"]}), path)
    else:
        line = json.dumps({"text": text}) if kind == "jsonl" else text
        path.write_text(f"{line}\n" + ('{"text": "the"}' if kind == "jsonl" else "the") + "\n")
    report = nextword.filter(run, path, tmp_path / "out", quiet=True)
    assert (report.documents, report.words) == (2, 8_000_003)


def test_an_own_column_is_replaced(run: nextword.Run, tmp_path: Path) -> None:
    """What is filtered again has the scores of the last model; big numbers stay."""
    record = (
        '{"perplexity": 3, "n": 123456789012345678901234567890, "text": "the 书 \\ud83d\\ude00"}'
    )
    (tmp_path / "a.jsonl").write_text(record + " \n\n  \n", encoding="utf-8")
    nextword.filter(run, tmp_path / "a.jsonl", tmp_path / "out", quiet=True)
    (row,) = (tmp_path / "out" / "a.jsonl").read_text(encoding="utf-8").splitlines()
    assert row.count('"perplexity"') == 1 and "123456789012345678901234567890" in row
    found = json.loads(row)
    score = nextword.score_documents(run, [found["text"]])[0]
    assert found["perplexity"] == score.perplexity and found["text"] == "the 书 😀"


# ------------------------------------------------------------------------ keeping and dropping


@pytest.mark.parametrize("by", FIGURES)
def test_thresholds(by: str, run: nextword.Run, tmp_path: Path, documents: Path) -> None:
    """Every document is in one of both files."""
    values = [getattr(one, by) for one in nextword.score_documents(run, TEXTS)]
    low, high = np.percentile(values, [20, 70]).tolist()
    report = nextword.filter(
        run, documents, tmp_path / "out", by=by, minimum=low, maximum=high, dropped=True, quiet=True
    )
    kept = [row["id"] for row in rows_of(tmp_path / "out" / "docs.jsonl")]
    dropped = [row["id"] for row in rows_of(tmp_path / "out" / "dropped" / "docs.jsonl")]
    assert kept == [i for i, value in enumerate(values) if low <= value <= high]
    assert sorted(kept + dropped) == list(range(300)) and dropped == sorted(dropped)
    assert (report.kept, report.dropped) == (len(kept), len(dropped))
    nextword.filter(run, documents, tmp_path / "two", by=by, minimum=low, plain=True, quiet=True)
    before = documents.read_bytes().splitlines()
    wanted = [line for line, value in zip(before, values, strict=True) if value >= low]
    assert (tmp_path / "two" / "docs.jsonl").read_bytes().splitlines() == wanted


def test_buckets(run: nextword.Run, tmp_path: Path, documents: Path) -> None:
    """As CCNet: below the first threshold is the head, from the last one on the tail."""
    values = [one.perplexity for one in nextword.score_documents(run, TEXTS)]
    report = nextword.filter(
        run, documents, tmp_path / "out", buckets=[30, 60], sample=100, quiet=True
    )
    low, high = np.percentile(values[:100], [30, 60]).tolist()
    assert report.thresholds == [low, high]
    assert report.learnt_from == {"path": None, "documents": 100}
    wanted = ["head" if v < low else "middle" if v < high else "tail" for v in values]
    rows = rows_of(tmp_path / "out" / "docs.jsonl")
    assert [row["bucket"] for row in rows] == wanted
    assert report.buckets == {name: wanted.count(name) for name in ("head", "middle", "tail")}
    other = tmp_path / "reference.txt"
    other.write_text(
        "\n".join(text.replace("\n", " ") for text in texts(50, seed=9)), encoding="utf-8"
    )
    report = nextword.filter(
        run, documents, tmp_path / "two", buckets=[50], reference=other, split=True, quiet=True
    )
    scores = nextword.score_documents(run, other.read_text(encoding="utf-8").split("\n"))
    cut = float(np.percentile([one.perplexity for one in scores], 50))
    assert report.thresholds == [cut]
    head = [row["id"] for row in rows_of(tmp_path / "two" / "head" / "docs.jsonl")]
    tail = [row["id"] for row in rows_of(tmp_path / "two" / "tail" / "docs.jsonl")]
    assert head == [i for i, value in enumerate(values) if value < cut]
    assert sorted(head + tail) == list(range(300))


def test_normalised(run: nextword.Run, tmp_path: Path, documents: Path) -> None:
    """A copy is scored; the records stay."""
    from nextword.text.normalise import normalise

    report = nextword.filter(run, documents, tmp_path / "out", normalise="ccnet", quiet=True)
    rows = rows_of(tmp_path / "out" / "docs.jsonl")
    assert [row["text"] for row in rows] == TEXTS
    again = nextword.score_documents(run, [normalise(text, "ccnet") for text in TEXTS])
    assert [row["perplexity"] for row in rows] == [one.perplexity for one in again]
    assert "|normalise:ccnet|" in report.signature


def test_the_summary(run: nextword.Run, tmp_path: Path, documents: Path, cli: Cli) -> None:
    """Figures of all documents together, quantiles to 0.3 %; the command prints the same."""
    status, out, err = cli("filter", RUNS / "ngram", documents, "--out", tmp_path / "out", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert found == json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    scores = nextword.score_documents(run, TEXTS)
    nll, tokens = -sum(one.log_prob for one in scores), sum(one.tokens for one in scores)
    assert found["perplexity"] == pytest.approx(math.exp(nll / tokens))
    assert found["tokens"] == tokens and found["documents"] == found["kept"] == 300
    for q, value in found["quantiles"]["bits_per_byte"].items():
        exact = np.percentile(
            [one.bits_per_byte for one in scores], 100 * float(q), method="inverted_cdf"
        )
        assert value == pytest.approx(float(exact), rel=0.003)
    assert (tmp_path / "out" / "histogram.png").read_bytes().startswith(b"\x89PNG")
    status, out, _ = cli(
        "filter", RUNS / "ngram", documents, "--out", tmp_path / "b", "--buckets", "30,60"
    )
    assert status == 0 and "head " in out and "50%: " in out


def test_statistics_add_up(run: nextword.Run) -> None:
    scores = nextword.score_documents(run, TEXTS)
    figures = {name: np.array([getattr(one, name) for one in scores]) for name in FIGURES}
    from collections import Counter

    from nextword.tasks import task_of

    both = task_of(run.config).score_documents(run, TEXTS)
    whole = Statistics.of(both, figures, Counter(kept=300))
    again = Statistics.restore(json.loads(json.dumps(whole.as_dict())))
    again.add(whole)
    assert again.documents == 600 and again.groups["kept"] == 600
    assert again.quantiles("perplexity") == whole.quantiles("perplexity")
    assert middle_of(16 * 128, 0) == 1


def test_standard_input_and_patterns(
    run: nextword.Run, tmp_path: Path, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream is read once, also where thresholds are learnt from it."""
    nextword.filter(run, documents, tmp_path / "file", buckets=[40], sample=50, quiet=True)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(documents.read_bytes())))
    nextword.filter(run, "-", tmp_path / "stream", buckets=[40], sample=50, quiet=True)
    one, other = tmp_path / "file" / "docs.jsonl", tmp_path / "stream" / "stdin.jsonl"
    assert one.read_bytes() == other.read_bytes()
    (tmp_path / "b.jsonl").write_bytes(documents.read_bytes()[:-1])
    report = nextword.filter(run, str(tmp_path / "*.jsonl"), tmp_path / "all", quiet=True)
    assert report.files == ["b.jsonl", "docs.jsonl"] and report.documents == 600


def test_without_torch(tmp_path: Path, documents: Path) -> None:
    script = (
        "import sys, nextword; nextword.filter(nextword.load(sys.argv[1]), sys.argv[2], "
        "sys.argv[3], quiet=True); assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, RUNS / "ngram", documents, tmp_path / "out"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_without_the_extra(
    run: nextword.Run, tmp_path: Path, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON is read by Python's own parser, with the same result; Parquet needs the extra."""
    nextword.filter(run, documents, tmp_path / "with", quiet=True, workers=1)
    for name in ("orjson", "pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    nextword.filter(run, documents, tmp_path / "without", quiet=True, workers=1)
    one, other = tmp_path / "with", tmp_path / "without"
    assert (one / "docs.jsonl").read_bytes() == (other / "docs.jsonl").read_bytes()
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"pip install 'nextword\[data\]'"):
        nextword.filter(run, tmp_path / "a.parquet", tmp_path / "out")


# ---------------------------------------------------------------------------------- bad input

GOOD = b'{"text": "the"}\n'


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (b'{"text": "the"', "is not JSON (Expecting ',' delimiter at column 15)"),
        (b"[1, 2]", "is a list, not an object"),
        (b"3", "is the number 3, not an object"),
        (b'{"id": 1, "url": "x"}', "has no field 'text'; its fields: id, url"),
        (b"{}", "has no field 'text'; its fields: none"),
        (b'{"text": 3}', "has the number 3 in the field 'text' where a text belongs"),
        (b'{"text": null}', "has null in the field 'text' where a text belongs"),
        (b'{"text": "\\ud800"}', "has half of a character in the field 'text'"),
        (b'{"text": "caf\xe9"}', "is not UTF-8 text (byte 0xe9 at 14)"),
        (b"[" * 100_000, "is nested too deep"),
        (b'{"text": "the", "n": ' + b"9" * 5000 + b"}", "has a number of too many digits"),
    ],
)
def test_broken_records(
    line: bytes, wrong: str, run: nextword.Run, tmp_path: Path, cli: Cli
) -> None:
    """One line with the number; skipped and counted if asked."""
    path, out = tmp_path / "a.jsonl", tmp_path / "out"
    path.write_bytes(GOOD * 2 + line + b"\n" + GOOD)
    status, _, err = cli("filter", RUNS / "ngram", path, "--out", out, "--quiet")
    assert status == 2 and f"line 3 of '{path}' {wrong}" in err and err.count("\n") == 1
    assert not out.exists()
    report = nextword.filter(run, path, out, on_error="skip", quiet=True)
    assert (report.documents, report.skipped) == (3, 1)
    (error,) = report.errors
    assert error["number"] == 3 and wrong in error["wrong"]
    assert len(rows_of(out / "a.jsonl")) == 3


def test_lines_that_are_no_text(run: nextword.Run, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\ncaf\xe9\nnul\0l\ntwo\r\n")
    with pytest.raises(
        InputError, match=r"line 2 of .* is not UTF-8 text \(byte 0xe9 at column 4\)"
    ):
        nextword.filter(run, path, tmp_path / "out", quiet=True)
    report = nextword.filter(run, path, tmp_path / "out", on_error="skip", quiet=True)
    assert [error["number"] for error in report.errors] == [2, 3]
    rows = (tmp_path / "out" / "a.txt").read_bytes().split(b"\n")
    assert [row.split(b"\t")[-1] for row in rows[:-1]] == [b"one", b"two\r"]


def test_a_wrong_field_is_no_empty_result(
    run: nextword.Run, tmp_path: Path, documents: Path
) -> None:
    with pytest.raises(InputError, match=r"no record is a document; .*has no field 'body'"):
        nextword.filter(run, documents, tmp_path / "out", field="body", on_error="skip", quiet=True)
    assert not (tmp_path / "out").exists()


def test_bad_parquet(run: nextword.Run, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": [1, 2], "text": ["the", None]}), path)
    for field, said in (
        ("body", "no field 'body'; its fields: n, text"),
        ("n", "is int64, not text"),
    ):
        with pytest.raises(InputError, match=said):
            nextword.filter(run, path, tmp_path / "out", field=field, quiet=True)
    with pytest.raises(InputError, match=r"row 2 of .* has null"):
        nextword.filter(run, path, tmp_path / "out", quiet=True)
    whole = path.read_bytes()
    for data in (whole[:-30], whole[:50], b"PAR1", whole[:20] + whole[60:]):
        path.write_bytes(data)
        with pytest.raises(InputError, match="is a damaged Parquet file"):
            nextword.filter(run, path, tmp_path / "out", quiet=True)
    path.write_bytes(b"text")
    with pytest.raises(InputError, match="is no Parquet file"):
        nextword.filter(run, path, tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("packed", [".gz", ".bz2", ".xz", ".zst"])
def test_a_file_that_is_cut_off(packed: str, run: nextword.Run, tmp_path: Path) -> None:
    path = tmp_path / f"a.jsonl{packed}"
    path.write_bytes(PACKED[packed][0](jsonl(TEXTS))[:-20])
    with pytest.raises(InputError, match="is damaged and cannot be read to its end"):
        nextword.filter(run, path, tmp_path / "out", quiet=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--by x", "documents are judged by"),
        ("--min 5 --max 3", "nothing would be kept"),
        ("--min nan", "less than or equal to"),
        ("--max 1e99", "less than or equal to"),
        ("--sample 0", "greater than or equal to 1"),
        ("--buckets 60,30", "in rising order"),
        ("--buckets 0,30", "between 0 and 100"),
        ("--buckets a", "separated by commas"),
        ("--buckets 30 --min 3", "exclude each other"),
        ("--split", "--split needs --buckets"),
        ("--reference DOCS", "--reference needs --buckets"),
        ("--dropped", "--dropped needs --min or --max"),
        ("--on-error ignore", "stop and skip are possible"),
        ("--normalise x", "no normalisation 'x'"),
        ("--format xml", "no format 'xml'"),
        ("--format parquet", "is no Parquet file"),
        ("--resume --overwrite", "use one of them"),
        ("--workers 1000", "less than or equal to 256"),
    ],
)
def test_options(options: str, said: str, cli: Cli, tmp_path: Path, documents: Path) -> None:
    words = [documents if word == "DOCS" else word for word in options.split()]
    status, _, err = cli("filter", RUNS / "ngram", documents, "--out", tmp_path / "out", *words)
    assert status == 2 and said in err, err
    assert not (tmp_path / "out").exists()


def test_inputs(run: nextword.Run, tmp_path: Path, documents: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "docs.jsonl").write_bytes(GOOD)
    (tmp_path / "b" / "summary.json").write_bytes(GOOD)
    for inputs, said in (
        ([documents, tmp_path / "b" / "docs.jsonl"], "2 inputs are called 'docs.jsonl'"),
        ([tmp_path / "b" / "summary.json"], "the name of something else"),
        ([tmp_path / "no.jsonl"], "no file"),
        ([tmp_path / "*.x"], "no file matches"),
        ([tmp_path / "b"], "is a directory"),
        ([], "name at least one"),
        (["-", "-"], "standard input can be read once"),
    ):
        with pytest.raises(InputError, match=said):
            nextword.filter(run, inputs, tmp_path / "out", quiet=True)
    nextword.filter(run, documents, tmp_path / "out", quiet=True)
    with pytest.raises(InputError, match="which is written"):
        nextword.filter(
            run, tmp_path / "out" / "docs.jsonl", tmp_path / "out", quiet=True, overwrite=True
        )


def test_empty_files(run: nextword.Run, tmp_path: Path) -> None:
    for name, data in (("a.txt", b""), ("b.jsonl", b"\n"), ("c.jsonl.xz", lzma.compress(b""))):
        (tmp_path / name).write_bytes(data)
    inputs = [tmp_path / name for name in ("a.txt", "b.jsonl", "c.jsonl.xz")]
    report = nextword.filter(run, inputs, tmp_path / "out", maximum=3.0, dropped=True, quiet=True)
    assert report.documents == 0
    assert (tmp_path / "out" / "a.txt").read_bytes() == b""
    assert lzma.decompress((tmp_path / "out" / "dropped" / "c.jsonl.xz").read_bytes()) == b""
    with pytest.raises(InputError, match="no documents in the input to learn"):
        nextword.filter(run, inputs, tmp_path / "two", buckets=[50], quiet=True)


# ------------------------------------------------------------------- what is there, and going on


def test_only_own_output_is_replaced(run: nextword.Run, tmp_path: Path, documents: Path) -> None:
    out = tmp_path / "out"
    nextword.filter(run, documents, out, maximum=100.0, dropped=True, quiet=True)
    before = snapshot(out)
    with pytest.raises(InputError, match="exists; add --overwrite"):
        nextword.filter(run, documents, out, quiet=True)
    (out / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match=r"holds 'mine\.txt'"):
        nextword.filter(run, documents, out, overwrite=True, quiet=True)
    (out / "mine.txt").unlink()
    broken = tmp_path / "broken.jsonl"
    broken.write_bytes(b"{\n")
    with pytest.raises(InputError, match="is not JSON"):
        nextword.filter(run, broken, out, overwrite=True, quiet=True)
    assert snapshot(out) == before
    (tmp_path / "b.txt").write_text("the\n")
    nextword.filter(run, tmp_path / "b.txt", out, overwrite=True, quiet=True)
    assert {*snapshot(out)} == {"b.txt", "histogram.png", "summary.json"}
    other = tmp_path / "other"
    other.mkdir()
    (other / "x").touch()
    with pytest.raises(InputError, match="holds something that is not filtered documents"):
        nextword.filter(run, documents, other, overwrite=True, quiet=True)


def stopped_after(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the block of a number; what is done before is saved."""
    monkeypatch.setattr(job, "SAVE_EVERY", 0.0)
    original, calls = Work.__call__, 0

    def call(self: Work, *given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == blocks:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, *given)

    monkeypatch.setattr(Work, "__call__", call)


def test_stopped_and_resumed(
    run: nextword.Run, tmp_path: Path, documents: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C; what was done is not done again, and the result is that of an undisturbed job."""
    (tmp_path / "more.txt").write_text("the\n" * 3000)
    arguments = [
        "filter",
        RUNS / "ngram",
        documents,
        tmp_path / "more.txt",
        "--quiet",
        "--buckets",
        "20,50",
    ]
    assert cli(*arguments, "--out", tmp_path / "whole")[0] == 0
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        stopped_after(7, patch)
        status, _, err = cli(*arguments, "--out", out, "--workers", 1)
        assert status == 130 and "add --resume" in err, err
    assert {path.name for path in out.iterdir()} <= {"unfinished", ".lock"}
    status, _, err = cli(*arguments, "--out", out)
    assert status == 2 and "is not finished; add --resume" in err
    calls = []
    original = Work.__call__
    monkeypatch.setattr(Work, "__call__", lambda *a: calls.append(1) or original(*a))
    assert cli(*arguments, "--out", out, "--resume", "--workers", 1)[0] == 0
    total = sum(-(-path.stat().st_size // 4096) for path in (documents, tmp_path / "more.txt"))
    assert 0 < len(calls) <= total - 6
    assert snapshot(out) == snapshot(tmp_path / "whole")
    (out / "unfinished" / "head").mkdir(parents=True)  # killed while this was removed
    assert cli(*arguments, "--out", out, "--resume")[0] == 0  # all is done
    assert cli(*arguments, "--out", out, "--resume", "--field", "x")[0] == 2
    assert snapshot(out) == snapshot(tmp_path / "whole")


@pytest.mark.parametrize("step", range(4))
def test_killed_while_files_take_their_places(
    step: int, run: nextword.Run, tmp_path: Path, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of them have: the rest follow, in place of an earlier output."""
    out, options = tmp_path / "out", {"buckets": [30, 60], "split": True, "workers": 1}
    nextword.filter(run, documents, tmp_path / "whole", quiet=True, **options)
    nextword.filter(run, documents, out, maximum=90.0, dropped=True, quiet=True)
    calls = 0

    def replace(*places: Any, original: Any = os.replace) -> None:
        nonlocal calls
        if "unfinished" in str(places[0]) and ".nextword-" not in str(places[0]):
            calls += 1
            if calls > step:
                raise MemoryError("killed")
        original(*places)

    with monkeypatch.context() as patch:
        patch.setattr(output.os, "replace", replace)
        with pytest.raises(MemoryError):
            nextword.filter(run, documents, out, overwrite=True, quiet=True, **options)
    nextword.filter(run, documents, out, resume=True, quiet=True, **options)
    assert snapshot(out) == snapshot(tmp_path / "whole")


def test_what_cannot_be_resumed(
    run: nextword.Run, tmp_path: Path, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        stopped_after(5, patch)
        with pytest.raises(Interrupted):
            nextword.filter(run, documents, out, workers=1, quiet=True)
    before = snapshot(out)

    def refused(
        said: str, model: nextword.Run = run, inputs: Any = documents, **options: Any
    ) -> None:
        with pytest.raises(InputError, match=said):
            nextword.filter(model, inputs, out, resume=True, quiet=True, **options)
        assert snapshot(out) == before

    refused("begun with another model", model=nextword.load(RUNS / "lstm"))
    refused("begun with by = perplexity, not bits_per_byte", by="bits_per_byte")
    refused("begun with maximum = None, not 3", maximum=3)
    refused("begun with other inputs", inputs=[documents, RUNS / "train.txt"])
    refused("a stream cannot be read again", inputs="-")
    with files.locked(out, "filtering into"):
        refused("another process is filtering into")
    progress = out / "unfinished" / "progress.json"
    good = progress.read_bytes()
    progress.write_bytes(good[:100])
    with pytest.raises(InputError, match=r"progress.json' is damaged .*--overwrite"):
        nextword.filter(run, documents, out, resume=True, quiet=True)
    progress.write_bytes(good)
    documents.write_bytes(jsonl(TEXTS).replace(b"the", b"eht"))
    refused("docs.jsonl' has changed since")
    nextword.filter(run, documents, out, overwrite=True, quiet=True)
    assert len(rows_of(out / "docs.jsonl")) == 300


def test_stopped_by_a_broken_record(
    run: nextword.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands before it is not lost: it may be skipped in what is resumed."""
    monkeypatch.setattr(job, "SAVE_EVERY", 0.0)
    data = jsonl(TEXTS)
    path, out = tmp_path / "a.jsonl", tmp_path / "out"
    path.write_bytes(data + b"{\n" + GOOD)
    with pytest.raises(InputError, match=r"line 301 .*: --resume --on-error skip"):
        nextword.filter(run, path, out, workers=1, quiet=True)
    report = nextword.filter(run, path, out, resume=True, on_error="skip", quiet=True)
    assert (report.documents, report.skipped, report.errors[0]["number"]) == (301, 1, 301)
    assert len(rows_of(out / "a.jsonl")) == 301


def test_a_full_disk(
    run: nextword.Run, tmp_path: Path, documents: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line; after some is freed, the work goes on."""
    monkeypatch.setattr(job, "SAVE_EVERY", 0.0)
    calls = 0

    def fsync(handle: int, original: Any = os.fsync) -> None:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise OSError(28, "No space left on device")
        original(handle)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(output.os, "fsync", fsync)
        status, _, err = cli("filter", RUNS / "ngram", documents, "--out", out, "--workers", 1)
        assert status == 1 and "no space left on the disk for" in err, err
    nextword.filter(run, documents, out, resume=True, quiet=True)
    assert [row["id"] for row in rows_of(out / "docs.jsonl")] == list(range(300))


def test_a_reference_that_links_in_a_circle(
    run: nextword.Run, tmp_path: Path, documents: Path
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=r"no file .*loop"):
        nextword.filter(
            run, documents, tmp_path / "out", buckets=[50], reference=tmp_path / "loop", quiet=True
        )


def test_no_documents_have_no_figures(tmp_path: Path) -> None:
    """An empty file is one without documents; their perplexity is unknown, and not 1."""
    (tmp_path / "empty.txt").write_text("")
    run = nextword.load(RUNS / "ngram")
    report = nextword.filter(run, [tmp_path / "empty.txt"], tmp_path / "out")
    assert (report.documents, report.perplexity) == (0, None)
    written = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [written[name] for name in ("perplexity", "word_perplexity", "bits_per_byte")] == [
        None
    ] * 3
