"""Tokenizers of the Hugging Face library, from their `tokenizer.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tokenizers import Tokenizer as Backend
from tokenizers import __version__ as library_version
from tokenizers import decoders

from ..errors import InputError, shown
from ..parsing import parse_json, read_text
from ..paths import readable
from .foreign import ForeignTokenizer, PieceMarks, Placed

if TYPE_CHECKING:
    from ..config import TextConfig

_COMPONENTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_SPARSE = 10  # ids may run to this many times the number of pieces
_LONGEST = 1000  # characters of a word that WordPiece cuts, in time of their number squared or more
_RARE = "\U0002a6d6"  # a character that few vocabularies have
_ODD = f"a\u00e9 \u4e2d{_RARE}\x07\u0378"


class HuggingFaceTokenizer(ForeignTokenizer):
    """What `tokenizers.Tokenizer.from_file` reads. The file is kept as it is.

    What the file says about truncation and padding is not followed, nor its dropout of merges:
    every line is encoded whole, and always to the same ids.
    """

    name: ClassVar[str] = "hf"

    def __init__(self, file: str) -> None:
        """Make a tokenizer from the contents of a `tokenizer.json`.

        Raises:
            ValueError: the library cannot load or use it; the message says which part.
        """
        self.file = file
        self.backend, parts = _loaded(file)
        vocabulary = self.backend.get_vocab(with_added_tokens=True)
        if not vocabulary:
            raise ValueError("it has no tokens")
        size = max(vocabulary.values()) + 1
        if size > _SPARSE * len(vocabulary):
            raise ValueError(f"it has {len(vocabulary):,} tokens, but the id {size - 1:,}")
        super().__init__(size, _unknown_of(parts["model"], vocabulary), _marks_of(parts))
        try:
            self.decode(self.encode(_ODD))
        except Exception as error:  # the library's own class
            raise ValueError(f"it cannot encode every text: {error}") from None

    @classmethod
    def train(cls, texts: Iterable[str], config: TextConfig) -> Self:
        path = Path(config.tokenizer_file)
        if not config.tokenizer_file:
            raise InputError("text.tokenizer=hf needs a file: text.tokenizer=hf:tokenizer.json")
        try:
            return cls(read_text(readable(path))).arranged({"sentences": config.sentences})
        except ValueError as error:
            why = shown(" ".join(str(error).split()), 300)
            raise InputError(f"'{path}' is no tokenizer that can be used: {why}") from None

    def recognised(self, config: TextConfig) -> list[str]:
        if self.encode(_RARE):
            return []
        return [
            "the tokenizer has no piece for unknown characters: they are left out, and the bits "
            "per byte of a text that has such characters are too few"
        ]

    def ids_of_lines(self, lines: list[str]) -> list[list[int]]:
        encoded = self.backend.encode_batch_fast(lines, add_special_tokens=False)
        return [line.ids for line in encoded]

    def spans_of_line(self, line: str) -> list[Placed]:
        encoded = self.backend.encode(line, add_special_tokens=False)
        return list(zip(encoded.ids, encoded.offsets, strict=True))

    def lines_of_ids(self, rows: list[list[int]]) -> list[str]:
        return self.backend.decode_batch(rows, skip_special_tokens=False)

    def piece(self, index: int) -> str:
        return self.backend.id_to_token(index) or f"<{index}>"  # ids may have gaps

    def settings(self) -> dict[str, Any]:
        return {"file": self.file} | self.arrangement

    @classmethod
    def restore(cls, settings: dict[str, Any]) -> Self:
        return cls(settings["file"]).arranged(settings)


def _loaded(file: str) -> tuple[Backend, dict[str, Any]]:
    """The tokenizer in the contents of a file, and these contents as tables."""
    parts = parse_json(file)
    if not isinstance(parts, dict) or not isinstance(parts.get("model"), dict):
        raise ValueError("it has no table 'model'; give the tokenizer.json of a tokenizer")
    try:
        backend = Backend.from_str(file)
    except Exception as error:  # the library's own class
        raise ValueError(_cannot_load(parts, str(error))) from None
    longest = parts["model"].get("max_input_chars_per_word", 0)
    if longest > _LONGEST:
        raise ValueError(
            f"max_input_chars_per_word = {longest:,}: longer words than {_LONGEST:,} take too long"
        )
    backend.no_truncation()
    backend.no_padding()
    if parts["model"].get("dropout"):
        backend.model.dropout = None
    if isinstance(backend.decoder, decoders.WordPiece):
        # Cleaning up changes text that is decoded already: token by token it cannot be printed.
        backend.decoder = decoders.WordPiece(prefix=backend.decoder.prefix, cleanup=False)
    return backend, parts


def _cannot_load(parts: dict[str, Any], why: str) -> str:
    """Which component of a tokenizer the library cannot load."""
    library = f"the library tokenizers {library_version} cannot load its"
    for component in _COMPONENTS:
        if isinstance(given := parts.get(component), dict):
            try:
                Backend.from_str(json.dumps(parts | {component: None}))
            except Exception:
                continue  # another component cannot be loaded
            return f"{library} {component} '{shown(given.get('type'))}'"
    return f"{library} model '{shown(parts['model'].get('type'))}' ({why})"


def _unknown_of(model: dict[str, Any], vocabulary: dict[str, int]) -> int | None:
    """The id of unknown text: a unigram model names it by its id, the others by its piece."""
    unknown = model.get("unk_id", model.get("unk_token"))
    return vocabulary.get(unknown) if isinstance(unknown, str) else unknown


def _marks_of(parts: dict[str, Any]) -> PieceMarks:
    """How pieces of words are marked."""
    before = json.dumps([parts.get("normalizer"), parts.get("pre_tokenizer")], ensure_ascii=False)
    begins = "Ġ" if '"ByteLevel"' in before else "▁" if "▁" in before else None
    model = parts["model"]
    return PieceMarks(
        begins,
        model.get("continuing_subword_prefix") or None,
        model.get("end_of_word_suffix") or None,
    )
