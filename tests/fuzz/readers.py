"""Damaged files for every reader. A kind is a function: case number's chance, empty folder → it
writes a file and has it read and used."""

from __future__ import annotations

import functools
import gzip
import io
import json
import lzma
import math
import random
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import nextword
from nextword.config import RECIPES, configure
from nextword.config.describe import describe_recipe
from nextword.errors import InputError, Interrupted, TrainingError
from nextword.experiments.ablation import _read
from nextword.experiments.series import take_directory
from nextword.files import read_tensors, write_tensors
from nextword.ngram.arpa_reading import read_arpa
from nextword.ngram.kenlm import Model
from nextword.run import WEIGHTS, read_config
from nextword.tasks import task_of
from nextword.text.input_lines import InputLines
from nextword.text.labelled import read_labelled
from nextword.text.minimal_pairs import read_minimal_pairs
from nextword.text.normalise import normalise
from nextword.text.pairs import open_pairs
from nextword.text.reader import blocks, hold_out, lines, open_texts
from nextword.text.tagged import read_tagged
from nextword.text.tokenizer import load_tokenizer
from nextword.text.vectors import read_vectors
from nextword.text.word import WordTokenizer
from nextword.training.loop.journal import read_metrics
from tests.foreign import HF, ODD, SENTENCEPIECE, file_of

from .forked import Case, described
from .odd import NUMBERS, TEXTS, VALUES, damaged, odd_json

RUNS = Path(__file__).parent.parent / "fixtures" / "earlier_runs"
NEURAL = ("lstm", "transformer-lm", "irnn-windows", "bert", "classifier", "tagger", "seq2seq")
TOKENIZERS = ("word", "char", "byte", "bpe", "wordpiece")
TEXT = "the cat sat on the mat .\nthe dog ate , 中文 the cat .\n"

Kind = Callable[[random.Random, Path], object]
KINDS: dict[str, Kind] = {}
ALLOWED = (InputError, TrainingError, Interrupted)


def kind(function: Kind) -> Kind:
    KINDS[function.__name__.strip("_").replace("_", "-")] = function
    return function


def one_line(error: Exception) -> None:
    assert "\n" not in str(error)


def case_of(name: str, seed: int = 0) -> Case:
    """The cases of a kind by number."""
    warm()

    def case(number: int, folder: Path) -> str | None:
        try:
            KINDS[name](random.Random(f"{seed} {name} {number}"), folder)
        except ALLOWED as error:
            message = str(error)
            long = len(message) > 2000 or "\n" in message.strip()
            return f"not one line: {message[:300]!r}" if long else None
        except OSError as error:  # the command line makes one line of it
            return None if error.filename else described(error)
        return None

    return case


def copied(name: str, folder: Path) -> Path:
    """A copy of a run whose files may be replaced, not changed."""
    return Path(shutil.copytree(RUNS / name, folder / name, copy_function=_link))


def _link(source: str, target: str) -> None:
    Path(target).symlink_to(source)


def replace(path: Path, data: bytes) -> Path:
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return path


@functools.cache
def original(path: str) -> bytes:
    return (RUNS / path).read_bytes()


def use(run: nextword.Run) -> None:
    """What a user would do with a run: a line or two."""
    task = task_of(run.config)
    data = ["the cat sat", "", "中文 the"]
    try:
        for line in task.score_lines(run, [f"{text}\tthe cat" for text in data]):
            line.as_dict()
    except InputError:  # not every run scores
        pass
    if task.name == "text":
        nextword.generate(run, "the", tokens=2, seed=1)


# ------------------------------------------------------------------------------------ runs


@kind
def config_json(draw: random.Random, folder: Path) -> None:
    name = draw.choice([*NEURAL, "ngram", "mixture"])
    run = copied(name, folder)
    replace(run / "config.json", odd_json(json.loads(original(f"{name}/config.json")), draw))
    use(nextword.load(run))


