"""Figures in one style, written atomically, with a Chinese font where one is installed."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .files import write
from .outputs import check_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
_DRAWN_HERE = "drawn by nextword"  # in the metadata of every figure
_METADATA = 1 << 20  # bytes at either end of a file in which the metadata are
_ALONE = threading.RLock()  # the style and the fonts of matplotlib belong to the whole process


def check(path: str | os.PathLike[str]) -> Path:
    """Check that a figure may be written to a path, and return the path.

    A figure that was drawn here is replaced, another file never.

    Raises:
        InputError: the file extension is not one of `FORMATS`, the folder does not exist, or there
            is something at the path that is not such a figure.
    """
    _place(path)
    return Path(path)


def _place(path: str | os.PathLike[str]) -> Path:
    """Return where a figure is written: `path`, or what it links to."""
    if Path(path).suffix.lower() not in FORMATS:
        raise InputError(f"'{path}' must end in one of {' '.join(FORMATS)}")
    return check_file(Path(path), True, "a figure that nextword drew", _is_ours)


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:  # a PDF may have its metadata at the end
        beginning = file.read(_METADATA)
        file.seek(max(0, path.stat().st_size - _METADATA))
        return _DRAWN_HERE.encode() in beginning + file.read(_METADATA)


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
        InputError: the file extension is not one of `FORMATS`, or no file can be written there.

    Example:
        with plot.figure("loss.png") as (ax,):
            ax.plot([3.0, 2.0, 1.5])
    """
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib import font_manager
    from matplotlib.figure import Figure

    _place(path := Path(path))
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
    with _ALONE, mpl.rc_context(style):
        drawing = Figure(figsize=(size[0] * columns, size[1]), layout="constrained", dpi=130)
        axes = drawing.subplots(1, columns, squeeze=False)
        yield list(axes[0])
        _take_literally(drawing)
        key = "Software" if path.suffix.lower() == ".png" else "Creator"
        metadata = {key: _DRAWN_HERE}
        with warnings.catch_warnings():  # callers warn in one line, with `has_chinese`
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            write(path, lambda temporary: drawing.savefig(temporary, metadata=metadata))


def entry(name: str) -> str:
    """Return a name as it may be given as a `label`: matplotlib leaves names like `_a` out of the
    legend."""
    return f"\N{ZERO WIDTH SPACE}{name}" if name.startswith("_") else name


def _take_literally(drawing: Figure) -> None:
    """Draw every text as it is: names of runs, files, labels and words are no formulas, even with
    `$` and `{` in them. Only the numbers at the axes are, which matplotlib itself writes."""
    from matplotlib.text import Text
    from matplotlib.ticker import LogFormatter

    for text in drawing.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        text.set_text(text.get_text().encode("utf-8", "replace").decode())  # no font has surrogates
    for axes in drawing.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_formatter(), LogFormatter):
                for label in axis.get_ticklabels(which="both"):
                    label.set_parse_math(True)
