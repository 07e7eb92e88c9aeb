"""The task of tagging: every word of a sentence has a tag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..files import Paths
from ..text.corpus import Corpus
from ..text.tagged import TaggedSentence, prepare_tagged, read_tagged
from ..text.tokenizer import Tokenizer
from ..types import Ability
from .labelled import LabelledTask
from .results import Answer, Validation
from .task import Options

if TYPE_CHECKING:
    from ..config import Config
    from ..evaluation.tagging import TaggerEvaluation
    from ..run import Run


class TaggedTask(LabelledTask):
    """Predict the tag of each word."""

    name = "tagged"
    reads = "tagged words"
    does = "tags words"
    abilities: ClassVar[dict[Ability, str]] = {
        Ability.TAG: "nextword classify {run} FILE",
        Ability.EVALUATE: "nextword evaluate {run} --data FILE",
        Ability.EMBED: "nextword embed {run} FILE",
        Ability.CONFUSION: "nextword evaluate {run} --data FILE --plot FILE",
    }
    ranked_by = "F1 or accuracy of tags"
    streams = ("tagged",)
    objectives = ("classify",)
    format = "each line is word, tab, tag, and an empty line ends a sentence"

    def read(self, path: Path) -> Iterator[TaggedSentence]:
        return read_tagged(path)

    def encode(
        self,
        train: list[Path],
        valid: list[Path],
        tokenizer: Tokenizer,
        folder: Path,
        labels: Sequence[str],
        config: Config,
    ) -> tuple[Config, list[str]]:
        prepare_tagged(train, tokenizer, folder / "train", labels)
        prepare_tagged(valid, tokenizer, folder / "valid", labels)
        return config, []

    def validate(self, run: Run, corpus: Corpus, rows: int) -> Validation:
        """Tag the validation texts; `train.metric` selects the figure for the best weights."""
        from ..evaluation.classification import labeller
        from ..evaluation.tagging import score_tagged, tag_quality, words_of

        log_probs = score_tagged(labeller(run), corpus, run.device, run.config.train.bptt)
        right, ends = words_of(corpus)
        tags = run.config.model.labels
        quality, _, _ = tag_quality(right, log_probs.argmax(axis=1), ends, tags)
        loss = float(-log_probs[range(len(right)), right].mean())
        return Validation(loss, {"loss": loss} | asdict(quality), run.config.train.metric)

    def evaluate(self, run: Run, data: Paths, options: Options) -> TaggerEvaluation:
        from ..evaluation.tagging import evaluate_tagger

        return evaluate_tagger(run, data)

    def classify_lines(self, run: Run, lines: Iterable[str]) -> Iterator[Answer]:
        from ..evaluation.tagging import tag_lines

        return tag_lines(run, lines)
