"""Numbers beyond use or type: settings, options and arguments refuse them in one line."""

from __future__ import annotations

import gzip
import json
import math
import os
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer.main

import nextword
from nextword import bounds, registry
from nextword.cli.app import app
from nextword.config import SECTIONS, Part, Section, configure, parse_section
from nextword.diagnostics.gradients import measure_run
from nextword.errors import InputError
from nextword.evaluation.cache import Cache
from nextword.evaluation.dynamic import Dynamic
from nextword.experiments.lr_finder import range_test
from nextword.files import read_tensors, write_tensors
from nextword.generation import filters
from nextword.generation.beam import beam_search
from nextword.generation.infill import fill
from nextword.generation.masked import MaskedDecoding
from nextword.generation.sample import Sampling, search_text
from nextword.generation.translate import Decoding
from nextword.models.sizes import check_memory, free_memory, without_memory
from nextword.ngram.arpa_reading import read_arpa
from nextword.ngram.table import Table
from nextword.ngram.trie import BACKOFF, LOG_PROB
from nextword.text import reader
from nextword.training.request import Request
from tests.support import Cli, tiny

RUNS = Path(__file__).parent.parent / "fixtures" / "earlier_runs"


def schemas() -> dict[str, type[Section]]:
    """Every table of settings that there is."""
    parts = {
        f"{kind}.{name}": cls
        for kind in ("model", "objective", "optimizer", "schedule", "encoder")
        for name in registry.names(kind)
        if issubclass(cls := registry.load(kind, name), Part)
    }
    return (
        SECTIONS
        | parts
        | {c.__name__: c for c in (Sampling, Decoding, MaskedDecoding, Dynamic, Cache)}
    )


