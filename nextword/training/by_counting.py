"""Training of n-gram models by counting. It needs no torch."""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from ..config import Config, parse_size
from ..errors import InputError
from ..files import write, write_text
from ..ngram import file
from ..ngram.arpa_header import holds_arpa, names_arpa
from ..ngram.estimate import estimate
from ..ngram.storage import Storage, return_freed_memory
from ..ngram.table import Table, natural
from ..numerals import fixed, json_text
from ..outputs import check_file
from ..run import CONFIG, METRICS, WEIGHTS, as_json
from ..run_folder import replacing
from ..scratch import work_folder
from ..screen import Bars, progress_bars, speaker
from ..text.corpus import lines_named
from ..text.lexicon import Lexicon
from ..text.reader import Span, blocks
from ..text.tokenizer import Tokenizer
from .counted_text import BLANKS, Encode, encode_text, encoder, split_of
from .request import Job

Array = np.ndarray[Any, Any]


def train_by_counting(job: Job, out: Path) -> None:
    """Estimate an n-gram model from the whole training text; nothing is held out.

    See `nextword.train`.

    Args:
        out: a run directory, or an ARPA file to write instead.

    Raises:
        InputError: there are no words in a text, or `out` may not be written.
    """
    began = time.perf_counter()
    overwrite, quiet = job.request.overwrite, job.request.quiet
    if names_arpa(out):
        real = check_file(out, overwrite, "an ARPA file", holds_arpa)
        notes: list[str] = []
        with work_folder(real) as folder, progress_bars(quiet) as bars:
            made = _estimate(job, folder, began, bars, keep_table=False)
            write(out, lambda path: notes.extend(made.write_arpa(path, bars)), overwrite=overwrite)
        for note in notes:
            speaker(quiet)(note)
    else:
        with replacing(out, overwrite) as fresh, progress_bars(quiet) as bars:
            made = _estimate(job, fresh, began, bars, keep_table=True)
            write_text(fresh / METRICS, json_text(made.record) + "\n")
            write_text(fresh / CONFIG, as_json(job.config.dump()))
    speaker(quiet)(_summary(job.config, out, made))


@dataclass
class _Made:
    """An estimated model, its vocabulary and tokenizer, its line of metrics.jsonl, and where its
    arrays are."""

    table: Table
    lexicon: Lexicon
    tokenizer: Tokenizer  # perhaps without its words
    record: dict[str, Any]
    storage: Storage

    def write_arpa(self, path: Path, bars: Bars) -> list[str]:
        """Write the model as an ARPA file; returns notes for the user."""
        from ..ngram.arpa import for_other_programs, open_to_write, write_arpa

        advance = bars("writing", sum(self.table.sizes), "n-grams")
        self.storage.release()

        def progress(done: int) -> None:
            self.storage.release()
            advance(done)

        workers = self.storage.workers
        with open_to_write(path) as target:
            write_arpa(self.table, self.lexicon, target, progress, workers, self.tokenizer)
        return for_other_programs(self.tokenizer, self.lexicon)


def _estimate(job: Job, fresh: Path, began: float, bars: Bars, *, keep_table: bool) -> _Made:
    """Estimate the table of probabilities.

    Args:
        fresh: the folder of the new run, where the tokenizer is written.
        keep_table: write the table into `fresh` too, as the weights of the run.
    """
    config, valid_spans = job.config, job.valid
    parent = job.origin.folder if job.origin else None
    say = speaker(job.request.quiet)
    memory = parse_size(config.train.memory) if config.train.memory else None
    if memory is not None:
        return_freed_memory()
    folder = fresh / "tmp"
    folder.mkdir()
    ids, lexicon, tokenizer, notes = encode_text(
        config, parent, job.train, fresh, folder if memory is not None else None, bars
    )
    for note in notes:
        say(note)
    storage = Storage(folder if memory is not None else None, memory)
    storage.track(ids)
    encode, split = encoder(tokenizer, lexicon), split_of(tokenizer)
    meta = {"whitespace": split in BLANKS, "split": split, "tokens": len(ids)}

    def allocate(offsets: Array) -> tuple[Array, Array]:
        return file.reserve(fresh / WEIGHTS, offsets, lexicon, meta)

    result = estimate(
        ids,
        len(lexicon),
        config.model,
        storage=storage,
        allocate=allocate if keep_table or memory is not None else None,
        bar=bars,
    )
    for note in result.notes:
        say(note)
    record: dict[str, Any] = {
        "step": 0,
        "tokens": len(ids),
        "ngrams": result.sizes,
        "kept": result.table.sizes,
        "parameters": result.parameters,
    }
    if valid_spans:
        with lines_named(valid_spans, tokenizer):
            valid = _perplexity(result.table, encode, valid_spans)
        record["valid_perplexity"] = valid if math.isfinite(valid) else None
        if result.table.sizes != result.sizes and memory is None:
            whole = estimate(ids, len(lexicon), config.model.without_pruning())
            record["unpruned_valid_perplexity"] = _perplexity(whole.table, encode, valid_spans)
    del ids
    shutil.rmtree(folder)
    record["seconds"] = round(time.perf_counter() - began, 3)
    return _Made(result.table, lexicon, tokenizer, record, storage)


def _summary(config: Config, out: Path, made: _Made) -> str:
    record = made.record
    kept = " + ".join(f"{n:,}" for n in record["kept"])
    model, run = config.model, quote(str(out))
    valid = ""
    if "valid_perplexity" in record:
        figure = record["valid_perplexity"]
        valid = f", validation perplexity {fixed(math.inf if figure is None else figure)}"
    if "unpruned_valid_perplexity" in record:
        valid += f" ({fixed(record['unpruned_valid_perplexity'])} before pruning)"
    return (
        f"{config.recipe}: order {model.order}, {model.smoothing}, {record['tokens']:,} tokens, "
        f"{kept} n-grams, {made.table.nbytes / 1e6:,.0f} MB{valid}, {record['seconds']:.1f} s. "
        f"Try: nextword evaluate {run} --data FILE   or: nextword score {run} FILE"
    )


def _perplexity(table: Table, encode: Encode, spans: list[Span]) -> float:
    """Compute the perplexity of a text per token, unknown words included."""
    total, tokens, state = 0.0, 0, table.start
    for text, _ in blocks(spans):
        ids = encode(text)
        log_probs, _, state = table.score(ids, state)
        natural(log_probs, ids)
        total += float(log_probs.sum(dtype=np.float64))
        tokens += len(ids)
    if not tokens:
        raise InputError(f"no words in '{spans[0].path}'; give a text to validate on")
    return math.exp(-total / tokens) if -total / tokens < 700 else math.inf
