"""What only a GPU can show: cuDNN's layers, steps as CUDA graphs, trainings on the device.

On a machine without one every test here is skipped.
"""

from __future__ import annotations

import copy
import math
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn, optim

import nextword
from nextword import registry
from nextword.config import configure
from nextword.errors import InputError, Interrupted
from nextword.models.recurrent import RecurrentConfig
from nextword.nn import kernels
from nextword.nn.dropout import mask_like
from nextword.nn.kernels import cudnn
from nextword.nn.recurrent import RecurrentLayer
from nextword.text.corpus import Corpus, Counts
from nextword.training.loop.graphs import Graphs, on_cuda
from nextword.training.loop.journal import read_metrics
from nextword.training.loop.loop import learner
from nextword.training.loop.step import clip_gradients
from nextword.types import Batch, State
from tests.support import NO_WORDS, Learning, interrupt_at

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")

DEVICE = "cuda"
CELLS = [name for name in registry.names("cell") if registry.load("cell", name).torch_layer]
FUSED = [name for name in registry.names("optimizer") if registry.load("optimizer", name).fused]
F32, F64, BF16 = torch.float32, torch.float64, torch.bfloat16
WIDTHS = [(5, 11), (11, 7), (8, 16), (1, 1), (48, 64)]  # input's, hidden; the first two are padded

TINY: dict[str, Any] = {
    "text.tokenizer": "char",
    "model.hidden": 12,
    "model.embedding": 8,
    "model.embedding_std": 0.05,
    "model.dropout_hidden": 0.2,
    "model.dropout_weight": 0.3,
    "train.epochs": 3,
    "train.batch_size": 4,
    "train.bptt": 10,
    "train.patience": None,
}


@pytest.fixture(autouse=True, scope="module")
def _reproducible() -> Iterator[None]:
    """cuBLAS gives the same sums each time, and in float32 all of its digits."""
    products, layers = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, layers.allow_tf32
    products.allow_tf32 = layers.allow_tf32 = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        yield
    products.allow_tf32, layers.allow_tf32 = before


def fit(text: Path, out: Path, device: str = DEVICE, **settings: Any) -> nextword.Run:
    overrides = TINY | {key.replace("__", "."): value for key, value in settings.items()}
    return nextword.train("lstm", text, out, overrides=overrides, device=device)


