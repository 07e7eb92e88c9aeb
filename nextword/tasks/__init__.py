"""What kinds of text there are, one task a file: each answers everything that depends on it."""

from __future__ import annotations

from .. import registry
from ..config import Config
from .task import Task


def task_of(config: Config) -> Task:
    """The task that the model of these settings is for."""
    task: Task = registry.load("task", config.model.task)()
    return task
