"""Translates sentences, by beam search or by sampling, and shows what the model attends to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor

from ..arguments import checked
from ..data.pairs import pad
from ..errors import InputError
from ..nn.attention_weights import record_attention
from ..numerals import fixed
from ..run import Run
from ..text.input_lines import blocks
from ..text.pairs import encode_lines
from ..text.tokenizer import EOS, UNK, Tokenizer
from ..types import Ability, Seq2Seq, State
from .beam import Hypothesis, beam_search
from .decoding import Decoding
from .sample import sample_ids
from .unknown_words import replace_unknown, surfaces

_TOKENS = 2048  # the most source tokens in a batch, times the beam
_BLOCK = 256  # sentences that are sorted by length together


@dataclass(frozen=True)
class Translation:
    """One of the translations of a source."""

    text: str
    log_prob: float  # natural logarithm, the end mark included; NaN if it was drawn
    score: float  # log_prob / length penalty; translations are ranked by it
    tokens: int  # tokens of the translation, without the end mark


@dataclass(frozen=True)
class Translated:
    """A source and its translations, best first."""

    source: str
    best: list[Translation]
    attention: Attention | None = None  # of the best one, if `Decoding.attention` is set

    @property
    def text(self) -> str:
        return self.best[0].text if self.best else ""

    def ranked(self, number: int) -> list[str]:
        """Format the translations of sentence `number`, best first.

        Each line has the number, the rank, the log-probability and the translation, divided by
        tabs. An empty sentence has one line, with an empty translation.
        """
        lines = [
            f"{number}\t{rank}\t{fixed(one.log_prob, 3)}\t{one.text}"
            for rank, one in enumerate(self.best, start=1)
        ]
        return lines or [f"{number}\t1\t-\t"]

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"source": self.source, "translation": self.text}
        found["best"] = [asdict(one) for one in self.best]
        if self.attention is not None:
            found["attention"] = {
                "source": self.attention.source,
                "target": self.attention.target,
                "weights": self.attention.mean().tolist(),
            }
        return found


@checked
def translate(run: Run, texts: Iterable[str], how: Decoding | None = None) -> list[str]:
    """The translation of each text; a text is one sentence.

    Args:
        run: a translator.
        texts: lines without line ends.
        how: settings of the search, or of drawing at random; see `Decoding`.

    Raises:
        InputError: the run does not translate, or a text is longer than the model's context.

    Example:
        translate(nextword.load("runs/translator"), ["A sentence ."])
    """
    return [done.text for done in translate_lines(run, texts, how)]


@checked
def translate_lines(
    run: Run, texts: Iterable[str], how: Decoding | None = None
) -> Iterator[Translated]:
    """Translate a stream of texts of any length.

    It reads a few hundred at a time and yields translations in the same order, each with its
    probability, the other translations of `how.n_best`, and attention weights if `how.attention`.
    The translation of an empty line is empty.

    Raises:
        InputError: the run does not translate, or a text is longer than the model's context.

    Example:
        how = nextword.Decoding(n_best=3)
        for done in nextword.translate_lines(nextword.load("runs/translator"), ["a cat"], how):
            print([one.text for one in done.best])
    """
    how = how or Decoding()
    source_tokenizer = check_translates(run)
    prefix = run.tokenizer.encode(_one_line(how.prefix))
    if run.model.context is not None and len(prefix) >= run.model.context:
        raise InputError(
            f"the prefix has {len(prefix)} tokens: shorten it below {run.model.context}"
        )

    def encoded(number: int, line: str) -> tuple[int, str, list[int]]:
        text = _one_line(line)
        (ids,) = encode_lines(source_tokenizer, [text])
        check_fits(run, len(ids), number)
        return number, text, ids

    for block in blocks(texts, _BLOCK, encoded):
        numbers = [number - 1 for number, text, _ in block if text]
        sources = [ids for _, text, ids in block if text]
        found = decode(translator(run), sources, run.device, how, numbers, prefix)
        answers = dict(zip(numbers, found, strict=True))
        for number, text, ids in block:
            answer = answers.get(number - 1, [])
            best = [
                Translation(_text(run, h, text, ids, how), h.log_prob, h.score, len(h.ids))
                for h in answer
            ]
            weights = _attention(run, ids, _written(answer[0])) if how.attention and best else None
            yield Translated(text, best, weights)


def _text(run: Run, found: Hypothesis, source: str, ids: list[int], how: Decoding) -> str:
    """The text of a hypothesis for the source `source` with the tokens `ids`."""
    if not how.replace_unk or UNK not in found.ids:
        return run.tokenizer.decode(found.ids)
    weights = _attention(run, ids, _written(found)).mean()
    words = surfaces(check_translates(run), source, ids)
    return replace_unknown(run.tokenizer, found.ids, weights, words)


@torch.no_grad()
def decode(
    model: Seq2Seq,
    sources: list[list[int]],
    device: torch.device,
    how: Decoding,
    numbers: list[int] | None = None,
    prefix: Sequence[int] = (),
) -> list[list[Hypothesis]]:
    """The hypotheses for each source, best first. A source is its ids, `<eos>` last. With
    `how.sample`, source i uses the seed `how.seed` + numbers[i] (default: i). `prefix` holds the
    tokens of `how.prefix`."""
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    found = dict[int, list[Hypothesis]]()
    for rows in _batches(order, [len(ids) for ids in sources], how.beam):
        ids, mask = pad([sources[i] for i in rows])
        state = model.start(ids.to(device), mask.to(device))
        limits = [int(how.ratio * len(sources[i])) + how.extra + len(prefix) for i in rows]
        if model.context is not None:
            limits = [min(limit, model.context) for limit in limits]
        first = torch.full((len(rows),), EOS, device=device)
        if how.sample is None:
            best = beam_search(
                model,
                first,
                state,
                limits,
                beam=how.beam,
                alpha=how.alpha,
                n_best=how.n_best,
                end=EOS,
                allow_unk=how.replace_unk,
                prefix=prefix,
                no_repeat=how.no_repeat,
            )
        else:
            seeds = [i if numbers is None else numbers[i] for i in rows]
            best = _sampled(model, first, state, limits, how, seeds)
        found |= zip(rows, best, strict=True)
    return [found[i] for i in range(len(sources))]


def _sampled(
    model: Seq2Seq, first: Tensor, state: State, limits: list[int], how: Decoding, seeds: list[int]
) -> list[list[Hypothesis]]:
    """Draw each row token by token. Each has its own seed, so the result does not depend on the
    batch."""
    assert how.sample is not None
    generators = []
    for seed in seeds:
        generators.append(torch.Generator())
        if how.seed is None:
            generators[-1].seed()
        else:
            generators[-1].manual_seed(how.seed + seed)
    written: list[list[int]] = [[] for _ in seeds]
    over = [False] * len(seeds)
    for chosen in sample_ids(model, first[:, None], state, how.sample, generators):
        for i, index in enumerate(chosen.tolist()):
            if not over[i]:
                written[i].append(index)
                over[i] = index == EOS or len(written[i]) == limits[i]
        if all(over):
            break
    return [[_hypothesis(ids)] for ids in written]


def _hypothesis(ids: list[int]) -> Hypothesis:
    ended = ids[-1] == EOS
    return Hypothesis(ids[:-1] if ended else ids, float("nan"), float("nan"), ended)


def attention(run: Run, source: str, target: str | None = None) -> Attention:
    """The weights with which each target token attends to the source tokens, for every attention to
    the source.

    Args:
        target: the translation that the decoder reads; None = the model's own.

    Raises:
        InputError: the run does not translate, its model has no attention, or the source is empty.
    """
    tokenizer = check_translates(run)
    source = _one_line(source)
    if not source:
        raise InputError("give a sentence with something in it")
    (ids,) = encode_lines(tokenizer, [source])
    check_fits(run, len(ids), 1)
    if target is None:
        (best,) = decode(translator(run), [ids], run.device, Decoding())
        written = _written(best[0])
    else:
        (written,) = encode_lines(run.tokenizer, [_one_line(target)])
        check_fits(run, len(written), 1)
    return _attention(run, ids, written)


def _attention(run: Run, ids: list[int], written: list[int]) -> Attention:
    """The weights while the decoder reads `written` after the source `ids`."""
    model = translator(run)
    read = torch.tensor([[EOS, *written[:-1]]], device=run.device)
    with torch.no_grad(), record_attention() as recorded:
        state = model.start(
            torch.tensor([ids], device=run.device),
            torch.ones(1, len(ids), dtype=torch.bool, device=run.device),
        )
        model.advance(read, state)
    weights = {
        name: torch.cat(values, dim=2)[0]  # with input feeding there is one call a step
        for name, values in recorded.items()
        if name.endswith("source")
    }
    if not weights:
        raise InputError(f"'{run.name}' has no attention (model.attention=none)")
    tokenizer = check_translates(run)
    return Attention(
        [tokenizer.token(i) for i in ids], [run.tokenizer.token(i) for i in written], weights
    )


def _written(hypothesis: Hypothesis) -> list[int]:
    """The ids of a hypothesis, with the end mark if it was reached."""
    return [*hypothesis.ids, EOS] if hypothesis.ended else hypothesis.ids


@dataclass(frozen=True)
class Attention:
    """How much each target token attended to each source token."""

    source: list[str]  # S tokens, the end mark last
    target: list[str]  # T tokens, the end mark last
    weights: dict[str, Tensor]  # the name of an attention → (heads, T, S); rows sum to one

    def mean(self) -> Tensor:
        """The mean (T, S) over the heads of the last attention."""
        return list(self.weights.values())[-1].mean(dim=0)


def _one_line(text: str) -> str:
    return re.sub(r"[\r\n]+", " ", text).strip()


def translator(run: Run) -> Seq2Seq:
    """The model of a run that translates; call `check_translates` before."""
    return cast(Seq2Seq, run.model)


def check_translates(run: Run) -> Tokenizer:
    """The tokenizer of the source in a run that translates.

    Raises:
        InputError: the run does not translate.
    """
    run.require(Ability.TRANSLATE)
    assert run.source is not None
    return run.source


def check_fits(run: Run, tokens: int, line: int) -> None:
    """Raise InputError if the sentence of a line has more tokens than the model's context."""
    context = run.model.context
    if context is not None and tokens > context:
        raise InputError(
            f"line {line} has {tokens} tokens, more than the model's context of {context}; "
            "split it into sentences"
        )


def _batches(order: list[int], lengths: list[int], beam: int) -> Iterator[list[int]]:
    """Batches of row numbers, from short to long rows, each within `_TOKENS`."""
    rows: list[int] = []
    for index in order:
        if rows and (len(rows) + 1) * lengths[index] * beam > _TOKENS:
            yield rows
            rows = []
        rows.append(index)
    if rows:
        yield rows
