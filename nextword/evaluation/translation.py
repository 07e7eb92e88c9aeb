"""How good translations are: BLEU and chrF, as sacrebleu computes and signs them (Post 2018,
arXiv:1804.08771)."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..data.pairs import Sentences
from ..errors import InputError
from ..files import Paths, path_list
from ..generation.translate import Decoding, check_translates, decode, translate_lines, translator
from ..run import Run
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
    """Of translations of one text."""

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str


@dataclass(frozen=True)
class TranslationEvaluation:
    """Of one run on one text of pairs."""

    quality: Quality
    targets: Evaluation  # how probable the references are, each after its source
    sources: list[str]
    references: list[str]
    translations: list[str]
    seconds: float  # of translating

    def as_dict(self) -> dict[str, Any]:
        return (
            self.targets.as_dict()
            | asdict(self.quality)
            | {"sentences": len(self.sources), "translation_seconds": self.seconds}
        )

    def lines(self) -> list[tuple[str, str]]:
        """The figures as people read them: name, value."""
        quality, e = self.quality, self.targets
        return [
            ("sentences", f"{len(self.sources):,}"),
            ("BLEU", f"{quality.bleu:.2f}   {quality.bleu_signature}"),
            ("chrF", f"{quality.chrf:.2f}   {quality.chrf_signature}"),
            ("perplexity", f"{e.perplexity:.2f} per token"),
            ("", f"{e.word_perplexity:.2f} per word"),
            ("bits", f"{e.bits_per_byte:.4f} per byte"),
            ("accuracy", f"{e.accuracy:.2%} of tokens, given those before them"),
            ("unknown", f"{e.oov:,} tokens ({e.oov / e.tokens:.2%})"),
            ("speed", f"{len(self.sources) / self.seconds:,.1f} sentences/s"),
            ("signature", e.signature),
        ]


def metrics(references: Sequence[str]) -> tuple[Any, Any]:
    """sacrebleu's BLEU and chrF for references of a language; Chinese and Japanese are cut into
    characters."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    sample = "".join(references[:1000])
    wide = 2 * len(CJK_CHARACTER.findall(sample)) > len("".join(sample.split()))
    # `force` keeps it from warning of texts that were tokenised before
    return BLEU(tokenize="zh" if wide else "13a", force=True), CHRF()


def quality(translations: Sequence[str], references: Sequence[str]) -> Quality:
    """BLEU and chrF of translations (N,) against one reference each."""
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
    """Translate the sources of pairs and compare with their targets; and how probable those are.

    Every line with text on both sides counts, however long.

    Raises:
        InputError: a file cannot be read, the run does not translate, or a text is longer than its
            context.
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
    with tempfile.TemporaryDirectory(prefix="nextword-") as folder:
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
    """BLEU of greedy translations of the first pairs of a prepared text."""
    assert corpus.source is not None
    sides = Sentences(corpus.source.ids), Sentences(corpus.ids)
    rows = range(min(lines, len(sides[0])))
    sources, targets = (
        [side.ids[side.starts[row] : side.ends[row]].tolist() for row in rows] for side in sides
    )
    found = decode(model, sources, device, Decoding(beam=1))
    translations = [tokenizer.decode(best[0].ids) for best in found]
    return quality(translations, [tokenizer.decode(ids[:-1]) for ids in targets]).bleu
