"""Figures: written whole, in a font that has the characters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.mathtext import MathTextParser

from nextword import plot
from nextword.errors import InputError


def drawn(path: Path, text: str) -> bytes:
    with plot.figure(path, size=(2, 1)) as (ax,):
        ax.set_axis_off()
        ax.text(0.1, 0.5, text)
    return path.read_bytes()


def test_chinese_is_drawn_where_a_font_has_it(tmp_path: Path) -> None:
    """Characters that no font has all look the same."""
    alike = drawn(tmp_path / "a.png", "九") == drawn(tmp_path / "b.png", "千")
    assert alike != plot.has_chinese()
    assert drawn(tmp_path / "a.png", "nine") != drawn(tmp_path / "b.png", "ten")


def test_a_missing_font_is_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(plot, "_FONTS", ["DejaVu Sans"])
    assert not plot.has_chinese()
    assert drawn(tmp_path / "a.png", "九") == drawn(tmp_path / "b.png", "千")
    assert not recwarn.list


@pytest.mark.parametrize("name", ["a.txt", "a", "nowhere/a.png"])
def test_refused_before_anything_is_drawn(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError), plot.figure(tmp_path / name):
        pytest.fail("it was drawn on")


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), plot.figure(tmp_path / "a.png") as (ax,):
        ax.plot([1 / 0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["$x$", "{a} $", r"a $\frac$ b", "$^$_{", "$2 and 3$", "_$x$_"])
@pytest.mark.parametrize("extension", plot.FORMATS)
def test_names_are_no_formulas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, extension: str
) -> None:
    """In every place where a figure has text; the numbers at a logarithmic axis stay formulas."""
    formulas = []
    parse = MathTextParser.parse

    def recorded(self: MathTextParser[Any], text: str, *rest: Any, **more: Any) -> Any:
        formulas.append(text)
        return parse(self, text, *rest, **more)

    monkeypatch.setattr(MathTextParser, "parse", recorded)
    with plot.figure(tmp_path / f"a{extension}", columns=2) as (left, right):
        left.bar([0, 1], [2, 3], label=plot.entry(name))
        left.set_xticks([0, 1], [name, f"{name}{name}"])
        left.set(ylabel=name, title=name, yscale="log", ylim=(1, 1e6))
        shown = left.legend(title=name).get_texts()
        right.annotate(name, (0.5, 0.5))
        right.text(0.1, 0.1, name)
        right.set_yticks([0.5], [name])
    assert [text.get_text().strip("\N{ZERO WIDTH SPACE}") for text in shown] == [name]
    assert formulas
    assert all("10^" in text for text in formulas), formulas


def test_a_name_with_stray_bytes_is_drawn(tmp_path: Path) -> None:
    """As Python gives a file name that is not UTF-8."""
    assert drawn(tmp_path / "a.png", "caf\udce9") == drawn(tmp_path / "b.png", "caf?")
