"""Human Numbers, the first language-modelling corpus of fast.ai's course: the numbers 1 to 9999 in
English words.

As in the original, 8000 is left out and numbers are joined by ` . `. The corpus has 63,095 tokens
of 30 types; the first 80 % of the tokens are for training.
"""

from __future__ import annotations

_ONES = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def spell(number: int) -> str:
    """Write a number from 1 to 9999 in English words.

    Example:
        >>> spell(8001)
        'eight thousand one'
    """
    words = []
    if number >= 1000:
        words += [_ONES[number // 1000 - 1], "thousand"]
        number %= 1000
    if number >= 100:
        words += [_ONES[number // 100 - 1], "hundred"]
        number %= 100
    if number >= 20:
        words.append(_TENS[number // 10 - 2])
        number %= 10
    if number:
        words.append(_ONES[number - 1])
    return " ".join(words)


def human_numbers(fraction: float = 0.8) -> tuple[str, str]:
    """The training text and the validation text; the first has `fraction` of the tokens."""
    numbers = [n for n in range(1, 10000) if n != 8000]
    tokens = " . ".join(map(spell, numbers)).split()
    cut = int(len(tokens) * fraction)
    return " ".join(tokens[:cut]), " " + " ".join(tokens[cut:])
