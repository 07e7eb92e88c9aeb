"""The interface of KenLM's Python module, implemented by a table. Replace `import kenlm` by
`from nextword.ngram import kenlm`.

    model = kenlm.Model("model.arpa")        # or a binary file of KenLM, or a run directory
    model.score("this is a sentence .", bos=True, eos=True)

Names, arguments and results are those of KenLM (base-10 logarithms in single precision). Two
methods are added: `score_many` scores many sentences at once, `distribution` gives the
probabilities of all next words.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..text.lexicon import Lexicon
from ..text.tokenizer import EOS, SPECIALS, UNK
from .arpa import BEGINNING, END, spelled_words
from .arpa_header import split_of
from .arpa_reading import read_arpa
from .calls import calls_of
from .file import read
from .interface import Ngrams
from .kenlm_header import is_kenlm
from .kenlm_reading import read_kenlm

Array = np.ndarray[Any, Any]

_WEIGHTS = "model.safetensors"
_MANY = 1 << 15  # sentences that `score_many` scores at a time
_BEGINNING = -1  # stands for `<s>` among ids; in a table, `<s>` is only a context
#: words of a sentence that are not looked up: the marks, and our name for the end of a line
_IDS = {BEGINNING.encode(): _BEGINNING, END.encode(): EOS, SPECIALS[EOS].encode(): UNK}
_MARKS = re.compile("|".join(re.escape(word.decode()) for word in _IDS))


class FullScoreReturn(NamedTuple):
    """The result of `BaseFullScore`."""

    log_prob: float
    ngram_length: int
    oov: bool


_as_result = tuple.__new__  # half the time of `FullScoreReturn(*found)`


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
    """Has no effect here: a run's table is always mapped, an ARPA file or a trie is always read."""

    LAZY, POPULATE_OR_LAZY, POPULATE_OR_READ, READ, PARALLEL_READ = range(5)


class ARPALoadComplain:
    """Has no effect here."""

    ALL, EXPENSIVE, NONE = range(3)


class WarningAction:
    """What happens if a file has no `<s>` or no `</s>`: it is refused, or the mark counts as an
    unknown word."""

    THROW_UP, COMPLAIN, SILENT = range(3)


class Config:
    """Options of KenLM. Only `sentence_marker_missing`, which KenLM has in C++, changes results;
    the others have no effect here."""

    def __init__(self) -> None:
        self.sentence_marker_missing = WarningAction.THROW_UP
        self.load_method = LoadMethod.LAZY
        self.show_progress = False
        self.arpa_complain = ARPALoadComplain.NONE


