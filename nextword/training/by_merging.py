"""Merges n-gram models: `nextword train mixture a.arpa b.arpa --valid FILE --out c.arpa`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..config import Config
from ..errors import InputError
from ..files import write, write_text
from ..models.ngram import NgramLM
from ..ngram import file
from ..ngram.arpa import for_other_programs, open_to_write, write_arpa
from ..ngram.arpa_header import names_arpa
from ..ngram.merging import Member, merge, union
from ..ngram.table import Table
from ..numerals import fixed, json_text
from ..run import CONFIG, METRICS, TOKENIZER, WEIGHTS, Run, as_json
from ..run_folder import replacing
from ..screen import speaker
from ..text.cutting import cutting
from ..text.lexicon import Lexicon
from ..text.normalised import NormalisedTokenizer
from ..text.reader import Span, blocks
from ..text.tokenizer import EOS, Tokenizer
from ..text.word import WordTokenizer
from .mixture_weights import expectation_maximisation
from .request import Request

if TYPE_CHECKING:
    from ..data.stream import Ids


def refuse_merging(members: Sequence[Run], config: Config) -> None:
    """Raise InputError unless the members are n-gram models of words, cut at the same places."""
    first = members[0]
    for run in members:
        if run.config.model.trained_by != "counting":
            raise InputError(
                f"'{first.name}' and the others have different vocabularies, or an ARPA file is to "
                f"be written: only n-gram models can be merged, and '{run.name}' is none. To train "
                "a model with the vocabulary of another: "
                "nextword train RECIPE --train FILE --from RUN --out RUN"
            )
        how, other = first.tokenizer.normalisation, run.tokenizer.normalisation
        if how != other:
            raise InputError(
                f"'{first.name}' has text.normalise={how}, '{run.name}' {other}: models of texts "
                "that were normalised differently are not merged; train both with the same"
            )
        cuts = run.tokenizer.without_normalisation
        if not isinstance(cuts, WordTokenizer) or cutting(run.tokenizer) != cutting(
            first.tokenizer
        ):
            raise InputError(
                f"'{first.name}' and '{run.name}' have different vocabularies, and do not cut text "
                f"into the same words ({_named(first)}; {_named(run)})"
            )
    if config.model.kind != "linear":
        raise InputError("models of different vocabularies are merged linearly: model.kind=linear")


def merge_runs(
    request: Request, config: Config, members: Sequence[Run], spans: list[Span], out: Path
) -> None:
    """Merge n-gram models, whose vocabularies may differ, into one run or ARPA file.

    Args:
        request: the request.
        config: its settings, of a mixture.
        members: the models; see `refuse_merging`.
        spans: the held-out text that weights are found on, unless the settings give them.
    """
    models = [cast(NgramLM, run.model) for run in members]
    lexicon, maps = union([_words(run) for run in members])
    parts = [Member(model.as_table(), ids) for model, ids in zip(models, maps, strict=True)]
    merged = _merged(members[0].tokenizer, lexicon)
    text = _encoded(spans, merged) if spans else None
    weights, alone = config.model.weights, list[float]()
    if text is not None:
        scores = np.stack([part.log_probs(text) for part in parts], 1)
        weights = weights or expectation_maximisation(scores)
        alone = [_perplexity(score) for score in scores.T]
    table = merge(parts, lexicon, weights)
    record: dict[str, Any] = {"step": 0, "weights": list(weights), "kept": table.sizes}
    if text is not None:
        whole = Member(table, np.arange(len(lexicon), dtype=np.uint32))
        record |= {"valid_perplexity": _perplexity(whole.log_probs(text)), "members": alone}
    _save(request, table, lexicon, merged, record, out)
    say = speaker(request.quiet)
    shares = ", ".join(f"{w:.4f} x {run.name}" for w, run in zip(weights, members, strict=True))
    sizes = " + ".join(f"{size:,}" for size in table.sizes)
    say(f"merged into one n-gram model: {shares}; {sizes} n-grams")
    if text is not None:
        said = ", ".join(map(fixed, alone))
        say(f"validation perplexity {fixed(record['valid_perplexity'])} (members alone: {said})")


def _named(run: Run) -> str:
    settings = cutting(run.tokenizer).items()
    return ", ".join(f"{key}={value}" for key, value in settings if key != "vocab_size")


def _words(run: Run) -> Lexicon:
    return Lexicon.of(map(run.tokenizer.token, range(run.tokenizer.vocab_size)))


def _merged(tokenizer: Tokenizer, lexicon: Lexicon) -> Tokenizer:
    """The tokenizer of one of the models, with the words of all of them."""
    cuts = cast(WordTokenizer, tokenizer.without_normalisation)
    made = WordTokenizer(lexicon.words(), cuts.split, *cuts.fold)
    how = tokenizer.normalisation
    return made if how == "none" else NormalisedTokenizer(made, how)


def _encoded(spans: list[Span], tokenizer: Tokenizer) -> Ids:
    """Encode a text: ids (N,)."""
    ids = [index for text, _ in blocks(spans) for index in tokenizer.encode(text)]
    if all(index == EOS for index in ids):
        raise InputError(f"no words in '{spans[0].path}'; give a text with words in it")
    return np.array(ids, np.uint32)


def _perplexity(log_probs: Ids) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(-log_probs.mean()))


def _save(
    request: Request,
    table: Table,
    lexicon: Lexicon,
    tokenizer: Tokenizer,
    record: dict[str, Any],
    out: Path,
) -> None:
    if names_arpa(out):

        def save(path: Path) -> None:
            with open_to_write(path) as target:
                write_arpa(table, lexicon, target, tokenizer=tokenizer)

        write(out, save, overwrite=request.overwrite)
        for note in for_other_programs(tokenizer, lexicon):
            speaker(request.quiet)(note)
        return
    tables = {"text": cutting(tokenizer), "model": {"name": "ngram", "order": table.order}}
    with replacing(out, request.overwrite) as fresh:
        plain = tokenizer.normalisation == "none"
        meta = {"whitespace": plain, "split": cutting(tokenizer)["split"] if plain else None}
        file.write(fresh / WEIGHTS, table, lexicon, meta)
        write_text(fresh / TOKENIZER, tokenizer.to_json())
        write_text(fresh / METRICS, json_text(record) + "\n")
        write_text(fresh / CONFIG, as_json(Config.parse(tables, "ngram").dump()))
