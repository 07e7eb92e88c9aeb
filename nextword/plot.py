"""Figures in one style, written atomically, with a Chinese font where one is installed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FONTS = [
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "SimHei",
]
COLOURS = ["#2a6f97", "#c9552c", "#4b8f4b", "#8a5a9e", "#b08a1e", "#5b6670", "#a83f5e"]
FORMATS = (".png", ".svg", ".pdf")


def check(path: str | os.PathLike[str]) -> Path:
    """Check that a figure can be written to a path, and return the path.

    Raises:
        InputError: the file extension is not one of `FORMATS`, or the folder does not exist.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"'{path}' must end in one of {' '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise InputError(f"no folder '{path.parent}' for '{path.name}'; make it first")
    return path


def has_chinese() -> bool:
    """Return whether a font with Chinese characters is installed."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return bool(installed & set(_FONTS[1:]))


@contextmanager
def figure(
    path: str | os.PathLike[str], columns: int = 1, size: tuple[float, float] = (7, 4.2)
) -> Iterator[list[Axes]]:
    """Give axes to draw on, and write the figure when the context ends.

    Args:
        path: the file, with one of the extensions in `FORMATS`.
        columns: number of axes side by side.
        size: width and height of each in inches.

    Raises:
        InputError: the figure cannot be written to `path`.

    Example:
        with plot.figure("loss.png") as (ax,):
            ax.plot([3.0, 2.0, 1.5])
    """
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib import font_manager
    from matplotlib.figure import Figure

    path = check(path)
    installed = {font.name for font in font_manager.fontManager.ttflist}
    style: dict[Any, Any] = {
        # matplotlib takes each glyph from the first font in the list that has it
        "font.family": [font for font in _FONTS if font in installed],
        "axes.unicode_minus": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "axes.prop_cycle": cycler(color=COLOURS),
    }
    with mpl.rc_context(style):
        drawing = Figure(figsize=(size[0] * columns, size[1]), layout="constrained", dpi=130)
        axes = drawing.subplots(1, columns, squeeze=False)
        yield list(axes[0])
        temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
        try:
            with warnings.catch_warnings():  # callers warn in one line, with `has_chinese`
                warnings.filterwarnings("ignore", "Glyph .* missing from font")
                drawing.savefig(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
