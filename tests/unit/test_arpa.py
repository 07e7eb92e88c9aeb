"""ARPA files: what is written is read back to the bit, and what others write is understood."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nextword
from nextword.errors import InputError
from nextword.ngram import arpa, arpa_lines, arpa_reading, decimals, kenlm
from nextword.ngram.arpa import open_to_write, spelling, write_arpa
from nextword.ngram.arpa_header import is_arpa, names_arpa
from nextword.ngram.arpa_reading import read_arpa
from nextword.ngram.estimate import estimate
from nextword.ngram.settings import NgramSettings
from nextword.ngram.table import Table
from nextword.ngram.table_from_ngrams import table_from_ngrams
from nextword.ngram.trie import BACKOFF, LOG_PROB
from nextword.text.compression import zstd_package
from nextword.text.lexicon import Lexicon
from nextword.text.tokenizer import EOS, SPECIALS, UNK
from nextword.text.vocabulary_builder import VocabularyBuilder

REFERENCE = Path(__file__).parents[1] / "reference" / "lmplz"
Grams = dict[tuple[str, ...], tuple[float, float]]

TEXT = (
    "the cat sat on the mat .\nthe dog ate the cat .\n\na cat is a cat\n中文 字 在 这里 。\n"
    "我 在 这里 。\nthe mat sat on the dog .\nnaïve 𝄞 ﬁn é É\nthe cat sat on the dog .\n"
)


def numbered(text: str, **options: Any) -> tuple[np.ndarray[Any, Any], Lexicon]:
    """The ids of a text and the vocabulary that was made of it."""
    builder = VocabularyBuilder()
    ids = builder.add(text)
    lexicon, renumber = builder.finish(**options)
    return renumber[ids], lexicon


def estimated(text: str, settings: NgramSettings, **options: Any) -> tuple[Table, Lexicon]:
    ids, lexicon = numbered(text, **options)
    return estimate(ids, len(lexicon), settings).table, lexicon


def written(table: Table, lexicon: Lexicon) -> bytes:
    out = io.BytesIO()
    write_arpa(table, lexicon, out)
    return out.getvalue()


def same(one: Table, other: Table) -> bool:
    """Equal to the bit, links and all."""
    return (
        np.array_equal(one.offsets, other.offsets)
        and np.array_equal(one.nodes, other.nodes)
        and np.array_equal(one.contexts, other.contexts)
    )


def naive_parse(text: str) -> tuple[Grams, list[int]]:
    """What an ARPA file says, read line by line as its format is described."""
    grams: Grams = {}
    counts: list[int] = []
    order = 0
    for line in text[text.index("\\data\\") :].splitlines():
        if line.startswith("ngram "):
            counts.append(int(line.split("=")[1]))
        elif line.endswith("-grams:"):
            order = int(line[1:].split("-")[0])
        elif line.strip() and not line.startswith("\\"):
            prob, *rest = line.split()
            values = [float(prob), 0.0]
            if len(rest) > order:
                values[1] = float(rest[order])
            grams[tuple(rest[:order])] = (values[0], values[1])
    return grams, counts


def naive_score(grams: Grams, highest: int, words: list[str]) -> list[float]:
    """log10 p of each word of a line and of its end, by the definition of backing off."""

    def log_prob(context: tuple[str, ...], word: str) -> float:
        if (*context, word) in grams:
            return grams[(*context, word)][0]
        if not context:
            return -100.0  # no <unk>
        return grams.get(context, (0.0, 0.0))[1] + log_prob(context[1:], word)

    known = [word if (word,) in grams else "<unk>" for word in words]
    line = ["<s>", *known, "</s>"]
    return [
        log_prob(tuple(line[max(0, at + 1 - highest) : at]), line[at]) for at in range(1, len(line))
    ]


def scored(table: Table, lexicon: Lexicon, words: list[str]) -> np.ndarray[Any, Any]:
    return table.score(lexicon.ids(" ".join(words) + "\n"))[0]


def put(folder: Path, text: str | bytes, name: str = "model.arpa") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


# ---------------------------------------------------------------- round trip

MODELS = {
    "order 1": NgramSettings(order=1),
    "order 2": NgramSettings(order=2, smoothing="witten-bell"),
    "order 3": NgramSettings(order=3),
    "order 5": NgramSettings(order=5),
    "maximum likelihood": NgramSettings(order=4, smoothing="maximum-likelihood"),
    "backing off": NgramSettings(order=3, smoothing="absolute-discounting", interpolate=False),
    "add k": NgramSettings(order=3, smoothing="add-k", add_k=0.1),
    "jelinek-mercer": NgramSettings(order=3, smoothing="jelinek-mercer", open=False),
    "pruned": NgramSettings(order=4, smoothing="kneser-ney", prune=(0, 0, 1)),
    "pruned by entropy": NgramSettings(order=3, prune_entropy=1e-3),
}


@pytest.mark.parametrize("name", MODELS)
def test_round_trip(name: str, tmp_path: Path) -> None:
    """Every kind of model comes back to the bit: numbers, words, and where states lead."""
    table, lexicon = estimated(TEXT, MODELS[name], min_count=2 if name == "order 5" else 1)
    again, words = read_arpa(put(tmp_path, written(table, lexicon)))
    assert same(table, again)
    assert words.words() == lexicon.words()


@pytest.mark.parametrize("ending", [".arpa", ".arpa.gz", ".arpa.xz", ".ARPA.GZ", ".Arpa.Xz"])
def test_round_trip_compressed(ending: str, tmp_path: Path) -> None:
    """The name says how it is compressed, and the contents are the same."""
    table, lexicon = estimated(TEXT, NgramSettings(order=3))
    path = tmp_path / f"model{ending}"
    with open_to_write(path) as file:
        write_arpa(table, lexicon, file)
    raw = path.read_bytes()
    opened = {".arpa": bytes, ".arpa.gz": gzip.decompress, ".arpa.xz": lzma.decompress}[
        ending.lower()
    ](raw)
    assert opened == written(table, lexicon)
    assert (opened == raw) == (ending == ".arpa")
    again, words = read_arpa(path)
    assert same(table, again) and words.words() == lexicon.words()
    assert same(table, read_arpa(put(tmp_path, raw, "any name"))[0])  # what counts is inside


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_round_trip_of_random_text(seed: int, order: int) -> None:
    """Texts of few words, where n-grams repeat a lot and end lines early."""
    draw = random.Random(seed)
    size = draw.randint(3, 9)
    ids = np.array([*(draw.randrange(size) for _ in range(draw.randint(1, 80))), EOS], np.uint32)
    settings = NgramSettings(
        order=order, smoothing=draw.choice(["modified-kneser-ney", "witten-bell"])
    )
    table = estimate(ids, size, settings).table
    lexicon = Lexicon.of([*SPECIALS, *map(str, range(size - 2))])
    lines = arpa_lines.Lines(
        io.BytesIO(written(table, lexicon)), Path("it"), None
    )  # without a file
    counts = arpa_reading._header(lines)
    words, first, _ = arpa_reading._unigrams(lines, counts)
    rest = [arpa_reading._section(lines, k, counts, words) for k in range(2, len(counts) + 1)]
    assert same(table, table_from_ngrams(Path("it"), [first, *rest], words))


def test_a_text_of_several_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a piece of the file ends that is read or written at once, nothing changes."""
    table, lexicon = estimated(TEXT, NgramSettings(order=3))
    text = written(table, lexicon)
    monkeypatch.setattr(arpa, "_LINES", 3)
    assert written(table, lexicon) == text
    path = put(tmp_path, text)
    for block in (1, 7, 50, 1000):
        monkeypatch.setattr(arpa_lines, "_BLOCK", block)
        assert same(read_arpa(path)[0], table)


