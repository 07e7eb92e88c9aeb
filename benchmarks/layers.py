"""One recurrent layer, forward and backward, beside torch.nn's.

    python -m benchmarks.layers [--cell lstm gru elman] [--hidden 650 1150] [--repeats 7] [--json F]

The sides, each in a process of its own, in turn: `auto` is what a model here runs; `ours` our own
loops, whatever the shape; `torch` nn.LSTM, nn.GRU or nn.RNN as they come; `torch, memory kept` the
same with the C library told to keep freed memory, as a training here tells it. Every shape is
listed. Beside each ratio the largest difference of the outputs and of the gradients of input and
weights, relative to the largest number in each.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .sides import Side, in_turn, machine, median, peak_gflops, relative_range, seconds, serve

SHAPES = ((20, 10), (20, 35), (20, 70), (40, 70), (80, 70))  # batch, time
SIDES = ("auto", "ours", "torch", "torch, memory kept")
TORCH = {"lstm": "LSTM", "gru": "GRU", "elman": "RNN"}
_made: dict[Any, Any] = {}


def make(side: str, cell: str, hidden: int, batch: int, time: int) -> Any:
    """A function that runs the layer once and returns what it computed."""
    import torch

    from nextword.nn import kernels
    from nextword.nn.recurrent import RecurrentLayer

    torch.manual_seed(1)
    layer: Any = RecurrentLayer(cell, hidden, hidden)
    x = torch.randn(time, batch, hidden, requires_grad=True)
    upstream = torch.randn(time, batch, hidden)
    if not side.startswith("torch"):
        state = layer.start(batch)
        backend = {"auto": "auto", "ours": "fast"}[side]

        def ours() -> Any:
            x.grad = None
            layer.zero_grad()
            with kernels.backend(backend):
                out = layer(x, state)[0]
            out.backward(upstream)
            return out, x.grad, layer.W.grad, layer.U.grad

        return ours
    theirs = getattr(torch.nn, TORCH[cell])(hidden, hidden)
    with torch.no_grad():
        b_w, b_u = layer.cell.torch_biases(layer.b)
        for name, value in (("ih", layer.W), ("hh", layer.U)):
            getattr(theirs, f"weight_{name}_l0").copy_(value)
        theirs.bias_ih_l0.copy_(b_w)
        theirs.bias_hh_l0.copy_(b_u)

    def plain() -> Any:
        x.grad = None
        theirs.zero_grad()
        out = theirs(x)[0]
        out.backward(upstream)
        return out, x.grad, theirs.weight_ih_l0.grad, theirs.weight_hh_l0.grad

    return plain


def answer(side: str, **shape: Any) -> dict[str, Any]:
    """In a side's process: one timed run; with `save`, what it computed, to a file."""
    import torch

    save = shape.pop("save", None)
    key = json.dumps(shape)
    if key not in _made:
        _made.clear()
        _made[key] = make(side, **shape)
        _made[key]()
    if save:
        torch.save([t.detach() for t in _made[key]()], save)
        return {}
    return {"seconds": seconds(_made[key])}


def difference(folder: Path) -> float:
    """Between our outputs and gradients and torch's."""
    import torch

    ours, theirs = (torch.load(folder / name) for name in ("ours", "torch"))
    return max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, theirs, strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--cell", nargs="+", choices=list(TORCH), default=list(TORCH))
    parser.add_argument("--hidden", nargs="+", type=int, default=[650, 1150])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        if options.side == "torch, memory kept" or not options.side.startswith("torch"):
            from nextword.nn.kernels.memory import keep_freed_memory

            keep_freed_memory()
        serve(lambda **request: answer(options.side, **request))
        return
    print(f"{machine()}; {peak_gflops():.0f} GFLOP/s measured\n")
    print("| cell | hidden | batch × time | ", end="")
    print(" | ".join(f"{side}, ms" for side in SIDES), end="")
    print(" | auto / torch | auto / memory kept | spread | difference |")
    print("| --- " * (len(SIDES) + 7) + "|")
    rows = []
    for cell in options.cell:
        for hidden in options.hidden:
            for batch, time in SHAPES:
                rows.append(compare(options.repeats, cell, hidden, batch, time))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def compare(repeats: int, cell: str, hidden: int, batch: int, time: int) -> dict[str, Any]:
    """A row of the table, printed and returned."""
    import tempfile

    shape = {"cell": cell, "hidden": hidden, "batch": batch, "time": time}
    sides = {name: Side("benchmarks.layers", name) for name in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("ours", "torch"):
            sides[name].ask(**shape, save=f"{folder}/{name}")
        apart = difference(Path(folder))
    answers = in_turn(sides, repeats, **shape)
    for side in sides.values():
        side.close()
    medians = {name: median(answers[name]) for name in SIDES}
    widest = max(relative_range(answers[name]) for name in SIDES)
    print(
        f"| {cell} | {hidden} | {batch} × {time} | "
        + " | ".join(f"{1e3 * medians[name]:.1f}" for name in SIDES)
        + f" | {medians['torch'] / medians['auto']:.2f}"
        + f" | {medians['torch, memory kept'] / medians['auto']:.2f}"
        + f" | {widest:.0%} | {apart:.0e} |",
        flush=True,
    )
    return shape | {"medians": medians, "spread": widest, "difference": apart}


if __name__ == "__main__":
    main()
