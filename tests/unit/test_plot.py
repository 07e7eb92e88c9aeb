"""Figures: written whole, in a font that has the characters."""

from __future__ import annotations

from pathlib import Path

import pytest

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
