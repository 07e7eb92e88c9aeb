"""Before a training: from text files to ids, and what the user should be told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ..config import Config
from ..errors import InputError
from ..files import write_text
from ..run import DATA, TOKENIZER, multiplies_bf16, tokenizer_of
from ..text.corpus import Corpus, prepare
from ..text.reader import Span, blocks, hold_out
from ..text.tokenizer import train_tokenizer

HELD_OUT = 0.05  # of the training text, when no validation text is given
_SHORTEST = 8  # tokens below which there is nothing to learn from


class Bar(Protocol):
    """Starts a progress bar; what it gives is told of every few units done."""

    def __call__(self, label: str, total: int, unit: str = "MB") -> Callable[[int], None]:
        """`total` is in bytes where the unit is MB."""
        ...


class _Speed(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        speed = (task.finished_speed or task.speed or 0) / (1e6 if unit == "MB" else 1)
        return Text(f"{speed:,.{1 if unit == 'MB' else 0}f} {unit}/s")


def settle(config: Config, where: str) -> Config:
    """What `auto` means on this device, put in its place."""
    if config.train.precision != "auto":
        return config
    precision = "bf16" if multiplies_bf16(where) else "fp32"
    return replace(config, train=config.train.model_copy(update={"precision": precision}))


def prepare_text(
    config: Config,
    parent: Path | None,
    train_spans: list[Span],
    valid_spans: list[Span],
    fresh: Path,
    bar: Bar,
) -> list[str]:
    """Tokenizer and ids of the training and validation text, into `fresh`; returns notes."""
    notes = []
    if not valid_spans:
        train_spans, valid_spans = hold_out(train_spans, HELD_OUT)
        if valid_spans:
            notes.append(
                f"no --valid given: the last {HELD_OUT:.0%} of the training text are held out"
            )
    size = sum(span.size for span in train_spans)
    if parent:
        tokenizer = tokenizer_of(parent)
    else:
        advance = bar("learning the vocabulary", size)
        tokenizer = train_tokenizer(reading(train_spans, advance), config.text, size)
    write_text(fresh / TOKENIZER, tokenizer.to_json())
    corpus = prepare(train_spans, tokenizer, fresh / DATA / "train", bar("encoding", size))
    check_enough(corpus, train_spans[0].path)
    if valid_spans:
        valid = prepare(valid_spans, tokenizer, fresh / DATA / "valid")
        if not len(valid):
            raise InputError(f"no words in '{valid_spans[0].path}'; give a text to validate on")
    else:
        notes.append("the text is too short to hold any of it out: no validation")
    if getattr(tokenizer, "split", None) == "whitespace" and config.text.split == "auto":
        notes.append("the text looks tokenised already: words are cut at white space alone")
    return notes


def check_enough(corpus: Corpus, path: Path) -> None:
    if len(corpus) < _SHORTEST:
        raise InputError(
            f"'{path}' gives {len(corpus)} tokens to train on; at least {_SHORTEST} are needed, "
            "thousands to learn anything"
        )
    ids = corpus.ids
    if not np.any(ids[: 1 << 20] != ids[0]) and not np.any(np.asarray(ids) != ids[0]):
        raise InputError(
            f"'{path}' holds one kind of token only ({len(corpus)} times): there is nothing to "
            "predict; try text.tokenizer=char, or another text"
        )


def reading(spans: list[Span], advance: Callable[[int], None]) -> Iterator[str]:
    for text, read in blocks(spans):
        yield text
        advance(read)


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Bar]:
    console = Console(stderr=True, quiet=quiet)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        _Speed(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )

    def start(label: str, total: int, unit: str = "MB") -> Callable[[int], None]:
        task = progress.add_task(label, total=total, unit=unit)
        return lambda done: progress.advance(task, done)

    with progress:
        yield start


def as_json(tables: dict[str, Any]) -> str:
    return json.dumps(tables, indent=1, ensure_ascii=False)


def speaker(quiet: bool) -> Callable[[str], None]:
    """Prints a line on standard error."""
    console = Console(stderr=True, quiet=quiet, highlight=False)
    return partial(console.print, markup=False, soft_wrap=True)
