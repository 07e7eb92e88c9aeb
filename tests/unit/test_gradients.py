"""How far back a loss reaches: the measured norms against autograd and against theory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nextword import plot, registry
from nextword.data.pairs import shifted
from nextword.data.stream import excerpts
from nextword.diagnostics.gradients import (
    GradientFlow,
    draw,
    draw_on,
    measure,
    measure_examples,
)
from nextword.errors import InputError
from nextword.models.classifier import ClassifierConfig
from nextword.models.mixture import MixtureConfig, MixtureLM
from nextword.models.ngram import NgramConfig
from nextword.models.recurrent import RecurrentConfig, RecurrentLM
from nextword.models.seq2seq import Seq2SeqConfig
from nextword.models.windowed import Windowed
from nextword.nn import kernels
from nextword.nn.recurrent import RecurrentLayer
from nextword.text.tokenizer import EOS
from nextword.types import Batch
from tests.support import scatter

CPU = torch.device("cpu")
CELLS = registry.names("cell")
V = 9


def ids(count: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, V, count).astype(np.uint16)


def tiny(cell: str, layers: int = 1, hidden: int = 7) -> RecurrentLM:
    torch.manual_seed(0)
    model = RecurrentConfig(cell=cell, hidden=hidden, layers=layers).build(V).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


class Probed(TorchFunctionMode):
    """Within it, results of torch's functions are counted, and zeros added to some of them."""

    def __init__(self, zeros: dict[int, Tensor]) -> None:
        """`zeros`: the number of a result, from 0, → what is added to it."""
        super().__init__()
        self.zeros, self.results = zeros, list[Any]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        zero = self.zeros.get(len(self.results))
        if zero is not None:
            result = result + zero
        self.results.append(result)
        return result


def probed_step(
    layer: RecurrentLayer, wx: Tensor, state: tuple[Tensor, ...]
) -> tuple[tuple[Tensor, ...], list[Tensor]]:
    """A cell's step with a zero added to each tensor of the new state where it is computed, so that
    what the step itself makes of it counts (the LSTM's h is made of its new c)."""
    with Probed({}) as plain:
        after = layer.cell.step(wx, state, layer.U)
    zeros = [torch.zeros_like(part, requires_grad=True) for part in after]
    numbers = [
        next(i for i, result in enumerate(plain.results) if result is part) for part in after
    ]
    with Probed(dict(zip(numbers, zeros, strict=True))):
        return layer.cell.step(wx, state, layer.U), zeros


def by_hand(model: RecurrentLM, text: np.ndarray, start: int, length: int) -> list[np.ndarray]:
    """d(-log p(w_T | w_<T)) / d(state) at every step and layer, from the cells' own equations:
    a small zero tensor is added to each state and its gradient taken. [(steps, layers, H) …]"""
    before = text[start - 1] if start else EOS
    inputs = [int(before), *(int(i) for i in text[start : start + length - 1])]
    state = model.start(1)
    probes: list[list[list[Tensor]]] = []
    for index in inputs:
        x = model.embedding(torch.tensor([index]))
        new_state, new_probes = [], []
        for layer, part in zip(model.stack.layers, state, strict=True):
            part, zeros = probed_step(layer, x @ layer.W.T + layer.b, part)
            new_probes.append(zeros)
            new_state.append(part)
            x = part[0]
        state = tuple(new_state)
        probes.append(new_probes)
    logits = x @ model.head.E.T + model.head.b
    loss = -logits.log_softmax(-1)[0, int(text[start + length - 1])]
    flat = [zero for step in probes[:-1] for layer in step for zero in layer]
    gradients = iter(torch.autograd.grad(loss, flat))
    kinds = len(probes[0][0])
    found = [np.zeros((length - 1, len(probes[0]), model.config.hidden)) for _ in range(kinds)]
    for step in range(length - 1):
        for layer_index in range(len(probes[0])):
            for kind in range(kinds):
                found[kind][step, layer_index] = next(gradients)[0].numpy()
    return found


