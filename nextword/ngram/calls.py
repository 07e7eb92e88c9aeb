"""The calls of `kenlm.Model` that a decoder makes millions of times, as one built-in function.

It answers where nothing is out of the ordinary, and returns None where `kenlm.Model` has to answer
step by step: for a `<s>` among the words, for what is no `str` and no state of the model.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..compiled import Int, array_at, compiled
from ..compiled.function import compiled_builtin
from ..compiled.machine_code import Data
from ..compiled.python import (
    Py_DecRef,
    Py_IncRef,
    PyBool_FromLong,
    PyBytes_AsString,
    PyErr_Clear,
    PyFloat_FromDouble,
    PyLong_AsSsize_t,
    PyLong_FromSsize_t,
    PyObject_GetAttr,
    PyObject_IsTrue,
    PyObject_SetAttr,
    PyTuple_New,
    PyTuple_SetItem,
    utf8,
)
from ..errors import InputError
from ..text.lexicon import Lexicon, find_word
from ..text.tokenizer import EOS, UNK
from ..text.word_bytes import LINE_END, WORD, hash_word, next_token
from .interface import Ngrams
from .queries import score_word
from .trie import CONTEXT_COLUMNS, NEXT_STATE, NODE_COLUMNS

Array = np.ndarray[Any, Any]

#: which call is meant
BASE_SCORE, BASE_FULL_SCORE, SCORE, CONTAINS = range(4)
#: what the data of the function has, in this order: the call, addresses, sizes, and the rest
(CALL, NONE, NODE, CONTEXTS, NODES, OFFSETS, SLOTS, BLOB, ENDS) = range(9)
(CONTEXT_ROWS, NODE_ROWS, ORDER, SLOT_COUNT, BLOB_SIZE, WORD_COUNT) = range(9, 15)
START, ASCII_ONLY, FIELDS = range(15, 18)

_BEGINNING = -1  # `<s>`, which has no id
_LESS_THAN, _SLASH, _S, _GREATER_THAN = b"</s>"


class Calls(NamedTuple):
    """The calls; each returns None where it has no answer."""

    base_score: Callable[[object, object, object], float | None]
    base_full_score: Callable[[object, object, object], tuple[float, int, bool] | None]
    score: Callable[[object, bool, bool], float | None]
    contains: Callable[[object], bool | None]


def calls_of(model: Ngrams, lexicon: Lexicon, ascii_only: bool) -> Calls:
    """The calls of a model; one whose n-grams cannot be listed has no answer to any.

    Args:
        ascii_only: words are cut at the blanks of ASCII alone.
    """
    try:
        table = model.listed()
    except InputError:
        return Calls(*4 * [lambda *_: None])
    node = sys.intern("node")
    arrays = [table.contexts, table.nodes, table.offsets.astype(np.int64)]
    arrays += [lexicon.hash_table, lexicon.blob, lexicon.ends.astype(np.uint64, copy=False)]
    arrays = [np.ascontiguousarray(array) for array in arrays]
    known = [id(None), id(node), *(array.ctypes.data for array in arrays)]
    known += [*(len(array) for array in arrays), table.start, ascii_only]

    def make(call: int) -> Callable[..., Any]:
        data = Data(np.array([call, *known], np.intp).tobytes())
        data.kept = (node, *arrays)
        return compiled_builtin(answer, data)

    return Calls(*(make(call) for call in range(4)))


def answer(self: int, arguments: int, count: int) -> Int:
    """Answer one call; see `compiled_builtin`."""
    data = array_at(PyBytes_AsString(self), FIELDS, np.intp)
    given = array_at(arguments, count, np.intp)
    call = data[CALL]
    if call == SCORE and count == 3:
        return _score(data, given)
    if call == CONTAINS and count == 1:
        return _contains(data, given)
    if count == 3:
        return _base_score(data, given, call == BASE_FULL_SCORE)
    return _nothing(data)


@compiled
def _nothing(data: Array) -> Int:
    PyErr_Clear()
    Py_IncRef(data[NONE])
    return int(data[NONE])


@compiled
def _id(data: Array, text: Array, start: Int, stop: Int, value: np.uint64) -> Int:
    """The id of the word text[start:stop], whose hash is `value`."""
    if text[start] == _LESS_THAN and text[stop - 1] == _GREATER_THAN:
        if stop - start == 3 and text[start + 1] == _S:
            return _BEGINNING
        if stop - start == 4 and text[start + 1] == _SLASH and text[start + 2] == _S:
            return EOS
    slots = array_at(data[SLOTS], data[SLOT_COUNT], np.uint64)
    blob = array_at(data[BLOB], data[BLOB_SIZE], np.uint8)
    ends = array_at(data[ENDS], data[WORD_COUNT], np.uint64)
    found = find_word(text, start, stop, value, slots, blob, ends)[1]
    # `<eos>` is our name for the end of a line, and an unknown word of a text
    return UNK if found < 0 or found == EOS else found


@compiled
def _contains(data: Array, given: Array) -> Int:
    address, size = utf8(given[0])
    if address == 0 or size == 0:
        return _nothing(data)
    text = array_at(address, size, np.uint8)
    return PyBool_FromLong(_id(data, text, 0, size, hash_word(text, 0, size)) != UNK)


@compiled
def _step(data: Array, state: Int, word: Int) -> tuple[Any, Int, Int]:
    """(log10 p, node, the next state) of a word after a state."""
    contexts = array_at(data[CONTEXTS], (data[CONTEXT_ROWS], CONTEXT_COLUMNS), np.uint32)
    weights = array_at(data[CONTEXTS], (data[CONTEXT_ROWS], CONTEXT_COLUMNS), np.float32)
    nodes = array_at(data[NODES], (data[NODE_ROWS], NODE_COLUMNS), np.uint32)
    probs = array_at(data[NODES], (data[NODE_ROWS], NODE_COLUMNS), np.float32)
    log_prob, node = score_word(contexts, weights, nodes, probs, state, word)
    after = 0 if word == EOS else np.int64(nodes[node, NEXT_STATE])
    return np.float32(log_prob), node, after


@compiled
def _base_score(data: Array, given: Array, full: bool) -> Int:
    """The answers to BASE_SCORE and BASE_FULL_SCORE: (state, word, the state to be set)."""
    address, size = utf8(given[1])
    if address == 0 or size == 0:
        return _nothing(data)
    held = PyObject_GetAttr(given[0], data[NODE])
    if held == 0:
        return _nothing(data)
    state = PyLong_AsSsize_t(held)
    Py_DecRef(held)
    text = array_at(address, size, np.uint8)
    word = _id(data, text, 0, size, hash_word(text, 0, size))
    if word == _BEGINNING or not 0 <= state < data[CONTEXT_ROWS] - 1:
        return _nothing(data)
    log_prob, node, after = _step(data, state, word)
    number = PyLong_FromSsize_t(after)
    failed = PyObject_SetAttr(given[2], data[NODE], number)
    Py_DecRef(number)
    if failed:
        return 0
    if not full:
        return PyFloat_FromDouble(log_prob)
    offsets = array_at(data[OFFSETS], data[ORDER], np.int64)
    made = PyTuple_New(3)
    PyTuple_SetItem(made, 0, PyFloat_FromDouble(log_prob))
    PyTuple_SetItem(made, 1, PyLong_FromSsize_t(np.searchsorted(offsets, node, "right")))
    PyTuple_SetItem(made, 2, PyBool_FromLong(word == UNK))
    return made


@compiled
def _score(data: Array, given: Array) -> Int:
    """The answer to SCORE: (sentence, whether it begins a line, whether it ends it)."""
    address, size = utf8(given[0])
    begins, ends = PyObject_IsTrue(given[1]), PyObject_IsTrue(given[2])
    if address == 0 or begins < 0 or ends < 0:
        return _nothing(data)
    text = array_at(address, size, np.uint8)
    state: Int = data[START] if begins else 0
    at: Int = 0
    total = 0.0
    while True:
        kind, start, at, value = next_token(text, at, data[ASCII_ONLY] != 0)
        if kind == LINE_END:
            continue
        if kind != WORD:
            break
        word = _id(data, text, start, at, value)
        if word == _BEGINNING:
            return _nothing(data)
        log_prob, _, state = _step(data, state, word)
        total += log_prob
    if ends:
        total += _step(data, state, EOS)[0]
    return PyFloat_FromDouble(total)
