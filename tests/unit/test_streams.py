"""Ids → batches: every pair of token and target is one of the text, none twice, none lost."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nextword import registry
from nextword.config import TrainConfig, configure
from nextword.data.stream import Ids, Stream, auto_batch, fit_batch, rows
from nextword.data.stripes import Stripes
from nextword.data.variable import Variable
from nextword.data.windows import Windows
from nextword.text.corpus import Corpus, Counts
from nextword.text.tokenizer import EOS

OTHERS = {  # streams not of running text
    stream for task in registry.names("task") for stream in registry.load("task", task).streams
}
NAMES = [name for name in registry.names("stream") if name not in OTHERS]
FIRST = EOS + 1  # every token of the test text is another one, so its place is known


def text_of(length: int) -> Ids:
    """Ids FIRST, FIRST + 1, … as they lie on disk."""
    return np.arange(FIRST, FIRST + length, dtype=np.uint16)


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, int, int]:
    """Length of the text, batch size and bptt, as `fit_batch` lets them through."""
    length = draw(st.integers(1, 60))
    batch_size, bptt = fit_batch(length, draw(st.integers(1, 8)), draw(st.integers(1, 12)))
    return length, batch_size, bptt


SEEDS = st.integers(0, 2**32 - 1)


def targets_of(stream: Stream) -> Counter[int]:
    """How often each token is a target in one pass."""
    return Counter(int(t) for batch in stream for t in batch.targets.flatten())


# ---------------------------------------------------------------- every stream


@pytest.mark.parametrize("name", NAMES)
@given(shape=shapes(), seed=SEEDS)
def test_pairs_are_neighbours(name: str, shape: tuple[int, int, int], seed: int) -> None:
    """Each id is followed by its target in the text; before the first token there is <eos>."""
    length, batch_size, bptt = shape
    stream = registry.load("stream", name)(text_of(length), batch_size, bptt, seed=seed)
    assert len(stream) > 0
    for batch in stream:
        assert batch.ids.dtype == batch.targets.dtype == torch.int64
        assert batch.ids.shape == batch.targets.shape
        assert batch.mask is None
        assert len(batch.ids) <= batch_size
        assert batch.ids.shape[1] <= bptt or name == "variable"
        assert batch.lr_scale == (batch.ids.shape[1] / bptt if name == "variable" else 1)
        before = torch.where(batch.targets == FIRST, EOS, batch.targets - 1)
        assert torch.equal(batch.ids, before)
        assert torch.equal(batch.ids[:, 1:], batch.targets[:, :-1])


@pytest.mark.parametrize("name", NAMES)
@given(shape=shapes(), seed=SEEDS, order=st.randoms(use_true_random=False))
def test_any_batch_at_any_time(
    name: str, shape: tuple[int, int, int], seed: int, order: object
) -> None:
    """Batch i is the same whether read in order, alone or again: a training resumes anywhere."""
    length, batch_size, bptt = shape
    kind = registry.load("stream", name)
    one = kind(text_of(length), batch_size, bptt, seed=seed)
    two = kind(text_of(length), batch_size, bptt, seed=seed)
    in_order = list(one)
    assert len(in_order) == len(one)
    indices = list(range(len(two)))
    order.shuffle(indices)  # type: ignore[attr-defined]
    for index in indices:
        assert torch.equal(two[index].ids, in_order[index].ids)
        assert torch.equal(two[index].targets, in_order[index].targets)
        assert two[index].continues == in_order[index].continues
        assert two[index].lr_scale == in_order[index].lr_scale
    for outside in (-1, len(two)):
        with pytest.raises(IndexError):
            two[outside]


@pytest.mark.parametrize("name", NAMES)
def test_ids_from_disk(name: str, tmp_path: Path) -> None:
    """A memory-mapped text serves as well as one in memory, and is left as it is."""
    text_of(50).tofile(tmp_path / "ids.bin")
    mapped = np.memmap(tmp_path / "ids.bin", dtype=np.uint16, mode="r")
    kind = registry.load("stream", name)
    pairs = zip(kind(mapped, 3, 4), kind(text_of(50), 3, 4), strict=True)
    assert all(torch.equal(a.targets, b.targets) for a, b in pairs)
    batch = kind(text_of(50), 3, 4)[0]
    batch.ids.fill_(7)  # the batch is a copy
    assert kind(mapped, 3, 4)[0].ids.max() > 7


@pytest.mark.parametrize("name", NAMES)
def test_the_first_pass_is_what_nobody_asked_otherwise(name: str) -> None:
    """Without a seed it is pass 0, shuffled where the stream shuffles."""
    kind = registry.load("stream", name)
    plain, first = kind(text_of(50), 3, 4), kind(text_of(50), 3, 4, shuffle=True, seed=0)
    assert all(torch.equal(a.targets, b.targets) for a, b in zip(plain, first, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_state_is_carried_where_a_batch_goes_on(name: str) -> None:
    """`carries` says whether any batch may."""
    stream = registry.load("stream", name)(text_of(50), 3, 4)
    assert stream.carries == any(batch.continues for batch in stream)


@pytest.mark.parametrize("name", NAMES)
def test_settings_reach_the_stream(name: str) -> None:
    """Rows, length, stride and order are the recipe's; without rows they go by the text."""
    ids = text_of(4000)
    corpus = Corpus(ids, Counts(tokens=len(ids)), "test")
    chosen = {"stream": name, "bptt": 10, "stride": 6, "shuffle": False}
    kind = registry.load("stream", name)
    for rows_wanted, rows_found in ((3, 3), (None, 4)):
        stream = kind.of(corpus, TrainConfig(**chosen, batch_size=rows_wanted), 2)
        twin = kind(ids, rows_found, 10, stride=6, shuffle=False, seed=2)
        assert all(torch.equal(a.targets, b.targets) for a, b in zip(stream, twin, strict=True))


