"""Counts → probabilities and back-off weights.

Everything is done piece by piece: all n-grams of a few contexts at a time, by several threads, in
memory or on disk (`storage`), with the same arithmetic and so the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from .. import registry
from ..compiled import Int, compiled
from ..errors import InputError
from ..text.tokenizer import EOS, UNK
from .counting import Counts, Progress, count
from .smoothing import Level, Smoothing
from .storage import Storage
from .table import CONTEXT, NODE, Table

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Settings:
    """What an estimation does; see the fields of `NgramConfig`."""

    order: int = 5
    smoothing: str = "modified-kneser-ney"
    interpolate: bool = True
    add_k: float = 1.0
    open: bool = True
    prune: tuple[int, ...] = ()
    prune_entropy: float = 0.0


@dataclass
class Estimated:
    """A finished model and how it came about."""

    table: Table
    parameters: list[dict[str, float]]  # of the smoothing, per order
    counts: list[int]  # n-grams of each order before pruning
    notes: list[str] = field(default_factory=list)


@dataclass
class _Order:
    """What is known of the n-grams of one order; index j runs over them."""

    words: Array  # (M,) uint32
    counts: Array  # (M,) uint32 how often it occurs
    followers: Array  # (M,) uint32 n-grams of the next order that begin with it
    begin: Array  # (M + 1,) uint32: they stand at begin[j] … begin[j + 1] of the next order
    links: Array | None = None  # (M,) uint32: its last n - 1 words in the order below
    adjusted: Array | None = None  # (M,) uint32: what the smoothing counts
    prob: Array | None = None  # (M,) float32
    left: Array | None = None  # (M,) float32: γ of the context that it is
    keep: Array | None = None  # (M,) bool: not pruned; None = all are kept

    def __len__(self) -> int:
        return len(self.words)


#: offsets (n + 1,) → the nodes and contexts of a table to fill
Make = Callable[[Array], tuple[Array, Array]]

#: (label, total, unit) → a function told of every few done
Bar = Callable[[str, int, str], Progress]


def _no_bar(label: str, total: int, unit: str) -> Progress:
    return lambda done: None


def estimate(
    ids: Array,
    vocab_size: int,
    settings: Settings,
    *,
    storage: Storage | None = None,
    make: Make | None = None,
    bar: Bar | None = None,
) -> Estimated:
    """Estimate a model from ids (N,) of text lines, each ending in `<eos>`.

    Args:
        storage: where intermediate arrays live (default: in memory).
        make: makes the arrays of the table, in a file perhaps (default: in memory).
        bar: starts a progress bar: (label, total, unit) → function told of every few done.

    Raises:
        InputError: a memory bound too small for the text.
    """
    storage = storage or Storage()
    bar = bar or _no_bar
    counts = count(
        ids, vocab_size, settings.order, storage, bar("counting", len(ids) + 1, "tokens")
    )
    method: type[Smoothing] = registry.load("smoothing", settings.smoothing)
    orders = _orders(counts, storage)
    _link(orders, storage)
    _adjust(orders, method.continuation, storage)
    extra = _last_of_lmplz(ids, orders, method, storage)
    parameters, notes = [], []
    done = bar("smoothing", len(counts), "n-grams")
    for k in range(1, len(orders) + 1):
        fitted = _smooth(orders, k, method, settings, extra, storage)
        parameters.append(fitted.describe())
        done(len(orders[k - 1]))
        if fitted.note and len(orders[k - 1]):
            notes.append(f"order {k}: {fitted.note}")
    sizes = [len(order) for order in orders]
    if any(settings.prune):
        _prune_counts(orders, settings.prune, storage)
    if settings.prune_entropy:
        if storage.bounded:
            raise InputError(
                "entropy pruning needs all n-grams in memory; leave train.memory out, or prune by "
                "counts"
            )
        from .pruning import prune_entropy

        prune_entropy(orders, settings.prune_entropy, counts.tokens)
    done = bar("writing", len(counts), "n-grams")
    table = _assemble(orders, storage, make or _in_memory, done)
    return Estimated(table, parameters, sizes, notes)


# ---------------------------------------------------------------- structure


def _orders(counts: Counts, storage: Storage) -> list[_Order]:
    orders = []
    for k in range(counts.order):
        last = k == counts.order - 1
        followers = np.zeros(0, np.uint32) if last else counts.followers[k]
        begin = storage.appender(np.uint32)
        total = 0
        begin.append(np.zeros(1, np.uint32))
        for start, stop in storage.pieces(len(followers)):
            sums = np.cumsum(followers[start:stop], dtype=np.int64) + total
            total = int(sums[-1])
            begin.append(sums)
        orders.append(_Order(counts.words[k], counts.counts[k], followers, begin.close()))
    return orders


def _contexts(begin: Array, size: int, storage: Storage) -> list[tuple[int, int]]:
    """(from, to) of contexts whose followers are about `size` together; begin (C + 1,): where the
    followers of each begin."""
    total = int(begin[-1])
    if total <= size:
        return [(0, len(begin) - 1)]
    bounds = [np.zeros(1, np.int64)]
    for start, stop in storage.pieces(len(begin) - 1):
        share = begin[start : stop + 1] // size
        bounds.append(start + 1 + np.flatnonzero(share[1:] != share[:-1]))
    cuts = np.unique(np.concatenate([*bounds, [len(begin) - 1]]))
    return list(pairwise(cuts.tolist()))


@compiled
def _match(
    links: Array,
    begin: Array,
    words: Array,
    low: Int,
    high: Int,
    lower_begin: Array,
    lower_words: Array,
    out: Array,
) -> None:
    """For every n-gram h w the place of h' w, which lies among the followers of h'.

    links (G,): h' of each context h; only those within low … high are looked at. begin (G + 1,):
    where the followers of h begin in words; lower_begin, lower_words: the same for h'.
    """
    base = begin[0]
    lower_base = np.int64(lower_begin[0])
    for group in range(links.size):
        link = np.int64(links[group])
        if link < low or link >= high:
            continue
        at = np.int64(lower_begin[link - low]) - lower_base
        end = np.int64(lower_begin[link - low + 1]) - lower_base
        for child in range(begin[group] - base, begin[group + 1] - base):
            word = words[child]
            if end - at > 16:
                left, right = at, end
                while left < right:
                    middle = (left + right) >> 1
                    if lower_words[middle] < word:
                        left = middle + 1
                    else:
                        right = middle
                at = left
            else:
                while lower_words[at] < word:
                    at += 1
            out[child] = at + lower_base
            at += 1


def _link(orders: list[_Order], storage: Storage) -> None:
    """Fill in `links`. Without its first word every n-gram occurs too, so it is always found."""
    for k in range(2, len(orders) + 1):
        order, above = orders[k - 1], orders[k - 2]
        if k == 2:
            order.links = order.words  # unigrams are numbered by their words
            continue
        lower, lowest = orders[k - 2], orders[k - 3]
        links = storage.full(len(order), np.uint32)
        for low, high in _contexts(lowest.begin, storage.window, storage):
            lower_begin = storage.held(lowest.begin[low : high + 1])
            lower_words = storage.held(lower.words[int(lower_begin[0]) : int(lower_begin[-1])])
            assert above.links is not None

            def work(
                piece: tuple[int, int],
                low: int = low,
                high: int = high,
                lower_begin: Array = lower_begin,
                lower_words: Array = lower_words,
                above: _Order = above,
                order: _Order = order,
                links: Array = links,
            ) -> None:
                start, stop = piece
                begin = above.begin[start : stop + 1]
                first, last = int(begin[0]), int(begin[-1])
                assert above.links is not None
                _match(
                    above.links[start:stop],
                    begin,
                    order.words[first:last],
                    low,
                    high,
                    lower_begin,
                    lower_words,
                    links[first:last],
                )

            storage.each(work, _contexts(above.begin, storage.nodes, storage))
        order.links = links


@compiled
def _tally(links: Array, low: Int, high: Int, out: Array) -> None:
    for at in range(links.size):
        link = np.int64(links[at])
        if low <= link < high:
            out[link - low] += 1


def _adjust(orders: list[_Order], continuation: bool, storage: Storage) -> None:
    """Fill in `adjusted`: occurrences, or below the highest order the different words before."""
    orders[-1].adjusted = orders[-1].counts
    first, stop = EOS, EOS + 1  # the n-grams that begin a line, in every order
    for k in range(1, len(orders)):
        order, above = orders[k - 1], orders[k]
        if not continuation:
            order.adjusted = order.counts
            continue
        assert above.links is not None
        out = storage.appender(np.uint32)
        for low, high in storage.spans(len(order)):
            tally = np.zeros(high - low, np.uint32)
            for start, end in storage.pieces(len(above)):
                _tally(above.links[start:end], low, high, tally)
            if k > 1 and first < high and stop > low:
                a, b = max(first, low), min(stop, high)
                tally[a - low : b - low] = order.counts[a:b]
            out.append(tally)
        order.adjusted = out.close()
        first, stop = int(order.begin[first]), int(order.begin[stop])


def _last_of_lmplz(
    ids: Array, orders: list[_Order], method: type[Smoothing], storage: Storage
) -> dict[int, tuple[int, int]]:
    """Where lmplz's counts of counts have another number: {order: (its count, ours)}.

    It sorts n-grams by their last word, then the one before, and so on, words being numbered by
    first appearance. Of the very last n-gram of each lower order it counts the occurrences instead
    of the words before. One count of counts differs by one, and with it the discounts.
    """
    n = len(orders)
    if not method.continuation or n == 1 or not len(ids):
        return {}
    last = _last_ngram(ids, len(orders[0]), n, storage)
    found: dict[int, tuple[int, int]] = {}
    for k in range(1, min(n, len(last) + 1)):
        gram = last[-k:]
        node = gram[0]
        for depth, word in enumerate(gram[1:], start=1):
            begin = orders[depth - 1].begin
            lo, hi = int(begin[node]), int(begin[node + 1])
            node = lo + int(np.searchsorted(orders[depth].words[lo:hi], word))
        adjusted = orders[k - 1].adjusted
        assert adjusted is not None
        theirs, ours = int(orders[k - 1].counts[node]), int(adjusted[node])
        if theirs != ours and not (k == 1 and gram[0] == EOS):
            found[k] = (theirs, ours)
    return found


@compiled
def _first_places(ids: Array, start: int, first: Array) -> None:
    for at in range(ids.size):
        if first[ids[at]] == 0:
            first[ids[at]] = start + at + 2  # 1 is the beginning of a line, 0 what never came


def _last_ngram(ids: Array, vocab_size: int, order: int, storage: Storage) -> list[int]:
    """The n-gram (n ≤ order words) that lmplz sorts last; it ends before a line's beginning."""
    first = np.zeros(vocab_size, np.int64)
    for start, stop in storage.pieces(len(ids)):
        _first_places(ids[start:stop], start, first)
    first[EOS] = 1  # as an end of line it comes first of all words, as a beginning even before
    word = int(np.argmax(first))
    ends = np.concatenate(
        [
            start + np.flatnonzero(ids[start:stop] == word)
            for start, stop in storage.pieces(len(ids))
        ]
    )
    gram = [word]
    while len(gram) < order and len(ends):
        before = ends - len(gram)
        previous = np.where(before >= 0, ids[np.maximum(before, 0)], EOS)
        ranks = np.where(previous == EOS, 0, first[previous])
        best = int(ranks.max())
        ends = ends[ranks == best]
        if best == 0:
            gram.insert(0, EOS)
            break
        gram.insert(0, int(ids[ends[0] - len(gram)]))
    return gram


