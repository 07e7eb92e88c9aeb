"""A text as ids on disk: what was written is the text, and the counts are the text's."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextword.config import TextConfig
from nextword.errors import InputError
from nextword.text import corpus as corpus_module
from nextword.text.char import CharTokenizer
from nextword.text.corpus import (
    Corpus,
    Counts,
    count_words,
    open_corpus,
    pieces,
    prepare,
)
from nextword.text.reader import blocks, open_texts
from nextword.text.tokenizer import SPECIALS, UNK, Tokenizer, train_tokenizer
from tests.support import LEARNT

NAMES = LEARNT
ENGLISH = "It was late,   very late; wasn't it?\n\n    if it was: go on\n" * 3
CHINESE = "我爱你，GPU 训练了三天三夜。\n\n天地玄黄。\n" * 3
MIXED = "The model 语言模型 is small 很小 and 很快 fast, 真的很快很快很快 said 她 then\n" * 3
TEXTS = {"english": ENGLISH, "chinese": CHINESE, "mixed": MIXED}


@cache
def tokenizer_of(name: str) -> Tokenizer:
    """Trained on other words than the texts', so that some of theirs are unknown."""
    text = "it was late, 我爱你。\n    go    on\n" * 9
    size = 290 if name == "bpe" else None
    return train_tokenizer([text], TextConfig(tokenizer=name, vocab_size=size, split="words"))


def prepared(text: str, tokenizer: Tokenizer, folder: Path, segment: int | None = None) -> Corpus:
    """The text through a file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_bytes(text.encode())
    spans = open_texts([folder / "text.txt"])
    return prepare(spans, tokenizer, folder / "data", segment=segment)


@pytest.fixture(params=[None, 40], ids=["one block", "many blocks"])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in one block, and in many small ones."""
    if request.param:
        monkeypatch.setattr(corpus_module, "blocks", partial(blocks, size=request.param))


# ---------------------------------------------------------------- the ids


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("segment", [None, 1, 7, 1000])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("name", NAMES)
def test_ids_and_counts_are_the_texts(
    name: str, text: str, segment: int | None, tmp_path: Path
) -> None:
    """Read in blocks and pieces, the ids are those of the whole text, and so are the counts."""
    tokenizer = tokenizer_of(name)
    made = prepared(text, tokenizer, tmp_path, segment)
    opened = open_corpus(tmp_path / "data")
    ids = tokenizer.encode(text)
    missing = tokenizer.unknown(text)
    for corpus in (made, opened):
        assert corpus.ids.tolist() == ids
        assert len(corpus) == len(ids)
        assert corpus.tokenizer == tokenizer.fingerprint
        assert corpus.counts == Counts(
            tokens=len(ids),
            words=count_words(text),
            bytes=len(text.encode()),
            chars=len(text),
            oov=ids.count(UNK),
            oov_bytes=sum(len(word.encode()) + 1 for word in missing),
        )


def test_several_files_and_progress(tmp_path: Path) -> None:
    """Files follow one another; progress adds up to the bytes read, line ends and marks too."""
    (tmp_path / "a").write_bytes("\ufeffab\r\n".encode())
    (tmp_path / "b").write_bytes("中\n".encode())
    spans = open_texts([tmp_path / "a", tmp_path / "b"])
    seen: list[int] = []
    corpus = prepare(spans, tokenizer_of("byte"), tmp_path / "data", progress=seen.append)
    assert tokenizer_of("byte").decode(corpus.ids.tolist()) == "ab\n中\n"
    assert corpus.counts == Counts(tokens=7, words=4, bytes=7, chars=5)
    assert sum(seen) == 3 + 4 + 4


def test_unknown_is_spelled_with_an_end_mark(tmp_path: Path) -> None:
    """oov counts the unknown tokens, oov_bytes their bytes and one more each; a literal <unk>
    that the vocabulary knows is neither."""
    tokenizer = train_tokenizer(["a <unk>\n"], TextConfig(tokenizer="word", split="whitespace"))
    counts = prepared("a zwölf <unk> 中 a\n", tokenizer, tmp_path).counts
    assert (counts.oov, counts.oov_bytes) == (2, (6 + 1) + (3 + 1))


def test_nothing_but_white_space(tmp_path: Path) -> None:
    """A text without a token is an empty corpus, not an error."""
    assert len(prepared("   ", tokenizer_of("word"), tmp_path)) == 0
    assert len(open_corpus(tmp_path / "data")) == 0


@pytest.mark.parametrize(
    ("vocab_size", "dtype"), [(1 << 16, np.uint16), ((1 << 16) + 1, np.uint32)]
)
def test_dtype_by_vocabulary(vocab_size: int, dtype: type, tmp_path: Path) -> None:
    """Two bytes an id as long as the largest id fits in them, else four."""
    characters = [chr(0x10000 + n) for n in range(vocab_size - len(SPECIALS))]
    tokenizer = CharTokenizer([*SPECIALS, *characters], lower=False)
    corpus = prepared(characters[0] + characters[-1], tokenizer, tmp_path)
    assert corpus.ids.dtype == dtype
    assert corpus.ids.tolist() == [2, vocab_size - 1]
    assert open_corpus(tmp_path / "data").ids.dtype == dtype


