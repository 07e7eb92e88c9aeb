"""Compiles the n-gram loops and keeps the code on disk, so that later runs start fast."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..scratch import temporary_folder
from ..text.lexicon import Lexicon
from ..text.vocabulary_builder import VocabularyBuilder
from ..text.word import WordTokenizer
from . import file, kenlm
from .arpa import open_to_write, write_arpa
from .documents import Lookup, sum_documents
from .estimate import estimate
from .interface import Ngrams
from .kenlm_reading import read_kenlm
from .kenlm_writing import write_kenlm
from .merging import Member, merge, union
from .settings import NgramSettings
from .storage import Storage, resident

Array = np.ndarray[Any, Any]


def warm_up() -> None:
    """Call every compiled loop with every type of array that it is used with."""
    builder = VocabularyBuilder()
    ids = builder.add("a b a c\nb a b\n" * 8)
    lexicon, renumber = builder.finish()
    ids = renumber[ids]
    with temporary_folder() as folder:
        path = folder / "model.safetensors"
        for some in (NgramSettings(interpolate=False), NgramSettings(prune_entropy=1e-3)):
            estimate(ids, len(lexicon), some)
        table = estimate(ids, len(lexicon), NgramSettings()).table
        ids.tofile(folder / "ids")
        mapped = np.memmap(folder / "ids", np.uint32, "r")
        storage = Storage(folder, resident() + (64 << 20))
        estimate(
            mapped,
            len(lexicon),
            NgramSettings(order=3, prune=(0, 1)),
            storage=storage,
            allocate=lambda offsets: file.reserve(path, offsets, lexicon, {}),
        )
        stored = file.read(path)
        for form in ("probing", "trie"):
            with (folder / form).open("wb") as out:
                write_kenlm(table, lexicon, out, trie=form == "trie")
        for asked, words in ((table, lexicon), (stored.table, stored.lexicon)):
            arpa = folder / "warm.arpa"
            with open_to_write(arpa) as out:
                write_arpa(asked, words, out)
            words.ids("a b\n")
            words.id_of(b"a")
            _ask(asked, words, ids)
        for words in (lexicon, stored.lexicon):
            tokenizer = WordTokenizer(words.words(), "whitespace", lower=False)
            sum_documents(table, tokenizer, Lookup.of(tokenizer), ["a b\n"])
        words, maps = union([lexicon, lexicon])
        merge([Member(table, ids) for ids in maps], words, [0.5, 0.5])
        _ask(*read_kenlm(folder / "probing"), ids)
        read_kenlm(folder / "trie")
        for model in (arpa, folder / "probing"):
            kenlm.Model(model).score_many(["a b"])


def _ask(model: Ngrams, words: Lexicon, ids: Array) -> None:
    for text in (ids, ids.astype(np.int64)):
        model.score(text)
        model.states(text, 0, np.empty(len(text) + 1, np.int64))
        model.advance(text, 0)
    model.score_text(b"a b\n", words)
    model.distribution(0)
    model.best(np.array([0, model.start]))