def test_very_long_words(tmp_path: Path) -> None:
    """A line may be longer than the buffer it is written to."""
    text = f"a {'x' * 300_000} b\n{'y' * 70_000} a\n"
    table, lexicon = estimated(text, NgramSettings(order=3))
    again, words = read_arpa(put(tmp_path, written(table, lexicon)))
    assert same(table, again) and words.words() == lexicon.words()


def test_progress_is_told_of_everything(tmp_path: Path) -> None:
    """Writing tells of every n-gram."""
    table, lexicon = estimated(TEXT, NgramSettings(order=3))
    told: list[int] = []
    write_arpa(table, lexicon, io.BytesIO(), told.append)
    assert sum(told) == sum(table.sizes)


def test_is_arpa() -> None:
    """Of what is not there the ending decides, in capitals too."""
    there = ("a.arpa", "b/c.ARPA", "a.arpa.gz", "a.arpa.xz", "a.arpa.bz2", Path("x.arpa"))
    assert all(map(is_arpa, there)) and all(map(names_arpa, there))
    other = ("arpa", "a.arpa.zip", "a.gz", "a.arpa/b", "")
    assert not any(map(is_arpa, other)) and not any(map(names_arpa, other))


ZSTD = zstd_package()
assert ZSTD is not None
COMPRESSIONS = [bytes, gzip.compress, lzma.compress, bz2.compress, ZSTD.compress]


@pytest.mark.parametrize("compress", COMPRESSIONS)
@pytest.mark.parametrize("name", ["model.lm", "model", "model.txt", "model.gz", "model.arpa.gz"])
@pytest.mark.parametrize("before", ["", "\ufeff", "# by SRILM\n\n", "\ufeff\n\n"])
def test_a_file_is_known_by_its_content(
    before: str, name: str, compress: Callable[[bytes], bytes], tmp_path: Path, plain: Table
) -> None:
    """Whatever its name, with a byte order mark or a comment, compressed or not."""
    path = put(tmp_path, compress((before + PLAIN).encode()), name)
    assert is_arpa(path)
    assert same(read_arpa(path)[0], plain)
    run = nextword.load(path)
    assert run.name == name and run.config.text.split == "ascii"
    assert kenlm.Model(path).order == 3


@pytest.mark.parametrize(
    "content", [b"", b"the \\data\\ of\n", b"word 0.1 0.2\n", b"\x1f\x8b123", b"BZh9", b"\0" * 9]
)
def test_what_is_no_arpa_file(content: bytes, tmp_path: Path) -> None:
    """Text, vectors, damaged and binary files are not taken for one."""
    path = put(tmp_path, content, "model.lm")
    assert not is_arpa(path)
    with pytest.raises(InputError, match="not a run"):
        nextword.load(path)


