"""The tables of settings that every run has, and what every table of settings is."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Section(BaseModel):
    """A table of settings: unknown keys are refused, nothing changes after parsing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(Section):
    """A table whose `name` says which registered part it sets."""

    name: str

    #: of a model: how `train` makes it; descend = by gradients
    trained_by: ClassVar[str] = "descend"
    #: of a model: text, or pairs of sentences
    reads: ClassVar[str] = "text"
    #: of a model: whether its layers can learn at rates of their own
    layered: ClassVar[bool] = False


class TextConfig(Section):
    """How text becomes ids."""

    tokenizer: str = "bpe"
    vocab_size: Annotated[int, Field(ge=3)] | Literal["auto"] | None = Field(
        "auto", description="largest vocabulary; auto = by the size of the text; none = no limit"
    )
    min_count: int = Field(1, ge=1, description="rarer types become <unk> (word, char)")
    lower: bool = Field(False, description="lower-case everything first")
    split: Literal["auto", "whitespace", "words"] = Field(
        "auto",
        description="word tokenizer: cut at white space alone, or also around punctuation and "
        "between Chinese characters; auto looks at the text",
    )
    sentences: bool = Field(
        False, description="wordpiece: every sentence ends in <eos>, not only every line"
    )
    vectors: str | None = Field(None, description="word2vec or GloVe text file to start from")

    @field_validator("vocab_size", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "none" else value  # a recipe has no other word for it

    def limit(self) -> int | None:
        """The largest vocabulary; None = no limit."""
        return 8000 if self.vocab_size == "auto" else self.vocab_size


class TrainConfig(Section):
    """How long, how much at a time, and what is kept."""

    epochs: int = Field(10, ge=1)
    minutes: float | None = Field(
        None, gt=0, description="wall time instead of epochs; the schedule runs over it"
    )
    batch_size: int | None = Field(
        None, ge=1, description="rows; none = 4 to 32, so that a pass has about 100 steps or more"
    )
    batch_tokens: int | None = Field(
        None,
        ge=1,
        description="pairs: most tokens of a batch on either side, padding included; none = 256 to "
        "2048, so that a pass has about 100 steps or more",
    )
    longest: int = Field(
        200, ge=1, description="pairs: sentences of more tokens are left out, and counted"
    )
    bleu_lines: int = Field(
        0, ge=0, description="pairs: translate so many at each validation, for its BLEU"
    )
    vocabulary: Literal["keep", "new"] = Field(
        "keep",
        description="with --from: that run's vocabulary, or one learnt from the new text, with the "
        "vectors of tokens that both have",
    )
    bptt: int = Field(64, ge=1, description="tokens the gradient reaches back")
    stream: str = Field(
        "stripes",
        description="stripes carry the state on, variable are stripes cut at varying lengths "
        "around bptt, windows start fresh; pairs are sentence pairs, masked is for BERT, labelled "
        "for classifiers, tagged for taggers",
    )
    stride: int | None = Field(None, ge=1, description="windows: distance of starts; none = bptt")
    shuffle: bool = Field(True, description="windows: in random order, not the text's")
    seed: int = Field(1, ge=0)
    clip: float | None = Field(1.0, gt=0, description="largest global gradient norm")
    clip_value: float | None = Field(None, gt=0, description="largest single gradient")
    accumulate: int = Field(1, ge=1, description="batches per optimizer step")
    patience: int | None = Field(
        None, ge=1, description="stop after this many validations without a better one"
    )
    average: Literal["none", "non-monotone", "always", "checkpoints"] = Field(
        "none",
        description="keep the mean of the weights over the steps: from the first step, or once "
        "validation stops getting better (with sgd: ASGD, NT-ASGD); or of the last checkpoints",
    )
    checkpoints: int = Field(5, ge=1, description="validations whose weights are averaged")
    non_monotone: int = Field(
        5, ge=1, description="validations looked back over: a loss worse than all before them"
    )
    non_monotone_stop: bool = Field(False, description="such a loss ends the training")
    metric: Literal["loss", "accuracy", "f1", "matthews"] = Field(
        "loss",
        description="what validations choose by; all but the loss: classifiers, taggers",
    )
    keep: Literal["best", "last"] = Field(
        "best", description="weights: by validation, or the newest"
    )
    eval_every: int | None = Field(None, ge=1, description="steps; none = after every epoch")
    save_every_minutes: float = Field(5.0, gt=0, description="how often the state is written")
    precision: Literal["fp32", "bf16", "auto"] = Field(
        "fp32", description="of products; auto = bf16 where the processor or GPU has such products"
    )
    backend: Literal["auto", "fast", "torch", "step"] = Field(
        "auto", description="recurrent layers: our loops, torch's, or the readable step by step"
    )
    graphs: bool = Field(
        False, description="CUDA: a step recorded for each shape of batch and replayed as one"
    )
    tensorboard: bool = False
    memory: str | None = Field(
        None, description="n-grams: most memory the process may take, for example 500MB"
    )

    @field_validator("memory", mode="before")
    @classmethod
    def _a_size(cls, value: Any) -> Any:
        if value is not None:
            parse_size(value)
        return None if value is None else str(value)


def parse_size(text: str | int) -> int:
    """`200MB`, `1.5G`, 4096 → bytes.

    Raises:
        ValueError: it is not a size.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)i?b?\s*", str(text).lower())
    if not match:
        raise ValueError(f"'{text}' is not a size; write for example 200MB or 2GB")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " "))


class SourceConfig(TextConfig):
    """How the source side of sentence pairs becomes ids; `[text]` is the target's."""

    joint: bool = Field(
        False, description="one vocabulary, learnt from both sides as [text] says, for both"
    )
