"""The mean and standard deviation of figures over several seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any, NamedTuple


class SeedStatistics(NamedTuple):
    """The mean and standard deviation of one figure over several seeds."""

    mean: float
    deviation: float  # √(Σ (x - mean)² / (n - 1)); NaN for a single seed

    def __str__(self) -> str:
        """Format both with as many decimals as the deviation justifies."""
        if not (self.deviation > 0 and math.isfinite(self.deviation)):
            return f"{self.mean:.5g}"
        places = min(6, max(0, 1 - math.floor(math.log10(self.deviation))))
        return f"{self.mean:,.{places}f} ± {self.deviation:,.{places}f}"


def seed_statistics(results: Sequence[dict[str, Any]]) -> dict[str, SeedStatistics]:
    """Compute the statistics of each figure that all results have; other values are left out."""
    first = results[0] if results else {}
    found = {}
    for name in first:
        values = [result.get(name) for result in results]
        if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
            numbers = [float(v) for v in values if v is not None]
            deviation = stdev(numbers) if len(numbers) > 1 else math.nan
            found[name] = SeedStatistics(mean(numbers), deviation)
    return found
