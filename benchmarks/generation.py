"""Measures greedy generation, token by token, with a model of the size of the AWD-LSTM.

    python -m benchmarks.generation [--tokens 60] [--repeats 7] [--json F] (extra `bench`)

The model is 400-1150-1150-400 with 10,000 words. Each side runs in a process of its own; they take
turns. `nn.LSTM` calls three torch layers and a linear layer for every token; `step by step` is the
cells' `step`; `ours` is our generation in float32, also with bfloat16 weights and with 16 texts in
a batch; `onnxruntime` runs the same weights as an ONNX graph. As a check, all sides in float32 must
generate the same tokens. `floor` is the time of reading every weight once, at the memory bandwidth
measured in the same run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .sides import Side, in_turn, machine, median, relative_range, seconds, serve

V, E, H = 10_000, 400, 1150
MANY = 16
SIDES = ("nn.LSTM", "step by step", "ours", "ours, bf16", "onnxruntime", f"ours, {MANY} at once")
_made: dict[str, Any] = {}


def initial() -> Any:
    """The model whose weights all sides use."""
    import torch

    from nextword.models.recurrent import RecurrentConfig

    torch.manual_seed(1)
    config = RecurrentConfig(
        cell="lstm", embedding=E, hidden=H, layers=3, tied=True, embedding_std=0.3
    )
    return config.build(V).eval()


def ours(name: str) -> Any:
    """A function n → the ids of n generated tokens, by our code."""
    from itertools import islice

    import torch

    from nextword.generation.sample import sample_ids
    from nextword.generation.sampling import Sampling
    from nextword.nn import kernels

    model = initial()
    rows = MANY if "at once" in name else 1
    precision: Any = "bf16" if "bf16" in name else "fp32"
    backend = "step" if "step" in name else "auto"

    def write(tokens: int) -> list[int]:
        prompt = torch.arange(2, 2 + rows)[:, None]
        greedy = Sampling(temperature=0)
        drawn = sample_ids(model, prompt, model.start(rows), greedy, precision=precision)
        with kernels.backend(backend):
            return [int(ids[0]) for ids in islice(drawn, tokens)]

    return write


def torch_lstm() -> Any:
    """The same with torch.nn, as one writes it by hand."""
    import torch

    model = initial()
    layers = []
    for layer in model.stack.layers:
        lstm = torch.nn.LSTM(layer.W.shape[1], layer.U.shape[1])
        lstm.load_state_dict(
            {
                "weight_ih_l0": layer.W,
                "weight_hh_l0": layer.U,
                "bias_ih_l0": layer.b,
                "bias_hh_l0": torch.zeros_like(layer.b),
            }
        )
        layers.append(lstm)

    @torch.no_grad()
    def write(tokens: int) -> list[int]:
        states: list[Any] = [None] * len(layers)
        last, ids = torch.tensor([[2]]), []
        for _ in range(tokens):
            x = model.embedding(last)
            for index, lstm in enumerate(layers):
                x, states[index] = lstm(x, states[index])
            logits = torch.nn.functional.linear(x[0, 0], model.embedding.weight, model.head.b)
            logits[0] = -torch.inf  # <unk>, as in all sides
            last = logits.argmax()[None, None]
            ids.append(int(last))
        return ids

    return write


def onnx_graph() -> bytes:
    """The model as an ONNX graph of one step."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    model = initial()

    def reordered(x: Any) -> Any:
        """Reorder gates from ours (input, forget, candidate, output) to those of ONNX (input,
        output, forget, candidate)."""
        i, f, g, o = np.split(x.detach().numpy(), 4)
        return np.concatenate([i, o, f, g])[None]

    constants, nodes, inputs, outputs = [], [], [], []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    embedding = model.embedding.weight.detach().numpy()
    nodes.append(helper.make_node("Gather", [constant("E", embedding), "id"], ["x0"]))
    inputs.append(helper.make_tensor_value_info("id", TensorProto.INT64, [1, 1]))
    x = "x0"
    for n, layer in enumerate(model.stack.layers):
        width = layer.U.shape[1]
        for part in ("h", "c"):
            shape = [1, 1, width]
            inputs.append(helper.make_tensor_value_info(f"{part}{n}", TensorProto.FLOAT, shape))
            outputs.append(helper.make_tensor_value_info(f"{part}{n}_", TensorProto.FLOAT, shape))
        bias = np.concatenate([reordered(layer.b), np.zeros((1, 4 * width), np.float32)], axis=1)
        given = [
            x,
            constant(f"W{n}", reordered(layer.W)),
            constant(f"U{n}", reordered(layer.U)),
            constant(f"b{n}", bias),
            "",
            f"h{n}",
            f"c{n}",
        ]
        made = [f"y{n}", f"h{n}_", f"c{n}_"]
        nodes.append(helper.make_node("LSTM", given, made, hidden_size=width))
        x = f"h{n}_"
    nodes.append(helper.make_node("MatMul", [x, constant("ET", embedding.T)], ["product"]))
    b = model.head.b.detach().numpy()
    nodes.append(helper.make_node("Add", ["product", constant("b", b)], ["logits"]))
    outputs.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 1, V]))
    graph = helper.make_graph(nodes, "step", inputs, outputs, constants)
    opset = [helper.make_opsetid("", 17)]
    made_model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    return bytes(made_model.SerializeToString())


