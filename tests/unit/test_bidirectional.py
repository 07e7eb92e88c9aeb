"""Layers over rows of different lengths, in one direction and in both."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nextword import registry
from nextword.nn.bidirectional import Bidirectional, OneWay, reverse, run_lengths
from nextword.nn.recurrent import RecurrentLayer
from tests.support import scatter

CELLS = registry.names("cell")
T, I, H = 6, 4, 6
LENGTHS = [[3, 6, 1, 3], [6, 6, 6, 6], [1, 1, 1, 1], [2, 4, 1, 3], [5, 3, 2, 1], [1, 2, 3, 6]]


def draw(rows: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(T, rows, I, dtype=torch.float64, generator=generator)
    return x.requires_grad_()


def behind(lengths: list[int]) -> Tensor:
    """(T, B), True = padding."""
    return torch.arange(T)[:, None] >= torch.tensor(lengths)


def loss_of(out: Tensor, last: Any) -> Tensor:
    """A number that depends on every output and on every last state."""
    total = (out.tanh() * torch.arange(out.shape[2]).add(1)).sum()
    for index, part in enumerate(last):
        total = total + (index + 2) * (part.sin() * torch.arange(part.shape[1]).add(1)).sum()
    return total


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_run_lengths_is_each_row_alone(cell: str, lengths: list[int]) -> None:
    """Outputs, zeros behind them, last states, and the gradients of inputs and weights."""
    torch.manual_seed(0)
    layer = scatter(RecurrentLayer(cell, I, H))
    x = draw()
    out, last = run_lengths(layer, x, torch.tensor(lengths))
    assert out.shape == (T, 4, H)
    assert not out[behind(lengths)].any()
    total = torch.zeros((), dtype=torch.float64)
    for row, length in enumerate(lengths):
        alone, end = layer(x[:length, row : row + 1], layer.start(1))
        torch.testing.assert_close(out[:length, row : row + 1], alone)
        for part, expected in zip(last, end, strict=True):
            torch.testing.assert_close(part[row : row + 1], expected)
        total = total + loss_of(alone, end)
    wanted = [x, *layer.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad(loss_of(out, last), wanted), torch.autograd.grad(total, wanted)
    )


def test_reverse_is_its_loop() -> None:
    """Each row back to front, the padding where it was; twice is nothing."""
    x = draw()
    for lengths in LENGTHS:
        turned = reverse(x, torch.tensor(lengths))
        for row, length in enumerate(lengths):
            order = [*reversed(range(length)), *range(length, T)]
            assert torch.equal(turned[:, row], x[order, row])
        assert torch.equal(reverse(turned, torch.tensor(lengths)), x)


@pytest.mark.parametrize("filling", [1e30, float("inf"), float("nan")])
@pytest.mark.parametrize("kind", [Bidirectional, OneWay])
@pytest.mark.parametrize("cell", CELLS)
def test_padding_is_never_read(cell: str, kind: Any, filling: float) -> None:
    """Anything may stand there: the same outputs, states and gradients to the last bit, and no
    gradient goes there."""
    torch.manual_seed(0)
    lengths = [3, 6, 1, 4]
    module = scatter(kind(cell, [I, H, H]))
    results = []
    for content in (0.0, filling):
        x = draw().detach().clone()
        x[behind(lengths)] = content
        x.requires_grad_()
        out, last = module(x, torch.tensor(lengths))
        assert not out[behind(lengths)].any()
        loss = loss_of(out, [part for layer in last for part in layer])
        gradients = torch.autograd.grad(loss, [x, *module.parameters()])
        assert not gradients[0][behind(lengths)].any()
        results.append([out, *last, *gradients])
    torch.testing.assert_close(*results, atol=0, rtol=0)


def test_a_batch_may_be_wider_than_its_rows() -> None:
    """Padding behind the longest row."""
    torch.manual_seed(0)
    module, x = scatter(Bidirectional("gru", [I, H])), draw()
    lengths = torch.tensor([2, 3, 1, 3])
    out, last = module(x, lengths)
    narrow, same = module(x[:3], lengths)
    assert out.shape[0] == T
    torch.testing.assert_close(out[:3], narrow)
    torch.testing.assert_close(last, same)
    assert not out[3:].any()


# ------------------------------------------------------------------------------------- torch's


def torch_module(module: Bidirectional, cell: str, layers: int) -> Any:
    """nn.LSTM or nn.GRU with the same weights."""
    kind = nn.LSTM if cell == "lstm" else nn.GRU
    theirs = kind(I, H // 2, num_layers=layers, bidirectional=True).double()
    with torch.no_grad():
        for index in range(layers):
            for side, suffix in ((module.to_right, ""), (module.to_left, "_reverse")):
                layer, end = side[index], f"l{index}{suffix}"
                getattr(theirs, f"weight_ih_{end}").copy_(layer.W)
                getattr(theirs, f"weight_hh_{end}").copy_(layer.U)
                getattr(theirs, f"bias_ih_{end}").copy_(layer.b)
                bias = getattr(theirs, f"bias_hh_{end}").zero_()
                if cell == "gru":
                    bias[H:] = layer.cell.b_n  # two gates of H / 2 before it
    return theirs


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_is_torchs_bidirectional(cell: str, layers: int, lengths: list[int]) -> None:
    """Outputs, both directions' last states of each layer, and gradients of the input and of the
    matrices."""
    torch.manual_seed(0)
    module = scatter(Bidirectional(cell, [I, *[H] * layers]))
    theirs = torch_module(module, cell, layers)
    x, y = draw(), draw()
    out, last = module(x, torch.tensor(lengths))
    packed = pack_padded_sequence(y, torch.tensor(lengths), enforce_sorted=False)
    packed, end = theirs(packed)
    expected, _ = pad_packed_sequence(packed, total_length=T)
    torch.testing.assert_close(out, expected)
    parts = end if isinstance(end, tuple) else (end,)
    sides = [
        tuple(torch.cat([part[2 * index], part[2 * index + 1]], 1) for part in parts)
        for index in range(layers)
    ]
    torch.testing.assert_close(last, tuple(sides))
    for answer, state in ((out, last), (expected, sides)):
        loss_of(answer, [part for layer in state for part in layer]).backward()
    torch.testing.assert_close(x.grad, y.grad)
    for index in range(layers):
        for side, suffix in ((module.to_right, ""), (module.to_left, "_reverse")):
            end = f"l{index}{suffix}"
            torch.testing.assert_close(side[index].W.grad, getattr(theirs, f"weight_ih_{end}").grad)
            torch.testing.assert_close(side[index].U.grad, getattr(theirs, f"weight_hh_{end}").grad)


@pytest.mark.parametrize("cell", CELLS)
def test_one_way_is_the_layers_in_turn(cell: str) -> None:
    """And sees nothing of what follows, which both ways do."""
    torch.manual_seed(0)
    lengths = torch.tensor([3, 6, 1, 4])
    module = scatter(OneWay(cell, [I, H, H]))
    x = draw()
    out, last = module(x, lengths)
    y, first = run_lengths(module.layers[0], x, lengths)
    y, second = run_lengths(module.layers[1], y, lengths)
    torch.testing.assert_close(out, y)
    torch.testing.assert_close(last, (first, second))
    other = x.detach().clone()
    other[2, :2] += 1
    torch.testing.assert_close(module(other, lengths)[0][:2], out[:2], atol=0, rtol=0)
    both = scatter(Bidirectional(cell, [I, H, H]))
    changed = (both(other, lengths)[0] != both(x, lengths)[0]).any(-1)
    assert changed[:3, 0].all() and changed[:, 1].all() and not changed[:, 2:].any()


@pytest.mark.parametrize("kind", [Bidirectional, OneWay])
def test_dropout_between_layers_in_training(kind: Any) -> None:
    """`locked`: one mask for all steps; without, another at each. None in evaluation, none in
    front of the first layer."""
    lengths = torch.tensor([T] * 4)
    for locked in (False, True):
        torch.manual_seed(0)
        module = scatter(kind("elman", [I, H, H], 0.5, locked))
        single = scatter(kind("elman", [I, H], 0.5, locked))
        x = draw()
        assert not torch.allclose(module(x, lengths)[0], module(x, lengths)[0])
        torch.testing.assert_close(single(x, lengths)[0], single(x, lengths)[0], atol=0, rtol=0)
        module.eval()
        torch.testing.assert_close(module(x, lengths)[0], module(x, lengths)[0], atol=0, rtol=0)
        first = module.layers if kind is OneWay else [*module.to_right, *module.to_left]
        seen: list[Tensor] = []
        first[1].register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0]))
        module.train()(x, lengths)
        dropped = seen[0] == 0
        assert dropped.any() and not dropped.all()
        assert bool((dropped == dropped[:1]).all()) == locked


@pytest.mark.parametrize("widths", [[4, 5], [4, 6, 3], [3, 1]])
def test_odd_widths_are_refused(widths: list[int]) -> None:
    """Two directions share a layer's; the input's may be any."""
    with pytest.raises(ValueError, match="must be even"):
        Bidirectional("lstm", widths)
    Bidirectional("lstm", [3, 4, 2])
    OneWay("lstm", widths)
