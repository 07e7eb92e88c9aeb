"""Measures training steps on a GPU: with torch's layers, with ours, and with ours as CUDA graphs.

    python -m benchmarks.gpu [--repeats 7] [--json F]

There are two models: an AWD-LSTM (400-1150-1150-400, 33,278 words, batch 80 × 70, all forms of
dropout, AR, TAR) and a small LSTM (2 × 256, 8,000 words, batch 32 × 64), each in float32 and
bfloat16. `torch` calls `torch.lstm` instead of cuDNN with our flat buffer, and so copies masked
weights into a new buffer at every call. The sides take turns. As a check, the losses of the first
step without dropout are printed. Without a CUDA device the script says so and ends.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SIDES = ("torch", "ours", "ours, graphs")
DROPS = {"embedding": 0.1, "input": 0.65, "hidden": 0.3, "output": 0.4, "weight": 0.5}
MODELS: dict[str, dict[str, Any]] = {
    "AWD-LSTM": {
        "vocab": 33_278,
        "batch": (80, 70),
        "model": {"embedding": 400, "hidden": 1150, "layers": 3, "tied": True},
        "drops": DROPS,
        "objective": {"ar": 2.0, "tar": 1.0},
    },
    "2 x 256": {
        "vocab": 8_000,
        "batch": (32, 64),
        "model": {"hidden": 256, "layers": 2, "tied": True},
        "drops": {"input": 0.1, "hidden": 0.1, "output": 0.1},
        "objective": {},
    },
}


@contextmanager
def torch_layers(wanted: bool) -> Any:
    """A context manager inside which, if `wanted`, torch's own layers run."""
    from nextword.nn.kernels import cudnn

    ours = cudnn.available
    if wanted:
        cudnn.available = lambda x: False
    try:
        yield
    finally:
        cudnn.available = ours


class Work:
    """A model in training."""

    def __init__(self, name: str, precision: str, side: str, drops: bool) -> None:
        import torch

        from nextword.config import Config
        from nextword.text.char import CharTokenizer
        from nextword.training.loop.loop import learner
        from nextword.training.loop.training import Training
        from nextword.types import Batch

        case, self.side = MODELS[name], side
        chances = {f"dropout_{k}": p * drops for k, p in case["drops"].items()}
        self.config = Config.parse(
            {
                "model": {"name": "recurrent", **case["model"], **chances},
                "train": {
                    "precision": precision,
                    "graphs": side == "ours, graphs",
                    "clip": 0.25,
                },
                "objective": {"name": "causal", **case["objective"]},
                "optimizer": {"name": "adamw", "lr": 1e-3},
            }
        )
        torch.manual_seed(1)
        device = torch.device("cuda")
        model = self.config.model.build(case["vocab"]).to(device).train()
        corpus: Any = None
        unread = CharTokenizer(["<unk>", "<eos>"], lower=False)
        began = time.perf_counter()
        self.training = Training(Path(), self.config, model, corpus, None, device, began, unread)
        self.learn = learner(self.training)
        self.optimizer = self.config.optimizer.build(model.parameters())
        rows, steps = case["batch"]
        ids = torch.randint(2, case["vocab"], (rows, steps + 1), device=device)
        self.batch = Batch(ids[:, :-1], ids[:, 1:], continues=True)
        self.state: Any = None

    def step(self) -> float:
        """Run one training step; returns the loss before the update."""
        from nextword.state import detach
        from nextword.training.loop.step import clip_gradients

        with torch_layers(self.side == "torch"):
            state = None if self.state is None else detach(self.state)
            _, loss, self.state = self.learn(self.batch, state)
        clip_gradients(self.training.model, self.config.train)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss)

    def tokens_per_second(self, steps: int) -> float:
        import torch

        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(steps):
            self.step()
        torch.cuda.synchronize()
        return steps * self.batch.ids.numel() / (time.perf_counter() - began)


def main() -> None:
    from statistics import median

    import torch

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device here: nothing measured")
        return
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    rows = []
    for name in MODELS:
        for precision in ("fp32", "bf16"):
            checks = [Work(name, precision, side, drops=False).step() for side in SIDES[:2]]
            works = {side: Work(name, precision, side, drops=True) for side in SIDES}
            speeds: dict[str, list[float]] = {side: [] for side in SIDES}
            for repeat in range(arguments.repeats + 1):
                for side, work in works.items():
                    speed = work.tokens_per_second(arguments.steps)
                    if repeat:  # the first is a warm-up, which also records graphs
                        speeds[side].append(speed)
            speed_of = {side: median(values) for side, values in speeds.items()}
            rows.append({"model": name, "precision": precision, "losses": checks, **speed_of})
            print(
                f"{name:<10}{precision:<6}"
                + "".join(
                    f"{side}: {speed:>11,.0f} tokens/s ({speed / speed_of['torch']:.2f})   "
                    for side, speed in speed_of.items()
                )
                + f"losses {checks[0]:.5f} {checks[1]:.5f}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
