"""A setting that would do nothing is refused: every key of every recipe is changed once; either the
training differs, or the change is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nextword.config import RECIPES, Use, configure, refuse_unused
from nextword.config.describe import describe_recipe
from nextword.config.unused import needs
from nextword.errors import InputError
from nextword.training.request import Request
from nextword.training.train import make
from tests.support import Cli

RECIPE_NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))
FOLDER = Path(__file__).parent.parent / "fixtures" / "earlier_runs"
TEXTS = {
    "text": "train.txt",
    "sentences": "train.txt",
    "pairs": "pairs.tsv",
    "labelled": "labelled.tsv",
    "tagged": "tagged.tsv",
}
#: settings that make a model small, of those that its kind has
SMALL: dict[str, Any] = {
    "train.minutes": None,
    "model.hidden": 8,
    "model.embedding": 8,
    "model.encoder.hidden": 8,
    "model.encoder.embedding": 8,
    "model.heads": 2,
    "model.encoder.heads": 2,
    "model.inner": 8,
    "model.encoder.layers": 2,
    "model.context": 16,
    "model.samples": 2,
    "text.vocab_size": 300,
    "source.vocab_size": 300,
    "model.cutoffs": [5, 9],
    "train.eval_every": 2,
    "train.epochs": 2,
    "train.bptt": 12,
    "train.batch_size": 8,
    "train.patience": None,
    "train.precision": "fp32",
    "optimizer.lr": 0.1,  # too high, so that validation gets worse at times
}


def small(recipe: str) -> dict[str, Any]:
    known = {setting.key for table in describe_recipe(recipe).values() for setting in table}
    found = {key: value for key, value in SMALL.items() if key in known}
    config = configure(recipe)
    for side in ("text", "source"):
        if f"{side}.vocab_size" in known:
            sizes = {"word": 20, "char": 20, "wordpiece": 120}
            found[f"{side}.vocab_size"] = sizes.get(getattr(config, side).tokenizer, 300)
    if config.model.trained_by == "counting":
        del found["text.vocab_size"]  # so that <unk> does not occur
    return found


#: What a key is changed to, where its schema does not tell.
CHANGES: dict[str, Any] = {
    "model.encoder.cutoffs": [4, 9],
    "text.tokenizer": "char",
    "source.tokenizer": "char",
    "text.min_count": 40,
    "source.min_count": 40,
    "train.bptt": 5,
    "train.clip": 1e-3,
    "train.clip_value": 1e-4,
    "train.minutes": 0.02,
    "train.longest": 4,
    "train.memory": "900MB",
    "train.patience": 1,
    "train.batch_tokens": 60,
    "train.eval_every": 1,
    "train.bleu_lines": 2,
    "train.precision": "bf16",
    "train.stride": 5,
    "model.cutoffs": [4, 9],
    "model.context": 10,
    "model.encoder.context": 10,
    "model.epsilon": 0.1,
    "model.encoder.epsilon": 0.1,
    "model.labels": ["a", "b"],
    "model.prune": [0, 1],
    "model.order": 2,
    "model.smoothing": "witten-bell",
    "model.weights": [0.5, 0.5],
    "optimizer.betas": [0.5, 0.6],
    "optimizer.unfreeze": 1,
    "schedule.momentum": [0.6, 0.5],
    "schedule.at": [0.3],
    "objective.weights": "balanced",
}


def vectors(folder: Path) -> str:
    """A file of word vectors for the letters, which every tokenizer but that of words has."""
    file = folder / "vectors.txt"
    file.write_text("".join(f"{letter} {'0.5 ' * 8}\n" for letter in "abcdefghijklmnopqrstuvwxyz"))
    return str(file)


def changed(setting: Any, now: Any, folder: Path) -> Any:
    """Another value that the setting's schema allows."""
    if setting.key in CHANGES:
        return CHANGES[setting.key]
    if setting.key.endswith("vocab_size"):
        return 280 if now == 300 else 8 if now == 20 else 30
    if setting.key.endswith("vectors"):
        return vectors(folder)
    if isinstance(now, bool):
        return not now
    if "|" in setting.allowed:
        others = [one.strip() for one in setting.allowed.split("|")]
        return next(one for one in others if one != now)
    if isinstance(now, int):
        return now + 2
    if isinstance(now, float):
        return now / 2 if now else 0.3
    return {"integer": 3, "number": 0.3}[setting.allowed.split()[0]]


