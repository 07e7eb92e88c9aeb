"""Odd values, and ways to damage a good file. `draw` is the source of all chance."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

NUMBERS = (
    *("0", "-1", "1", "2", "3", "7", "1.5", "-0.0", "0.1", "1e-320", "1e308", "1e999", "-1e999"),
    *("nan", "inf", "-inf", "NaN", "9" * 20, "9" * 400, "2147483648", "18446744073709551616"),
    *("4294967296", "0x10", "1_000", "٣", "²", "+5", "1e", "", " ", "1 2", "--1"),
)
TEXTS = (
    *(
        "",
        " ",
        "\n",
        "\t",
        "a",
        "the cat",
        "中文",
        "\u00a0",
        "\u2028",
        "\ufeff",
        "\x00",
        "\x1b[31m",
    ),
    *("<unk>", "<eos>", "<s>", "</s>", "[MASK]", "[SEP] [MASK]", "{", "$x^2$", "%s", "../.."),
    *(
        "-",
        "\ud800",
        "e\u0301",
        "\U0001f600" * 3,
        "a" * 5000,
        "a " * 500,
        "'",
        '"',
        "\\",
        "none",
        "[]",
    ),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 17, 1.5, -2.5, 1e308, 1e-320, 10**30, -(10**30), 2**31),
    *(2**63, float("nan"), float("inf"), "", "x", "auto", "none", "lstm", "\ud800", "a" * 3000),
    *([], [0], [1, 2], ["a"], [None], {}, {"name": "lstm"}, {"a": {"b": []}}, [[[[]]]]),
)
PIECES = (
    *(b"\x00", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r\n", b"\t", b" ", b"\n\n", b"\\"),
    *(b"nan", b"-inf", b"1e999", b"9" * 25, b"[" * 3000, b"{" * 200, b'"', b"=", b"\x80", b"</s>"),
    *(b"\xe4\xb8\xad", b"\xc2\xa0", b"\xe2\x80\xa8", b"a" * 4000, b"<unk> ", b"\x1b", b"-99\t"),
)


def damaged(good: bytes, draw: random.Random) -> bytes:
    """A copy of a file's contents with one to four kinds of damage."""
    data = bytearray(good)
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        DAMAGES[draw.randrange(len(DAMAGES))](data, draw)
    return bytes(data)


def _place(data: bytearray, draw: random.Random) -> int:
    return draw.randrange(len(data) + 1)


def _flip(data: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice([1, 1, 8])):
        if data:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _cut(data: bytearray, draw: random.Random) -> None:
    del data[_place(data, draw) :]


def _remove(data: bytearray, draw: random.Random) -> None:
    start = _place(data, draw)
    del data[start : start + draw.choice([1, 2, 8, 100])]


def _insert(data: bytearray, draw: random.Random) -> None:
    at = _place(data, draw)
    data[at:at] = draw.choice(PIECES)


def _replace(data: bytearray, draw: random.Random) -> None:
    at, piece = _place(data, draw), draw.choice(PIECES)
    data[at : at + len(piece)] = piece


def _lines(data: bytearray, draw: random.Random) -> None:
    """Repeat, remove or exchange lines."""
    lines = bytes(data).split(b"\n")
    a, b = draw.randrange(len(lines)), draw.randrange(len(lines))
    what = draw.randrange(3)
    if what == 0:
        lines.insert(b, lines[a])
    elif what == 1:
        del lines[a]
    else:
        lines[a], lines[b] = lines[b], lines[a]
    data[:] = b"\n".join(lines)


def _number(data: bytearray, draw: random.Random) -> None:
    """Put an odd number where a number was."""
    import re

    found = list(re.finditer(rb"-?\d+(\.\d+)?", bytes(data[:200_000])))
    if found:
        match = draw.choice(found)
        data[match.start() : match.end()] = draw.choice(NUMBERS).encode()


def _everything(data: bytearray, draw: random.Random) -> None:
    kind = draw.randrange(4)
    size = draw.choice([0, 1, 7, 300])
    data[:] = [
        b"",
        draw.randbytes(size),
        draw.choice(PIECES) * draw.choice([1, 50]),
        draw.choice(TEXTS).encode("utf-8", "surrogatepass"),
    ][kind]


Damage = Callable[[bytearray, random.Random], None]
DAMAGES: list[Damage] = [
    *(_flip, _flip, _cut, _remove, _insert, _replace, _lines, _lines, _number, _number),
    _everything,
]


def odd_json(value: Any, draw: random.Random) -> bytes:
    """JSON text of a value in which some parts are odd, missing or more than they were."""
    if draw.random() < 0.2:
        return damaged(json.dumps(value).encode(), draw)
    value = json.loads(json.dumps(value))
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        value = _changed(value, draw)
    return json.dumps(value).encode()


def _changed(value: Any, draw: random.Random) -> Any:
    holders = [value] if isinstance(value, (dict, list)) and value else []
    for one in holders:  # it grows
        parts = one.values() if isinstance(one, dict) else one[:50]
        holders += [part for part in parts if isinstance(part, (dict, list)) and part]
    if not holders:
        return copy.deepcopy(draw.choice(VALUES))
    holder = draw.choice(holders)
    key = draw.choice(list(holder)) if isinstance(holder, dict) else draw.randrange(len(holder))
    what = draw.randrange(8)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder[draw.choice(["x", "", "name", "\ud800", key + "s"])] = copy.deepcopy(
            draw.choice(VALUES)
        )
    elif what == 2 and isinstance(holder[key], (int, float)):
        holder[key] = holder[key] * draw.choice([-1, 0, 2, 10, 1000, 10**6])
    else:
        holder[key] = copy.deepcopy(draw.choice(VALUES))
    return value
