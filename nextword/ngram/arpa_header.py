"""What stands before the n-grams of an ARPA file: how to open it, whether it is one, and the
comment in which we write how its text was cut into tokens.

    # nextword tokenizer: {"kind": "char", "lower": false, "spelled": {"<space>": " "}}
    \\data\\
    …

Other programs skip the comment. Without it the words of a file are cut at the blanks of ASCII, as
KenLM and lmplz do.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import IO, Any

from ..errors import InputError
from ..parsing import parse_json
from ..text.compression import compression_of, damage, decompressed
from ..text.lexicon import Lexicon
from ..text.tokenizer import Tokenizer, restore_tokenizer

ENDINGS = (".arpa", ".arpa.gz", ".arpa.xz", ".arpa.bz2")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: how text becomes the words of a file without a comment
_AS_KENLM = {"kind": "word", "split": "ascii", "lower": False, "spelled": {}}
_COMMENT = b"# nextword tokenizer: "
_START = 1 << 16  # bytes in which the beginning of the data is looked for
_DATA = re.compile(rb"^[ \t]*\\data\\\s*$", re.MULTILINE)


def open_to_read(path: Path) -> IO[bytes]:
    """Open a file that may be compressed with gzip, bzip2, xz or zstd, whatever its name says."""
    file = path.open("rb")
    is_compressed = compression_of(file.read(8)) is not None
    file.seek(0)
    return decompressed(file, path) if is_compressed else file


def names_arpa(path: str | os.PathLike[str]) -> bool:
    """Return whether a path has the name of an ARPA file and is not a directory."""
    return str(path).lower().endswith(ENDINGS) and not os.path.isdir(path)


def is_arpa(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is an ARPA file, by its content, or has the name of one."""
    path = Path(path)
    return names_arpa(path) or (path.is_file() and holds_arpa(path))


def holds_arpa(path: Path) -> bool:
    """Return whether a file begins as an ARPA file does."""
    try:
        with open_to_read(path) as file:
            start = file.read(_START)
    except damage():
        return False
    return start.startswith(_COMMENT) or bool(_DATA.search(start.removeprefix(BYTE_ORDER_MARK)))


def comment(tokenizer: Tokenizer, spelled: Lexicon, odd: dict[str, str]) -> bytes:
    """The line that says how text becomes the tokens of a file; empty if it is as in KenLM.

    Args:
        tokenizer: its vocabulary may end after any word.
        spelled: the tokens as they are written, in the order of the ids.
        odd: the tokens that are written differently, by what is written.
    """
    settings: dict[str, Any] = {"kind": tokenizer.name} | tokenizer.settings()
    if "vocabulary" in settings:  # the words are those of the file, but for some
        words = settings.pop("vocabulary")
        pairs = zip(spelled.words(0, len(words)), words, strict=True)
        settings["spelled"] = odd | {written: word for written, word in pairs if written != word}
    if settings == _AS_KENLM:
        return b""
    return _COMMENT + json.dumps(settings).encode() + b"\n"


def read_tokenizer(path: Path, words: list[str]) -> Tokenizer:
    """The tokenizer of an ARPA file, whose 1-grams are `words`, by id, or of a binary file of
    KenLM, which says nothing about it.

    Raises:
        InputError: the comment is damaged, or does not fit the words.
    """
    try:
        settings = _settings(path)
        if "spelled" in settings:
            spelled = settings.pop("spelled")
            settings["vocabulary"] = [spelled.get(word, word) for word in words]
        tokenizer = restore_tokenizer(settings)
        if tokenizer.vocab_size != len(words):
            raise ValueError(f"{tokenizer.vocab_size} tokens, {len(words)} words")
        return tokenizer
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
        raise InputError(
            f"the first line of '{path}', which says how text is cut, is damaged ({error}); "
            "without that line, text is cut as KenLM does"
        ) from None


def split_of(path: Path) -> str:
    """Where the words of the sentences are cut that an ARPA file scores: "whitespace" or "ascii".

    Raises:
        InputError: the comment is damaged.
    """
    try:
        return "whitespace" if _settings(path).get("split") == "whitespace" else "ascii"
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"the first line of '{path}' is damaged ({error})") from None


def cuts_as_kenlm(tokenizer: Tokenizer) -> bool:
    """Return whether tokens are the words between blanks of ASCII."""
    mine = {"kind": tokenizer.name} | tokenizer.settings()
    return all(mine.get(key) == _AS_KENLM[key] for key in ("kind", "split", "lower"))


def _settings(path: Path) -> dict[str, Any]:
    """What the comment says, or what holds without one."""
    with open_to_read(path) as file:
        line = file.readline().removeprefix(BYTE_ORDER_MARK)
    if not line.startswith(_COMMENT):
        return dict(_AS_KENLM)
    settings: dict[str, Any] = parse_json(line.removeprefix(_COMMENT).decode("utf-8"))
    return settings
