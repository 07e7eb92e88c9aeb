"""Decodes the bytes of texts, and names the encoding of those that are not UTF-8."""

from __future__ import annotations

import shlex
from pathlib import Path

from ..errors import InputError

BOM = b"\xef\xbb\xbf"
_OTHER_MARKS = {  # byte-order marks of other encodings; the longer ones first
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_SAMPLE = 4096  # bytes by which an encoding without a mark is recognised


def decode(raw: bytes, path: Path, offset: int, *, is_file: bool) -> str:
    """Decode UTF-8. Windows line ends become `\\n`, and a byte-order mark is dropped.

    Args:
        raw: bytes of a text; no character is cut.
        path: where the text was read from, for messages.
        offset: where the bytes stand in the text.
        is_file: the text is the contents of the file `path`, neither compressed nor a stream.

    Raises:
        InputError: the bytes are no UTF-8 text. The message says how to convert them if they are
            UTF-16 or UTF-32, else at which byte they are wrong.
    """
    if offset == 0 and (encoding := other_encoding(raw)):
        raise wrong_encoding(f"'{path}'", encoding, path if is_file else None)
    if offset == 0 and raw.startswith(BOM):
        raw, offset = raw[3:], 3
    if (nul := raw.find(b"\0")) >= 0:
        raise InputError(
            f"'{path}' looks binary (a zero byte at offset {offset + nul}); give plain text"
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        where = offset + error.start
        raise InputError(
            f"'{path}' is not UTF-8 text (byte 0x{raw[error.start]:02x} at offset {where}); "
            "convert it first, for example with iconv"
        ) from None
    return text.replace("\r\n", "\n")


def wrong_encoding(name: str, encoding: str, path: Path | None = None) -> InputError:
    """The error for a text in another encoding; `path` is its file, if it has one."""
    command = f"iconv -f {encoding} -t UTF-8"
    if path is None:
        return InputError(f"{name} is {encoding}, not UTF-8; pass it through {command}")
    files = f"{shlex.quote(str(path))} > {shlex.quote(f'{path}.utf8')}"
    return InputError(f"{name} is {encoding}, not UTF-8; convert it first: {command} {files}")


def other_encoding(raw: bytes) -> str | None:
    """UTF-16 or UTF-32 if a text that begins with these bytes has such an encoding, as iconv calls
    it; None = it has not.

    Without a byte-order mark it is recognised by its zero bytes, which are in the same places of
    most characters.
    """
    for mark, name in _OTHER_MARKS.items():
        if raw.startswith(mark):
            return name
    raw = raw[:_SAMPLE]
    zeros = [raw[place::4].count(0) / max(1, len(raw) // 4) for place in range(4)]
    for name, empty, full in (
        ("UTF-32LE", (1, 2, 3), (0,)),
        ("UTF-32BE", (0, 1, 2), (3,)),
        ("UTF-16LE", (1, 3), (0, 2)),
        ("UTF-16BE", (0, 2), (1, 3)),
    ):
        if all(zeros[i] > 0.5 for i in empty) and all(zeros[i] < 0.1 for i in full):
            text = raw[: len(raw) // 4 * 4].decode(name, errors="replace")
            if all(letter.isprintable() or letter.isspace() for letter in text):
                return name  # else small numbers in a binary file
    return None
