"""Training of mixtures: `nextword train mixture RUN RUN --valid FILE`."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import checked
from ..config import Config, Overrides, Use, configure, refuse_unused
from ..data.stream import Ids
from ..errors import InputError
from ..files import AnyPath, Paths, path_list, write_text
from ..ngram.arpa_header import holds_arpa, names_arpa
from ..numerals import fixed, json_text
from ..outputs import check_file
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
    load,
)
from ..run_folder import check_target, replacing
from ..scratch import temporary_folder
from ..screen import speaker
from ..text.corpus import prepare
from ..text.reader import Span, open_texts
from ..text.source import streams_kept
from ..types import Ability
from .by_merging import merge_runs, refuse_merging
from .mixture_weights import weigh
from .request import Request


@checked
def mix(
    members: Paths,
    out: AnyPath,
    *,
    valid: Paths = (),
    recipe: str = "mixture",
    overrides: Overrides = None,
    overwrite: bool = False,
    device: str = "cpu",
    quiet: bool = False,
) -> Run:
    """Mix runs that share a vocabulary into one model, and write it into the run directory `out`.

    Args:
        members: the paths of two or more runs or ARPA files.
        out: the run directory; it will hold copies of the members, hard links where possible.
        valid: one or several files of held-out text. The weights are those that make it most
            probable; no member may have been trained on it. It may be empty if `overrides` has
            model.weights.
        recipe, overrides, overwrite, device, quiet: see `nextword.train`.

    Returns:
        The mixture.

    Raises:
        InputError: there are fewer than two runs, their vocabularies differ, a run cannot be mixed,
            or there is neither held-out text nor given weights.

    Example:
        nextword.mix(["runs/lstm", "runs/ngram"], "runs/both", valid="held-out.txt")
    """
    request = Request.of(
        recipe,
        (),
        valid=valid,
        overrides=overrides,
        overwrite=overwrite,
        device=device,
        quiet=quiet,
    )
    mix_runs(request, path_list(members), Path(out))
    return load(out, device)


@streams_kept()
def mix_runs(request: Request, runs: Sequence[Path], out: Path) -> None:
    """Find the mixture weights that make held-out text most probable, and write the mixture.

    The new run contains copies of its members; large files are hard links where the file system
    allows. n-gram models of different vocabularies are merged into one n-gram model instead, and so
    are those that are to become an ARPA file.

    Args:
        request: the request; its validation text is the held-out text, and it has no training text.
        runs: the runs to mix, at least two.
        out: the directory of the new run, or an ARPA file.

    Raises:
        InputError: there are fewer than two runs, their vocabularies differ, a run cannot be mixed,
            or there is neither held-out text nor given weights.

    Example:
        mix_runs(Request.of("mixture", (), valid="held.txt"), [Path("a"), Path("b")], Path("mixed"))
    """
    began = time.perf_counter()
    config = configure(request.recipe, request.changes)
    _check(config, request, runs, out)
    refuse_unused(request.changes, Use(config))
    spans = open_texts(request.valid) if request.valid else []
    members = [load(path, request.device) for path in runs]
    for member in members:
        member.require(Ability.MIX)
    if names_arpa(out) or not _same_vocabulary(members):
        refuse_merging(members, config)
        merge_runs(request, config, members, spans, out)
        return
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
        write_text(fresh / METRICS, json_text(record) + "\n")
        write_text(fresh / CONFIG, as_json(Config.parse(tables, config.recipe).dump()))
    say = speaker(request.quiet)
    parts = ", ".join(f"{w:.4f} x {run.name}" for w, run in zip(weights, members, strict=True))
    say(f"{config.recipe}: {parts}")
    if spans:
        alone = ", ".join(fixed(value) for value in record["members"])
        say(f"validation perplexity {fixed(record['valid_perplexity'])} (members alone: {alone})")


def _check(config: Config, request: Request, runs: Sequence[Path], out: Path) -> None:
    """Check what can be checked before a run is opened; raise InputError."""
    if config.model.trained_by != "mixing":
        raise InputError("the model.name of a mixture cannot change; leave it out")
    if len(runs) < 2:
        raise InputError(
            "a mixture needs two runs: nextword train mixture RUN RUN --valid FILE --out RUN"
        )
    if config.model.weights and len(config.model.weights) != len(runs):
        raise InputError(f"{len(config.model.weights)} weights for {len(runs)} runs")
    if not request.valid and not config.model.weights:
        raise InputError("name held-out text to find the weights on: --valid FILE")
    if names_arpa(out):
        real = check_file(out, request.overwrite, "an ARPA file", holds_arpa)
    else:
        real = check_target(out, request.overwrite)
    for run in runs:
        if run.resolve() in real.resolve().parents:
            raise InputError(f"'{out}' is within the run '{run}'; name another directory")


def _encoded(spans: list[Span], run: Run) -> Ids:
    """Encode a text: ids (N,)."""
    with temporary_folder() as folder:
        ids = np.array(prepare(spans, run.tokenizer, folder).ids)
    if not len(ids):
        raise InputError(f"no words in '{spans[0].path}'; give a text with words in it")
    return ids


def _same_vocabulary(members: list[Run]) -> bool:
    first = members[0].tokenizer
    return all(first.same_ids(other.tokenizer) for other in members[1:])


def _copy(run: Path, target: Path) -> None:
    """Copy a run without its training state, prepared texts and plots."""
    target.parent.mkdir(exist_ok=True)
    if run.is_file():
        _link(str(run), str(target.with_name(target.name + "".join(run.suffixes[-2:]))))
        return
    skip = shutil.ignore_patterns(DATA, PLOTS, STATE, ".*", "tensorboard")
    shutil.copytree(run, target, ignore=skip, copy_function=_link)


def _link(source: str, target: str) -> None:
    if source.endswith((".json", ".jsonl")):  # small, and may be changed later
        shutil.copy2(source, target)
        return
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copy2(source, target)
