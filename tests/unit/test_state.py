"""States are trees of tensors: what is written once must hold for every shape of tree."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nextword.state import (
    concatenate,
    detach,
    flatten,
    leaves,
    repeat,
    select,
    tree_map,
    unflatten,
)

State = Any
SHAPES = st.recursive(
    st.one_of(st.none(), st.sampled_from([(), (3,), (2, 5)])),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: ["tuple", *parts]),
    max_leaves=6,
)


def build(shape: Any, rows: int) -> State:
    """A tree of that shape: every leaf has `rows` rows and numbers of its own."""
    if shape is None:
        return None
    if isinstance(shape, list):
        return tuple(build(part, rows) for part in shape[1:])
    return torch.randn(rows, *shape)


def same(left: State, right: State) -> bool:
    """Equal trees with equal leaves."""
    if isinstance(left, Tensor):
        return isinstance(right, Tensor) and torch.equal(left, right)
    if left is None or right is None:
        return left is right
    return (
        isinstance(right, tuple)
        and len(left) == len(right)
        and all(same(a, b) for a, b in zip(left, right, strict=True))
    )


def rows_of(state: State) -> list[State]:
    """Each row of the batch as a state of its own, found by slicing."""
    count = next((len(leaf) for leaf in leaves(state)), 0)
    return [tree_map(lambda t, b=b: t[b : b + 1], state) for b in range(count)]  # type: ignore[misc]


@given(SHAPES)
def test_tree_map_keeps_the_shape(shape: Any) -> None:
    """The function is applied to every leaf, in the order of `leaves`, and to nothing else."""
    state = build(shape, 3)
    seen: list[Tensor] = []

    def visit(leaf: Tensor) -> Tensor:
        seen.append(leaf)
        return leaf * 1

    assert same(tree_map(visit, state), state)
    assert [id(leaf) for leaf in seen] == [id(leaf) for leaf in leaves(state)]
    assert same(state, tree_map(lambda t: -t, tree_map(lambda t: -t, state)))


@pytest.mark.parametrize("wrong", [[torch.zeros(1)], {"h": torch.zeros(1)}, 3, "h", (1,)])
def test_tree_map_refuses_other_things(wrong: Any) -> None:
    """A list or a number in a state is a mistake that shows."""
    with pytest.raises(TypeError, match="a state holds tensors and tuples"):
        tree_map(lambda t: t, wrong)


@given(SHAPES, st.lists(st.integers(0, 3), max_size=6))
def test_select_takes_rows_in_order(shape: Any, rows: list[int]) -> None:
    """Row i of the result is row rows[i] of the state, repeats and all."""
    state = build(shape, 4)
    chosen = select(state, torch.tensor(rows, dtype=torch.int64))
    assert all(len(leaf) == len(rows) for leaf in leaves(chosen))
    if rows and list(leaves(state)):
        every = rows_of(state)
        assert all(same(a, every[b]) for a, b in zip(rows_of(chosen), rows, strict=True))
    assert same(select(state, torch.arange(4)), state)


@given(SHAPES, st.integers(1, 3))
def test_repeat_keeps_copies_together(shape: Any, times: int) -> None:
    """(a, b) three times is a a a b b b, as beams need it."""
    state = build(shape, 2)
    expected = torch.arange(2).repeat_interleave(times)
    assert expected.tolist() == sorted([0, 1] * times)
    assert same(repeat(state, times), select(state, expected))


@given(SHAPES, st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_concatenate_undoes_select(shape: Any, sizes: list[int]) -> None:
    """A batch cut into parts and put together is the batch."""
    state = build(shape, sum(sizes))
    parts = [select(state, rows) for rows in torch.arange(sum(sizes)).split(sizes)]
    assert same(concatenate(parts), state)


@given(SHAPES)
def test_flatten_and_back(shape: Any) -> None:
    """Every leaf has a name of its own, and the names are enough to build the tree again."""
    state, like = build(shape, 3), build(shape, 1)
    named = flatten(state, "s")
    assert [id(leaf) for leaf in named.values()] == [id(leaf) for leaf in leaves(state)]
    assert all(name.split(".")[0] == "s" for name in named)
    assert same(unflatten(like, named, "s"), state)


def test_flatten_names() -> None:
    """The names are places, as they stand in state.safetensors."""
    h, c = torch.zeros(1), torch.ones(1)
    assert list(flatten(((h, c), None, (h,)))) == ["state.0.0", "state.0.1", "state.2.0"]
    assert list(flatten(h)) == ["state"]
    assert flatten(()) == flatten(None) == {}


def test_unflatten_misses_a_leaf() -> None:
    """A leaf that is not there is an error, not a hole."""
    state = (torch.zeros(1), torch.ones(1))
    named = flatten(state)
    del named["state.1"]
    with pytest.raises(KeyError):
        unflatten(state, named)


@given(SHAPES)
def test_detach_cuts_the_graph(shape: Any) -> None:
    """The same numbers, no gradient through them; the state itself stays attached."""
    weight = torch.ones((), requires_grad=True)
    state = tree_map(lambda t: t * weight, build(shape, 2))
    cut = detach(state)
    assert same(cut, state)
    assert all(not leaf.requires_grad for leaf in leaves(cut))
    assert all(leaf.requires_grad for leaf in leaves(state))


def test_none_is_a_state() -> None:
    """A model without a state (or a first batch) passes through everything."""
    assert detach(None) is None
    assert select(None, torch.tensor([0])) is None
    assert repeat(None, 3) is None
    assert concatenate([None, None]) is None
    assert concatenate([(), ()]) == ()
    assert list(leaves(None)) == []


def test_concatenate_refuses_unequal_trees() -> None:
    """States of different shape do not go together."""
    one = torch.zeros(1, 2)
    with pytest.raises(ValueError, match="shorter"):
        concatenate([(one, one), (one,)])
