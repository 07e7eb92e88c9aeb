"""WordPiece, the tokenizer of BERT: pieces of words (Wu et al. 2016, arXiv:1609.08144, section 4.1;
Devlin et al. 2019, arXiv:1810.04805, section 3)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from .by_line import joined, joined_spans
from .sentences import places, split_sentences
from .tokenizer import EOS, SPECIALS, UNK, Span, Tokenizer, cut_long_words

if TYPE_CHECKING:
    from ..config import TextConfig

CLS, MASK, PAD = 2, 3, 4
_LETTERS = 12_000  # the most single characters that become pieces, Chinese ones included
#: The first ids, in this order. `[SEP]` is also `<eos>`.
MARKS = ("[UNK]", "[SEP]", "[CLS]", "[MASK]", "[PAD]")


class WordPieceTokenizer(Tokenizer):
    """Cuts a word into the longest piece of the vocabulary that it begins with, then the longest
    piece that continues it (`##…`), and so on. A word that cannot be cut so is unknown. Punctuation
    marks and Chinese characters are words of their own.

    With `sentences`, `<eos>` follows every sentence, not only every line.
    """

    name: ClassVar[str] = "wordpiece"
    learns_pieces: ClassVar[bool] = True
    ends_sentences: ClassVar[bool] = True

    def __init__(
        self,
        vocabulary: list[str],
        lower: bool,
        sentences: bool = False,
        strip_accents: bool | None = None,
    ) -> None:
        """Make a tokenizer; `strip_accents` = None removes accents if `lower`, as BERT does.

        Raises:
            ValueError: the vocabulary does not begin with `MARKS`.
        """
        if tuple(vocabulary[: len(MARKS)]) != MARKS:
            raise ValueError(f"the vocabulary does not begin with {' '.join(MARKS)}")
        self.vocabulary = vocabulary
        self.lower = lower
        self.sentences = sentences
        self.strip_accents = strip_accents
        ids = {token: index for index, token in enumerate(vocabulary)}
        self.backend = _backend(models.WordPiece(ids, unk_token=MARKS[UNK]), lower, strip_accents)

    @classmethod
    def train(cls, texts: Iterable[str], config: TextConfig) -> Self:
        empty = models.WordPiece(unk_token=MARKS[UNK])
        learner = _backend(empty, config.lower, config.strip_accents)
        words = _count_words(texts, learner)
        # Single characters get their ids here: the trainer's order differs from run to run.
        letters = Counter[str]()
        for word, count in words.items():
            letters.update(
                {f"##{letter}" if at else letter: count for at, letter in enumerate(word)}
            )
        alphabet = sorted(letters, key=lambda letter: (-letters[letter], letter))[:_LETTERS]
        trainer = trainers.WordPieceTrainer(
            vocab_size=config.limit() or 30_000,
            min_frequency=max(2, config.min_count),
            special_tokens=[*MARKS, *alphabet],
            limit_alphabet=_LETTERS,
            show_progress=False,
        )
        learner.train_from_iterator((f"{word} " * words[word] for word in sorted(words)), trainer)
        learnt: dict[str, int] = json.loads(learner.to_str())["model"]["vocab"]
        ranked = sorted(learnt, key=lambda token: learnt[token])
        return cls(ranked, config.lower, config.sentences, config.strip_accents)

    @classmethod
    def of_hub(
        cls, tokens: Sequence[str], lower: bool, strip_accents: bool | None = None
    ) -> tuple[Self, list[int]]:
        """Make a tokenizer from a vocabulary in the order of the Hugging Face hub.

        Returns:
            The tokenizer, and for each of its ids the id in the hub's order.

        Raises:
            ValueError: a mark is missing, or a token occurs twice.
        """
        places = {token: index for index, token in enumerate(tokens)}
        if len(places) < len(tokens):
            raise ValueError("the vocabulary has a token twice")
        if missing := [mark for mark in MARKS if mark not in places]:
            raise ValueError(f"the vocabulary has no {missing[0]}")
        order = [places[mark] for mark in MARKS]
        order += [index for index, token in enumerate(tokens) if token not in MARKS]
        vocabulary = [tokens[index] for index in order]
        return cls(vocabulary, lower, strip_accents=strip_accents), order

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    def encode(self, text: str) -> list[int]:
        text = text.replace(SPECIALS[UNK], MARKS[UNK])  # word-level corpora contain `<unk>`
        lines = (split_sentences(text) if self.sentences else text).split("\n")
        return joined(line.ids for line in self.backend.encode_batch_fast(lines))

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        marked = text.replace(SPECIALS[UNK], MARKS[UNK])  # of the same length
        divided = split_sentences(marked) if self.sentences else marked
        starts = places(marked, divided)
        ends = [place + 1 for place in starts]
        lines = divided.split("\n")
        encoded = self.backend.encode_batch(lines)
        spans = joined_spans(text, lines, (line.offsets for line in encoded), starts, ends)
        return joined(line.ids for line in encoded), spans

    def continues_word(self, index: int, before: int) -> bool:
        return self.vocabulary[index].startswith("##")

    def with_marks(self) -> Self:
        return self

    def decode(self, ids: Iterable[int]) -> str:
        """The words with single spaces between them; the spacing of the text is not kept in ids."""
        written: list[str] = []
        begins = True  # a line
        for index in ids:
            piece = "\n" if index == EOS else self.vocabulary[index]
            if begins or index == EOS:
                written.append(piece)
            else:
                written.append(piece[2:] if piece.startswith("##") else f" {piece}")
            begins = index == EOS
        return "".join(written)

    def token(self, index: int) -> str:
        return SPECIALS[index] if index < len(SPECIALS) else self.vocabulary[index]

    def unknown(self, text: str) -> list[str]:
        text = text.replace(SPECIALS[UNK], MARKS[UNK])
        encoded = self.backend.encode(text)
        places = zip(encoded.ids, encoded.offsets, strict=True)
        pieces = [text[start:stop] for index, (start, stop) in places if index == UNK]
        return [piece for piece in pieces if piece != MARKS[UNK]]

    def known(self, word: str) -> int | None:
        ids = self.backend.encode(word).ids
        return int(ids[0]) if len(ids) == 1 and ids[0] != UNK else None

    def settings(self) -> dict[str, Any]:
        accents = {} if self.strip_accents is None else {"strip_accents": self.strip_accents}
        how = {"lower": self.lower, "sentences": self.sentences} | accents
        return how | {"vocabulary": self.vocabulary}

    @classmethod
    def restore(cls, settings: dict[str, Any]) -> Self:
        return cls(
            settings["vocabulary"],
            settings["lower"],
            settings["sentences"],
            settings.get("strip_accents"),
        )


def _count_words(texts: Iterable[str], backend: Backend) -> Counter[str]:
    """How often each word occurs, the words being those that the tokenizer cuts into pieces.
    Those of more than 1,000 characters are cut, see `BPETokenizer`."""
    words = Counter[str]()
    for text in texts:
        for line in text.replace(SPECIALS[UNK], " ").split("\n"):
            normal = backend.normalizer.normalize_str(line)
            for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal):
                words.update(cut_long_words(word))
    return words


def _backend(model: models.Model, lower: bool, strip_accents: bool | None) -> Backend:
    backend = Backend(model)
    backend.normalizer = normalizers.BertNormalizer(lowercase=lower, strip_accents=strip_accents)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens([AddedToken(MARKS[UNK], normalized=False)])
    backend.decoder = decoders.WordPiece(cleanup=False)
    return backend