class Model:
    """An n-gram model from an ARPA file, a binary file of KenLM or a run directory.

    Raises:
        OSError: the file or the run cannot be read.
    """

    def __init__(self, path: str | bytes | os.PathLike[str], config: Config | None = None) -> None:
        given = Path(os.fsdecode(path))
        marks = config is not None and config.sentence_marker_missing != WarningAction.THROW_UP
        self.path = os.fsencode(given.absolute())
        try:
            if given.is_dir():
                stored = read(given / _WEIGHTS)
                self.table: Ngrams = stored.table
                self.lexicon: Lexicon = _as_in_a_file(stored.lexicon, stored.meta)
                old = "whitespace" if stored.meta.get("whitespace") else None
                split = stored.meta.get("split", old)
            elif is_kenlm(given):
                self.table, self.lexicon = read_kenlm(given)
                split = "ascii"
            else:
                self.table, self.lexicon = read_arpa(given, add_marks=marks)
                split = split_of(given)
            self._ascii_only = split != "whitespace"
            self._calls = calls_of(self.table, self.lexicon, self._ascii_only)
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
        found = self._calls.score(sentence, bos, eos)
        if found is not None:
            return found
        log_probs, _, _ = self._follow(self._ids(sentence, eos), self._begin(bos))
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
        lines = [sentence.removesuffix("\n") for sentence in sentences]
        text = "\n".join(lines) + "\n"
        if text.count("\n") != len(lines):
            raise ValueError("a sentence has a line end in it")
        marked = []
        if _MARKS.search(text):  # sentences with marks in them are scored one by one
            marked = [index for index, line in enumerate(lines) if _MARKS.search(line)]
            text = "".join("\n" if _MARKS.search(line) else f"{line}\n" for line in lines)
        scores: Array = self.table.score_text(
            text.encode("utf-8"), self.lexicon, workers, self._ascii_only
        )[0]
        for index in marked:
            scores[index] = self.score(lines[index])
        return scores

    def perplexity(self, sentence: str | bytes) -> float:
        """10^(-score / words); the end of the sentence counts as a word."""
        words = len(self._split(sentence)) + 1
        power = -self.score(sentence) / words
        return float(10.0**power) if power < 308 else math.inf

    def full_scores(
        self, sentence: str | bytes, bos: bool = True, eos: bool = True
    ) -> Iterator[tuple[float, int, bool]]:
        """Yield for each word (log10 p, the length of the n-gram that was found, whether the word
        is unknown)."""
        ids = self._ids(sentence, eos)
        log_probs, lengths, _ = self._follow(ids, self._begin(bos))
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
        found = self._calls.base_score(in_state, word, out_state)
        return self._step(in_state, word, out_state).log_prob if found is None else found

    def BaseFullScore(  # noqa: N802
        self, in_state: State, word: str, out_state: State
    ) -> FullScoreReturn:
        """`BaseScore`, with the length of the n-gram that was found and whether the word is
        unknown."""
        found = self._calls.base_full_score(in_state, word, out_state)
        if found is None:
            return self._step(in_state, word, out_state)
        return _as_result(FullScoreReturn, found)

    def distribution(self, state: State) -> Array:
        """log10 p (V,) float32 of every word after a state. The index is the id of the word in
        `lexicon`; id 1 is the end of a line."""
        return self.table.distribution(state.node)

    def __contains__(self, word: str | bytes) -> bool:
        found = self._calls.contains(word)
        return self._of_word(_as_bytes(word)) != UNK if found is None else found

    def __repr__(self) -> str:
        return f"<Model from {os.path.basename(os.fsdecode(self.path))}>"

    def __reduce__(self) -> tuple[type[Model], tuple[bytes]]:
        return (type(self), (self.path,))

    def _begin(self, bos: bool) -> int:
        return self.table.start if bos else 0

    def _step(self, in_state: State, word: str | bytes, out_state: State) -> FullScoreReturn:
        """`BaseFullScore` without `_calls`."""
        index = self._of_word(_as_bytes(word))
        log_probs, lengths, out_state.node = self._follow([index], in_state.node)
        return FullScoreReturn(float(log_probs[0]), int(lengths[0]), index == UNK)

    def _of_word(self, word: bytes) -> int:
        if word in _IDS:
            return _IDS[word]
        return self.lexicon.id_of(word)

    def _split(self, sentence: str | bytes) -> list[bytes]:
        raw = _as_bytes(sentence)
        if self._ascii_only or raw.isascii():
            return raw.split()
        return [word.encode() for word in raw.decode("utf-8").split()]

    def _ids(self, sentence: str | bytes, eos: bool) -> list[int]:
        ids = [self._of_word(word) for word in self._split(sentence)]
        return [*ids, EOS] if eos else ids

    def _follow(self, ids: list[int], state: int) -> tuple[Array, Array, int]:
        """Read words from a state on. A `<s>` among them has the probability that the file gives
        it, and leads to the beginning of a line; a `</s>` leads to the empty context.

        Returns:
            log10 p (N,) of each word, the length (N,) of the n-gram found, and the last state.
        """
        log_probs, lengths = np.empty(len(ids), np.float32), np.ones(len(ids), np.int64)
        start = 0
        for stop in _ends_of_pieces(ids):
            last = ids[stop - 1]
            words = stop - 1 if last == _BEGINNING else stop
            piece = np.array(ids[start:words], np.uint32)
            log_probs[start:words], found, state = self.table.score(piece, state)
            lengths[start:words] = self.table.order_of(found)
            if last == _BEGINNING:
                log_probs[words] = self.table.beginning + self.table.backed_off(state)
                state = self.table.start
            elif last == EOS:
                state = 0
            start = stop
        return log_probs, lengths, state


def _ends_of_pieces(ids: list[int]) -> list[int]:
    """The indices after each mark among the ids, and their number."""
    ends = [index + 1 for index, word in enumerate(ids) if word in (_BEGINNING, EOS)]
    return ends if not ids or ends[-1:] == [len(ids)] else [*ends, len(ids)]


class LanguageModel(Model):
    """The older name of `Model` in KenLM."""


def _as_in_a_file(lexicon: Lexicon, meta: dict[str, Any]) -> Lexicon:
    """The vocabulary of a run with its words as they are written in an ARPA file: `<s>` is a mark
    there, and the word `<s>` is `\\<s>`."""
    plain = meta["whitespace"] if "whitespace" in meta else lexicon.has_plain_words()
    if plain and BEGINNING not in lexicon and END not in lexicon:
        return lexicon
    return Lexicon.of(spelled_words(lexicon))


def _as_bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else text