@functools.cache
def tokenizer_of(name: str) -> dict[str, Any]:
    from nextword.config import TextConfig
    from nextword.text.tokenizer import train_tokenizer

    size = 300 if name == "bpe" else 30
    return dict(
        json.loads(
            train_tokenizer([TEXT * 9], TextConfig(tokenizer=name, vocab_size=size)).to_json()
        )
    )


@kind
def tokenizer_json(draw: random.Random, folder: Path) -> None:
    path = replace(folder / "tokenizer.json", odd_json(tokenizer_of(draw.choice(TOKENIZERS)), draw))
    tokenizer = load_tokenizer(path)
    for text in (TEXT, draw.choice(TEXTS).encode("utf-8", "replace").decode()):
        ids = tokenizer.encode(text)
        assert all(0 <= index < tokenizer.vocab_size for index in ids)
        tokenizer.decode(ids)
        tokenizer.unknown(text)
        tokenizer.known("cat")
    [tokenizer.token(index) for index in range(min(9, tokenizer.vocab_size))]
    assert len(tokenizer.fingerprint) == 8


@kind
def foreign_tokenizer(draw: random.Random, folder: Path) -> None:
    """A file of another library, before and after it is in a run."""
    from nextword.config import TextConfig
    from nextword.text.tokenizer import restore_tokenizer, train_tokenizer

    name = draw.choice([*HF, *SENTENCEPIECE])
    setting, path = file_of(name, folder)
    if name in HF and draw.random() < 0.7:
        replace(path, odd_json(json.loads(path.read_bytes()), draw))
    else:
        replace(path, damaged(path.read_bytes(), draw))
    try:
        tokenizer = train_tokenizer([], TextConfig(tokenizer=setting))
    except InputError as error:
        one_line(error)
        return
    for text in (TEXT, ODD, draw.choice(TEXTS).encode("utf-8", "replace").decode()):
        ids, spans = tokenizer.encode_with_spans(text)
        assert ids == tokenizer.encode(text) and len(spans) == len(ids)
        assert all(0 <= index < tokenizer.vocab_size for index in ids)
        tokenizer.decode(ids)
        tokenizer.unknown(text)
        tokenizer.known("cat")
    [tokenizer.token(index) for index in range(min(9, tokenizer.vocab_size))]
    assert restore_tokenizer(json.loads(tokenizer.to_json())).encode(TEXT) == tokenizer.encode(TEXT)


@kind
def id_file(draw: random.Random, folder: Path) -> None:
    """Ids as numbers in a text, as .npy and as .bin."""
    from nextword.text.corpus import prepare
    from nextword.text.ids import IdsTokenizer

    ids = np.array([draw.randrange(50) for _ in range(draw.choice([0, 3, 200]))], np.uint16)
    form = draw.choice(["a.txt", "a.npy", "a.bin", "a.uint32.bin"])
    made = io.BytesIO()
    if form == "a.npy":
        np.save(made, ids.astype(draw.choice(["u2", "u4", "u4", "i8", "f4", ">u2", "S3"])))
    elif form == "a.txt":
        blanks = [" ", "  ", "\t", "\n"]
        made.write("".join(f"{index}{draw.choice(blanks)}" for index in ids).encode())
    else:
        made.write(ids.astype("<u4" if "32" in form else "<u2").tobytes())
    good = made.getvalue()
    path = replace(folder / form, damaged(good, draw) if draw.random() < 0.7 else good)
    tokenizer = IdsTokenizer(draw.choice([53, 60_000, 1 << 24]), draw.choice([None, 3]))
    try:
        corpus = prepare(open_texts([path]), tokenizer, folder / "ids")
    except InputError as error:
        one_line(error)
        return
    assert all(0 < index < tokenizer.vocab_size for index in corpus.ids.tolist())


