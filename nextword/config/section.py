"""What every table of settings is."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError
from .messages import explain

#: From 0 to 1, 1 excluded.
Share = Annotated[float, Field(ge=0, lt=1)]


class Tables(Protocol):
    """The tables of a `Config` that other tables ask about."""

    @property
    def model(self) -> Part: ...
    @property
    def optimizer(self) -> Section: ...
    @property
    def schedule(self) -> Section: ...


class Use(NamedTuple):
    """What a training uses its settings for."""

    config: Tables  # all settings, a `Config`
    device: str = "cpu"
    starts_from: bool = False  # from another run (`--from`)
    same_model: bool = False  # which is of the same kind, so that its weights are taken
    given: frozenset[str] = frozenset()  # the keys that the user gave, "train.minutes"


class Section(BaseModel):
    """A table of settings: unknown keys are refused, nothing changes after parsing."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        """Check the settings.

        Raises:
            InputError: an unknown key (the nearest is given) or a bad value.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            kind = type(self)
            raise InputError(f"{kind.__name__}: {explain(error, kind.model_fields)}") from None

    # `model_validate` makes an object without calling it, as it does for BaseModel's own.
    __init__.__dict__["__pydantic_base_init__"] = True

    def nested(self) -> dict[str, Section]:
        """Tables within this table, such as a classifier's encoder: key → checked settings."""
        return {}

    def unused(self, key: str, use: Use) -> str | None:
        """What a key of this table would need to do anything, given the other settings.

        Args:
            key: the key within this table: "cutoffs", "encoder.hidden".
            use: all settings, and what they are used for.

        Returns:
            The need in words, as in "model.cutoffs is for … and would do nothing here"; None if the
            key does something.

        Example:
            >>> from nextword.config import configure
            >>> config = configure("lstm")
            >>> config.train.unused("checkpoints", Use(config))
            'train.average=checkpoints'
        """
        return None


class Part(Section):
    """A table whose `name` says which registered part it sets."""

    name: str

    #: of a model: how `train` makes it
    trained_by: ClassVar[Literal["gradient", "counting", "mixing"]] = "gradient"
    #: of a model: the registered task that it is for
    task: ClassVar[str] = "text"
    #: of a model: the formats of other programs that it can be written in
    exports: ClassVar[tuple[str, ...]] = ()
    #: of a model: whether a classifier can stand on it
    encodes: ClassVar[bool] = False
    #: of a model: whether its layers can learn at rates of their own
    layered: ClassVar[bool] = False
    #: of a model: whether its outputs before dropout are known (for objective.tar)
    gives_raw: ClassVar[bool] = False

    @property
    def trains_layers(self) -> bool:
        """Of a model: whether its layers learn at rates of their own."""
        return self.layered

    @property
    def reads_marks(self) -> bool:
        """Of a model: whether it reads [CLS], [MASK] and [PAD], as BERT does."""
        parts = self.nested().values()
        return any(isinstance(part, Part) and part.reads_marks for part in parts)

    @property
    def by_backend(self) -> bool:
        """Of a model: whether `train.backend` computes its layers."""
        return False

    @property
    def by_graphs(self) -> bool:
        """Of a model: whether CUDA graphs can run its steps."""
        return False
