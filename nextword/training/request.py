"""The request for a training, and the checks that turn it into a job."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from ..config import Config, Overrides, Use, configure, override_items, refuse_unused
from ..errors import InputError
from ..files import AnyPath, Paths, path_list
from ..ngram.arpa_header import is_arpa
from ..ngram.kenlm_header import is_kenlm
from ..run import settings_of
from ..tasks import task_of
from ..tasks.task import Origin
from ..text.id_files import open_ids
from ..text.tokenizer import tokenizer_class


@dataclass(frozen=True)
class Request:
    """The arguments of `nextword.train`, where their meaning is described."""

    recipe: str
    train: tuple[Path, ...]
    valid: tuple[Path, ...] = ()
    targets: tuple[Path, ...] = ()
    valid_targets: tuple[Path, ...] = ()
    overrides: tuple[tuple[str, Any], ...] = ()
    start_from: Path | None = None
    overwrite: bool = False
    device: str = "cpu"
    quiet: bool = False
    by_user: bool = True  # the overrides are the user's, so none may do nothing

    @classmethod
    def of(
        cls,
        recipe: str,
        train: Paths,
        *,
        valid: Paths = (),
        targets: Paths = (),
        valid_targets: Paths = (),
        overrides: Overrides = None,
        start_from: AnyPath | None = None,
        overwrite: bool = False,
        device: str = "cpu",
        quiet: bool = False,
    ) -> Self:
        """Make a request. Paths may be single or in a sequence, overrides a dict or "key=value".

        Example:
            Request.of("lstm", "book.txt", overrides=["model.hidden=650"])
        """
        return cls(
            recipe,
            _paths(train),
            _paths(valid),
            _paths(targets),
            _paths(valid_targets),
            tuple(override_items(overrides).items()),
            None if start_from is None else Path(start_from),
            overwrite,
            device,
            quiet,
        )

    @property
    def changes(self) -> dict[str, Any]:
        """The overrides as a dict: dotted key → value."""
        return dict(self.overrides)

    def changed(self, changes: dict[str, Any], start_from: Path | None = None) -> Self:
        """Return the request with more overrides and, if given, another run to start from."""
        merged = tuple((self.changes | changes).items())
        start_from = start_from or self.start_from
        return replace(self, overrides=merged, start_from=start_from, by_user=False)


@dataclass(frozen=True)
class Job:
    """A request whose settings and files have been checked and opened."""

    request: Request
    config: Config
    origin: Origin | None
    train: list[Any]  # what `Task.open` returned
    valid: list[Any]

    @property
    def bptt_is_given(self) -> bool:
        """Whether the user set `train.bptt`."""
        return "train.bptt" in self.request.changes


def check(request: Request) -> Job:
    """Compute the settings of a training and open its texts. Nothing is written.

    Raises:
        InputError: a setting, a text or the run to start from cannot be used.
    """
    config, origin = _configure(request)
    if request.by_user:
        same_model = origin is not None and origin.same_model
        use = Use(config, request.device, origin is not None, same_model)
        refuse_unused(request.changes, use)
    task = task_of(config)
    train = task.open(request.train, request.targets)
    if request.valid_targets and not request.valid:
        raise InputError("--valid-target needs the sources of the pairs: --valid FILE")
    valid = task.open(request.valid, request.valid_targets) if request.valid else []
    if not tokenizer_class(config.text).spells:
        train, valid = open_ids(train), open_ids(valid)
    return Job(request, config, origin, train, valid)


def _configure(request: Request) -> tuple[Config, Origin | None]:
    """Return the settings of a request, and the run to take vocabulary or weights from, if any."""
    recipe, changes, folder = request.recipe, request.changes, request.start_from
    if folder is None:
        return configure(recipe, changes), None
    if folder.is_file() and not (is_kenlm(folder) or is_arpa(folder)):
        return _with_vectors(recipe, changes, folder), None
    before = settings_of(folder)
    task = task_of(configure(recipe))
    config = task.start_from(recipe, changes, folder, before)
    if config.train.vocabulary == "new" and before.model.trained_by != "gradient":
        return config, None  # neither vocabulary nor weights are taken
    return config, Origin(folder, before, before.model.name == config.model.name)


def _with_vectors(recipe: str, changes: dict[str, Any], path: Path) -> Config:
    """Return the settings of a recipe whose embedding starts from a file of word vectors."""
    config = configure(recipe, changes)
    key = task_of(config).vectors_key(path)
    if config.model.trained_by != "gradient":
        raise InputError(f"--from {path}: a '{config.model.name}' model has no word vectors")
    return configure(recipe, changes | {key: str(path)})


def _paths(paths: Paths) -> tuple[Path, ...]:
    return tuple(path_list(paths))
