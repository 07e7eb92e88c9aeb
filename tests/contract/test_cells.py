"""What every recurrent cell keeps to, whatever its equation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from nextword import registry
from nextword.nn import kernels
from nextword.nn.recurrent import RecurrentLayer, RecurrentStack
from tests.support import scattered

CELLS = registry.names("cell")
FUSED = [name for name in CELLS if registry.load("cell", name).torch_layer]
RUNS = (
    [(name, "step") for name in CELLS]
    + [(name, "torch") for name in FUSED]
    + [(name, "fast") for name in CELLS if registry.load("cell", name).loops]
)

T, B, I, H = 5, 3, 4, 6


def layer_of(cell: str, dtype: torch.dtype = torch.float64) -> RecurrentLayer:
    return scattered(cell, I, H, dtype)


def some_state(layer: RecurrentLayer, batch: int = B) -> tuple[Tensor, ...]:
    torch.manual_seed(3)
    return tuple(torch.randn_like(part) for part in layer.start(batch))


def some_input(dtype: torch.dtype = torch.float64, steps: int = T) -> Tensor:
    torch.manual_seed(2)
    return torch.randn(steps, B, I, dtype=dtype)


def same(a: tuple[Tensor, ...], b: tuple[Tensor, ...], **tolerance: float) -> None:
    torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_start_is_zeros(cell: str, dtype: torch.dtype) -> None:
    """A tensor (B, H) of zeros for each of `state_names`, that share no memory, in the type of the
    weights."""
    layer = layer_of(cell, dtype)
    state = layer.start(B)
    assert len(state) == len(layer.cell.state_names) == len(set(layer.cell.state_names))
    assert layer.cell.state_names[0] == "h"
    for part in state:
        assert part.shape == (B, H)
        assert part.dtype == dtype
        assert not part.any()
    assert len({part.data_ptr() for part in state}) == len(state)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_step_gives_finite_states_of_the_same_shape(cell: str, dtype: torch.dtype) -> None:
    """One step: as many tensors as before, (B, H), finite, the type kept."""
    layer = layer_of(cell, dtype)
    wx = some_input(dtype)[0] @ layer.W.T + layer.b
    assert wx.shape == (B, layer.cell.gates * H)
    before = some_state(layer)
    after = layer.cell.step(wx, before, layer.U)
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        assert new.shape == old.shape
        assert new.dtype == dtype
        assert new.isfinite().all()
        assert not torch.equal(new, old)


@pytest.mark.parametrize(("cell", "backend"), RUNS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layer_keeps_precision_and_shape(cell: str, backend: str, dtype: torch.dtype) -> None:
    """Outputs (T, B, H) in the type that came in; single precision is near the double one."""
    layer = layer_of(cell, dtype)
    with kernels.backend(backend):
        out, last = layer(some_input(dtype), some_state(layer))
        twin = layer_of(cell)
        twin.load_state_dict(layer.state_dict())
        exact, _ = twin(
            some_input(dtype).double(), tuple(part.double() for part in some_state(layer))
        )
    assert out.shape == (T, B, H)
    assert out.dtype == dtype
    assert all(part.shape == (B, H) and part.dtype == dtype for part in last)
    torch.testing.assert_close(out.double(), exact, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("cell", "backend"), RUNS)
def test_last_output_is_the_first_part_of_the_state(cell: str, backend: str) -> None:
    """h of the last step is both the last output and the state handed on."""
    layer = layer_of(cell)
    with kernels.backend(backend):
        out, last = layer(some_input(), some_state(layer))
    torch.testing.assert_close(out[-1], last[0], atol=0, rtol=0)


@pytest.mark.parametrize(("cell", "backend"), RUNS)
def test_gradients_are_the_derivatives(cell: str, backend: str) -> None:
    """Outputs and last state, by input, first state and every parameter: as differences say."""
    layer = layer_of(cell)
    x, state = some_input(steps=3)[:, :2], some_state(layer, 2)
    names = [name for name, _ in layer.named_parameters()]

    def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        first, values = rest[: len(state)], rest[len(state) :]
        out, last = functional_call(layer, dict(zip(names, values, strict=True)), (x, first))
        return (out, *last)

    inputs = [t.detach().clone().requires_grad_() for t in (x, *state, *layer.parameters())]
    with kernels.backend(backend):
        assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize(("cell", "backend"), RUNS)
@pytest.mark.parametrize("cut", [1, 2, 4])
def test_cutting_and_carrying_changes_nothing(cell: str, backend: str, cut: int) -> None:
    """The whole sequence at once = its two parts, the state handed from one to the other."""
    layer = layer_of(cell)
    x, state = some_input(), some_state(layer)
    with kernels.backend(backend):
        whole, last = layer(x, state)
        first, middle = layer(x[:cut], state)
        second, end = layer(x[cut:], middle)
    same((whole, *last), (torch.cat([first, second]), *end), atol=1e-13, rtol=1e-12)


@pytest.mark.parametrize(("cell", "backend"), RUNS)
def test_rows_of_a_batch_do_not_mix(cell: str, backend: str) -> None:
    """A row alone gives what it gives in a batch."""
    layer = layer_of(cell)
    x, state = some_input(), some_state(layer)
    with kernels.backend(backend):
        out, last = layer(x, state)
        for row in range(B):
            only = slice(row, row + 1)
            alone, end = layer(x[:, only], tuple(part[only] for part in state))
            same((alone, *end), (out[:, only], *(part[only] for part in last)))


@pytest.mark.parametrize(("cell", "backend"), RUNS)
def test_first_state_matters_and_is_left_alone(cell: str, backend: str) -> None:
    """Every part of the given state reaches the outputs; none is written to."""
    layer = layer_of(cell)
    x, state = some_input(), some_state(layer)
    kept = tuple(part.clone() for part in state)
    with kernels.backend(backend):
        out, _ = layer(x, state)
        same(state, kept, atol=0, rtol=0)
        for index in range(len(state)):
            other = tuple(part + 0.5 * (i == index) for i, part in enumerate(state))
            assert not torch.allclose(layer(x, other)[0], out)


@pytest.mark.parametrize("cell", CELLS)
def test_init_fills_every_parameter(cell: str) -> None:
    """`init` leaves nothing as it was, and nothing far out."""
    layer = RecurrentLayer(cell, I, H)
    for parameter in layer.parameters():
        torch.nn.init.constant_(parameter, torch.nan)
    layer.cell.init(layer.W, layer.U, layer.b)
    for parameter in layer.parameters():
        assert parameter.isfinite().all()
        assert parameter.abs().max() <= 1


@pytest.mark.parametrize("cell", CELLS)
def test_stack_is_its_layers_one_on_the_other(cell: str) -> None:
    """A stack without dropout = its layers applied in turn, widths as given."""
    torch.manual_seed(0)
    stack = RecurrentStack(cell, [I, 5, 7, H]).double()
    assert [layer.W.shape[1] for layer in stack.layers] == [I, 5, 7]
    x = some_input()
    out, state = stack(x, stack.start(B))
    expected = x
    for layer, part in zip(stack.layers, state, strict=True):
        expected, last = layer(expected, layer.start(B))
        same(part, last)
    torch.testing.assert_close(out, expected)


def test_backend_ends_with_its_block() -> None:
    """The choice of kernels is undone at the end of the block, also after an error."""
    layer = layer_of("lstm")
    x = some_input()
    assert kernels.choose(layer.cell, x) != "step"

    def fail() -> None:
        with kernels.backend("step"):
            assert kernels.choose(layer.cell, x) == "step"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert kernels.choose(layer.cell, x) != "step"
    assert kernels.choose(layer_of("lstm-written-out").cell, x) == "step"
