"""A run: a directory with everything a trained model needs. This module defines its format.

    config.json              the settings (`Config.dump`)
    tokenizer.json           the tokenizer (of the target side in sentence pairs)
    source-tokenizer.json    the tokenizer of the source side (sentence pairs only)
    model.safetensors        the best weights so far, or the table of an n-gram model
    state.safetensors        the state of a training, for `--resume`
    metrics.jsonl            one JSON object per measurement
    data/train, data/valid   the prepared texts, as ids.bin and meta.json
    plots/                   figures of the training
    tensorboard/             what `train.tensorboard=true` writes
    members/                 the runs that a mixture is made of (mixtures only)

Wherever a run is read, an ARPA file, a binary file of KenLM or a BERT in the Hugging Face format
may be given instead.
Nothing is pickled, so loading never runs code. Files are written atomically.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from . import hub, registry
from .arguments import checked
from .config import Config
from .device import pick_device
from .errors import InputError
from .files import read_tensors, write_tensors
from .models.building import build_model, load_weights, with_window
from .ngram.arpa_header import is_arpa, read_tokenizer
from .ngram.kenlm_header import is_kenlm
from .parsing import read_json
from .scratch import repair
from .text.cutting import cutting
from .text.tokenizer import Tokenizer, load_tokenizer
from .types import Ability, LanguageModel, Predictor, Stored

if TYPE_CHECKING:  # n-gram models need no torch, and importing it takes seconds
    import torch
    from torch import Tensor, nn

    from .ngram.interface import Ngrams
    from .text.lexicon import Lexicon

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
SOURCE_TOKENIZER = "source-tokenizer.json"
WEIGHTS, STATE = "model.safetensors", "state.safetensors"
SERIES = "settings.json"  # in a directory of several trainings (seeds, ablation)
METRICS, DATA, PLOTS, MEMBERS = "metrics.jsonl", "data", "plots", "members"
TENSORBOARD = "tensorboard"


@dataclass(frozen=True)
class Run:
    """A trained model with its settings and tokenizers. `nextword.load` opens one.

    Attributes:
        name: the name of the directory or file, for messages and tables.
        config: the settings.
        tokenizer: converts text to ids and back; in sentence pairs, that of the target side.
        model: the model in evaluation mode, on the device `where`.
        where: "cpu", "cuda" or "cuda:N".
        folder: the run directory with the prepared training text, if there is one.
        source: the tokenizer of the source side; None except in sentence pairs.
    """

    name: str
    config: Config
    tokenizer: Tokenizer
    model: LanguageModel
    where: str = "cpu"
    folder: Path | None = None
    source: Tokenizer | None = None

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        import torch

        return torch.device(self.where)

    @property
    def parameters(self) -> int:
        """The number of trainable parameters, or of the numbers in an n-gram model."""
        return self.model.size if isinstance(self.model, Stored) else count_parameters(self.model)

    @property
    def path(self) -> str:
        """Where the run is, as commands name it."""
        return str(self.folder or self.name)

    def can(self, ability: Ability) -> bool:
        """Whether the run has the ability."""
        return ability in registry.load("task", self.config.model.task).abilities

    def require(self, ability: Ability) -> None:
        """Raise InputError unless the run has the ability; the message says what it can do."""
        registry.load("task", self.config.model.task).require(self.name, ability, self.path)

    def normalised(self, how: str) -> Run:
        """Return the run with a tokenizer that normalises every text first.

        Args:
            how: see `nextword.text.normalise.normalise`; "none" returns the run itself.

        Raises:
            InputError: there is no such normalisation, or the run was trained with one, which is
                done to every text already, or it reads ids.
        """
        from .text.normalise import normaliser
        from .text.normalised import NormalisedTokenizer

        normaliser(how)  # refuses other names
        if how == "none":
            return self
        if not self.tokenizer.spells:
            raise InputError(
                f"'{self.name}' reads ids, so there is no text to normalise; leave --normalise out"
            )
        if (own := self.tokenizer.normalisation) != "none":
            raise InputError(
                f"'{self.name}' was trained with text.normalise={own}, so every text is normalised "
                "already; leave --normalise out"
            )
        source = self.source and NormalisedTokenizer(self.source, how)
        return replace(self, tokenizer=NormalisedTokenizer(self.tokenizer, how), source=source)


@checked
def load(path: str | os.PathLike[str], device: str = "cpu") -> Run:
    """Open a trained model.

    Args:
        path: a run directory, an ARPA file (plain, gzip, xz or bzip2; any name), a binary file of
            KenLM, or a folder with a BERT in the Hugging Face format.
        device: "cpu", "cuda" or "cuda:N".

    Returns:
        The run, with its model in evaluation mode.

    Raises:
        InputError: it is not a run, one of its files is missing or damaged, or the device is not
            available.

    Example:
        run = nextword.load("runs/book")
    """
    folder = Path(path)
    if _is_ngram_file(folder):
        pick_device(device)
        return _load_ngram_file(folder)
    if hub.is_hub(folder):
        return load_hub(folder, device)
    config = read_config(folder)
    tokenizer = load_tokenizer(folder / TOKENIZER)
    where = pick_device(device)
    if config.model.trained_by == "mixing":
        return load_mixture(folder, config, tokenizer, device)
    source = load_source_tokenizer(folder, config)
    if config.model.trained_by == "counting":
        model = build_model(config, tokenizer, source)
        model.read(folder / WEIGHTS)
        model.to(where)
        return Run(folder.name or str(folder), config, tokenizer, model, where, folder)
    weights, _ = read_tensors(folder / WEIGHTS)
    model = build_model(config, tokenizer, source, weights, folder / WEIGHTS)
    load_weights(model, weights, folder / WEIGHTS)
    model.to(where).eval()
    return Run(
        folder.name or str(folder),
        config,
        tokenizer,
        with_window(model, config),
        where,
        folder,
        source,
    )


def settings_of(folder: Path) -> Config:
    """Read the settings of a run, of a file of n-grams, or of a BERT in the Hugging Face format."""
    if _is_ngram_file(folder):
        return _load_ngram_file(folder).config
    return hub.read_config(folder) if hub.is_hub(folder) else read_config(folder)


def tokenizer_of(folder: Path) -> Tokenizer:
    """Read the tokenizer of a run, of a file of n-grams, or of a BERT in the Hugging Face
    format."""
    if _is_ngram_file(folder):
        return _load_ngram_file(folder).tokenizer
    if hub.is_hub(folder):
        return hub.read_tokenizer(folder)[0]
    return load_tokenizer(folder / TOKENIZER)


def weights_of(folder: Path) -> dict[str, Tensor]:
    """Read the weights of a run directory, or of a BERT in the Hugging Face format, by name."""
    return hub.read_weights(folder) if hub.is_hub(folder) else read_tensors(folder / WEIGHTS)[0]


def seeds_of(folder: Path) -> list[Path]:
    """List the runs that `train --seeds` made in a directory, by seed; [] if it did not."""
    if not (folder / SERIES).is_file():
        return []
    found = [path for path in folder.glob("seed*") if (path / CONFIG).is_file()]
    return _numbered(found, r"seed([1-9][0-9]{0,8})")


def _numbered(paths: Iterable[Path], name: str) -> list[Path]:
    """The paths whose names match a pattern, by the number in it; others are somebody else's."""
    numbers = {path: re.fullmatch(name, path.name, re.ASCII) for path in paths}
    named = [(int(match[1]), path) for path, match in numbers.items() if match]
    return [path for _, path in sorted(named)]


