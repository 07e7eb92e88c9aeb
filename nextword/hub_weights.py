"""The weights of a BERT under the names of the Hugging Face format, and under ours.

Our vocabularies order their ids in another way (special tokens first), so the rows of the embedding
matrix and the entries of the output bias are reordered; all other numbers stay the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import Config
from .errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

_OUTER = {  # Hugging Face name → our name, outside the layers
    "embeddings.word_embeddings.weight": "embedding.weight",
    "embeddings.position_embeddings.weight": "positions.weight",
    "embeddings.token_type_embeddings.weight": "segments.weight",
    "embeddings.LayerNorm": "norm",
    "pooler.dense": "pooler",
    "cls.seq_relationship": "follows",
    "cls.predictions.transform.dense": "transform",
    "cls.predictions.transform.LayerNorm": "transform_norm",
    "cls.predictions.bias": "head.b",
}
_LAYER = {  # Hugging Face name → our name, inside each layer
    "attention.self.query": "attention.q",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "norm",
    "intermediate.dense": "feed_forward.wide",
    "output.dense": "feed_forward.narrow",
    "output.LayerNorm": "feed_forward_norm",
}
_KEY_VALUE = ("attention.self.key", "attention.self.value")  # two matrices that are one of ours
_REPEATED = (
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
)  # copies of tied weights
PREDICTS = ("cls.",)


def from_hub(tensors: dict[str, Tensor], config: Config, order: list[int]) -> dict[str, Tensor]:
    """Convert weights to our names and our order of ids.

    Args:
        tensors: the weights under the Hugging Face names.
        order: for each of our ids, the id of the same token in `tensors`.

    Raises:
        InputError: a tensor is missing or unknown (the message names it), or the number of tokens
            differs.
    """
    import torch

    theirs = {plain_name(name): value for name, value in tensors.items()}
    ours: dict[str, Tensor] = {}
    used = set(_REPEATED)
    for name, own in _names(config.model.layers, config.model.predicts):
        parts = []
        for one in name:
            if one not in theirs:
                raise InputError(f"the hub model has no tensor '{one}'")
            used.add(one)
            parts.append(theirs[one].float())
        ours[own] = parts[0] if len(parts) == 1 else torch.cat(parts)
    if extra := sorted(set(theirs) - used - {"embeddings.position_ids"}):
        raise InputError(f"the hub model has a tensor '{extra[0]}', which no BERT has")
    words = ours["embedding.weight"]
    if len(words) != len(order):
        raise InputError(
            f"the tokenizer has {len(order):,} tokens, the weights have {len(words):,}: they are "
            "of different models"
        )
    for own in ("embedding.weight", "head.b"):
        if own in ours:
            ours[own] = ours[own][torch.tensor(order)]
    return ours


def to_hub(weights: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Convert weights to the Hugging Face names, those of `BertForPreTraining`."""
    theirs: dict[str, Tensor] = {}
    for names, own in _names(config.model.layers, config.model.predicts):
        for name, value in zip(names, weights[own].chunk(len(names)), strict=True):
            prefix = "" if name.startswith("cls.") else "bert."
            theirs[prefix + name] = value.contiguous()
    return theirs


def _names(layers: int, predicts: bool) -> list[tuple[tuple[str, ...], str]]:
    """List (Hugging Face names, our name) of every tensor.

    Several Hugging Face tensors are concatenated by rows into one of ours.
    """
    named: list[tuple[tuple[str, ...], str]] = []
    for theirs, ours in _OUTER.items():
        if theirs.startswith(PREDICTS) and not predicts:
            continue
        if theirs.endswith((".weight", ".bias")):
            named.append(((theirs,), ours))
        else:
            named += [((f"{theirs}.{kind}",), f"{ours}.{kind}") for kind in ("weight", "bias")]
    for i in range(layers):
        inside, own = f"encoder.layer.{i}.", f"layers.{i}."
        for kind in ("weight", "bias"):
            for theirs, ours in _LAYER.items():
                named.append(((f"{inside}{theirs}.{kind}",), f"{own}{ours}.{kind}"))
            both = tuple(f"{inside}{part}.{kind}" for part in _KEY_VALUE)
            named.append((both, f"{own}attention.kv.{kind}"))
    return named


def plain_name(name: str) -> str:
    """Remove the prefix "bert." and replace the old names of layer normalisation."""
    name = name.removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )
