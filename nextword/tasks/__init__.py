"""The tasks: kinds of text together with what a model of them is for, one task per file.

A task implements everything that depends on the kind of text: preparing, validating, evaluating,
comparing.
"""

from __future__ import annotations

from .. import registry
from ..config import Config
from .task import Task


def task_of(config: Config) -> Task:
    """Return the task of the model that the settings describe.

    Example:
        task_of(nextword.load("runs/book").config).name
    """
    task: Task = registry.load("task", config.model.task)()
    return task
