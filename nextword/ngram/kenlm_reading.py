"""Opens KenLM's binary files: tries become tables, hash tables are asked in place."""

from __future__ import annotations

import os

import numpy as np

from ..paths import readable
from ..text.lexicon import Lexicon
from .hashed import open_hashed
from .interface import Ngrams
from .kenlm_header import Kind, read_header
from .kenlm_trie import read_trie


def read_kenlm(path: str | os.PathLike[str]) -> tuple[Ngrams, Lexicon]:
    """Read the model and the vocabulary of a file that KenLM's `build_binary` wrote. `<unk>` has
    the id 0; `<s>` and `</s>` have the id 1.

    Raises:
        InputError: the file is missing, cut off or damaged, or of another version or machine.

    Example:
        model, lexicon = read_kenlm("model.bin")
    """
    path = readable(path, "a KenLM file")
    data = np.memmap(path, np.uint8, "r")
    header = read_header(path, data)
    if header.kind == Kind.PROBING:
        return open_hashed(path, data, header)
    return read_trie(path, data, header)
