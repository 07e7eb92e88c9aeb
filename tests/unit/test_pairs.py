"""Sentence pairs: how they are read, what is left out, and how they become batches."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nextword.config import TextConfig, TrainConfig
from nextword.data.pairs import Pairs, Sentences, auto_tokens, pad, shifted
from nextword.errors import InputError
from nextword.text.byte import ByteTokenizer
from nextword.text.corpus import open_corpus
from nextword.text.pairs import (
    PairFile,
    Skipped,
    encode_lines,
    hold_out_pairs,
    open_pairs,
    open_pairs_corpus,
    prepare_pairs,
    side,
)
from nextword.text.reader import BLOCK, lines
from nextword.text.tokenizer import EOS, Tokenizer, train_tokenizer
from tests.support import LEARNT

TABBED = "Hello .\tHallo .\nHow are you ?\t你好吗？\tCC-BY\n"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, target: Path | None = None) -> list[tuple[int, str, str]]:
    return [(p.line, p.source, p.target) for p in PairFile(path, target)]


# ------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize(
    ("content", "pairs"),
    [
        (TABBED, [(1, "Hello .", "Hallo ."), (2, "How are you ?", "你好吗？")]),
        (TABBED.rstrip("\n"), [(1, "Hello .", "Hallo ."), (2, "How are you ?", "你好吗？")]),
        ("\ufeffa\tb\r\nc\td\textra\tcolumns\r\n", [(1, "a", "b"), (2, "c", "d")]),
        ("  a b \t\u3000c d  \n", [(1, "a b", "c d")]),
        ("\na\tb\n   \n", [(1, "", ""), (2, "a", "b"), (3, "", "")]),
        ("\tb\na\t\n", [(1, "", "b"), (2, "a", "")]),
    ],
    ids=["extra column", "no last newline", "BOM, CRLF", "white space", "blank", "one side empty"],
)
def test_tabbed(content: str, pairs: list[Any], tmp_path: Path) -> None:
    """Source, tab, target; what stands behind a second tab is left alone."""
    assert read(write(tmp_path / "pairs.tsv", content)) == pairs


def test_separate(tmp_path: Path) -> None:
    """Two files, line by line; their last newlines and line ends need not agree."""
    a = write(tmp_path / "a", "one\r\n\n three ")
    b = write(tmp_path / "b", "\ufeffeins\nzwei\ndrei\n")
    assert read(a, b) == [(1, "one", "eins"), (2, "", "zwei"), (3, "three", "drei")]
    assert read(a, a)[2] == (3, "three", "three")


def test_lines_cross_blocks(tmp_path: Path) -> None:
    """Lines longer than what is read at a time stay whole."""
    wanted = ["x" * 10, "ab " * (BLOCK // 2), "", "é" * BLOCK, "end"]
    path = write(tmp_path / "long", "\n".join(wanted))
    assert list(lines(path)) == wanted
    assert list(lines(write(path, "\n".join(wanted) + "\n"))) == wanted


def test_line_without_tab(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.tsv", "a\tb\n\nno tab here\n")
    with pytest.raises(InputError, match=r"line 3 of '.*pairs\.tsv' has no tab"):
        read(path)


@pytest.mark.parametrize("longer", ["a", "b"])
def test_unequal_lengths(longer: str, tmp_path: Path) -> None:
    """Both files and the line where the shorter ends are named."""
    a = write(tmp_path / "a", "1\n2\n3\n" if longer == "a" else "1\n2\n")
    b = write(tmp_path / "b", "1\n2\n3\n" if longer == "b" else "1\n2\n")
    shorter = "b" if longer == "a" else "a"
    with pytest.raises(InputError, match=rf"/{shorter}' ends after line 2, '.*/{longer}' goes on"):
        read(a, b)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a\tb\0c\n", "looks binary"),
        ("é\tb\n".encode("latin-1"), "not UTF-8"),
        (None, "no file"),
    ],
)
def test_unreadable(content: bytes | None, message: str, tmp_path: Path) -> None:
    good, bad = write(tmp_path / "good", "a\tb\n"), tmp_path / "bad"
    if content is not None:
        write(bad, content)
    for source, target in ((bad, None), (good, bad), (bad, good)):
        with pytest.raises(InputError, match=message) as error:
            [list(file) for file in open_pairs([source], [target] if target else [])]
        assert "bad'" in str(error.value)


def test_open_pairs(tmp_path: Path) -> None:
    """Each file has the partner at its place."""
    a, b, c = (write(tmp_path / name, "x\ty\n") for name in "abc")
    assert open_pairs([a, b]) == [PairFile(a), PairFile(b)]
    assert open_pairs([a, b], [b, c]) == [PairFile(a, b), PairFile(b, c)]
    with pytest.raises(InputError, match="2 source files and 1 target files"):
        open_pairs([a, b], [c])
    with pytest.raises(InputError, match="1 source files and 2 target files"):
        open_pairs([a], [b, c])


@given(st.integers(1, 60), st.sampled_from([0.0, 0.05, 0.3, 1.0]))
def test_hold_out(total: int, fraction: float) -> None:
    """The last lines of every file, none lost, none in both."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [
            write(Path(folder) / name, "".join(f"{name}{i}\tx\n" for i in range(size)))
            for name, size in (("a", total), ("b", 7))
        ]
        kept, held = hold_out_pairs(open_pairs(paths), fraction)
        for path, size in zip(paths, (total, 7), strict=True):
            first = [p.line for file in kept if file.path == path for p in file]
            last = [p.line for file in held if file.path == path for p in file]
            assert first + last == list(range(1, size + 1))
            assert len(last) == int(size * fraction)
        assert all(list(file) for file in held)


