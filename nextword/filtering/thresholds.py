"""Finds the figures at which buckets are divided, from a sample of documents."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..text.document_formats import format_of
from ..text.documents import Block, Documents, open_documents
from .work import Work

_MOST = 64 << 20  # bytes of a sample


class Learnt(NamedTuple):
    """The thresholds, and what they come from."""

    thresholds: tuple[float, ...]
    source: dict[str, Any]  # the file, None = the first documents; and the number of documents
    streams: dict[int, Iterator[Block]]  # number of an input that can be read once → its blocks


def learn(work: Work, inputs: list[Documents], size: int) -> Learnt:
    """Compute the percentiles of `Settings.buckets` over the first documents of the inputs, or over
    all of the reference file.

    Args:
        size: bytes of a block.

    Raises:
        InputError: there are no documents to learn from.
    """
    settings = work.settings
    reference = settings.reference
    most = None if reference else settings.sample
    sources = [open_documents(Path(reference), None)] if reference else inputs
    values: list[np.ndarray[Any, Any]] = []
    streams: dict[int, Iterator[Block]] = {}
    for number, documents in enumerate(sources):
        form = format_of(documents)
        form.check(documents, settings.field)
        blocks = form.blocks(documents, 0, size)
        seen: list[Block] = []
        read = 0
        for block in blocks:
            if documents.stream:
                seen.append(block)
            values.append(work.values(documents, block.data))
            read += len(block.data)
            if most and (sum(map(len, values)) >= most or read >= _MOST):
                break
        if documents.stream:
            streams[number] = chain(seen, blocks)
        if most and sum(map(len, values)) >= most:
            break
    found = np.concatenate([np.zeros(0), *values])[:most]
    if not len(found):
        where = f"'{reference}'" if reference else "the input"
        raise InputError(f"no documents in {where} to learn the buckets from")
    with np.errstate(invalid="ignore"):  # between infinities
        cuts = np.nan_to_num(np.percentile(found, settings.buckets), nan=np.inf, posinf=np.inf)
    return Learnt(tuple(cuts.tolist()), {"path": reference, "documents": len(found)}, streams)
