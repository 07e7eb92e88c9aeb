"""Compile everything once, so that nobody waits later: `python -m nextword.warm_up`."""

from __future__ import annotations

from .ngram.warm_up import warm_up as warm_up_ngrams
from .nn.warm_up import warm_up as warm_up_layers


def main() -> None:
    """All loops, with every kind of array that they meet."""
    warm_up_ngrams()
    warm_up_layers()


if __name__ == "__main__":
    main()