def test_side(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs", "a b\tc\n\nd\te f\n")
    assert "".join(side([PairFile(path), PairFile(path)], "source")) == "a b\n\nd\n" * 2
    assert "".join(side([PairFile(path)], "target")) == "c\n\ne f\n"


# ------------------------------------------------------------------------------------- tokenization


TEXTS = ["The cat sat, on the mat .", "", "你好，世界！", "naïve – “x”", "a"]


def tokenizer(kind: str, texts: list[str], **settings: Any) -> Tokenizer:
    if kind == "bpe":
        settings.setdefault("vocab_size", 300)
    return train_tokenizer(
        ["".join(f"{t}\n" for t in texts)], TextConfig(tokenizer=kind, **settings)
    )


@pytest.mark.parametrize("kind", LEARNT)
def test_encode_lines(kind: str) -> None:
    """A row a text, `<eos>` at its end and nowhere else; the ids say what the text said."""
    made = tokenizer(kind, TEXTS)
    rows = encode_lines(made, TEXTS)
    assert len(rows) == len(TEXTS)
    assert all(row.index(EOS) == len(row) - 1 for row in rows)
    assert rows[1] == [EOS]
    again = [made.decode(row[:-1]) for row in rows]
    if kind in ("word", "wordpiece"):  # spaces around marks are its own
        again, wanted = ["".join(t.split()) for t in again], ["".join(t.split()) for t in TEXTS]
        assert again == wanted
    else:
        assert again == TEXTS
    assert rows == [[*made.encode(text), EOS] for text in TEXTS]
    assert encode_lines(made, []) == []


@pytest.mark.parametrize("kind", LEARNT)
def test_literal_end_mark(kind: str, tmp_path: Path) -> None:
    """A text that spells the end mark is one sentence all the same."""
    path = write(tmp_path / "pairs", "a <eos> b\tc\nd\te\n")
    made = tokenizer(kind, ["a b c d e <eos>"])
    corpus, _ = prepare_pairs([PairFile(path)], made, made, tmp_path / "data", 100)
    assert corpus.source is not None
    assert len(Sentences(corpus.ids)) == len(Sentences(corpus.source.ids)) == 2


# ---------------------------------------------------------------------------------------- preparing


SENTENCES = st.lists(
    st.sampled_from(["a", "bc", "de f", "你", "!", " ", "\u3000"]), max_size=5
).map("".join)


@given(st.lists(st.tuples(SENTENCES, SENTENCES), min_size=1, max_size=12), st.integers(2, 9))
def test_prepare(pairs: list[tuple[str, str]], longest: int) -> None:
    """What is kept, empty or too long is all there is; the ids say the kept texts, in order."""
    made = ByteTokenizer.train([], TextConfig(tokenizer="byte"))
    stripped = [(a.strip(), b.strip()) for a, b in pairs]
    there = [(a, b) for a, b in stripped if a and b]
    fit = [(a, b) for a, b in there if max(len(a.encode()), len(b.encode())) + 1 <= longest]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "pairs", "".join(f"{a}\t{b}\n" for a, b in pairs))
        seen: list[int] = []
        corpus, skipped = prepare_pairs(
            [PairFile(path)], made, made, Path(folder) / "data", longest, seen.append
        )
        assert skipped == Skipped(len(pairs) - len(there), len(there) - len(fit))
        assert sum(seen) == sum(len(f"{a}{b}".encode()) + 2 for a, b in stripped)
        assert corpus.source is not None
        for part, index in ((corpus.source, 0), (corpus, 1)):
            text = "".join(f"{pair[index]}\n" for pair in fit)
            assert made.decode(part.ids.tolist()) == text
            assert part.counts.tokens == len(part.ids) == len(text.encode())
            assert part.counts.bytes == len(text.encode())
            assert part.counts.chars == len(text)
            assert part.tokenizer == made.fingerprint


