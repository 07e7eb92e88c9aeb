"""Training of neural models by gradients: preparing, starting and resuming."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from pathlib import Path
from shlex import quote

import torch

from ..config import Config, Overrides, Use, override_items, refuse_unused
from ..device import multiplies_bf16, pick_device, resolve_precision
from ..errors import InputError, Interrupted
from ..files import locked, write_text
from ..models.base import TrainableModel
from ..models.building import build_model, load_weights
from ..nn.randomness import own_generator
from ..run import (
    CONFIG,
    DATA,
    STATE,
    TOKENIZER,
    WEIGHTS,
    as_json,
    count_parameters,
    load_source_tokenizer,
    read_config,
    weights_of,
)
from ..run_folder import replacing
from ..screen import clock, progress_bars, speaker
from ..tasks import task_of
from ..tasks.task import Origin
from ..tasks.transfer import carry_vocabulary
from ..text.corpus import Corpus
from ..text.pairs import SOURCE
from ..text.tokenizer import Tokenizer, load_tokenizer
from .loop.journal import draw_curve
from .loop.loop import fit
from .loop.training import Training
from .request import Job
from .vectors import freeze_vectors, take_vectors

_ADJUSTABLE = ("train.epochs", "train.minutes", "train.patience", "train.save_every_minutes")


def train_by_gradient(job: Job, out: Path, device: str, began: float) -> None:
    """Prepare the text, build the model and train it; see `nextword.train`.

    Args:
        began: time.perf_counter() when the training was requested; `train.minutes` counts from it.
    """
    config, origin = resolve_precision(job.config, device), job.origin
    quiet = job.request.quiet
    with ExitStack() as held:
        held.enter_context(own_generator(config.train.seed, device))
        with replacing(out, job.request.overwrite) as fresh, progress_bars(quiet) as bars:
            prepared = task_of(config).prepare(
                job.train,
                job.valid,
                config,
                origin,
                fresh,
                bars=bars,
                bptt_is_given=job.bptt_is_given,
            )
            config = prepared.config
            model, notes = new_model(config, origin, fresh)
            write_text(fresh / CONFIG, as_json(config.dump()))
            held.enter_context(locked(fresh))  # before anybody can find it
        training = open_training(out, config, model, device, began)
        training.starts_trained = origin is not None and origin.same_model
        _run(training, [*prepared.notes, *notes], quiet=quiet, resume=False)


def resume_by_gradient(
    out: Path, *, recipe: str | None, overrides: Overrides, device: str, quiet: bool
) -> None:
    """Continue an interrupted training; see `nextword.resume`."""
    began = time.perf_counter()
    config = read_config(out)
    if recipe is not None and Path(recipe).stem != config.recipe:
        raise InputError(f"'{out}' was trained with the recipe '{config.recipe}', not '{recipe}'")
    config = _adjusted(config, overrides)
    device = pick_device(device)
    if not (out / STATE).is_file():
        hint = f"--from {out}" if (out / WEIGHTS).is_file() else "--overwrite"
        raise InputError(f"'{out}' has no '{STATE}' to continue from; start again with {hint}")
    tokenizer = load_tokenizer(out / TOKENIZER)
    with locked(out), own_generator(config.train.seed, device):
        model = build_model(config, tokenizer, load_source_tokenizer(out, config))
        freeze_vectors(model, config)
        _run(open_training(out, config, model, device, began), [], quiet=quiet, resume=True)


def new_model(
    config: Config, origin: Origin | None, folder: Path
) -> tuple[TrainableModel, list[str]]:
    """Build the model of a new run.

    Its weights are newly initialised (from `nn.randomness.generator()`), or taken from another run;
    its embedding may be taken from a file of word vectors.

    Args:
        origin: the run to start from, if any.
        folder: the folder of the new run, which has its tokenizers already.

    Returns:
        The model, and notes for the user.
    """
    tokenizer = load_tokenizer(folder / TOKENIZER)
    source = load_source_tokenizer(folder, config)
    model = build_model(config, tokenizer, source)
    freeze_vectors(model, config)
    if origin and origin.same_model:
        return model, _take_weights(model, origin, config, tokenizer)
    if origin and (notes := task_of(config).take_encoder(model, origin)):
        return model, notes
    notes = take_vectors(model.embedding, config.text, config, tokenizer)
    if source is not None:
        assert config.source is not None
        notes += take_vectors(model.source_embedding, config.source, config, source)
    return model, notes


def _take_weights(
    model: TrainableModel, origin: Origin, config: Config, tokenizer: Tokenizer
) -> list[str]:
    """Load the weights of a run with the same kind of model; return notes for the user."""
    weights, notes = weights_of(origin.folder), []
    if config.train.vocabulary == "new":
        before = load_tokenizer(origin.folder / TOKENIZER)
        weights, shared = carry_vocabulary(weights, before, tokenizer)
        notes.append(
            f"{shared:,} of {tokenizer.vocab_size:,} tokens start from their vectors in "
            f"'{origin.folder}'"
        )
    load_weights(model, weights, origin.folder / WEIGHTS)
    return notes


def open_training(
    out: Path, config: Config, model: TrainableModel, device: str, began: float
) -> Training:
    """Open the prepared texts in a run's folder for a training."""
    tokenizer, source = load_tokenizer(out / TOKENIZER), load_source_tokenizer(out, config)

    def corpus(name: str) -> Corpus:
        folder = out / DATA / name
        opened = task_of(config).corpus(folder)
        opened.check(
            folder, tokenizer.vocab_size, 0 if opened.labels is None else len(config.model.labels)
        )
        if opened.source is not None and source is not None:
            opened.source.check(folder / SOURCE, source.vocab_size)
        return opened

    has_valid = (out / DATA / "valid").is_dir()
    return Training(
        out,
        config,
        model.to(device),
        corpus("train"),
        corpus("valid") if has_valid else None,
        torch.device(device),
        began,
        tokenizer,
    )


