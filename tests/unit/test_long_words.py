"""Text without spaces: vocabularies are learnt in time that grows with its length."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextword.config import TextConfig
from nextword.text.tokenizer import EOS, Tokenizer, cut_long_words, train_tokenizer
from nextword.text.wordpiece import MARKS, WordPieceTokenizer

SETTINGS = {kind: TextConfig(tokenizer=kind, vocab_size=320) for kind in ("bpe", "wordpiece")}


@given(st.text(alphabet="ab \n中\t", max_size=60), st.integers(1, 9))
def test_the_parts_are_the_text_and_only_long_words_are_cut(text: str, longest: int) -> None:
    parts = list(cut_long_words(text, longest))
    assert "".join(parts) == text
    assert all(len(word) <= longest for part in parts for word in part.split())
    short = all(len(word) <= longest for word in text.split())
    assert (parts == [text]) == short or not text


@pytest.mark.parametrize("kind", SETTINGS)
def test_words_of_usual_length_give_the_same_vocabulary(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(0)
    words = ["".join(draw.choices("abcde", k=draw.choice([3, 7, 900]))) for _ in range(60)]
    text = " ".join(words) + "\n"
    ours = train_tokenizer([text], SETTINGS[kind]).to_json()
    monkeypatch.setattr(f"nextword.text.{kind}.cut_long_words", lambda text: [text])
    assert train_tokenizer([text], SETTINGS[kind]).to_json() == ours


def learnt(kind: str, size: int) -> tuple[Tokenizer, float]:
    text = "".join(random.Random(1).choices("abcdefgh", k=size)) + "\n"
    began = time.process_time()
    made = train_tokenizer([text], SETTINGS[kind])
    return made, time.process_time() - began


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_time_grows_with_the_length_not_with_its_square(kind: str) -> None:
    learnt(kind, 1000)
    _, short = learnt(kind, 20_000)
    made, long = learnt(kind, 160_000)
    assert long < 24 * short + 1  # the square would be 64 times, about ten seconds
    assert made.vocab_size >= 300


def slow_decode(tokenizer: WordPieceTokenizer, ids: list[int]) -> str:
    """The twin of `decode`: words of a line, and what continues them."""
    lines: list[list[str]] = [[]]
    for index in ids:
        if index == EOS:
            lines.append([])
        elif tokenizer.vocabulary[index].startswith("##") and lines[-1]:
            lines[-1][-1] += tokenizer.vocabulary[index][2:]
        else:
            lines[-1].append(tokenizer.vocabulary[index])
    return "\n".join(" ".join(line) for line in lines)


@given(st.lists(st.integers(0, 9), max_size=12))
def test_decoding_agrees_with_its_slow_twin(ids: list[int]) -> None:
    tokenizer = WordPieceTokenizer([*MARKS, "a", "##b", "##", "c", "##a"], lower=False)
    assert tokenizer.decode(ids) == slow_decode(tokenizer, ids)


def test_more_pieces_than_a_trainer_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    from nextword.errors import InputError

    for kind in SETTINGS:
        with pytest.raises(InputError, match="learns at most"):
            train_tokenizer(["a b"], TextConfig(tokenizer=kind, vocab_size=2**31 - 1))
