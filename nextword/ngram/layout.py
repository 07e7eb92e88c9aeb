"""Where compiled code finds a model, and which states the model has."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class InMemory(NamedTuple):
    """The arrays of a model, which `calls` reads.

    The first is `offsets`: the number of the first node of each order, and the number of nodes.
    """

    layout: str  # "trie" (`trie`) or "hashes" (`hashed`): what the arrays are
    arrays: tuple[Array, ...]  # contiguous
    states: int  # states are numbers below this one


def check_states(states: Array | int, count: int) -> None:
    """Check that states are numbers below `count`: compiled loops would read beyond the arrays.

    Raises:
        ValueError: it is a state of another model.
    """
    if isinstance(states, int):
        if not 0 <= states < count:
            raise ValueError(f"state {states} is not one of this model")
    elif len(states):
        check_states(int(states.min()), count)
        check_states(int(states.max()), count)
