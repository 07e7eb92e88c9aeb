"""The file of an n-gram model: mapped and not copied, open to other readers, safe when damaged."""

from __future__ import annotations

import copy
import errno
import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextword.errors import InputError
from nextword.ngram import file as files
from nextword.ngram.estimate import estimate
from nextword.ngram.settings import NgramSettings
from nextword.ngram.table import Table
from nextword.text.lexicon import Lexicon
from nextword.text.tokenizer import SPECIALS
from nextword.text.vocabulary_builder import VocabularyBuilder

Header = dict[str, Any]

TEXT = "the cat sat on the mat .\nthe dog ate the cat .\n\n中文 字 在 这里 。\nthe cat ate\n"
META = {"name": "中文", "counts": [1, 2.5, None], "inside": {"x": True}}


def model(order: int = 3) -> tuple[Table, Lexicon]:
    builder = VocabularyBuilder()
    ids = builder.add(TEXT)
    lexicon, renumber = builder.finish()
    return estimate(renumber[ids], len(lexicon), NgramSettings(order=order)).table, lexicon


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model's file."""
    place = tmp_path / "model.safetensors"
    files.write(place, *model(), META)
    return place


def parts(raw: bytes) -> tuple[Header, bytes]:
    """A file's header and what comes after it."""
    length = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def put(path: Path, header: Any, data: bytes) -> None:
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def refused(path: Path) -> bool:
    with pytest.raises(InputError, match="train") as caught:
        files.read(path)
    return "\n" not in str(caught.value) and str(path) in str(caught.value)


# ---------------------------------------------------------------- whole files


@pytest.mark.parametrize("order", [1, 2, 5])
def test_round_trip(order: int, tmp_path: Path) -> None:
    """Every array, the words and what was noted beside them come back."""
    table, lexicon = model(order)
    files.write(tmp_path / "m", table, lexicon, META)
    stored = files.read(tmp_path / "m")
    assert np.array_equal(stored.table.nodes, table.nodes)
    assert np.array_equal(stored.table.contexts, table.contexts)
    assert np.array_equal(stored.table.offsets, table.offsets)
    assert stored.lexicon.words() == lexicon.words()
    assert stored.meta == META
    assert (stored.table.order, stored.table.start) == (table.order, table.start)
    ids = lexicon.ids("the cat zebra 中文\n")
    assert np.array_equal(stored.lexicon.ids("the cat zebra 中文\n"), ids)
    assert np.array_equal(stored.table.score(ids)[0], table.score(ids)[0])


def test_random_models_round_trip(tmp_path: Path) -> None:
    """So they do for words of any length and any script."""
    draw = random.Random(0)
    for size in (2, 3, 10, 300):
        words = [*SPECIALS, *("".join(draw.choices("ab中𝄞é", k=9)) for _ in range(size - 2))]
        lexicon = Lexicon.of(words)
        ids = np.array([draw.randrange(size) for _ in range(500)] + [1], np.uint32)
        table = estimate(ids, size, NgramSettings(order=3)).table
        files.write(tmp_path / "m", table, lexicon, {})
        stored = files.read(tmp_path / "m")
        assert np.array_equal(stored.table.nodes, table.nodes)
        assert stored.lexicon.words() == words
        assert [stored.lexicon.id_of(word.encode()) for word in words] == [
            words.index(word) for word in words
        ]


def test_nothing_is_copied(path: Path) -> None:
    """The arrays are the file's own bytes, mapped for reading only."""
    stored = files.read(path)
    arrays = [stored.table.nodes, stored.table.contexts, stored.lexicon.blob, stored.lexicon.ends]
    for array in [*arrays, stored.lexicon.hash_table]:
        assert isinstance(array, np.memmap)
        assert array.filename == path
        with pytest.raises(ValueError, match="read-only"):
            array.reshape(-1)[0] = 1