def odd_safetensors(data: bytes, draw: random.Random) -> bytes:
    """Damage in the header, in the numbers, or anywhere."""
    length = int.from_bytes(data[:8], "little")
    what = draw.randrange(4)
    if what == 0:
        header = odd_json(json.loads(data[8 : 8 + length]), draw)
        size = len(header) if draw.random() < 0.8 else draw.choice([0, 1, 2**31, 2**63, 10**9])
        return size.to_bytes(8, "little") + header + data[8 + length :]
    if what == 1:
        numbers = bytearray(data)
        for _ in range(draw.choice([1, 4, 40])):
            at = draw.randrange(8 + length, len(data))
            numbers[at] = draw.randrange(256)
        return bytes(numbers)
    return damaged(data, draw) if what == 2 else damaged(data[: 8 + length], draw) + data[8:]


@kind
def weights_safetensors(draw: random.Random, folder: Path) -> None:
    name = draw.choice(NEURAL)
    run = copied(name, folder)
    replace(run / WEIGHTS, odd_safetensors(original(f"{name}/{WEIGHTS}"), draw))
    use(nextword.load(run))


@kind
def table_safetensors(draw: random.Random, folder: Path) -> None:
    run = copied("ngram", folder)
    replace(run / WEIGHTS, odd_safetensors(original(f"ngram/{WEIGHTS}"), draw))
    use(nextword.load(run))


@kind
def state_safetensors(draw: random.Random, folder: Path) -> None:
    name = draw.choice(["lstm", "lstm", "awd-lstm", "seq2seq", "classifier", "irnn-windows"])
    run = copied(name, folder)
    for path in run.rglob("*"):  # a resumed training writes into its run
        if path.is_symlink():
            replace(path, path.read_bytes())
    path = run / "state.safetensors"
    if draw.random() < 0.4:
        replace(path, odd_safetensors(path.read_bytes(), draw))
    else:
        tensors, meta = read_tensors(path)
        where = draw.choice(list(tensors))
        what = draw.randrange(4)
        if what == 0:
            del tensors[where]
        elif what == 1:
            tensors[draw.choice([where, where + ".x", "optimizer.0.x"])] = torch.randn(
                draw.choice([(), (0,), (3,), (2, 2), (1, 1, 1)])
            )
        elif what == 2:
            tensors[where] = tensors[where].to(draw.choice([torch.int64, torch.float64]))
        else:
            try:
                meta = json.loads(odd_json(meta, draw))
            except (ValueError, RecursionError):
                meta = {}
        path.unlink()
        write_tensors(path, tensors, meta)
    nextword.resume(run, overrides={"train.epochs": 2}, quiet=True)


@kind
def metrics_jsonl(draw: random.Random, folder: Path) -> None:
    good = original(f"{draw.choice(NEURAL)}/metrics.jsonl")
    if draw.random() < 0.5:
        good = b"\n".join(odd_json(json.loads(line), draw) for line in good.splitlines())
    replace(folder / "metrics.jsonl", damaged(good, draw))
    for record in read_metrics(folder):
        assert all(math.isfinite(float(value)) for value in record.values())


@kind
def ids_and_meta(draw: random.Random, folder: Path) -> None:
    """The prepared texts of a run that a training goes on with."""
    name = draw.choice(["lstm", "irnn-windows", "bert", "seq2seq", "classifier", "tagger"])
    run = copied(name, folder)
    for path in run.rglob("*"):
        if path.is_symlink():
            replace(path, path.read_bytes())
    path = draw.choice([p for p in sorted((run / "data").rglob("*")) if p.is_file()])
    good = path.read_bytes()
    is_json = path.suffix == ".json"
    replace(path, odd_json(json.loads(good), draw) if is_json else damaged(good, draw))
    task = task_of(read_config(run))
    if draw.random() < 0.7:
        opened = task.corpus(run / "data" / "train")
        opened.check(run, 1000, 1000)
        return
    nextword.resume(run, overrides={"train.epochs": 2}, quiet=True)


