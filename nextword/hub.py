"""BERT models in the Hugging Face format: reading and writing.

A model is a folder with config.json, vocab.txt or tokenizer.json, and model.safetensors. No code in
it is ever run, and pickled weights are refused.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import Config
from .errors import InputError, shown
from .files import read_tensors, write_tensors, write_text
from .hub_weights import PREDICTS, from_hub, plain_name, to_hub
from .outputs import Folder
from .parsing import read_json, read_text
from .version import __version__

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .text.tokenizer import Tokenizer
    from .text.wordpiece import WordPieceTokenizer

CONFIG, WEIGHTS = "config.json", "model.safetensors"
VOCABULARY, TOKENIZER = "vocab.txt", "tokenizer.json"
_SETTINGS = "tokenizer_config.json"
_WRITER = "nextword_version"  # in the settings of every folder that `export` writes
FILES = Folder(
    "a model in the Hugging Face format that `export` wrote",
    mark=CONFIG,
    is_ours=lambda path: _WRITER in _json(path),
    files="|".join(map(re.escape, (CONFIG, WEIGHTS, VOCABULARY, _SETTINGS))),
)
_PICKLED = ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack")

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu-tanh",
    "gelu_pytorch_tanh": "gelu-tanh",
    "relu": "relu",
}


def is_hub(folder: Path) -> bool:
    """Return whether a folder holds a model in the Hugging Face format."""
    try:
        tables = _json(folder / CONFIG)
    except InputError:
        return False
    return "recipe" not in tables and ("model_type" in tables or "architectures" in tables)


def read_config(folder: Path) -> Config:
    """Read the settings of a Hugging Face model.

    Raises:
        InputError: it is not a BERT, or a variant with other positions or another activation.
    """
    given = _json(folder / CONFIG)
    kind = given.get("model_type")
    if kind != "bert":
        raise InputError(
            f"'{folder}' is a '{shown(kind)}' model; only BERT-architecture ones are read"
        )
    places = given.get("position_embedding_type", "absolute")
    if places != "absolute":
        raise InputError(f"'{folder}' has {shown(places)} positions; only absolute ones are read")
    activation = str(given.get("hidden_act", "gelu"))
    if activation not in _ACTIVATIONS:
        raise InputError(f"'{folder}' has the activation '{shown(activation)}', unknown here")
    try:
        model = {
            "name": "bert",
            "hidden": given["hidden_size"],
            "layers": given["num_hidden_layers"],
            "heads": given["num_attention_heads"],
            "inner": given["intermediate_size"],
            "context": given["max_position_embeddings"],
            "segments": given["type_vocab_size"],
            "activation": _ACTIVATIONS[activation],
            "dropout": given.get("hidden_dropout_prob", 0.1),
            "dropout_attention": given.get("attention_probs_dropout_prob", 0.1),
            "epsilon": given.get("layer_norm_eps", 1e-12),
            "predicts": any(plain_name(name).startswith(PREDICTS) for name in _tensors(folder)),
        }
    except KeyError as error:
        raise InputError(f"'{folder / CONFIG}' has no {error}; the folder is incomplete") from None
    tables = {
        "text": {
            "tokenizer": "wordpiece",
            "vocab_size": None,
            "lower": _lower(folder),
            "strip_accents": _strip_accents(folder),
        },
        "model": model,
        "objective": {"name": "masked"},
        "train": {"stream": "masked", "bptt": model["context"]},
    }
    return Config.parse(tables, "hub")


def read_tokenizer(folder: Path) -> tuple[WordPieceTokenizer, list[int]]:
    """Read the tokenizer of a Hugging Face model.

    Returns:
        The tokenizer, and for each of its ids the id that the Hugging Face model has for the token.

    Raises:
        InputError: there is no tokenizer, or it is not a WordPiece.
    """
    from .text.wordpiece import WordPieceTokenizer

    if (folder / VOCABULARY).is_file():
        try:
            text = read_text(folder / VOCABULARY)
        except ValueError as error:
            raise InputError(f"'{folder / VOCABULARY}' is damaged ({error})") from None
        tokens = text.removesuffix("\n").split("\n")  # a token may be another end of a line
    elif (folder / TOKENIZER).is_file():
        tokens = _tokens(_json(folder / TOKENIZER).get("model"))
        if not tokens:
            raise InputError(f"'{folder / TOKENIZER}' is no WordPiece tokenizer")
    else:
        raise InputError(f"'{folder}' has neither {VOCABULARY} nor {TOKENIZER}")
    try:
        return WordPieceTokenizer.of_hub(tokens, _lower(folder), _strip_accents(folder))
    except ValueError as error:
        raise InputError(f"the vocabulary of '{folder}' cannot be used: {error}") from None


def _tokens(model: object) -> list[str]:
    """The tokens of the "model" of a tokenizer.json by id; none if it is no WordPiece model."""
    if not isinstance(model, dict) or model.get("type", "WordPiece") != "WordPiece":
        return []
    ids = model.get("vocab")
    if not isinstance(ids, dict) or not all(isinstance(index, int) for index in ids.values()):
        return []
    return sorted(ids, key=lambda token: ids[token])


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read the weights of a Hugging Face model under our names and in our order of ids.

    Raises:
        InputError: there are none or only pickled ones, or they do not fit the settings or the
            tokenizer.
    """
    return from_hub(_tensors(folder), read_config(folder), read_tokenizer(folder)[1])


