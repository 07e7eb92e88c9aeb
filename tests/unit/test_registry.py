"""The only list of what exists: everything on it is there, under its own name."""

from __future__ import annotations

import pytest

from nextword import registry
from nextword.errors import InputError

ENTRIES = [(kind, name) for kind, known in registry.REGISTRY.items() for name in known]


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_entry_imports(kind: str, name: str) -> None:
    """The place that is written down holds a class or function of that name."""
    part = registry.load(kind, name)
    module, _, attribute = registry.REGISTRY[kind][name].partition(":")
    assert callable(part)
    assert (part.__module__, part.__qualname__) == (module, attribute)


@pytest.mark.parametrize("kind", ["model", "objective", "optimizer", "schedule"])
def test_parts_know_their_name(kind: str) -> None:
    """A part's settings carry the name it is registered by, so a dumped config finds it again."""
    for name in registry.names(kind):
        assert registry.load(kind, name).model_fields["name"].default == name


def test_tokenizers_know_their_name() -> None:
    """The `kind` in tokenizer.json is the registered name."""
    for name in registry.names("tokenizer"):
        assert registry.load("tokenizer", name).name == name


def test_every_thing_is_registered_once() -> None:
    """Nothing has two names, but one wrapper does every normalisation."""
    parts = {kind: known for kind, known in registry.REGISTRY.items() if kind != "normalisation"}
    places = [place for known in parts.values() for place in known.values()]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("kind", registry.REGISTRY)
def test_names(kind: str) -> None:
    """In the order of the list, as people type them."""
    assert registry.names(kind) == list(registry.REGISTRY[kind])
    assert all(name == name.lower() and " " not in name for name in registry.names(kind))


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_a_slip_names_the_nearest(kind: str, name: str) -> None:
    """One letter too many, and the message still knows what was meant."""
    with pytest.raises(InputError, match=f"unknown {kind} '{name}x'; did you mean '") as caught:
        registry.load(kind, f"{name}x")
    near = str(caught.value).split("did you mean ")[1].strip("'?")
    assert near in registry.names(kind)
    assert near == name or f"{name}x".startswith(near)


def test_a_stranger_lists_all() -> None:
    """Nothing near: all names are listed."""
    with pytest.raises(InputError, match="unknown tokenizer 'zzzz'; there are: ") as caught:
        registry.load("tokenizer", "zzzz")
    assert all(name in str(caught.value) for name in registry.names("tokenizer"))


@pytest.mark.parametrize("name", [None, 3, [], {}, ["word"]])
def test_a_name_that_is_none(name: object) -> None:
    """What is not even a string is unknown as well."""
    with pytest.raises(InputError, match="unknown tokenizer"):
        registry.load("tokenizer", name)  # type: ignore[arg-type]
