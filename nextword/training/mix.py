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
import torch

from ..config import Config, configure
from ..data.stream import rows
from ..errors import InputError
from ..evaluation.perplexity import safe_exp
from ..evaluation.stream import score_stream
from ..files import write_text
from ..models.mixture import MixtureConfig, mix
from ..run import (
    CONFIG,
    DATA,
    MEMBERS,
    METRICS,
    PLOTS,
    STATE,
    TOKENIZER,
    Run,
    check_target,
    check_text,
    load,
    replacing,
)
from ..text.corpus import prepare
from ..text.reader import open_texts
from .prepare import as_json, speaker

_ROUNDS = 200
_ENOUGH = 1e-7  # nats a token: EM stops when it gains less
_TOKENS = 20_000  # of held-out text that log-linear weights are found on
_NEWTON = 12  # steps at most

Paths = Sequence[str | os.PathLike[str]]


def make_mixture(
    recipe: str,
    runs: Paths,
    valid: Paths,
    out: str | os.PathLike[str],
    *,
    overrides: Any = None,
    overwrite: bool = False,
    device: str = "cpu",
    quiet: bool = False,
) -> None:
    """Find the weights that make held-out text most probable and keep the mixture as a run, with
    copies of its members (links to the same files where the disk allows).

    Raises:
        InputError: fewer than two runs, different vocabularies, or no held-out text.
    """
    began = time.perf_counter()
    out = Path(out)
    config = configure(recipe, overrides)
    if config.model.trained_by != "mix":
        raise InputError("a mixture's model.name is mixture; leave it as it is")
    if len(runs) < 2:
        raise InputError("a mixture needs two runs or more: nextword train mixture RUN RUN …")
    if config.model.weights and len(config.model.weights) != len(runs):
        raise InputError(f"{len(config.model.weights)} weights for {len(runs)} runs")
    if not valid and not config.model.weights:
        raise InputError("name held-out text to find the weights on: --valid FILE")
    for run in runs:
        if Path(run).resolve() in out.resolve().parents:
            raise InputError(f"'{out}' is within the run '{run}'; name another directory")
    check_target(out, overwrite)
    spans = open_texts(valid) if valid else []
    members = [load(path, device) for path in runs]
    for member in members:
        check_text(member)
    _check_vocabularies(members)
    say = speaker(quiet)
    weights, record = config.model.weights, dict[str, Any](step=0)
    if spans:
        with tempfile.TemporaryDirectory(prefix="nextword-") as folder:
            ids = np.array(prepare(spans, members[0].tokenizer, folder).ids)
        if not len(ids):
            raise InputError(f"no words in '{valid[0]}'; give a text with words in it")
        found, alone, together = _weigh(members, ids, config.model)
        weights = weights or found
        record |= {"valid_perplexity": together, "members": alone}
    tables = config.dump()
    tables["model"]["weights"] = list(weights)
    tables["text"] = members[0].config.text.model_dump(mode="json")
    with replacing(out, overwrite) as fresh:
        for index, path in enumerate(runs):
            _copy(Path(path), fresh / MEMBERS / str(index))
        write_text(fresh / TOKENIZER, members[0].tokenizer.to_json())
        record["seconds"] = round(time.perf_counter() - began, 3)
        write_text(fresh / METRICS, json.dumps(record) + "\n")
        write_text(fresh / CONFIG, as_json(Config.parse(tables, config.recipe).dump()))
    parts = ", ".join(f"{w:.4f} x {run.name}" for w, run in zip(weights, members, strict=True))
    say(f"{config.recipe}: {parts}")
    if spans:
        lines = ", ".join(f"{value:.2f}" for value in record["members"])
        say(f"validation perplexity {record['valid_perplexity']:.2f} (members alone: {lines})")


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