# ---------------------------------------------------------------- probabilities


def _smooth(
    orders: list[_Order],
    k: int,
    method: type[Smoothing],
    settings: Settings,
    extra: dict[int, tuple[int, int]],
    storage: Storage,
) -> Smoothing:
    """Fill in `prob` of order k and `left` of the contexts below it."""
    order = orders[k - 1]
    assert order.adjusted is not None
    vocab_size = len(orders[0])
    words = vocab_size - (0 if settings.open or orders[0].counts[UNK] else 1)
    of_counts = np.zeros(5, np.int64)
    for start, stop in storage.pieces(len(order)):
        of_counts += np.bincount(np.minimum(order.adjusted[start:stop], 5), minlength=6)[:5]
    if k in extra:
        for value, change in zip(extra[k], (1, -1), strict=True):
            if value < 5:
                of_counts[value] += change
    if k == 1:
        return _smooth_unigrams(order, method, settings, of_counts, words)
    below = orders[k - 2]
    assert below.prob is not None and order.links is not None
    lower = storage.gather(below.prob, order.links)
    pieces = _contexts(below.begin, storage.nodes, storage)

    def sweep() -> Iterator[tuple[Array, Array, Array]]:
        for piece in pieces:
            some = _Piece.of(order, below, piece)
            yield some.count, some.total, lower(some.first, some.last)
            storage.release()

    fitted = method.fit(Level(k, words, of_counts, settings.add_k, sweep))
    threshold = _threshold(settings.prune, k)
    prob = storage.full(len(order), np.float32)
    left = storage.full(len(below), np.float32)
    finish = _interpolate if settings.interpolate else _back_off
    discounts = _discounts(fitted)

    def work(piece: tuple[int, int]) -> None:
        some = _Piece.of(order, below, piece)
        kept = fitted.keep(some.count, some.total, some.types)
        finish(
            some.begin,
            order.counts[some.first : some.last],
            threshold,
            some.count,
            kept,
            discounts,
            lower(some.first, some.last),
            prob[some.first : some.last],
            left[piece[0] : piece[1]],
        )

    storage.each(work, pieces)
    order.prob, below.left = prob, left
    return fitted


