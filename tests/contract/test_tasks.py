"""What every task says of itself, over all tasks of the registry."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from nextword import registry
from nextword.cli.app import app
from nextword.config import RECIPES, configure
from nextword.config.settings import TrainConfig
from nextword.errors import InputError
from nextword.screen import progress_bars
from nextword.tasks import task_of
from nextword.tasks.task import Options, Task
from nextword.types import Ability

TASKS = {name: registry.load("task", name) for name in registry.names("task")}
VERBS = {command.name for command in app.registered_commands}
CONFIGS = {path.stem: configure(path.stem) for path in RECIPES.glob("*.toml")}


@pytest.fixture(params=list(TASKS))
def task(request: pytest.FixtureRequest) -> type[Task]:
    return TASKS[request.param]


def test_it_answers_everything(task: type[Task]) -> None:
    """No method is left abstract, and messages have their words."""
    assert not inspect.isabstract(task)
    assert TASKS[task.name] is task
    assert task.reads and task.does and task.ranked_by and all(task.evaluating)


def test_what_it_can_be_asked_is_a_command(task: type[Task]) -> None:
    """Each ability has a command with the run in it, whose verb exists; one is to be evaluated."""
    assert task.abilities and Ability.EVALUATE in task.abilities
    for usage in task.abilities.values():
        found = re.match(r"nextword ([a-z-]+) .*\{run\}", usage)
        assert found and found[1] in VERBS, usage


def test_its_parts_exist(task: type[Task]) -> None:
    """Streams and objectives are registered, settings and options are there to be set."""
    assert set(task.streams) <= set(registry.names("stream"))
    assert set(task.objectives) <= set(registry.names("objective"))
    assert task.settings <= TrainConfig.model_fields.keys()
    fields = {f"--{name.replace('_', '-')}" for name in Options.__dataclass_fields__}
    assert task.options <= fields | {"--target", "--beam", "--alpha"}


def test_a_recipe_is_for_it(task: type[Task]) -> None:
    """Some recipe trains a model of it, with streams and objectives that are its own."""
    configs = [config for config in CONFIGS.values() if type(task_of(config)) is task]
    assert configs
    assert all(not task.streams or c.train.stream in task.streams for c in configs)


def test_messages_differ() -> None:
    """Two kinds of text can be told apart by what is said of them."""
    for words in ("reads", "does"):
        assert len({getattr(task, words) for task in TASKS.values()}) == len(TASKS)


WRITTEN = {  # two lines of each kind of text, tokenised and not
    "text": ("it was n't , he said , so .\n", "It wasn't, he said, so.\n"),
    "sentences": ("it was n't , he said , so .\n", "It wasn't, he said, so.\n"),
    "pairs": ("it is n't so .\tnon , non .\n", "It isn't so.\tNon, non.\n"),
    "labelled": ("a\tit is n't , no .\nb\tyes .\n", "a\tIt isn't, no.\nb\tYes.\n"),
    "tagged": ("it\tA\n's\tB\n.\tC\n\n", "It's\tA\nso.\tB\nNo.\tB\n\n"),
}


def test_what_split_auto_recognised_is_said(task: type[Task], tmp_path: Path) -> None:
    """Every task whose tokenizer may be of words says so before the training."""
    recipe = next(name for name, one in CONFIGS.items() if type(task_of(one)) is task)
    auto = {"text.tokenizer": "word", "text.split": "auto", "text.sentences": False}
    if task.has_source:
        auto |= {"source.tokenizer": "word"}
    config = configure(recipe, auto)
    if config.model.reads_marks:  # a tokenizer of words has no ids for them
        (tmp_path / "text.txt").write_text(WRITTEN[task.name][0] * 40)
        span = task().open([tmp_path / "text.txt"])
        with progress_bars(True) as bars, pytest.raises(InputError, match="marks"):
            task().prepare(span, span, config, None, tmp_path, bars=bars, bptt_is_given=False)
        return
    for text, said in zip(WRITTEN[task.name], ("tokenised already", "like prose"), strict=True):
        file = tmp_path / "text.txt"
        file.write_text(text * 40)
        for name in ("a", "b"):
            (tmp_path / said / name).mkdir(parents=True)
        with progress_bars(True) as bars:
            kind = task()
            for folder, settings, wanted in (
                ("a", config, 1 + task.has_source),
                ("b", configure(recipe, auto | {"text.split": "words"}), int(task.has_source)),
            ):
                prepared = kind.prepare(
                    kind.open([file]),
                    kind.open([file]),
                    settings,
                    None,
                    tmp_path / said / folder,
                    bars=bars,
                    bptt_is_given=False,
                )
                assert sum(said in note for note in prepared.notes) == wanted, prepared.notes
