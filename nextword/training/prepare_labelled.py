"""Before the training of a classifier or a tagger: from labelled texts or tagged words to ids, and
what the user should be told."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import Config
from ..data.labelled import Labelled
from ..errors import InputError
from ..files import write_text
from ..run import DATA, TOKENIZER, tokenizer_of
from ..text.labelled import find_labels, prepare_labelled, read_labelled
from ..text.reader import Span
from ..text.tagged import NONE, prepare_tagged, read_tagged
from ..text.tokenizer import train_tokenizer
from .prepare import HELD_OUT

#: What a model reads → who reads its files.
LABELS_OF: dict[str, Callable[[Path], Any]] = {"labelled": read_labelled, "tagged": read_tagged}


def prepare_labelled_text(
    config: Config,
    parent: Path | None,
    train: list[Span],
    valid: list[Span],
    fresh: Path,
    *,
    asked: bool = False,
) -> tuple[list[str], Config]:
    """Tokenizer, ids and labels of the training and validation texts, into `fresh`; returns notes,
    and the settings with the labels in them. Longer texts than the encoder's context, a mark before
    them included, are cut; `asked`: a `train.bptt` set by hand must fit."""
    context = config.model.encoder.get("context")
    if context and config.train.bptt >= context:
        if asked:
            raise InputError(
                f"train.bptt = {config.train.bptt} is too long for the encoder's context of "
                f"{context}; add --set train.bptt={context - 1}"
            )
        config = replace(config, train=config.train.model_copy(update={"bptt": context - 1}))
    notes = []
    read = LABELS_OF[config.model.reads]
    files, held = [span.path for span in train], [span.path for span in valid]
    labels = (parent and config.model.labels) or find_labels(files, read)
    if not held:
        files, held = _hold_out(files, fresh, read)
        notes.append(f"no --valid given: {HELD_OUT:.0%} of the training texts are held out")
    if parent:
        tokenizer = tokenizer_of(parent)
    else:
        texts = ("\n".join(e.texts) + "\n" for path in files for e in read(path))
        tokenizer = train_tokenizer(texts, config.text, sum(p.stat().st_size for p in files))
    write_text(fresh / TOKENIZER, tokenizer.to_json())
    places = fresh / DATA / "train", fresh / DATA / "valid"
    found: dict[str, Any] = {}
    if config.model.reads == "tagged":
        corpus, _ = prepare_tagged(files, tokenizer, places[0], labels)
        prepare_tagged(held, tokenizer, places[1], labels)
        assert corpus.labels is not None
    else:
        corpus, _ = prepare_labelled(files, tokenizer, places[0], labels)
        assert corpus.labels is not None
        stream = Labelled(corpus.ids, corpus.labels, 1, config.train.bptt, shuffle=False)
        found["pairs"] = stream.each == 2
        if cut := int(stream.cut.sum()):
            notes.append(
                f"{cut:,} of {len(stream.cut):,} texts are longer than train.bptt = "
                f"{config.train.bptt} tokens and are cut"
            )
        prepare_labelled(held, tokenizer, places[1], labels, stream.each)
    for path in (*files, *held):
        if path.parent == fresh:
            path.unlink()
    counts: Counter[int] = Counter(corpus.labels.tolist())
    del counts[NONE]
    told = ", ".join(f"{label} {counts[i]:,}" for i, label in enumerate(labels))
    notes.append(f"labels: {told}")
    found["labels"] = labels
    config = replace(config, model=config.model.model_copy(update=found))
    if config.objective.weights == "balanced":
        total = sum(counts.values())
        weights = [total / (len(labels) * max(1, counts[i])) for i in range(len(labels))]
        objective = config.objective.model_copy(update={"weights": weights})
        config = replace(config, objective=objective)
    return notes, config


def _hold_out(
    files: list[Path], folder: Path, read: Callable[[Path], Any]
) -> tuple[list[Path], list[Path]]:
    """Two files in `folder`: most of the examples, and some of every label, drawn at random."""
    rows: dict[str, list[str]] = {}
    for path in files:
        for example in read(path):
            rows.setdefault(example.label, []).append(example.written)
    draw = random.Random(1)
    kept: list[str] = []
    held: list[str] = []
    for lines in rows.values():
        draw.shuffle(lines)
        cut = max(1, round(HELD_OUT * len(lines))) if len(lines) > 1 else 0
        held += lines[:cut]
        kept += lines[cut:]
    if not held:
        raise InputError(f"'{files[0]}' has too few examples to hold some out; add --valid FILE")
    draw.shuffle(kept)
    paths = folder / "kept.tsv", folder / "held.tsv"
    for path, lines in zip(paths, (kept, held), strict=True):
        write_text(path, "".join(lines))
    return [paths[0]], [paths[1]]
