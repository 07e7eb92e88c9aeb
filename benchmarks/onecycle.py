"""Trains `awd-lstm-onecycle` on WikiText-2 to published quality, in pieces of some minutes.

    python -m benchmarks.onecycle --data DIR --out RUN [--device cuda] [--piece 9] [--set K=V ...]

DIR holds train.txt, valid.txt and test.txt. Each call trains for at most `--piece` minutes and
saves. If training is not finished, it ends with status 3 and must be called again. The last call
evaluates on the test text and writes RUN/result.json: perplexities, wall time of training, device.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path

MORE = 3  # exit status: training is not finished


def train(arguments: argparse.Namespace) -> bool:
    """Train for one piece; returns whether training is finished."""
    data, out = arguments.data, arguments.out
    command = [sys.executable, "-m", "nextword", "train"]
    if (out / "state.safetensors").is_file():
        command += ["--out", out, "--resume"]
    else:
        command += ["awd-lstm-onecycle", "--train", data / "train.txt"]
        command += ["--valid", data / "valid.txt", "--out", out]
        for setting in arguments.set:
            command += ["--set", setting]
    process = subprocess.Popen([str(part) for part in [*command, "--device", arguments.device]])
    try:
        status = process.wait(timeout=60 * arguments.piece)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # training saves its state and ends
        status = process.wait()
    if status not in (0, 130):
        raise SystemExit(status)
    return status == 0


def result(arguments: argparse.Namespace) -> dict[str, object]:
    """The figures of the finished run."""
    import torch

    import nextword
    from nextword.training.loop.journal import read_metrics

    run = nextword.load(arguments.out, arguments.device)
    records = read_metrics(arguments.out)
    scores = {
        name: nextword.evaluate(run, arguments.data / f"{name}.txt") for name in ("valid", "test")
    }
    on_gpu = arguments.device.startswith("cuda")
    return {
        "valid_perplexity": scores["valid"].perplexity,
        "test_perplexity": scores["test"].perplexity,
        "signature": scores["test"].signature,
        "seconds": max(record.get("seconds", 0.0) for record in records),
        "device": torch.cuda.get_device_name(arguments.device) if on_gpu else "cpu",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--piece", type=float, default=9.0, help="minutes")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    if not train(arguments):
        print("more to do: run it again", file=sys.stderr)
        raise SystemExit(MORE)
    found = result(arguments)
    (arguments.out / "result.json").write_text(json.dumps(found, indent=1))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