def test_rows_where_none_are_set() -> None:
    """4 to 32, for a hundred batches or more in a pass."""
    for tokens, rows_found in ((0, 4), (4999, 4), (5000, 5), (31_999, 31), (32_000, 32)):
        assert auto_batch(tokens, 10) == rows_found
    assert auto_batch(10**9, 10) == 32


# ---------------------------------------------------------------- stripes


@given(shape=shapes(), seed=SEEDS)
def test_stripes_go_on_row_by_row(shape: tuple[int, int, int], seed: int) -> None:
    """Row b begins with the token that row b of the batch before had to predict last."""
    length, batch_size, bptt = shape
    stream = Stripes(text_of(length), batch_size, bptt, seed=seed)
    assert [batch.continues for batch in stream] == [False] + [True] * (len(stream) - 1)
    batches = list(stream)
    for left, right in pairwise(batches):
        assert torch.equal(right.ids[:, 0], left.targets[:, -1])
        assert left.ids.shape == (batch_size, bptt)  # only the last batch may be shorter
    whole = torch.cat([batch.targets for batch in batches], dim=1)
    assert torch.equal(whole[:, 1:], whole[:, :-1] + 1)


@given(shape=shapes(), seed=SEEDS)
def test_stripes_use_every_token_once(shape: tuple[int, int, int], seed: int) -> None:
    """At most B - 1 tokens are left out, at the end or (odd seed) at the beginning."""
    length, batch_size, bptt = shape
    seen = targets_of(Stripes(text_of(length), batch_size, bptt, seed=seed))
    assert set(seen.values()) == {1}
    spare = length % batch_size
    assert len(seen) == length - spare
    first = FIRST + (spare if seed % 2 else 0)
    assert set(seen) == set(range(first, first + len(seen)))


def test_stripes_leave_nothing_out_in_two_passes() -> None:
    """What one pass leaves out, the other one reads."""
    text = text_of(23)
    odd, even = (targets_of(Stripes(text, 4, 3, seed=seed)) for seed in (1, 2))
    assert len(odd) == len(even) == 20
    assert set(odd) | set(even) == set(text.tolist())


def test_stripes_by_hand() -> None:
    """Two stripes of a text of seven tokens, three at a time."""
    batches = list(Stripes(text_of(7), 2, 2, seed=0))
    assert [batch.ids.tolist() for batch in batches] == [[[1, 2], [4, 5]], [[3], [6]]]
    assert [batch.targets.tolist() for batch in batches] == [[[2, 3], [5, 6]], [[4], [7]]]
    assert Stripes(text_of(7), 2, 2, seed=1)[0].ids.tolist() == [[2, 3], [5, 6]]


