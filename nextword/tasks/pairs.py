"""The task of translation: sentence pairs of a source and a target."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..errors import InputError
from ..files import Paths, path_list, write_text
from ..run import DATA, SOURCE_TOKENIZER, TOKENIZER
from ..screen import Bars
from ..text.corpus import Corpus
from ..text.pairs import (
    PairFile,
    Skipped,
    hold_out_pairs,
    open_pairs,
    open_pairs_corpus,
    prepare_pairs,
    side,
)
from ..text.reader import open_texts
from ..text.tokenizer import Tokenizer, load_tokenizer, train_tokenizer
from ..types import Ability, Batch
from .results import Validation
from .task import HELD_OUT, Options, Origin, Prepared, Task
from .text import predicted, refuse_length, training_text

if TYPE_CHECKING:
    from ..config import Config
    from ..data.stream import Stream
    from ..evaluation.compare_translations import TranslationComparison
    from ..evaluation.sentences import SentenceScore
    from ..evaluation.surprisal import Rows, Surprisal
    from ..evaluation.translation import TranslationEvaluation
    from ..run import Run


class PairsTask(Task):
    """Translate the source of a sentence pair into its target."""

    name = "pairs"
    reads = "sentence pairs"
    does = "translates"
    abilities: ClassVar[dict[Ability, str]] = {
        Ability.TRANSLATE: "nextword translate {run} FILE",
        Ability.EVALUATE: "nextword evaluate {run} --data FILE",
        Ability.SCORE: "nextword score {run} FILE",
        Ability.ATTENTION: "nextword inspect {run} attention --source TEXT --out FILE",
        Ability.GRADIENTS: "nextword inspect {run} gradients --out FILE",
        Ability.LENGTHS: "nextword compare {run} RUN --data FILE --out FILE",
    }
    ranked_by = "BLEU"
    streams = ("pairs",)
    settings = frozenset({"batch_tokens", "longest", "bleu_lines"})
    options = frozenset({"--target", "--beam", "--alpha"})
    has_source = True
    evaluating = ("translating", "sentences")

    # ------------------------------------------------------------------ making a run

    def open(self, paths: Paths, targets: Paths = ()) -> list[PairFile]:
        return open_pairs(path_list(paths), path_list(targets))

    def prepare(
        self,
        train: list[PairFile],
        valid: list[PairFile],
        config: Config,
        origin: Origin | None,
        folder: Path,
        *,
        bars: Bars,
        bptt_is_given: bool,
    ) -> Prepared:
        notes = []
        if not valid:
            train, valid = hold_out_pairs(train, HELD_OUT)
            if valid:
                notes.append(
                    f"no --valid given: the last {HELD_OUT:.0%} of the training pairs are held out"
                )
        target, source = _tokenizers(config, origin, train)
        if not origin:
            notes += _recognised(config, target, source)
        write_text(folder / TOKENIZER, target.to_json())
        write_text(folder / SOURCE_TOKENIZER, source.to_json())
        longest = int(min(config.train.longest, _context(config) or math.inf))
        named = [path for file in train for path in (file.path, file.target) if path]
        size = sum(span.size for span in open_texts(named))
        corpus, skipped = prepare_pairs(
            train, target, source, folder / DATA / "train", longest, bars("encoding", size)
        )
        if not len(corpus):
            raise InputError(f"no pairs to learn from in '{train[0].path}': {skipped}")
        notes += _left_out("training", skipped, longest)
        if valid:
            held, skipped = prepare_pairs(valid, target, source, folder / DATA / "valid", longest)
            if not len(held):
                raise InputError(f"no pairs to validate on in '{valid[0].path}': {skipped}")
            notes += _left_out("validation", skipped, longest)
        else:
            notes.append("too few pairs to hold any out: no validation")
        return Prepared(config, notes)

    def corpus(self, folder: Path) -> Corpus:
        return open_pairs_corpus(folder)

    def shortened(self, corpus: Corpus, stream: Stream, config: Config) -> str | None:
        return None  # a batch may have fewer pairs than the settings say

    def vectors_key(self, path: Path) -> str:
        raise InputError(
            f"--from {path}: whose vectors are they? Add --set source.vectors={path} or "
            f"--set text.vectors={path} instead"
        )

    def validate(self, run: Run, corpus: Corpus, rows: int) -> Validation:
        """Measure the perplexity of the targets and, if `train.bleu_lines` is set, BLEU.

        BLEU is computed on greedy translations of that many pairs, the first of the text.
        """
        from ..evaluation.pairs import score_pairs
        from ..evaluation.translation import quick_bleu
        from ..generation.translate import translator

        scores = score_pairs(translator(run), corpus, run.device)
        found = predicted(scores.nll / len(corpus), scores.accuracy)
        lines = run.config.train.bleu_lines
        if not lines:
            return found
        bleu = quick_bleu(translator(run), run.tokenizer, corpus, lines, run.device)
        return Validation(found.nll, found.figures | {"bleu": bleu})

    # ------------------------------------------------------------------ using a run

    def evaluate(self, run: Run, data: Paths, options: Options) -> TranslationEvaluation:
        from ..evaluation.translation import evaluate_translation

        return evaluate_translation(
            run, data, options.targets, how=options.decoding, bar=options.bar
        )

    def compare(self, runs: Sequence[Run], data: Paths, options: Options) -> TranslationComparison:
        from ..evaluation.compare_translations import compare_translations

        return compare_translations(
            runs, data, options.targets, how=options.decoding, bar=options.bar
        )

    def score_lines(
        self, run: Run, lines: Iterable[str], batch_size: int = 64
    ) -> Iterator[SentenceScore]:
        from ..evaluation.sentences import score_pair_lines

        return score_pair_lines(run, lines, batch_size)

    def surprisal(self, run: Run, lines: Iterable[str], how: Rows) -> Iterator[Surprisal]:
        from ..evaluation.surprisal_scoring import pair_rows

        return pair_rows(run, lines, how)

    def examples(
        self, run: Run, data: Paths, folder: Path, *, length: int | None, samples: int
    ) -> Iterable[Batch]:
        from ..data.pairs import Pairs
        from ..data.stream import spread

        refuse_length(run, length, self.reads)
        corpus = self.corpus(training_text(run)) if not data else self._encode(run, data, folder)
        assert corpus.source is not None
        pairs = Pairs(corpus.ids, corpus.source.ids, batch_tokens=1, shuffle=False)
        return (pairs[i] for i in spread(len(pairs), samples))

    def _encode(self, run: Run, data: Paths, folder: Path) -> Corpus:
        assert run.source is not None
        longest = run.config.train.longest
        corpus, _ = prepare_pairs(self.open(data), run.tokenizer, run.source, folder, longest)
        if not len(corpus):
            raise InputError(
                f"no pairs in '{path_list(data)[0]}'; each line is source, tab, target"
            )
        return corpus


def _context(config: Config) -> int | None:
    context: int | None = config.model.model_dump().get("context")
    return context


def _tokenizers(
    config: Config, origin: Origin | None, train: list[PairFile]
) -> tuple[Tokenizer, Tokenizer]:
    """Load or train the tokenizers of the target and of the source."""
    if origin:
        folder = origin.folder
        return load_tokenizer(folder / TOKENIZER), load_tokenizer(folder / SOURCE_TOKENIZER)
    assert config.source is not None
    sizes = {
        name: sum(len(text.encode("utf-8")) for text in side(train, name))
        for name in ("source", "target")
    }
    if config.source.joint:
        both = chain(side(train, "source"), side(train, "target"))
        shared = train_tokenizer(both, config.text, sum(sizes.values()))
        return shared, shared
    return (
        train_tokenizer(side(train, "target"), config.text, sizes["target"]),
        train_tokenizer(side(train, "source"), config.source, sizes["source"]),
    )


def _recognised(config: Config, target: Tokenizer, source: Tokenizer) -> list[str]:
    """What training the tokenizers recognised in the texts, side by side."""
    assert config.source is not None
    if config.source.joint:
        return target.recognised(config.text)
    sides = ("source", source.recognised(config.source)), ("target", target.recognised(config.text))
    return [f"{name}: {note}" for name, found in sides for note in found]


def _left_out(which: str, skipped: Skipped, longest: int) -> list[str]:
    if not skipped.empty and not skipped.long:
        return []
    return [f"{which} pairs left out: {skipped} (more than {longest} tokens)"]