def test_arrays_are_filled_in_the_file(tmp_path: Path) -> None:
    """`reserve` gives room in the file itself: what is put there is what is read."""
    table, lexicon = model()
    path = tmp_path / "m"
    nodes, contexts = files.reserve(path, table.offsets, lexicon, META)
    size = path.stat().st_size
    nodes[...], contexts[...] = table.nodes, table.contexts
    assert path.stat().st_size == size
    stored = files.read(path)
    assert np.array_equal(stored.table.nodes, table.nodes)
    assert np.array_equal(stored.table.contexts, table.contexts)
    files.write(tmp_path / "other", table, lexicon, META)
    assert path.read_bytes() == (tmp_path / "other").read_bytes()


def test_safetensors_reads_it(path: Path) -> None:
    """The library that defines the format finds the same arrays and the same notes."""
    from safetensors import safe_open
    from safetensors.numpy import load_file

    stored = files.read(path)
    found = load_file(path)
    assert found.keys() == {
        "offsets", "words.ends", "words.table", "words.blob", "nodes", "contexts",
    }  # fmt: skip
    mine = {
        "offsets": stored.table.offsets,
        "nodes": stored.table.nodes,
        "contexts": stored.table.contexts,
        "words.ends": stored.lexicon.ends,
        "words.table": stored.lexicon.hash_table,
        "words.blob": stored.lexicon.blob,
    }
    for name, array in mine.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)
    with safe_open(path, framework="np") as file:
        assert json.loads(file.metadata()["json"]) == META


def test_arrays_lie_at_multiples_of_their_items(path: Path) -> None:
    """Mapped numbers are aligned, so that reading them is no detour (nor, elsewhere, an error)."""
    stored = files.read(path)
    lexicon = stored.lexicon
    for array in (stored.table.nodes, stored.table.contexts, lexicon.ends, lexicon.hash_table):
        assert array.ctypes.data % array.dtype.itemsize == 0


