"""Compares the peak memory of a training step with that of plain torch code.

    python -m benchmarks.memory [--words 33278] [--batch 80] [--time 70]

The model is a tied LSTM 400-1150-400 with the vocabulary of WikiText-2 at batch 80 × 70. `plain` is
plain torch code, which holds the logits of all tokens, their log-softmax and its gradient; `torch,
chunked` uses F.linear_cross_entropy, if this torch has it. Each side runs two steps in a process of
its own. Its figure is the peak memory of the process minus the memory before the first step. The
loss of the first step is printed as a check.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

E, H = 400, 1150
SIDES = ("ours", "plain", "torch, chunked")


def peak() -> int:
    """The peak resident memory of this process so far, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(side: str, words: int, batch: int, time: int) -> dict[str, Any]:
    """Run two steps in this process."""
    import time as clock

    import torch
    from torch.nn import functional

    from nextword.models.recurrent import RecurrentConfig
    from nextword.nn.heads import SoftmaxHead

    torch.manual_seed(1)
    config = RecurrentConfig(cell="lstm", embedding=E, hidden=H, layers=2, tied=True)
    model = config.build(words)
    ids = torch.randint(2, words, (batch, time + 1))
    x, y = ids[:, :-1], ids[:, 1:]
    before, losses = peak(), []
    for _ in range(2):
        began = clock.perf_counter()
        state = model.start(batch)
        if side == "ours":
            loss = -model.score(x, y, state).log_prob.mean()
        else:
            hidden = model.hidden(x, state)[0].flatten(0, 1)
            targets = y.T.flatten()
            assert isinstance(model.head, SoftmaxHead)
            weight, bias = model.embedding.weight, model.head.b
            if side == "plain":
                loss = functional.cross_entropy(functional.linear(hidden, weight, bias), targets)
            else:
                loss = functional.linear_cross_entropy(
                    hidden,
                    weight,
                    targets,
                    linear_bias=bias,
                    options=torch.nn.LinearCrossEntropyOptions(),
                )
        torch.autograd.backward(loss)
        model.zero_grad()
        losses.append(float(loss.detach()))
        took = clock.perf_counter() - began
    return {"peak": peak() - before, "loss": losses[0], "seconds": took}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--words", type=int, default=33_278)
    parser.add_argument("--batch", type=int, default=80)
    parser.add_argument("--time", type=int, default=70)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    shape = (options.words, options.batch, options.time)
    if options.side:
        print(json.dumps(measure(options.side, *shape)))
        return
    print(f"LSTM {E}-{H}-{E}, {shape[0]:,} words, batch {shape[1]} × {shape[2]}\n")
    print("| side | peak over the start, MB | loss | seconds |\n| --- | --- | --- | --- |")
    for side in SIDES:
        command = [sys.executable, "-m", "benchmarks.memory", "--side", side]
        for name, value in zip(("words", "batch", "time"), shape, strict=True):
            command += [f"--{name}", str(value)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"| {side} | not in this torch | | |")
            continue
        got = json.loads(done.stdout.splitlines()[-1])
        print(f"| {side} | {got['peak'] / 1e6:,.0f} | {got['loss']:.6f} | {got['seconds']:.1f} |")


if __name__ == "__main__":
    main()
