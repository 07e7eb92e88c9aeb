"""The mean and standard deviation of figures over several seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any, NamedTuple

from ..numerals import fixed, significant


class SeedStatistics(NamedTuple):
    """The mean and standard deviation of one figure over several seeds."""

    mean: float
    deviation: float  # √(Σ (x - mean)² / (n - 1)); NaN for a single seed or an infinite figure

    def __str__(self) -> str:
        """Format both with as many decimals as the deviation justifies."""
        if not (self.deviation > 0 and math.isfinite(self.deviation)):
            return significant(self.mean, 5)
        if max(abs(self.mean), self.deviation) >= 1e6:
            return f"{fixed(self.mean)} ± {fixed(self.deviation)}"
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
            several = len(numbers) > 1 and all(map(math.isfinite, numbers))
            found[name] = SeedStatistics(mean(numbers), stdev(numbers) if several else math.nan)
    return found
