"""`train` for models with weights: gradients, step by step."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from .. import registry
from ..config import Config, override_items
from ..data.stream import fit_batch
from ..errors import InputError, Interrupted
from ..evaluation.perplexity import safe_exp
from ..files import locked, write_text
from ..nn.vectors import put_vectors
from ..run import (
    CONFIG,
    DATA,
    STATE,
    TOKENIZER,
    WEIGHTS,
    build_model,
    count_parameters,
    load_source_tokenizer,
    load_weights,
    multiplies_bf16,
    pick_device,
    replacing,
    settings_of,
    weights_of,
)
from ..run import load_config as load_run_config
from ..text.corpus import open_corpus
from ..text.labelled import open_labelled
from ..text.pairs import PairFile, open_pairs_corpus
from ..text.reader import Span
from ..text.tokenizer import Tokenizer, load_tokenizer
from ..text.vectors import read_vectors
from .budget import clock
from .checkpoint import Standing
from .journal import draw_curve
from .loop import Training, fit
from .prepare import as_json, prepare_text, progress_bar, settle, speaker
from .prepare_labelled import LABELS_OF, prepare_labelled_text
from .prepare_pairs import prepare_pair_text
from .transfer import carry_vocabulary, into_encoder

_ADJUSTABLE = ("train.epochs", "train.minutes", "train.patience", "train.save_every_minutes")


def descend(
    config: Config,
    parent: Path | None,
    train: list[Span] | list[PairFile],
    valid: list[Span] | list[PairFile],
    out: Path,
    *,
    overwrite: bool,
    where: str,
    quiet: bool,
    began: float,
    asked: bool = False,
) -> None:
    """Prepare the text, build the model and train it; see `train`. `asked`: the length of
    `train.bptt` was set by hand."""
    config = settle(config, where)
    with replacing(out, overwrite) as fresh, progress_bar(quiet) as bar:
        warm = parent is not None and settings_of(parent).model.name == config.model.name
        if config.model.reads == "pairs":
            notes = prepare_pair_text(config, parent, train, valid, fresh, bar)  # type: ignore[arg-type]
        elif config.model.reads in LABELS_OF:
            notes, config = prepare_labelled_text(config, parent, train, valid, fresh, asked=asked)  # type: ignore[arg-type]
        else:
            kept = parent if config.train.vocabulary == "keep" else None
            notes = prepare_text(config, kept, train, valid, fresh, bar)  # type: ignore[arg-type]
            _check_length(config, len(open_corpus(fresh / DATA / "train")), asked)
        if not warm:
            config, more = _learnable_context(config)
            notes += more
        tokenizer = load_tokenizer(fresh / TOKENIZER)
        torch.manual_seed(config.train.seed)
        source = load_source_tokenizer(fresh, config)
        model = build_model(config, tokenizer, source)
        if parent and warm:
            weights = weights_of(parent)
            if config.train.vocabulary == "new":
                before = load_tokenizer(parent / TOKENIZER)
                weights, shared = carry_vocabulary(weights, before, tokenizer)
                notes.append(
                    f"{shared:,} of {tokenizer.vocab_size:,} tokens begin with their vectors in "
                    f"'{parent}'"
                )
            load_weights(model, weights, parent / WEIGHTS)
        elif parent and config.model.reads in LABELS_OF:
            weights = weights_of(parent)
            notes.append(into_encoder(model, weights, parent))
        else:
            notes += _set_vectors(model.embedding, config.text, config, tokenizer)
            if source is not None:
                notes += _set_vectors(model.source_embedding, config.source, config, source)
        write_text(fresh / CONFIG, as_json(config.dump()))
    _go(out, config, model.to(where), tokenizer, where, began, notes, quiet=quiet, warm=warm)


def _check_length(config: Config, tokens: int, asked: bool) -> None:
    """Where somebody set a length, or the learning rate goes by it, it must fit; a default that is
    too long for a tiny text is cut, with a note."""
    if config.train.bptt > tokens and (asked or config.train.stream == "variable"):
        raise InputError(
            f"train.bptt = {config.train.bptt} is longer than the training text of {tokens:,} "
            f"tokens; set a smaller one, for example --set train.bptt={max(1, tokens // 4)}"
        )


def _learnable_context(config: Config) -> tuple[Config, list[str]]:
    """Windows that start fresh teach nothing about places behind their end, and there a model does
    worse than one that forgets sooner: the context ends where they do. Returns notes too."""
    context, bptt = getattr(config.model, "context", None), config.train.bptt
    carries = registry.load("stream", config.train.stream).carries
    if config.model.reads not in ("text", "sentences") or carries or not context or context <= bptt:
        return config, []
    note = f"train.bptt = {bptt}: so long is the context too (model.context = {context} was set)"
    model = config.model.model_copy(update={"context": bptt})
    return replace(config, model=model), [note]


def resume(out: Path, *, recipe: str | None, overrides: Any, device: str, quiet: bool) -> None:
    """Go on with an interrupted training; see `training.train.resume`."""
    began = time.perf_counter()
    config = load_run_config(out)
    if recipe is not None and Path(recipe).stem != config.recipe:
        raise InputError(f"'{out}' was trained with the recipe '{config.recipe}', not '{recipe}'")
    config = _adjust(config, overrides)
    where = pick_device(device)
    tokenizer = load_tokenizer(out / TOKENIZER)
    torch.manual_seed(config.train.seed)
    model = build_model(config, tokenizer, load_source_tokenizer(out, config)).to(where)
    if not (out / STATE).is_file():
        hint = f"--from {out}" if (out / WEIGHTS).is_file() else "--overwrite"
        raise InputError(f"'{out}' has no '{STATE}' to go on from; start anew with {hint}")
    _go(out, config, model, tokenizer, where, began, [], quiet=quiet, resume=True)


def _go(
    out: Path,
    config: Config,
    model: Any,
    tokenizer: Tokenizer,
    where: str,
    began: float,
    notes: list[str],
    *,
    quiet: bool,
    resume: bool = False,
    warm: bool = False,
) -> None:
    if where.startswith("cuda"):
        torch.cuda.set_device(where)
    with locked(out):
        write_text(out / CONFIG, as_json(config.dump()))
        readers = {"pairs": open_pairs_corpus, "labelled": open_labelled, "tagged": open_labelled}
        reader = readers.get(config.model.reads, open_corpus)
        corpus = reader(out / DATA / "train")
        valid = reader(out / DATA / "valid") if (out / DATA / "valid").is_dir() else None
        device = torch.device(where)
        training = Training(out, config, model, corpus, valid, device, began, tokenizer, warm)
        notes = [*notes, *_notes(training)]
        say = speaker(quiet)
        for note in notes:
            say(note)
        vocab_size: int = model.vocab_size
        say(
            f"{config.recipe}: {count_parameters(model):,} parameters, vocabulary "
            f"{vocab_size:,}, {len(corpus):,} tokens to learn from, batch {training.batch_size}"
        )
        try:
            at = fit(training, resume=resume, quiet=quiet)
        except KeyboardInterrupt:
            raise Interrupted(
                f"stopped and saved; go on with: nextword train --out {out} --resume"
            ) from None
        draw_curve(out)
        say(_farewell(out, at, config.model.reads, config.train.metric))


def _farewell(out: Path, at: Standing, reads: str, metric: str) -> str:
    best = ""
    if at.history:
        what = f"perplexity {safe_exp(at.best):.2f}"
        if reads in LABELS_OF:
            what = f"loss {at.best:.4f}" if metric == "loss" else f"{metric} {1 - at.best:.3f}"
        best = f", best validation {what}"
    use = {
        "text": f'nextword generate {out} --prompt "..."   or: nextword evaluate {out} --data FILE',
        "pairs": f"nextword translate {out} FILE   or: nextword evaluate {out} --data FILE",
        "labelled": f"nextword classify {out} FILE   or: nextword evaluate {out} --data FILE",
        "tagged": f"nextword classify {out} FILE   or: nextword evaluate {out} --data FILE",
        "sentences": f'nextword fill {out} "a [MASK] ."',
    }
    return f"{at.step:,} steps in {clock(at.seconds)}{best}. Try: {use[reads]}"


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


def _notes(training: Training) -> list[str]:
    wanted, length = training.wanted_batch, training.config.train.bptt
    batch_size, bptt = fit_batch(len(training.train), wanted, length)
    notes = []
    running = training.train.source is None and training.train.labels is None
    if running and (batch_size, bptt) != (wanted, length):
        notes.append(
            f"the text is shorter than one batch of {wanted} x {length}: "
            f"using {batch_size} x {bptt}"
        )
    if training.config.train.graphs and not training.by_graphs:
        why = "CUDA" if training.device.type != "cuda" else "models with a full softmax"
        notes.append(f"train.graphs is for {why} and does nothing here")
    if training.config.train.precision == "bf16" and not multiplies_bf16(training.device.type):
        notes.append("no bfloat16 products in this processor: train.precision=fp32 is faster here")
    return notes


def _set_vectors(embedding: Any, text: Any, config: Config, tokenizer: Tokenizer) -> list[str]:
    """Put the pretrained vectors of one side into its embedding, if there are any; a note."""
    if not text.vectors:
        return []
    ids, vectors = read_vectors(text.vectors, tokenizer)
    width = embedding.embedding_dim
    if vectors.shape[1] != width:
        key = "embedding" if "embedding" in type(config.model).model_fields else "hidden"
        raise InputError(
            f"'{text.vectors}' has vectors of {vectors.shape[1]} numbers, the model of {width}; "
            f"add --set model.{key}={vectors.shape[1]}"
        )
    put_vectors(embedding, torch.from_numpy(ids), torch.from_numpy(vectors))
    return [f"{len(ids):,} of {tokenizer.vocab_size:,} tokens start from '{text.vectors}'"]
