"""Compiled loops that write and read decimal numbers in the bytes of a file.

A number is written with the fewest digits from which the same float32 can be read. Numbers are read
as Python reads them, except that digits after the eighteenth are ignored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import Int, compiled

Array = np.ndarray[Any, Any]
Float = float | np.floating[Any]  # compiled code takes either

TENS = 10.0 ** np.arange(23)  # the powers of ten that are exact in double precision

_PLUS, _MINUS, _POINT, _ZERO, _NINE = b"+-.09"
_CAPITAL_E, _E, _I, _N, _F = b"Eeinf"


@compiled
def put_float(out: Array, at: Int, value: Float, tens: Array) -> Int:
    """Write a float32 into out (bytes,) from index `at` on, with the fewest decimals from which it
    can be read, at most nine significant digits. tens is `TENS`. Returns the index after it."""
    if value == 0:
        out[at] = _ZERO
        return at + 1
    if value < 0:
        out[at] = _MINUS
        at += 1
        value = -value
    whole = np.float32(value)
    decimals = 6 if value < 10 else 5  # enough decimals to read the same float32
    small = value
    while small < 1 and decimals < 20:
        small *= 10
        decimals += 1
    number = np.int64(0)
    for digits in range(decimals, decimals + 4):
        number = np.int64(np.round(value * tens[min(digits, 22)]))
        decimals = min(digits, 22)
        if np.float32(number / tens[decimals]) == whole:
            break
    while decimals > 0 and number % 10 == 0:
        number //= 10
        decimals -= 1
    length = 1
    rest = number
    while rest >= 10:
        rest //= 10
        length += 1
    width = max(length, decimals + 1) + (1 if decimals else 0)
    put = at + width - 1
    for place in range(max(length, decimals + 1)):
        if decimals and place == decimals:
            out[put] = _POINT
            put -= 1
        out[put] = _ZERO + number % 10
        number //= 10
        put -= 1
    return at + width


@compiled
def parse_number(text: Array, at: Int, stop: Int, tens: Array) -> tuple[bool, float, Int]:
    """Read the number that begins at index `at` of text (bytes,) and ends before `stop`; -inf
    becomes -99. tens is `TENS`.

    Returns (whether there is a number, the number, the index after it).
    """
    negative = False
    if at < stop and (text[at] == _MINUS or text[at] == _PLUS):
        negative = text[at] == _MINUS
        at += 1
    if stop - at >= 3 and text[at] == _I and text[at + 1] == _N and text[at + 2] == _F:
        return negative, -99.0, at + 3  # some programs write -inf for probability 0
    digits: Int = np.int64(0)
    decimals, exponent = 0, 0
    some, point = False, False
    while at < stop:
        byte = text[at]
        if _ZERO <= byte <= _NINE:
            some = True
            if digits < 100000000000000000:
                digits = digits * 10 + (byte - _ZERO)
                if point:
                    decimals += 1
            elif not point:
                exponent += 1
        elif byte == _POINT and not point:
            point = True
        else:
            break
        at += 1
    if not some:
        return False, 0.0, at
    if at < stop and (text[at] == _E or text[at] == _CAPITAL_E):
        at += 1
        sign = 1
        if at < stop and (text[at] == _MINUS or text[at] == _PLUS):
            sign = -1 if text[at] == _MINUS else 1
            at += 1
        power: Int = 0
        some = False
        while at < stop and _ZERO <= text[at] <= _NINE:
            power = min(1000, power * 10 + (np.int64(text[at]) - _ZERO))
            some = True
            at += 1
        if not some:
            return False, 0.0, at
        exponent += sign * power
    exponent -= decimals
    value = float(digits)
    while exponent < 0 and value != 0:
        step = min(22, -exponent)
        value /= tens[step]
        exponent += step
    while exponent > 0 and value < 1e300:
        step = min(22, exponent)
        value *= tens[step]
        exponent -= step
    return True, -value if negative else value, at


def shortest_decimal(value: float) -> str:
    """A float32 with the fewest decimals from which it can be read.

    Example:
        >>> shortest_decimal(np.float32(0.1))
        '0.1'
    """
    out = np.zeros(64, np.uint8)
    return out[: put_float(out, 0, float(value), TENS)].tobytes().decode()