def test_prepare_many_blocks(tmp_path: Path) -> None:
    """More pairs than are encoded at once, from several files, each side by its own tokenizer."""
    paths = [
        write(
            tmp_path / f"{f}",
            "".join(f"s{f} {i}\t{i} t{f}\n" if i % 7 else f"\tt{i}\n" for i in range(2500)),
        )
        for f in range(2)
    ]
    files = open_pairs(paths)
    source = train_tokenizer(side(files, "source"), TextConfig(tokenizer="word", vocab_size=None))
    target = train_tokenizer(side(files, "target"), TextConfig(tokenizer="char"))
    corpus, skipped = prepare_pairs(files, target, source, tmp_path / "data", 50)
    wanted = [(f, i) for f in range(2) for i in range(2500) if i % 7]
    assert skipped == Skipped(5000 - len(wanted), 0)
    assert corpus.source is not None
    assert source.decode(corpus.source.ids.tolist()).split("\n")[:-1] == [
        f"s{f} {i}" for f, i in wanted
    ]
    assert target.decode(corpus.ids.tolist()).split("\n")[:-1] == [f"{i} t{f}" for f, i in wanted]
    assert corpus.counts.oov == corpus.source.counts.oov == 0


@pytest.mark.parametrize("name", ["ids.bin", "meta.json", "source/ids.bin", "source/meta.json"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_damaged_folder(name: str, damage: str, tmp_path: Path) -> None:
    """The folder of the damaged side is named."""
    path = write(tmp_path / "pairs", TABBED)
    made = tokenizer("char", [TABBED])
    corpus, _ = prepare_pairs([PairFile(path)], made, made, tmp_path / "data", 100)
    again = open_pairs_corpus(tmp_path / "data")
    assert again.source is not None
    assert (again.ids == corpus.ids).all()
    assert again.counts == corpus.counts
    del corpus, again
    broken = tmp_path / "data" / name
    if damage == "missing":
        broken.unlink()
    else:
        broken.write_bytes(broken.read_bytes()[:-3])
    with pytest.raises(InputError, match="damaged") as error:
        open_pairs_corpus(tmp_path / "data")
    assert f"'{broken.parent}'" in str(error.value)


# ------------------------------------------------------------------------------------------- stream


def sentences(lengths: list[int], first: int) -> np.ndarray[Any, Any]:
    """Sentence i of `lengths[i]` tokens, all of them first + i, and its end mark."""
    ids = [[first + i] * (length - 1) + [EOS] for i, length in enumerate(lengths)]
    return np.array([x for row in ids for x in row], dtype=np.uint16)


@st.composite
def sides(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Lengths of targets and sources."""
    count = draw(st.integers(1, 30))
    lengths = st.lists(st.integers(2, 9), min_size=count, max_size=count)
    return draw(lengths), draw(lengths)


def names(batch: Any) -> list[int]:
    """Which sentences a batch has."""
    return [int(row[0]) - 10 for row in batch.targets]


@given(sides(), st.integers(1, 40), st.none() | st.integers(1, 5), st.booleans(), st.integers(0, 9))
def test_batches(
    lengths: tuple[list[int], list[int]],
    budget: int,
    rows: int | None,
    shuffle: bool,
    seed: int,
) -> None:
    """Every pair once, source beside target, masks where tokens are, budget and rows kept."""
    target, source = lengths
    stream = Pairs(
        sentences(target, 10), sentences(source, 110), budget, rows, shuffle=shuffle, seed=seed
    )
    batches = list(stream)
    assert Counter(i for batch in batches for i in names(batch)) == Counter(range(len(target)))
    for batch in batches:
        assert batch.source is not None
        assert batch.mask is not None
        assert batch.source_mask is not None
        assert batch.ids.dtype == batch.source.dtype == torch.int64
        assert not batch.continues
        which = names(batch)
        assert batch.source[:, 0].tolist() == [110 + i for i in which]
        assert batch.mask.sum(dim=1).tolist() == [target[i] for i in which]
        assert batch.source_mask.sum(dim=1).tolist() == [source[i] for i in which]
        assert batch.tokens == sum(target[i] for i in which)
        assert batch.targets.shape[1] == max(target[i] for i in which)
        assert batch.source.shape[1] == max(source[i] for i in which)
        for row, i in enumerate(which):
            assert batch.targets[row].tolist()[: target[i]] == [10 + i] * (target[i] - 1) + [EOS]
            assert batch.mask[row, : target[i]].all()
            assert batch.source_mask[row, : source[i]].all()
        assert (batch.targets[~batch.mask] == EOS).all()
        assert (batch.source[~batch.source_mask] == EOS).all()
        assert (batch.ids[:, 0] == EOS).all()
        assert torch.equal(batch.ids[:, 1:], batch.targets[:, :-1])
        if len(which) > 1:
            assert max(batch.targets.numel(), batch.source.numel()) <= budget
        assert len(which) <= (rows or len(target))


def test_budget_is_used() -> None:
    """Equal sentences: as many as fit; a pair longer than the budget is alone."""
    even = Pairs(sentences([5] * 20, 10), sentences([4] * 20, 110), 30)
    assert sorted(len(batch.ids) for batch in even) == [2, 6, 6, 6]
    limited = Pairs(sentences([5] * 20, 10), sentences([4] * 20, 110), 30, 4)
    assert [len(batch.ids) for batch in limited] == [4] * 5
    uneven = Pairs(sentences([5, 50, 5], 10), sentences([5, 5, 5], 110), 30)
    assert sorted(names(batch) for batch in uneven) == [[1], [0, 2]] or sorted(
        sorted(names(batch)) for batch in uneven
    ) == [[0, 2], [1]]


def test_similar_lengths_together() -> None:
    """By the source's length, then the target's: without shuffling, in that order."""
    rng = np.random.default_rng(0)
    target, source = (rng.integers(2, 20, 200).tolist() for _ in range(2))
    stream = Pairs(sentences(target, 10), sentences(source, 300), 60, shuffle=False)
    order = [i for batch in stream for i in names(batch)]
    assert order == sorted(range(200), key=lambda i: (source[i], target[i]))


def test_shuffled_by_seed() -> None:
    """One seed, one order, whenever a batch is asked for; another seed, other batches."""
    rng = np.random.default_rng(0)
    target, source = (rng.integers(2, 5, 60).tolist() for _ in range(2))

    def made(seed: int) -> Pairs:
        return Pairs(sentences(target, 10), sentences(source, 110), 40, seed=seed)

    one = [names(batch) for batch in made(3)]
    again = made(3)
    assert [names(again[i]) for i in reversed(range(len(again)))] == one[::-1]
    other = [names(batch) for batch in made(4)]
    assert one != other
    assert {frozenset(rows) for rows in one} != {frozenset(rows) for rows in other}
    widths = [made(3)[i].source.shape[1] for i in range(len(again))]  # type: ignore[union-attr]
    assert widths != sorted(widths)  # the batches come in random order
    for outside in (-1, len(again)):
        with pytest.raises(IndexError):
            again[outside]


def test_stream_of(tmp_path: Path) -> None:
    """Settings reach the stream; a text without a source side is refused."""
    path = write(tmp_path / "pairs", "".join(f"a{'b' * (i % 5)}\tc\n" for i in range(40)))
    made = tokenizer("char", ["abc"])
    corpus, _ = prepare_pairs([PairFile(path)], made, made, tmp_path / "data", 100)
    train = TrainConfig(stream="pairs", batch_tokens=24, batch_size=3, shuffle=False)
    stream = Pairs.of(corpus, train, 5)
    assert max(len(batch.ids) for batch in stream) == 3
    widths = [batch.source.shape[1] for batch in stream]
    assert widths == sorted(widths)
    loose = Pairs.of(corpus, TrainConfig(stream="pairs", batch_tokens=24), 5)
    assert max(len(batch.ids) for batch in loose) == 24 // 3
    assert not Pairs.carries
    free = Pairs.of(corpus, TrainConfig(stream="pairs"), 5)  # nobody says how many tokens
    assert [len(batch.ids) for batch in free] == [40]
    with pytest.raises(InputError, match="pairs"):
        Pairs.of(open_corpus(tmp_path / "data"), train, 5)


def test_tokens_of_a_batch_where_none_are_set() -> None:
    """256 to 2048, for a hundred batches or more in a pass."""
    for tokens, each in ((0, 256), (25_699, 256), (25_700, 257), (204_799, 2047), (10**7, 2048)):
        assert auto_tokens(tokens) == each


def test_pad_and_shift() -> None:
    ids, mask = pad([[5, 6, EOS], [EOS], [7, EOS]])
    assert ids.tolist() == [[5, 6, EOS], [EOS, EOS, EOS], [7, EOS, EOS]]
    assert mask.tolist() == [[True] * 3, [True, False, False], [True, True, False]]
    assert shifted(ids).tolist() == [[EOS, 5, 6], [EOS, EOS, EOS], [EOS, 7, EOS]]
