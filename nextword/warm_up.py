"""Compile all compiled functions ahead of their first use: `python -m nextword.warm_up`."""

from __future__ import annotations

from .ngram.warm_up import warm_up as warm_up_ngrams
from .nn.warm_up import warm_up as warm_up_layers


def main() -> None:
    """Compile the loops of n-gram models and of neural layers for all argument types."""
    warm_up_ngrams()
    warm_up_layers()


if __name__ == "__main__":
    main()