def onnxruntime() -> Any:
    """The same with the ONNX graph, run once for every token."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(onnx_graph(), options, providers=["CPUExecutionProvider"])
    widths = (H, H, E)

    def write(tokens: int) -> list[int]:
        states = [np.zeros((1, 1, w), np.float32) for w in widths for _ in "hc"]
        names = [f"{part}{n}" for n in range(3) for part in "hc"]
        last, ids = 2, []
        for _ in range(tokens):
            given = dict(zip(names, states, strict=True)) | {"id": np.array([[last]])}
            *states, logits = session.run(None, given)
            logits[..., 0] = -np.inf
            last = int(logits.argmax())
            ids.append(last)
        return ids

    return write


def answer(side: str, tokens: int) -> dict[str, Any]:
    """Runs in the process of a side: returns seconds per token, and the ids."""

    if side not in _made:
        makers = {"nn.LSTM": torch_lstm, "onnxruntime": onnxruntime}
        _made[side] = makers[side]() if side in makers else ours(side)
        _made[side](3)
    ids: list[int] = []
    took = seconds(lambda: ids.extend(_made[side](tokens)))
    return {"seconds": took / tokens, "ids": ids}


def bandwidth() -> float:
    """The memory bandwidth in bytes per second, for reading by all threads."""
    import statistics

    import torch

    x = torch.ones(50_000_000)
    return 4 * x.numel() / statistics.median(seconds(lambda: x.sum()) for _ in range(7))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        serve(lambda **request: answer(options.side, **request))
        return
    read = bandwidth()
    weights = sum(4 * n * (m + n) for n, m in ((H, E), (H, H), (E, H))) + V * E
    print(f"{machine()}; {read / 1e9:.0f} GB/s read")
    print(f"AWD-LSTM {E}-{H}-{H}-{E}, {V:,} words; {options.tokens} tokens, greedy\n")
    sides = {name: Side("benchmarks.generation", name) for name in SIDES}
    answers = in_turn(sides, options.repeats, tokens=options.tokens)
    for side in sides.values():
        side.close()
    print("| side | ms a step | tokens/s | beside nn.LSTM | spread | same tokens |")
    print("| --- | --- | --- | --- | --- | --- |")
    theirs, wrote = median(answers["nn.LSTM"]), answers["nn.LSTM"][0]["ids"]
    for name in SIDES:
        took, rows = median(answers[name]), MANY if "at once" in name else 1
        print(
            f"| {name} | {1e3 * took:.2f} | {rows / took:,.0f} | {rows * theirs / took:.1f} | "
            f"{relative_range(answers[name]):.0%} | {answers[name][0]['ids'] == wrote} |"
        )
    floor = 4 * weights / read
    print(f"| floor, float32 | {1e3 * floor:.2f} | {1 / floor:,.0f} | {theirs / floor:.1f} | | |")
    if options.json:
        options.json.write_text(json.dumps({"bandwidth": read, "answers": answers}))


if __name__ == "__main__":
    main()
