"""The interface of KenLM's Python module, implemented by a table. Replace `import kenlm` by
`from nextword.ngram import kenlm`.

    model = kenlm.Model("model.arpa")        # or a run directory of an n-gram model
    model.score("this is a sentence .", bos=True, eos=True)

Names, arguments and results are those of KenLM (base-10 logarithms in single precision). Two
methods are added: `score_many` scores many sentences at once, `distribution` gives the
probabilities of all next words.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..text.lexicon import Lexicon
from ..text.tokenizer import EOS, UNK
from .arpa import BEGINNING, END
from .arpa_reading import read_arpa
from .file import read
from .table import Table
from .trie import NEXT_STATE

Array = np.ndarray[Any, Any]

_WEIGHTS = "model.safetensors"
_MANY = 1 << 15  # sentences that `score_many` scores at a time


class FullScoreReturn(NamedTuple):
    """The result of `BaseFullScore`."""

    log_prob: float
    ngram_length: int
    oov: bool


@functools.total_ordering
class State:
    """The state of a model after some words; the methods of the model fill it."""

    __slots__ = ("node",)

    def __init__(self) -> None:
        self.node = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self.node == other.node

    def __lt__(self, other: State) -> bool:
        return self.node < other.node

    def __hash__(self) -> int:
        return hash(self.node)

    def __copy__(self) -> State:
        copy = State()
        copy.node = self.node
        return copy

    def __deepcopy__(self, memo: Any) -> State:
        return self.__copy__()


class LoadMethod:
    """Has no effect here: a run's table is always mapped, an ARPA file is always read."""

    LAZY, POPULATE_OR_LAZY, POPULATE_OR_READ, READ, PARALLEL_READ = range(5)


class ARPALoadComplain:
    """Has no effect here."""

    ALL, EXPENSIVE, NONE = range(3)


class Config:
    """Options of KenLM; they have no effect here and do not change results."""

    def __init__(self) -> None:
        self.load_method = LoadMethod.LAZY
        self.show_progress = False
        self.arpa_complain = ARPALoadComplain.NONE


class Model:
    """An n-gram model from an ARPA file or from a run directory.

    Raises:
        OSError: the file or the run cannot be read.
    """

    def __init__(self, path: str | bytes | os.PathLike[str], config: Config | None = None) -> None:
        given = Path(os.fsdecode(path))
        self.path = os.fsencode(given.absolute())
        try:
            if given.is_dir():
                stored = read(given / _WEIGHTS)
                self.table: Table = stored.table
                self.lexicon: Lexicon = stored.lexicon
            else:
                self.table, self.lexicon = read_arpa(given)
        except InputError as error:
            raise OSError(f"Cannot read model '{given}' ({error})") from error

    @property
    def order(self) -> int:
        return self.table.order

    def score(self, sentence: str | bytes, bos: bool = True, eos: bool = True) -> float:
        """log10 of the probability of a sentence, whose words are separated by spaces.

        Args:
            bos: the words follow the beginning of a line; False = they have no context.
            eos: the end of the line is included.
        """
        log_probs, _, _ = self.table.score(self._ids(sentence, eos), self._begin(bos))
        return float(log_probs.sum(dtype=np.float64))

    def score_many(self, sentences: Iterable[str], workers: int | None = None) -> Array:
        """`score` of N sentences, (N,) float64, by several threads (default: one per core). A
        sentence may end in a newline.

        Raises:
            ValueError: there is a newline inside a sentence.
        """
        sums: list[Array] = []
        batch: list[str] = []
        for sentence in sentences:
            batch.append(sentence)
            if len(batch) == _MANY:
                sums.append(self._score_batch(batch, workers))
                batch = []
        sums.append(self._score_batch(batch, workers))
        return np.concatenate(sums)

    def _score_batch(self, sentences: list[str], workers: int | None) -> Array:
        if not sentences:
            return np.zeros(0)
        text = "\n".join(sentence.removesuffix("\n") for sentence in sentences) + "\n"
        if text.count("\n") != len(sentences):
            raise ValueError("a sentence has a line end in it")
        return self.table.score_text(text.encode("utf-8"), self.lexicon, workers)[0]

    def perplexity(self, sentence: str | bytes) -> float:
        """10^(-score / words); the end of the sentence counts as a word."""
        words = len(_split(sentence)) + 1
        return float(10.0 ** (-self.score(sentence) / words))

    def full_scores(
        self, sentence: str | bytes, bos: bool = True, eos: bool = True
    ) -> Iterator[tuple[float, int, bool]]:
        """Yield for each word (log10 p, the length of the n-gram that was found, whether the word
        is unknown)."""
        ids = self._ids(sentence, eos)
        log_probs, found, _ = self.table.score(ids, self._begin(bos))
        lengths = self.table.order_of(found)
        for log_prob, length, word in zip(log_probs, lengths, ids, strict=True):
            yield float(log_prob), int(length), bool(word == UNK)

    def BeginSentenceWrite(self, state: State) -> None:  # noqa: N802
        """Set `state` to the beginning of a line."""
        state.node = self.table.start

    def NullContextWrite(self, state: State) -> None:  # noqa: N802
        """Set `state` to the empty context."""
        state.node = 0

    def BaseScore(self, in_state: State, word: str, out_state: State) -> float:  # noqa: N802
        """log10 p(word | in_state). `out_state` is set to the state after the word."""
        return self.BaseFullScore(in_state, word, out_state).log_prob

    def BaseFullScore(  # noqa: N802
        self, in_state: State, word: str, out_state: State
    ) -> FullScoreReturn:
        """`BaseScore`, with the length of the n-gram that was found and whether the word is
        unknown."""
        ids = np.array([self._id(word)], np.uint32)
        log_probs, found, _ = self.table.score(ids, in_state.node)
        node = int(found[0])
        out_state.node = int(self.table.nodes[node, NEXT_STATE])
        return FullScoreReturn(
            float(log_probs[0]), int(self.table.order_of(node)), bool(ids[0] == UNK)
        )

    def distribution(self, state: State) -> Array:
        """log10 p (V,) float32 of every word after a state. The index is the id of the word in
        `lexicon`; id 1 is the end of a line."""
        return self.table.distribution(state.node)

    def __contains__(self, word: str | bytes) -> bool:
        return self._id(word) != UNK

    def __repr__(self) -> str:
        return f"<Model from {os.path.basename(os.fsdecode(self.path))}>"

    def __reduce__(self) -> tuple[type[Model], tuple[bytes]]:
        return (type(self), (self.path,))

    def _begin(self, bos: bool) -> int:
        return self.table.start if bos else 0

    def _id(self, word: str | bytes) -> int:
        return self._of_word(_as_bytes(word))

    def _of_word(self, word: bytes) -> int:
        if word in (BEGINNING.encode(), END.encode()):
            return EOS
        return self.lexicon.id_of(word)

    def _ids(self, sentence: str | bytes, eos: bool) -> Array:
        ids = [self._of_word(word) for word in _split(sentence)]
        return np.array([*ids, EOS] if eos else ids, np.uint32)


class LanguageModel(Model):
    """The older name of `Model` in KenLM."""


def _as_bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else text


def _split(sentence: str | bytes) -> list[bytes]:
    return _as_bytes(sentence).split()
