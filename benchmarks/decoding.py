"""Measures the time of generating a token after texts of different length, with and without a KV
cache.

    python -m benchmarks.decoding [--repeats 7] [--json F] [--plot FILE.png]

The model is a Transformer language model (4 layers of width 256, context 2,048, 8,000 words); it
reads one text. With the cache a step reads only the last token; without it the whole text is read
again for every token. Both must give the same logits, which is checked at every length.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2047)


def measure(repeats: int) -> list[dict[str, Any]]:
    """The milliseconds of the next token, for each length of the text."""
    import torch

    from nextword.models.transformer_lm import TransformerLMConfig

    torch.manual_seed(1)
    config = TransformerLMConfig(hidden=256, layers=4, heads=4, context=2048, tied=True)
    model = config.build(8000).eval()
    ids = torch.randint(2, 8000, (1, max(LENGTHS) + 1))
    rows = []
    with torch.no_grad():
        for length in LENGTHS:
            state = model.advance(ids[:, :length], model.start(1))
            carried, anew = [], []
            for repeat in range(repeats + 1):
                began = time.perf_counter()
                step = model.forward(ids[:, length : length + 1], state).logits[:, -1]
                middle = time.perf_counter()
                hidden, _, _ = model.hidden(ids[:, : length + 1], model.start(1))
                whole = model.head(hidden[:, -1:], model.embedding.weight)[:, -1]
                if repeat:  # the first is a warm-up
                    carried.append(middle - began)
                    anew.append(time.perf_counter() - middle)
            rows.append(
                {
                    "length": length,
                    "carried_ms": 1000 * median(carried),
                    "anew_ms": 1000 * median(anew),
                    "difference": float((step - whole).abs().max()),
                }
            )
    return rows


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot both curves."""
    from nextword import plot

    with plot.figure(path) as (ax,):
        lengths = [row["length"] for row in rows]
        ax.plot(lengths, [row["anew_ms"] for row in rows], marker="o", label="read anew")
        ax.plot(lengths, [row["carried_ms"] for row in rows], marker="o", label="carried")
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="tokens so far",
            ylabel="milliseconds of the next token",
            title="Keys and values carried, and not",
        )
        ax.legend()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    rows = measure(options.repeats)
    print(f"{'tokens so far':>14}{'carried':>12}{'read anew':>12}{'times':>8}{'apart':>10}")
    for row in rows:
        print(
            f"{row['length']:>14,}{row['carried_ms']:>9.2f} ms{row['anew_ms']:>9.2f} ms"
            f"{row['anew_ms'] / row['carried_ms']:>8.1f}{row['difference']:>10.1e}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    if options.plot:
        draw(rows, options.plot)


if __name__ == "__main__":
    main()
