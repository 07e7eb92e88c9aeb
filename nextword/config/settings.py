"""The tables of settings that every run has."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from .. import bounds, registry
from ..errors import shown
from .section import Section, Use

#: keys of [train] that not every stream reads
_OF_SOME_STREAMS = ("bptt", "batch_size", "batch_tokens", "stride", "shuffle")


class TextConfig(Section):
    """How text becomes ids."""

    tokenizer: str = Field(
        "bpe",
        description="what a token is: a word, a character, a byte, or a piece of a word; hf:FILE "
        "and sentencepiece:FILE = the tokenizer of another library; ids = the text is ids already",
        json_schema_extra={"kind": "tokenizer"},
    )
    vocab_size: Annotated[int, Field(ge=3, le=bounds.COUNT)] | Literal["auto"] | None = Field(
        "auto",
        description="largest vocabulary, <unk> and <eos> included; auto = 8000, and for bpe and "
        "wordpiece one token for every 200 bytes of a small text; none = no limit. ids: auto "
        "= all up to the largest of the training text",
    )
    min_count: int = Field(
        1,
        ge=1,
        le=bounds.COUNT,
        description="tokens that occur less often become <unk>; with bpe and wordpiece, pairs that "
        "occur less often are not merged",
    )
    lower: bool = Field(False, description="the text is lower-cased first")
    strip_accents: bool | None = Field(
        None,
        description="accents are removed first (é becomes e); none = wordpiece removes them if it "
        "lower-cases, as BERT does, the others keep them",
    )
    split: Literal["auto", "whitespace", "ascii", "words"] = Field(
        "auto",
        description="where the word tokenizer cuts: at white space alone (whitespace: all that "
        "Unicode has; ascii: the blanks of ASCII, as KenLM), or also around punctuation and "
        "between Chinese characters (words); auto = whitespace or words, by the text",
    )
    normalise: Literal["none", "tokenised", "nfkc", "ccnet"] = Field(
        "none",
        description="what is done to every text first: spaces are put round the punctuation of "
        "English prose (tokenised), Unicode's form KC, or CCNet's lower case, zeros and ASCII "
        "punctuation",
    )
    end_id: int | None = Field(
        None, ge=0, le=bounds.COUNT, description="ids: the id that ends a sequence, as a line end"
    )
    sentences: bool = Field(
        False,
        description="wordpiece: <eos> follows every sentence instead of every line only",
    )
    vectors: str | None = Field(
        None,
        description="a file of word vectors (word2vec, text or binary; GloVe; fastText's .vec) "
        "that the embedding begins with",
    )
    vectors_scale: Literal["model", "own"] = Field(
        "model",
        description="vectors: they are scaled to the standard deviation of the embedding that they "
        "replace (model), or stay as they are in the file (own)",
    )

    @field_validator("vocab_size", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if value == "none" else value  # a recipe has no other word for it

    def unused(self, key: str, use: Use) -> str | None:
        if use.config.model.trained_by == "mixing":
            return "models that are trained on text"
        kinds = {name: registry.load("tokenizer", name) for name in registry.names("tokenizer")}
        readers = [name for name, kind in kinds.items() if key in kind.reads]
        if readers and self.tokenizer_kind not in readers:
            return f"a tokenizer of {' or '.join(readers)}"
        if key in ("vectors", "vectors_scale"):
            if use.config.model.trained_by != "gradient":
                return "models that are trained by gradient descent"
            if use.same_model:
                return "models with new weights"
            given = self.vectors is not None or key == "vectors"
            return None if given else "word vectors (text.vectors)"
        if key == "sentences" and not kinds[self.tokenizer_kind].ends_sentences:
            return "a tokenizer that ends sentences (wordpiece)"
        return None

    @property
    def tokenizer_kind(self) -> str:
        """The name of the tokenizer in the registry: `hf` of `hf:tokenizer.json`."""
        return self.tokenizer.partition(":")[0]

    @property
    def tokenizer_file(self) -> str:
        """The file that the tokenizer is in: `tokenizer.json` of `hf:tokenizer.json`; else ""."""
        return self.tokenizer.partition(":")[2]

    def limit(self) -> int | None:
        """The largest vocabulary; None = no limit."""
        return 8000 if self.vocab_size == "auto" else self.vocab_size


class TrainConfig(Section):
    """How long, how much at a time, and what is kept."""

    epochs: int = Field(10, ge=1, le=bounds.COUNT, description="passes over the training text")
    minutes: float | None = Field(
        None,
        gt=0,
        le=bounds.MINUTES,
        description="wall time of the training, preparation included, in the place of epochs; the "
        "learning-rate schedule then runs over this time",
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=bounds.COUNT,
        description="sequences in a batch; none = 4 to 32, so that a pass has about 100 steps or "
        "more",
    )
    batch_tokens: int | None = Field(
        None,
        ge=1,
        le=bounds.COUNT,
        description="sentence pairs: the most tokens that a batch has on either side, padding "
        "included; none = 256 to 2048, so that a pass has about 100 steps or more",
    )
    longest: int = Field(
        200,
        ge=1,
        le=bounds.COUNT,
        description="sentence pairs: pairs with a longer sentence, in tokens, are left out, and "
        "their number is printed",
    )
    bleu_lines: int = Field(
        0,
        ge=0,
        le=bounds.COUNT,
        description="sentence pairs: how many are translated (greedily) at each validation to "
        "measure BLEU",
    )
    vocabulary: Literal["keep", "new"] = Field(
        "keep",
        description="with --from: keep = that run's vocabulary; new = one learnt from the new "
        "text. Tokens that both have keep their vectors, the others begin with the mean",
    )
    bptt: int = Field(
        64,
        ge=1,
        le=bounds.COUNT,
        description="tokens of a training sequence: the gradient reaches back no further; longer "
        "labelled texts are cut",
    )
    stream: str = Field(
        "stripes",
        description="how ids become batches: stripes carry the state from one batch to the next, "
        "variable are stripes of varying lengths around bptt, windows begin with a fresh state, "
        "sentences are whole sentences of equal length, each from a fresh state; "
        "pairs are sentence pairs of similar lengths, masked is for BERT, labelled for "
        "classifiers, tagged for taggers",
        json_schema_extra={"kind": "stream"},
    )
    stride: int | None = Field(
        None,
        ge=1,
        le=bounds.COUNT,
        description="windows: tokens from the start of one window to the start of the next; none = "
        "bptt",
    )
    shuffle: bool = Field(
        True,
        description="batches are read in random order (all streams but stripes and variable)",
    )
    seed: int = Field(
        1,
        ge=0,
        le=bounds.SEED,
        description="start of all random numbers: the same seed gives the same run",
    )
    clip: float | None = Field(
        1.0,
        gt=0,
        le=bounds.NUMBER,
        description="gradients are scaled down together so that their norm is at most this",
    )
    clip_value: float | None = Field(
        None, gt=0, le=bounds.NUMBER, description="each single gradient is cut to this size"
    )
    accumulate: int = Field(
        1,
        ge=1,
        le=bounds.COUNT,
        description="batches whose gradients are added up for one optimizer step",
    )
    patience: int | None = Field(
        None,
        ge=1,
        le=bounds.COUNT,
        description="training stops after this many validations without a better one; none = never",
    )
    average: Literal["none", "non-monotone", "always", "checkpoints"] = Field(
        "none",
        description="the run keeps the mean of the weights: over all steps (always), over the "
        "steps after validation stops getting better (non-monotone; with sgd these are ASGD and "
        "NT-ASGD), or over the last validations (checkpoints)",
    )
    checkpoints: int = Field(
        5,
        ge=1,
        le=bounds.COUNT,
        description="average=checkpoints: how many validations the mean is taken over",
    )
    non_monotone: int = Field(
        5,
        ge=1,
        le=bounds.COUNT,
        description="n: validation has stopped getting better when its loss is worse than the best "
        "of those more than n validations ago",
    )
    non_monotone_stop: bool = Field(
        False, description="the training ends when validation has stopped getting better"
    )
    metric: Literal["loss", "accuracy", "f1", "matthews"] = Field(
        "loss",
        description="what validations choose the best weights by, and what patience looks at; "
        "all but the loss are for classifiers and taggers",
    )
    keep: Literal["best", "last"] = Field(
        "best", description="which weights the run keeps: of the best validation, or of the last"
    )
    eval_every: int | None = Field(
        None,
        ge=1,
        le=bounds.COUNT,
        description="steps from one validation to the next; none = one after every epoch",
    )
    save_every_minutes: float = Field(
        5.0,
        gt=0,
        le=bounds.MINUTES,
        description="minutes between savings of the state that --resume goes on from",
    )
    precision: Literal["fp32", "bf16", "auto"] = Field(
        "fp32",
        description="number format of matrix products; auto = bf16 where the processor or GPU "
        "multiplies it itself, else fp32",
    )
    backend: Literal["auto", "fast", "torch", "step"] = Field(
        "auto",
        description="what computes recurrent layers: our compiled loops (fast), torch's layer "
        "(torch) or the readable code (step); auto = the fastest for the shape",
    )
    graphs: bool = Field(
        False,
        description="CUDA: forward and backward pass are recorded once for each shape of batch and "
        "replayed as one; for small models, whose kernels take longer to start than to run",
    )
    tensorboard: bool = Field(
        False, description="TensorBoard events are written too (extra nextword[tensorboard])"
    )
    memory: str | None = Field(
        None,
        description="n-grams: the most memory that the process may take, for example 500MB; none = "
        "no bound",
    )

    @field_validator("clip", "clip_value", mode="before")
    @classmethod
    def _unclipped(cls, value: Any) -> Any:
        return None if value == math.inf else value

    @field_validator("average", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return "none" if value is None else value  # `--set train.average=none` arrives as None

    @field_validator("memory", mode="before")
    @classmethod
    def _a_size(cls, value: Any) -> Any:
        if value is not None:
            parse_size(value)
        return None if value is None else str(value)

    def unused(self, key: str, use: Use) -> str | None:
        model = use.config.model
        if model.trained_by != "gradient" and key != "memory":
            return "models that are trained by gradient descent"
        if key in _OF_SOME_STREAMS:
            streams = {name: registry.load("stream", name) for name in registry.names("stream")}
            readers = [name for name, stream in streams.items() if key in stream.settings]
            return None if self.stream in readers else f"train.stream={' or '.join(readers)}"
        average = self.average
        match key:
            case "memory" if model.trained_by != "counting":
                return "n-gram models"
            case "epochs" if self.minutes is not None and "train.minutes" not in use.given:
                return "trainings without train.minutes"  # who gives both wants the minutes
            case "vocabulary" if not use.starts_from:
                return "trainings from another run (--from RUN)"
            case "checkpoints" if average != "checkpoints":
                return "train.average=checkpoints"
            case "non_monotone" if average != "non-monotone" and not self.non_monotone_stop:
                return "train.average=non-monotone or train.non_monotone_stop=true"
            case "backend" if not model.by_backend:
                return "recurrent layers without a Mogrifier"
            case "graphs" if not use.device.startswith("cuda"):
                return "--device cuda"
            case "graphs" if not model.by_graphs:
                return "recurrent language models with a full softmax"
        return None


def parse_size(text: str | int) -> int:
    """`200MB`, `1.5G`, 4096 → bytes.

    Raises:
        ValueError: it is not a size.
    """
    number = r"([0-9]{1,15}(?:\.[0-9]{1,15})?)"
    match = re.fullmatch(rf"\s*{number}\s*([kmgt]?)i?b?\s*", str(text).lower())
    if not match:
        raise ValueError(f"'{shown(text)}' is not a size; write for example 200MB or 2GB")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " "))


class SourceConfig(TextConfig):
    """How the source side of sentence pairs becomes ids; `[text]` is the target's."""

    joint: bool = Field(
        False,
        description="source and target share one vocabulary, learnt from both sides as [text] says",
    )

    def unused(self, key: str, use: Use) -> str | None:
        if self.joint and key not in ("joint", "vectors"):
            return "source.joint=false"
        return super().unused(key, use)
