"""What every n-gram model answers, wherever its n-grams are: `table.Table` has them as a list,
`hashed.HashedTable` as hashes in a file of KenLM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, overload, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from ..text.lexicon import Lexicon
    from .layout import InMemory
    from .table import Table

Array = np.ndarray[Any, Any]


class Ngrams(Protocol):
    """An n-gram model for queries. A state is a number; 0 is the empty context. A node is the
    number of an n-gram that was found. Logarithms have base 10. `Table` documents the methods;
    those that get a state raise ValueError if the model has none of that number."""

    beginning: float

    @property
    def order(self) -> int: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def sizes(self) -> list[int]: ...
    @property
    def start(self) -> int: ...
    def score(self, ids: Array, state: int | None = None) -> tuple[Array, Array, int]: ...
    def score_lines(self, ids: Array, workers: int | None = None) -> tuple[Array, Array, Array]: ...
    def score_text(
        self,
        text: bytes,
        lexicon: Lexicon,
        workers: int | None = None,
        ascii_only: bool = False,
    ) -> tuple[Array, Array, Array]: ...
    def backed_off(self, state: int) -> float: ...
    def advance(self, ids: Array, state: int) -> int: ...
    def states(self, ids: Array, state: int, out: Array) -> None: ...
    def distribution(self, state: int, out: Array | None = None) -> Array: ...
    def best(self, states: Array) -> Array: ...
    @overload
    def order_of(self, nodes: int) -> int: ...
    @overload
    def order_of(self, nodes: Array) -> Array: ...
    def in_memory(self) -> InMemory:
        """Where compiled code finds the model."""
        ...

    def listed(self) -> Table:
        """The model as a table, which lists all n-grams.

        Raises:
            InputError: there are only hashes of the n-grams.
        """
        ...


@runtime_checkable
class Listable(Protocol):
    """A model that may be one list of n-grams."""

    def as_table(self) -> Table:
        """The model as one table.

        Raises:
            InputError: it cannot be one.
        """
        ...
