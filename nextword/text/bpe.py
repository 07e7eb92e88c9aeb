"""Byte-level byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909, section 3.2; on bytes as
in GPT-2, Radford et al. 2019, section 2.2)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, trainers

from ..errors import InputError
from .by_line import joined, joined_spans
from .folding import Folding
from .tokenizer import EOS, SPECIALS, Span, Tokenizer, cut_long_words

if TYPE_CHECKING:
    from ..config import TextConfig

_SMALLEST = len(SPECIALS) + 256


class BPETokenizer(Tokenizer):
    """Splits words into pieces that are learnt from the training text.

    Words of more than 1,000 characters (text without spaces) are cut while pieces are learnt, which
    would take time that grows with the square of their length; `encode` never cuts them.

    The 256 bytes are tokens too, so every text can be encoded, Chinese included, and `decode` gives
    back exactly the text that `encode` got (in lower case with `lower`).
    """

    name: ClassVar[str] = "bpe"
    learns_pieces: ClassVar[bool] = True

    def __init__(self, backend: Backend, lower: bool, strip_accents: bool = False) -> None:
        self.backend = backend
        self.fold = Folding(lower, strip_accents)

    @classmethod
    def train(cls, texts: Iterable[str], config: TextConfig) -> Self:
        size = config.limit() or 32000
        if size < _SMALLEST:
            raise InputError(
                f"text.vocab_size = {size} is too small for bpe, which starts from the 256 bytes; "
                f"give {_SMALLEST} or more, or text.tokenizer=char"
            )
        learner = _backend(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=max(2, config.min_count),
            special_tokens=list(SPECIALS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )

        fold = Folding.of(config)

        def lines() -> Iterator[str]:
            for text in texts:
                for line in fold(text).split("\n"):
                    yield from cut_long_words(line)

        learner.train_from_iterator(lines(), trainer)
        # Rebuilt without "added tokens": the characters "<eos>" in a text must stay characters.
        learnt = json.loads(learner.to_str())["model"]
        return cls(_assemble(learnt["vocab"], learnt["merges"]), *fold)

    @property
    def vocab_size(self) -> int:
        return int(self.backend.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        lines = self.fold(text).split("\n")
        return joined(line.ids for line in self.backend.encode_batch_fast(lines))

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        folded, starts, ends = self.fold.aligned(text)
        lines = folded.split("\n")
        encoded = self.backend.encode_batch(lines)
        spans = joined_spans(text, lines, (line.offsets for line in encoded), starts, ends)
        return joined(line.ids for line in encoded), spans

    def word_boundaries(self) -> list[int]:
        spaced = (i for i in range(self.vocab_size) if self.token(i)[:1].isspace())
        return [EOS, *spaced]

    def decode(self, ids: Iterable[int]) -> str:
        lines: list[list[int]] = [[]]
        for index in ids:
            if index == EOS:
                lines.append([])
            else:
                lines[-1].append(index)
        return "\n".join(self.backend.decode_batch(lines, skip_special_tokens=False))

    def token(self, index: int) -> str:
        if index < len(SPECIALS):
            return SPECIALS[index]
        return str(self.backend.decode([index], skip_special_tokens=False))

    def known(self, word: str) -> int | None:
        # Inside a text a word has a space before it, and byte-level BPE keeps it in the token.
        ids = self.backend.encode(" " + word).ids
        return int(ids[0]) if len(ids) == 1 else None

    def settings(self) -> dict[str, Any]:
        model = json.loads(self.backend.to_str())["model"]
        return self.fold.settings() | {"vocab": model["vocab"], "merges": model["merges"]}

    @classmethod
    def restore(cls, settings: dict[str, Any]) -> Self:
        backend = _assemble(settings["vocab"], settings["merges"])
        return cls(backend, settings["lower"], settings.get("strip_accents", False))


def _backend(model: models.Model) -> Backend:
    backend = Backend(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return backend


def _assemble(vocabulary: dict[str, int], merges: list[list[str]]) -> Backend:
    if [vocabulary.get(token) for token in SPECIALS] != [0, 1]:
        raise ValueError("the vocabulary does not begin with <unk> <eos>")
    if set(vocabulary.values()) != set(range(len(vocabulary))):
        raise ValueError("the ids are not 0, 1, 2 and so on")
    pairs = [(a, b) for a, b in merges]
    if not all({a, b, a + b} <= vocabulary.keys() for a, b in pairs):
        raise ValueError("the merges do not fit the vocabulary")
    return _backend(models.BPE(vocab=vocabulary, merges=pairs))