@dataclass
class _Piece:
    """The n-grams of a few contexts, in single precision as lmplz counts."""

    first: int
    last: int
    begin: Array  # (G + 1,) uint32: where the followers of each context begin
    count: Array  # (m,) float32
    total: Array  # (m,) float32: of the context, once per n-gram
    types: Array  # (m,) float32: the same

    @classmethod
    def of(cls, order: _Order, below: _Order, piece: tuple[int, int]) -> _Piece:
        begin = below.begin[piece[0] : piece[1] + 1]
        first, last = int(begin[0]), int(begin[-1])
        count, total, types = (np.empty(last - first, np.float32) for _ in range(3))
        assert order.adjusted is not None
        _totals(begin, order.adjusted[first:last], count, total, types)
        return cls(first, last, begin, count, total, types)


@compiled
def _totals(begin: Array, adjusted: Array, count: Array, total: Array, types: Array) -> None:
    """Counts as float32, with the sum and the number of them over the same context beside each."""
    base = begin[0]
    for group in range(begin.size - 1):
        low, high = begin[group] - base, begin[group + 1] - base
        sum_ = np.int64(0)
        for at in range(low, high):
            sum_ += adjusted[at]
        for at in range(low, high):
            count[at] = adjusted[at]
            total[at] = sum_
            types[at] = high - low