# ---------------------------------------------------------------- numbers


def put_float(value: np.float32) -> str:
    out = np.zeros(64, np.uint8)
    return out[: decimals.put_float(out, 0, float(value), decimals.TENS)].tobytes().decode()


def digits(text: str) -> int:
    return len(text.lstrip("-").replace(".", "").strip("0"))


FLOATS = st.one_of(
    st.floats(-99, 5, width=32),
    st.floats(-10, 0, width=32),
    st.floats(-(2.0**-10), 2.0**-10, width=32),
).map(np.float32)


@given(FLOATS.filter(lambda value: value == 0 or abs(value) > 1e-9))
def test_floats_come_back(value: np.float32) -> None:
    """The decimals give the same number back, nine significant digits at most."""
    text = put_float(value)
    assert re.fullmatch(r"-?\d+(\.\d*[1-9])?", text)
    assert np.float32(text) == value
    assert digits(text) <= 9


@given(st.floats(-10, 10, width=32, exclude_max=True, exclude_min=True).map(np.float32))
def test_floats_are_short(value: np.float32) -> None:
    """Where log-probabilities are, no shorter decimal number gives the same float."""
    if abs(value) >= 1e-3:
        assert put_float(value) == np.format_float_positional(value, trim="-")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (-99, "-99"), (-100, "-100"), (-0.1, "-0.1"), (-1 / 3, "-0.33333334"), (2.5, "2.5")],
)
def test_how_floats_look(value: float, text: str) -> None:
    assert put_float(np.float32(value)) == text


def number(text: str) -> tuple[bool, float, int]:
    data = np.frombuffer(text.encode(), np.uint8)
    return decimals.parse_number(data, 0, len(data), decimals.TENS)


NUMBERS = st.from_regex(
    r"[-+]?([0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9})([eE][-+]?[0-9]{1,2})?", fullmatch=True
)


@given(NUMBERS)
def test_numbers_are_read_as_python_reads_them(text: str) -> None:
    """Decimals, exponents and signs, wherever they may be left out; the same float32."""
    good, value, after = number(text)
    assert good and after == len(text)
    with np.errstate(over="ignore"):
        found, wanted = np.float32(value), np.float32(float(text))
    assert found == wanted or math.isclose(value, float(text), rel_tol=1e-14)
    if len(re.sub(r"[eE].*|\D", "", text)) <= 15 and "e" not in text.lower():
        assert value == float(text)


@given(st.text("0123456789", min_size=1, max_size=60), st.text("0123456789", max_size=60))
def test_long_numbers(whole: str, rest: str) -> None:
    """More digits than fit are cut off, not overflown."""
    good, value, after = number(f"-{whole}.{rest} x")
    assert good and after == len(whole) + len(rest) + 2
    assert math.isclose(value, float(f"-{whole}.{rest}"), rel_tol=1e-14)


@pytest.mark.parametrize("text", ["", "-", ".", "-.", "e5", "1e", "1e-", "x", "--1", "nan", "inf1"])
def test_no_numbers(text: str) -> None:
    good, value, after = number(text)
    assert not good or after < len(text) or not math.isfinite(value)


# ---------------------------------------------------------------- lmplz's files


@pytest.mark.parametrize("name", ["order5", "order3-prune001"])
def test_reading_what_lmplz_wrote(name: str) -> None:
    """Every n-gram with both of its numbers, as they stand there."""
    path = REFERENCE / f"{name}.arpa.gz"
    grams, counts = naive_parse(gzip.decompress(path.read_bytes()).decode("utf-8"))
    table, lexicon = read_arpa(path)
    assert table.sizes == [counts[0] - 1, *counts[1:]]  # <s> and </s> are one
    assert sum(map(len, naive_parse_orders(grams, len(counts)))) == len(grams)
    log_prob = table.nodes.view(np.float32)[:, LOG_PROB]
    weight = table.contexts.view(np.float32)[:, BACKOFF]
    ids = {word: index for index, word in enumerate(lexicon.words())} | {"<s>": EOS, "</s>": EOS}
    for gram, (prob, back_off) in grams.items():
        node = table.find([ids[word] for word in gram])
        assert node is not None, gram
        if gram != ("<s>",):
            assert log_prob[node] == np.float32(prob), gram
        if len(gram) < len(counts) and gram != ("</s>",):
            assert weight[node] == np.float32(back_off), gram


def naive_parse_orders(grams: Grams, order: int) -> list[list[tuple[str, ...]]]:
    return [[gram for gram in grams if len(gram) == k] for k in range(1, order + 1)]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("order5", NgramSettings(order=5)),
        ("order3-prune001", NgramSettings(order=3, prune=(0, 0, 1))),
    ],
)
def test_the_same_lines_as_lmplz(name: str, settings: NgramSettings) -> None:
    """Estimated from the same text and written, the lines are lmplz's, byte for byte."""
    text = (REFERENCE / "corpus.txt").read_text(encoding="utf-8")
    ours = written(*estimated(text, settings)).splitlines()
    theirs = gzip.decompress((REFERENCE / f"{name}.arpa.gz").read_bytes()).splitlines()
    assert sorted(ours) == sorted(theirs)
    assert [line for line in ours if line[:1] in (b"\\", b"n")] == [
        line for line in theirs if line[:1] in (b"\\", b"n")
    ]


