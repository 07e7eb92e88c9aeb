"""Compiled functions: what may be given to them, and what they give back."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextword.compiled import compiled, stack

Array = np.ndarray[Any, Any]


@compiled
def add(x: Array, y: Array, factor: Any, out: Array) -> None:
    for i in range(out.size):
        out[i] = x[i] + factor * y[i]


@compiled
def described(table: Array, at: int, flag: bool, number: float) -> Any:
    """The sum of a table, and what else is given."""
    total = 0.0
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            total += table[i, j]
    return total, at + 1, not flag, number, np.uint64(18446744073709551615), np.float32(0.5)


@compiled
def sorted_few(numbers: Array) -> None:
    """Sorts at most 8 numbers, in memory of its own."""
    held = stack(8, np.int64)
    for i in range(numbers.size):
        held[i] = numbers[i]
        j = i
        while j > 0 and held[j - 1] > held[j]:
            held[j - 1], held[j] = held[j], held[j - 1]
            j -= 1
    for i in range(numbers.size):
        numbers[i] = held[i]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint32, np.uint8])
def test_arrays_of_every_type(dtype: type[Any]) -> None:
    x, y, out = np.arange(9).astype(dtype), np.ones(9, dtype), np.empty(9, dtype)
    add(x, y, 3, out)
    assert out.tolist() == (np.arange(9) + 3).tolist()


def test_numbers_of_python_and_numpy() -> None:
    table = np.arange(6.0).reshape(2, 3)
    expected = (15.0, 8, False, 2.5, 2**64 - 1, 0.5)
    for given in ((7, True, 2.5), (np.int64(7), np.bool_(True), np.float64(2.5))):
        result = described(table, *given)
        assert result == expected
        assert [type(part) for part in result] == [float, int, bool, float, int, float]
    assert described(table, np.uint8(7), 1 > 0, np.float32(2.5)) == expected


def test_arrays_that_are_no_plain_ones(tmp_path: Path) -> None:
    """Strided and transposed ones, mapped files, types with two names."""
    table = np.arange(24.0).reshape(4, 6)
    (tmp_path / "table").write_bytes(table.tobytes())
    mapped = np.memmap(tmp_path / "table", np.float64, "r", shape=(4, 6))
    for given in (table, table[::2, 1:], table.T, table[:, ::-1], mapped, mapped[1:]):
        for _ in range(2):
            assert described(given, 0, False, 0.0)[0] == given.sum()
    out = np.zeros(3, np.ulonglong)
    add(np.ones(3, np.uint64), np.ones(3, np.ulonglong), 2, out)
    assert out.tolist() == [3, 3, 3]


def test_arrays_that_are_not_aligned_are_refused() -> None:
    """Not passed over in silence."""
    shifted = np.frombuffer(bytes(25), np.float64, 3, 1)
    with pytest.raises(TypeError, match="not aligned"):
        add(shifted, shifted, 1, np.zeros(3))


def test_working_memory_is_each_thread_s_own() -> None:
    def check(seed: int) -> bool:
        numbers = np.random.default_rng(seed).integers(0, 99, 8)
        expected = np.sort(numbers)
        sorted_few(numbers)
        return bool((numbers == expected).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(check, range(500)))


def test_what_no_compiled_function_takes() -> None:
    given: Any = ["a"]
    with pytest.raises(TypeError, match="numbers and arrays, not list"):
        add(given, given, 1, np.zeros(1))


def test_a_function_that_would_need_numba_to_run_is_refused() -> None:
    @compiled
    def fails(at: int) -> None:
        if at > 3:
            raise ValueError("too much")

    with pytest.raises(TypeError, match="raises no errors"):
        fails(1)


def test_an_error_in_python_s_conversion_is_raised() -> None:
    table = np.zeros((1, 1))
    described(table, 1, False, 0.0)
    with pytest.raises(OverflowError):
        described(table, 2**70, False, 0.0)


def test_numba_is_not_imported_once_the_code_is_there() -> None:
    script = """
import sys
from nextword.text.vocabulary_builder import VocabularyBuilder
VocabularyBuilder().add("a b a")
print("numba" in sys.modules)
"""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_the_warm_up_compiles_every_loop_that_python_calls() -> None:
    script = """
import pkgutil, importlib
import nextword
from nextword.compiled.function import Compiled
from nextword.warm_up import main

main()
found, used = {}, set()
for info in pkgutil.walk_packages(nextword.__path__, "nextword."):
    if info.name.startswith(("nextword.nn.", "nextword.ngram.", "nextword.text.")):
        for name, value in vars(importlib.import_module(info.name)).items():
            if isinstance(value, Compiled):
                found[value.__module__, name] = value
                used.update(value.__wrapped__.__code__.co_names)
            elif name.startswith("answer"):
                used.update(value.__code__.co_names)
assert len(found) > 60, found
print([key for key, value in found.items() if not value._calls and key[1] not in used])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_compiling_does_not_depend_on_numba_s_switches() -> None:
    """`NUMBA_DISABLE_JIT`, which people set to debug their own functions."""
    script = """
from nextword.compiled import cache
cache._read = lambda path: None
cache._write = lambda path, made: None
from nextword.text.vocabulary_builder import VocabularyBuilder
print(VocabularyBuilder().add("a b a").tolist())
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[2, 3, 2]\n", done.stderr
