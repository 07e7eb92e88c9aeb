"""How numbers are written in tables, in messages and in JSON.

One rule for all of them:

* A figure that is not known (NaN or None) is `-`, an infinite one is `inf` or `-inf`.
* A figure of a million or more is written with three digits and an exponent: `1.01e+304`. Counts
  are whole numbers and are written in full.
* JSON has neither NaN nor infinity: both are `null` there.
"""

from __future__ import annotations

import json
import math
from typing import Any

_LARGE = 1e6  # from here on a figure is written with an exponent


def fixed(value: float | None, places: int = 2, sign: str = "") -> str:
    """Format a figure with a number of decimals.

    Args:
        sign: "+" = a positive figure has a sign too.

    Example:
        >>> fixed(2.345, 1), fixed(math.exp(700)), fixed(math.inf), fixed(math.nan)
        ('2.3', '1.01e+304', 'inf', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value) or abs(value) < _LARGE:
        return f"{value:{sign}.{places}f}"
    return f"{value:{sign}.2e}"


def significant(value: float, digits: int = 4) -> str:
    """Format a figure of any size with a number of significant digits.

    Example:
        >>> significant(0.0123456), significant(math.nan)
        ('0.01235', '-')
    """
    return "-" if math.isnan(value) else f"{value:.{digits}g}"


def percent(value: float | None, places: int = 1) -> str:
    """Format a fraction as a percentage.

    Example:
        >>> percent(0.5), percent(math.nan)
        ('50.0%', '-')
    """
    return "-" if value is None or math.isnan(value) else f"{value:.{places}%}"


def between(interval: tuple[float, float] | None, places: int = 1) -> str:
    """Format an interval; `-` if there is none.

    Example:
        >>> between((1.25, 1.5), 2), between(None)
        ('1.25-1.50', '-')
    """
    return "-" if interval is None else "-".join(fixed(bound, places) for bound in interval)


def json_text(value: Any, indent: int | None = None) -> str:
    """Format a value as JSON; infinities and NaN become null.

    Example:
        >>> json_text({"perplexity": math.inf, "words": ["é"]})
        '{"perplexity": null, "words": ["é"]}'
    """
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _plain(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _plain(part) for key, part in item.items()}
    if isinstance(item, (list, tuple)):
        return [_plain(part) for part in item]
    return None if isinstance(item, float) and not math.isfinite(item) else item