@compiled
def _interpolate(
    begin: Array,
    raw: Array,
    threshold: Int,
    count: Array,
    kept: Array,
    discounts: Array,
    lower: Array,
    prob: Array,
    left: Array,
) -> None:
    """p = c'/N + γ p', γ = Σ (c - c') / N; a pruned n-gram leaves all of its count over.

    With discounts γ is (Σ D_c n_c) / N, added up in lmplz's order: the same bits.
    """
    base = begin[0]
    seen = np.zeros(4, np.int64)
    for group in range(begin.size - 1):
        low, high = begin[group] - base, begin[group + 1] - base
        if low == high:
            left[group] = 1
            continue
        total, pruned = np.int64(0), np.int64(0)
        over = 0.0
        seen[:] = 0
        for at in range(low, high):
            total += np.int64(count[at])
            if raw[at] <= threshold:
                pruned += np.int64(count[at])
            else:
                over += count[at] - kept[at]
                c: Int = min(np.int64(count[at]), 3)
                seen[c] += 1
        if discounts.size:
            mass = np.float32(0)
            for times in range(1, 4):
                part = np.float32(discounts[times - 1] * np.float32(seen[times]))
                mass = np.float32(mass + part)
        else:
            mass = np.float32(max(over, 0.0))
        gamma = np.float32(np.float32(mass + np.float32(pruned)) / np.float32(total))
        left[group] = gamma
        for at in range(low, high):
            prob[at] = np.float32(kept[at] / np.float32(total)) + np.float32(gamma * lower[at])


