"""`train mixture RUN RUN --valid FILE`: the weights of several runs, from held-out text."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config, configure
from ..data.stream import Ids
from ..errors import InputError
from ..files import write_text
from ..run import (
    CONFIG,
    DATA,
    MEMBERS,
    METRICS,
    PLOTS,
    STATE,
    TOKENIZER,
    Run,
    as_json,
    check_target,
    load,
    replacing,
)
from ..screen import speaker
from ..text.corpus import prepare
from ..text.reader import Span, open_texts
from ..types import Ability
from .mixture_weights import weigh
from .request import Request


def mix_runs(request: Request, runs: Sequence[Path], out: Path) -> None:
    """Find the weights that make held-out text most probable and keep the mixture as a run, with
    copies of its members (links to the same files where the disk allows).

    Args:
        request: its validation text is what the weights are found on; it has no training text.

    Raises:
        InputError: fewer than two runs, different vocabularies, or no held-out text.
    """
    began = time.perf_counter()
    config = configure(request.recipe, request.changes)
    _check(config, request, runs, out)
    spans = open_texts(request.valid) if request.valid else []
    members = [load(path, request.device) for path in runs]
    for member in members:
        member.require(Ability.MIX)
    _check_vocabularies(members)
    weights, record = config.model.weights, dict[str, Any](step=0)
    if spans:
        found = weigh(members, _encoded(spans, members[0]), config.model)
        weights = weights or found.weights
        record |= {"valid_perplexity": found.together, "members": found.alone}
    tables = config.dump()
    tables["model"]["weights"] = list(weights)
    tables["text"] = members[0].config.text.model_dump(mode="json")
    with replacing(out, request.overwrite) as fresh:
        for index, path in enumerate(runs):
            _copy(path, fresh / MEMBERS / str(index))
        write_text(fresh / TOKENIZER, members[0].tokenizer.to_json())
        record["seconds"] = round(time.perf_counter() - began, 3)
        write_text(fresh / METRICS, json.dumps(record) + "\n")
        write_text(fresh / CONFIG, as_json(Config.parse(tables, config.recipe).dump()))
    say = speaker(request.quiet)
    parts = ", ".join(f"{w:.4f} x {run.name}" for w, run in zip(weights, members, strict=True))
    say(f"{config.recipe}: {parts}")
    if spans:
        alone = ", ".join(f"{value:.2f}" for value in record["members"])
        say(f"validation perplexity {record['valid_perplexity']:.2f} (members alone: {alone})")


def _check(config: Config, request: Request, runs: Sequence[Path], out: Path) -> None:
    """Raise InputError for what can be refused before a run is opened."""
    if config.model.trained_by != "mixing":
        raise InputError("a mixture's model.name is mixture; leave it as it is")
    if len(runs) < 2:
        raise InputError("a mixture needs two runs or more: nextword train mixture RUN RUN …")
    if config.model.weights and len(config.model.weights) != len(runs):
        raise InputError(f"{len(config.model.weights)} weights for {len(runs)} runs")
    if not request.valid and not config.model.weights:
        raise InputError("name held-out text to find the weights on: --valid FILE")
    for run in runs:
        if run.resolve() in out.resolve().parents:
            raise InputError(f"'{out}' is within the run '{run}'; name another directory")
    check_target(out, request.overwrite)


def _encoded(spans: list[Span], run: Run) -> Ids:
    """The ids of a text (N,)."""
    with tempfile.TemporaryDirectory(prefix="nextword-") as folder:
        ids = np.array(prepare(spans, run.tokenizer, folder).ids)
    if not len(ids):
        raise InputError(f"no words in '{spans[0].path}'; give a text with words in it")
    return ids


def _check_vocabularies(members: list[Run]) -> None:
    first = members[0]
    for other in members[1:]:
        if other.tokenizer.fingerprint != first.tokenizer.fingerprint:
            raise InputError(
                f"'{first.name}' and '{other.name}' have different vocabularies; train one with "
                "--from the other"
            )


def _copy(run: Path, target: Path) -> None:
    """What a run is used by, without its training state and data."""
    target.parent.mkdir(exist_ok=True)
    if run.is_file():
        _link(str(run), str(target.with_name(target.name + "".join(run.suffixes[-2:]))))
        return
    skip = shutil.ignore_patterns(DATA, PLOTS, STATE, ".*", "tensorboard")
    shutil.copytree(run, target, ignore=skip, copy_function=_link)


def _link(source: str, target: str) -> None:
    if source.endswith((".json", ".jsonl")):  # small, and may be written to
        shutil.copy2(source, target)
        return
    try:
        os.link(source, target)
    except OSError:  # another disk, or a system without links
        shutil.copy2(source, target)
