"""Training of n-gram models by counting. It needs no torch."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
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
from ..run import CONFIG, METRICS, TOKENIZER, WEIGHTS, as_json, tokenizer_of
from ..run_folder import replacing
from ..scratch import work_folder
from ..screen import Bars, progress_bars, speaker
from ..tasks.text import texts_of
from ..text.corpus import lines_named
from ..text.folding import Folding
from ..text.lexicon import Lexicon
from ..text.normalise import normalise
from ..text.reader import Span, blocks
from ..text.tokenizer import EOS, SPECIALS, Tokenizer, train_tokenizer
from ..text.vocabulary_builder import VocabularyBuilder
from ..text.word import CJK_CHARACTER, RECOGNISED, WordTokenizer, beginning, guess_split
from .request import Job

Array = np.ndarray[Any, Any]
Encode = Callable[[str], Array]

_BOUNDARIES = ("<s>", "</s>")
_BLANKS = ("whitespace", "ascii")  # splits between words, which leave punctuation where it is
_WORDS_AT_A_TIME = 1 << 14  # words of a vocabulary that are written together


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
    ids, lexicon, tokenizer, notes = _read(
        config, parent, job.train, fresh, folder if memory is not None else None, bars
    )
    for note in notes:
        say(note)
    storage = Storage(folder if memory is not None else None, memory)
    storage.track(ids)
    encode, split = encoder(tokenizer, lexicon), _split_of(tokenizer)
    meta = {"whitespace": split in _BLANKS, "split": split, "tokens": len(ids)}

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


# ---------------------------------------------------------------- text → ids


def _read(
    config: Config,
    parent: Path | None,
    spans: list[Span],
    fresh: Path,
    folder: Path | None,
    bars: Bars,
) -> tuple[Array, Lexicon, Tokenizer, list[str]]:
    """Load the tokenizer of `parent` or train one, write it into `fresh`, and encode the text:
    ids (N,) uint32 (in a file if `folder` is given), vocabulary, tokenizer (perhaps without its
    words) and notes."""
    text, size = config.text, sum(span.size for span in spans)
    sample, _ = beginning(block for block, _ in blocks(spans))
    sample = normalise(sample, text.normalise)
    split = guess_split(sample) if text.split == "auto" else text.split
    sink = _Sink(folder)
    is_plain = text.tokenizer == "word" and split in _BLANKS and text.normalise == "none"
    if parent is None and is_plain:
        fold = Folding.of(text)
        tokenizer: Tokenizer = WordTokenizer(list(SPECIALS), split, *fold)
        builder = VocabularyBuilder(split == "ascii")
        advance = bars("reading", size)
        for span in spans:
            sink.end_line()
            for block in texts_of([span], advance):
                sink.add(builder.add(fold(block)))
        lexicon, renumber = builder.finish(text.limit(), text.min_count)
        ids = sink.close(renumber)
        _write_words(fresh / TOKENIZER, lexicon, tokenizer)
    else:
        tokenizer = (
            tokenizer_of(parent)
            if parent
            else train_tokenizer(texts_of(spans, bars("learning the vocabulary", size)), text, size)
        )
        write_text(fresh / TOKENIZER, tokenizer.to_json())
        lexicon = Lexicon.of(tokenizer.token(index) for index in range(tokenizer.vocab_size))
        encode = encoder(tokenizer, lexicon)
        advance = bars("encoding", size)
        with lines_named(spans, tokenizer):
            for span in spans:
                sink.end_line()
                for block in texts_of([span], advance):
                    sink.add(encode(block))
        ids = sink.close(None)
    if not len(ids) or not _any_word(ids):
        raise InputError(f"no words in '{spans[0].path}'; give a file with text in it")
    notes = _notes(config, sample, tokenizer, lexicon)
    if parent is None and text.tokenizer == "word" and text.split == "auto":
        notes.insert(0, RECOGNISED[split])
    return ids, lexicon, tokenizer, notes


def _notes(config: Config, sample: str, tokenizer: Tokenizer, lexicon: Lexicon) -> list[str]:
    """What the user should know about how the text was cut into words."""
    notes = []
    if config.text.split != "auto" and _split_of(tokenizer) in _BLANKS:
        if len(CJK_CHARACTER.findall(sample)) > len(sample) // 2:
            notes.append(
                "words are split at white space only, and this text has hardly any; "
                "--set text.split=words makes every Chinese character one"
            )
        elif guess_split(sample) != "whitespace":
            notes.append(
                "words are split at white space only, and punctuation stays with them; "
                "--set text.split=words separates it"
            )
    for word in _BOUNDARIES:
        if word in lexicon:
            notes.append(
                f"{word} in the text is an ordinary word; the ends of lines mark sentences"
            )
    return notes


class _Sink:
    """Collects the ids of a text in memory or in a file."""

    def __init__(self, folder: Path | None) -> None:
        self.path = folder / "ids.bin" if folder else None
        self.file = self.path.open("wb") if self.path else None
        self.parts: list[Array] = []
        self.length = 0
        self.last = EOS

    def end_line(self) -> None:
        """End the current line, so that a file without a final line end does not join the next."""
        if self.last != EOS:
            self.add(np.array([EOS], np.uint32))

    def add(self, ids: Array) -> None:
        """Append ids (N,)."""
        if not len(ids):
            return
        self.length += len(ids)
        self.last = int(ids[-1])
        if self.file:
            self.file.write(np.ascontiguousarray(ids, np.uint32).tobytes())
        else:
            self.parts.append(ids)

    def close(self, renumber: Array | None) -> Array:
        """Return all ids (N,), each replaced by `renumber[id]` if `renumber` is given."""
        if self.path is None or self.file is None:
            ids = np.concatenate(self.parts) if self.parts else np.zeros(0, np.uint32)
            self.parts = []
            return ids if renumber is None else renumber[ids]
        self.file.close()
        if not self.length:
            return np.zeros(0, np.uint32)
        if renumber is not None:
            with self.path.open("r+b") as change:
                while piece := change.read(1 << 20):
                    change.seek(-len(piece), 1)
                    change.write(renumber[np.frombuffer(piece, np.uint32)].tobytes())
        return np.memmap(self.path, np.uint32, "r", shape=(self.length,))


def _any_word(ids: Array) -> bool:
    return any(bool(np.any(ids[at : at + (1 << 20)] != EOS)) for at in range(0, len(ids), 1 << 20))


def encoder(tokenizer: Tokenizer, lexicon: Lexicon | None = None) -> Encode:
    """Return a function text → ids (N,) uint32, fast for words between white space."""
    if isinstance(tokenizer, WordTokenizer) and tokenizer.split in _BLANKS:
        words = lexicon or Lexicon.of(tokenizer.vocabulary)
        fold, ascii_only = tokenizer.fold, tokenizer.split == "ascii"
        return lambda text: words.ids(fold(text), ascii_only)
    return lambda text: np.asarray(tokenizer.encode(text), np.uint32)


def _write_words(path: Path, lexicon: Lexicon, empty: Tokenizer) -> None:
    """Write the JSON of a tokenizer, which is given without its words, without holding the whole
    vocabulary in memory."""
    head = empty.to_json()
    end = "]}"
    assert head.endswith(end)

    def save(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8") as out:
            out.write(head.removesuffix(end))
            for first in range(len(SPECIALS), len(lexicon), _WORDS_AT_A_TIME):
                words = lexicon.words(first, first + _WORDS_AT_A_TIME)
                out.write(", " + json.dumps(words, ensure_ascii=False)[1:-1])
            out.write(end)

    write(path, save)


def _split_of(tokenizer: Tokenizer) -> str | None:
    """Return how a tokenizer splits words; None if its tokens are no words."""
    return tokenizer.split if isinstance(tokenizer, WordTokenizer) else None


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