@kind
def series_json(draw: random.Random, folder: Path) -> None:
    """What a directory of several trainings holds."""
    settings = {"config": read_config(RUNS / "lstm").dump(), "train": [["a.txt", 3]]}
    replace(folder / "settings.json", odd_json(settings, draw))
    row = {"row": "full", "valid_perplexity": 3.0, "test_perplexity": None, "parameters": 3}
    rows = [row | {"paper_test_ptb": 1.0, "paper_test_wt2": 2.0, "seconds": 1.0}]
    replace(folder / "ablation.json", odd_json(rows, draw))
    for read in (lambda: take_directory(folder, settings, "trainings"), lambda: _read(folder)):
        try:
            read()
        except InputError as error:
            one_line(error)


# ------------------------------------------------------------------------------------ n-grams


@functools.cache
def arpa() -> bytes:
    """A small model with every kind of line."""
    from nextword.ngram.arpa import write_arpa
    from nextword.text.lexicon import Lexicon

    run = nextword.load(RUNS / "ngram")
    words = [run.tokenizer.token(index) for index in range(run.tokenizer.vocab_size)]
    out = io.BytesIO()
    write_arpa(run.model.table, Lexicon.of(words), out)  # type: ignore[attr-defined]
    whole = out.getvalue().splitlines(keepends=True)
    if len(whole) < 400:
        return out.getvalue()
    return SMALL


SMALL = b"""\\data\\
ngram 1=5
ngram 2=4
ngram 3=1

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.3
-1.1\t</s>
-0.6\tthe\t-0.2
-0.7\tcat\t-0.1

\\2-grams:
-0.3\t<s> the\t-0.1
-0.4\tthe cat\t-0.05
-0.5\tcat </s>
-0.9\tcat the

\\3-grams:
-0.2\t<s> the cat

\\end\\
"""


@kind
def arpa_file(draw: random.Random, folder: Path) -> None:
    data = damaged(SMALL if draw.random() < 0.8 else arpa(), draw)
    suffix = draw.choice([".arpa", ".arpa", ".arpa", ".arpa.gz", ".arpa.xz"])
    if suffix.endswith("gz"):
        data = damaged_archive(gzip.compress(data), draw)
    elif suffix.endswith("xz"):
        data = damaged_archive(lzma.compress(data), draw)
    path = replace(folder / f"model{suffix}", data)
    table, lexicon = read_arpa(path)
    assert len(lexicon) == table.vocab_size
    use(nextword.load(path))


def damaged_archive(data: bytes, draw: random.Random) -> bytes:
    return damaged(data, draw) if draw.random() < 0.5 else data


KENLM = Path(__file__).parents[1] / "fixtures" / "kenlm"