@pytest.mark.parametrize("name", ["order5", "order3-prune001"])
def test_scores_of_lmplz_models(name: str) -> None:
    """Sentences get what KenLM's `query` gave them."""
    table, lexicon = read_arpa(REFERENCE / f"{name}.arpa.gz")
    lines = (REFERENCE / "heldout.txt").read_text(encoding="utf-8").splitlines()
    rows = (REFERENCE / f"{name}.heldout.tsv").read_text().splitlines()
    for line, row in zip(lines, rows, strict=True):
        log_prob, unknown = row.split("\t")
        ids = lexicon.ids(line + "\n")
        assert table.score(ids)[0].sum() == pytest.approx(float(log_prob), abs=1e-4)
        assert np.count_nonzero(ids == UNK) == int(unknown)


# ---------------------------------------------------------------- what others write

PLAIN = """\\data\\
ngram 1=6
ngram 2=5
ngram 3=2

\\1-grams:
-1.5\t<unk>\t0
-99\t<s>\t-0.5
-0.75\t</s>\t0
-0.5\ta\t-0.25
-0.875\tb\t-0.125
-1.25\t中\t-0.375

\\2-grams:
-0.25\t<s> a\t-0.0625
-0.375\ta b\t-0.03125
-0.125\tb </s>\t0
-0.625\tb a\t0
-1.125\ta 中\t0

\\3-grams:
-0.1875\t<s> a b
-0.3125\ta b </s>

\\end\\
"""
CLOSED = PLAIN.replace("-1.5\t<unk>\t0\n", "").replace("ngram 1=6", "ngram 1=5")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return read_arpa(put(tmp_path_factory.mktemp("plain"), PLAIN))[0]


def shuffled(text: str) -> str:
    """The n-grams of every order but the first (which numbers the words) in another order."""
    head, *sections = re.split(r"(?=\\\d-grams:)", text)
    done = [head, sections[0]]
    for section in sections[1:]:
        title, *lines = section.split("\n")
        grams = [line for line in lines if line[:1] == "-"]
        rest = [line for line in lines if line[:1] != "-"]
        random.Random(3).shuffle(grams)
        done.append("\n".join([title, *grams, *rest]))
    return "".join(done)


