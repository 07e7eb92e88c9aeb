"""The registry: name → "module:Class" for everything that settings choose by name.

It is the only such list. Settings, the listing of `nextword recipes NAME` and the contract tests
use it. A new cell, tokenizer, stream, objective, optimizer, schedule, model or task is one file and
one line here.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from importlib import import_module
from typing import Any

from .errors import InputError, shown

REGISTRY: dict[str, dict[str, str]] = {
    "tokenizer": {
        "word": "nextword.text.word:WordTokenizer",
        "char": "nextword.text.char:CharTokenizer",
        "byte": "nextword.text.byte:ByteTokenizer",
        "bpe": "nextword.text.bpe:BPETokenizer",
        "wordpiece": "nextword.text.wordpiece:WordPieceTokenizer",
        "sentencepiece": "nextword.text.sentencepiece_model:SentencePieceTokenizer",
        "ids": "nextword.text.ids:IdsTokenizer",
        "hf": "nextword.text.huggingface:HuggingFaceTokenizer",
    },
    "normalisation": dict.fromkeys(  # those of text/normalise.py
        ("tokenised", "nfkc", "ccnet"), "nextword.text.normalised:NormalisedTokenizer"
    ),
    "cell": {
        "elman": "nextword.nn.cells.elman:Elman",
        "elman-sigmoid": "nextword.nn.cells.elman_sigmoid:SigmoidElman",
        "irnn": "nextword.nn.cells.irnn:IRNN",
        "lstm": "nextword.nn.cells.lstm:LSTM",
        "lstm-written-out": "nextword.nn.cells.lstm_written_out:WrittenOutLSTM",
        "peephole": "nextword.nn.cells.peephole:PeepholeLSTM",
        "peephole-full": "nextword.nn.cells.peephole_full:FullPeepholeLSTM",
        "gru": "nextword.nn.cells.gru:GRU",
        "gru-before": "nextword.nn.cells.gru_before:GRUBefore",
    },
    "attention": {
        "dot": "nextword.nn.attention:DotScore",
        "scaled-dot": "nextword.nn.attention:ScaledDotScore",
        "general": "nextword.nn.attention:GeneralScore",
        "additive": "nextword.nn.attention:AdditiveScore",
        "cosine": "nextword.nn.attention:CosineScore",
        "location": "nextword.nn.attention:LocationScore",
    },
    "smoothing": {
        "maximum-likelihood": "nextword.ngram.smoothing:MaximumLikelihood",
        "add-k": "nextword.ngram.smoothing:AddK",
        "dirichlet": "nextword.ngram.smoothing:Dirichlet",
        "katz": "nextword.ngram.katz:Katz",
        "jelinek-mercer": "nextword.ngram.smoothing:JelinekMercer",
        "witten-bell": "nextword.ngram.smoothing:WittenBell",
        "absolute-discounting": "nextword.ngram.smoothing:AbsoluteDiscounting",
        "kneser-ney": "nextword.ngram.smoothing:KneserNey",
        "modified-kneser-ney": "nextword.ngram.smoothing:ModifiedKneserNey",
    },
    "model": {
        "recurrent": "nextword.models.recurrent:RecurrentConfig",
        "transformer-lm": "nextword.models.transformer_lm:TransformerLMConfig",
        "seq2seq": "nextword.models.seq2seq:Seq2SeqConfig",
        "transformer": "nextword.models.transformer:TransformerConfig",
        "bert": "nextword.models.bert:BertConfig",
        "classifier": "nextword.models.classifier:ClassifierConfig",
        "tagger": "nextword.models.tagger:TaggerConfig",
        "ngram": "nextword.models.ngram:NgramConfig",
        "mixture": "nextword.models.mixture:MixtureConfig",
    },
    "task": {
        "text": "nextword.tasks.text:TextTask",
        "pairs": "nextword.tasks.pairs:PairsTask",
        "sentences": "nextword.tasks.sentences:SentencesTask",
        "labelled": "nextword.tasks.labelled:LabelledTask",
        "tagged": "nextword.tasks.tagged:TaggedTask",
    },
    "encoder": {  # besides these, every model whose config says `encodes`
        "bidirectional": "nextword.models.bidirectional:BidirectionalConfig",
    },
    "stream": {
        "stripes": "nextword.data.stripes:Stripes",
        "variable": "nextword.data.variable:Variable",
        "windows": "nextword.data.windows:Windows",
        "sentences": "nextword.data.sentences:EqualLengths",
        "pairs": "nextword.data.pairs:Pairs",
        "masked": "nextword.data.masked:Masked",
        "labelled": "nextword.data.labelled:Labelled",
        "tagged": "nextword.data.tagged:Tagged",
    },
    "objective": {
        "causal": "nextword.objectives.causal:Causal",
        "masked": "nextword.objectives.masked:MaskedWords",
        "classify": "nextword.objectives.classify:Classify",
        "scheduled-sampling": "nextword.objectives.scheduled_sampling:ScheduledSampling",
    },
    "optimizer": {
        "sgd": "nextword.training.optimizers:SGD",
        "rmsprop": "nextword.training.optimizers:RMSProp",
        "adagrad": "nextword.training.optimizers:AdaGrad",
        "adadelta": "nextword.training.optimizers:AdaDelta",
        "adam": "nextword.training.optimizers:Adam",
        "adamw": "nextword.training.optimizers:AdamW",
    },
    "schedule": {
        "constant": "nextword.training.schedules:Constant",
        "cosine": "nextword.training.schedules:Cosine",
        "one-cycle": "nextword.training.schedules:OneCycle",
        "plateau": "nextword.training.schedules:Plateau",
        "milestones": "nextword.training.schedules:Milestones",
        "slanted-triangles": "nextword.training.schedules:SlantedTriangles",
        "inverse-sqrt": "nextword.training.schedules:InverseSquareRoot",
    },
}


def names(kind: str) -> list[str]:
    """Return all names of a kind, in the order of the registry."""
    return list(REGISTRY[kind])


def check(kind: str, name: str) -> None:
    """Raise InputError unless the name is registered; the message suggests the nearest one."""
    if name not in (known := names(kind)):
        raise InputError(unknown(kind, name, known))


def load(kind: str, name: str) -> type[Any]:
    """Import and return the class behind a name.

    Raises:
        InputError: there is no such name; the message suggests the nearest one.

    Example:
        registry.load("cell", "lstm")
    """
    check(kind, name)
    module, _, attribute = REGISTRY[kind][name].partition(":")
    found: type[Any] = getattr(import_module(module), attribute)
    return found


def unknown(what: str, given: str, known: Collection[str]) -> str:
    """Return the error message for an unknown name; it suggests the nearest known one."""
    near = difflib.get_close_matches(str(given), list(known), n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}"
    return f"unknown {what} '{shown(given)}'; {hint}"
