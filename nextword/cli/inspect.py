"""`nextword inspect`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import bounds
from .options import Device, RunPath

What = Annotated[str, typer.Argument(metavar="gradients|attention|surprisal", help="What to draw.")]
Out = Annotated[Path, typer.Option(metavar="FILE", help="File for the figure: .png, .svg or .pdf.")]
Also = Annotated[
    list[Path],
    typer.Option("--with", metavar="RUN", help="Another run to draw (gradients); repeatable."),
]
Data = Annotated[
    list[Path],
    typer.Option(
        metavar="FILE",
        help="The text to read (gradients; default: the run's training text); repeatable.",
    ),
]
Source = Annotated[
    str | None, typer.Option(metavar="TEXT", help="The sentence to translate (attention).")
]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="A translation of it (attention; default: the run translates it).",
    ),
]
Heads = Annotated[
    bool, typer.Option("--heads", help="Draw each head instead of their mean (attention).")
]
Texts = Annotated[
    list[str],
    typer.Option(
        "--text", metavar="TEXT", help="A sentence to read word by word (surprisal); repeatable."
    ),
]
Length = Annotated[
    int | None,
    typer.Option(
        min=2,
        max=bounds.COUNT,
        help="Tokens in each excerpt of running text (gradients; default: 100).",
    ),
]
Samples = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=bounds.SAMPLES,
        help="Number of examples to average over (gradients; default: 64).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]


def command(
    run: RunPath,
    what: What,
    out: Out,
    also: Also = [],  # noqa: B006
    data: Data = [],  # noqa: B006
    source: Source = None,
    target: Target = None,
    heads: Heads = False,
    text: Texts = [],  # noqa: B006
    length: Length = None,
    samples: Samples = None,
    json: Json = False,
    device: Device = "cpu",
) -> None:
    """Draw what happens inside a model.

    `gradients` draws the norm of a loss's gradient with respect to every earlier hidden state of a
    recurrent language model, translator or classifier: how far back the loss reaches. `attention`
    draws the attention weights of a translator between source and target tokens. `surprisal` draws
    how surprised a model is at each word of a sentence, in bits, and the entropy before it.
    """
    from .. import plot, registry
    from ..diagnostics.inspection import inspect_gradients
    from ..errors import InputError
    from ..run import load
    from .options import print_json

    given: dict[str, dict[str, Any]] = {
        "gradients": {"--with": also, "--data": data, "--length": length, "--samples": samples},
        "attention": {"--source": source, "--target": target, "--heads": heads or None},
        "surprisal": {"--text": text},
    }
    if what not in given:
        raise InputError(registry.unknown("view", what, list(given)))
    plot.check(out)
    for view, options in given.items():
        useless = [name for name, value in options.items() if value not in (None, [])]
        if useless and view != what:
            raise InputError(f"{' and '.join(useless)} is for: inspect RUN {view}")
    if what == "attention":
        if source is None:
            raise InputError("name a sentence to translate: --source TEXT")
        _attention(load(run, device), source, target, out, heads=heads, json=json)
        return
    if what == "surprisal":
        if not text:
            raise InputError("name a sentence to read: --text TEXT")
        _surprisal(load(run, device), text, out, json=json)
        return
    loaded = [load(path, device) for path in (run, *also)]
    found = inspect_gradients(loaded, data, length=length, samples=samples or 64)
    found.draw(out)
    if json:
        print_json(found.as_dict() | {"plot": str(out)})
    else:
        for flow in found.flows:
            print(flow.summary())
        print(f"drawn in {out}")


def _attention(
    run: Any, source: str, target: str | None, out: Path, *, heads: bool, json: bool
) -> None:
    from ..diagnostics.attention import needs_chinese, summary
    from ..diagnostics.inspection import inspect_attention
    from .options import print_json

    found = inspect_attention(run, source, target)
    seen = found.attention
    _check_font(needs_chinese(seen))
    found.draw(out, heads)
    if json:
        print_json(found.as_dict() | {"plot": str(out)})
    else:
        print(summary(seen))
        print(f"drawn in {out}")


def _surprisal(run: Any, texts: list[str], out: Path, *, json: bool) -> None:
    from ..diagnostics.inspection import inspect_surprisal
    from ..diagnostics.surprisal import needs_chinese, summary
    from .options import print_json

    found = inspect_surprisal(run, texts)
    _check_font(needs_chinese(found.lines))
    found.draw(out)
    if json:
        print_json(found.as_dict() | {"plot": str(out)})
    else:
        print("\n\n".join(summary(rows) for rows in found.lines))
        print(f"drawn in {out}")


def _check_font(needs_chinese: bool) -> None:
    """Tell the user if Chinese characters will not be legible."""
    import sys

    from .. import plot

    if needs_chinese and not plot.has_chinese():
        print(
            "nextword: no font with Chinese characters is installed (Noto Sans CJK is one): they "
            "will be boxes in the picture",
            file=sys.stderr,
        )
