"""Words ⇄ ids from the bytes of a text: as the word tokenizer that splits at white space."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextword.config import TextConfig
from nextword.text import lexicon as lexicon_module
from nextword.text.lexicon import Lexicon
from nextword.text.tokenizer import EOS, UNK
from nextword.text.vocabulary_builder import VocabularyBuilder
from nextword.text.word import WordTokenizer

SPACES = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and chr(c).isspace()]
# Characters whose bytes are nearly those of white space, and others of each length.
NEARLY = "\x00\x08\x0e\x1b\x7f\x80\x84\x86\x9f\xa1\u0385\u1681\u167f\u180e\u1fff\u200b\u2010\u2027"
NEARLY += "\u202a\u202e\u2030\u205e\u2060\u20a0\u3001\u2fff\u3080\ufeff\uffff\U00010000\U000e0020"
PIECES = [*SPACES, *NEARLY, "\n", "\n\n", " ", "\r\n", "a", "b", "ab", "<unk>", "<eos>", "<s>"]
PIECES += [
    "我",
    "天地",
    "𠀀",
    "😀",
    "abcdefgh",
    "abcdefghi",
    "abcdefghj",
    "x" * 300,
    "é",
    "e\u0301",
]

texts = st.lists(
    st.one_of(st.sampled_from(PIECES), st.text(st.characters(exclude_categories=["Cs"]))),
    max_size=40,
).map("".join)
ends = st.sampled_from([*SPACES, "\n"])  # where blocks may be cut
blocks = st.lists(st.tuples(texts, ends).map("".join), min_size=1, max_size=4)


def twin(text: str, size: int | None = None, min_count: int = 1) -> WordTokenizer:
    """The slow one."""
    config = TextConfig(tokenizer="word", vocab_size=size, split="whitespace", min_count=min_count)
    return WordTokenizer.train([text], config)


def assert_same(parts: list[str], size: int | None, min_count: int) -> Lexicon:
    """Built part by part: the twin's vocabulary, and the ids of each part."""
    slow = twin("".join(parts), size, min_count)
    builder = VocabularyBuilder()
    numbers = [builder.add(part) for part in parts]
    lexicon, ids = builder.finish(size, min_count)
    assert lexicon.words() == slow.vocabulary
    assert len(lexicon) == slow.vocab_size
    for part, found in zip(parts, numbers, strict=True):
        expected = slow.encode(part)
        assert ids[found].tolist() == expected
        assert lexicon.ids(part).tolist() == expected
    return lexicon


def test_all_white_space_is_tried() -> None:
    """The white space that Python knows, all of which the texts here have."""
    assert len(SPACES) == 29
    assert {"\x0b", "\x1c", "\x85", "\xa0", "\u1680", "\u2000", "\u2028", "\u3000"} <= set(SPACES)
    assert not any(c.isspace() for c in NEARLY)


@given(parts=blocks, size=st.sampled_from([None, None, 3, 4, 7]), min_count=st.integers(1, 3))
def test_as_the_word_tokenizer(parts: list[str], size: int | None, min_count: int) -> None:
    """Vocabulary, its order, and ids are the word tokenizer's, whatever the text."""
    assert_same(parts, size, min_count)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: f"U+{ord(space):04X}")
def test_every_white_space_parts_words(space: str) -> None:
    """At the beginning, between, doubled and at the end of the text; only \\n ends a line."""
    for text in (f"a{space}b", f"{space}a", f"a{space}", f"a{space}{space}b\n", f"天{space}😀"):
        assert_same([text], None, 1)
    line_ends = np.count_nonzero(VocabularyBuilder().add(f"a{space}b") == EOS)
    assert line_ends == (space == "\n")


@pytest.mark.parametrize("char", NEARLY, ids=lambda char: f"U+{ord(char):04X}")
def test_what_is_nearly_white_space_does_not(char: str) -> None:
    """Characters that begin with the same bytes, and halves of them at the end of the text."""
    for text in (f"a{char}b", f"{char}", f"a {char}\n{char}"):
        assert_same([text], None, 1)


def test_every_character() -> None:
    """Every character of Unicode between two letters."""
    for first in range(0, 0x110000, 0x8000):
        chars = [chr(c) for c in range(first, first + 0x8000) if not 0xD800 <= c < 0xE000]
        text = "a" + "a".join(chars) + "a"
        words = [word for line in text.split("\n") for word in (*line.split(), "<eos>")][:-1]
        builder = VocabularyBuilder()
        ids = builder.add(text)
        lexicon, renumbered = builder.finish()
        names = lexicon.words()
        assert [names[index] for index in renumbered[ids]] == words


@pytest.mark.parametrize("text", ["", "\n", "\n\n", " ", " \n", "a", "<unk>", "<eos>", "<unk> a\n"])
def test_hardly_anything(text: str) -> None:
    """Texts of nothing, of line ends, of the specials."""
    assert_same([text], None, 1)
    assert_same([text + " ", "", text], None, 2)


def test_a_literal_unk_is_a_word() -> None:
    """<unk> in a text is id 0 and <eos> id 1, in no other place of the vocabulary."""
    builder = VocabularyBuilder()
    ids = builder.add("<unk> <unk> a <eos>\n")
    assert ids.tolist() == [UNK, UNK, 2, EOS, EOS]
    assert builder.counts.tolist() == [2, 2, 1]
    assert builder.types == 3
    lexicon, _ = builder.finish()
    assert lexicon.words() == ["<unk>", "<eos>", "a"]


