"""The built-in corpus is fast.ai's Human Numbers, to the token."""

from __future__ import annotations

import pytest

from nextword.text.human_numbers import human_numbers, spell

SPELLED = {
    1: "one",
    10: "ten",
    13: "thirteen",
    19: "nineteen",
    20: "twenty",
    21: "twenty one",
    40: "forty",
    99: "ninety nine",
    100: "one hundred",
    101: "one hundred one",
    110: "one hundred ten",
    219: "two hundred nineteen",
    999: "nine hundred ninety nine",
    1000: "one thousand",
    1001: "one thousand one",
    2020: "two thousand twenty",
    3400: "three thousand four hundred",
    8001: "eight thousand one",
    9999: "nine thousand nine hundred ninety nine",
}


@pytest.mark.parametrize("number", SPELLED)
def test_spell(number: int) -> None:
    """As people say it, without "and" or hyphens."""
    assert spell(number) == SPELLED[number]


def test_every_number_is_spelled_differently() -> None:
    """9,999 spellings, none of them empty."""
    assert len({spell(number) for number in range(1, 10000)} - {""}) == 9999


def test_figures_of_the_article() -> None:
    """63,095 tokens of 30 kinds; the first 80 % are for training."""
    train, valid = (text.split() for text in human_numbers())
    assert len(train) + len(valid) == 63_095
    assert len({*train, *valid}) == 30
    assert len(train) == int(0.8 * 63_095) == 50_476
    assert set(valid) <= set(train)


def test_parts_are_one_text() -> None:
    """Validation goes on where training stops; joined they are the numbers, 8000 left out."""
    train, valid = human_numbers()
    numbers = (train + valid).split(" . ")
    assert numbers == [spell(number) for number in range(1, 10000) if number != 8000]
    assert "eight thousand" not in numbers
    assert numbers[0] == "one" and numbers[-1] == spell(9999)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_other_fractions(fraction: float) -> None:
    """The cut is at a token, wherever it is, and nothing is lost."""
    train, valid = human_numbers(fraction)
    assert len(train.split()) == int(63_095 * fraction)
    assert train + valid == "".join(human_numbers())