VARIANTS: dict[str, Callable[[str], str]] = {
    "another order": shuffled,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "spaces for tabs": lambda text: text.replace("\t", " "),
    "tabs for spaces": lambda text: re.sub(r"(?<=[a-z>中]) (?=[a-z<中])", "\t", text),
    "several spaces": lambda text: text.replace("\t", "   "),
    "back-off zero left out": lambda text: text.replace("\t0\n", "\n"),
    "text before": lambda text: "made by hand\n\nngram 1=77\n" + text,
    "blank lines": lambda text: text.replace("\n\n", "\n\n\n\n"),
    "blank lines around": lambda text: "\n\n" + text + "\n\n",
    "no blank lines between": lambda text: text.replace("\n\n\\2", "\n\\2").replace(
        "\n\n\\3", "\n\\3"
    ),
    "no line end at the end": lambda text: text.rstrip("\n"),
    "something after the end": lambda text: text + "and so on\n",
    "exponents": lambda text: text.replace("-0.25", "-25e-2").replace("-1.125", "-.01125E+02"),
    "many digits": lambda text: text.replace("-0.25", "-0.2500000000000000000000000001"),
    "spaced header": lambda text: re.sub(r"ngram (\d)=(\d)", r"ngram  \1 = \2 ", text),
    "<UNK>": lambda text: text.replace("<unk>", "<UNK>"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_ways_of_writing_the_same(name: str, plain: Table, tmp_path: Path) -> None:
    """What toolkits do differently makes no difference."""
    text = VARIANTS[name](PLAIN)
    assert text != PLAIN
    table, lexicon = read_arpa(put(tmp_path, text))
    assert same(table, plain)
    assert lexicon.words() == [*SPECIALS, "a", "b", "中"]


def test_a_file_without_unknown_words(tmp_path: Path) -> None:
    """Unknown words get 1e-100, after every context as it backs off."""
    table, lexicon = read_arpa(put(tmp_path, CLOSED))
    assert lexicon.words()[0] == "<unk>"
    assert table.distribution(0)[UNK] == -100
    assert scored(table, lexicon, ["a", "zebra", "b"]).tolist() == pytest.approx(
        [-0.25, -0.0625 - 0.25 - 100, -0.875, -0.125]
    )
    again, _ = read_arpa(put(tmp_path, written(table, lexicon)))
    assert same(table, again)


@pytest.mark.parametrize("name", ["<unk>", "<UNK>"])
def test_unknown_words_within_n_grams(name: str, tmp_path: Path) -> None:
    """However it is spelled, `<unk>` can follow and be followed."""
    text = PLAIN.replace("<unk>", name).replace("\tb a\t", f"\tb {name}\t")
    text = text.replace("\ta 中\t", f"\t{name} a\t")
    table, lexicon = read_arpa(put(tmp_path, text))
    assert scored(table, lexicon, ["b", "zebra", "a"]).tolist() == pytest.approx(
        [-0.5 - 0.875, -0.625, -1.125, -0.25 - 0.75]
    )


@pytest.mark.parametrize("impossible", ["-inf", "-99", "-1e30", "-1e300", "-99.999", "-1.005e+2"])
@pytest.mark.parametrize("order", [1, 2])
def test_impossible_words(impossible: str, order: int, tmp_path: Path) -> None:
    """-inf is -99, as probability and as back-off weight; a finite number is read as it stands."""
    number = -99 if impossible == "-inf" else np.float32(max(float(impossible), -1e30))
    old = ["-0.875\tb\t", "-0.375\ta b\t"][order - 1]
    words = old.split("\t")[1]
    text = PLAIN.replace(old, f"{impossible}\t{words}\t")
    text = text.replace("\t-0.25\n", f"\t{impossible}\n")
    table, lexicon = read_arpa(put(tmp_path, text))
    node = table.find([lexicon.id_of(word.encode()) for word in words.split()])
    assert node is not None
    assert table.nodes.view(np.float32)[node, LOG_PROB] == number
    assert table.contexts.view(np.float32)[table.find([2]), BACKOFF] == number


def test_sections_without_n_grams(tmp_path: Path) -> None:
    """A pruned order may be empty; a file may hold nothing but unigrams."""
    text = re.sub(r"(?<=\\3-grams:\n)(.+\n)+", "", PLAIN).replace("ngram 3=2", "ngram 3=0")
    table, lexicon = read_arpa(put(tmp_path, text))
    assert table.sizes == [5, 5, 0]
    grams, _ = naive_parse(text)
    words = ["a", "b", "a", "中"]
    assert scored(table, lexicon, words).tolist() == pytest.approx(naive_score(grams, 3, words))
    one = re.sub(r"\n\\2-grams:(.*\n)+?(?=\\end)", "\n", PLAIN)
    one = re.sub(r"ngram [23]=.\n", "", one)
    one = re.sub(r"(\t\S+)\t\S+\n", r"\1\n", one)
    table, lexicon = read_arpa(put(tmp_path, one))
    assert table.sizes == [5]
    assert scored(table, lexicon, ["a"]).tolist() == [-0.5, -0.75]


# ---------------------------------------------------------------- pruned files


def pruned(
    seed: int, *, weights_everywhere: bool = False, holes: float = 0.4
) -> tuple[str, list[str]]:
    """A random file as SRILM may write one: suffixes and contexts of n-grams may be missing."""
    draw = random.Random(seed)
    words = ["a", "b", "中", "d"][: draw.randint(2, 4)]
    order = draw.randint(2, 5)
    grams: set[tuple[str, ...]] = set()
    for _ in range(draw.randint(3, 25)):
        line = ["<s>", *draw.choices([*words, "<unk>"], k=draw.randint(1, 8)), "</s>"]
        start = draw.randrange(len(line))
        gram = tuple(line[start : start + order])
        grams |= {gram[i:j] for i in range(len(gram)) for j in range(i + 2, len(gram) + 1)}
    grams = {gram for gram in grams if draw.random() > holes}
    contexts = {gram[:k] for gram in grams for k in range(1, len(gram))}
    singles = [("<unk>",), ("<s>",), ("</s>",), *((word,) for word in words)]
    lines = []
    for k in range(1, order + 1):
        some = singles if k == 1 else [gram for gram in grams if len(gram) == k]
        draw.shuffle(some)
        lines.append(f"\n\\{k}-grams:")
        for gram in some:
            line = f"{-draw.uniform(0.01, 3):.6f}\t{' '.join(gram)}"
            if k < order and gram[-1] != "</s>" and (weights_everywhere or gram in contexts):
                line += f"\t{draw.uniform(-2, 0.5):.6f}"
            lines.append(line)
    counts = [len(singles), *(sum(len(g) == k for g in grams) for k in range(2, order + 1))]
    head = [f"ngram {k}={count}" for k, count in enumerate(counts, 1)]
    return "\n".join(["\\data\\", *head, *lines, "", "\\end\\", ""]), words


def check_against_definition(text: str, words: list[str], seed: int, folder: Path) -> None:
    grams, counts = naive_parse(text)
    table, lexicon = read_arpa(put(folder, text))
    draw = random.Random(seed)
    for _ in range(30):
        line = draw.choices([*words, "zebra"], k=draw.randint(0, 9))
        wanted = naive_score(grams, len(counts), line)
        assert scored(table, lexicon, line).tolist() == pytest.approx(wanted, abs=1e-4), line
        state = table.advance(lexicon.ids(" ".join(line)), table.start)
        spread_out = table.distribution(state)
        assert spread_out[EOS] == pytest.approx(wanted[-1], abs=1e-4), line


@pytest.mark.parametrize("seed", range(25))
def test_pruned_files_score_by_the_definition(seed: int, tmp_path: Path) -> None:
    """Whatever is missing, words are scored by backing off over what is there."""
    text, words = pruned(seed)
    check_against_definition(text, words, seed, tmp_path)


@pytest.mark.parametrize("seed", range(25))
def test_back_off_weights_of_contexts_that_nothing_follows(seed: int, tmp_path: Path) -> None:
    """They count too: what followed such a context may have been left out."""
    text, words = pruned(seed, weights_everywhere=True)
    check_against_definition(text, words, seed, tmp_path)


def test_a_missing_context_is_put_in(tmp_path: Path) -> None:
    """With the probability that backing off gives it, and nothing added for what follows."""
    text = PLAIN.replace("-0.375\ta b\t-0.03125\n", "").replace("ngram 2=5", "ngram 2=4")
    table, lexicon = read_arpa(put(tmp_path, text))
    assert table.sizes == [5, 5, 2]
    node = table.find(lexicon.ids("a b").tolist())
    assert node is not None
    assert table.nodes.view(np.float32)[node, LOG_PROB] == np.float32(-0.25 - 0.875)
    assert table.contexts.view(np.float32)[node, BACKOFF] == 0
    assert scored(table, lexicon, ["b", "a", "b"]).tolist() == pytest.approx(
        [-0.5 - 0.875, -0.625, -0.25 - 0.875, -0.3125]
    )


def test_missing_contexts_of_missing_contexts(tmp_path: Path) -> None:
    """A single 4-gram brings all that leads to it along."""
    text = """\\data\\\nngram 1=5\nngram 2=0\nngram 3=0\nngram 4=1

\\1-grams:\n-1\t<unk>\n-99\t<s>\t-0.5\n-0.75\t</s>\n-0.5\ta\t-0.25\n-0.875\tb\t-0.125

\\2-grams:\n\n\\3-grams:\n\n\\4-grams:\n-0.0625\ta b a </s>\n\n\\end\\\n"""
    table, lexicon = read_arpa(put(tmp_path, text))
    assert table.sizes == [4, 1, 1, 1]
    for line in (["a", "b", "a"], ["b", "a", "b", "a"], ["a", "b"], [], ["a", "b", "a", "b", "a"]):
        wanted = naive_score(naive_parse(text)[0], 4, line)
        assert scored(table, lexicon, line).tolist() == pytest.approx(wanted)


# ---------------------------------------------------------------- words with no room in the format


def test_spelling() -> None:
    """Boundaries get a backslash, blanks of ASCII a name; other words stay as they are."""
    assert (spelling("<s>"), spelling("</s>")) == ("\\<s>", "\\</s>")
    assert (spelling(" "), spelling(" the")) == ("<space>", "<space>the")
    assert spelling("\t\r\v\f") == "<tab><return><U+000B><U+000C>"
    for word in (
        "<unk>",
        "\u3000",
        "a\u00a0b",
        "a",
        "中",
        "\\",
        "<S>",
        "-1.5",
        "\\end\\",
        "a\0b",
        "é",
    ):
        assert spelling(word) == word


@given(st.text(min_size=0, max_size=5))
def test_every_word_has_a_spelling(word: str) -> None:
    """Whatever it is, it is written as something that a line can hold as one word."""
    spelled = spelling(word)
    assert spelled.encode().split() == [spelled.encode()]
    assert spelled not in ("<s>", "</s>")


ODD = ["<s>", "</s>", " ", "\t", "\r", "\u3000", "\x85", "\x1c", "\\", "\\data\\", "-1", "<UNK>"]


def test_odd_words_round_trip(tmp_path: Path) -> None:
    """Boundaries as words, white space, marks of the format itself: the model comes back."""
    vocabulary = [*SPECIALS, *ODD]
    draw = random.Random(0)
    ids = np.array([*(draw.randrange(1, len(vocabulary)) for _ in range(200)), EOS], np.uint32)
    table = estimate(ids, len(vocabulary), NgramSettings(order=3)).table
    again, words = read_arpa(put(tmp_path, written(table, Lexicon.of(vocabulary))))
    assert same(table, again)
    assert words.words()[2:] == [spelling(word) for word in ODD]


def test_words_that_are_spelled_alike(tmp_path: Path) -> None:
    """A word that looks like another one's spelling does not make a file that cannot be read."""
    vocabulary = [*SPECIALS, "<s>", "\\<s>", " ", "<space>", "", "<empty>"]
    ids = np.array([2, 3, 4, 5, 6, 7, 2, EOS], np.uint32)
    table = estimate(ids, len(vocabulary), NgramSettings(order=2)).table
    again, words = read_arpa(put(tmp_path, written(table, Lexicon.of(vocabulary))))
    assert same(table, again)
    assert len(set(words.words())) == len(vocabulary)


def test_the_name_of_the_end_of_lines_as_a_word(tmp_path: Path) -> None:
    """`<eos>` means nothing in the format: it is a word like any other there, or refused."""
    text = PLAIN.replace("\ta", "\t<eos>").replace(" a", " <eos>")
    grams, _ = naive_parse(text)
    line = ["<eos>", "b", "<eos>"]
    try:
        table, lexicon = read_arpa(put(tmp_path, text))
    except InputError:
        return
    assert scored(table, lexicon, line).tolist() == pytest.approx(naive_score(grams, 3, line))


# ---------------------------------------------------------------- bad files


def change(old: str, new: str) -> str:
    assert PLAIN.count(old) == 1, old
    return PLAIN.replace(old, new)


def without(title: str, stop: str) -> str:
    return PLAIN[: PLAIN.index(title)] + PLAIN[PLAIN.index(stop) :]


MALFORMED: dict[str, tuple[str, int | None, str]] = {
    "too few unigrams": (change("ngram 1=6", "ngram 1=7"), 13, "6 of them, but .* says 7"),
    "too many unigrams": (change("ngram 1=6", "ngram 1=5"), 13, "6 of them, but .* says 5"),
    "too few bigrams": (change("ngram 2=5", "ngram 2=6"), 20, "5 of them, but .* says 6"),
    "too many bigrams": (change("ngram 2=5", "ngram 2=4"), 20, "5 of them, but .* says 4"),
    "too few trigrams": (change("ngram 3=2", "ngram 3=9"), 24, "2 of them, but .* says 9"),
    "weight on the highest order": (change("<s> a b\n", "<s> a b\t-1\n"), 22, "back-off"),
    "fourth word": (change("<s> a b\n", "<s> a b a\n"), 22, "back-off"),
    "unknown word": (change("\tb a\t", "\tb x\t"), 18, "not among the 1-grams"),
    "no number": (change("-0.625\tb", "abc\tb"), 18, "number"),
    "no number among unigrams": (change("-0.5\ta", "abc\ta"), 10, "number"),
    "half a number": (change("-0.625\tb", "-0.6x25\tb"), 18, "number"),
    "no exponent": (change("-0.625\tb", "-1e\tb"), 18, "number"),
    "not a number": (change("-0.625\tb", "nan\tb"), 18, "number"),
    "NaN of a unigram": (change("-0.5\ta", "nan\ta"), 10, "number"),
    "weight that is not a number": (change("\tb a\t0", "\tb a\tx"), 18, "back-off"),
    "weight half a number": (change("\tb a\t0", "\tb a\t0x"), 18, "back-off"),
    "unigram's weight": (change("\ta\t-0.25", "\ta\tx"), 10, "back-off"),
    "NaN weight": (change("\tb a\t0", "\tb a\tnan"), 18, "back-off"),
    "unigram's NaN weight": (change("\ta\t-0.25", "\ta\tnan"), 10, "back-off"),
    "infinite weight": (change("\ta b\t-0.03125", "\ta b\tinf"), 16, "back-off"),
    "unigram's infinite weight": (change("\ta\t-0.25", "\ta\tinf"), 10, "back-off"),
    "unigram's huge weight": (change("\ta\t-0.25", "\ta\t1e300"), 10, "back-off"),
    "huge weight": (change("\ta b\t-0.03125", "\ta b\t1e300"), 16, "back-off"),
    "positive": (change("-0.625\tb", "0.625\tb"), 18, "above zero"),
    "positive unigram": (change("-0.5\ta", "0.5\ta"), 10, "above zero"),
    "one word only": (change("\tb a\t0", "\tb"), 18, "too few words"),
    "no words": (change("\tb a\t0", ""), 18, "number|too few words"),
    "unigram without a word": (change("-0.5\ta\t-0.25", "-0.5"), 10, "too few words"),
    "extra field": (change("\tb a\t0", "\tb a\t0 7"), 18, "goes on"),
    "extra field of a unigram": (change("\ta\t-0.25", "\ta\t-0.25 7"), 10, "goes on"),
    "repeated unigram": (change("-0.875\tb", "-0.875\ta"), 11, "repeats the word 'a'"),
    "repeated bigram": (change("\tb a\t", "\ta b\t"), None, "2-gram 'a b' twice"),
    "repeated trigram": (change("\ta b </s>", "\t<s> a b"), None, "3-gram .* twice"),
    "no end": (change("\\end\\", ""), None, r"\\end\\ is missing"),
    "something else than the end": (change("\\end\\", "\\ende\\"), 25, r"\\end\\ is missing"),
    "another section": (change("\\end\\", "\\4-grams:\n\n\\end\\"), 25, r"\\end\\ is missing"),
    "no unigrams": (without("\\1-", "\\2-"), 6, r"should be \\1-grams"),
    "no bigrams": (without("\\2-", "\\3-"), 14, r"should be \\2-grams"),
    "no trigrams": (without("\\3-", "\\end"), 21, r"should be \\3-grams"),
    "sections exchanged": (
        PLAIN.replace("\\2-", "\\x-").replace("\\3-", "\\2-").replace("\\x-", "\\3-"),
        14,
        r"should be \\2-grams",
    ),
    "orders exchanged": (change("ngram 1=6\nngram 2=5", "ngram 2=5\nngram 1=6"), 2, "order 2"),
    "order left out": (change("ngram 2=5\n", ""), 3, "order 3 where 2"),
    "order twice": (change("ngram 2=5\n", "ngram 1=6\n"), 3, "order 1 where 2"),
    "count without a number": (change("ngram 2=5", "ngram 2="), 3, "ngram 1=100"),
    "negative count": (change("ngram 2=5", "ngram 2=-5"), 3, "ngram 1=100"),
    "count of another script": (change("ngram 2=5", "ngram 2=²"), 3, "ngram 1=100"),
    "count without end": (change("ngram 2=5", "ngram 2=" + "5" * 5000), None, "ngram|says"),
    "no counts": (re.sub("ngram.*\n", "", PLAIN), None, "no counts"),
    "no data": (change("\\data\\", "data"), None, "not an ARPA file"),
    "empty": ("", None, "not an ARPA file"),
    "blank": ("\n \n", None, "not an ARPA file"),
    "prose": ("It was a dark and stormy night.\n" * 2000, None, "not an ARPA file"),
    "no <s>": (change("\t<s>\t", "\t<S>\t"), None, "no <s>"),
    "no </s>": (change("\t</s>\t", "\t</S>\t"), None, "no </s>"),
    "</s> in the middle": (change("\ta b </s>", "\ta </s> b"), None, "before another word"),
    "<s> in the middle": (change("\ta b </s>", "\ta <s> b"), None, "before another word"),
    "</s> at the beginning": (change("\tb a\t", "\t</s> b\t"), None, "</s>"),
    "<s> at the end": (change("\tb a\t", "\ta <s>\t"), None, "<s>"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str, tmp_path: Path) -> None:
    """Each is refused in one line, with the number of the line that is wrong where one is."""
    text, line, message = MALFORMED[name]
    path = put(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        read_arpa(path)
    said = str(caught.value)
    assert str(path) in said and "\n" not in said
    if line is not None:
        assert f"line {line} " in said, said


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_cut_off_anywhere(ends: str, tmp_path: Path) -> None:
    """However many bytes are there, a file is whole or refused."""
    whole = PLAIN.replace("\n", ends).encode()
    last = len(whole.rstrip())
    for kept in range(last):
        path = put(tmp_path, whole[:kept])
        with pytest.raises(InputError):
            read_arpa(path)
    for kept in range(last, len(whole) + 1):
        read_arpa(put(tmp_path, whole[:kept]))


@pytest.mark.parametrize("part", range(20))
def test_cut_off_model(part: int, tmp_path: Path) -> None:
    """So is an estimated model, wherever in it the end comes."""
    whole = written(*estimated(TEXT, NgramSettings(order=3)))
    with pytest.raises(InputError):
        read_arpa(put(tmp_path, whole[: part * len(whole) // 20]))


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_cut_off_compressed(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """A compressed file may end within its header, its data or its checksum."""
    raw = random.Random(0)
    text = written(
        *estimated(" ".join(str(raw.random()) for _ in range(3000)), NgramSettings(order=2))
    )
    whole = compress(text)
    read_arpa(put(tmp_path, whole))
    cuts = {0, 1, 2, 5, 6, 7, 11, 12, len(whole) - 9, len(whole) - 4, len(whole) - 1}
    for kept in sorted(cuts | {part * len(whole) // 20 for part in range(20)}):
        with pytest.raises(InputError):
            read_arpa(put(tmp_path, whole[:kept]))


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_damaged_compressed(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """A wrong byte in compressed data is found."""
    whole = bytearray(compress(PLAIN.encode() * 3))
    whole[len(whole) // 2] ^= 0x55
    with pytest.raises(InputError, match="damaged or cut off"):
        read_arpa(put(tmp_path, bytes(whole)))


@pytest.mark.parametrize("where", ["\ta\t", "\ta b\t", "\\data"])
def test_not_utf_8(where: str, tmp_path: Path) -> None:
    """Other encodings are refused where they begin."""
    at = PLAIN.encode().index(where.encode())
    path = put(tmp_path, PLAIN.encode()[:at] + "\té".encode("latin-1") + PLAIN.encode()[at + 2 :])
    line = PLAIN[:at].count("\n") + 1
    with pytest.raises(InputError, match=f"line {line} "):
        read_arpa(path)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("start", [b"", b"\x1f\x8b", b"\xfd7zXZ\x00", b"\\data\\\n", b"\0" * 50])
def test_binary_junk(start: bytes, seed: int, tmp_path: Path) -> None:
    """What is no text is no model, whatever its first bytes promise."""
    path = put(tmp_path, start + random.Random(seed).randbytes(5000))
    with pytest.raises(InputError):
        read_arpa(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        read_arpa(tmp_path / "nowhere.arpa")
    with pytest.raises(InputError, match="directory"):
        read_arpa(tmp_path)


@pytest.mark.parametrize("seed", range(10))
def test_changed_bytes(seed: int, tmp_path: Path) -> None:
    """A file with a few wrong bytes is read, if it still makes sense, or refused; never a crash.

    What is read can be asked: every probability is one.
    """
    draw = random.Random(seed)
    loaded = 0
    for _ in range(150):
        text = bytearray(PLAIN.encode())
        for _ in range(draw.choice([1, 1, 2, 5])):
            at = draw.randrange(len(text))
            new = draw.choice(
                [bytes([draw.randrange(256)]), draw.choice(b"0123456789-.\n\t ea<>b")]
            )
            text[at : at + draw.choice([0, 1, 1, 1])] = new if isinstance(new, bytes) else [new]
        try:
            table, lexicon = read_arpa(put(tmp_path, bytes(text)))
        except InputError:
            continue
        loaded += 1
        assert np.all(table.nodes.view(np.float32)[1:, LOG_PROB] <= 0)
        assert len(lexicon) == table.vocab_size
        for state in (table.start, 0):
            assert np.isfinite(table.distribution(state)).all()
    assert 0 < loaded < 150
