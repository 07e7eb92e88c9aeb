"""From Python all that the command line has: every verb and every option has its counterpart."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import typer

import nextword
from nextword.cli.app import app
from nextword.diagnostics.inspection import AttentionInspection, GradientInspection
from nextword.evaluation.classification import ClassifierEvaluation
from nextword.evaluation.compare_translations import TranslationComparison
from nextword.experiments.lr_finder import LearningRates

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
GROUP: Any = typer.main.get_command(app)

#: Verb → the functions that do the same.
FUNCTIONS = {
    "demo": ["run_demo"],
    "train": ["train", "resume", "train_seeds", "mix"],
    "ablate": ["ablate"],
    "evaluate": ["evaluate", "tune_cache", "evaluate_seeds", "evaluate_minimal_pairs"],
    "score": ["score", "surprisal", "to_frame"],
    "filter": ["filter", "score_documents"],
    "generate": ["generate", "generate_many", "generate_masked"],
    "translate": ["translate", "translate_lines"],
    "fill": ["fill"],
    "classify": ["classify", "tag"],
    "embed": ["embed"],
    "compare": ["compare", "compare_minimal_pairs"],
    "inspect": ["inspect_gradients", "inspect_attention", "inspect_surprisal"],
    "find-lr": ["find_lr"],
    "export": ["export", "load_arpa"],
    "recipes": ["list_recipes", "describe_recipe"],
}
#: Options that Python calls otherwise: option → parameter.
CALLED = {
    "settings": "overrides",
    "target": "targets",
    "valid_target": "valid_targets",
    "file": "texts",
}
#: Options that are a setting, a method or a function: "verb option" → that.
ELSEWHERE: dict[str, Any] = {
    **{f"{verb} dynamic_set": nextword.Dynamic for verb in ("evaluate", "compare")},
    "evaluate cache_set": nextword.Cache,
    "evaluate tune": nextword.tune_cache,
    "evaluate plot_file": ClassifierEvaluation.draw,
    "compare out": TranslationComparison.draw,
    "find-lr out": LearningRates.draw,
    "score format": nextword.to_frame,
    "score regions": nextword.surprisal,
    "inspect out": GradientInspection.draw,
    "inspect heads": AttentionInspection.draw,
    "inspect what": nextword.inspect_attention,
    "train resume": nextword.resume,
    "translate sample": nextword.Decoding,
}
#: Settings of these classes: verb → classes that have an option as their field.
SETTINGS: dict[str, list[Any]] = {
    "evaluate": [nextword.Decoding],
    "compare": [nextword.Decoding],
    "translate": [nextword.Decoding, nextword.Sampling],
    "generate": [nextword.Sampling, nextword.MaskedDecoding],
}
#: Options that Python needs no counterpart of, since it has the result itself, and another word
#: for the same argument.
PLAIN = {"json", "quiet", "device", "embed out", "embed overwrite"}
OTHER_WORDS = {"generate samples": "prompts", "inspect also": "runs", "train runs": "members"}
OTHER_WORDS |= {f"{verb} minimal_pairs": "files" for verb in ("evaluate", "compare")}
OTHER_WORDS |= {
    "inspect text": "texts",
    "fill targets": "candidates",
    "score uncorrected": "corrected",
}


def counterpart(verb: str, option: str) -> object:
    """What does in Python what an option does; None = nothing."""
    name = f"{verb} {option}"
    if name in ELSEWHERE:
        return ELSEWHERE[name]
    if {name, option} & PLAIN:
        return nextword.load
    parameter = OTHER_WORDS.get(name, option)
    for function in FUNCTIONS[verb]:
        known = inspect.signature(getattr(nextword, function)).parameters
        if {parameter, CALLED.get(parameter, "")} & known.keys():
            return getattr(nextword, function)
    return next((s for s in SETTINGS.get(verb, []) if parameter in s.model_fields), None)


def test_every_verb_has_functions_that_are_public() -> None:
    assert FUNCTIONS.keys() == GROUP.commands.keys()
    assert {name for names in FUNCTIONS.values() for name in names} <= set(nextword.__all__)


@pytest.mark.parametrize("verb", GROUP.commands)
def test_every_option_has_a_counterpart(verb: str) -> None:
    options = [parameter.name for parameter in GROUP.commands[verb].params]
    assert [option for option in options if counterpart(verb, option) is None] == []


def test_the_page_names_every_function() -> None:
    """In the row of its verb."""
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", PAGE, re.M))
    assert rows.keys() == FUNCTIONS.keys()
    for verb, names in FUNCTIONS.items():
        assert set(names) <= set(re.findall(r"`(\w+)`", rows[verb])), verb


def test_every_public_function_is_of_a_verb() -> None:
    functions = {n for n in nextword.__all__ if inspect.isfunction(getattr(nextword, n))}
    assert functions - {"load"} == {name for names in FUNCTIONS.values() for name in names}
