"""Every recipe trains on tokens that others have cut, and its run does what other runs do."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import nextword
from nextword import registry
from nextword.config import RECIPES, configure
from nextword.tasks import task_of
from nextword.types import Ability
from tests.foreign import TEXT, file_of
from tests.support import Cli

RECIPE_NAMES = sorted(path.stem for path in RECIPES.glob("*.toml") if path.stem != "mixture")
KINDS = ["wordpiece", "byte-level", "sp-bpe", "ids"]
#: recipes and tokens of the quick tests: one of each task
QUICK = [
    ("bert", "wordpiece"),
    ("bert-classifier", "sp-bpe"),
    ("bert-tagger", "byte-level"),
    ("transformer", "sp-bpe"),
    ("lstm", "ids"),
    ("unigram", "ids"),
]
CASES = [
    pytest.param(recipe, kind, marks=[] if (recipe, kind) in QUICK else pytest.mark.slow)
    for recipe in RECIPE_NAMES
    for kind in KINDS
]
CONTENTS = {
    "text": TEXT[:3000] + TEXT[-600:],
    "sentences": TEXT[:1500].replace(".\n", ".\n\n"),
    "pairs": "the king\tder König\nthe sea\tdas Meer\n明月\tthe moon\n" * 8,
    "labelled": "good\tthe king was wise\nbad\tthe worst of times\n" * 8,
    "tagged": "the\tD\nking\tN\n\n明\tA\n月\tN\n\n" * 8,
}
SIZES = {"hidden": 8, "embedding": 8, "layers": 1, "heads": 2, "inner": 16, "order": 3}


def small(recipe: str) -> dict[str, Any]:
    """Overrides that make a recipe quick."""
    config = configure(recipe)
    model, where = config.model, "model."
    if "encoder" in type(model).model_fields:
        kind = "encoder" if model.encoder["name"] == "bidirectional" else "model"
        model, where = registry.load(kind, model.encoder["name"]), "model.encoder."
    fields = model.model_fields if isinstance(model, type) else type(model).model_fields
    settings = {f"{where}{key}": size for key, size in SIZES.items() if key in fields}
    if config.model.trained_by == "gradient":
        length = {"train.minutes": 0.002} if config.train.minutes else {"train.epochs": 1}
        settings |= length | {"train.batch_size": 8}
    return settings


def numbers() -> str:
    """A text of ids."""
    draw = random.Random(1)
    return "".join(f"{' '.join(str(draw.randrange(60)) for _ in range(9))}\n" for _ in range(90))


def use(run: Path, task: str, data: Path, folder: Path, cli: Cli) -> None:
    """Every verb that the run can be asked for."""
    loaded = nextword.load(run)
    found = json.loads(cli("evaluate", run, "--data", data, "--json")[1])
    assert found
    lines = folder / "lines"
    lines.write_text(CONTENTS["pairs"] if task == "pairs" else "the king 明月\n", encoding="utf-8")
    if not loaded.tokenizer.spells:
        lines.write_text("3 1 4\n1 5\n")
    prompt = "3 1 4" if not loaded.tokenizer.spells else "the king"
    verbs = {
        Ability.SCORE: ["score", run, lines, "--by", "word", "--json"],
        Ability.GENERATE: ["generate", run, "--prompt", prompt, "--tokens", 4],
        Ability.GENERATE_MASKED: ["generate", run, "--prompt", prompt, "--tokens", 4],
        Ability.TRANSLATE: ["translate", run, lines],
        Ability.CLASSIFY: ["classify", run, lines],
        Ability.FILL: ["fill", run, "the [MASK] was"],
        Ability.EMBED: ["embed", run, lines, "--out", folder / "vectors.npy"],
    }
    asked = [verb for ability, verb in verbs.items() if loaded.can(ability)]
    assert asked
    for verb in asked:
        status, out, err = cli(*verb)
        assert status == 0 or "has no vectors of texts" in err, (verb, err)
        if verb[0] == "score":
            rows = [json.loads(line) for line in out.splitlines()]
            assert rows and all(row["text"].split() == [row["text"]] for row in rows)
    for form in loaded.config.model.exports:
        out_path = folder / ("a.arpa" if form == "arpa" else form)
        status, _, err = cli("export", run, "--format", form, "--out", out_path)
        assert status == 0 or "needs WordPiece tokens" in err, err


@pytest.mark.parametrize(("recipe", "kind"), CASES)
def test_every_recipe(recipe: str, kind: str, tmp_path: Path, cli: Cli) -> None:
    config = configure(recipe)
    task = config.model.task
    data = tmp_path / "data.txt"
    data.write_text(numbers() if kind == "ids" else CONTENTS[task], encoding="utf-8")
    setting, file = ("ids", None) if kind == "ids" else file_of(kind, tmp_path)
    overrides = small(recipe) | {"text.tokenizer": setting}
    if task_of(config).has_source:
        overrides["source.tokenizer"] = setting
    if kind == "ids" and task != "text":
        with pytest.raises(nextword.InputError, match="ids is for models of running text"):
            nextword.train(recipe, data, tmp_path / "run", overrides=overrides, quiet=True)
        return
    nextword.train(recipe, data, tmp_path / "run", overrides=overrides, quiet=True)
    if file:
        file.unlink()
    use(tmp_path / "run", task, data, tmp_path, cli)


@pytest.mark.parametrize("kind", ["wordpiece", "byte-level", "sp-bpe"])
def test_bert_is_fine_tuned(kind: str, tmp_path: Path) -> None:
    """The ids of BERT's marks are no pieces, and a classifier takes tokenizer and weights over."""
    text, labelled = tmp_path / "text.txt", tmp_path / "labelled.tsv"
    text.write_text(CONTENTS["sentences"], encoding="utf-8")
    labelled.write_text(CONTENTS["labelled"], encoding="utf-8")
    setting, file = file_of(kind, tmp_path)
    overrides = small("bert") | {"text.tokenizer": setting}
    bert = nextword.train("bert", text, tmp_path / "bert", overrides=overrides, quiet=True)
    file.unlink()
    ids = bert.tokenizer.encode(f"{TEXT} [CLS] [MASK] [PAD]")
    assert not {2, 3, 4} & set(ids) and max(ids) < bert.tokenizer.vocab_size
    assert [bert.tokenizer.token(i) for i in range(5)] == [
        *["<unk>", "<eos>"],
        *["[CLS]", "[MASK]", "[PAD]"],
    ]
    tuned = nextword.train(
        "bert-classifier",
        labelled,
        tmp_path / "tuned",
        start_from=tmp_path / "bert",
        overrides={"train.epochs": 1},
        quiet=True,
    )
    assert tuned.tokenizer.fingerprint == bert.tokenizer.fingerprint
    assert nextword.classify(tuned, ["the king was wise"])
    word = nextword.fill(bert, "the [MASK] was").gaps[0][0].word
    assert word == word.strip("Ġ▁ ")