def test_ids_are_mapped_not_loaded(tmp_path: Path) -> None:
    """The ids stay on disk and cannot be written to."""
    prepared(ENGLISH, tokenizer_of("char"), tmp_path)
    ids = open_corpus(tmp_path / "data").ids
    assert isinstance(ids, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        ids[0] = 1


# ---------------------------------------------------------------- damaged files


def cut_off(folder: Path) -> None:
    (folder / "ids.bin").write_bytes((folder / "ids.bin").read_bytes()[:-1])


def too_long(folder: Path) -> None:
    (folder / "ids.bin").write_bytes((folder / "ids.bin").read_bytes() + b"\0\0")


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def meta(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        values = json.loads((folder / "meta.json").read_text())
        (folder / "meta.json").write_text(json.dumps(change(values)))

    return damage


DAMAGES: dict[str, Callable[[Path], object]] = {
    "ids cut off": cut_off,
    "ids too long": too_long,
    "ids missing": without("ids.bin"),
    "meta missing": without("meta.json"),
    "meta empty": lambda folder: (folder / "meta.json").write_text(""),
    "meta cut off": lambda folder: (folder / "meta.json").write_text('{"tokens": 12'),
    "meta not UTF-8": lambda folder: (folder / "meta.json").write_bytes(b'{"\xff": 1}'),
    "meta a list": meta(lambda values: [values]),
    "no count": meta(lambda values: {k: v for k, v in values.items() if k != "words"}),
    "no tokenizer": meta(lambda values: {k: v for k, v in values.items() if k != "tokenizer"}),
    "tokens a word": meta(lambda values: values | {"tokens": "many"}),
    "unknown dtype": meta(lambda values: values | {"dtype": "uint17"}),
    "another dtype": meta(lambda values: values | {"dtype": "uint32"}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_corpus(damage: Callable[[Path], object], tmp_path: Path) -> None:
    """Files that are missing, cut off or changed are bad input that names the folder."""
    prepared(ENGLISH, tokenizer_of("bpe"), tmp_path)
    damage(tmp_path / "data")
    with pytest.raises(InputError, match=r"data' is damaged"):
        open_corpus(tmp_path / "data")


# ---------------------------------------------------------------- words


WORDS = {
    "": 0,
    "a b  c": 3,
    "a b\n\nc\n": 6,
    "\n": 1,
    "don't, stop.\n": 3,
    "naïve café\n": 3,
    "我爱你": 3,
    "我爱你。\n": 5,
    "我爱你们 GPU\n": 6,
    "我爱 GPU\n": 3,
    "天地 玄黄": 4,
    "かなカナ漢字": 6,
    "She said 好 and left\n": 6,
    "一 two\n三四五六 six\n": 2 + 1 + 5 + 1,
    "我爱你\nabc def\n": 3 + 1 + 2 + 1,
}


@pytest.mark.parametrize("text", WORDS)
def test_count_words(text: str) -> None:
    """White space parts words, every line end counts, Chinese lines count characters."""
    assert count_words(text) == WORDS[text]


@given(st.lists(st.text("ab 我，é", max_size=8), min_size=1, max_size=6), st.integers(0, 6))
def test_count_words_is_a_sum_over_lines(lines: list[str], at: int) -> None:
    """Counting line by line adds up, so a text can be counted in blocks."""
    at = min(at, len(lines))
    first, rest = "".join(f"{x}\n" for x in lines[:at]), "".join(f"{x}\n" for x in lines[at:])
    assert count_words(first) + count_words(rest) == count_words(first + rest)


# ---------------------------------------------------------------- segments


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("size", [1, 7, 30])
def test_segments_are_the_same_for_every_tokenizer(text: str, size: int, tmp_path: Path) -> None:
    """Their bytes agree, and each holds the ids of its own stretch of the text."""
    raw = text.encode()
    for name in NAMES:
        tokenizer = tokenizer_of(name)
        corpus = prepared(text, tokenizer, tmp_path / name, size)
        reference = prepared(text, tokenizer_of("byte"), tmp_path / "twin", size)
        ends, sizes = corpus.segment_ends, corpus.segment_bytes
        assert ends is not None and sizes is not None and reference.segment_bytes is not None
        assert sizes.tolist() == reference.segment_bytes.tolist()
        assert sizes.sum() == corpus.counts.bytes
        assert ends[-1] == corpus.counts.tokens
        stretches = zip(
            [0, *ends[:-1]], ends, np.cumsum(sizes) - sizes, np.cumsum(sizes), strict=True
        )
        for first, last, start, stop in stretches:
            assert corpus.ids[first:last].tolist() == tokenizer.encode(raw[start:stop].decode())


def test_no_segments_unless_asked(tmp_path: Path) -> None:
    """They are for comparisons alone."""
    corpus = prepared(ENGLISH, tokenizer_of("byte"), tmp_path)
    assert corpus.segment_ends is None and corpus.segment_bytes is None


@given(st.text("ab 我\n\t", max_size=60), st.integers(1, 12))
def test_pieces(text: str, size: int) -> None:
    """Pieces make up the text; each is as short as the places to cut allow."""
    parts = list(pieces(text, size))
    assert "".join(parts) == text
    assert all(parts)
    for index, part in enumerate(parts):
        following = "".join(parts[index + 1 :])
        if following:
            assert len(part) >= size
            assert part.endswith("\n") or (following[0] == " " and not part[-1].isspace())
        for cut in range(size, len(part)):
            before, after = part[cut - 1], part[cut]
            assert before != "\n"
            assert after != " " or before.isspace()


@pytest.mark.parametrize("name", NAMES)
@given(st.lists(st.sampled_from(["it", "我", " ", "    ", "\n", "\t"])).map("".join))
def test_pieces_encode_as_the_whole(name: str, text: str) -> None:
    """Whatever the size of the pieces, their ids are those of the text."""
    tokenizer = tokenizer_of(name)
    for size in (1, 2, 5):
        ids = [i for piece in pieces(text, size) for i in tokenizer.encode(piece)]
        assert ids == tokenizer.encode(text)
