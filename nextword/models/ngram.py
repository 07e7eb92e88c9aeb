"""The n-gram language model, p(w | the last n - 1 words), estimated from counts.

It has the interface of all language models. Its state (B,) is the node of the longest context in
the model that the text so far ends in; it stands for the last n - 1 ids. `nextword.ngram` estimates
the model and looks probabilities up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from ..errors import InputError
from ..ngram.settings import NgramSettings
from ..text.tokenizer import EOS
from ..types import Found, FoundInArrays, Output, Predicted, Scored, State

if TYPE_CHECKING:  # counting needs no torch; `forward`, `score` and `start` import it
    import torch
    from torch import Tensor, nn

    from ..ngram.documents import DocumentSums, Lookup
    from ..ngram.estimate import Estimated
    from ..ngram.interface import Ngrams
    from ..ngram.table import Table
    from ..text.lexicon import Lexicon
    from ..text.tokenizer import Tokenizer


Array = np.ndarray[Any, Any]

_BLOCK = 1 << 16  # tokens that are scored at a time


def _plain(ids: Array) -> Array:
    """Ids as the table reads them."""
    return np.ascontiguousarray(ids, np.uint32)


class NgramConfig(NgramSettings):
    """The settings of an n-gram model."""

    trained_by: ClassVar[Literal["gradient", "counting", "mixing"]] = "counting"
    exports: ClassVar[tuple[str, ...]] = ("arpa", "kenlm-probing", "kenlm-trie")

    def build(self, vocab_size: int) -> NgramLM:
        """Make a model with these settings; it is uniform until `fit` or `read` is called."""
        return NgramLM(self, vocab_size)


class NgramLM:
    """An n-gram table as a language model. Without a table all words are equally probable.

    Example:
        >>> model = NgramConfig(order=2, smoothing="witten-bell").build(4)
        >>> model.fit(np.array([2, 3, 1, 2, 1])).sizes  # a b <eos> a <eos>
        [4, 4]
    """

    def __init__(self, config: NgramConfig, vocab_size: int) -> None:
        self.config = config
        self.vocab_size = vocab_size
        self.context: int | None = config.order - 1
        self.lexicon: Lexicon | None = None
        self.meta: dict[str, Any] = {}
        self._table: Ngrams | None = None
        self._lookup: tuple[Tokenizer, Lookup | None] | None = None
        self._device: str | torch.device = "cpu"

    @property
    def table(self) -> Ngrams:
        """The n-grams with their probabilities.

        Raises:
            InputError: a table is set whose vocabulary has another size.
        """
        if self._table is None:
            from ..ngram.table import uniform

            self._table = uniform(self.vocab_size)
        return self._table

    @table.setter
    def table(self, table: Ngrams) -> None:
        if table.vocab_size != self.vocab_size:
            raise InputError(
                f"the table has {table.vocab_size:,} words, the tokenizer {self.vocab_size:,}; "
                "train the run again"
            )
        self._table = table

    @property
    def size(self) -> int:
        """The number of probabilities and back-off weights."""
        sizes = self.table.sizes
        return sum(sizes) + sum(sizes[:-1])

    def fit(self, ids: Array) -> Estimated:
        """Estimate the model from ids (N,), in which every line ends in `<eos>`.

        Raises:
            InputError: the text is too large.
        """
        from ..ngram.estimate import estimate

        result = estimate(np.asarray(ids), self.vocab_size, self.config)
        self.table = result.table
        return result

    def read(self, path: Path) -> None:
        """Map the table that is in a file.

        Raises:
            InputError: the file is missing, damaged, or of a higher order than the settings say.
        """
        from ..ngram.file import read

        stored = read(path)
        self.table, self.lexicon, self.meta = stored.table, stored.lexicon, stored.meta
        if self.table.order > self.config.order:
            raise InputError(
                f"'{path}' has order {self.table.order}, its settings {self.config.order}; train "
                "the run again"
            )

    def as_table(self) -> Table:
        """The table of the model; see `ngram.interface.Listable`."""
        return self.table.listed()

    def __getstate__(self) -> dict[str, Any]:
        """All but the lookup of words, which is made again where it is needed."""
        return vars(self) | {"_lookup": None}

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """A copy with the same table, which may be large and never changes."""
        return copy(self)

    def parameters(self) -> Iterator[nn.Parameter]:
        """No parameters: the model is not differentiable."""
        return iter(())

    def eval(self) -> Self:
        return self

    def to(self, device: str | torch.device) -> Self:
        """Set the device of the results; the computation runs on the CPU."""
        self._device = device
        return self

    def start(self, batch_size: int) -> State:
        """The state (B,) int64 at the beginning of a line."""
        import torch

        return torch.full((batch_size,), self.table.start, device=self._device)

    def advance(self, ids: Tensor, state: State) -> State:
        """The state after ids (B, T)."""
        import torch

        rows = zip(ids.cpu().numpy(), state.tolist(), strict=True)
        states = [self.table.advance(row, before) for row, before in rows]
        return torch.tensor(states, dtype=torch.int64, device=ids.device)

    def forward(self, ids: Tensor, state: State) -> Output:
        """ids (B, T) → logits (B, T, V), which are natural log-probabilities."""
        import torch

        rows = [
            self.predict_ids(row, before)
            for row, before in zip(ids.cpu().numpy(), state.tolist(), strict=True)
        ]

        def together(parts: list[Any]) -> Tensor:
            return torch.from_numpy(np.stack(parts)).to(ids.device)

        def found(targets: Tensor) -> Found:
            answers = []
            for row, wanted in zip(rows, targets.cpu().numpy(), strict=True):
                assert row.found is not None
                answers.append(row.found(wanted))
            log_prob = together([answer.log_prob for answer in answers])
            return Found(log_prob, together([answer.order for answer in answers]))

        last = torch.tensor([row.state for row in rows], dtype=torch.int64, device=ids.device)
        return Output(together([row.log_probs for row in rows]), last, None, None, found)

    def score(self, ids: Tensor, targets: Tensor, state: State) -> Scored:
        """ids (B, T), targets (B, T) → log-probabilities (B, T)."""
        import torch

        before = self._states(ids, state)[:, 1:]
        wanted = targets.cpu().numpy()
        log_prob, _ = self._look_up(ids.cpu().numpy(), wanted, before)
        hit = (
            self.table.best(np.ascontiguousarray(before).reshape(-1)).reshape(wanted.shape)
            == wanted
        )
        return Scored(
            torch.from_numpy(log_prob).to(ids.device),
            torch.from_numpy(before[:, -1].copy()).to(ids.device) if ids.shape[1] else state,
            torch.from_numpy(hit).to(ids.device),
        )

    def advance_ids(self, ids: Array, state: State = None) -> State:
        """See `ArrayModel`; a state is a node of the table."""
        return self.table.advance(_plain(ids), self._node(state))

    def predict_ids(self, ids: Array, state: State = None) -> Predicted:
        """See `ArrayModel`."""
        from ..ngram.table import natural

        states = np.empty(len(ids) + 1, np.int64)
        self.table.states(_plain(ids), self._node(state), states)
        log_probs = np.empty((len(ids), self.vocab_size), np.float32)
        for out, one in zip(log_probs, states[1:].tolist(), strict=True):
            self.table.distribution(one, out)
        natural(log_probs, np.arange(self.vocab_size))

        def found(targets: Array) -> FoundInArrays:
            log_prob, nodes = self._look_up(ids[None], targets[None], states[None, 1:])
            return FoundInArrays(log_prob[0], np.asarray(self.table.order_of(nodes[0])))

        return Predicted(log_probs, int(states[-1]), found)

    def score_ids(
        self, ids: Array, before: Array | None = None, progress: Callable[[int], None] | None = None
    ) -> tuple[Array, Array]:
        """See `ArrayModel`."""
        from ..ngram.table import natural

        state = self.advance_ids(np.array([EOS]) if before is None else before)
        log_prob, hit = np.empty(len(ids), np.float32), np.empty(len(ids), bool)
        for first in range(0, len(ids), _BLOCK):
            some = _plain(ids[first : first + _BLOCK])
            states = np.empty(len(some) + 1, np.int64)
            self.table.states(some, state, states)
            part = slice(first, first + len(some))
            log_prob[part] = self.table.score(some, state)[0]
            natural(log_prob[part], some)
            hit[part] = self.table.best(states[:-1]) == some
            state = int(states[-1])
            if progress:
                progress(len(some))
        return log_prob, hit

    def _node(self, state: State) -> int:
        return self.table.start if state is None else state

    def _look_up(self, ids: Array, targets: Array, states: Array) -> tuple[Array, Array]:
        """The natural log-probabilities (B, T) of targets (B, T) after `states` (B, T), to which
        ids (B, T) led, and the nodes (B, T) of the n-grams found for them."""
        from ..ngram.table import natural

        log_prob: Array = np.empty(targets.shape, np.float32)
        nodes: Array = np.empty(targets.shape, np.uint32)
        for out, found, row, before, after in zip(
            log_prob, nodes, targets, states, ids, strict=True
        ):
            if len(row) and np.array_equal(row[:-1], after[1:]):  # targets are the next ids
                out[:], found[:], _ = self.table.score(row, int(before[0]))
            else:
                for at, one in enumerate(before.tolist()):
                    some, node, _ = self.table.score(row[at : at + 1], one)
                    out[at], found[at] = some[0], node[0]
        natural(log_prob, targets)
        return log_prob, nodes

    def sum_documents(
        self, texts: Sequence[str], tokenizer: Tokenizer, workers: int | None = None
    ) -> DocumentSums:
        """Score documents, each of which ends in a newline, line by line; see
        `nextword.ngram.documents.sum_documents`."""
        from ..ngram.documents import Lookup, sum_documents

        if self._lookup is None or self._lookup[0] is not tokenizer:
            self._lookup = tokenizer, Lookup.of(tokenizer)
        return sum_documents(self.table, tokenizer, self._lookup[1], texts, workers)

    def _states(self, ids: Tensor, state: State) -> Array:
        """The states (B, T + 1) before the first of ids (B, T) and after each of them."""
        rows = ids.cpu().numpy()
        states = np.empty((len(rows), rows.shape[1] + 1), np.int64)
        for out, row, before in zip(states, rows, state.tolist(), strict=True):
            self.table.states(row, before, out)
        return states