# ---------------------------------------------------------------- variable


def lengths_of(stream: Stream) -> list[int]:
    return [batch.ids.shape[1] for batch in stream]


@given(shape=shapes(), seed=SEEDS)
def test_variable_is_stripes_cut_elsewhere(shape: tuple[int, int, int], seed: int) -> None:
    """Row by row it reads what stripes read, every token once, and each batch goes on where the
    one before stopped."""
    length, batch_size, bptt = shape
    stream = Variable(text_of(length), batch_size, bptt, seed=seed)
    batches = list(stream)
    assert [batch.continues for batch in batches] == [False] + [True] * (len(batches) - 1)
    assert {len(batch.ids) for batch in batches} == {batch_size}
    for left, right in pairwise(batches):
        assert torch.equal(right.ids[:, 0], left.targets[:, -1])
    stripes = list(Stripes(text_of(length), batch_size, bptt, seed=seed))
    for part in ("ids", "targets"):
        found, expected = (
            torch.cat([getattr(batch, part) for batch in one], dim=1) for one in (batches, stripes)
        )
        assert torch.equal(found, expected)
    assert set(targets_of(stream).values()) == {1}


@given(st.integers(20, 3000), st.integers(1, 4), st.integers(1, 40), SEEDS)
def test_variable_lengths_are_five_or_more(
    length: int, batch_size: int, bptt: int, seed: int
) -> None:
    """But the last one, which takes what is left."""
    *whole, last = lengths_of(Variable(text_of(length), batch_size, bptt, seed=seed))
    assert all(steps >= 5 for steps in whole)
    assert last >= 1
    assert sum(whole) + last == length // batch_size


@pytest.mark.parametrize("bptt", [70, 150])
def test_variable_lengths_are_drawn_around_two_values(bptt: int) -> None:
    """One in twenty around half of `bptt`, all others around it, five more or less: on average
    about 0.975 `bptt`."""
    text = np.zeros(2_000_000, dtype=np.uint16)
    stream = Variable(text, 2, bptt, seed=3)
    lengths = np.diff(stream.edges)[:-1]
    assert len(lengths) > 6000
    assert lengths[:50].tolist() == [stream[index].ids.shape[1] for index in range(50)]
    assert lengths.mean() == pytest.approx(0.975 * bptt - 0.5, abs=0.012 * bptt)  # rounded down
    short = lengths < 0.75 * bptt
    assert short.mean() == pytest.approx(0.05, abs=0.01)
    assert np.median(lengths[short]) == pytest.approx(bptt / 2 - 0.5, abs=1)
    assert np.median(lengths[~short]) == pytest.approx(bptt - 0.5, abs=1)
    for some in (short, ~short):
        assert lengths[some].std() == pytest.approx(5, abs=0.7)


def test_variable_lengths_are_drawn_by_seed() -> None:
    """The same seed cuts at the same places, others elsewhere; no two passes are alike."""
    drawn = [
        tuple(lengths_of(Variable(text_of(4000), 4, 20, seed=seed))) for seed in (1, 1, *range(30))
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[2:])) == 30
    assert len({len(lengths) for lengths in drawn}) > 1


def test_variable_batches_by_hand() -> None:
    """Cut where the edges say, the scale of the learning rate the share of the full length."""
    stream = Variable(text_of(60), 2, 8, seed=0)
    stream.edges = np.array([0, 5, 17, 30])
    assert len(stream) == 3
    first, second, third = stream
    assert first.targets.tolist() == [[2, 3, 4, 5, 6], [32, 33, 34, 35, 36]]
    assert first.ids.tolist() == [[EOS, 2, 3, 4, 5], [31, 32, 33, 34, 35]]
    assert second.targets.tolist() == [[*range(7, 19)], [*range(37, 49)]]
    assert third.targets.tolist() == [[*range(19, 32)], [*range(49, 62)]]
    assert [b.lr_scale for b in (first, second, third)] == [5 / 8, 12 / 8, 13 / 8]
    assert [b.tokens for b in (first, second, third)] == [10, 24, 26]