@pytest.mark.parametrize("parts", [1, 7])
def test_more_types_than_the_first_tables_hold(parts: int) -> None:
    """150,000 types, three times over in other orders: tables, blob and counts grow on the way."""
    rng = np.random.default_rng(parts)
    types = rng.permutation(150_000)
    order = np.concatenate([types, rng.permutation(types)[:70_000], rng.permutation(types)[:9_000]])
    words = [f"{index:x}{'-' * (index % 11)}" for index in order.tolist()]
    texts = [
        " ".join(words[at : at + len(words) // parts + 1]) + "\n"
        for at in range(0, len(words), len(words) // parts + 1)
    ]
    assert len(assert_same(texts, None, 1)) == 150_002
    assert len(assert_same(texts, None, 2)) < 79_002
    assert len(assert_same(texts, 50_000, 1)) == 50_000


def test_words_larger_than_the_first_blob() -> None:
    """Words of a megabyte, and many after them."""
    long = ["x" * 1_000_000 + mark for mark in ("", "a", "b", "天")]
    lexicon = assert_same([f"{long[0]} a {long[1]}\n", f"{long[2]} {long[3]} b {long[2]}"], None, 1)
    assert lexicon.id_of(long[2].encode()) == 2
    assert lexicon.id_of(b"x" * 999_999) == UNK


@given(
    st.permutations([f"{'abcdefgh' * n}{end}" for n in (0, 1, 2) for end in "zyx\U00010000\ue000"])
)
def test_ties_are_settled_by_all_bytes(words: list[str]) -> None:
    """Equally frequent words that share eight bytes or more stand in the order of their
    characters, which is that of their bytes."""
    lexicon = assert_same([" ".join(words)], None, 1)
    assert lexicon.words(2) == sorted(words)


def test_ties_within_counts_only() -> None:
    """Frequency goes before the alphabet, also among words that begin alike."""
    words = ["abcdefgh" + end for end in "dcba"]
    lexicon = assert_same([" ".join([*words, words[0], words[2]])], None, 1)
    assert lexicon.words(2) == [words[2], words[0], words[3], words[1]]


def test_counts_and_types() -> None:
    """How often each number was given, in the order of first appearance."""
    builder = VocabularyBuilder()
    builder.add("b a\nb")
    builder.add(" b c\n")
    assert builder.types == 5
    assert builder.counts.tolist() == [0, 2, 3, 1, 1]


# ---------------------------------------------------------------- looking up


WORDS = ["<unk>", "<eos>", "天", "a", "abcdefghi", "abcdefghj", "😀", "ab"]


def test_lexicon_of_words() -> None:
    """Ids are the places; unknown words are <unk>, newlines <eos>."""
    lexicon = Lexicon.of(WORDS)
    assert len(lexicon) == len(WORDS)
    assert lexicon.ids("ab 天\n zzz a\u3000😀 abcdefgh abcdefghj").tolist() == [
        *(7, 2, EOS, UNK, 3, 6, UNK, 5)
    ]
    assert lexicon.ids("").tolist() == []
    data = np.frombuffer("天 b\n".encode(), np.uint8)
    assert lexicon.ids_of_bytes(data).tolist() == [2, UNK, EOS]


@pytest.mark.parametrize("space", [space for space in SPACES if ord(space) > 127], ids=ascii)
def test_nothing_is_read_past_the_end(space: str) -> None:
    """A white space cut off in the middle is none, whatever lies behind it in memory."""
    data = np.frombuffer(f"a{space}a".encode(), np.uint8)
    assert Lexicon.of(WORDS).ids_of_bytes(data).tolist() == [3, 3]
    assert Lexicon.of(WORDS).ids_of_bytes(data[:-2]).tolist() == [UNK]


def test_words_and_places() -> None:
    """`words` gives any stretch, `id_of` and `in` know what is there and what is not."""
    lexicon = Lexicon.of(WORDS)
    for first in range(len(WORDS) + 1):
        assert lexicon.words(first) == WORDS[first:]
        for stop in range(first, len(WORDS) + 3):
            assert lexicon.words(first, stop) == WORDS[first:stop]
    for index, word in enumerate(WORDS):
        assert lexicon.id_of(word.encode()) == index
        assert word in lexicon
    for word in ("", "abcdefgh", "abcdefghk", "aa", "b", "天天", "\U0001f601"):
        assert lexicon.id_of(word.encode()) == UNK
        assert word not in lexicon


def test_of_equal_words_the_first_counts() -> None:
    """A word that is there twice has the id of its first place."""
    assert Lexicon.of(["<unk>", "<eos>", "a", "b", "a"]).ids("a b").tolist() == [2, 3]


@given(
    words=st.lists(st.sampled_from([*WORDS[2:], "zz", "我"]), max_size=30), cut=st.integers(2, 8)
)
def test_look_up_is_a_dictionary(words: list[str], cut: int) -> None:
    """`ids` of any words is what a dictionary would say."""
    known = {word: index for index, word in enumerate(WORDS[:cut])}
    expected = [known.get(word, UNK) for word in words]
    assert Lexicon.of(WORDS[:cut]).ids(" ".join(words)).tolist() == expected


def test_threads_that_look_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several threads may ask a new vocabulary at the same time: none finds it half made."""
    fill = lexicon_module.fill_hash_table

    def slow(*arguments: Any) -> None:
        time.sleep(0.1)
        fill(*arguments)

    lexicon = Lexicon.of(WORDS)
    monkeypatch.setattr(lexicon_module, "fill_hash_table", slow)
    found: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: found.append(lexicon.ids("天 a").tolist()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[2, 3]] * 4
