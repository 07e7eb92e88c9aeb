"""JSON and TOML that may be damaged or hostile, wherever they are read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nextword.config import parse_override, read_recipe
from nextword.errors import InputError
from nextword.experiments.series import take_directory
from nextword.files import read_tensors, write_tensors
from nextword.hub import is_hub
from nextword.hub import read_config as read_hub_config
from nextword.ngram.file import read as read_table
from nextword.parsing import DEEPEST, parse_json, parse_toml, read_json, read_text
from nextword.run import read_config
from nextword.text.corpus import open_corpus
from nextword.text.tokenizer import load_tokenizer
from nextword.training.loop.journal import read_metrics

DEEP = "[" * 60_000 + "]" * 60_000
FLAT = "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)


@pytest.mark.parametrize("text", [DEEP, FLAT, '{"a":' * 999 + "1" + "}" * 999])
def test_deep_nesting_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="levels deep"):
        parse_json(text)


@pytest.mark.parametrize("text", [f"x = {DEEP}", f"x = {FLAT}", "x." * 5000 + "y = 1"])
def test_deep_tables_are_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="levels deep"):
        parse_toml(text)


def test_as_deep_as_allowed() -> None:
    assert parse_json("[" * DEEPEST + "]" * DEEPEST)
    assert parse_json('{"a": [1, {"b": "[[["}]}') == {"a": [1, {"b": "[[["}]}
    assert parse_json("3") == 3 and parse_toml("a.b = [1]") == {"a": {"b": [1]}}


def test_only_regular_files_of_a_bounded_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("fifo", "endless", "."):
        with pytest.raises(ValueError, match="not a regular file"):
            read_json(tmp_path / name)
    (tmp_path / "large").write_text("12345")
    with pytest.raises(ValueError, match="has 5 bytes"):
        read_text(tmp_path / "large", largest=4)


@pytest.mark.parametrize("raw", [DEEP, "9" * 5000])
def test_an_override_that_is_no_toml_is_a_string(raw: str) -> None:
    assert parse_override(f"model.hidden={raw}") == ("model.hidden", raw)


READERS = {
    "config.json": read_config,
    "hub/config.json": lambda folder: read_hub_config(folder / "hub"),
    "tokenizer.json": lambda folder: load_tokenizer(folder / "tokenizer.json"),
    "meta.json": open_corpus,
    "settings.json": lambda folder: take_directory(folder, {}, "trainings"),
    "recipe.toml": lambda folder: read_recipe(str(folder / "recipe.toml")),
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_refuses_deep_nesting(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"x = {DEEP}" if path.suffix == ".toml" else f'{{"recipe": {DEEP}}}')
    with pytest.raises(InputError, match="levels deep"):
        READERS[name](tmp_path)


def test_deep_nesting_in_a_header(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "weights"
    write_tensors(path, {"a": torch.ones(2)}, {"x": json.loads(FLAT)})
    with pytest.raises(InputError, match="levels deep"):
        read_tensors(path)
    header = f'{{"a": {DEEP}}}'.encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(InputError, match="levels deep"):
        read_table(path)
    assert not is_hub(tmp_path)


def test_lines_that_are_no_records_are_left_out(tmp_path: Path) -> None:
    good = b'{"step": 3, "nll": 0.5}'
    bad = [b"\xff\xfe", b"[1]", b'{"nll": 1}', b'{"step": "x"}', DEEP.encode(), b'{"step": 1e999}']
    lines = [bad[0], good, *bad[1:], b'{"step": 4, "nll": "x", "lr": 1e999}', b'{"step": 5, "n']
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines))
    assert read_metrics(tmp_path) == [{"step": 3, "nll": 0.5}, {"step": 4}]


BERT = {
    "model_type": "bert",
    **dict.fromkeys(("hidden_size", "num_hidden_layers", "num_attention_heads"), 2),
    **dict.fromkeys(("intermediate_size", "max_position_embeddings", "type_vocab_size"), 8),
}


@pytest.mark.parametrize("normalizer", [None, 1.5, "x", ["x"], {}, {"lowercase": True}])
def test_a_normalizer_that_is_no_table_counts_as_none(normalizer: object, tmp_path: Path) -> None:
    import torch

    (tmp_path / "config.json").write_text(json.dumps(BERT))
    (tmp_path / "tokenizer.json").write_text(json.dumps({"normalizer": normalizer}))
    write_tensors(tmp_path / "model.safetensors", {"a": torch.ones(2)}, {})
    text = read_hub_config(tmp_path).text
    assert text.lower and text.strip_accents is None