@pytest.mark.parametrize("name", ["stripes", "variable"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_where_a_text_is_cut_changes_no_prediction(name: str, cell: str) -> None:
    """The state carried from batch to batch, a model predicts what it predicts of the rows as a
    whole."""
    settings = {"model.cell": cell, "model.hidden": 12, "model.embedding": 8}
    torch.manual_seed(0)
    model = configure("lstm", settings).model.build(FIRST + 300).eval()
    stream = registry.load("stream", name)(text_of(300), 3, 9, seed=1)
    assert len(stream) > 5
    found, state = [], model.start(3)
    with torch.no_grad():
        for batch in stream:
            scored = model.score(batch.ids, batch.targets, state)
            state = scored.state
            found.append(scored.log_prob)
        (whole,) = Stripes(text_of(300), 3, 100, seed=1)
        expected = model.score(whole.ids, whole.targets, model.start(3)).log_prob
    torch.testing.assert_close(torch.cat(found, dim=1), expected)


# ---------------------------------------------------------------- windows


@given(shape=shapes(), seed=SEEDS)
def test_windows_cover_the_text(shape: tuple[int, int, int], seed: int) -> None:
    """End to end, every token is a target; only the last window may overlap another."""
    length, batch_size, bptt = shape
    stream = Windows(text_of(length), batch_size, bptt, seed=seed)
    assert not any(batch.continues for batch in stream)
    seen = targets_of(stream)
    assert set(seen) == set(text_of(length).tolist())
    overlap = -length % bptt
    assert sum(seen.values()) == length + overlap
    assert {token for token, times in seen.items() if times > 1} == set(
        range(FIRST + length - bptt, FIRST + length - bptt + overlap)
    )


@given(shape=shapes(), seed=SEEDS, stride=st.integers(1, 15))
def test_windows_start_every_stride(shape: tuple[int, int, int], seed: int, stride: int) -> None:
    """Each window begins at a multiple of `stride`, or ends with the text; each comes once."""
    length, batch_size, bptt = shape
    stream = Windows(text_of(length), batch_size, bptt, stride=stride, seed=seed)
    starts = sorted(int(row[0]) - FIRST for batch in stream for row in batch.targets)
    last = length - bptt
    assert starts == sorted({*range(0, last + 1, stride), last})
    assert all(batch.ids.shape == (batch_size, bptt) for batch in list(stream)[:-1])


def test_windows_are_shuffled_by_seed() -> None:
    """The same seed gives the same order, other seeds give others, all of the same windows."""
    orders = [
        [int(row[0]) for batch in Windows(text_of(400), 8, 4, seed=seed) for row in batch.targets]
        for seed in (1, 1, 2, 3)
    ]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == sorted(orders[0]) for order in orders)
    assert all(order != sorted(order) for order in orders)


# ---------------------------------------------------------------- their parts


@given(st.integers(1, 20), st.lists(st.integers(-8, 25), min_size=1), st.integers(1, 9))
def test_rows(length: int, starts: list[int], steps: int) -> None:
    """Before the text lies <eos>, after it its last token, as a slow twin finds them."""
    text = text_of(length)

    def at(position: int) -> int:
        return EOS if position < 0 else int(text[min(position, length - 1)])

    ids, targets = rows(text, np.array(starts), steps)
    assert ids.tolist() == [[at(s + t - 1) for t in range(steps)] for s in starts]
    assert targets.tolist() == [[at(s + t) for t in range(steps)] for s in starts]


@given(st.integers(1, 300), st.integers(1, 20), st.integers(1, 40))
def test_fit_batch(tokens: int, batch_size: int, bptt: int) -> None:
    """As asked if the text allows, else fewer rows, and only then shorter ones."""
    fewer, shorter = fit_batch(tokens, batch_size, bptt)
    assert 1 <= fewer <= batch_size and 1 <= shorter <= bptt
    assert fewer * shorter <= tokens
    if batch_size * bptt <= tokens:
        assert (fewer, shorter) == (batch_size, bptt)
    elif bptt <= tokens:
        assert shorter == bptt and (fewer + 1) * bptt > tokens
    else:
        assert (fewer, shorter) == (1, tokens)
