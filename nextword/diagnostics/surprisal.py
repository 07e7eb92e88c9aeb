"""Figures of surprisal: a bar for each word of a text, with the entropy before it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .. import plot
from ..evaluation.surprisal import Surprisal
from ..text.word import CJK_CHARACTER

Line = Sequence[Surprisal]  # the rows of one text


def draw(lines: Sequence[Line], path: str | os.PathLike[str]) -> None:
    """Draw the texts one beside the other, with one scale.

    Args:
        path: a .png, .svg or .pdf file.
    """
    longest = max(len(rows) for rows in lines)
    finite = [row.surprisal_bits for rows in lines for row in rows if row.surprisal_bits < 1e6]
    entropies = [row.entropy_bits for rows in lines for row in rows]
    top = max([1.0, *finite, *entropies]) * 1.05
    size = (max(4.5, 0.55 * longest + 1.5), 4.2)
    with plot.figure(path, columns=len(lines), size=size) as axes:
        for ax, rows in zip(axes, lines, strict=True):
            places = range(len(rows))
            heights = [min(row.surprisal_bits, top) for row in rows]
            ax.bar(places, heights, width=0.7, label="surprisal of the word")
            ax.plot(
                places,
                [row.entropy_bits for row in rows],
                color=plot.COLOURS[1],
                marker="o",
                label="entropy before it",
            )
            ax.set_xticks(
                places,
                [row.text for row in rows],
                rotation=45,
                ha="right",
                rotation_mode="anchor",
            )
            ax.set_ylim(0, top)
            ax.set_xlabel("word")
            ax.grid(visible=False, axis="x")
        pseudo = any(row.pseudo for rows in lines for row in rows)
        axes[0].set_ylabel(f"{'pseudo-surprisal' if pseudo else 'surprisal'}, entropy (bits)")
        axes[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)


def needs_chinese(lines: Sequence[Line]) -> bool:
    """Return whether a word has Chinese characters or kana."""
    return any(CJK_CHARACTER.search(row.text) for rows in lines for row in rows)


def summary(rows: Line) -> str:
    """List each word with its surprisal and the entropy before it, in bits."""
    width = max(len(row.text) for row in rows)
    return "\n".join(
        f"{row.text:<{width}} {row.surprisal_bits:7.2f} {row.entropy_bits:7.2f}" for row in rows
    )
