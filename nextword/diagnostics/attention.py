"""Figures of the attention weights of a translator."""

from __future__ import annotations

import os
import re
from itertools import islice

from .. import plot
from ..errors import InputError
from ..generation.translate import Attention
from ..text.word import CJK_CHARACTER

_MOST = 200  # tokens on an axis: drawing takes time for each, and nobody reads more


def draw(attention: Attention, path: str | os.PathLike[str], heads: bool = False) -> None:
    """Draw the weights of the last attention layer: target tokens by source tokens.

    Args:
        path: a .png, .svg or .pdf file.
        heads: draw a panel for each head instead of their mean.

    Raises:
        InputError: there are more than 200 tokens on one side.
    """
    for side, tokens in (("source", attention.source), ("target", attention.target)):
        if len(tokens) > _MOST:
            raise InputError(f"the {side} has {len(tokens):,} tokens; a figure shows {_MOST}")
    name = list(attention.weights)[-1]
    last = attention.weights[name]  # (heads, T, S)
    panels = [last.mean(dim=0)]
    titles = ["mean of the heads" if len(last) > 1 else "attention"]
    if heads:
        panels, titles = list(last), [f"head {i + 1}" for i in range(len(last))]
    across, down = len(attention.source), len(attention.target)
    size = (max(3.5, 0.42 * across + 1.6), max(3.0, 0.36 * down + 1.4))
    source = [label(token) for token in attention.source]
    target = [label(token) for token in attention.target]
    with plot.figure(path, columns=len(panels), size=size) as axes:
        for ax, weights, title in zip(axes, panels, titles, strict=True):
            ax.imshow(weights.float().cpu().numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
            ax.set_xticks(range(across), source, rotation=60, ha="right", rotation_mode="anchor")
            ax.set_yticks(range(down), target)
            ax.set_title(title)
            ax.grid(visible=False)
        for ax in islice(axes, 1):
            ax.set_xlabel("source")
            ax.set_ylabel("target")


def summary(attention: Attention) -> str:
    """List each target token with the source token of the largest weight."""
    weights = attention.mean()
    lines = []
    for row, token in zip(weights, attention.target, strict=True):
        best = int(row.argmax())
        lines.append(f"{label(token):<16} {label(attention.source[best])} {float(row[best]):.0%}")
    return "\n".join(lines)


def needs_chinese(attention: Attention) -> bool:
    """Return whether a token has Chinese characters or kana."""
    return any(CJK_CHARACTER.search(t) for t in [*attention.source, *attention.target])


def label(token: str) -> str:
    """Format a token for an axis: spaces, line ends and empty tokens get visible symbols."""
    shown = re.sub(r"^ ", "▁", token)
    return shown.replace("\n", "⏎") or "∅"
