"""The n-gram language model: p(w | the last n - 1 words), counted and smoothed.

A member of the family like any other: its state (B,) is the longest context in the model that the
text so far ends in, which stands for the last n - 1 ids. See `nextword.ngram` for how it is
estimated and asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from .. import registry
from ..config import Part
from ..errors import InputError
from ..types import Output, Scored, State

if TYPE_CHECKING:  # counting needs no torch; what answers `forward` and `score` imports it
    from torch import Tensor, nn

    from ..ngram.estimate import Estimated, Settings
    from ..ngram.table import Table
    from ..text.numbering import Lexicon


class NgramConfig(Part):
    name: Literal["ngram"] = "ngram"
    trained_by: ClassVar[str] = "count"

    order: int = Field(
        5, ge=1, le=16, description="n: tokens of an n-gram, the predicted one included"
    )
    smoothing: str = Field(
        "modified-kneser-ney",
        description="how probability is moved from seen n-grams to unseen ones",
        json_schema_extra={"kind": "smoothing"},
    )
    interpolate: bool = Field(
        True,
        description="seen n-grams too are mixed with the lower order; false = the lower order is "
        "used for unseen n-grams only (back-off)",
    )
    add_k: float = Field(1.0, gt=0, description="smoothing=add-k: what is added to every count")
    open: bool = Field(
        True,
        description="<unk> has some probability even if it never occurred; false = unknown words "
        "are impossible",
    )
    prune: tuple[int, ...] = Field(
        (),
        description="for each order, the largest count that is left out: '0 0 1' leaves out "
        "trigrams and longer n-grams that occur once",
    )
    prune_entropy: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="n-grams are left out that raise the perplexity by less than this share "
        "(Stolcke 1998); 0 = none",
    )

    @field_validator("smoothing")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            registry.check("smoothing", value)
        except InputError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("prune", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        if value is None or value == "":
            return ()
        if isinstance(value, int):
            value = str(value)
        if isinstance(value, str):
            parts = value.replace(",", " ").split()
            if not all(part.isdigit() for part in parts):
                raise ValueError('give a number per order, for example "0 0 1"')
            return tuple(int(part) for part in parts)
        return value

    @model_validator(mode="after")
    def _sensible_pruning(self) -> Self:
        prune = self.prune
        if prune and (prune[0] != 0 or list(prune) != sorted(prune)):
            raise ValueError(
                'prune: begins with 0 and never falls, for example "0 0 1" (rare words are left '
                "out with text.min_count)"
            )
        if len(prune) > self.order:
            raise ValueError(f"prune has {len(prune)} numbers for order {self.order}")
        return self

    @property
    def settings(self) -> Settings:
        from ..ngram.estimate import Settings

        return Settings(**self.model_dump(exclude={"name"}))

    def build(self, vocab_size: int) -> NgramLM:
        return NgramLM(self, vocab_size)


class NgramLM:
    """An n-gram table as a language model; without one, every word is as probable."""

    def __init__(self, config: NgramConfig, vocab_size: int) -> None:
        self.config = config
        self.vocab_size = vocab_size
        self.context: int | None = config.order - 1
        self.lexicon: Lexicon | None = None
        self.meta: dict[str, Any] = {}
        self._table: Table | None = None
        self._device: Any = "cpu"

    @property
    def table(self) -> Table:
        if self._table is None:
            from ..ngram.table import uniform

            self._table = uniform(self.vocab_size)
        return self._table

    @table.setter
    def table(self, table: Table) -> None:
        if table.vocab_size != self.vocab_size:
            raise InputError(
                f"the table has {table.vocab_size:,} words, the tokenizer {self.vocab_size:,}; "
                "train the run again"
            )
        self._table = table

    @property
    def size(self) -> int:
        """Probabilities and back-off weights."""
        return len(self.table.nodes) + len(self.table.contexts) - 3

    def fit(self, ids: np.ndarray[Any, Any]) -> Estimated:
        """Estimate from ids (N,) in memory."""
        from ..ngram.estimate import estimate

        result = estimate(np.asarray(ids), self.vocab_size, self.config.settings)
        self.table = result.table
        return result

    def read(self, path: Path) -> None:
        """Map the table in a file."""
        from ..ngram.file import read

        stored = read(path)
        self.table, self.lexicon, self.meta = stored.table, stored.lexicon, stored.meta
        if self.table.order > self.config.order:
            raise InputError(
                f"'{path}' has order {self.table.order}, its settings {self.config.order}; train "
                "the run again"
            )

    def parameters(self) -> Iterator[nn.Parameter]:
        """None: nothing here has a gradient."""
        return iter(())

    def eval(self) -> Self:
        return self

    def to(self, device: Any) -> Self:
        """Where answers go; they are found on the CPU."""
        self._device = device
        return self

    def start(self, batch_size: int) -> State:
        """(B,) int64: the beginning of a line."""
        import torch

        return torch.full((batch_size,), self.table.start, device=self._device)

    def advance(self, ids: Tensor, state: State) -> State:
        """The state after ids (B, T)."""
        import torch

        rows = zip(ids.cpu().numpy(), state.tolist(), strict=True)
        states = [self.table.advance(row, before) for row, before in rows]
        return torch.tensor(states, dtype=torch.int64, device=ids.device)

    def forward(self, ids: Tensor, state: State) -> Output:
        """ids (B, T) → logits (B, T, V): natural logarithms of probabilities."""
        import torch

        logits = np.empty((*ids.shape, self.vocab_size), np.float32)
        states = self._states(ids, state)  # (B, T + 1)
        for row, after in zip(logits, states[:, 1:], strict=True):
            for out, one in zip(row, after.tolist(), strict=True):
                self.table.distribution(one, out)
        _natural(logits)
        last = torch.from_numpy(states[:, -1].copy())
        return Output(torch.from_numpy(logits).to(ids.device), last.to(ids.device))

    def score(self, ids: Tensor, targets: Tensor, state: State) -> Scored:
        """ids (B, T), targets (B, T) → log-probabilities (B, T)."""
        import torch

        before = self._states(ids, state)[:, 1:]
        wanted = targets.cpu().numpy()
        log_prob = np.empty(wanted.shape, np.float32)
        for out, row, states, after in zip(
            log_prob, wanted, before, ids.cpu().numpy(), strict=True
        ):
            if len(row) and np.array_equal(row[:-1], after[1:]):  # the text itself: in one go
                out[:] = self.table.score(row, int(states[0]))[0]
            else:
                for at, one in enumerate(states.tolist()):
                    out[at] = self.table.score(row[at : at + 1], one)[0][0]
        _natural(log_prob)
        hit = (
            self.table.best(np.ascontiguousarray(before).reshape(-1)).reshape(wanted.shape)
            == wanted
        )
        return Scored(
            torch.from_numpy(log_prob).to(ids.device),
            torch.from_numpy(before[:, -1].copy()).to(ids.device) if ids.shape[1] else state,
            torch.from_numpy(hit).to(ids.device),
        )

    def _states(self, ids: Tensor, state: State) -> np.ndarray[Any, Any]:
        """(B, T + 1): before the first of ids (B, T), and after each of them."""
        rows = ids.cpu().numpy()
        states = np.empty((len(rows), rows.shape[1] + 1), np.int64)
        for out, row, before in zip(states, rows, state.tolist(), strict=True):
            self.table.states(row, before, out)
        return states


def _natural(log10: np.ndarray[Any, Any]) -> None:
    from ..ngram.table import natural

    natural(log10)
