"""What every task says of itself, over all tasks of the registry."""

from __future__ import annotations

import inspect
import re

import pytest

from nextword import registry
from nextword.cli.main import app
from nextword.config import RECIPES, configure
from nextword.config.settings import TrainConfig
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
    assert task.options <= fields | {"--target"}


def test_a_recipe_is_for_it(task: type[Task]) -> None:
    """Some recipe trains a model of it, with streams and objectives that are its own."""
    configs = [config for config in CONFIGS.values() if type(task_of(config)) is task]
    assert configs
    assert all(not task.streams or c.train.stream in task.streams for c in configs)


def test_messages_differ() -> None:
    """Two kinds of text can be told apart by what is said of them."""
    for words in ("reads", "does"):
        assert len({getattr(task, words) for task in TASKS.values()}) == len(TASKS)
