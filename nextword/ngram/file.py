"""Stores a table and its vocabulary in one file, which is memory-mapped.

The layout is that of safetensors: the length of a JSON header, the header, the arrays. Opening a
file reads only the header, several processes share one copy in memory, and a file cannot contain
code.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, shown
from ..parsing import parse_json
from ..text.lexicon import Lexicon
from .table import Table
from .trie import (
    CONTEXT_COLUMNS,
    FIRST_FOLLOWER,
    HIGHEST_ORDER,
    NEXT_STATE,
    NODE_COLUMNS,
    SHORTER,
    WORD,
)

Array = np.ndarray[Any, Any]
Shapes = dict[str, tuple[tuple[int, ...], Any]]

_TYPES = {"U8": np.uint8, "U32": np.uint32, "U64": np.uint64, "I64": np.int64}
_NAMES = {np.dtype(dtype): name for name, dtype in _TYPES.items()}
_PAD = 64
_LARGEST = 1 << 50  # bytes
#: Bytes of a table whose places are all checked, in a few hundredths of a second. A larger one is
#: opened without reading it.
_CHECKED = 1 << 28
_EXPECTED = {
    "offsets": np.int64,
    "words.ends": np.uint64,
    "words.table": np.uint64,
    "words.blob": np.uint8,
    "nodes": np.uint32,
    "contexts": np.uint32,
}


@dataclass(frozen=True)
class Stored:
    """The contents of a file: a table, its vocabulary, and metadata."""

    table: Table
    lexicon: Lexicon
    meta: dict[str, Any]


def create(path: Path, shapes: Shapes, meta: dict[str, Any]) -> dict[str, Array]:
    """Create a file with arrays of these shapes and types, and map them for writing.

    Raises:
        OSError: the disk is full.
    """
    header: dict[str, Any] = {"__metadata__": {"json": json.dumps(meta)}}
    at = 0
    for name, (shape, dtype) in shapes.items():
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        header[name] = {
            "dtype": _NAMES[np.dtype(dtype)],
            "shape": list(shape),
            "data_offsets": [at, at + size],
        }
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % _PAD)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.flush()
        if at:  # reserve the space: a full disk raises here instead of crashing later
            try:
                os.posix_fallocate(file.fileno(), 0, 8 + len(text) + at)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from None
    return _map(path, header, 8 + len(text), "r+")


def write(path: Path, table: Table, lexicon: Lexicon, meta: dict[str, Any]) -> None:
    """Write a table from memory to a file.

    Raises:
        OSError: the disk is full.
    """
    arrays = _small(table.offsets, lexicon) | {"nodes": table.nodes, "contexts": table.contexts}
    shapes: Shapes = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    for name, target in create(path, shapes, meta).items():
        target[...] = arrays[name]


def reserve(
    path: Path, offsets: Array, lexicon: Lexicon, meta: dict[str, Any]
) -> tuple[Array, Array]:
    """Create the file of a table with these offsets (n + 1,), whose arrays the caller fills.

    Returns:
        The nodes (N, 3) and contexts (C + 1, 3) uint32, mapped for writing.

    Raises:
        OSError: the disk is full.
    """
    small = _small(offsets, lexicon)
    shapes: Shapes = {name: (array.shape, array.dtype) for name, array in small.items()}
    shapes["nodes"] = ((int(offsets[-1]), NODE_COLUMNS), np.uint32)
    shapes["contexts"] = ((int(offsets[-2]) + 1, CONTEXT_COLUMNS), np.uint32)
    made = create(path, shapes, meta)
    for name, array in small.items():
        made[name][...] = array
    return made["nodes"], made["contexts"]


def _small(offsets: Array, lexicon: Lexicon) -> dict[str, Array]:
    return {
        "offsets": offsets.astype(np.int64),
        "words.ends": lexicon.ends,
        "words.table": lexicon.hash_table,
        "words.blob": np.concatenate([lexicon.blob, np.zeros(-len(lexicon.blob) % 8, np.uint8)]),
    }


def read(path: Path) -> Stored:
    """Map the table that is in a file.

    Raises:
        InputError: the file is missing, damaged, or no table.
    """
    if not path.is_file():
        raise InputError(f"no file '{path}'; the run is incomplete, train it again")
    path.open("rb").close()  # without the permission to read it, the file is not damaged
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size, 1 << 20):
                raise ValueError("no header")
            header = parse_json(file.read(length))
        meta = parse_json(header.get("__metadata__", {}).get("json", "{}"))
        arrays = _map(path, header, 8 + length, "r")
        end = 8 + length + max(entry["data_offsets"][1] for entry in _entries(header).values())
        if size != end:
            raise ValueError(f"{size} bytes instead of {end}")
        for name, dtype in _EXPECTED.items():
            if arrays[name].dtype != dtype:
                raise ValueError(f"the type of {name}")
        table = Table(arrays["nodes"], arrays["contexts"], np.array(arrays["offsets"]))
        lexicon = Lexicon(arrays["words.blob"], arrays["words.ends"], arrays["words.table"])
        _check(table, lexicon)
        return Stored(table, lexicon, meta)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        IndexError,
    ) as error:
        raise InputError(
            f"'{path}' is damaged ({shown(error, 200)}); train the run again"
        ) from None


def _entries(header: dict[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in header.items() if name != "__metadata__"}


def _map(path: Path, header: dict[str, Any], start: int, mode: Any) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for name, entry in _entries(header).items():
        dtype = np.dtype(_TYPES[entry["dtype"]])
        shape = tuple(entry["shape"])
        first, last = entry["data_offsets"]
        if not 0 <= first <= last <= _LARGEST or min(shape, default=0) < 0:
            raise ValueError(f"the place of {name}")
        if last - first != int(np.prod(shape, dtype=np.int64)) * dtype.itemsize:
            raise ValueError(f"the size of {name}")
        if last == first:
            arrays[name] = np.zeros(shape, dtype)
            continue
        arrays[name] = np.memmap(path, dtype, mode, start + first, shape)
    return arrays


def _check(table: Table, lexicon: Lexicon) -> None:
    """Check what the compiled loops rely on, as far as it can be checked quickly.

    Raises:
        ValueError: the arrays do not fit each other.
    """
    offsets = table.offsets
    fits = (
        2 <= len(offsets) <= HIGHEST_ORDER + 1
        and table.nodes.shape == (offsets[-1], NODE_COLUMNS)
        and table.contexts.shape == (offsets[-2] + 1, CONTEXT_COLUMNS)
        and offsets[0] == 1
        and bool(np.all(np.diff(offsets) >= 0))
        and len(lexicon) == table.vocab_size >= 2
        and lexicon.hash_table.size & (lexicon.hash_table.size - 1) == 0
        and int(lexicon.ends[-1]) <= lexicon.blob.size
        and int(table.contexts[-1, FIRST_FOLLOWER]) == offsets[-1]
    )
    if not fits:
        raise ValueError("the arrays do not fit each other")
    words = lexicon.hash_table.view(np.uint32)[::2] if lexicon.hash_table.size else np.zeros(0)
    if not np.all(lexicon.ends[1:] >= lexicon.ends[:-1]):
        raise ValueError("the places of the words")
    if words.size < 2 or int(words.max()) > len(lexicon) or np.all(lexicon.hash_table != 0):
        raise ValueError("the hash table of the words")
    if table.nbytes <= _CHECKED:
        _check_places(table)


def _check_places(table: Table) -> None:
    """Check that every place that nodes and contexts name is in the table, and that shorter
    contexts are shorter: otherwise the compiled loops would read beyond the arrays, or never end.

    Raises:
        ValueError: they are not.
    """
    nodes, contexts, offsets = table.nodes, table.contexts, table.offsets
    states = len(contexts) - 1
    first = contexts[:, FIRST_FOLLOWER]
    fits = (
        int(nodes[:, WORD].max()) < table.vocab_size
        and int(nodes[:, NEXT_STATE].max()) < states
        and int(first[0]) == 1
        and int(first[1]) == table.vocab_size + 1
        and bool(np.all(first[1:] >= first[:-1]))
    )
    for low, high in pairwise([*offsets.tolist()[:-1], states]):  # an order's states
        shorter = contexts[low : min(high, states), SHORTER]
        fits = fits and (not len(shorter) or int(shorter.max()) < low)
    if not fits:
        raise ValueError("a place beyond the table")
