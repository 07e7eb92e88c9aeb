"""Compares the time of a training step of an AWD-LSTM with that of fastai.

    python -m benchmarks.awd_lstm [--repeats 7] [--json F]       (needs the `bench` extra)

The model is 400-1150-1150-400 with 10,000 words, tied, at batch 20 × 70, with all forms of dropout,
AR, TAR, clipping and SGD. `ours` is the training step of `nextword` (objective, clipping,
optimizer); `ours, bf16` is the same with `train.precision=bf16`. `fastai` is its AWD_LSTM and
LinearDecoder in a plain loop, with the loss, penalties, clipping and SGD that its callbacks add
(its Learner would be slower). Each side runs in a process of its own; they take turns. As a check,
both run without dropout from the same weights: losses and gradient norms must agree.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .sides import Side, in_turn, machine, median, peak_gflops, relative_range, seconds, serve

V, E, H, B, T = 10_000, 400, 1150, 20, 70
DROPS = {"embed": 0.1, "input": 0.4, "hidden": 0.25, "output": 0.4, "weight": 0.5}
ALPHA, BETA, CLIP, LR = 2.0, 1.0, 0.25, 30.0
SIDES = ("ours", "fastai", "ours, bf16")
# Multiply-adds of the forward pass of a token. Each is two operations; a step costs three passes.
MACS = 4 * H * (E + H) + 4 * H * (H + H) + 4 * E * (H + E) + V * E
_made: dict[bool, Any] = {}


def initial(drops: bool) -> Any:
    """Our model; fastai's gets its weights."""
    import torch

    from nextword.models.recurrent import RecurrentConfig

    torch.manual_seed(1)
    on = float(drops)
    return RecurrentConfig(
        cell="lstm",
        embedding=E,
        hidden=H,
        layers=3,
        tied=True,
        dropout_embedding=on * DROPS["embed"],
        dropout_input=on * DROPS["input"],
        dropout_hidden=on * DROPS["hidden"],
        dropout_output=on * DROPS["output"],
        dropout_weight=on * DROPS["weight"],
    ).build(V)


def batches() -> Any:
    """Yield ids (B, T + 1), the same for both sides."""
    import torch

    torch.manual_seed(2)
    return torch.randint(2, V, (B, T + 1))


def ours(drops: bool, precision: str) -> Any:
    """A function that runs one step and returns (loss, gradient norm)."""
    import torch

    from nextword.config import Config
    from nextword.state import detach
    from nextword.training.loop.step import clip_gradients, sum_of
    from nextword.types import Batch

    config = Config.parse(
        {
            "train": {"clip": CLIP, "precision": precision},
            "objective": {"name": "causal", "ar": ALPHA, "tar": BETA},
            "optimizer": {"name": "sgd", "lr": LR if drops else 1e-9},
        }
    )
    model = initial(drops).train()
    optimizer = config.optimizer.build(model.parameters())
    ids = batches()
    batch = Batch(ids[:, :-1], ids[:, 1:], continues=True)
    state = model.start(B)

    def step() -> tuple[float, float]:
        nonlocal state
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            terms, state = config.objective(model, batch, detach(state))
        loss = sum_of(terms)
        torch.autograd.backward(loss)
        norm = clip_gradients(model, config.train)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach()), norm

    return step


def fastai(drops: bool) -> Any:
    """The same with fastai's model."""
    import torch
    from fastai.text.models.awdlstm import AWD_LSTM
    from fastai.text.models.core import get_language_model

    on = float(drops)
    model = get_language_model(
        AWD_LSTM,
        V,
        config={
            "emb_sz": E,
            "n_hid": H,
            "n_layers": 3,
            "pad_token": 1,
            "bidir": False,
            "tie_weights": True,
            "out_bias": True,
            **{f"{name}_p": on * p for name, p in DROPS.items()},
        },
    )
    start = initial(drops)
    with torch.no_grad():
        model[0].encoder.weight.copy_(start.embedding.weight)
        for rnn, layer in zip(model[0].rnns, start.stack.layers, strict=True):
            rnn.weight_hh_l0_raw.copy_(layer.U)
            rnn.module.weight_ih_l0.copy_(layer.W)
            rnn.module.bias_ih_l0.copy_(layer.b)
            rnn.module.bias_hh_l0.zero_()
    for rnn in model[0].rnns:  # a second, redundant bias: training it too would change the norm
        rnn.module.bias_hh_l0.requires_grad_(False)
    model.train()
    model.reset()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=LR if drops else 1e-9)
    ids = batches()

    def step() -> tuple[float, float]:
        decoded, raw, dropped = model(ids[:, :-1])
        loss = torch.nn.functional.cross_entropy(decoded.flatten(0, 1), ids[:, 1:].flatten())
        loss = loss + ALPHA * dropped.float().pow(2).mean()
        loss = loss + BETA * (raw[:, 1:] - raw[:, :-1]).float().pow(2).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach()), float(norm)

    return step


def answer(side: str, drops: bool) -> dict[str, Any]:
    """Runs in the process of a side: time one step; returns the time, loss and norm."""
    import torch

    torch.set_flush_denormal(side != "fastai")  # as our training does
    if drops not in _made:
        _made.clear()
        if side == "fastai":
            _made[drops] = fastai(drops)
        else:
            _made[drops] = ours(drops, "bf16" if "bf16" in side else "fp32")
    result: list[Any] = []
    took = seconds(lambda: result.extend(_made[drops]()))
    return {"seconds": took, "loss": result[0], "norm": result[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        if options.side != "fastai":
            from nextword.nn.kernels.memory import keep_freed_memory

            keep_freed_memory()
        serve(lambda **request: answer(options.side, **request))
        return
    peak = peak_gflops()
    print(f"{machine()}; {peak:.0f} GFLOP/s measured")
    print(
        f"AWD-LSTM {E}-{H}-{H}-{E}, {V:,} words, batch {B} × {T}, "
        f"{MACS * 6 / 1e6:.0f} MFLOP a token\n"
    )
    sides = {name: Side("benchmarks.awd_lstm", name) for name in SIDES}
    check = {name: side.ask(drops=False) for name, side in sides.items()}
    answers = in_turn(sides, options.repeats, drops=True)
    for side in sides.values():
        side.close()
    print("| side | tokens/s | beside fastai | GFLOP/s | of the peak | spread |")
    print("| --- | --- | --- | --- | --- | --- |")
    theirs = median(answers["fastai"])
    for name in SIDES:
        took = median(answers[name])
        rate = MACS * 6 * B * T / took / 1e9
        print(
            f"| {name} | {B * T / took:,.0f} | {theirs / took:.2f} | {rate:.0f} | "
            f"{rate / peak:.0%} | {relative_range(answers[name]):.0%} |"
        )
    print("\nWithout dropout, from the same weights:")
    for name, got in check.items():
        print(f"  {name:<11} loss {got['loss']:.6f}   gradient norm {got['norm']:.6f}")
    if options.json:
        options.json.write_text(json.dumps({"peak": peak, "check": check, "answers": answers}))


if __name__ == "__main__":
    main()
