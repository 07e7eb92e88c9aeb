"""N-grams in any order, with gaps or without, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..compiled import chunks, compiled, spread
from ..errors import InputError
from ..text.numbering import Lexicon
from .table import BACKOFF, BEGIN, CONTEXT, LOG_PROB, NODE, WORD, Table, _child, _step

Array = np.ndarray[Any, Any]


@compiled
def _parents(begins: Array, bounds: Array, words: Array, ids: Array, out: Array) -> None:
    """The place of each n-gram's context among those of its order, -1 where it is missing.

    begins, words: of orders 1 …, one after another; bounds (k, 2): where each order begins in them.
    """
    order = ids.shape[1]
    for row in range(ids.shape[0]):
        same = row > 0
        if same:
            for depth in range(order - 1):
                if ids[row, depth] != ids[row - 1, depth]:
                    same = False
                    break
        if same:
            out[row] = out[row - 1]
            continue
        node = np.int64(ids[row, 0])
        for depth in range(1, order - 1):
            low = begins[bounds[depth - 1, 0] + node]
            high = begins[bounds[depth - 1, 0] + node + 1]
            base = bounds[depth, 1]
            word = ids[row, depth]
            end = high
            while low < high:
                middle = (low + high) >> 1
                if words[base + middle] < word:
                    low = middle + 1
                else:
                    high = middle
            if low == end or words[base + low] != word:
                node = np.int64(-1)
                break
            node = low
        out[row] = node


@compiled
def wire(contexts: Array, weights: Array, nodes: Array, probs: Array) -> None:
    """Fill in where states fail to and lead to (see `table`), from words and followers.

    A node whose probability is NaN gets the one that backing off gives it.
    """
    last = contexts.shape[0] - 1
    for parent in range(last):
        fail = np.int64(contexts[parent, 2])
        for node in range(contexts[parent, 0], contexts[parent + 1, 0]):
            word = np.int64(nodes[node, 0])
            to = np.int64(0)
            if parent:
                state = fail
                while True:
                    to = _child(contexts, nodes, state, word)
                    if to:
                        break
                    state = np.int64(contexts[state, 2])
                if np.isnan(probs[node, 1]):
                    log_prob, _ = _step(contexts, weights, nodes, probs, fail, word)
                    probs[node, 1] = weights[parent, 1] + log_prob
                to = np.int64(nodes[to, 2])
            leads = to
            if node < last:
                contexts[node, 2] = to
                if contexts[node, 0] < contexts[node + 1, 0] or weights[node, 1] != 0:
                    leads = np.int64(node)
            nodes[node, 2] = leads


def assemble(path: Path, grams: list[tuple[Array, Array, Array]], lexicon: Lexicon) -> Table:
    """The table of n-grams in any order: of every order ids (m, n), log10 probabilities (m,) and
    back-off weights (m,). Contexts that are missing are put in, with what backing off gives them.

    Raises:
        InputError: an n-gram of `path` stands there twice.
    """
    ids, probs, weights = ([part[i] for part in grams] for i in range(3))
    vocab_size = len(lexicon)
    words = [ids[0][:, 0]]
    begins: list[Array] = []
    for k in range(1, len(grams)):
        if k > 1:
            parents = _places(begins, words, ids[k])
            if (parents < 0).any():
                _put_in_contexts(ids, probs, weights)
                return assemble(path, list(zip(ids, probs, weights, strict=True)), lexicon)
        else:
            parents = ids[k][:, 0].astype(np.int64)
        keys = parents * vocab_size + ids[k][:, -1]
        if not np.all(keys[1:] > keys[:-1]):
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            if np.any(twice := keys[1:] == keys[:-1]):
                row = ids[k][order[int(np.argmax(twice))]]
                gram = " ".join(lexicon.words()[word] for word in row)
                raise InputError(f"'{path}' has the {k + 1}-gram '{gram}' twice")
            ids[k], probs[k], weights[k] = ids[k][order], probs[k][order], weights[k][order]
            parents = parents[order]
        begins.append(np.searchsorted(parents, np.arange(len(words[-1]) + 1)))
        words.append(np.ascontiguousarray(ids[k][:, -1]))
    sizes = [len(some) for some in words]
    offsets = np.concatenate([[1], 1 + np.cumsum(sizes)]).astype(np.int64)
    nodes = np.zeros((int(offsets[-1]), NODE), np.uint32)
    contexts = np.zeros((int(offsets[-2]) + 1, CONTEXT), np.uint32)
    nodes[1:, WORD] = np.concatenate(words)
    nodes.view(np.float32)[1:, LOG_PROB] = np.concatenate(probs)
    contexts[0, BEGIN], contexts[-1, BEGIN] = 1, offsets[-1]
    for k, begin in enumerate(begins):
        low, high = int(offsets[k]), int(offsets[k + 1])
        contexts[low:high, BEGIN] = begin[:-1] + high
        contexts.view(np.float32)[low:high, BACKOFF] = weights[k]
    wire(contexts, contexts.view(np.float32), nodes, nodes.view(np.float32))
    return Table(nodes, contexts, offsets)


def _places(begins: list[Array], words: list[Array], ids: Array) -> Array:
    bounds = np.zeros((len(words), 2), np.int64)
    bounds[1:, 1] = np.cumsum([len(some) for some in words[:-1]])
    bounds[1 : len(begins), 0] = np.cumsum([len(some) for some in begins[:-1]])
    all_begins, all_words = np.concatenate(begins), np.concatenate(words)

    def place(piece: tuple[int, int]) -> Array:
        out = np.empty(piece[1] - piece[0], np.int64)
        _parents(all_begins, bounds, all_words, ids[piece[0] : piece[1]], out)
        return out

    return np.concatenate([np.zeros(0, np.int64), *spread(place, chunks(len(ids), 1 << 18))])


def _put_in_contexts(ids: list[Array], probs: list[Array], weights: list[Array]) -> None:
    """Contexts that are missing, from the highest order down, their probability being NaN."""
    for k in range(len(ids) - 1, 1, -1):
        have = set(map(bytes, np.ascontiguousarray(ids[k - 1])))
        need = {bytes(row) for row in np.ascontiguousarray(ids[k][:, :-1])} - have
        if not need:
            continue
        rows = np.frombuffer(b"".join(sorted(need)), np.uint32).reshape(len(need), k)
        ids[k - 1] = np.concatenate([ids[k - 1], rows])
        probs[k - 1] = np.concatenate([probs[k - 1], np.full(len(need), np.nan, np.float32)])
        weights[k - 1] = np.concatenate([weights[k - 1], np.zeros(len(need), np.float32)])