def load_source_tokenizer(folder: Path, config: Config) -> Tokenizer | None:
    """Read the tokenizer of the source side; None if the run does not read sentence pairs."""
    if config.source is None:
        return None
    return load_tokenizer(folder / SOURCE_TOKENIZER)


def load_hub(folder: Path, device: str = "cpu") -> Run:
    """Open a BERT in the Hugging Face format; raise InputError if it cannot be read."""
    where = pick_device(device)
    config, tokenizer = settings_of(folder), tokenizer_of(folder)
    weights = weights_of(folder)
    model = build_model(config, tokenizer, None, weights, folder / WEIGHTS)
    load_weights(model, weights, folder / WEIGHTS)
    model.to(where).eval()
    return Run(folder.name or str(folder), config, tokenizer, model, where)


@checked
def load_arpa(path: str | os.PathLike[str], *, add_marks: bool = False) -> Run:
    """Open an n-gram model from an ARPA file, which any toolkit may have written; for `add_marks`
    see `read_arpa`.

    Raises:
        InputError: it is no ARPA file, or it is damaged.
    """
    from .ngram.arpa_reading import read_arpa

    path = Path(path)
    return _of_ngrams(path, *read_arpa(path, add_marks=add_marks))


def _is_ngram_file(path: Path) -> bool:
    return is_kenlm(path) or is_arpa(path)