@compiled
def _back_off(
    begin: Array,
    raw: Array,
    threshold: Int,
    count: Array,
    kept: Array,
    discounts: Array,
    lower: Array,
    prob: Array,
    left: Array,
) -> None:
    """p = c'/N; the weight of the others is γ / (1 - Σ p') over the seen ones (Katz 1987).

    An n-gram that keeps nothing counts as unseen. Where every word was seen there are no others,
    and the seen ones have γ too.
    """
    base = begin[0]
    for group in range(begin.size - 1):
        low, high = begin[group] - base, begin[group + 1] - base
        total = np.int64(0)
        over, seen = 0.0, 0.0
        for at in range(low, high):
            total += np.int64(count[at])
            over += count[at]
            if raw[at] > threshold:
                over -= kept[at]
                if kept[at] > 0:
                    seen += lower[at]
        if low == high:
            left[group] = 1
            continue
        gamma = max(over, 0.0) / total
        share = 1.0
        if seen > 1 - 1e-6:
            share = 1 / max(1 - gamma, 1e-30)
            left[group] = 0
        else:
            left[group] = gamma / (1 - seen)
        for at in range(low, high):
            prob[at] = kept[at] / total * share if kept[at] > 0 else left[group] * lower[at]


def _smooth_unigrams(
    order: _Order, method: type[Smoothing], settings: Settings, of_counts: Array, words: int
) -> Smoothing:
    """Order 1 has a single context and falls back on 1/V; what has no count has that alone."""
    assert order.adjusted is not None
    count = order.adjusted.astype(np.float32)
    total = np.full(len(count), float(order.adjusted.sum(dtype=np.int64)), np.float32)
    uniform = np.full(len(count), 1 / np.float32(words), np.float32)
    if words < len(count):
        uniform[UNK] = 0
    seen = count > 0

    def sweep() -> Iterator[tuple[Array, Array, Array]]:
        yield count[seen], total[seen], uniform[seen]

    fitted = method.fit(Level(1, words, of_counts, settings.add_k, sweep))
    types = np.full(len(count), float(seen.sum()), np.float32)
    kept = np.where(seen, fitted.keep(count, total, types), 0)
    over = np.float32((count - kept).sum(dtype=np.float64))
    if len(discounts := _discounts(fitted)):
        of = np.bincount(np.minimum(order.adjusted, 3), minlength=4).astype(np.float32)
        over = (discounts[0] * of[1] + discounts[1] * of[2]) + discounts[2] * of[3]
    over = over / total[0]
    kept = kept / total[0]
    if settings.interpolate:
        order.prob = (kept + over * uniform).astype(np.float32)
    else:
        unseen = float(uniform[~seen].sum(dtype=np.float64))
        if unseen == 0:
            order.prob = (kept / kept.sum(dtype=np.float64)).astype(np.float32)
        else:
            order.prob = np.where(seen, kept, uniform * (over / unseen)).astype(np.float32)
    return fitted


def _discounts(fitted: Smoothing) -> Array:
    """(3,) float32, or none."""
    return np.array(getattr(fitted, "discounts", ()), np.float32)


def _threshold(prune: tuple[int, ...], k: int) -> int:
    """N-grams of order k that came so often or less are left out; the last number goes on."""
    return prune[min(k, len(prune)) - 1] if prune else 0


def _prune_counts(orders: list[_Order], prune: tuple[int, ...], storage: Storage) -> None:
    for k, order in enumerate(orders, start=1):
        if threshold := _threshold(prune, k):
            keep = storage.appender(np.bool_)
            for start, stop in storage.pieces(len(order)):
                keep.append(order.counts[start:stop] > threshold)
            order.keep = keep.close()


# ---------------------------------------------------------------- the table


def _in_memory(offsets: Array) -> tuple[Array, Array]:
    nodes = np.empty((int(offsets[-1]), NODE), np.uint32)
    return nodes, np.empty((int(offsets[-2]) + 1, CONTEXT), np.uint32)


