"""Scores lines for `surprisal`: each token of running text from those before it, each token of a
translation given its source, or each token of a line from all others of the line. Running text that
n-gram models read needs no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from ..errors import InputError
from ..run import Run
from ..text.input_lines import blocks
from ..text.tokenizer import EOS, SPECIALS, UNK, Span, line_named
from ..types import Ability, State
from .line_predictions import predict_lines, predict_next_line, state_after
from .predictions import Array, Predictions
from .surprisal import Rows, Surprisal
from .words import Line, Unit, boundary_shares, read_regions, regions_of, words_of

_LINES = 8  # times the size of a batch: lines that are sorted by length together


def text_rows(run: Run, texts: Iterable[str], how: Rows) -> Iterator[Surprisal]:
    """Yield the rows of a language model of running text.

    Raises:
        InputError: the run does not predict text, or a line has no regions.
    """
    run.require(Ability.GENERATE)
    ends = run.tokenizer.word_boundaries()
    boundaries = _array(ends)
    encode = run.tokenizer.encode
    before = state_after(run, [*encode(_whole_lines(how.context)), EOS]) if how.context else None
    state: State = None

    def read(number: int, text: str) -> Line:
        return _line(run, number, text, how, [EOS])

    for lines in blocks(texts, _LINES * how.batch_size, read):
        if how.previous:
            found = []
            for line in lines:
                one, state = predict_next_line(run, line.ids, state, boundaries)
                found.append(one)
        else:
            ids = [line.ids for line in lines]
            found = predict_lines(run, ids, before, boundaries, how.batch_size)
        yield from _all_rows(run, lines, found, how, ends)


def pair_rows(run: Run, texts: Iterable[str], how: Rows) -> Iterator[Surprisal]:
    """Yield the rows of the targets, each given its source; a line is source, tab, target.

    Raises:
        InputError: the run does not translate, a line has no tab or no regions, or it is longer
            than the model's context.
    """
    from ..generation.translate import check_fits
    from .tensor_predictions import predict_batches

    run.require(Ability.TRANSLATE)
    assert run.source is not None
    how.refuse_context(run.name, "translates")
    encode, ends = run.source.encode, run.tokenizer.word_boundaries()

    def read(number: int, text: str) -> tuple[Line, list[int]]:
        source, tab, rest = text.partition("\t")
        if not tab:
            raise InputError(f"line {number} has no tab; '{run.name}' scores source, tab, target")
        target = rest.split("\t")[0]
        begin = len(source) + 1 + len(target) - len(target.lstrip())
        line = _line(run, number, text, how, [EOS], begin, target.strip())
        source_ids = [*encode(source.strip()), EOS]
        check_fits(run, max(len(source_ids), len(line.ids)), number)
        return line, source_ids

    for block in blocks(texts, _LINES * how.batch_size, read):
        lines, sources = [line for line, _ in block], [ids for _, ids in block]
        ids = [line.ids for line in lines]
        found = predict_batches(run, ids, sources, None, _array(ends), how.batch_size)
        yield from _all_rows(run, lines, found, how, ends)


def pseudo_rows(run: Run, texts: Iterable[str], how: Rows) -> Iterator[Surprisal]:
    """Yield the rows of a masked language model, which are marked `pseudo`. It predicts no `<eos>`.

    Raises:
        InputError: the run does not predict masked words, a line has no regions, or it is longer
            than the model's context.
    """
    from ..generation.infill import gap_filler
    from .pseudo import check_fits_masked, predict_masked

    model = gap_filler(run)
    how.refuse_context(run.name, "fills gaps")
    begin = run.tokenizer.word_boundaries()

    def read(number: int, text: str) -> Line:
        line = _line(run, number, text.replace("\n", " "), how, [])
        check_fits_masked(model, len(line.ids), number)
        return line

    for lines in blocks(texts, _LINES * how.batch_size, read):
        words = [_piece_words(run, line, together=how.corrected) for line in lines]
        found = predict_masked(model, [line.ids for line in lines], words, run.device)
        rule = "within-word" if how.corrected else "all-others"
        yield from _all_rows(run, lines, found, how, begin, pseudo=rule)


def _whole_lines(text: str) -> str:
    """A text whose last line is complete, without its newline, for which `<eos>` stands."""
    return text[:-1] if text.endswith("\n") else text


def _array(ids: list[int] | None) -> Array | None:
    return None if ids is None else np.array(ids)


def _line(
    run: Run,
    number: int,
    given: str,
    how: Rows,
    end: list[int],
    begin: int = 0,
    part: str | None = None,
) -> Line:
    """Read a line, or a part of it that begins at the character `begin`."""
    text = given if part is None else part
    places: Sequence[int] = range(len(text))
    regions: list[Span] = []
    if how.by == "region":
        text, places, regions = read_regions(text, number)
    with line_named(number):
        ids, spans = run.tokenizer.encode_with_spans(text)
    places = range(begin, begin + len(text)) if not regions else [begin + at for at in places]
    spans = [*spans, *[(len(text), len(text))] * len(end)]
    return Line(number, given, text, places, regions, [*ids, *end], spans)


def _piece_words(run: Run, line: Line, *, together: bool) -> list[int]:
    """For each token the number of its word; without `together` each is a word of its own."""
    words: list[int] = []
    for before, index in pairwise([EOS, *line.ids]):
        inside = together and words and run.tokenizer.continues_word(index, before)
        words.append(words[-1] if inside else len(words))
    return words


# ------------------------------------------------------------------------------------ the rows


def _all_rows(
    run: Run,
    lines: list[Line],
    found: list[Predictions],
    how: Rows,
    ends: list[int] | None,
    pseudo: str = "",
) -> Iterator[Surprisal]:
    """Yield the rows of lines whose tokens were predicted.

    Args:
        ends: `Tokenizer.word_boundaries`.
        pseudo: the rule of a BERT.
    """
    blank_begins = ends is not None
    divides = how.corrected and how.by in ("word", "region")
    boundaries = frozenset(ends or ()) if divides else frozenset[int]()
    rule = pseudo or ("boundary" if boundaries else "sum")
    for line, predictions in zip(lines, found, strict=True):
        units, log_probs = _units(line, predictions, how.by, blank_begins, boundaries)
        for position, (unit, log_prob) in enumerate(zip(units, log_probs, strict=True), start=1):
            start, end = line.given_span(unit.start, unit.end)
            ids = line.ids[unit.first : unit.last]
            is_end = how.by != "sentence" and start == end and ids[-1] == EOS
            order = predictions.order
            yield Surprisal(
                sentence=line.number,
                position=position,
                text=SPECIALS[EOS] if is_end else line.given[start:end],
                start=start,
                end=end,
                surprisal_bits=-log_prob / math.log(2) + 0.0,  # -0.0 becomes 0.0
                entropy_bits=float(predictions.entropy[unit.first]) / math.log(2),
                rank=int(predictions.rank[unit.first]),
                oov=any(_is_unknown(line, at) for at in range(unit.first, unit.last)),
                pieces=tuple(run.tokenizer.token(index) for index in ids),
                order=None if order is None else int(order[unit.first]),
                rule=rule,
                pseudo=bool(pseudo),
            )


def _units(
    line: Line,
    predictions: Predictions,
    by: str,
    blank_begins: bool,
    boundaries: frozenset[int],
) -> tuple[list[Unit], list[float]]:
    """The parts of a line that get a row, and the natural log-probability of each."""
    log_prob = predictions.log_prob
    if by == "sentence":
        whole = [Unit(0, len(line.ids), 0, len(line.read))] if line.ids else []
        return whole, [float(log_prob.sum())] * len(whole)
    if by == "token":
        units = [Unit(at, at + 1, start, end) for at, (start, end) in enumerate(line.spans)]
        return units, log_prob.tolist()
    words = words_of(line, blank_begins=blank_begins)
    nats = [float(log_prob[word.first : word.last].sum()) for word in words]
    if boundaries:
        nats = (boundary_shares(line, words, predictions, boundaries) + nats).tolist()
    if by == "word":
        return words, nats
    regions = regions_of(line, words)
    ends = [(words[region[0]], words[region[-1]]) for region in regions]
    units = [Unit(one.first, other.last, one.start, other.end) for one, other in ends]
    return units, [math.fsum(nats[i] for i in region) for region in regions]


def _is_unknown(line: Line, at: int) -> bool:
    """Whether a token is unknown; a literal `<unk>` in the text is not."""
    start, end = line.spans[at]
    return line.ids[at] == UNK and line.read[start:end] != SPECIALS[UNK]
