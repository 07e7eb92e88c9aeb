"""`nextword evaluate`"""

from __future__ import annotations

from .options import (
    Data,
    Device,
    DynamicFlag,
    DynamicSet,
    Json,
    Quiet,
    RunPath,
    Stripes,
    dynamic_settings,
    print_json,
    token_bar,
)

NAME = "evaluate"


def command(
    run: RunPath,
    data: Data,
    dynamic: DynamicFlag = False,
    dynamic_set: DynamicSet = [],  # noqa: B006
    stripes: Stripes = 1,
    json: Json = False,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """How well a run predicts a text: perplexity, bits per byte, accuracy."""
    from ..evaluation.perplexity import evaluate
    from ..run import load

    settings = dynamic_settings(dynamic, dynamic_set)
    loaded = load(run, device)
    with token_bar("evaluating", quiet) as bar:
        result = evaluate(loaded, data, dynamic=settings, stripes=stripes, bar=bar)
    if json:
        print_json(result.as_dict())
        return
    without_unknown = (
        [("", f"{result.perplexity_excluding_oov:.2f} per token, unknown words left out")]
        if result.oov
        else []
    )
    for name, value in (
        ("tokens", f"{result.tokens:,}"),
        ("perplexity", f"{result.perplexity:.2f} per token"),
        *without_unknown,
        ("", f"{result.word_perplexity:.2f} per word"),
        ("bits", f"{result.bits_per_byte:.4f} per byte"),
        ("", f"{result.bits_per_char:.4f} per character"),
        ("accuracy", f"{result.accuracy:.2%}"),
        ("unknown", f"{result.oov:,} tokens ({result.oov / result.tokens:.2%})"),
        ("speed", f"{result.tokens / result.seconds:,.0f} tokens/s"),
        ("signature", result.signature),
    ):
        print(f"{name:<11}{value}")
