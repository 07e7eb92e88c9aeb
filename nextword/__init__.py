"""Train, evaluate, compare and use language models that fit on one machine.

Example:
    import nextword

    run = nextword.train("lstm", train="book.txt", out="runs/book")
    run = nextword.load("runs/book")
    nextword.evaluate(run, "other.txt").perplexity
    nextword.score(run, ["a likely line", "line likely a"])
    nextword.generate(run, "Once upon")
    nextword.generate_many(run, ["Once upon", "It was"])
    translator = nextword.train("transformer", train="pairs.tsv", out="runs/translator")
    nextword.translate(translator, ["A sentence ."])
    classifier = nextword.train("classifier", train="labelled.tsv", out="runs/classifier")
    nextword.classify(classifier, ["a good film"])
    nextword.fill(nextword.load("runs/bert"), "a [MASK] film")
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

# The threads of a matrix product wait for each other by spinning. As soon as another process wants
# a core, that slows a training down up to ten times. Here they spin briefly and then sleep. GNU
# OpenMP reads this variable when torch is loaded. A policy that the user has set stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

if TYPE_CHECKING:
    from .errors import InputError, Interrupted, TrainingError
    from .evaluation.classification import classify
    from .evaluation.dynamic import Dynamic
    from .evaluation.embeddings import embed
    from .evaluation.tagging import tag
    from .experiments.seeds import train_seeds
    from .generation.infill import fill
    from .generation.sample import generate, generate_many
    from .generation.translate import translate
    from .run import Run, load
    from .tasks.verbs import compare, evaluate, score
    from .training.train import resume, train

_PLACES = {  # imported on first use: `nextword --help` must not wait for torch
    "Dynamic": "evaluation.dynamic",
    "InputError": "errors",
    "Interrupted": "errors",
    "Run": "run",
    "TrainingError": "errors",
    "classify": "evaluation.classification",
    "compare": "tasks.verbs",
    "embed": "evaluation.embeddings",
    "evaluate": "tasks.verbs",
    "fill": "generation.infill",
    "generate": "generation.sample",
    "generate_many": "generation.sample",
    "load": "run",
    "resume": "training.train",
    "score": "tasks.verbs",
    "tag": "evaluation.tagging",
    "train": "training.train",
    "train_seeds": "experiments.seeds",
    "translate": "generation.translate",
}

__all__ = [
    "Dynamic",
    "InputError",
    "Interrupted",
    "Run",
    "TrainingError",
    "__version__",
    "classify",
    "compare",
    "embed",
    "evaluate",
    "fill",
    "generate",
    "generate_many",
    "load",
    "resume",
    "score",
    "tag",
    "train",
    "train_seeds",
    "translate",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'nextword' has no attribute '{name}'")
    value = getattr(import_module(f".{_PLACES[name]}", __name__), name)
    globals()[name] = value
    return value
