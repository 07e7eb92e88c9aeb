"""The command of the fuzz; see the package."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback

os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")})
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch

from . import readers, verbs
from .forked import Case, outcome, run

KINDS = dict.fromkeys(readers.KINDS, readers.case_of)
KINDS |= {f"verb:{name}": verbs.case_of for name in verbs.NAMES}


def case_of(kind: str) -> Case:
    """The cases of a kind by number."""
    return KINDS[kind](kind.removeprefix("verb:"))


def main() -> int:
    """Run the kinds and print the table; the exit status is 1 if a case failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--cases", type=int, default=2000, help="cases of each kind")
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--case", type=int, help="run one case here, with its traceback")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for kind in given.kinds:
        if kind not in KINDS:
            parser.error(f"unknown kind '{kind}'; there are: {', '.join(KINDS)}")
    if given.case is not None:
        return _one(given.kinds[0], given.case)
    failed = 0
    print(f"{'kind':<24}{'cases':>7}{'failed':>8}{'seconds':>9}", flush=True)
    for kind in given.kinds or KINDS:
        began = time.perf_counter()
        failures = run(case_of(kind), range(given.first, given.first + given.cases))
        failed += len(failures)
        seconds = time.perf_counter() - began
        print(f"{kind:<24}{given.cases:>7}{len(failures):>8}{seconds:>9.1f}", flush=True)
        for failure in failures:
            print(f"  {kind} --case {failure.case}: {failure.what}", file=sys.stderr, flush=True)
    return int(failed > 0)


def _one(kind: str, number: int) -> int:
    from unittest.mock import patch

    def told(error: BaseException) -> str:
        traceback.print_exception(error)
        return str(error)

    with patch("tests.fuzz.forked.described", told), patch("tests.fuzz.readers.described", told):
        what = outcome(case_of(kind), number)
    print(what or "as it may be")
    return int(what is not None)


if __name__ == "__main__":
    sys.exit(main())