@pytest.mark.parametrize("backend", ["auto", "step"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_norms_are_the_gradients(cell: str, layers: int, backend: str) -> None:
    """Every cell, one layer and two: the norms of the gradient at each tensor of the state with
    every path counted, the layers' together, averaged over the stretches; the same whatever kernels
    are chosen."""
    model, text, length = tiny(cell, layers), ids(), 9
    starts = np.unique(np.linspace(0, len(text) - length, 4).astype(int))
    norms = []
    for start in starts:
        found = by_hand(model, text, int(start), length)
        norms.append([np.sqrt((g**2).sum((1, 2)))[::-1] for g in found])
    expected = np.mean(norms, axis=0)
    with kernels.backend(backend):
        flow = measure(model, text, "tiny", CPU, length=length, samples=4)
    measured = {"h": flow.hidden, **({"c": flow.cell} if flow.cell else {}), **flow.others}
    state_names = model.stack.layers[0].cell.state_names
    assert sorted(measured) == sorted(state_names)
    for name, norms_of_one in zip(state_names, expected, strict=True):
        np.testing.assert_allclose(measured[name], norms_of_one, rtol=1e-8)


def elman(scale: float) -> RecurrentLM:
    """U = scale · orthogonal; words so small that tanh is the identity."""
    torch.manual_seed(0)
    model = RecurrentConfig(cell="elman", hidden=8).build(V).double()
    (layer,) = model.stack.layers
    with torch.no_grad():
        nn.init.orthogonal_(layer.U)
        layer.U.mul_(scale)
        layer.b.zero_()
        model.embedding.weight.mul_(1e-12)
    return model


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_plain_rnn_vanishes_and_explodes_by_its_matrix(scale: float) -> None:
    """In the linear range every step back multiplies the gradient by the scale of U."""
    flow = measure(elman(scale), ids(), "elman", CPU, length=21, samples=3)
    assert flow.factor == pytest.approx(scale, rel=1e-6)
    ratios = np.array(flow.hidden[1:]) / np.array(flow.hidden[:-1])
    np.testing.assert_allclose(ratios, scale, rtol=1e-6)
    assert len(flow.hidden) == 20


@pytest.mark.parametrize("gain", [0.5, 1.5])
def test_a_gain_makes_gradients_vanish_or_explode(gain: float) -> None:
    """`model.recurrent_gain` multiplies U alone: with U = gain I and all units on, by the step."""
    made = []
    for times in (1.0, gain):
        torch.manual_seed(0)
        made.append(RecurrentConfig(cell="irnn", hidden=8, recurrent_gain=times).build(V).double())
    plain, model = made
    for name, parameter in plain.named_parameters():
        times = gain if name.endswith(".U") else 1.0
        torch.testing.assert_close(dict(model.named_parameters())[name], times * parameter)
    with torch.no_grad():
        model.embedding.weight.abs_()
        model.stack.layers[0].W.abs_()
    flow = measure(model, ids(), "irnn", CPU, length=21, samples=3)
    assert flow.factor == pytest.approx(gain, rel=1e-6)


def test_irnn_starts_with_a_gradient_that_neither_vanishes_nor_explodes() -> None:
    """As initialised, with no unit switched off, U = I passes it on as it is."""
    torch.manual_seed(0)
    model = RecurrentConfig(cell="irnn", hidden=8).build(V).double()
    with torch.no_grad():
        model.embedding.weight.abs_()
        model.stack.layers[0].W.abs_()
    flow = measure(model, ids(200), "irnn", CPU, length=100, samples=3)
    assert flow.factor == pytest.approx(1, abs=1e-9)


def test_lstm_cell_carries_further_than_the_plain_rnn() -> None:
    """The forget gate at 1, the other gates as drawn: the cell's gradient is still there when the
    plain RNN's is gone."""
    lstm = tiny("lstm")
    with torch.no_grad():
        for parameter in lstm.stack.parameters():
            parameter.mul_(0.25)
        lstm.stack.layers[0].b[7:14] = 6.0
    far = measure(lstm, ids(200), "lstm", CPU, length=60, samples=3)
    plain = measure(elman(0.5), ids(200), "elman", CPU, length=60, samples=3)
    assert far.cell[-1] / far.cell[0] > 0.5
    assert plain.hidden[-1] / plain.hidden[0] < 1e-12


def test_measuring_leaves_the_model_alone() -> None:
    """Weights and their gradients stay, frozen weights do no harm, no_grad outside neither."""
    model = tiny("gru")
    before = [p.detach().clone() for p in model.parameters()]
    first = measure(model, ids(), "gru", CPU, length=10, samples=2)
    for parameter, value in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, value)
        assert parameter.grad is None
        parameter.requires_grad_(False)
    with torch.no_grad():
        again = measure(model, ids(), "gru", CPU, length=10, samples=2)
    np.testing.assert_allclose(again.hidden, first.hidden)


@pytest.mark.parametrize("softmax", ["sampled", "adaptive", "full"])
def test_every_softmax_is_measured_exactly(softmax: Any) -> None:
    """A sampled one is the full one where nothing is learnt: no measurement differs from another,
    nor from that of the full softmax with the same weights."""
    settings = {"tied": False, "cutoffs": [3], "samples": 2}
    found = []
    for kind in (softmax, softmax, "full" if softmax == "sampled" else softmax):
        torch.manual_seed(1)
        model = RecurrentConfig(hidden=7, softmax=kind, **settings).build(9).double()
        torch.manual_seed(len(found))
        found.append(measure(model, ids(), "run", CPU, length=10, samples=2).hidden)
    assert found[0] == found[1] == pytest.approx(found[2], rel=1e-9)


def test_what_cannot_be_measured() -> None:
    """A text too short, a model without a differentiable state."""
    with pytest.raises(InputError, match="tokens"):
        measure(tiny("lstm"), ids(10), "lstm", CPU, length=10)
    for model in (NgramConfig().build(V), Windowed(tiny("lstm"), 3)):
        with pytest.raises(InputError, match="no hidden state"):
            measure(model, ids(), "none", CPU, length=10)


@pytest.mark.parametrize("other", ["ngram", "elman"])
def test_a_mixture_cannot_be_measured(other: str) -> None:
    """It has no layers of its own: its members are measured one by one."""
    member: Any = NgramConfig().build(V) if other == "ngram" else tiny(other)
    mixture = MixtureLM(MixtureConfig(), [tiny("lstm"), member], V)
    with pytest.raises(InputError, match="no hidden state"):
        measure(mixture, ids(), "none", CPU, length=10)


def test_factor_of_gradients_that_died() -> None:
    """Norms of zero give a number, not an error."""
    assert GradientFlow("x", [1.0, 0.1, 0.01], None).factor == pytest.approx(0.1)
    assert 0 <= GradientFlow("x", [1.0, 0.0], None).factor < 1e-30
    assert GradientFlow("x", [1.0], None).factor == 1
    assert "0.100" in GradientFlow("x", [1.0, 0.1], None).summary()


def test_states_of_other_names_are_reported(tmp_path: Path) -> None:
    """What is neither h nor c has its own name, in figures and in the picture's legend."""
    flow = GradientFlow("x", [1.0, 0.5], None, {"n": [2.0, 0.1]})
    assert flow.as_dict()["others"] == {"n": [2.0, 0.1]}
    assert "others" not in GradientFlow("x", [1.0, 0.5], None).as_dict()
    with plot.figure(tmp_path / "flow.png") as (ax,):
        draw_on(ax, [flow])
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["x", "x, n"]


def test_drawing(tmp_path: Path) -> None:
    """A picture of several models, cells dashed, also where a gradient is exactly zero."""
    flows = [
        measure(tiny(cell), ids(), cell, CPU, length=10, samples=2) for cell in ("lstm", "elman")
    ]
    flows.append(GradientFlow("dead", [0.0] * 9, None))
    draw(flows, tmp_path / "flow.png")
    assert (tmp_path / "flow.png").stat().st_size > 5000


# -------------------------------------------------------------------- translators and classifiers

SOURCE, TARGET = [[2, 5, 3, 7, 1]], [[4, 6, 2, 8, 3, 1]]


class Nudged:
    """While it is on, a number is added to a unit of h after one step of one cell."""

    def __init__(self, cell: Any, call: int, unit: int, by: float) -> None:
        self.cell, self.call, self.unit, self.by, self.calls = cell, call, unit, by, -1

    def __enter__(self) -> None:
        original = type(self.cell).step

        def step(wx: Tensor, state: tuple[Tensor, ...], U: Tensor) -> tuple[Tensor, ...]:
            h, *rest = original(self.cell, wx, state, U)
            self.calls += 1
            if self.calls == self.call:
                h = h + self.by * torch.eye(h.shape[1], dtype=h.dtype)[self.unit]
            return (h, *rest)

        self.cell.step = step

    def __exit__(self, *_: object) -> None:
        del self.cell.step


def by_differences(loss: Any, layers: Any, steps: int) -> list[float]:
    """The norms of dL/dh over all layers, last step first, by central differences."""
    norms = []
    for step in reversed(range(steps)):
        square = 0.0
        for layer in layers:
            for unit in range(layer.cell.hidden):
                values = []
                for by in (1e-5, -1e-5):
                    with Nudged(layer.cell, step, unit, by), kernels.backend("step"):
                        values.append(float(loss()))
                square += ((values[0] - values[1]) / 2e-5) ** 2
        norms.append(square**0.5)
    return norms


TRANSLATORS: dict[str, dict[str, Any]] = {
    "attention": {"attention": "additive", "layers": 2},
    "fed": {"attention": "dot", "input_feeding": True},
    "without": {"attention": "none", "bidirectional": False},
}


@pytest.mark.parametrize("kind", TRANSLATORS)
def test_norms_of_a_translator(kind: str) -> None:
    """Decoder and each direction of the encoder, step by step, as differences of the loss of the
    last token say."""
    config = Seq2SeqConfig(cell="gru", hidden=4, **TRANSLATORS[kind])
    model = scatter(config.build(V, V)).eval()
    source, targets = torch.tensor(SOURCE), torch.tensor(TARGET)
    batch = Batch(
        shifted(targets), targets, False, source=source, source_mask=torch.ones_like(source) > 0
    )
    flows = measure_examples(model, [batch], "mine", CPU)
    ways = 2 if config.bidirectional else 1
    assert [flow.name for flow in flows] == [
        "mine, decoder",
        *["mine, encoder to the right", "mine, encoder to the left"][:ways],
    ]

    @torch.no_grad()
    def loss() -> Tensor:
        return -model.score(batch.ids, targets, batch.start(model)).log_prob[0, -1]

    for flow, layers in zip(flows, model.recurrent_layers.values(), strict=True):
        steps = len(TARGET[0]) - 1 if "decoder" in flow.name else len(SOURCE[0])
        assert len(flow.hidden) == steps
        np.testing.assert_allclose(flow.hidden, by_differences(loss, layers, steps), rtol=1e-6)


@pytest.mark.parametrize("pooling", ["first", "mean", "concat"])
@pytest.mark.parametrize("encoder", ["bidirectional", "recurrent"])
def test_norms_of_a_classifier(encoder: str, pooling: str) -> None:
    """Each direction of the encoder, as differences of the loss of the label say; the encoder reads
    a token before the text."""
    settings = {"name": encoder, "cell": "gru", "hidden": 4, "layers": 2}
    config = ClassifierConfig(encoder=settings, labels=["a", "b"], pooling=pooling)
    model = scatter(config.build(V)).eval()
    ids = torch.tensor(TARGET)
    batch = Batch(ids, ids, False, real=ids > 0, labels=torch.tensor([1]))
    flows = measure_examples(model, [batch], "mine", CPU)
    assert len(flows) == (2 if encoder == "bidirectional" else 1)

    @torch.no_grad()
    def loss() -> Tensor:
        return nn.functional.cross_entropy(model(ids, ids > 0), batch.labels)

    for flow, layers in zip(flows, model.recurrent_layers.values(), strict=True):
        expected = by_differences(loss, layers, len(TARGET[0]) + 1)
        np.testing.assert_allclose(flow.hidden, expected, rtol=1e-6, atol=1e-12)


def test_examples_of_different_lengths_are_averaged_by_distance() -> None:
    """Entry k is the mean over those that have it, as far as half of them reach."""
    model = tiny("gru")
    batches = [excerpts(ids(), length, 1) for length in (4, 6, 9)]
    each = [measure_examples(model, [batch], "x", CPU)[0].hidden for batch in batches]
    assert [len(norms) for norms in each] == [3, 5, 8]
    (flow,) = measure_examples(model, batches, "x", CPU)
    expected = [np.mean([norms[k] for norms in each if len(norms) > k]) for k in range(5)]
    np.testing.assert_allclose(flow.hidden, expected)


def test_a_frozen_encoder_has_no_gradient() -> None:
    model = ClassifierConfig(encoder={"hidden": 4}, labels=["a", "b"], frozen=True).build(V)
    ids = torch.tensor(TARGET)
    batch = Batch(ids, ids, False, real=ids > 0, labels=torch.tensor([1]))
    with pytest.raises(InputError, match="frozen"):
        measure_examples(model, [batch], "mine", CPU)