def _load_ngram_file(path: Path) -> Run:
    from .ngram.kenlm_reading import read_kenlm

    return _of_ngrams(path, *read_kenlm(path)) if is_kenlm(path) else load_arpa(path)


def _of_ngrams(path: Path, table: Ngrams, lexicon: Lexicon) -> Run:
    from .models.ngram import NgramConfig

    tokenizer = read_tokenizer(path, lexicon.words())
    model = {"name": "ngram", "order": table.order}
    config = Config.parse({"text": cutting(tokenizer), "model": model}, "ngram")
    ngrams = NgramConfig(order=table.order).build(table.vocab_size)
    ngrams.table, ngrams.lexicon = table, lexicon
    return Run(path.name, config, tokenizer, ngrams)


def load_mixture(folder: Path, config: Config, tokenizer: Tokenizer, device: str) -> Run:
    """Open a mixture and the runs that it is made of."""
    made = (path for path in (folder / MEMBERS).glob("*") if path.is_file() or not path.suffix)
    places = _numbered(made, r"([0-9]{1,9})(\..*)?")
    members = [load(path, device) for path in places]
    if len(members) != len(config.model.weights):
        raise InputError(f"'{folder}' lacks some of its members; train it again")
    for member in members:
        if not tokenizer.same_ids(member.tokenizer):
            raise InputError(f"'{folder}' has a member of another vocabulary; train it again")
    model = config.model.of([member.model for member in members], tokenizer.vocab_size)
    return Run(folder.name or str(folder), config, tokenizer, model, pick_device(device))


def read_config(folder: Path) -> Config:
    """Read the settings of a run directory; raise InputError if it is not one or is damaged."""
    if not folder.exists():
        repair(folder)  # a training may have been killed while it replaced the run
    if not folder.exists():
        new = quote(str(folder))
        raise InputError(f"no run '{folder}'; `nextword train RECIPE --train FILE --out {new}`")
    if _is_ngram_file(folder):
        raise InputError(
            f"'{folder}' is a file of n-grams; a run directory is needed here: "
            "nextword train ngram --train FILE --out RUN"
        )
    if runs := seeds_of(folder):
        raise InputError(f"'{folder}' holds runs of several seeds; name one, such as {runs[0]}")
    if not folder.is_dir() or not (folder / CONFIG).is_file():
        raise InputError(f"'{folder}' is not a run (a directory with {CONFIG})")
    try:
        tables = read_json(folder / CONFIG)
        if not isinstance(tables["recipe"], str):
            raise ValueError("recipe is no name")
        return Config.parse(tables, tables["recipe"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{folder / CONFIG}' is damaged ({error}); train it again") from None


def as_json(tables: dict[str, Any]) -> str:
    """Format settings as the text of config.json."""
    return json.dumps(tables, indent=1, ensure_ascii=False)


def count_parameters(model: nn.Module | Predictor) -> int:
    """Count the trainable parameters of a model; shared ones count once."""
    return sum(p.numel() for p in model.parameters())


def write_weights(folder: Path, model: nn.Module, meta: dict[str, Any]) -> None:
    """Write the weights of a model, and `meta` in the header, into a run directory."""
    write_tensors(folder / WEIGHTS, dict(model.state_dict()), meta)