def test_two_processes_at_once(path: Path) -> None:
    """Another process opens and asks the same file while it is open here."""
    stored = files.read(path)
    code = (
        "import sys\nfrom pathlib import Path\nfrom nextword.ngram.file import read\n"
        "stored = read(Path(sys.argv[1]))\nids = stored.lexicon.ids('the cat 中文\\n')\n"
        "print(stored.table.score(ids)[0].tobytes().hex(), flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            assert process.stdout is not None
            theirs = process.stdout.readline().strip()  # it still holds the file
            ours = stored.table.score(stored.lexicon.ids("the cat 中文\n"))[0]
            again = files.read(path).table.score(stored.lexicon.ids("the cat 中文\n"))[0]
        finally:
            process.kill()
    assert theirs == ours.tobytes().hex() == again.tobytes().hex()


# ---------------------------------------------------------------- the disk


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EIO])
def test_full_disk(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The room is asked for before anything is put there; the error names the file."""
    asked: list[int] = []

    def refuse(file: int, start: int, length: int) -> None:
        asked.append(start + length)
        raise OSError(number, os.strerror(number))

    table, lexicon = model()
    files.write(tmp_path / "whole", table, lexicon, META)
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    path = tmp_path / "model.safetensors"
    for make in (
        lambda: files.write(path, table, lexicon, META),
        lambda: files.reserve(path, table.offsets, lexicon, META),
    ):
        with pytest.raises(OSError, match="model") as caught:
            make()
        assert (caught.value.errno, caught.value.filename) == (number, str(path))
    assert asked == [(tmp_path / "whole").stat().st_size] * 2
    assert refused(path)  # what may lie there is no model


def test_a_file_larger_than_allowed(tmp_path: Path) -> None:
    """A real refusal of the system is an error too, and not a crash when the array is filled."""
    pytest.importorskip("resource")
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\nimport numpy as np\n"
        "from nextword.ngram.file import create\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n    create(Path(sys.argv[1]), {'nodes': ((100_000, 3), np.uint32)}, {})\n"
        "except OSError as error:\n    print(error.errno, error.filename)\n"
    )
    path = tmp_path / "m"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == f"{errno.EFBIG} {path}\n", done.stderr


# ---------------------------------------------------------------- damaged files


def test_missing_file(tmp_path: Path) -> None:
    """No file, or a directory under its name, means an incomplete run."""
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError, match=r"no file .* incomplete"):
            files.read(path)


@pytest.mark.parametrize("part", range(40))
def test_cut_off(part: int, path: Path) -> None:
    """Wherever a file ends too soon, it is damaged."""
    raw = path.read_bytes()
    path.write_bytes(raw[: part * len(raw) // 40])
    assert refused(path)


@pytest.mark.parametrize("bytes_", [1, 2, 4, 11, 12, 13])
def test_a_few_bytes_too_few_or_many(bytes_: int, path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:-bytes_])
    assert refused(path)
    path.write_bytes(raw + b"\0" * bytes_)
    assert refused(path)


def deep(length: int) -> bytes:
    return length.to_bytes(8, "little") + b"[" * length


JUNK = {
    "empty": b"",
    "zeros": b"\0" * 5000,
    "ones": b"\xff" * 5000,
    "text": b"not a model at all\n" * 100,
    "pickle": pickle.dumps({"nodes": np.zeros(5), "contexts": [1, 2, 3]}),
    "npy": b"\x93NUMPY\x01\0v\0{'descr': '<u4', 'fortran_order': False, 'shape': (3,), }\n",
    "header of nothing": (2).to_bytes(8, "little") + b"{}",
    "header that is a list": (4).to_bytes(8, "little") + b"[1 ]",
    "header that is a number": (4).to_bytes(8, "little") + b"1234",
    "header that is no JSON": (9).to_bytes(8, "little") + b"{'a': 1} " + b"\0" * 99,
    "header not in UTF-8": (9).to_bytes(8, "little") + b'{"\xe9\xff": 1}' + b"\0" * 99,
    "header longer than the file": (10_000).to_bytes(8, "little") + b"{}" + b" " * 500,
    "header nested deeply": deep(200_000),
    "ARPA": b"\\data\\\nngram 1=3\n\n\\1-grams:\n-1\t<s>\n-1\t</s>\n-1\ta\n\n\\end\\\n",
}


@pytest.mark.parametrize("name", JUNK)
def test_something_else(name: str, path: Path) -> None:
    """Other files under the name are damaged models, and nothing in them is run."""
    path.write_bytes(JUNK[name])
    assert refused(path)


def size_of(entry: Header) -> int:
    first, last = entry["data_offsets"]
    return int(last - first)


def moved(header: Header, name: str, by: int) -> list[int]:
    first, last = header[name]["data_offsets"]
    return [first + by, last + by]


#: What is put into the header's entry of an array.
WRONG: dict[str, tuple[str, Callable[[Header], Header]]] = {
    "fewer nodes": ("nodes", lambda h: {"shape": [h["nodes"]["shape"][0] - 1, 3]}),
    "more nodes": ("nodes", lambda h: {"shape": [h["nodes"]["shape"][0] + 1, 3]}),
    "flat": ("nodes", lambda h: {"shape": [3 * h["nodes"]["shape"][0]]}),
    "lying": ("nodes", lambda h: {"shape": h["nodes"]["shape"][::-1]}),
    "three axes": ("contexts", lambda h: {"shape": [*h["contexts"]["shape"], 1]}),
    "negative shape": ("nodes", lambda h: {"shape": [-n for n in h["nodes"]["shape"]]}),
    "huge shape": ("nodes", lambda h: {"shape": [1 << 62, 3]}),
    "shape beyond numbers": ("nodes", lambda h: {"shape": [10**30, 3]}),
    "shape of fractions": ("nodes", lambda h: {"shape": [2.5, 3]}),
    "shape of words": ("nodes", lambda h: {"shape": ["a", "b"]}),
    "no shape": ("nodes", lambda h: {"shape": None}),
    "bytes": ("nodes", lambda h: {"dtype": "U8"}),
    "bytes, as many": ("nodes", lambda h: {"dtype": "U8", "shape": [size_of(h["nodes"]) // 3, 3]}),
    "long": ("contexts", lambda h: {"dtype": "U64"}),
    "floats": ("nodes", lambda h: {"dtype": "F32"}),
    "objects": ("nodes", lambda h: {"dtype": "O"}),
    "no type": ("nodes", lambda h: {"dtype": None}),
    "signed slots": ("words.table", lambda h: {"dtype": "I64"}),
    "unsigned offsets": ("offsets", lambda h: {"dtype": "U64"}),
    "beyond the end": ("contexts", lambda h: {"data_offsets": moved(h, "contexts", 12)}),
    "before the beginning": ("nodes", lambda h: {"data_offsets": moved(h, "nodes", -(1 << 20))}),
    "within the header": ("offsets", lambda h: {"data_offsets": moved(h, "offsets", -8)}),
    "far beyond numbers": ("nodes", lambda h: {"data_offsets": moved(h, "nodes", 10**30)}),
    "one offset": ("nodes", lambda h: {"data_offsets": [0]}),
    "backwards": ("nodes", lambda h: {"data_offsets": h["nodes"]["data_offsets"][::-1]}),
    "fewer orders": (
        "offsets",
        lambda h: {"shape": [1], "data_offsets": [0, 8]},
    ),
    "no orders": ("offsets", lambda h: {"shape": [0], "data_offsets": [0, 0]}),
    "fewer words": (
        "words.ends",
        lambda h: {
            "shape": [h["words.ends"]["shape"][0] - 1],
            "data_offsets": [
                h["words.ends"]["data_offsets"][0],
                h["words.ends"]["data_offsets"][1] - 8,
            ],
        },
    ),
    "slots not a power of two": (
        "words.table",
        lambda h: {
            "shape": [h["words.table"]["shape"][0] - 1],
            "data_offsets": [
                h["words.table"]["data_offsets"][0],
                h["words.table"]["data_offsets"][1] - 8,
            ],
        },
    ),
    "shorter words": (
        "words.blob",
        lambda h: {
            "shape": [8],
            "data_offsets": [
                h["words.blob"]["data_offsets"][0],
                h["words.blob"]["data_offsets"][0] + 8,
            ],
        },
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_headers(name: str, path: Path) -> None:
    """Shapes, types and places that do not fit are found before anything is looked up there."""
    array, change = WRONG[name]
    header, data = parts(path.read_bytes())
    put(path, header, data)
    files.read(path)  # as it was, it is good
    wrong = copy.deepcopy(header)
    wrong[array] |= change(header)
    assert wrong != header
    put(path, wrong, data)
    assert refused(path)


@pytest.mark.parametrize(
    "name", ["offsets", "words.ends", "words.table", "words.blob", "nodes", "contexts"]
)
def test_missing_arrays(name: str, path: Path) -> None:
    header, data = parts(path.read_bytes())
    del header[name]
    put(path, header, data)
    assert refused(path)


def test_offsets_that_do_not_fit(path: Path) -> None:
    """Orders that begin elsewhere than the nodes say."""
    header, data = parts(path.read_bytes())
    first, last = header["offsets"]["data_offsets"]
    offsets = np.frombuffer(data[first:last], np.int64)
    for wrong in (offsets + 1, offsets[::-1], np.zeros_like(offsets), -offsets):
        put(path, header, data[:first] + wrong.tobytes() + data[last:])
        assert refused(path)


def test_a_pickle_is_never_opened(path: Path, tmp_path: Path) -> None:
    """Loading runs no code, whatever the file is called and holds."""
    witness = tmp_path / "was here"

    class Opens:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(witness),)

    path.write_bytes(pickle.dumps(Opens()))
    assert refused(path)
    assert not witness.exists()


def test_changed_headers(path: Path) -> None:
    """A header with wrong bytes is refused, or read as the model that it still describes."""
    raw = path.read_bytes()
    whole = files.read(path)
    length = int.from_bytes(raw[:8], "little")
    draw = random.Random(1)
    refusals = 0
    for _ in range(400):
        text = bytearray(raw)
        for _ in range(draw.choice([1, 2, 4])):
            text[draw.randrange(8 + length)] = draw.choice([draw.randrange(256), *b"0123456789-e"])
        path.write_bytes(text)
        try:
            stored = files.read(path)
        except InputError:
            refusals += 1
            continue
        assert stored.table.nodes.shape == whole.table.nodes.shape
        assert stored.table.contexts.shape == whole.table.contexts.shape
        assert np.array_equal(stored.table.offsets, whole.table.offsets)
    assert refusals > 100
