"""The calls of `kenlm.Model` that a decoder makes millions of times, as one built-in function.

It answers where nothing is out of the ordinary, and returns None where `kenlm.Model` has to answer
step by step: for a `<s>` among the words, for what is no `str` and no state of the model.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..compiled import Data, Int, array_at, compiled, compiled_builtin, stack
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
from ..text.lexicon import Lexicon, find_word
from ..text.tokenizer import EOS, UNK
from ..text.word_bytes import LINE_END, WORD, hash_word, next_token
from .hashed_queries import copy, unfold
from .hashed_queries import step as step_of_hashes
from .interface import Ngrams
from .queries import score_word
from .trie import CONTEXT_COLUMNS, NEXT_STATE, NODE_COLUMNS

Array = np.ndarray[Any, Any]

#: which call is meant
BASE_SCORE, BASE_FULL_SCORE, SCORE, CONTAINS = range(4)
#: what the data of the function has, in this order: the call, objects, numbers, and of each array
#: its address and its length: those of the vocabulary, then those of the model
(CALL, NONE, NODE, ORDER, START, STATES, ASCII_ONLY) = range(7)
(SLOTS, BLOB, ENDS, OFFSETS, FIRST, SECOND, THIRD, FOURTH) = range(7, 23, 2)
FIELDS = 23

_BEGINNING = -1  # `<s>`, which has no id
_LESS_THAN, _SLASH, _S, _GREATER_THAN = b"</s>"


#: step(data, state, length, held, word): log10 p of a word after a state, the node of the longest
#: n-gram found, the state after the word (after `</s>` the empty context), and what has to be given
#: as `length` then. `held` is working memory of n - 1 numbers each, which has what belongs to the
#: state if `length` is not negative.
Step = Callable[[Array, Int, Int, tuple[Array, Array, Array], Int], tuple[Any, Int, Int, Int]]


class Calls(NamedTuple):
    """The calls; each returns None where it has no answer."""

    base_score: Callable[[object, object, object], float | None]
    base_full_score: Callable[[object, object, object], tuple[float, int, bool] | None]
    score: Callable[[object, bool, bool], float | None]
    contains: Callable[[object], bool | None]


def calls_of(model: Ngrams, lexicon: Lexicon, ascii_only: bool) -> Calls:
    """The calls of a model.

    Args:
        ascii_only: words are cut at the blanks of ASCII alone.
    """
    layout, ours, states = model.in_memory()
    node = sys.intern("node")
    arrays = [lexicon.hash_table, lexicon.blob, lexicon.ends.astype(np.uint64, copy=False), *ours]
    arrays = [np.ascontiguousarray(array) for array in arrays]
    known = [id(None), id(node), model.order, model.start, states, ascii_only]
    for array in arrays:
        known += [array.ctypes.data, len(array)]
    known += [0] * (FIELDS - 1 - len(known))

    def make(call: int) -> Callable[..., Any]:
        data = Data(np.array([call, *known], np.intp).tobytes())
        data.kept = (node, *arrays)
        return compiled_builtin(_ANSWERS[layout], data)

    return Calls(*(make(call) for call in range(4)))


def answer_from_trie(self: int, arguments: int, count: int) -> Int:
    """Answer one call; see `compiled_builtin`."""
    return _answer(_step_in_trie, self, arguments, count)


def answer_from_hashes(self: int, arguments: int, count: int) -> Int:
    """Answer one call; see `compiled_builtin`."""
    return _answer(_step_in_hashes, self, arguments, count)


_ANSWERS = {"trie": answer_from_trie, "hashes": answer_from_hashes}


@compiled
def _answer(step: Step, self: int, arguments: int, count: int) -> Int:
    data = array_at(PyBytes_AsString(self), FIELDS, np.intp)
    given = array_at(arguments, count, np.intp)
    call = data[CALL]
    if call == SCORE and count == 3:
        return _score(step, data, given)
    if call == CONTAINS and count == 1:
        return _contains(data, given)
    if count == 3:
        return _base_score(step, data, given, call == BASE_FULL_SCORE)
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
    slots = array_at(data[SLOTS], data[SLOTS + 1], np.uint64)
    blob = array_at(data[BLOB], data[BLOB + 1], np.uint8)
    ends = array_at(data[ENDS], data[ENDS + 1], np.uint64)
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
def _step_in_trie(
    data: Array, state: Int, length: Int, held: tuple[Array, Array, Array], word: Int
) -> tuple[Any, Int, Int, Int]:
    """See `Step`."""
    rows, shape = data[FIRST], (data[FIRST + 1], CONTEXT_COLUMNS)
    contexts, weights = array_at(rows, shape, np.uint32), array_at(rows, shape, np.float32)
    rows, shape = data[SECOND], (data[SECOND + 1], NODE_COLUMNS)
    nodes, probs = array_at(rows, shape, np.uint32), array_at(rows, shape, np.float32)
    log_prob, node = score_word(contexts, weights, nodes, probs, state, word)
    after = 0 if word == EOS else np.int64(nodes[node, NEXT_STATE])
    return np.float32(log_prob), node, after, np.int64(-1)


@compiled
def _step_in_hashes(
    data: Array, state: Int, length: Int, held: tuple[Array, Array, Array], word: Int
) -> tuple[Any, Int, Int, Int]:
    """See `Step`."""
    words, weights, fresh = held
    offsets = array_at(data[OFFSETS], data[OFFSETS + 1], np.int64)
    numbers = array_at(data[FIRST], data[FIRST + 1], np.uint32)
    places = array_at(data[SECOND], (data[SECOND + 1], 3), np.int64)
    known = array_at(data[THIRD], (data[THIRD + 1], words.size), np.uint32)
    theirs = array_at(data[FOURTH], data[FOURTH + 1], np.int64)
    if length < 0:
        length = unfold(numbers, places, offsets, known, state, words, weights)
    log_prob, node, length, after = step_of_hashes(
        numbers, places, offsets, words, weights, fresh, length, theirs[word]
    )
    if word == EOS:
        return np.float32(log_prob), node, np.int64(0), np.int64(0)
    if after >= offsets[1]:
        copy(words, known[after - offsets[1]], length)
    return np.float32(log_prob), node, after, length


@compiled
def _base_score(step: Step, data: Array, given: Array, full: bool) -> Int:
    """The answers to BASE_SCORE and BASE_FULL_SCORE: (state, word, the state to be set)."""
    address, size = utf8(given[1])
    if address == 0 or size == 0:
        return _nothing(data)
    number = PyObject_GetAttr(given[0], data[NODE])
    if number == 0:
        return _nothing(data)
    state = PyLong_AsSsize_t(number)
    Py_DecRef(number)
    text = array_at(address, size, np.uint8)
    word = _id(data, text, 0, size, hash_word(text, 0, size))
    if word == _BEGINNING or not 0 <= state < data[STATES]:
        return _nothing(data)
    longest = max(1, data[ORDER] - 1)
    held = stack(longest, np.uint32), stack(longest, np.float32), stack(longest, np.float32)
    log_prob, node, after, _ = step(data, state, -1, held, word)
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
def _score(step: Step, data: Array, given: Array) -> Int:
    """The answer to SCORE: (sentence, whether it begins a line, whether it ends it)."""
    address, size = utf8(given[0])
    begins, ends = PyObject_IsTrue(given[1]), PyObject_IsTrue(given[2])
    if address == 0 or begins < 0 or ends < 0:
        return _nothing(data)
    text = array_at(address, size, np.uint8)
    state: Int = data[START] if begins else 0
    at: Int = 0
    total = 0.0
    longest = max(1, data[ORDER] - 1)
    length: Int = np.int64(-1)
    held = stack(longest, np.uint32), stack(longest, np.float32), stack(longest, np.float32)
    while True:
        kind, start, at, value = next_token(text, at, data[ASCII_ONLY] != 0)
        if kind == LINE_END:
            continue
        if kind != WORD:
            break
        word = _id(data, text, start, at, value)
        if word == _BEGINNING:
            return _nothing(data)
        log_prob, _, state, length = step(data, state, length, held, word)
        total += log_prob
    if ends:
        total += step(data, state, length, held, EOS)[0]
    return PyFloat_FromDouble(total)
