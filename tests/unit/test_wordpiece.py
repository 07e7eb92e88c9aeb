"""WordPiece and the ends of sentences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextword.config import TextConfig
from nextword.text.sentences import split_sentences
from nextword.text.tokenizer import EOS, UNK
from nextword.text.wordpiece import CLS, MARKS, MASK, PAD, WordPieceTokenizer

WORDS = ["un", "##able", "##s", "cat", "the", "sat", ".", "中", "文", "a", "##b"]
TEXT = "the unable cats sat . the cat sat on the mat . 中文 the cats ."


def made(lower: bool = True, sentences: bool = False) -> WordPieceTokenizer:
    return WordPieceTokenizer([*MARKS, *WORDS], lower, sentences)


def pieces(text: str, **settings: bool) -> list[str]:
    tokenizer = made(**settings)
    return [tokenizer.vocabulary[index] for index in tokenizer.encode(text)]


def test_the_longest_piece_first() -> None:
    assert pieces("unable cats") == ["un", "##able", "cat", "##s"]
    assert pieces("The CAT sat.") == ["the", "cat", "sat", "."]
    assert pieces("dog cat") == ["[UNK]", "cat"]
    assert pieces("catx the") == ["[UNK]", "the"]  # a word is known whole or not at all


def test_chinese_characters_stand_alone() -> None:
    assert pieces("中文the") == ["中", "文", "the"]


def test_capitals_stay_where_they_are_wanted() -> None:
    assert pieces("The cat", lower=False) == ["[UNK]", "cat"]


def test_marks_come_first() -> None:
    tokenizer = made()
    assert [tokenizer.vocabulary[i] for i in (UNK, EOS, CLS, MASK, PAD)] == list(MARKS)
    with pytest.raises(ValueError, match="does not begin with"):
        WordPieceTokenizer(["[PAD]", *MARKS], True)


@pytest.mark.parametrize("mark", ["[SEP]", "[CLS]", "[MASK]", "[PAD]"])
def test_a_text_that_says_a_mark_says_letters(mark: str) -> None:
    assert not {EOS, CLS, MASK, PAD} & set(made().encode(f"the {mark} cat"))


def test_a_literal_unknown_word_is_one() -> None:
    tokenizer = made()
    assert tokenizer.encode("the <unk> cat")[1] == UNK
    assert tokenizer.unknown("the <unk> cat") == []
    assert tokenizer.unknown("the dog <unk> xyz") == ["dog", "xyz"]


def test_lines_and_sentences() -> None:
    assert pieces("the cat .\nthe cat") == ["the", "cat", ".", "[SEP]", "the", "cat"]
    together = "the cat sat . the cat sat ."
    assert "[SEP]" not in pieces(together)
    assert pieces(together, sentences=True).count("[SEP]") == 1


def test_words_come_back() -> None:
    tokenizer = made()
    assert tokenizer.decode(tokenizer.encode("unable cats\nthe cat")) == "unable cats\nthe cat"


def test_restored_alike() -> None:
    tokenizer = WordPieceTokenizer.train([TEXT * 20], TextConfig(vocab_size=60, lower=True))
    again = WordPieceTokenizer.restore(tokenizer.settings())
    assert again.encode(TEXT) == tokenizer.encode(TEXT)
    assert again.fingerprint == tokenizer.fingerprint


@given(st.text(max_size=60))
def test_trained_on_its_text_it_knows_it(text: str) -> None:
    """Every token is in the vocabulary, and cutting at line ends changes nothing."""
    tokenizer = made()
    ids = tokenizer.encode(text)
    assert all(0 <= index < tokenizer.vocab_size for index in ids)
    joined: list[int] = []
    for number, line in enumerate(text.split("\n")):
        joined += [EOS] * (number > 0) + tokenizer.encode(line)
    assert joined == ids


def test_training_learns_pieces() -> None:
    tokenizer = WordPieceTokenizer.train([TEXT * 20], TextConfig(vocab_size=60, lower=True))
    assert tuple(tokenizer.vocabulary[: len(MARKS)]) == MARKS
    assert tokenizer.vocab_size <= 60
    assert UNK not in tokenizer.encode(TEXT)
    assert len(tokenizer.encode("cats")) <= 2


def test_of_the_hub() -> None:
    """Another order of the same tokens; each knows where it stood."""
    tokens = ["[PAD]", "the", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "##s"]
    tokenizer, order = WordPieceTokenizer.of_hub(tokens, lower=True)
    assert [tokens[index] for index in order] == tokenizer.vocabulary
    assert tokenizer.decode(tokenizer.encode("the cats")) == "the cats"
    with pytest.raises(ValueError, match=r"no \[MASK\]"):
        WordPieceTokenizer.of_hub(["[PAD]", "[UNK]", "[CLS]", "[SEP]"], lower=True)
    with pytest.raises(ValueError, match="twice"):
        WordPieceTokenizer.of_hub([*MARKS, "a", "a"], lower=True)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("the end . the next .", ["the end .", "the next ."]),
        ("Mr. Smith met Dr. No. They spoke.", ["Mr. Smith met Dr. No.", "They spoke."]),
        ("J. R. R. Tolkien wrote. He did.", ["J. R. R. Tolkien wrote.", "He did."]),
        ('He said "no." She left.', ['He said "no."', "She left."]),
        ("Wait... what? Yes", ["Wait...", "what?", "Yes"]),
        ("3.5 million. Then 4.", ["3.5 million.", "Then 4."]),
        ("你好。我很好！你呢？", ["你好。", "我很好！", "你呢？"]),
        ("他说：“好。”然后走了。", ["他说：“好。”", "然后走了。"]),
        ("no end", ["no end"]),
        ("", [""]),
    ],
)
def test_where_sentences_end(text: str, sentences: list[str]) -> None:
    assert split_sentences(text).split("\n") == sentences


@given(st.text(alphabet="ab. !?\n。”", max_size=40))
def test_splitting_keeps_everything_but_white_space(text: str) -> None:
    assert "".join(split_sentences(text).split()) == "".join(text.split())
