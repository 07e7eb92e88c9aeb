"""`nextword embed`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Overwrite, RunPath


def _holds_array(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6) == b"\x93NUMPY"


def command(
    run: RunPath,
    file: Annotated[
        str,
        typer.Argument(
            metavar="[FILE|-]", help="A file with one text per line, or - for standard input."
        ),
    ] = "-",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all vectors as one array into this .npy file."),
    ] = None,
    overwrite: Overwrite = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per text.")] = False,
    device: Device = "cpu",
) -> None:
    """Turn each text into a vector.

    Vectors have length 1, so the dot product of two is their cosine similarity. Prints the numbers
    of one vector per line.
    """
    from ..errors import InputError
    from ..evaluation.embeddings import embed, embed_lines
    from ..files import write
    from ..outputs import check_file
    from ..run import load
    from .options import print_json, text_lines

    lines = text_lines(file)
    if overwrite and out is None:
        raise InputError("--overwrite needs --out FILE")
    if out is not None:
        if out.suffix != ".npy":
            raise InputError(f"'{out}' must end in .npy")
        if json:
            raise InputError(
                "--out writes an array and --json prints objects; use only one of them"
            )
        check_file(out, overwrite, "an array of numpy", _holds_array)
    loaded = load(run, device)
    if out is None:
        for text, vector in embed_lines(loaded, lines):
            if json:
                print_json({"text": text, "vector": [round(float(x), 6) for x in vector]})
            else:
                print(" ".join(f"{x:.6f}" for x in vector))
        return
    import numpy as np

    vectors = embed(loaded, lines)

    def save(temporary: Path) -> None:
        with temporary.open("wb") as target:
            np.save(target, vectors, allow_pickle=False)

    write(out, save, overwrite=overwrite)
    print(f"{len(vectors):,} vectors of {vectors.shape[1]:,} numbers: {out}", file=sys.stderr)