def _run(training: Training, notes: list[str], *, quiet: bool, resume: bool) -> None:
    """Run the training loop, draw the learning curve, and print a summary."""
    out, config = training.folder, training.config
    task = task_of(config)
    if training.device.type == "cuda":
        torch.cuda.set_device(training.device)
    write_text(out / CONFIG, as_json(config.dump()))
    say = speaker(quiet)
    for note in [*notes, *_notes(training)]:
        say(note)
    parameters = count_parameters(training.model)
    vocab_size: int = training.model.vocab_size
    say(
        f"{config.recipe}: {parameters:,} parameters, vocabulary {vocab_size:,}, "
        f"{len(training.train):,} tokens to learn from, batch {training.stream(0).size}"
    )
    try:
        at = fit(training, resume=resume, quiet=quiet)
    except KeyboardInterrupt:
        raise Interrupted(_how_to_continue(out)) from None
    draw_curve(out)
    best = f", best validation {task.best(at.best, config)}" if at.history else ""
    steps = f"{at.step:,} step{'s' if at.step != 1 else ''}"
    say(f"{steps} in {clock(at.seconds)}{best}. Try: {task.usage(out)}")


def _how_to_continue(out: Path) -> str:
    """What to say after Ctrl-C."""
    if not (out / STATE).is_file():
        return "stopped before the first step; the same command with --overwrite starts again"
    return f"stopped and saved; continue with: nextword train --out {quote(str(out))} --resume"


def _adjusted(config: Config, overrides: Overrides) -> Config:
    """Apply overrides to the settings of a resumed run; only the training budget may change."""
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
    changed = Config.parse(tables, config.recipe)
    refuse_unused(changes, Use(changed))
    return changed


def _notes(training: Training) -> list[str]:
    """Return notes for the user to read before the first step."""
    config = training.config
    shortened = task_of(config).shortened(training.train, training.stream(0), config)
    notes = [shortened] if shortened else []
    minutes, taken = config.train.minutes, (time.perf_counter() - training.began) / 60
    if minutes is not None and taken > minutes:
        notes.append(
            f"the preparation took longer than train.minutes={minutes:g}: only one step is made; "
            f"then go on with: nextword train --out {quote(str(training.folder))} --resume "
            f"--set train.minutes={math.ceil(2 * taken)}"
        )
    if config.train.graphs and not training.by_graphs:
        why = "CUDA" if training.device.type != "cuda" else "models with a full softmax"
        notes.append(f"train.graphs is for {why} and does nothing here")
    if config.train.precision == "bf16" and not multiplies_bf16(training.device.type):
        notes.append("this processor has no bfloat16 products: train.precision=fp32 is faster here")
    return notes
