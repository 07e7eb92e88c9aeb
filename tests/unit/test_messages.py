"""What is wrong with a setting is said in one plain sentence, for every setting that there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

import nextword
from nextword import registry
from nextword.config import SECTIONS, Section, configure, parse_section
from nextword.config.messages import LENGTHS, WANTED, explain
from nextword.errors import InputError
from nextword.evaluation.cache import Cache
from nextword.evaluation.dynamic import Dynamic
from nextword.generation.decoding import Decoding
from nextword.generation.masked import MaskedDecoding
from nextword.generation.sampling import Sampling

PARTS = ("model", "encoder", "objective", "optimizer", "schedule")
SCHEMAS: dict[str, type[Section]] = {
    **SECTIONS,
    **{kind.__name__: kind for kind in (Sampling, Decoding, MaskedDecoding, Dynamic, Cache)},
    **{
        f"{kind} {name}": registry.load(kind, name)
        for kind in PARTS
        for name in registry.names(kind)
    },
}
BAD: list[Any] = [
    *("x", "", "1.5", "inf", "12" * 3000, b"\xff", None, True, object()),
    *(-1, 0, 1.5, 2**40, 10**30, 1e400, -1e400, float("nan")),
    *([], [1], ["a"], [-1], [1.5], [None], [[1]], (1, 2, 3), {}, {"a": 1}, {"name": 3}),
]
OTHERS = r"Input |a valid|should|parse|Extra|Field|Value error|set_int_max|, not .*\n"
SENTENCE = re.compile(
    r"t\.[\w.]+(: item \d+)? must be .+, not .+|t\.[\w.]+ must have .+ items?, not .+"
    r"|t\.[\w.]+ (is missing|= .+: .+)|t: .+|unknown setting 't\.[\w.]+'.*",
    re.DOTALL,
)


def errors_of(schema: type[Section]) -> Iterator[ValidationError]:
    """All errors of all keys with all bad values."""
    for key in [*schema.model_fields, "nothing"]:
        for value in BAD:
            try:
                schema.model_validate({key: value})
            except ValidationError as error:
                yield error
            except InputError:
                pass  # a name that is not registered


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_error_of_every_setting_is_said_in_our_words(name: str) -> None:
    """And never in pydantic's."""
    for error in errors_of(SCHEMAS[name]):
        said = explain(error, [f"t.{key}" for key in SCHEMAS[name].model_fields], "t")
        assert SENTENCE.fullmatch(said), said
        assert not re.search(OTHERS, said)


def test_the_table_has_what_the_schemas_refuse_and_no_more() -> None:
    seen = {
        detail["type"]
        for schema in SCHEMAS.values()
        for error in errors_of(schema)
        for detail in error.errors()
    }
    assert seen == {*WANTED, *LENGTHS, "extra_forbidden", "missing", "value_error"}


SAID = {
    "model.layers=x": "model.layers must be a whole number, not 'x'",
    "model.layers=1.5": "model.layers must be a whole number, not 1.5",
    "model.layers=0": "model.layers must be 1 or more, not 0",
    "model.dropout_hidden=1": "model.dropout_hidden must be less than 1, not 1",
    "model.tied=maybe": "model.tied must be true or false, not 'maybe'",
    "model.cell=3": "model.cell must be text, not 3",
    "model.cutoffs=[0, 5]": "model.cutoffs: item 1 must be 1 or more, not 0",
    "optimizer.betas=[0.9]": "optimizer.betas must have 2 items, not [0.9]",
    "train.clip=[]": "train.clip must be a number, not []",
    "optimizer.lr=none": "optimizer.lr must be a number, not none",
    "text.vocab_size=big": "text.vocab_size must be a whole number or 'auto', not 'big'",
    "text.vocab_size=-1": "text.vocab_size must be 3 or more, or 'auto', not -1",
    "train.keep=all": "train.keep must be 'best' or 'last', not 'all'",
}


@pytest.mark.parametrize("setting", SAID)
def test_settings_of_the_command_line(setting: str) -> None:
    with pytest.raises(InputError) as caught:
        configure("lstm", [setting])
    assert str(caught.value) == SAID[setting]


def test_settings_of_an_encoder() -> None:
    for key, said in (
        ("layers", "model.encoder.layers must be a whole number, not 'x'"),
        ("layerz", "unknown setting 'model.encoder.layerz'; did you mean 'model.encoder.layers'?"),
    ):
        with pytest.raises(InputError) as caught:
            configure("classifier", {f"model.encoder.{key}": "x"})
        assert str(caught.value).removeprefix("model: ") == said


def test_settings_made_in_python() -> None:
    """Each class of settings raises our error, as the command line does."""
    for make, said in (
        (lambda: nextword.Dynamic(lr=-1), "Dynamic: lr must be more than 0, not -1"),
        (lambda: nextword.Dynamic(method="rms", momentum=0.5), "Dynamic: method=rms has no momen"),
        (lambda: nextword.Decoding(beam=0), "Decoding: beam must be 1 or more, not 0"),
        (lambda: nextword.Sampling(top_p="x"), "Sampling: top_p must be a number, not 'x'"),  # type: ignore[arg-type]
        (lambda: nextword.Cache(window="x"), "Cache: "),  # type: ignore[arg-type,call-arg]
    ):
        with pytest.raises(InputError) as caught:
            make()
        assert str(caught.value).startswith(said)
    for name, schema in SCHEMAS.items():
        with pytest.raises(InputError, match="unknown setting 'nothing'"):
            schema(nothing=1)
        with pytest.raises(InputError, match=f"^{name}: unknown setting 'nothing'"):
            parse_section(schema, {"nothing": 1}, name)
