"""The evaluation of translators: BLEU and chrF as sacrebleu computes them (Post 2018,
arXiv:1804.08771), and the perplexity of the references."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..data.pairs import Sentences
from ..errors import InputError
from ..files import Paths, path_list
from ..generation.decoding import Decoding
from ..generation.translate import check_translates, decode, translate_lines, translator
from ..numerals import fixed, percent
from ..run import Run
from ..scratch import temporary_folder
from ..screen import Bar
from ..text.corpus import Corpus
from ..text.pairs import PairFile, open_pairs, prepare_pairs
from ..text.tokenizer import Tokenizer
from ..text.word import CJK_CHARACTER
from ..types import Seq2Seq
from .figures import Evaluation, safe_exp, signature, summarise
from .pairs import score_pairs


@dataclass(frozen=True)
class Quality:
    """BLEU and chrF of the translations of one text."""

    bleu: float  # from 0 to 100
    chrf: float  # from 0 to 100
    bleu_signature: str  # of sacrebleu
    chrf_signature: str  # of sacrebleu


@dataclass(frozen=True)
class TranslationEvaluation:
    """The figures of one translator on sentence pairs."""

    quality: Quality
    targets: Evaluation  # of the references, each given its source
    sources: list[str]
    references: list[str]
    translations: list[str]
    seconds: float  # of translating

    def as_dict(self) -> dict[str, Any]:
        """Return all figures by name, for programs."""
        return (
            self.targets.as_dict()
            | asdict(self.quality)
            | {"sentences": len(self.sources), "translation_seconds": self.seconds}
        )

    def lines(self) -> list[tuple[str, str]]:
        """Return the figures formatted for people: (name, value)."""
        quality, e = self.quality, self.targets
        return [
            ("sentences", f"{len(self.sources):,}"),
            ("BLEU", f"{quality.bleu:.2f}   {quality.bleu_signature}"),
            ("chrF", f"{quality.chrf:.2f}   {quality.chrf_signature}"),
            ("perplexity", f"{fixed(e.perplexity)} per token"),
            ("", f"{fixed(e.word_perplexity)} per word"),
            ("bits", f"{fixed(e.bits_per_byte, 4)} per byte"),
            ("accuracy", f"{percent(e.accuracy, 2)} of tokens, given those before them"),
            ("unknown", f"{e.oov:,} tokens ({e.oov / e.tokens:.2%})"),
            ("speed", f"{len(self.sources) / self.seconds:,.1f} sentences/s"),
            ("signature", e.signature),
        ]


def metrics(references: Sequence[str]) -> tuple[Any, Any]:
    """Return sacrebleu's BLEU and chrF for the language of the references.

    BLEU splits Chinese and Japanese texts into characters.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    sample = "".join(references[:1000])
    wide = 2 * len(CJK_CHARACTER.findall(sample)) > len("".join(sample.split()))
    # `force` suppresses a warning about tokenised texts
    return BLEU(tokenize="zh" if wide else "13a", force=True), CHRF()


def quality(translations: Sequence[str], references: Sequence[str]) -> Quality:
    """Compute BLEU and chrF of translations (N,) against one reference each (N,)."""
    bleu, chrf = metrics(references)
    scores = [
        metric.corpus_score(list(translations), [list(references)]) for metric in (bleu, chrf)
    ]
    return Quality(
        scores[0].score, scores[1].score, str(bleu.get_signature()), str(chrf.get_signature())
    )


def evaluate_translation(
    run: Run,
    data: Paths,
    targets: Paths = (),
    *,
    how: Decoding | None = None,
    bar: Bar | None = None,
) -> TranslationEvaluation:
    """Translate the sources of pairs, compare with the targets, and score the targets.

    Every line with text on both sides counts, whatever its length. For the arguments see
    `nextword.evaluate`.

    Raises:
        InputError: a file cannot be read, the run is no translator, or a text exceeds its context.
    """
    how = how or Decoding()
    source_tokenizer = check_translates(run)
    files = open_pairs(path_list(data), path_list(targets))
    pairs = [pair for file in files for pair in file if pair.source and pair.target]
    if not pairs:
        raise InputError(f"no pairs in '{files[0].path}'; each line is source, tab, target")
    evaluation = _probability(run, files, source_tokenizer)
    began = time.perf_counter()
    advance = bar(len(pairs)) if bar else None
    translations = []
    for done in translate_lines(run, (pair.source for pair in pairs), how):
        translations.append(done.text)
        if advance:
            advance(1)
    seconds = time.perf_counter() - began
    references = [pair.target for pair in pairs]
    return TranslationEvaluation(
        quality(translations, references),
        evaluation,
        [pair.source for pair in pairs],
        references,
        translations,
        seconds,
    )


def _probability(run: Run, files: Sequence[PairFile], source: Tokenizer) -> Evaluation:
    """How probable the targets of pairs are, each after its source."""
    longest = run.model.context or 1 << 30
    with temporary_folder() as folder:
        corpus, skipped = prepare_pairs(files, run.tokenizer, source, Path(folder), longest)
        if skipped.long:
            raise InputError(
                f"{skipped.long} pairs of '{files[0].path}' have more tokens than the model's "
                f"context of {longest}; leave them out"
            )
        began = time.perf_counter()
        scores = score_pairs(translator(run), corpus, run.device)
        return summarise(
            scores,
            corpus.counts,
            safe_exp(-scores.known_log_prob / max(1, scores.known)),
            run.parameters,
            time.perf_counter() - began,
            signature(run, f"source:{source.name}:{source.vocab_size}:{source.fingerprint}"),
        )


def quick_bleu(
    model: Seq2Seq, tokenizer: Tokenizer, corpus: Corpus, lines: int, device: torch.device
) -> float:
    """Compute BLEU of greedy translations of the first `lines` pairs of a prepared text."""
    assert corpus.source is not None
    sides = Sentences(corpus.source.ids), Sentences(corpus.ids)
    rows = range(min(lines, len(sides[0])))
    sources, targets = (
        [side.ids[side.starts[row] : side.ends[row]].tolist() for row in rows] for side in sides
    )
    found = decode(model, sources, device, Decoding(beam=1))
    translations = [tokenizer.decode(best[0].ids) for best in found]
    return quality(translations, [tokenizer.decode(ids[:-1]) for ids in targets]).bleu