def near(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Each tensor within `tolerance` of the largest number of the expected one, or of one."""
    assert found.keys() == expected.keys()
    for name, value in found.items():
        exact = expected[name].detach().cpu().double()
        assert value.shape == exact.shape, name
        far = float((value.detach().cpu().double() - exact).abs().max())
        assert far <= tolerance * max(1.0, float(exact.abs().max())), (name, far)


# ------------------------------------------------------------------------------------------ layers


def scattered(cell: str, widths: tuple[int, int], dtype: torch.dtype = F64) -> RecurrentLayer:
    """A layer on the CPU with every parameter drawn at random; the same in every precision."""
    generator = torch.Generator().manual_seed(1)
    layer = RecurrentLayer(cell, *widths).to(dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(
                0.5 * widths[1] ** -0.5 * torch.randn(parameter.shape, generator=generator)
            )
    return layer


def sequence(layer: RecurrentLayer, steps: int = 6, rows: int = 5) -> list[Tensor]:
    """An input and a first state where the layer is."""
    generator = torch.Generator().manual_seed(2)
    shapes = [(steps, rows, layer.W.shape[1]), *(part.shape for part in layer.start(rows))]
    return [torch.randn(shape, generator=generator).to(layer.U) for shape in shapes]


def results(layer: RecurrentLayer, mask: Tensor | None = None, fast: bool = True) -> dict[str, Any]:
    """Outputs, last state and the gradients of everything, with a mask on U; step by step, or as
    it runs by itself."""
    x, *state = (part.requires_grad_() for part in sequence(layer))
    with kernels.backend("auto" if fast else "step") as used:
        how = kernels.choose(layer.cell, x)
        out, last = kernels.run(how, layer.cell, x, tuple(state), layer.W, layer.U, layer.b, mask)
    assert list(used.values()) == ["cuDNN" if fast else "step by step"]
    parts = {"out": out} | {f"last.{i}": part for i, part in enumerate(last)}
    generator = torch.Generator().manual_seed(3)
    loss = torch.zeros((), device=x.device)
    for part in parts.values():
        loss = loss + (part.tanh() * torch.randn(part.shape, generator=generator).to(part)).sum()
    named = dict(layer.named_parameters()) | {"x": x}
    named |= {f"state.{i}": part for i, part in enumerate(state)}
    found = torch.autograd.grad(loss, list(named.values()))
    return parts | {f"d {name}": g for name, g in zip(named, found, strict=True)}


def drawn(layer: RecurrentLayer, drop: float) -> Tensor | None:
    torch.manual_seed(4)
    return mask_like(layer.U, drop) if drop else None


@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-8), (F32, 1e-4)])
@pytest.mark.parametrize("drop", [0.0, 0.5])
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("cell", CELLS)
def test_cudnn_equals_step_by_step(
    cell: str, widths: tuple[int, int], drop: float, dtype: torch.dtype, tolerance: float
) -> None:
    """Outputs, last state and all gradients: as the readable code has them on the CPU in double
    precision, whatever the widths, with and without a mask."""
    exact = scattered(cell, widths)
    mask = drawn(exact, drop)
    layer = scattered(cell, widths, dtype).to(DEVICE)
    found = results(layer, None if mask is None else mask.to(layer.U))
    assert all(value.dtype == dtype and value.device.type == DEVICE for value in found.values())
    near(found, results(exact, mask, fast=False), tolerance)
    if mask is not None:
        assert not found["d U"].cpu()[mask == 0].any()


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("cell", CELLS)
def test_no_gradient_asked_for_changes_no_value(cell: str, widths: tuple[int, int]) -> None:
    """Evaluation gives what training gives; within `Frozen`, call after call, too."""
    layer = scattered(cell, widths, F32).to(DEVICE).eval()
    x, *state = sequence(layer)
    with kernels.backend("torch"):
        out, last = layer(x, tuple(state))
        expected = {"out": out, **{f"last.{i}": part for i, part in enumerate(last)}}
        frozen = kernels.Frozen()
        with torch.no_grad():
            for _ in range(3):
                out, last = layer(x, tuple(state))
                near({"out": out} | {f"last.{i}": p for i, p in enumerate(last)}, expected, 1e-5)
                with frozen:
                    out, last = layer(x, tuple(state))
                near({"out": out} | {f"last.{i}": p for i, p in enumerate(last)}, expected, 1e-5)
            carried = tuple(state)
            for x_t in x:
                out, carried = layer(x_t[None], carried)
    assert not out.requires_grad
    near({f"last.{i}": p for i, p in enumerate(carried)} | {"out": expected["out"]}, expected, 1e-4)


@pytest.mark.skipif(
    torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False),
    reason="no bfloat16 on this device",
)
@pytest.mark.parametrize("drop", [0.0, 0.5])
@pytest.mark.parametrize("widths", [(40, 48), (37, 45)])
@pytest.mark.parametrize("cell", CELLS)
def test_bfloat16_is_near(cell: str, widths: tuple[int, int], drop: float) -> None:
    """Under autocast all that comes out is float32, and a few percent from what it is in double
    precision (more where a rounded ReLU is on instead of off), but not the same."""
    exact = scattered(cell, widths)
    mask = drawn(exact, drop)
    layer = scattered(cell, widths, F32).to(DEVICE)
    with torch.autocast(DEVICE, BF16):
        found = results(layer, None if mask is None else mask.to(layer.U))
    expected = results(exact, mask, fast=False)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value.dtype == F32, name
        other = expected[name].detach()
        far = float((value.detach().cpu() - other).norm() / other.norm())
        assert 1e-6 < far < (0.1 if cell == "irnn" else 0.04), (name, far)


def losses(model: Any, steps: int = 3) -> list[float]:
    """Of a model that takes some steps on random tokens."""
    torch.manual_seed(5)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    ids = torch.randint(0, model.vocab_size, (4, 9), device=DEVICE)
    found, state = [], model.start(4)
    for _ in range(steps):
        scored = model.score(ids[:, :-1], ids[:, 1:], state)
        loss = -scored.log_prob.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss))
        state = tuple(tuple(part.detach() for part in layer) for layer in scored.state)
    return found


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_weights_are_not_copied_together(cell: str, autocast: bool) -> None:
    """cuDNN never has to be given scattered weights, which torch warns of."""
    config = RecurrentConfig(cell=cell, hidden=12, layers=2, dropout_weight=0.5)
    model = config.build(17).to(DEVICE)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with torch.autocast(DEVICE, BF16, enabled=autocast):
            assert all(map(math.isfinite, losses(model)))
            model.eval()
            with torch.no_grad():
                model.forward(torch.zeros(2, 5, dtype=torch.int64, device=DEVICE), model.start(2))
    assert not [str(one.message) for one in said if "contiguous chunk" in str(one.message)]


# ------------------------------------------------------------------------------------- weight drop


def dropping(cell: str) -> RecurrentLayer:
    layer = scattered(cell, (7, 12), F32)
    layer.weight_drop = 0.5
    return layer.to(DEVICE)


def outputs(layer: RecurrentLayer, seed: int) -> Tensor:
    x, *state = sequence(layer)
    torch.manual_seed(seed)
    out: Tensor = layer(x, tuple(state))[0]
    return out


@pytest.mark.parametrize("cell", CELLS)
def test_weight_drop_masks_every_forward_pass_of_training(cell: str) -> None:
    """The outputs are those of a layer whose matrix is U times the mask."""
    layer = dropping(cell)
    for seed in (1, 2, 3):
        torch.manual_seed(seed)
        mask = mask_like(layer.U, 0.5)
        assert 0 < int((mask == 0).sum()) < mask.numel()
        twin = scattered(cell, (7, 12), F32).to(DEVICE)
        with torch.no_grad():
            twin.U.mul_(mask)
        torch.testing.assert_close(outputs(layer, seed), outputs(twin, seed), atol=1e-5, rtol=1e-5)
        assert not torch.allclose(outputs(layer, seed), outputs(dropping(cell).eval(), seed))


@pytest.mark.parametrize("cell", CELLS)
def test_weight_drop_differs_between_forward_passes(cell: str) -> None:
    """Each has a mask of its own, and a seed brings it back."""
    layer = dropping(cell)
    x, *state = sequence(layer)
    torch.manual_seed(1)
    first, second = (layer(x, tuple(state))[0] for _ in range(2))
    assert not torch.allclose(first, second)
    torch.testing.assert_close(outputs(layer, 1), first)


@pytest.mark.parametrize("cell", CELLS)
def test_weight_drop_gives_the_raw_matrix_its_gradient(cell: str) -> None:
    """Zero where it was dropped, not where it was kept; U itself stays as it was."""
    layer = dropping(cell)
    raw = layer.U.detach().clone()
    outputs(layer, 1).pow(2).sum().backward()
    torch.manual_seed(1)
    mask = mask_like(layer.U, 0.5)
    assert layer.U.grad is not None
    assert not layer.U.grad[mask == 0].any()
    assert layer.U.grad[mask != 0].ne(0).double().mean() > 0.3
    assert torch.equal(layer.U, raw)


@pytest.mark.parametrize("cell", CELLS)
def test_weight_drop_is_off_in_evaluation(cell: str) -> None:
    """The whole matrix, each time; training again drops again."""
    layer, plain = dropping(cell).eval(), scattered(cell, (7, 12), F32).to(DEVICE)
    for seed in (1, 2):
        torch.testing.assert_close(outputs(layer, seed), outputs(plain, seed))
    layer.train()
    assert not torch.allclose(outputs(layer, 1), outputs(plain, 1))


@pytest.mark.parametrize("cell", CELLS)
def test_weight_drop_leaves_a_parameter_that_can_be_moved_and_saved(cell: str) -> None:
    """Through `.to`, a step of an optimizer and a `state_dict`."""
    layer = dropping(cell)
    outputs(layer, 1).sum().backward()
    layer = layer.to("cpu").to(DEVICE)
    assert isinstance(dict(layer.named_parameters())["U"], nn.Parameter)
    before = layer.U.detach().clone()
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    optimizer.zero_grad()
    outputs(layer, 2).sum().backward()
    optimizer.step()
    assert not torch.equal(layer.U, before)
    other = RecurrentLayer(cell, 7, 12, 0.5).to(DEVICE)
    other.load_state_dict({name: value.cpu() for name, value in layer.state_dict().items()})
    assert {"W", "U", "b"} <= layer.state_dict().keys()
    for seed in (1, 2):
        torch.testing.assert_close(outputs(other, seed), outputs(layer, seed))


# ------------------------------------------------------------------------------------------ graphs

V, B = 23, 4  # vocabulary, rows
LENGTHS = [10, 10, 7, 10, 10, 7, 10, 7, 7, 3, 10, 7, 3, 10, 3, 7, 3, 10, 3, 7]


def made(**settings: Any) -> Learning:
    """A training of a small model; the same weights each time."""
    overrides: dict[str, Any] = {
        "model.layers": 2,
        "model.dropout_embedding": 0.1,
        "model.dropout_output": 0.1,
        "objective.ar": 0.5,
        "objective.tar": 0.5,
        "optimizer.lr": 0.01,
    }
    overrides |= {key.replace("__", "."): value for key, value in settings.items()}
    config = configure("lstm", TINY | overrides)
    torch.manual_seed(1)
    model = config.model.build(V).to(DEVICE)
    ids = np.random.default_rng(2).integers(0, V, 500).astype(np.uint16)
    corpus = Corpus(ids, Counts(tokens=len(ids)), "")
    return Learning(Path(), config, model, corpus, None, torch.device(DEVICE), 0.0, NO_WORDS)


def recorded(**settings: Any) -> tuple[Learning, Graphs]:
    """A training whose steps are recorded."""
    training = made(train__graphs=True, **settings)
    graphs = training.recorded = learner(training)
    assert isinstance(graphs, Graphs)
    return training, graphs


def batches(lengths: list[int]) -> list[Batch]:
    """Random tokens; every fifth batch starts afresh."""
    generator = torch.Generator().manual_seed(3)
    ids = [torch.randint(0, V, (B, length + 1), generator=generator) for length in lengths]
    return [Batch(one[:, :-1], one[:, 1:], index % 5 != 0) for index, one in enumerate(ids)]


def followed(
    training: Learning, given: list[Batch], seed: Callable[[int], int | None], learn: bool = True
) -> list[dict[str, Tensor]]:
    """Terms, loss, state and gradients of each step; `learn`: the weights change meanwhile."""
    model, accumulate = training.model, training.config.train.accumulate
    optimizer = training.config.optimizer.build(model.parameters())
    steps, returned = [], []
    state: State = None
    for index, batch in enumerate(given):
        if (number := seed(index)) is not None:
            torch.manual_seed(number)
        terms, loss, state = training.learn(batch, state)
        values = {name: term.total for name, term in terms.items()}
        values |= {f"state.{i}.{j}": p for i, part in enumerate(state) for j, p in enumerate(part)}
        returned.append(values)
        steps.append(copy.deepcopy(values) | {"loss": torch.tensor(loss)})
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                steps[-1][f"d {name}"] = parameter.grad.clone()
        if (index + 1) % accumulate == 0:
            if learn:
                clip_gradients(model, training.config.train)
                optimizer.step()
            optimizer.zero_grad()
    for kept, step in zip(returned, steps, strict=True):  # no later call wrote over them
        near(kept, {name: step[name] for name in kept}, 0.0)
    return steps


def all_near(found: list[dict[str, Tensor]], expected: list[dict[str, Tensor]]) -> None:
    for one, other in zip(found, expected, strict=True):
        near(one, other, 1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_graphs_equal_the_usual_way(cell: str, accumulate: int, precision: str) -> None:
    """Terms, loss, state and gradients of each step, from the same random numbers: several lengths
    in turn, gradients that wait, the state carried on or not."""
    settings: dict[str, Any] = {
        "model__cell": cell,
        "train__accumulate": accumulate,
        "train__precision": precision,
    }
    training, graphs = recorded(**settings)
    found = followed(training, batches(LENGTHS), lambda index: 100 + index, learn=False)
    usual = made(**settings)
    assert not isinstance(learner(usual), Graphs)
    expected = followed(usual, batches(LENGTHS), lambda index: 100 + index, learn=False)
    assert set(graphs.graphs) == {((B, 10), False), ((B, 7), False), ((B, 3), False)}
    all_near(found, expected)
    drops = [step["loss"] for step in found]
    assert len(set(map(float, drops))) == len(drops)


def test_graphs_draw_what_the_usual_way_draws() -> None:
    """With one seed for all steps: the same masks, and the generator ends in the same state."""
    ends = []
    runs = []
    for training in (recorded()[0], made()):
        runs.append(followed(training, batches(LENGTHS), lambda i: None if i else 7, learn=False))
        ends.append(torch.cuda.get_rng_state())
    all_near(*runs)
    assert torch.equal(*ends)


def test_graphs_see_the_weights_change() -> None:
    """Losses while an optimizer works, and after weights were read from elsewhere."""
    training, graphs = recorded()
    usual = made()
    for _ in range(2):
        found, expected = (
            [float(step["loss"]) for step in followed(one, batches([10]) * 8, lambda i: i)]
            for one in (training, usual)
        )
        assert found == pytest.approx(expected, rel=1e-3)
        assert found[-1] < found[0]
        weights = made().model.state_dict()
        for one in (training, usual):
            one.model.load_state_dict(weights)
    assert len(graphs.graphs) == 1


def test_masked_batches_go_the_usual_way() -> None:
    """However often they come."""
    training, graphs = recorded()
    given = [
        replace(batch, mask=torch.arange(10).expand(B, 10) < 3 + index % 4)
        for index, batch in enumerate(batches([10] * 8))
    ]
    all_near(
        followed(training, given, lambda index: index, learn=False),
        followed(made(), given, lambda index: index, learn=False),
    )
    assert not graphs.graphs


@pytest.mark.parametrize("accumulate", [1, 2])
def test_gradients_wait_while_a_shape_is_recorded(accumulate: int) -> None:
    """Those that a replay of another shape has left since the last step of the optimizer."""
    training, graphs = recorded(train__accumulate=accumulate)
    given = batches([10, 10, 7, 7, 10, 7, 10, 7])
    found = followed(training, given, lambda index: index, learn=False)
    expected = followed(made(train__accumulate=accumulate), given, lambda index: index, learn=False)
    assert set(graphs.graphs) == {(B, 10), (B, 7)}
    all_near(found, expected)


def test_a_frozen_parameter_stays_frozen() -> None:
    """It gets no gradient; all others are as the usual way has them."""
    runs = []
    for graphs in (True, False):
        training = made(train__graphs=graphs)
        training.model.stack.layers[0].W.requires_grad_(False)
        runs.append(followed(training, batches([10] * 5), lambda index: index, learn=False))
        assert isinstance(training.recorded, Graphs) == graphs
        assert all("d stack.layers.0.W" not in step for step in runs[-1])
    all_near(*runs)


SOFTMAXES: dict[str, dict[str, Any]] = {
    "adaptive": {"model__softmax": "adaptive", "model__tied": False, "model__cutoffs": [5, 9]},
    "sampled": {"model__softmax": "sampled", "model__cutoffs": [5], "model__samples": 4},
}


@pytest.mark.parametrize("softmax", SOFTMAXES)
def test_work_that_depends_on_words_is_not_recorded(softmax: str) -> None:
    """An adaptive softmax opens clusters as the data has it, a sampled one draws what counts."""
    asked = made(train__graphs=True, **SOFTMAXES[softmax])
    assert not asked.by_graphs
    assert not isinstance(learner(asked), Graphs)
    found, expected = (
        followed(one, batches([10] * 5), lambda index: index, learn=False)
        for one in (asked, made(**SOFTMAXES[softmax]))
    )
    all_near(found, expected)


def test_a_mixture_of_softmaxes_is_recorded() -> None:
    """It is made of full ones."""
    training, graphs = recorded(model__softmaxes=3)
    found = followed(training, batches(LENGTHS), lambda index: index, learn=False)
    expected = followed(made(model__softmaxes=3), batches(LENGTHS), lambda i: i, learn=False)
    assert set(graphs.graphs) == {((B, 10), False), ((B, 7), False), ((B, 3), False)}
    all_near(found, expected)


def test_a_recording_that_fails_ends_the_training(text: Path, tmp_path: Path) -> None:
    """With status 1 and one line that says what to do: in a process of its own, for CUDA is not to
    be trusted afterwards."""
    settings = [f"--set={key}={value}" for key, value in TINY.items()]
    settings += ["--set=model.softmax=adaptive", "--set=model.tied=false"]
    settings += ["--set=model.cutoffs=[5, 9]", "--set=train.graphs=true"]
    files = ["--train", str(text), "--out", str(tmp_path / "run")]
    arguments = ["train", "lstm", *files, "--device", DEVICE, "--quiet", *settings]
    code = (
        "from nextword.models.recurrent import RecurrentConfig, RecurrentLM\n"
        "RecurrentLM.fixed_shapes = RecurrentConfig.by_graphs = True  # which is a lie\n"
        "from nextword.cli.main import main\n"
        f"main({arguments!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("nextword: ")]
    assert len(said) == 1
    assert said[0].startswith("nextword: this training cannot be recorded as a CUDA graph (")
    assert said[0].endswith("); train it with train.graphs=false")
    assert "Traceback" not in done.stderr


def test_recording_leaves_the_generator_alone() -> None:
    """What is drawn while a function is recorded does not count; replays draw as the function
    would have."""
    place = torch.zeros(3, 100, device=DEVICE)

    def function() -> Tensor:
        place[1].bernoulli_(0.5)
        place[2].normal_()
        return place * 2

    torch.manual_seed(8)
    before = torch.cuda.get_rng_state()
    answer, replay = on_cuda()(function)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    replays = []
    for _ in range(3):
        replay()
        replays.append(answer.clone())
    torch.manual_seed(8)
    for found in replays:
        torch.testing.assert_close(found, function(), atol=0, rtol=0)
    assert not torch.equal(replays[0], replays[1])


# --------------------------------------------------------------------------------- whole trainings


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"train__accumulate": 2, "train__precision": "bf16"},
        {"model__cell": "gru", "train__eval_every": 3},
        {"model__cell": "irnn", "train__stream": "windows"},
    ],
    ids=["lstm", "accumulate-bf16", "gru", "windows"],
)
def test_a_training_by_graphs(
    settings: dict[str, Any], text: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It learns as the usual way does, runs on cuDNN, and no note says otherwise."""
    found = []
    for graphs in (True, False):
        run = fit(text, tmp_path / str(graphs), train__graphs=graphs, **settings)
        said = capfd.readouterr().err
        assert "cuDNN" in said
        assert "does nothing" not in said
        assert math.isfinite(nextword.evaluate(run, text).perplexity)
        found.append(
            [r["valid_nll"] for r in read_metrics(tmp_path / str(graphs)) if "valid_nll" in r]
        )
    assert found[0] == pytest.approx(found[1], rel=1e-2)
    assert found[0][-1] < found[0][0]


@pytest.mark.parametrize("softmax", SOFTMAXES)
def test_graphs_of_other_softmaxes_are_refused(softmax: str, text: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="with a full softmax and would do nothing here"):
        fit(text, tmp_path / "run", train__graphs=True, **SOFTMAXES[softmax])


@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole"])
def test_a_model_from_the_gpu_is_the_same_on_the_cpu(cell: str, text: Path, tmp_path: Path) -> None:
    """The same perplexity, and the same most probable text."""
    run = fit(text, tmp_path / "run", model__cell=cell)
    assert next(run.model.parameters()).device.type == DEVICE  # type: ignore[attr-defined]
    loaded = nextword.load(tmp_path / "run")
    assert next(loaded.model.parameters()).device.type == "cpu"  # type: ignore[attr-defined]
    expected = nextword.evaluate(loaded, text).perplexity
    assert nextword.evaluate(run, text).perplexity == pytest.approx(expected, rel=1e-4)
    assert nextword.evaluate(run, text, stripes=4).perplexity == pytest.approx(
        nextword.evaluate(loaded, text, stripes=4).perplexity, rel=1e-4
    )
    on_gpu, on_cpu = (
        nextword.generate(r, "the", tokens=10, temperature=0.0) for r in (run, loaded)
    )
    assert on_gpu == on_cpu


@pytest.mark.parametrize(
    ("call", "settings"),
    [
        (1, {}),
        (9, {}),
        (20, {"train__accumulate": 3}),
        (20, {"optimizer__name": "sgd", "optimizer__momentum": 0.9}),
        (20, {"train__graphs": True}),
        (20, {"train__graphs": True, "train__accumulate": 3}),
    ],
)
def test_resume_is_exact(
    call: int,
    settings: dict[str, Any],
    text: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Weights, optimizer and random state are those of a training never interrupted: to the last
    bit, or by graphs, which a resumed training records at other steps, nearly so."""
    fit(text, tmp_path / "whole", **settings)
    with monkeypatch.context() as patch:
        interrupt_at(patch, call)
        with pytest.raises(Interrupted):
            fit(text, tmp_path / "parts", **settings)
    torch.manual_seed(999)  # whatever happened since must not matter
    nextword.resume(tmp_path / "parts", device=DEVICE, quiet=True)
    for name in ("model.safetensors", "state.safetensors"):
        whole, parts = (load_file(tmp_path / run / name) for run in ("whole", "parts"))
        if "train__graphs" in settings:
            near(parts, whole, 1e-4)
        else:
            torch.testing.assert_close(parts, whole, atol=0, rtol=0)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("name", FUSED)
def test_fused_optimizers_take_the_same_step(name: str, decay: float) -> None:
    """All parameters in one pass: as torch's plain loop over them, step after step."""
    settings = registry.load("optimizer", name)(lr=0.05, weight_decay=decay)
    torch.manual_seed(0)
    start = [torch.randn(shape, device=DEVICE) for shape in ((30, 20), (20,), (7, 1))]
    gradients = [[torch.randn_like(p) for p in start] for _ in range(3)]
    options = settings.model_dump(exclude={"name"})
    ends = []
    for fused in (True, False):
        weights = [nn.Parameter(p.clone()) for p in start]
        if fused:
            optimizer = settings.build(weights)
            assert optimizer.param_groups[0]["fused"]
        else:
            optimizer = getattr(optim, settings.kind)(weights, **options, foreach=False)
        for step in gradients:
            for weight, gradient in zip(weights, step, strict=True):
                weight.grad = gradient.clone()
            optimizer.step()
        ends.append(weights)
    for one, other, first in zip(*ends, start, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
        assert not torch.allclose(one, first)


def test_cudnn_is_there() -> None:
    """The functions that are used exist in this torch, and take what they are given."""
    assert cudnn.available(torch.zeros(2, 3, 4, device=DEVICE))
    assert cudnn.available(torch.zeros(2, 3, 4, device=DEVICE, dtype=F64))
    assert not cudnn.available(torch.zeros(2, 3, 4))