def request(recipe: str, settings: dict[str, Any], folder: Path) -> Request:
    """A training of a few steps. Its settings do not count as the user's."""
    text = FOLDER / TEXTS[configure(recipe).model.task]
    names = (text.name, f"{text.stem}-valid.tsv" if text.suffix == ".tsv" else "valid.txt")
    files = [folder / name for name in names]
    for file, lines in zip(files, (40, 12), strict=True):
        if not file.exists():
            whole = (FOLDER / file.name).read_text().replace("e ", "e, ")  # words to be cut
            some = whole.splitlines(keepends=True)
            file.write_text("".join(some[: lines * (4 if "tagged" in file.name else 1)]))
    made = Request.of(recipe, files[0], valid=files[1], quiet=True, overwrite=True)
    return made.changed(settings)


def outcome(recipe: str, settings: dict[str, Any], out: Path) -> dict[str, Any]:
    """All that a training leaves but its settings and times."""
    make(request(recipe, settings, out.parent), out)
    found: dict[str, Any] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.is_file() and name not in ("config.json", "state.safetensors", ".lock"):
            found[name] = path.read_bytes() if path.suffix != ".png" else b""
    rows = [json.loads(line) for line in found["metrics.jsonl"].decode().splitlines()]
    found["metrics.jsonl"] = [  # the other rows depend on the time
        {key: value for key, value in row.items() if key != "seconds"}
        for row in rows
        if any(key.startswith("valid_") for key in row)
    ]
    return found


@pytest.mark.parametrize(
    ("recipe", "settings", "use"),
    [
        ("lstm", {"train.stride": 8}, {}),
        ("lstm", {"train.shuffle": True}, {}),
        ("awd-lstm-ptb", {"train.shuffle": False}, {}),
        ("lstm", {"train.memory": "1GB"}, {}),
        ("lstm", {"train.vocabulary": "new"}, {}),
        ("lstm", {"train.graphs": True}, {}),
        ("transformer-lm", {"train.graphs": True}, {"device": "cuda"}),
        ("lstm", {"model.cutoffs": [5, 9]}, {}),
        ("lstm", {"model.samples": 5}, {}),
        ("lstm", {"model.mogrify_rank": 5}, {}),
        ("lstm", {"train.checkpoints": 2}, {}),
        ("lstm", {"train.non_monotone": 2}, {}),
        ("lstm", {"text.split": "words"}, {}),
        ("lstm", {"model.embedding_std": 1.0}, {"starts_from": True, "same_model": True}),
        ("laptop", {"train.epochs": 3}, {}),
        ("rnn", {"model.dropout_hidden": 0.2}, {}),
        ("bert", {"model.predicts": False}, {}),
        ("transformer-lm", {"objective.tar": 1.0}, {}),
        ("transformer-lm", {"train.backend": "step"}, {}),
        ("seq2seq", {"model.attention_positions": 9}, {}),
        ("seq2seq", {"train.bptt": 9}, {}),
        ("seq2seq", {"source.joint": True, "source.lower": True}, {}),
        ("ulmfit", {"model.encoder.softmaxes": 2}, {}),
        ("classifier", {"model.labels": ["a", "b"]}, {}),
        ("classifier", {"model.frozen": True, "optimizer.layer_decay": 0.5}, {}),
        ("ngram", {"train.epochs": 3}, {}),
        ("ngram", {"optimizer.lr": 1.0}, {}),
        ("ngram", {"model.add_k": 2.0}, {}),
        ("mixture", {"text.lower": True}, {}),
        ("gru", {"optimizer.name": "adagrad", "schedule.momentum": [0.9, 0.8]}, {}),
    ],
)
def test_what_would_do_nothing_is_refused(
    recipe: str, settings: dict[str, Any], use: dict[str, Any]
) -> None:
    """By one line that says what the last of these keys is for; it is no error in a recipe."""
    *_, key = settings
    config = configure(recipe, settings)
    with pytest.raises(InputError, match=rf"^{key} is for .* would do nothing here; leave it out$"):
        refuse_unused(settings, Use(config, **use))


