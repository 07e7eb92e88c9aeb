"""The text of an n-gram model: from files to ids, in memory or in a file, with its words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config
from ..errors import InputError
from ..files import write, write_text
from ..run import TOKENIZER, tokenizer_of
from ..screen import Bars
from ..tasks.text import texts_of
from ..text.corpus import lines_named
from ..text.folding import Folding
from ..text.lexicon import Lexicon
from ..text.normalise import normalise
from ..text.reader import Span, blocks
from ..text.tokenizer import EOS, SPECIALS, Tokenizer, train_tokenizer
from ..text.vocabulary_builder import VocabularyBuilder
from ..text.word import CJK_CHARACTER, RECOGNISED, WordTokenizer, beginning, guess_split

Array = np.ndarray[Any, Any]
Encode = Callable[[str], Array]

_BOUNDARIES = ("<s>", "</s>")
BLANKS = ("whitespace", "ascii")  # splits between words, which leave punctuation where it is
_WORDS_AT_A_TIME = 1 << 14  # words of a vocabulary that are written together


def encode_text(
    config: Config,
    parent: Path | None,
    spans: list[Span],
    fresh: Path,
    folder: Path | None,
    bars: Bars,
) -> tuple[Array, Lexicon, Tokenizer, list[str]]:
    """Load the tokenizer of `parent` or train one, write it into `fresh`, and encode the text:
    ids (N,) uint32 (in a file if `folder` is given), vocabulary, tokenizer (perhaps without its
    words) and notes."""
    text, size = config.text, sum(span.size for span in spans)
    sample, _ = beginning(block for block, _ in blocks(spans))
    sample = normalise(sample, text.normalise)
    split = guess_split(sample) if text.split == "auto" else text.split
    sink = _Sink(folder)
    is_plain = text.tokenizer == "word" and split in BLANKS and text.normalise == "none"
    if parent is None and is_plain:
        fold = Folding.of(text)
        tokenizer: Tokenizer = WordTokenizer(list(SPECIALS), split, *fold)
        builder = VocabularyBuilder(split == "ascii")
        advance = bars("reading", size)
        for span in spans:
            sink.end_line()
            for block in texts_of([span], advance):
                sink.add(builder.add(fold(block)))
        lexicon, renumber = builder.finish(text.limit(), text.min_count)
        ids = sink.close(renumber)
        _write_words(fresh / TOKENIZER, lexicon, tokenizer)
    else:
        tokenizer = (
            tokenizer_of(parent)
            if parent
            else train_tokenizer(texts_of(spans, bars("learning the vocabulary", size)), text, size)
        )
        write_text(fresh / TOKENIZER, tokenizer.to_json())
        lexicon = Lexicon.of(tokenizer.token(index) for index in range(tokenizer.vocab_size))
        encode = encoder(tokenizer, lexicon)
        advance = bars("encoding", size)
        with lines_named(spans, tokenizer):
            for span in spans:
                sink.end_line()
                for block in texts_of([span], advance):
                    sink.add(encode(block))
        ids = sink.close(None)
    if not len(ids) or not _any_word(ids):
        raise InputError(f"no words in '{spans[0].path}'; give a file with text in it")
    notes = _notes(config, sample, tokenizer, lexicon)
    if parent is None and text.tokenizer == "word" and text.split == "auto":
        notes.insert(0, RECOGNISED[split])
    return ids, lexicon, tokenizer, notes


def _notes(config: Config, sample: str, tokenizer: Tokenizer, lexicon: Lexicon) -> list[str]:
    """What the user should know about how the text was cut into words."""
    notes = []
    if config.text.split != "auto" and split_of(tokenizer) in BLANKS:
        if len(CJK_CHARACTER.findall(sample)) > len(sample) // 2:
            notes.append(
                "words are split at white space only, and this text has hardly any; "
                "--set text.split=words makes every Chinese character one"
            )
        elif guess_split(sample) != "whitespace":
            notes.append(
                "words are split at white space only, and punctuation stays with them; "
                "--set text.split=words separates it"
            )
    for word in _BOUNDARIES:
        if word in lexicon:
            notes.append(
                f"{word} in the text is an ordinary word; the ends of lines mark sentences"
            )
    return notes


class _Sink:
    """Collects the ids of a text in memory or in a file."""

    def __init__(self, folder: Path | None) -> None:
        self.path = folder / "ids.bin" if folder else None
        self.file = self.path.open("wb") if self.path else None
        self.parts: list[Array] = []
        self.length = 0
        self.last = EOS

    def end_line(self) -> None:
        """End the current line, so that a file without a final line end does not join the next."""
        if self.last != EOS:
            self.add(np.array([EOS], np.uint32))

    def add(self, ids: Array) -> None:
        """Append ids (N,)."""
        if not len(ids):
            return
        self.length += len(ids)
        self.last = int(ids[-1])
        if self.file:
            self.file.write(np.ascontiguousarray(ids, np.uint32).tobytes())
        else:
            self.parts.append(ids)

    def close(self, renumber: Array | None) -> Array:
        """Return all ids (N,), each replaced by `renumber[id]` if `renumber` is given."""
        if self.path is None or self.file is None:
            ids = np.concatenate(self.parts) if self.parts else np.zeros(0, np.uint32)
            self.parts = []
            return ids if renumber is None else renumber[ids]
        self.file.close()
        if not self.length:
            return np.zeros(0, np.uint32)
        if renumber is not None:
            with self.path.open("r+b") as change:
                while piece := change.read(1 << 20):
                    change.seek(-len(piece), 1)
                    change.write(renumber[np.frombuffer(piece, np.uint32)].tobytes())
        return np.memmap(self.path, np.uint32, "r", shape=(self.length,))


def _any_word(ids: Array) -> bool:
    return any(bool(np.any(ids[at : at + (1 << 20)] != EOS)) for at in range(0, len(ids), 1 << 20))


def encoder(tokenizer: Tokenizer, lexicon: Lexicon | None = None) -> Encode:
    """Return a function text → ids (N,) uint32, fast for words between white space."""
    if isinstance(tokenizer, WordTokenizer) and tokenizer.split in BLANKS:
        words = lexicon or Lexicon.of(tokenizer.vocabulary)
        fold, ascii_only = tokenizer.fold, tokenizer.split == "ascii"
        return lambda text: words.ids(fold(text), ascii_only)
    return lambda text: np.asarray(tokenizer.encode(text), np.uint32)


def _write_words(path: Path, lexicon: Lexicon, empty: Tokenizer) -> None:
    """Write the JSON of a tokenizer, which is given without its words, without holding the whole
    vocabulary in memory."""
    head = empty.to_json()
    end = "]}"
    assert head.endswith(end)

    def save(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8") as out:
            out.write(head.removesuffix(end))
            for first in range(len(SPECIALS), len(lexicon), _WORDS_AT_A_TIME):
                words = lexicon.words(first, first + _WORDS_AT_A_TIME)
                out.write(", " + json.dumps(words, ensure_ascii=False)[1:-1])
            out.write(end)

    write(path, save)


def split_of(tokenizer: Tokenizer) -> str | None:
    """Return how a tokenizer splits words; None if its tokens are no words."""
    return tokenizer.split if isinstance(tokenizer, WordTokenizer) else None
