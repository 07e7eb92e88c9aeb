"""Plots learning curves over wall time, of runs with the same vocabulary and of the language model
in pytorch/examples.

    python -m benchmarks.laptop --run RUN [RUN …] [--peer F.json] --plot FILE.png [--title TEXT]

RUN comes from `nextword train laptop`, for example, F.json from `python -m
benchmarks.word_language_model`. The points are validation perplexities; the time includes
everything. The faint line is the perplexity of the training text during training, with dropout.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from nextword import plot
from nextword.training.loop.journal import read_metrics

_BIN = 60  # seconds of training that are averaged for a point of the line


def curves(run: Path) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Two curves of (minutes, perplexity): of the validations, and of the training text."""
    records = read_metrics(run)
    trained = [r for r in records if "seconds" in r]
    valid = []
    for record in (r for r in records if "valid_perplexity" in r):
        until = [r["seconds"] for r in trained if r["step"] <= record["step"]]
        valid.append((until[-1] / 60, record["valid_perplexity"]))
    bins: dict[int, list[dict[str, Any]]] = {}
    for record in trained:
        bins.setdefault(int(record["seconds"] // _BIN), []).append(record)
    line = [
        ((index + 0.5) * _BIN / 60, math.exp(sum(r["nll"] for r in some) / len(some)))
        for index, some in sorted(bins.items())
    ]
    return valid, line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--run", type=Path, nargs="+", required=True)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--plot", type=Path, required=True)
    parser.add_argument("--title", default="An hour on two cores")
    options = parser.parse_args()
    with plot.figure(options.plot) as (ax,):
        for run, colour, marker in zip(options.run, plot.COLOURS, "osv^D", strict=False):
            valid, line = curves(run)
            ax.plot(*zip(*line, strict=True), color=colour, alpha=0.4, lw=1)
            ax.plot(*zip(*valid, strict=True), color=colour, marker=marker, label=run.name)
        if options.peer:
            peer = json.loads(options.peer.read_text())["curve"]
            ax.plot(
                [point["seconds"] / 60 for point in peer],
                [point["valid"] for point in peer],
                color=plot.COLOURS[len(options.run)],
                marker="s",
                label="word_language_model, 2 × 200",
            )
        ax.set(
            yscale="log",
            ylim=(80, 600),
            xlabel="minutes of wall time",
            ylabel="perplexity (WikiText-2 valid)",
            title=f"{options.title}; faint: the training text, with dropout",
        )
        ax.set_yticks([80, 100, 150, 200, 300, 500], ["80", "100", "150", "200", "300", "500"])
        ax.minorticks_off()
        ax.legend()


if __name__ == "__main__":
    main()