def numbers(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas of the numbers in a field's schema."""
    if schema.get("type") in ("integer", "number"):
        yield schema
    items = [schema["items"]] if "items" in schema else []
    for part in [*schema.get("anyOf", []), *items, *schema.get("prefixItems", [])]:
        yield from numbers(part)


FIELDS = [
    (where, name, field)
    for where, cls in schemas().items()
    for name, field in cls.model_json_schema()["properties"].items()
    if list(numbers(field))
]


@pytest.mark.parametrize(("where", "name", "field"), FIELDS, ids=[f"{w}.{n}" for w, n, _ in FIELDS])
def test_every_number_of_a_setting_is_bounded(where: str, name: str, field: dict[str, Any]) -> None:
    free = (where, name) == ("Dynamic", "clip")  # infinity turns it off
    for number in numbers(field):
        assert {"minimum", "exclusiveMinimum"} & number.keys()
        assert free or {"maximum", "exclusiveMaximum"} & number.keys()
    least = [n.get("minimum", n.get("exclusiveMinimum")) for n in numbers(field)]
    for value in (math.nan, -math.inf, 10**30, -(10**30), 1e308, [10**30], min(least) - 1):
        if free and value in (10**30, 1e308):
            continue
        given = {"name": where.partition(".")[2]} if "." in where else {}
        with pytest.raises(InputError) as error:
            parse_section(schemas()[where], given | {name: value}, where)
        assert "\n" not in str(error.value)


def test_no_clipping_may_be_written_as_infinity() -> None:
    assert configure("lstm", ["train.clip=inf"]).train.clip is None
    assert Dynamic(clip=math.inf).clip == math.inf


@pytest.mark.parametrize("recipe", ["lstm", "ngram", "transformer", "bert", "classifier"])
def test_settings_of_the_command_line_are_bounded(recipe: str) -> None:
    for key in ("train.seed", "train.epochs", "text.vocab_size", "optimizer.lr"):
        for value in ("nan", "inf", "-inf", "9" * 40, "1e400", "-1"):
            with pytest.raises(InputError):
                configure(recipe, [f"{key}={value}"])
    with pytest.raises(InputError):
        configure("ngram", ["model.prune=0 0 99999999999999999999"])


def options() -> Iterator[tuple[str, Any]]:
    for verb, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for parameter in command.params:
            yield verb, parameter


def is_number(parameter: Any) -> bool:
    return parameter.type_descriptor.annotation in (int, float)


def test_every_number_of_the_command_line_is_bounded() -> None:
    seen = 0
    for verb, parameter in options():
        if is_number(parameter):
            seen += 1
            assert parameter.max is not None, (verb, parameter.name)
            assert parameter.min is not None or parameter.name in ("low", "high")
    assert seen > 15


RUN = {
    "generate": ("lstm", []),
    "translate": ("seq2seq", [str(RUNS / "pairs.tsv"), "--sample"]),
    "evaluate": ("seq2seq", ["--data", str(RUNS / "pairs.tsv")]),
    "compare": ("seq2seq", ["--data", str(RUNS / "pairs.tsv")]),
    "fill": ("bert", ["a [MASK]"]),
    "inspect": ("lstm", ["gradients", "--out", "x.png"]),
}


@pytest.mark.parametrize("verb", RUN)
def test_options_beyond_their_bounds_get_one_line(verb: str, cli: Cli) -> None:
    run, more = RUN[verb]
    for name, parameter in options():
        if name != verb or not is_number(parameter):
            continue
        for value in ("nan", "inf", "-1e400", "9" * 30, "-7", "1e300"):
            status, out, err = cli(verb, RUNS / run, *more, parameter.opts[0], value)
            assert status == 2 and not out, (parameter.opts[0], value)
            assert len(err.splitlines()) == 1 and err.startswith("nextword: ")


def request() -> Request:
    return Request.of("lstm", RUNS / "train.txt", overrides=["model.hidden=8", "train.epochs=1"])


def opened(name: str = "lstm") -> nextword.Run:
    return nextword.load(RUNS / name)


ARGUMENTS: dict[str, Callable[[Any], object]] = {
    "tokens": lambda n: nextword.generate(opened(), tokens=n),
    "seed": lambda n: nextword.generate(opened(), tokens=1, seed=n),
    "seeds": lambda n: nextword.train_seeds("lstm", RUNS / "train.txt", "x", seeds=n),
    "beam": lambda n: search_text(opened(), tokens=1, beam=n),
    "top": lambda n: fill(opened("bert"), "a [MASK]", top=n),
    "stripes": lambda n: nextword.evaluate(opened(), RUNS / "valid.txt", stripes=n),
    "mc_dropout": lambda n: nextword.evaluate(opened(), RUNS / "valid.txt", mc_dropout=n),
    "length": lambda n: measure_run(opened(), RUNS / "lstm", length=n),
    "samples": lambda n: measure_run(opened(), RUNS / "lstm", samples=n),
    "steps": lambda n: range_test(request(), steps=n),
    "high": lambda n: range_test(request(), high=n),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_of_functions_are_bounded(name: str) -> None:
    for value in (-1, 10**30, math.nan, "4", True, [1]):
        with pytest.raises(InputError, match=name) as error:
            ARGUMENTS[name](value)
        assert "\n" not in str(error.value)


def test_the_largest_seed_draws_several_texts() -> None:
    texts = nextword.generate_many(opened(), ["", ""], tokens=2, seed=bounds.SEED)
    assert len(texts) == 2


# --------------------------------------------------------------------- numbers inside a generation


@pytest.mark.parametrize("p", [1e-320, 5e-324, 1e-40, 1e-7])
def test_a_tiny_top_p_keeps_the_most_probable_token(p: float) -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, 0.0, -torch.inf]])
    kept = torch.isfinite(filters.top_p(logits, p))
    assert kept.tolist() == [[False, True, False], [True, False, False]]
    assert nextword.generate(opened(), tokens=3, top_p=p, seed=1)


WRONG = [[0.0, math.nan], [0.0, math.inf], [-math.inf, -math.inf]]


@pytest.mark.parametrize("logits", WRONG)
def test_logits_that_are_no_distribution_are_refused(logits: list[float]) -> None:
    assert filters.check(torch.tensor([[0.0, -math.inf]])) is not None
    for temperature in (0.0, 1.0):
        with pytest.raises(InputError, match="no probabilities"):
            Sampling(temperature=temperature, allow_unk=True).choose(torch.tensor([logits]))