@pytest.mark.parametrize(
    ("recipe", "settings", "use"),
    [
        ("lstm", {"train.stream": "windows", "train.stride": 8, "train.shuffle": False}, {}),
        ("lstm", {"train.vocabulary": "new"}, {"starts_from": True}),
        ("lstm", {"train.graphs": True}, {"device": "cuda:1"}),
        ("lstm", {"train.graphs": False, "train.stride": None, "objective.tar": 0.0}, {}),
        ("transformer-lm", {"objective.tar": 0.0}, {}),
        ("lstm", {"model.softmax": "sampled", "model.cutoffs": [5], "model.samples": 5}, {}),
        ("lstm", {"train.average": "checkpoints", "train.checkpoints": 2}, {}),
        ("ngram", {"train.memory": "1GB"}, {}),
        ("rnn", {"model.hidden": 16, "model.embedding": 16}, {}),
        ("rnn", {"model.hidden": 16}, {}),
        ("rnn", {"model.embedding": 128, "model.hidden": 64}, {}),
        ("lstm", {"train.minutes": 5, "train.epochs": 3}, {}),
        ("ulmfit", {"model.encoder.tied": True, "train.backend": "step"}, {}),
    ],
)
def test_what_does_something_is_not(
    recipe: str, settings: dict[str, Any], use: dict[str, Any]
) -> None:
    """Nor is what asks for nothing."""
    refuse_unused(settings, Use(configure(recipe, settings), **use))


def test_the_verb_refuses_and_leaves_nothing(cli: Cli, tmp_path: Path) -> None:
    """`train`, several seeds, `ablate`, `--resume`."""
    text, out = FOLDER / "train.txt", tmp_path / "run"
    for verb, more in (
        (["train", "lstm"], ["--train", text, "--out", out]),
        (["train", "lstm"], ["--train", text, "--out", out, "--seeds", 2]),
        (["ablate", "lstm"], ["--train", text, "--valid", text, "--out", out]),
    ):
        status, _, err = cli(*verb, *more, "--set", "train.stride=3")
        assert status == 2
        assert err == (
            "nextword: train.stride is for train.stream=windows and would do nothing here; "
            "leave it out\n"
        )
        assert not out.exists()


@pytest.mark.parametrize("recipe", RECIPE_NAMES)
def test_every_key_is_known(recipe: str) -> None:
    """Each key of each recipe can be asked about; those that the recipe itself gives do something,
    but for its model's encoder, which --from may replace."""
    config = configure(recipe)
    for settings in describe_recipe(recipe).values():
        for setting in settings:
            needed = needs(setting.key, Use(config))
            assert needed is None or needed.strip()
            if setting.given and setting.key.count(".") == 1:
                assert needed is None, setting.key


# ------------------------------------------------------------------------- by training, every key

#: Keys that change how a training is done but not what is learnt in these small ones, and where a
#: test sees that they do.
ELSEWHERE = {
    "train.save_every_minutes": "tests/unit/test_training.py: when the state is written",
    "train.patience": "tests/unit/test_training.py: when a training ends early",
    "train.keep": "tests/unit/test_training.py: which weights are kept",
    "train.metric": "tests/unit/test_classifier.py: what the best weights are chosen by",
    "train.average": "tests/unit/test_averaging.py: what is averaged, and from when",
    "train.non_monotone_stop": "tests/unit/test_averaging.py: when a training ends",
    "train.backend": "tests/unit/test_training.py: what the first lines name",
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPE_NAMES)
def test_every_key_changes_the_training_or_is_refused(recipe: str, tmp_path: Path) -> None:
    """Each key is given another value. A key of a table that another recipe of the same kind has is
    tried there only."""
    if configure(recipe).model.trained_by == "mixing":
        pytest.skip("a mixture is made of runs")
    settings = small(recipe)
    config = configure(recipe, settings)
    base = outcome(recipe, settings, tmp_path / "base")
    idle = []
    for setting in own_settings(recipe):
        value = changed(setting, settings.get(setting.key, setting.value), tmp_path)
        changes = {setting.key: value}
        try:
            other = configure(recipe, settings | changes)
            refuse_unused(changes, Use(other))
            found = outcome(recipe, settings | changes, tmp_path / "other")
        except InputError:
            continue
        if found == base and setting.key not in ELSEWHERE:
            idle.append((setting.key, value))
    assert not idle
    assert config.recipe == recipe


def own_settings(recipe: str) -> Iterator[Any]:
    """The settings that no earlier recipe has in a table of the same kind."""
    seen = {kind_of(name, s) for name in RECIPE_NAMES if name < recipe for s in all_settings(name)}
    for setting in all_settings(recipe):
        if kind_of(recipe, setting) not in seen:
            yield setting


def all_settings(recipe: str) -> list[Any]:
    return [setting for table in describe_recipe(recipe).values() for setting in table]


def kind_of(recipe: str, setting: Any) -> tuple[str, ...]:
    """What decides whether a key does something: its table's part, the task, model and stream."""
    config = configure(recipe)
    table = setting.key.split(".")[0]
    part = type(getattr(config, table)).__name__
    encoder = config.model.model_dump().get("encoder", {}).get("name", "")
    stream = config.train.stream if table == "train" else ""
    return setting.key, part, config.model.task, encoder if table == "model" else "", stream
