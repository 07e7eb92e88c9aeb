"""Compile the n-gram loops once, so that nobody waits later."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from ..text.numbering import Numbering
from . import file
from .arpa import open_to_write, write_arpa
from .arpa_reading import read_arpa
from .estimate import Settings, estimate
from .storage import Storage, resident


def warm_up() -> None:
    """Call every compiled loop with every kind of array that it meets."""
    numbering = Numbering()
    ids = numbering.number("a b a c\nb a b\n" * 8)
    lexicon, renumber = numbering.finish()
    ids = renumber[ids]
    with tempfile.TemporaryDirectory(prefix="nextword-") as folder:
        path = Path(folder) / "model.safetensors"
        for settings in (Settings(), Settings(interpolate=False), Settings(prune_entropy=1e-3)):
            table = estimate(ids, len(lexicon), settings).table
        ids.tofile(Path(folder) / "ids")
        mapped = np.memmap(Path(folder) / "ids", np.uint32, "r")
        storage = Storage(Path(folder), resident() + (64 << 20))
        estimate(
            mapped,
            len(lexicon),
            Settings(order=3, prune=(0, 1)),
            storage=storage,
            make=lambda offsets: file.make_in(path, offsets, lexicon, {}),
        )
        stored = file.read(path)
        for asked, words in ((table, lexicon), (stored.table, stored.lexicon)):
            arpa = Path(folder) / "warm.arpa"
            with open_to_write(arpa) as out:
                write_arpa(asked, words, out)
            words.ids("a b\n")
            words.id_of(b"a")
            for some in (ids, ids.astype(np.int64)):
                asked.score(some)
                asked.states(some, 0, np.empty(len(some) + 1, np.int64))
                asked.advance(some, 0)
            asked.score_text(b"a b\n", words)
            asked.distribution(0)
            asked.best(np.zeros(1, np.int64))
        read_arpa(arpa)