def _weigh(
    members: list[Run], ids: Any, config: MixtureConfig
) -> tuple[tuple[float, ...], list[float], float]:
    """(weights, perplexity of each member, of the mixture)."""
    scores = [
        score_stream(run.model, ids, run.device).log_prob.astype(np.float64) for run in members
    ]
    alone = [safe_exp(-float(score.mean())) for score in scores]
    if config.kind == "linear":
        weights = config.weights or expectation_maximisation(np.stack(scores, 1))
        with np.errstate(divide="ignore"):
            log_probs = np.stack(scores, 1) + np.log(weights)
        return tuple(weights), alone, safe_exp(-float(np.logaddexp.reduce(log_probs, 1).mean()))
    weights, nll = _newton(members, ids[:_TOKENS], config.weights)
    return weights, alone, safe_exp(nll)


def expectation_maximisation(log_probs: Any) -> tuple[float, ...]:
    """The weights (K,) that maximise Σ log Σ_i λ_i p_i over tokens (N, K) (Jelinek 1997, §4.4)."""
    log_probs = log_probs[np.isfinite(log_probs).any(1)]  # what no member allows says nothing
    count = int(log_probs.shape[1])
    if not len(log_probs):
        return tuple(1 / count for _ in range(count))
    weights = np.full(count, 1 / count)
    before = -np.inf
    for _ in range(_ROUNDS):
        with np.errstate(divide="ignore"):
            joint = log_probs + np.log(weights)
        total = np.logaddexp.reduce(joint, 1)
        mean = float(total.mean())
        if mean - before < _ENOUGH:
            break
        before = mean
        weights = np.exp(joint - total[:, None]).mean(0)
    # It stops a little short of the optimum, where one member alone may be better by a hair.
    candidates = [weights / weights.sum(), *np.eye(count)]
    best = max(candidates, key=lambda some: _mean_log(log_probs, some))
    return tuple(float(weight) for weight in best)


def _mean_log(log_probs: Any, weights: Any) -> float:
    with np.errstate(divide="ignore"):
        return float(np.logaddexp.reduce(log_probs + np.log(weights), 1).mean())


@torch.no_grad()
def _newton(
    members: list[Run], ids: Any, given: tuple[float, ...]
) -> tuple[tuple[float, ...], float]:
    """Log-linear weights by Newton's method: -Σ log p is convex in them, its gradient the expected
    less the observed log-probabilities and its Hessian their covariance."""
    count = len(members)
    weights = torch.tensor(given or (1 / count,) * count, dtype=torch.float64)
    best = (tuple(weights.tolist()), float("inf"))
    for _ in range(1 if given else _NEWTON):
        loss, gradient, hessian = (
            0.0,
            torch.zeros(count).double(),
            torch.zeros(count, count).double(),
        )
        states = [run.model.start(1) for run in members]
        vocab_size = members[0].model.vocab_size
        step = max(1, (1 << 22) // vocab_size)
        for at in range(0, len(ids), step):
            inputs, targets = rows(ids, np.array([at]), min(step, len(ids) - at))
            parts = []
            for index, run in enumerate(members):
                output = run.model.forward(inputs.to(run.device), states[index])
                states[index] = output.state
                parts.append(output.logits[0].float().log_softmax(-1).cpu())
            features = torch.stack(parts, -1).clamp_min(-100)  # (t, V, K)
            log_prob = mix(parts, weights.float(), "log-linear").log_softmax(-1)
            probs = log_prob.exp()
            observed = features.gather(1, targets[0][:, None, None].expand(-1, 1, count))[:, 0]
            expected = torch.einsum("tv,tvk->tk", probs, features)
            second = torch.einsum("tv,tvk,tvl->tkl", probs, features, features)
            loss -= float(log_prob.gather(1, targets[0][:, None]).double().sum())
            gradient += (expected - observed).double().sum(0)
            hessian += (second - expected[:, :, None] * expected[:, None, :]).double().sum(0)
        if loss < best[1] - 1e-6 * len(ids):
            best = (tuple(weights.tolist()), loss)
        else:
            break
        weights = weights - torch.linalg.solve(hessian + 1e-6 * torch.eye(count), gradient)
    return best[0], best[1] / len(ids)