def test_a_beam_refuses_them_too() -> None:
    model = tiny()
    torch.nn.init.constant_(model.head.b, math.nan)
    with pytest.raises(InputError, match="no probabilities"):
        beam_search(model, torch.tensor([1]), model.start(1), [3])


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["lstm", "bert", "seq2seq", "classifier"])
def test_weights_that_are_not_finite_are_refused(name: str, number: float, tmp_path: Path) -> None:
    run = Path(shutil.copytree(RUNS / name, tmp_path / name))
    tensors, meta = read_tensors(run / "model.safetensors")
    last = list(tensors)[-1]
    tensors[last].view(-1)[-1] = number
    write_tensors(run / "model.safetensors", tensors, meta)
    with pytest.raises(InputError, match="infinite or not numbers"):
        nextword.load(run)


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("column", [LOG_PROB, BACKOFF])
def test_probabilities_of_a_table_that_are_no_numbers(column: int, number: float) -> None:
    """The file of an n-gram model is mapped, not read: what uses its numbers refuses them."""
    run = opened("ngram")
    table = run.model.table
    nodes, contexts = np.array(table.nodes), np.array(table.contexts)
    (nodes if column == LOG_PROB else contexts).view(np.float32)[:, column] = number
    run.model.table = Table(nodes, contexts, table.offsets)
    with pytest.raises(InputError, match="no probabilities"):
        nextword.generate(run, tokens=3, seed=1)


# -------------------------------------------------------------- sizes that settings claim


CLAIMS = {
    "hidden": 60_000,
    "layers": 900,
    "embedding": 65_536,
    "context": 1 << 20,
    "inner": 65_536,
}


SLOWER = [pytest.param(name, marks=pytest.mark.slow) for name in ("seq2seq", "transformer")]


@pytest.mark.parametrize("name", ["lstm", "transformer-lm", "bert", *SLOWER])
def test_a_config_that_claims_more_than_there_is(name: str, tmp_path: Path) -> None:
    """It is refused before memory is taken; so many numbers would not fit into this machine."""
    run = Path(shutil.copytree(RUNS / name, tmp_path / name))
    tables = json.loads((run / "config.json").read_text())
    for key, value in CLAIMS.items():
        if key == "context" and tables["model"].get("positions") == "sinusoidal":
            continue  # it takes no memory
        if key in tables["model"] and tables["model"][key] is not None:
            changed = tables | {"model": tables["model"] | {key: value}}
            (run / "config.json").write_text(json.dumps(changed))
            with pytest.raises(InputError, match=r"does not fit|divi"):
                nextword.load(run)
            with pytest.raises(InputError):
                nextword.resume(run, quiet=True)


def test_a_training_that_needs_more_memory_than_is_free(cli: Cli, tmp_path: Path) -> None:
    status, _, err = cli(
        "train", "lstm", "--train", RUNS / "train.txt", "--out", tmp_path / "run", "--quiet",
        "--set", "model.hidden=65536", "--set", "model.layers=1024",
    )  # fmt: skip
    assert status == 2 and "GB of memory are free" in err and len(err.splitlines()) == 1
    assert not os.listdir(tmp_path)


def test_memory_is_compared_with_what_is_free() -> None:
    free = free_memory()
    assert free is not None and free > 1 << 20
    check_memory(without_memory(lambda: torch.nn.Linear(100, 100)))
    state = torch.get_rng_state()
    with pytest.raises(InputError, match="parameters"):
        check_memory(without_memory(lambda: torch.nn.Linear(1 << 20, 1 << 24)))
    assert torch.equal(state, torch.get_rng_state())


# ---------------------------------------------------------------------------- lines that never end


def test_a_line_that_is_read_as_a_whole_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "LONGEST", 1 << 20)
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\n" + b"ab " * (1 << 21))
    lines = reader.lines(path)
    assert next(lines) == "one"
    with pytest.raises(InputError, match=r"line 2 of .* is longer than 1 MB"):
        list(lines)


@pytest.mark.parametrize("before", ["", "\\data\\\nngram 1=3\n\n", "ARPA\n\\1-grams:\n"])
def test_an_arpa_file_without_line_ends_is_not_read_as_a_whole(before: str, tmp_path: Path) -> None:
    path = tmp_path / "a.arpa.gz"
    with gzip.open(path, "wb") as file:
        file.write(before.encode())
        for _ in range(64):
            file.write(bytes(range(65, 91)) * (1 << 15))
    tracemalloc.start()
    with pytest.raises(InputError, match="longer than 1 MB"):
        read_arpa(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 24  # of 54 MB