def _assemble(orders: list[_Order], storage: Storage, make: Make, done: Progress) -> Table:
    """All orders as one trie. An n-gram that is no context leads on to its longest ending that is
    one, so that a state is always a context."""
    kept = [len(o) if o.keep is None else _count_true(o.keep, storage) for o in orders]
    offsets = np.concatenate([[1], 1 + np.cumsum(kept)]).astype(np.int64)
    total, contexts_total = int(offsets[-1]), int(offsets[-2])
    if total >= 1 << 32:
        raise InputError(f'{total:,} n-grams are more than a model holds; prune: model.prune="0 1"')
    nodes, contexts = make(offsets)
    storage.hold(nodes)
    storage.hold(contexts)
    nodes[0] = (0, 0, 0)
    contexts[0] = (1, 0, 0)
    contexts[contexts_total] = (total, 0, 0)
    settled: Array | None = None  # of the order below: where each of its n-grams leads
    probs, weights = nodes.view(np.float32), contexts.view(np.float32)
    for k, order in enumerate(orders, start=1):
        above = orders[k] if k < len(orders) else None
        fails: Callable[[int, int], Array] = _no_fails
        if settled is not None:
            assert order.links is not None
            fails = storage.gather(settled, order.links)
        leads = storage.full(len(order), np.uint32)

        def work(
            piece: tuple[int, int, int, int],
            order: _Order = order,
            above: _Order | None = above,
            fails: Callable[[int, int], Array] = fails,
            leads: Array = leads,
        ) -> None:
            start, stop, node, child = piece
            assert order.prob is not None
            _fill(
                order.words[start:stop],
                order.prob[start:stop],
                _NO_FLOATS if above is None or order.left is None else order.left[start:stop],
                _NO_INTS if above is None else order.begin[start : stop + 1],
                _NO_BOOLS if order.keep is None else order.keep[start:stop],
                _kept_above(order, above, start, stop),
                fails(start, stop),
                node,
                child,
                nodes,
                probs,
                contexts,
                weights,
                leads[start:stop],
            )

        storage.each(work, _pieces(order, above, offsets, k, storage))
        settled = leads
        done(len(order))
    return Table(nodes, contexts, offsets)


_NO_INTS, _NO_FLOATS = np.zeros(0, np.uint32), np.zeros(0, np.float32)
_NO_BOOLS = np.zeros(0, np.bool_)


def _pieces(
    order: _Order, above: _Order | None, offsets: Array, k: int, storage: Storage
) -> list[tuple[int, int, int, int]]:
    """(from, to, node of the first, first follower of the first) of pieces of an order."""
    pieces = []
    node = int(offsets[k - 1])
    child = int(offsets[k]) if above is not None else 0
    for start, stop in storage.pieces(len(order)):
        pieces.append((start, stop, node, child))
        keep = _NO_BOOLS if order.keep is None else order.keep[start:stop]
        node += int(keep.sum()) if len(keep) else stop - start
        if above is not None:
            kept = _kept_above(order, above, start, stop)
            followers = int(order.begin[stop]) - int(order.begin[start])
            child += int(kept.sum()) if len(kept) else followers
    return pieces


def _kept_above(order: _Order, above: _Order | None, start: int, stop: int) -> Array:
    if above is None or above.keep is None:
        return _NO_BOOLS
    return above.keep[int(order.begin[start]) : int(order.begin[stop])]


@compiled
def _fill(
    words: Array,
    prob: Array,
    left: Array,
    begin: Array,
    keep: Array,
    keep_above: Array,
    fails: Array,
    node: Int,
    child: Int,
    nodes: Array,
    probs: Array,
    contexts: Array,
    weights: Array,
    leads: Array,
) -> None:
    """Write the rows of a few n-grams from `node` on, their followers beginning at `child`, and
    where each of them leads, kept or not. An empty begin means: of the highest order; an empty keep
    or keep_above: all stay."""
    for at in range(words.size):
        stays = keep.size == 0 or keep[at]
        followers: Int = 0
        if begin.size:
            low, high = begin[at], begin[at + 1]
            if keep_above.size == 0:
                followers = np.int64(high) - np.int64(low)
            else:
                for above in range(low - begin[0], high - begin[0]):
                    if keep_above[above]:
                        followers += 1
        lead = fails[at]
        if stays and followers:
            lead = np.uint32(node)
        leads[at] = lead
        if stays:
            nodes[node, 0] = words[at]
            probs[node, 1] = _log10(prob[at], 0.0)
            nodes[node, 2] = lead
            if begin.size:
                contexts[node, 0] = child
                weights[node, 1] = _log10(left[at], np.inf) if followers else np.float32(0)
                contexts[node, 2] = fails[at]
            node += 1
        child += followers


@compiled
def _log10(value: Any, most: Any) -> Any:
    """As float32, at most `most`; zero becomes -99, as ARPA files write it."""
    if value <= 0:
        return np.float32(-99)
    return np.float32(min(math.log10(value), most))


def _no_fails(start: int, stop: int) -> Array:
    return np.zeros(stop - start, np.uint32)


def _count_true(keep: Array, storage: Storage) -> int:
    return sum(int(keep[start:stop].sum()) for start, stop in storage.pieces(len(keep)))