def save(out: Path, model: nn.Module, config: Config, tokenizer: Tokenizer) -> None:
    """Write a BERT into the folder `out` in the Hugging Face format.

    Raises:
        InputError: the model's tokens are not word pieces, which the format requires.
    """
    from .text.wordpiece import WordPieceTokenizer

    if not isinstance(tokenizer, WordPieceTokenizer):
        raise InputError(
            f"the Hugging Face format needs WordPiece tokens; this model reads '{tokenizer.name}'; "
            "train one with text.tokenizer=wordpiece"
        )
    settings = {
        "do_lower_case": tokenizer.lower,
        "strip_accents": tokenizer.strip_accents,
        "tokenizer_class": "BertTokenizer",
    }
    write_tensors(out / WEIGHTS, to_hub(dict(model.state_dict()), config), {})
    write_text(out / VOCABULARY, "".join(f"{token}\n" for token in tokenizer.vocabulary))
    write_text(out / _SETTINGS, json.dumps(settings, indent=1))
    write_text(out / CONFIG, json.dumps(hub_config(config, tokenizer.vocab_size), indent=1))


def _tensors(folder: Path) -> dict[str, Tensor]:
    """Read the tensors of a Hugging Face model under their own names."""
    if (folder / WEIGHTS).is_file():
        return read_tensors(folder / WEIGHTS)[0]
    for name in _PICKLED:
        if (folder / name).is_file():
            raise InputError(
                f"'{folder / name}' is pickled and could run code when it is opened; save the "
                "model as safetensors first (transformers: save_pretrained)"
            )
    raise InputError(f"'{folder}' has no {WEIGHTS}")


def hub_config(config: Config, vocab_size: int) -> dict[str, Any]:
    """Return the contents of config.json in the Hugging Face format."""
    from .text.wordpiece import PAD

    m = config.model
    activations = {"gelu": "gelu", "gelu-tanh": "gelu_new", "relu": "relu"}
    return {
        "architectures": ["BertForPreTraining" if m.predicts else "BertModel"],
        "model_type": "bert",
        _WRITER: __version__,
        "vocab_size": vocab_size,
        "hidden_size": m.hidden,
        "num_hidden_layers": m.layers,
        "num_attention_heads": m.heads,
        "intermediate_size": m.inner or 4 * m.hidden,
        "max_position_embeddings": m.context,
        "type_vocab_size": m.segments,
        "hidden_act": activations[m.activation],
        "hidden_dropout_prob": m.dropout,
        "attention_probs_dropout_prob": m.dropout_attention,
        "layer_norm_eps": m.epsilon,
        "pad_token_id": PAD,
        "initializer_range": 0.02,
        "position_embedding_type": "absolute",
        "tie_word_embeddings": True,
    }


def _lower(folder: Path) -> bool:
    """Return whether the tokenizer lower-cases its text."""
    settings = _json(folder / "tokenizer_config.json")
    if "do_lower_case" in settings:
        return bool(settings["do_lower_case"])
    return bool(_normalizer(folder).get("lowercase", True))


def _strip_accents(folder: Path) -> bool | None:
    """Return whether the tokenizer removes accents; None = if it lower-cases."""
    settings = _json(folder / "tokenizer_config.json")
    found = settings.get("strip_accents", _normalizer(folder).get("strip_accents"))
    return found if isinstance(found, bool) else None


def _normalizer(folder: Path) -> dict[str, Any]:
    """Return the settings of the normalizer in the tokenizer's file; {} if it has none."""
    found = _json(folder / TOKENIZER).get("normalizer")
    return found if isinstance(found, dict) else {}


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = read_json(path)
    except ValueError as error:
        raise InputError(f"'{path}' is damaged ({error})") from None
    return value if isinstance(value, dict) else {}