def odd_numbers(data: bytes, draw: random.Random) -> bytes:
    """One to four places of the first bytes, where the counts and sizes are, with other numbers."""
    numbers = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 4])):
        at = draw.choice([draw.randrange(88, 160), draw.randrange(len(numbers) - 8)])
        width = draw.choice([1, 4, 8])
        value = draw.choice([0, 1, 255, 1 << 31, (1 << 64) - 1, draw.getrandbits(64)])
        numbers[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
    return bytes(numbers)


@kind
def kenlm_binary(draw: random.Random, folder: Path) -> None:
    """Hash tables and tries of KenLM, quantised and compressed too."""
    good = draw.choice(sorted(KENLM.glob("*.bin"))).read_bytes()
    data = damaged(good, draw) if draw.random() < 0.5 else odd_numbers(good, draw)
    path = replace(folder / draw.choice(["model.bin", "model.arpa", "model"]), data)
    use(nextword.load(path))
    model = Model(str(path))
    list(model.full_scores("the king <s> of 我 </s> the"))


@kind
def kenlm_class(draw: random.Random, folder: Path) -> None:
    path = replace(folder / "model.arpa", damaged(SMALL, draw))
    try:
        model = Model(str(path))
    except OSError as error:  # as the class of KenLM
        one_line(error)
        return
    sentence = draw.choice(TEXTS).encode("utf-8", "replace").decode()
    model.score(sentence, bos=draw.random() < 0.5, eos=draw.random() < 0.5)
    list(model.full_scores(sentence))
    model.perplexity(sentence or "the")


# ------------------------------------------------------------------------------------ texts


def odd_text(good: bytes, draw: random.Random) -> bytes:
    data = damaged(good, draw)
    if draw.random() < 0.2:
        data = draw.choice([data.decode("latin-1").encode("utf-16"), gzip.compress(data), data * 3])
    return data


@kind
def text_file(draw: random.Random, folder: Path) -> None:
    path = folder / draw.choice(["a.txt", "a.gz", "a", "a.xz", "a b.txt", "a.txt.bz2"])
    replace(path, odd_text(original("train.txt")[: draw.choice([9, 500, 3000])], draw))
    spans = open_texts([path])
    for text, _ in blocks(spans, size=draw.choice([1, 7, 64, 1 << 20])):
        assert "\x00" not in text
    hold_out(spans, 0.05)
    list(lines(path))


@kind
def standard_input(draw: random.Random, folder: Path) -> None:
    data = odd_text(original("train.txt")[:2000], draw)
    for line in InputLines(io.BytesIO(data), lambda: None):
        assert "\n" not in line


@kind
def pairs_text(draw: random.Random, folder: Path) -> None:
    good = original("pairs.tsv")[:2000]
    path = replace(folder / "pairs.tsv", odd_text(good, draw))
    other = replace(folder / "other.tsv", odd_text(good, draw))
    for files in (open_pairs([path]), open_pairs([path], [other])):
        for file in files:
            try:
                list(file)
            except InputError as error:
                one_line(error)


PAIRS = (
    b"good\tbad\tabout\nthe cat sits\tthe cat sit\tagreement\nno cat ever sat\ta cat ever sat\n",
    b'{"sentence_good": "the cat sat", "sentence_bad": "the cat sit", "UID": "a"}\n' * 3,
)


@kind
def minimal_pairs(draw: random.Random, folder: Path) -> None:
    original = draw.choice(PAIRS)
    path = replace(folder / "a.pairs", odd_text(original, draw))
    for how in ("tokenised", "nfkc", "ccnet"):
        for pair in read_minimal_pairs(path):
            normalise(pair.good, how)


@kind
def labelled_text(draw: random.Random, folder: Path) -> None:
    path = replace(folder / "a.tsv", odd_text(original("labelled.tsv")[:2000], draw))
    list(read_labelled(path, draw.choice([0, 1, 2])))


@kind
def tagged_text(draw: random.Random, folder: Path) -> None:
    path = replace(folder / "a.tsv", odd_text(original("tagged.tsv")[:2000], draw))
    list(read_tagged(path))


@kind
def documents(draw: random.Random, folder: Path) -> None:
    """Files of documents, which are filtered."""
    kind = draw.choice(["txt", "jsonl", "jsonl", "parquet"])
    path = folder / f"a.{kind}"
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"n": [1, 2, 3], "text": ["the cat", None, TEXT]}), path)
        replace(path, damaged(path.read_bytes(), draw))
    else:
        rows = [odd_json({"text": draw.choice(TEXTS), "n": 1}, draw) for _ in range(20)]
        good = b"\n".join(rows) if kind == "jsonl" else TEXT.encode() * 9
        replace(path, odd_text(good, draw))
    buckets = draw.choice([[], [50.0]])
    skip = draw.choice(["skip", "skip", "stop"])
    run = nextword.load(RUNS / "ngram")
    nextword.filter(run, path, folder / "out", buckets=buckets, on_error=skip, quiet=True)


WORDS = WordTokenizer(["<unk>", "<eos>", "the", "cat", "sat", "New York"], "whitespace", False)


