"""Train, evaluate, compare and use language models that fit on one machine.

Example:
    import nextword

    run = nextword.train("lstm", train="book.txt", out="runs/book")
    run = nextword.load("runs/book")
    nextword.evaluate(run, "other.txt").perplexity
    nextword.score(run, ["a likely line", "line likely a"])
    nextword.surprisal(run, ["a line, word by word"])
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

from .version import __version__

# The threads of a matrix product wait for each other by spinning. As soon as another process wants
# a core, that slows a training down up to ten times. Here they spin briefly and then sleep. GNU
# OpenMP reads this variable when torch is loaded. A policy that the user has set stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

TYPE_CHECKING = False  # type checkers take it for true; the module `typing` takes time to import
if TYPE_CHECKING:
    from typing import Any

    from .config import list_recipes
    from .config.describe import describe_recipe
    from .demo import run_demo
    from .diagnostics.inspection import (
        inspect_attention,
        inspect_gradients,
        inspect_surprisal,
    )
    from .errors import InputError, Interrupted, TrainingError
    from .evaluation.cache import Cache
    from .evaluation.classification import classify
    from .evaluation.dynamic import Dynamic
    from .evaluation.embeddings import embed
    from .evaluation.perplexity import tune_cache
    from .evaluation.surprisal import Surprisal, to_frame
    from .evaluation.tagging import tag
    from .experiments.ablation import ablate
    from .experiments.lr_finder import find_lr
    from .experiments.seeds import train_seeds
    from .exporting import export
    from .filtering.filter import filter
    from .generation.decoding import Decoding
    from .generation.infill import fill
    from .generation.masked import MaskedDecoding, generate_masked
    from .generation.sample import generate, generate_many
    from .generation.sampling import Sampling
    from .generation.translate import translate, translate_lines
    from .run import Run, load, load_arpa
    from .tasks.minimal_pairs import compare_minimal_pairs, evaluate_minimal_pairs
    from .tasks.verbs import (
        compare,
        evaluate,
        evaluate_seeds,
        score,
        score_documents,
        surprisal,
    )
    from .training.by_mixing import mix
    from .training.train import resume, train

_PLACES = {  # imported on first use: `nextword --help` must not wait for torch
    "Cache": "evaluation.cache",
    "Decoding": "generation.decoding",
    "Dynamic": "evaluation.dynamic",
    "InputError": "errors",
    "Interrupted": "errors",
    "MaskedDecoding": "generation.masked",
    "Run": "run",
    "Sampling": "generation.sampling",
    "Surprisal": "evaluation.surprisal",
    "TrainingError": "errors",
    "ablate": "experiments.ablation",
    "classify": "evaluation.classification",
    "compare": "tasks.verbs",
    "compare_minimal_pairs": "tasks.minimal_pairs",
    "describe_recipe": "config.describe",
    "embed": "evaluation.embeddings",
    "evaluate": "tasks.verbs",
    "evaluate_minimal_pairs": "tasks.minimal_pairs",
    "evaluate_seeds": "tasks.verbs",
    "export": "exporting",
    "fill": "generation.infill",
    "filter": "filtering.filter",
    "find_lr": "experiments.lr_finder",
    "generate": "generation.sample",
    "generate_many": "generation.sample",
    "generate_masked": "generation.masked",
    "inspect_attention": "diagnostics.inspection",
    "inspect_gradients": "diagnostics.inspection",
    "inspect_surprisal": "diagnostics.inspection",
    "list_recipes": "config",
    "load": "run",
    "load_arpa": "run",
    "mix": "training.by_mixing",
    "resume": "training.train",
    "run_demo": "demo",
    "score": "tasks.verbs",
    "score_documents": "tasks.verbs",
    "surprisal": "tasks.verbs",
    "tag": "evaluation.tagging",
    "to_frame": "evaluation.surprisal",
    "train": "training.train",
    "train_seeds": "experiments.seeds",
    "translate": "generation.translate",
    "translate_lines": "generation.translate",
    "tune_cache": "evaluation.perplexity",
}

__all__ = [
    "Cache",
    "Decoding",
    "Dynamic",
    "InputError",
    "Interrupted",
    "MaskedDecoding",
    "Run",
    "Sampling",
    "Surprisal",
    "TrainingError",
    "__version__",
    "ablate",
    "classify",
    "compare",
    "compare_minimal_pairs",
    "describe_recipe",
    "embed",
    "evaluate",
    "evaluate_minimal_pairs",
    "evaluate_seeds",
    "export",
    "fill",
    "filter",
    "find_lr",
    "generate",
    "generate_many",
    "generate_masked",
    "inspect_attention",
    "inspect_gradients",
    "inspect_surprisal",
    "list_recipes",
    "load",
    "load_arpa",
    "mix",
    "resume",
    "run_demo",
    "score",
    "score_documents",
    "surprisal",
    "tag",
    "to_frame",
    "train",
    "train_seeds",
    "translate",
    "translate_lines",
    "tune_cache",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'nextword' has no attribute '{name}'")
    value = getattr(import_module(f".{_PLACES[name]}", __name__), name)
    globals()[name] = value
    return value
