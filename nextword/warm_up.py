"""Compile all compiled functions ahead of their first use: `python -m nextword.warm_up`."""

from __future__ import annotations

from importlib.util import find_spec

from .ngram.warm_up import warm_up as warm_up_ngrams


def main() -> None:
    """Compile the loops of n-gram models and, if torch is installed, of neural layers, for all
    argument types."""
    warm_up_ngrams()
    if find_spec("torch"):
        from .nn.warm_up import warm_up as warm_up_layers

        warm_up_layers()


if __name__ == "__main__":
    main()
