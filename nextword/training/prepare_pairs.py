"""Before a training on sentence pairs: from files to ids, and what the user should be told."""

from __future__ import annotations

import math
from itertools import chain
from pathlib import Path

from ..config import Config
from ..errors import InputError
from ..files import write_text
from ..run import DATA, SOURCE_TOKENIZER, TOKENIZER
from ..text.pairs import PairFile, Skipped, hold_out_pairs, prepare_pairs, side
from ..text.tokenizer import Tokenizer, load_tokenizer, train_tokenizer
from .prepare import HELD_OUT, Bar


def prepare_pair_text(
    config: Config,
    parent: Path | None,
    train: list[PairFile],
    valid: list[PairFile],
    fresh: Path,
    bar: Bar,
) -> list[str]:
    """Tokenizers and ids of the training and validation pairs, into `fresh`; returns notes."""
    notes = []
    if not valid:
        train, valid = hold_out_pairs(train, HELD_OUT)
        if valid:
            notes.append(
                f"no --valid given: the last {HELD_OUT:.0%} of the training pairs are held out"
            )
    target, source = _tokenizers(config, parent, train)
    write_text(fresh / TOKENIZER, target.to_json())
    write_text(fresh / SOURCE_TOKENIZER, source.to_json())
    longest = min(config.train.longest, getattr(config.model, "context", None) or math.inf)
    size = sum(path.stat().st_size for file in train for path in (file.path, file.target) if path)
    corpus, skipped = prepare_pairs(
        train, target, source, fresh / DATA / "train", int(longest), bar("encoding", size)
    )
    if not len(corpus):
        raise InputError(f"no pairs to learn from in '{train[0].path}': {skipped}")
    notes += _told("training", skipped, int(longest))
    if valid:
        held, skipped = prepare_pairs(valid, target, source, fresh / DATA / "valid", int(longest))
        if not len(held):
            raise InputError(f"no pairs to validate on in '{valid[0].path}': {skipped}")
        notes += _told("validation", skipped, int(longest))
    else:
        notes.append("too few pairs to hold any out: no validation")
    return notes


def _tokenizers(
    config: Config, parent: Path | None, train: list[PairFile]
) -> tuple[Tokenizer, Tokenizer]:
    """Of the target and of the source."""
    if parent:
        return load_tokenizer(parent / TOKENIZER), load_tokenizer(parent / SOURCE_TOKENIZER)
    assert config.source is not None
    sizes = {
        name: sum(len(text.encode("utf-8")) for text in side(train, name))
        for name in ("source", "target")
    }
    if config.source.joint:
        both = chain(side(train, "source"), side(train, "target"))
        shared = train_tokenizer(both, config.text, sum(sizes.values()))
        return shared, shared
    return (
        train_tokenizer(side(train, "target"), config.text, sizes["target"]),
        train_tokenizer(side(train, "source"), config.source, sizes["source"]),
    )


def _told(which: str, skipped: Skipped, longest: int) -> list[str]:
    if not skipped.empty and not skipped.long:
        return []
    return [f"{which} pairs left out: {skipped} (more than {longest} tokens)"]
