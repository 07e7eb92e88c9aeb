"""Estimates an n-gram model from a text: counts n-grams, smooths, prunes, and writes a table.

The steps are those of lmplz (Heafield, Pouzyrevsky, Clark and Koehn 2013), the smoothing methods
those of Chen and Goodman (1998). Several threads work piece by piece, in memory or on disk (see
`storage`). The arithmetic is the same in every case, so the results are equal to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import registry
from ..errors import InputError
from .adjusted_counts import adjust_counts, counts_of_counts
from .counting import count_ngrams
from .lmplz import count_last_as_lmplz
from .orders import link_suffixes, orders_of
from .probabilities import smooth_order
from .progress import Bar, no_bar
from .pruning import prune_by_count, prune_by_entropy
from .settings import NgramSettings
from .smoothing import Smoothing
from .storage import Storage
from .table import Table
from .table_from_orders import Allocate, allocate_in_memory, table_from_orders

Array = np.ndarray[Any, Any]


@dataclass
class Estimated:
    """An estimated model, with facts about its estimation."""

    table: Table
    parameters: list[dict[str, float]]  # parameters of the smoothing, for each order
    sizes: list[int]  # n-grams of each order before pruning
    notes: list[str] = field(default_factory=list)  # remarks on the smoothing for the user


def estimate(
    ids: Array,
    vocab_size: int,
    settings: NgramSettings,
    *,
    storage: Storage | None = None,
    allocate: Allocate | None = None,
    bar: Bar | None = None,
) -> Estimated:
    """Estimate a model from ids (N,), in which every line ends in `<eos>`.

    Args:
        storage: where intermediate arrays are kept (default: in memory).
        allocate: makes the arrays of the table, for example in a file (default: in memory).
        bar: starts a progress bar; see `progress.Bar`.

    Raises:
        InputError: the memory bound is too small for the text, entropy pruning is combined with a
            memory bound, or the text is too large.

    Example:
        >>> ids = np.array([2, 3, 1, 2, 1], np.uint32)  # a b <eos> a <eos>
        >>> estimate(ids, 4, NgramSettings(order=2, smoothing="witten-bell")).sizes
        [4, 4]
    """
    storage, bar = storage or Storage(), bar or no_bar
    if settings.prune_entropy and storage.bounded:
        raise InputError(
            "entropy pruning needs all n-grams in memory; leave train.memory out, or prune by "
            "counts"
        )
    method: type[Smoothing] = registry.load("smoothing", settings.smoothing)
    counting = bar("counting", len(ids) + 1, "tokens")
    counts = count_ngrams(ids, vocab_size, settings.order, storage, counting)
    orders = orders_of(counts, storage)
    link_suffixes(orders, storage)
    adjust_counts(orders, method.continuation, storage)
    of_counts = counts_of_counts(orders, storage)
    if method.continuation:
        count_last_as_lmplz(of_counts, ids, orders, storage)
    parameters, notes = [], []
    smoothing = bar("smoothing", len(counts), "n-grams")
    for k, order in enumerate(orders, start=1):
        fitted = smooth_order(orders, k, method, settings, of_counts[k - 1], storage)
        parameters.append(fitted.describe())
        if fitted.note and len(order):
            notes.append(f"order {k}: {fitted.note}")
        smoothing(len(order))
    if any(settings.prune):
        prune_by_count(orders, settings.prune, storage)
    if settings.prune_entropy:
        prune_by_entropy(orders, settings.prune_entropy, counts.tokens)
    writing = bar("writing", len(counts), "n-grams")
    table = table_from_orders(orders, storage, allocate or allocate_in_memory, writing)
    return Estimated(table, parameters, [len(order) for order in orders], notes)
