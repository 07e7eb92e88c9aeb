"""`train`: from a recipe and text files to a run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from ..config import Config, load_config, override_items
from ..data.stream import Ids, fit_batch
from ..errors import InputError, Interrupted
from ..evaluation.perplexity import safe_exp
from ..run import (
    CONFIG,
    DATA,
    STATE,
    TOKENIZER,
    WEIGHTS,
    Run,
    check_target,
    count_parameters,
    load,
    load_weights,
    locked,
    pick_device,
    read_tensors,
    replacing,
    write_text,
    write_weights,
)
from ..run import load_config as load_run_config
from ..text.corpus import Corpus, open_corpus, prepare
from ..text.reader import Span, blocks, hold_out, open_texts
from ..text.tokenizer import Tokenizer, load_tokenizer, train_tokenizer
from ..text.vectors import read_vectors
from .checkpoint import Standing
from .journal import draw_curve
from .loop import Training, clock, fit

HELD_OUT = 0.05  # of the training text, when no validation text is given
_SHORTEST = 8  # tokens below which there is nothing to learn from
_ADJUSTABLE = ("train.epochs", "train.minutes", "train.patience", "train.save_every_minutes")

Paths = Sequence[str | os.PathLike[str]]
Bar = Callable[[str, int], Callable[[int], None]]  # (label, total bytes) → advance


@runtime_checkable
class Estimated(Protocol):
    """A model that is counted, not descended."""

    def fit(self, ids: Ids) -> None: ...


def train(
    recipe: str,
    train: Paths | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    valid: Paths | str | os.PathLike[str] = (),
    overrides: list[str] | dict[str, Any] | None = None,
    start_from: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    quiet: bool = False,
) -> Run:
    """Train a model on text files and keep it as the run directory `out`.

    Without validation text the last 5 % of each training file are held out for it. The
    vocabulary comes from the training text alone.

    Args:
        overrides: settings on top of the recipe, `["model.hidden=650"]` or a dict.
        start_from: a run whose text and model settings, vocabulary and weights to start from.

    Raises:
        InputError: something given cannot be used; `out` is as it was.
        TrainingError: the loss is not finite; the last good weights are kept.
        Interrupted: Ctrl-C; everything is saved, `resume` goes on.
    """
    began = time.perf_counter()
    out = Path(out)
    config, parent = _configure(recipe, overrides, start_from)
    where = pick_device(device)
    train_spans = open_texts(_list(train))
    valid_spans = open_texts(_list(valid)) if _list(valid) else []
    check_target(out, overwrite)
    with replacing(out, overwrite) as fresh, _bar(quiet) as bar:
        notes = _prepare_text(config, parent, train_spans, valid_spans, fresh, bar)
        tokenizer = load_tokenizer(fresh / TOKENIZER)
        torch.manual_seed(config.train.seed)
        model = config.model.build(tokenizer.vocab_size)
        if parent:
            weights, _ = read_tensors(parent / WEIGHTS)
            load_weights(model, weights, parent / WEIGHTS)
        elif config.text.vectors:
            notes.append(_set_vectors(model, config, tokenizer))
        write_text(fresh / CONFIG, _json(config.dump()))
    return _go(out, config, model.to(where), where, began, notes, quiet=quiet, resume=False)


def resume(
    out: str | os.PathLike[str],
    *,
    recipe: str | None = None,
    overrides: list[str] | dict[str, Any] | None = None,
    device: str = "cpu",
    quiet: bool = False,
) -> Run:
    """Go on with an interrupted training, to the same weights as if it had never stopped.

    Only the budget may change (train.epochs, train.minutes, train.patience).

    Raises:
        InputError: there is no such run, nothing to go on from, or another setting is to change.
    """
    began = time.perf_counter()
    out = Path(out)
    config = load_run_config(out)
    if recipe is not None and Path(recipe).stem != config.recipe:
        raise InputError(f"'{out}' was trained with the recipe '{config.recipe}', not '{recipe}'")
    config = _adjust(config, overrides)
    where = pick_device(device)
    tokenizer = load_tokenizer(out / TOKENIZER)
    torch.manual_seed(config.train.seed)
    model = config.model.build(tokenizer.vocab_size).to(where)
    if not (out / STATE).is_file():
        hint = f"--from {out}" if (out / WEIGHTS).is_file() else "--overwrite"
        raise InputError(f"'{out}' has no '{STATE}' to go on from; start anew with {hint}")
    return _go(out, config, model, where, began, [], quiet=quiet, resume=True)


def _go(
    out: Path,
    config: Config,
    model: Any,
    where: torch.device,
    began: float,
    notes: list[str],
    *,
    quiet: bool,
    resume: bool,
) -> Run:
    with locked(out):
        write_text(out / CONFIG, _json(config.dump()))
        corpus = open_corpus(out / DATA / "train")
        valid = open_corpus(out / DATA / "valid") if (out / DATA / "valid").is_dir() else None
        training = Training(out, config, model, corpus, valid, where, began)
        notes = [*notes, *_size_notes(training)]
        say = partial(
            Console(stderr=True, quiet=quiet, highlight=False).print, markup=False, soft_wrap=True
        )
        for note in notes:
            say(note)
        vocab_size: int = model.vocab_size
        if isinstance(model, Estimated):
            model.fit(corpus.ids)
            write_weights(out, model, {})  # type: ignore[arg-type]
            say(f"{config.recipe}: counted {len(corpus):,} tokens of {vocab_size:,} kinds")
            return load(out, str(where))
        say(
            f"{config.recipe}: {count_parameters(model):,} parameters, vocabulary "
            f"{vocab_size:,}, {len(corpus):,} tokens to learn from, "
            f"batch {training.wanted_batch} x {config.train.bptt}"
        )
        try:
            at = fit(training, resume=resume, quiet=quiet)
        except KeyboardInterrupt:
            raise Interrupted(
                f"stopped and saved; go on with: nextword train --out {out} --resume"
            ) from None
        draw_curve(out)
        say(_farewell(out, at))
    return load(out, str(where))


def _farewell(out: Path, at: Standing) -> str:
    best = f", best validation perplexity {safe_exp(at.best):.2f}" if at.history else ""
    return (
        f"{at.step:,} steps in {clock(at.seconds)}{best}. Try: nextword generate {out} --prompt "
        f'"..."   or: nextword evaluate {out} --data FILE'
    )


def _configure(
    recipe: str, overrides: Any, start_from: str | os.PathLike[str] | None
) -> tuple[Config, Path | None]:
    if start_from is None:
        return load_config(recipe, overrides), None
    parent = Path(start_from)
    before = load_run_config(parent)
    base = {
        "text": before.text.model_dump(mode="json"),
        "model": before.model.model_dump(mode="json"),
    }
    config = load_config(recipe, overrides, base=base)
    if config.text != before.text:
        raise InputError(f"--from {parent} keeps that run's vocabulary; leave text.* settings out")
    return config, parent


def _adjust(config: Config, overrides: Any) -> Config:
    changes = override_items(overrides)
    for key in changes:
        if key not in _ADJUSTABLE:
            raise InputError(
                f"'{key}' cannot change in a resumed run (only {', '.join(_ADJUSTABLE)} can); "
                "start a new one with --from"
            )
    tables = config.dump()
    for key, value in changes.items():
        tables["train"][key.removeprefix("train.")] = value
    return Config.parse(tables, config.recipe)


def _prepare_text(
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
        tokenizer = load_tokenizer(parent / TOKENIZER)
    else:
        advance = bar("learning the vocabulary", size)
        tokenizer = train_tokenizer(_reading(train_spans, advance), config.text, size)
    write_text(fresh / TOKENIZER, tokenizer.to_json())
    corpus = prepare(train_spans, tokenizer, fresh / DATA / "train", bar("encoding", size))
    _check_enough(corpus, train_spans[0].path)
    if valid_spans:
        valid = prepare(valid_spans, tokenizer, fresh / DATA / "valid")
        if not len(valid):
            raise InputError(f"no words in '{valid_spans[0].path}'; give a text to validate on")
    else:
        notes.append("the text is too short to hold any of it out: no validation")
    if getattr(tokenizer, "split", None) == "whitespace" and config.text.split == "auto":
        notes.append("the text looks tokenised already: words are cut at white space alone")
    return notes


def _check_enough(corpus: Corpus, path: Path) -> None:
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


def _size_notes(training: Training) -> list[str]:
    wanted, length = training.wanted_batch, training.config.train.bptt
    batch_size, bptt = fit_batch(len(training.train), wanted, length)
    if (batch_size, bptt) == (wanted, length):
        return []
    return [
        f"the text is shorter than one batch of {wanted} x {length}: using {batch_size} x {bptt}"
    ]


def _set_vectors(model: Any, config: Config, tokenizer: Tokenizer) -> str:
    ids, vectors = read_vectors(config.text.vectors or "", tokenizer)
    width = model.embedding.embedding_dim
    if vectors.shape[1] != width:
        raise InputError(
            f"'{config.text.vectors}' has vectors of {vectors.shape[1]} numbers, the model of "
            f"{width}; add --set model.embedding={vectors.shape[1]}"
        )
    model.set_vectors(torch.from_numpy(ids), torch.from_numpy(vectors))
    return f"{len(ids):,} of {tokenizer.vocab_size:,} tokens start from '{config.text.vectors}'"


def _reading(spans: list[Span], advance: Callable[[int], None]) -> Iterator[str]:
    for text, read in blocks(spans):
        yield text
        advance(read)


@contextmanager
def _bar(quiet: bool) -> Iterator[Bar]:
    console = Console(stderr=True, quiet=quiet)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )

    def start(label: str, total: int) -> Callable[[int], None]:
        task = progress.add_task(label, total=total)
        return lambda read: progress.advance(task, read)

    with progress:
        yield start


def _list(paths: Paths | str | os.PathLike[str]) -> list[str | os.PathLike[str]]:
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)


def _json(tables: dict[str, Any]) -> str:
    return json.dumps(tables, indent=1, ensure_ascii=False)
