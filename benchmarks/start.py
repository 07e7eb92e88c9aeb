"""Measures how long commands take that have nearly nothing to do.

    python -m benchmarks.start [--repeats 15]

Whole processes, one of each in turn; Python itself and numpy, which all of them need, for
comparison. Compiled loops and bytecode are on the disk, as after an installation.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from .ngram_commands import NEXTWORD, ours, report, timed


def main() -> None:
    """Time the commands and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        text, run = Path(name) / "text.txt", Path(name) / "run"
        text.write_text("a b c\nb c a\nc a b\n", encoding="utf-8")
        train = ours(text, run, order=3)
        timed(train)
        commands = {
            "python": [sys.executable, "-c", "pass"],
            "import numpy": [sys.executable, "-c", "import numpy"],
            "import ngram.kenlm": [sys.executable, "-c", "import nextword.ngram.kenlm"],
            "nextword --help": [*NEXTWORD, "--help"],
            "score, 3 lines": [*NEXTWORD, "score", str(run), str(text)],
            "train ngram, 3 lines": train,
        }
        sides: dict[str, Any] = {side: {"seconds": [], "peak": 0} for side in commands}
        for turn in range(options.repeats + 1):
            for side, command in commands.items():
                seconds, peak = timed(command, stdout=Path(name) / "out")
                if turn:
                    sides[side]["seconds"].append(seconds)
                    sides[side]["peak"] = peak
        report(sides, "import numpy")


if __name__ == "__main__":
    main()