@kind
def vectors_file(draw: random.Random, folder: Path) -> None:
    """Word vectors as text and in word2vec's binary form."""
    words = ["the", "cat", "sat", "New York", "中文", "dog"]
    head = f"{len(words)} 4\n".encode()
    if draw.random() < 0.4:
        rows = [word.encode() + b" " + struct.pack("<4f", 1, 2, 3, 4) + b"\n" for word in words]
    else:
        numbers = " ".join(f"{draw.gauss(0, 1):.3f}" for _ in range(4))
        rows = [f"{word} {numbers}\n".encode() for word in words]
        head = head if draw.random() < 0.5 else b""
    data = damaged(head + b"".join(rows), draw)
    if draw.random() < 0.3:
        data = damaged_archive(gzip.compress(data), draw)
    found = read_vectors(replace(folder / "a.vec", data), WORDS)
    assert len(found.ids) == len(found.vectors)


# ------------------------------------------------------------------------------------ others


@functools.cache
def hub_files() -> dict[str, bytes]:
    from nextword import hub

    run = nextword.load(RUNS / "bert")
    with tempfile.TemporaryDirectory() as name:
        hub.save(Path(name), run.model, run.config, run.tokenizer)  # type: ignore[arg-type]
        return {path.name: path.read_bytes() for path in Path(name).iterdir()}


@kind
def hub_folder(draw: random.Random, folder: Path) -> None:
    files = dict(hub_files())
    if draw.random() < 0.3:  # the other form of a vocabulary
        words = files.pop("vocab.txt").decode().splitlines()
        vocabulary = {word: index for index, word in enumerate(words)}
        model = {"type": "WordPiece", "vocab": vocabulary}
        tables = {"model": model, "normalizer": {"lowercase": True}}
        files["tokenizer.json"] = json.dumps(tables).encode()
    name = draw.choice(list(files))
    if draw.random() < 0.1:
        files[draw.choice(["pytorch_model.bin", "x", "vocab.txt"])] = files.pop(name)
    elif name.endswith(".json"):
        files[name] = odd_json(json.loads(files[name]), draw)
    else:
        odd = odd_safetensors if name.endswith("safetensors") else damaged
        files[name] = odd(files[name], draw)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    use(nextword.load(folder))


@functools.cache
def recipes() -> list[bytes]:
    return [path.read_bytes() for path in sorted(RECIPES.glob("*.toml"))]


@kind
def recipe_toml(draw: random.Random, folder: Path) -> None:
    path = replace(folder / "own.toml", damaged(draw.choice(recipes()), draw))
    configure(str(path))
    describe_recipe(str(path))


@kind
def settings(draw: random.Random, folder: Path) -> None:
    """`--set` and the overrides of functions, for every key of every recipe."""
    recipe = draw.choice(["lstm", "ngram", "transformer", "bert", "classifier", "ulmfit", "gru"])
    keys = [one.key for table in _described(recipe).values() for one in table]
    changes: dict[str, Any] = {}
    for _ in range(draw.choice([1, 1, 2, 4])):
        key = draw.choice([*keys, draw.choice(TEXTS), draw.choice(keys) + ".x", "model", "."])
        changes[key] = draw.choice([*VALUES, *NUMBERS, *TEXTS])
    if draw.random() < 0.5:
        configure(recipe, changes)
    else:
        configure(recipe, [f"{key}={value}" for key, value in changes.items()])


@functools.cache
def _described(recipe: str) -> Any:
    return describe_recipe(recipe)


@functools.cache
def warm() -> None:
    """Import and compile what the cases need, before processes are forked."""
    for name in (*NEURAL, "ngram"):
        use(nextword.load(RUNS / name))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.arpa"
        path.write_bytes(SMALL)
        use(nextword.load(path))
        Model(str(path)).score("the cat")
    for path in KENLM.glob("*.bin"):
        use(nextword.load(path))
