"""Reads pretrained word vectors in the text formats of word2vec and GloVe."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..paths import readable
from .tokenizer import Tokenizer


def read_vectors(
    path: str | Path, tokenizer: Tokenizer
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The vectors of the words in the tokenizer's vocabulary.

    Each line is a word and its D numbers, separated by spaces. The line `count width` with which
    word2vec begins is skipped. A path that ends in `.gz` is decompressed. If a word of the
    vocabulary is not in the file, a capitalised form of it is taken (`The` for `the`).

    Returns:
        The ids (N,) int64 and their vectors (N, D) float32.

    Raises:
        InputError: the file is missing, of uneven width, or shares no word with the vocabulary.
    """
    path = readable(path, "a text file of word vectors")
    found: dict[int, np.ndarray[Any, Any]] = {}
    fallback: dict[int, np.ndarray[Any, Any]] = {}
    width = 0
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                word, *numbers = line.rstrip().split(" ")
                if number == 1 and len(numbers) == 1:
                    continue
                if not width:
                    width = len(numbers)
                if len(numbers) != width or not width:
                    raise InputError(
                        f"'{path}' line {number}: {len(numbers)} numbers, not {width} as before"
                    )
                index = tokenizer.known(word)
                other = tokenizer.known(word.lower()) if index is None else None
                if index is not None:
                    found[index] = np.array(numbers, dtype=np.float32)
                elif other is not None:
                    fallback.setdefault(other, np.array(numbers, dtype=np.float32))
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"'{path}' is not a text file of word vectors ({error})") from None
    found = fallback | found
    if not found:
        raise InputError(f"no word of the vocabulary has a vector in '{path}'")
    ids = np.fromiter(found, dtype=np.int64)
    return ids, np.stack([found[index] for index in ids])
